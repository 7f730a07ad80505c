/* sqcq-test: simulated */
/*
 * What the engine tells about itself while it works: high-water marks, batches, channels, times.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

static void start_with(struct rig *rig, uint32_t flags)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();

  config.flags = flags;
  rig_start_with(rig, &kernel, &config);
}

static void end(struct rig *rig)
{
  struct sqcq_completion completion;

  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(rig);
  while (rig_take_from(rig, rig->channel, &completion))
    continue;
  rig_close(rig);
  rig_clear(rig);
}

static struct sqcq_channel_counters channel_stats(struct rig *rig)
{
  struct sqcq_channel_counters stats;

  assert_ok(sqcq_channel_stats(rig->engine, rig->channel, &stats, sizeof(stats)));
  return stats;
}

static void stats_have_high_water_marks_and_batches(void **state)
{
  struct rig rig;
  uint64_t seen = 0;

  start_with(&rig, 0);
  for (uint64_t i = 0; i < 5; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 20);
  assert_int_equal(rig_stats(&rig).lane_high_water, 5);
  assert_int_equal(rig_stats(&rig).batches_in, 5);
  assert_int_equal(rig_stats(&rig).channel_high_water, 5); /* not looked at by a consumer yet */
  assert_in_range(rig_stats(&rig).batches_out, 1, 5);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 5);
  rig_ask(&rig, 9);
  (void)rig_turns(&rig, 20);
  rig_expect(&rig, 9, RIG_LENGTH, 0);
  /* Marks stay. */
  assert_int_equal(rig_stats(&rig).lane_high_water, 5);
  assert_int_equal(rig_stats(&rig).channel_high_water, 5);
  assert_int_equal(rig_stats(&rig).batches_in, 6);
  end(&rig);
}

/* A turn that only submits has delivered nothing; and who never reaches the kernel has not failed
 * there. */
static void stats_of_idle_turns_and_failed_reads_are_what_the_header_says(void **state)
{
  struct rig rig;
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_ALL};

  start_with(&rig, 0);
  (void)rig_turns(&rig, 1);
  uint64_t idle = rig_stats(&rig).turns_idle;
  rig_ask_silent(&rig, 1);
  assert_int_equal(rig_turns(&rig, 1), 0);
  assert_int_equal(rig_stats(&rig).submitted, 1);
  assert_int_equal(rig_stats(&rig).turns_idle, idle + 1);
  rig_ask_silent(&rig, 2);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  assert_int_equal(rig_turns(&rig, 3), 2);
  assert_int_equal(rig_stats(&rig).completed, 2);
  assert_int_equal(rig_stats(&rig).unsubmitted, 1);
  assert_int_equal(rig_stats(&rig).failed, 1); /* the one that was in the kernel */
  end(&rig);
}

static void channel_stats_say_where_its_requests_are(void **state)
{
  struct rig rig;

  start_with(&rig, 0);
  assert_int_equal(channel_stats(&rig).capacity, 32);
  assert_int_equal(channel_stats(&rig).taken, 0);
  rig_ask(&rig, 1);
  rig_ask(&rig, 2);
  rig_ask_silent(&rig, 3);
  assert_int_equal(channel_stats(&rig).taken, 3);
  assert_int_equal(channel_stats(&rig).unread, 0);
  (void)rig_turns(&rig, 20);
  assert_int_equal(channel_stats(&rig).taken, 3);
  assert_int_equal(channel_stats(&rig).unread, 2);
  assert_int_equal(channel_stats(&rig).high_water, 2);
  struct sqcq_completion completion;
  assert_true(rig_take_from(&rig, rig.channel, &completion));
  assert_true(rig_take_from(&rig, rig.channel, &completion));
  assert_int_equal(channel_stats(&rig).taken, 1);
  assert_int_equal(channel_stats(&rig).unread, 0);
  assert_int_equal(channel_stats(&rig).high_water, 2);
  end(&rig);
}

/* The place's ring is made larger for it. */
static void high_water_of_a_place_outlives_its_channel(void **state)
{
  struct rig rig;
  uint64_t seen = 0;

  start_with(&rig, 0);
  for (uint64_t i = 0; i < 5; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 20);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 5);
  assert_ok(sqcq_channel_destroy(rig.engine, rig.channel));
  (void)rig_turns(&rig, 3);
  rig.channel = rig_channel(&rig, 64, 0, 0);
  assert_int_equal(rig_stats(&rig).channel_high_water, 5);
  assert_int_equal(channel_stats(&rig).high_water, 5);
  assert_int_equal(channel_stats(&rig).unread, 0);
  for (uint64_t i = 8; i < 48; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 60);
  assert_int_equal(channel_stats(&rig).unread, 40);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 40);
  assert_int_equal(channel_stats(&rig).high_water, 40);
  end(&rig);
}

