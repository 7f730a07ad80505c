/* sqcq-test: simulated */
/*
 * Bounds: how much is in the kernel at once, whose turn it is, and that the request table never
 * runs out. And the modes that a ring can have: SQPOLL, IOPOLL.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#define READS_ALL SIM_HOLD(SIM_READ)

static void start(struct rig *rig, uint32_t depth, uint32_t channels)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();

  config.depth = depth;
  config.channels_max = channels;
  rig_start_with(rig, &kernel, &config);
  (void)rig_turns(rig, 1);
  sim_now()->hold = READS_ALL;
}

/* `count` reads of the stamped file for this channel, user_data from `first`. */
static void ask_for(struct rig *rig, sqcq_channel channel, uint64_t first, uint64_t count)
{
  for (uint64_t i = first; i < first + count; i++)
    assert_ok(rig_try(rig, channel, rig->file, i * RIG_LENGTH, i));
}

/* The end where this channel may hold completions too. */
static void end_with(struct rig *rig, sqcq_channel other)
{
  struct sqcq_completion completion;

  sim_now()->hold = 0;
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(rig);
  while (rig_take_from(rig, other, &completion))
    continue;
  rig_close(rig);
  rig_clear(rig);
}

static void depth_is_never_exceeded_and_always_used(void **state)
{
  for (uint32_t depth = 1; depth <= 16; depth *= 2) {
    struct rig rig;
    uint64_t seen = 0;

    start(&rig, depth, 1);
    ask_for(&rig, rig.channel, 0, 32);
    for (uint32_t done = 0; done < 32; done++) {
      (void)rig_turns(&rig, 2);
      uint32_t left = 32 - done;
      assert_int_equal(rig_reads_inside(), left < depth ? left : depth);
      assert_int_equal(rig_stats(&rig).inflight, left < depth ? left : depth);
      assert_int_equal(rig_stats(&rig).waiting, left < depth ? 0 : left - depth);
      assert_true(sim_complete(0, SIM_RESULT_REAL));
    }
    (void)rig_turns(&rig, 2);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 32);
    rig_end(&rig);
  }
}

static void channel_has_at_most_its_inflight_max(void **state)
{
  struct rig rig;

  start(&rig, 8, 2);
  for (uint32_t max = 1; max <= 7; max++) {
    sqcq_channel channel = rig_channel(&rig, 16, 0, max);
    uint64_t seen = 0;

    ask_for(&rig, channel, 0, 16);
    (void)rig_turns(&rig, 2);
    assert_int_equal(rig_reads_inside(), max);
    assert_true(sim_complete(0, SIM_RESULT_REAL));
    (void)rig_turns(&rig, 2);
    assert_int_equal(rig_reads_inside(), max);
    sim_now()->hold = 0;
    (void)rig_turns(&rig, 40);
    sim_now()->hold = READS_ALL;
    assert_int_equal(rig_take_all(&rig, channel, &seen), 16);
    assert_ok(sqcq_channel_destroy(rig.engine, channel));
    (void)rig_turns(&rig, 1);
  }
  rig_end(&rig);
}

static void channel_is_sure_of_its_inflight_min(void **state)
{
  struct rig rig;

  start(&rig, 8, 2);
  sqcq_channel sure = rig_channel(&rig, 16, 3, 8);
  ask_for(&rig, rig.channel, 0, 16);
  (void)rig_turns(&rig, 2);
  assert_int_equal(rig_reads_inside(), 5);
  ask_for(&rig, sure, 41, 8);
  (void)rig_turns(&rig, 1);
  assert_int_equal(rig_reads_inside(), 8);
  end_with(&rig, sure);
}

static void depth_that_was_kept_comes_back_with_its_channel(void **state)
{
  struct rig rig;
  uint64_t seen = 0;

  start(&rig, 8, 2);
  assert_ok(sqcq_channel_destroy(rig.engine, rig.channel));
  (void)rig_turns(&rig, 1);
  for (uint64_t round = 0; round < 3; round++) {
    sqcq_channel greedy = rig_channel(&rig, 16, 7, 8), other;
    struct sqcq_channel_config more = {
        .size = sizeof(more), .capacity = 1, .inflight_min = 2, .inflight_max = 8};

    assert_error(sqcq_channel_create(rig.engine, &more, &other), -ENOSPC);
    ask_for(&rig, greedy, 0, 16);
    (void)rig_turns(&rig, 2);
    assert_int_equal(rig_reads_inside(), 7); /* one is kept for the other */
    sim_now()->hold = 0;
    (void)rig_turns(&rig, 20);
    sim_now()->hold = READS_ALL;
    seen = 0;
    assert_int_equal(rig_take_all(&rig, greedy, &seen), 16);
    assert_ok(sqcq_channel_destroy(rig.engine, greedy));
    (void)rig_turns(&rig, 1);
  }
  rig.channel = rig_channel(&rig, 16, 0, 8);
  ask_for(&rig, rig.channel, 0, 16);
  (void)rig_turns(&rig, 2);
  assert_int_equal(rig_reads_inside(), 7);
  rig_end(&rig);
}

static void silent_channel_does_not_hold_up_another(void **state)
{
  struct rig rig;

  start(&rig, 8, 2);
  sim_now()->hold = 0;
  sqcq_channel other = rig_channel(&rig, 32, 0, 0);
  for (uint64_t i = 0; i < 32; i++)
    rig_ask_silent(&rig, i);
  (void)rig_turns(&rig, 3);
  assert_error(rig_try(&rig, rig.channel, rig.file, 0, 40), -EXFULL);
  for (uint64_t round = 0; round < 10; round++) {
    uint64_t seen = 0;

    ask_for(&rig, other, 0, 8);
    (void)rig_turns(&rig, 8);
    assert_int_equal(rig_take_all(&rig, other, &seen), 8);
  }
  rig_expect_none(&rig);
  rig_end(&rig);
}

static void channels_are_served_in_rotation(void **state)
{
  struct rig rig;

  start(&rig, 4, 2);
  sqcq_channel other = rig_channel(&rig, 16, 0, 4);
  ask_for(&rig, rig.channel, 0, 10);
  ask_for(&rig, other, 20, 10);
  uint32_t mine = 0, theirs = 0;
  for (int i = 0; i < 16; i++) {
    struct sim_op op;

    (void)rig_turns(&rig, 1);
    assert_true(sim_reads(&op, 1) > 0);
    op.offset < 20 * RIG_LENGTH ? mine++ : theirs++;
    assert_true(sim_complete(0, SIM_RESULT_REAL));
  }
  assert_in_range(mine, 7, 9);
  assert_in_range(theirs, 7, 9);
  end_with(&rig, other);
}

/* All credits in use, and as many slots as the depth still waiting for the CQE of a cancel. */
static void request_table_holds_all_credits_beside_unanswered_cancels(void **state)
{
  struct rig rig;
  sqcq_file file;
  uint64_t seen = 0;

  start(&rig, 8, 1);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  sim_now()->hold = READS_ALL | SIM_HOLD(SIM_CANCEL);
  for (uint64_t i = 0; i < 8; i++)
    assert_ok(rig_try(&rig, rig.channel, file, i * RIG_LENGTH, i));
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 2);
  assert_int_equal(sim_complete_all(), 8);
  (void)rig_turns(&rig, 2);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 8);
  assert_int_equal(rig.engine->io.requests.cancels_out, 8);

  struct sqcq_completion completion;
  assert_error(sqcq_channel_destroy(rig.engine, (sqcq_channel){0}), -EPIPE);
  assert_ok(sqcq_channel_destroy(rig.engine, rig.channel));
  (void)rig_turns(&rig, 1);
  rig.channel = rig_channel(&rig, 64, 0, 0);
  for (uint64_t i = 0; i < 64; i++)
    rig_ask_silent(&rig, i);
  (void)rig_turns(&rig, 1);
  assert_int_equal(rig_stats(&rig).inflight + rig_stats(&rig).waiting, 64);
  assert_false(sqcq__lanes_have_work(&rig.engine->lanes));
  assert_int_equal(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 0);
  rig_end(&rig);
}