static void channel_stats_of_no_channel_are_refused(void **state)
{
  struct rig rig;
  struct sqcq_channel_counters stats;
  sqcq_channel gone, other;

  start_with(&rig, 0);
  other.id = rig.channel.id ^ 1; /* the tag */
  assert_error(sqcq_channel_stats(NULL, rig.channel, &stats, sizeof(stats)), -EINVAL);
  assert_error(sqcq_channel_stats(rig.engine, rig.channel, NULL, sizeof(stats)), -EINVAL);
  assert_error(sqcq_channel_stats(rig.engine, rig.channel, &stats, 0), -EINVAL);
  assert_error(sqcq_channel_stats(rig.engine, other, &stats, sizeof(stats)), -EINVAL);
  assert_error(sqcq_channel_stats(rig.engine, (sqcq_channel){0}, &stats, sizeof(stats)), -EPIPE);
  gone = rig_channel(&rig, 4, 0, 0);
  assert_ok(sqcq_channel_stats(rig.engine, gone, &stats, sizeof(stats)));
  assert_ok(sqcq_channel_destroy(rig.engine, gone));
  (void)rig_turns(&rig, 3);
  assert_error(sqcq_channel_stats(rig.engine, gone, &stats, sizeof(stats)), -EPIPE);
  other = rig_channel(&rig, 8, 0, 0); /* in the same place */
  assert_error(sqcq_channel_stats(rig.engine, gone, &stats, sizeof(stats)), -EPIPE);
  assert_ok(sqcq_channel_stats(rig.engine, other, &stats, sizeof(stats)));
  assert_int_equal(stats.capacity, 8);
  end(&rig);
}

static struct sqcq_histogram histogram(struct rig *rig, unsigned stage)
{
  struct sqcq_histogram histogram;

  assert_ok(sqcq_engine_histogram(rig->engine, stage, &histogram, sizeof(histogram)));
  return histogram;
}

static void histograms_count_each_request_once_a_stage(void **state)
{
  struct rig rig;
  uint64_t seen = 0;
  struct sqcq_completion completion;

  start_with(&rig, SQCQ_ENGINE_HISTOGRAMS);
  for (uint64_t i = 0; i < 6; i++)
    rig_ask(&rig, i);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_QUEUE).count, 0);
  (void)rig_turns(&rig, 20);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_QUEUE).count, 6);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_DEVICE).count, 6);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_DELIVERY).count, 0);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 6);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_DELIVERY).count, 6);
  for (unsigned stage = 0; stage < 3; stage++) {
    struct sqcq_histogram is = histogram(&rig, stage);

    assert_true(is.max_ns > 0 && is.max_ns < UINT64_C(3600) * 1000000000); /* a time, no date */
    assert_true(is.sum_ns >= is.max_ns && is.sum_ns <= 6 * is.max_ns);
  }
  /* One that never reaches the kernel. */
  rig_ask(&rig, 7);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 20);
  assert_true(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1) == 1);
  assert_int_equal(completion.reserved, 0);
  assert_true((completion.flags & SQCQ_COMPLETION_UNSUBMITTED) != 0);
  assert_count(sqcq_buffer_release(rig.engine, &completion.buffer, 1), 1);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_QUEUE).count, 6);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_DEVICE).count, 6);
  assert_int_equal(histogram(&rig, SQCQ_STAGE_DELIVERY).count, 7);
  assert_true(histogram(&rig, SQCQ_STAGE_DELIVERY).max_ns < UINT64_C(3600) * 1000000000);
  end(&rig);
}

static void histograms_that_were_not_asked_for_are_refused(void **state)
{
  struct rig rig;
  struct sqcq_histogram histogram;
  struct sqcq_completion completion;

  start_with(&rig, 0);
  assert_error(sqcq_engine_histogram(rig.engine, 0, &histogram, sizeof(histogram)), -EOPNOTSUPP);
  rig_ask(&rig, 1);
  (void)rig_turns(&rig, 20);
  assert_true(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1) == 1);
  assert_int_equal(completion.reserved, 0);
  assert_count(sqcq_buffer_release(rig.engine, &completion.buffer, 1), 1);
  end(&rig);

  start_with(&rig, SQCQ_ENGINE_HISTOGRAMS);
  assert_error(sqcq_engine_histogram(NULL, 0, &histogram, sizeof(histogram)), -EINVAL);
  assert_error(sqcq_engine_histogram(rig.engine, 3, &histogram, sizeof(histogram)), -EINVAL);
  assert_error(sqcq_engine_histogram(rig.engine, 0, NULL, sizeof(histogram)), -EINVAL);
  assert_error(sqcq_engine_histogram(rig.engine, 0, &histogram, sizeof(histogram) - 8), -EINVAL);
  end(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stats_have_high_water_marks_and_batches),
      cmocka_unit_test(stats_of_idle_turns_and_failed_reads_are_what_the_header_says),
      cmocka_unit_test(channel_stats_say_where_its_requests_are),
      cmocka_unit_test(high_water_of_a_place_outlives_its_channel),
      cmocka_unit_test(channel_stats_of_no_channel_are_refused),
      cmocka_unit_test(histograms_count_each_request_once_a_stage),
      cmocka_unit_test(histograms_that_were_not_asked_for_are_refused),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