static void closes_in_the_kernel_are_bounded(void **state)
{
  struct rig rig;
  sqcq_file files[38];

  start(&rig, 8, 2);
  sim_now()->hold = SIM_HOLD(SIM_CLOSE);
  for (int i = 0; i < 38; i++)
    assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[i]));
  for (int i = 0; i < 38; i++)
    assert_ok(sqcq_file_remove(rig.engine, files[i], SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 3);
  assert_int_equal(sim_inflight(NULL, 0), SQCQ__CLOSES_MAX);
  sim_now()->hold = 0;
  (void)rig_turns(&rig, 8);
  assert_int_equal(sim_counts()->completed[SIM_CLOSE], 38);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* Modes                                                                     */
/* ------------------------------------------------------------------------- */

static void sqpoll_engine_reads_removes_and_stops(void **state)
{
  static const char *const versions[] = {"5.10.262", "5.15", "6.0", "6.18"};

  for (int i = 0; i < 4; i++) {
    struct sim_config kernel = sim_kernel(versions[i]);
    struct sqcq_engine_config config = rig_config();
    struct rig rig;
    uint64_t seen = 0;

    config.flags = SQCQ_ENGINE_SQPOLL;
    rig_start_with(&rig, &kernel, &config);
    ask_for(&rig, rig.channel, 0, 20);
    (void)rig_turns(&rig, 10);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 20);
    rig_ask_silent(&rig, 30);
    (void)rig_turns(&rig, 2);
    assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DEFAULT));
    assert_count(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
    rig_expect(&rig, 30, -ECANCELED, SQCQ_COMPLETION_FILE_REMOVED);
    rig_end(&rig);
  }
}

static void iopoll_engine_reads_storage_and_closes_by_itself(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct sqcq_pool_config pool = {.size = sizeof(pool), .count = 16, .buffer_size = RIG_LENGTH};
  char path[PATH_MAX + 8];
  struct rig rig;
  sqcq_file file;

  kernel.data = SIM_DATA_PATTERN;
  config.flags = SQCQ_ENGINE_IOPOLL;
  rig_prepare(&rig);
  snprintf(path, sizeof(path), "%s/file", rig.dir.path);
  int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (direct < 0) {
    rig_clear(&rig);
    skip(); /* no O_DIRECT in this directory */
  }
  sim_configure(&kernel);
  assert_ok(sqcq_engine_create(&rig.engine, &config, NULL));
  rig.channel = rig_channel(&rig, 8, 0, 0);
  assert_ok(sqcq_pool_create(rig.engine, &pool, &rig.pool));
  assert_error(sqcq_file_add(rig.engine, rig.fd, &file), -EOPNOTSUPP);
  assert_error(sqcq_file_add(rig.engine, rig.pipe[0], &file), -EOPNOTSUPP);
  assert_ok(sqcq_file_add(rig.engine, direct, &file));
  assert_ok(rig_try(&rig, rig.channel, file, 0, 1));
  assert_count(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_sleep(&rig); /* outside of the ring */
  uint32_t fds = fds_count();
  sim_now()->hold = READS_ALL;
  assert_ok(rig_try(&rig, rig.channel, file, 0, 2));
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 3); /* a device's read cannot be cancelled */
  assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 0);
  assert_int_equal(fds_count(), fds);
  assert_true(sim_complete(0, 10));
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 2, 10, 0);
  assert_int_equal(fds_count(), fds - 1);
  assert_int_equal(sim_counts()->submitted[SIM_CLOSE] + sim_counts()->submitted[SIM_POLL], 0);
  close(direct);
  rig_end(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(depth_is_never_exceeded_and_always_used),
      cmocka_unit_test(channel_has_at_most_its_inflight_max),
      cmocka_unit_test(channel_is_sure_of_its_inflight_min),
      cmocka_unit_test(depth_that_was_kept_comes_back_with_its_channel),
      cmocka_unit_test(silent_channel_does_not_hold_up_another),
      cmocka_unit_test(channels_are_served_in_rotation),
      cmocka_unit_test(request_table_holds_all_credits_beside_unanswered_cancels),
      cmocka_unit_test(closes_in_the_kernel_are_bounded),
      cmocka_unit_test(sqpoll_engine_reads_removes_and_stops),
      cmocka_unit_test(iopoll_engine_reads_storage_and_closes_by_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
