/* sqcq-test: simulated */
/*
 * Turns on kernels that refuse, fall short, and answer in ways of their own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <pthread.h>

/* ------------------------------------------------------------------------- */
/* File table                                                                */
/* ------------------------------------------------------------------------- */

/* Of the file table, since creation: iothread.h. */
#define TOMBSTONE 1

static void read_one(struct rig *rig, uint64_t user_data)
{
  rig_ask(rig, user_data % RIG_PAGES);
  while (rig_turns(rig, 1) == 0)
    continue;
  rig_expect(rig, user_data % RIG_PAGES, RIG_LENGTH, 0);
}

static void file_gets_its_slot_with_the_16th_read(void **state)
{
  struct rig rig;
  struct sim_op op;

  rig_start(&rig, "6.18");
  for (uint64_t i = 1; i <= 20; i++) {
    read_one(&rig, i);
    assert_int_equal(sim_slots_used(), TOMBSTONE + (i >= 16));
    assert_true(sim_submitted_last(SIM_READ, &op));
    assert_int_equal(op.slot, i >= 16 ? 0 : -1);
  }
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 3);
  assert_int_equal(sim_slots_used(), TOMBSTONE);
  rig_end(&rig);
}

static void pipe_never_gets_a_slot(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  for (uint64_t i = 0; i < 20; i++) {
    assert_int_equal(write(rig.pipe[1], "x", 1), 1);
    rig_ask_silent(&rig, i);
    assert_int_equal(rig_turns(&rig, 2), 1);
    rig_expect(&rig, i, 1, 0);
  }
  assert_int_equal(sim_counts()->calls[SIM_CALL_UPDATE_FILE], TOMBSTONE);
  rig_end(&rig);
}

static void reads_without_a_file_table_go_through_descriptors(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  kernel.error[SIM_CALL_REGISTER_FILES] = -ENOMEM;
  rig_start_with(&rig, &kernel, &config);
  rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_FILES, SQCQ_FEATURE_REFUSED, -ENOMEM);
  for (uint64_t i = 1; i <= 20; i++)
    read_one(&rig, i);
  assert_int_equal(sim_counts()->calls[SIM_CALL_UPDATE_FILE], 0);
  rig_end(&rig);
}

static void update_of_the_table_that_fails_is_not_tried_again(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  sim_fail(SIM_CALL_UPDATE_FILE, 0, 1, -ENFILE);
  for (uint64_t i = 1; i <= 50; i++)
    read_one(&rig, i);
  assert_int_equal(sim_counts()->calls[SIM_CALL_UPDATE_FILE], TOMBSTONE + 1);
  assert_int_equal(sim_slots_used(), TOMBSTONE);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* Fixed buffers                                                             */
/* ------------------------------------------------------------------------- */

static int make_pool(struct rig *rig, uint32_t flags, sqcq_pool *pool)
{
  struct sqcq_pool_config config = {
      .size = sizeof(config), .flags = flags, .count = 4, .buffer_size = RIG_LENGTH};

  return sqcq_pool_create(rig->engine, &config, pool);
}

/* The registered buffer that a read into this pool names. */
static int32_t fixed_of(struct rig *rig, sqcq_pool pool)
{
  sqcq_pool other = rig->pool;
  struct sim_op op;

  rig->pool = pool;
  read_one(rig, 1);
  rig->pool = other;
  assert_true(sim_submitted_last(SIM_READ, &op));
  return op.fixed_buffer;
}

static void fixed_pools_are_registered_together(void **state)
{
  struct rig rig;
  sqcq_pool first, second, late;

  rig_start(&rig, "6.18");
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &first));
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED | SQCQ_POOL_STRICT, &second));
  assert_int_equal(sim_buffers(), 2);
  assert_int_equal(fixed_of(&rig, rig.pool), -1);
  assert_int_equal(fixed_of(&rig, first), 0);
  assert_int_equal(fixed_of(&rig, second), 1);
  assert_error(make_pool(&rig, SQCQ_POOL_FIXED | SQCQ_POOL_STRICT, &late), -EBUSY);
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &late));
  assert_int_equal(fixed_of(&rig, late), -1);
  rig_end(&rig);
}

static void fixed_pool_that_is_refused_leaves_the_earlier_ones_fixed(void **state)
{
  struct rig rig;
  sqcq_pool first, second;

  rig_start(&rig, "5.10");
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &first));
  sim_fail(SIM_CALL_REGISTER_BUFFERS, 0, 1, -ENOMEM);
  assert_error(make_pool(&rig, SQCQ_POOL_FIXED | SQCQ_POOL_STRICT, &second), -ENOMEM);
  assert_int_equal(sim_buffers(), 1);
  rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_BUFFERS, SQCQ_FEATURE_REFUSED, -ENOMEM);
  assert_true(rig_feature(&rig, SQCQ__FEATURE_FIXED_BUFFERS).needed > 0);
  sim_fail(SIM_CALL_REGISTER_BUFFERS, 0, 1, -ENOMEM);
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &second));
  assert_int_equal(fixed_of(&rig, first), 0);
  assert_int_equal(fixed_of(&rig, second), -1);
  rig_end(&rig);
}

static void fixed_pools_that_the_kernel_takes_back_are_plain_ones(void **state)
{
  struct rig rig;
  sqcq_pool first, second;

  rig_start(&rig, "6.18");
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &first));
  sim_fail(SIM_CALL_REGISTER_BUFFERS, 0, 2, -ENOMEM);
  assert_ok(make_pool(&rig, SQCQ_POOL_FIXED, &second));
  assert_int_equal(fixed_of(&rig, first), -1);
  assert_int_equal(fixed_of(&rig, second), -1);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* What the kernel answers                                                   */
/* ------------------------------------------------------------------------- */

static void results_are_passed_on_as_they_are_in_any_order(void **state)
{
  static const struct {
    uint64_t which;
    int32_t told, result;
  } answers[] = {
      {5, SIM_RESULT_REAL, RIG_LENGTH},
      {2, -EIO, -EIO},
      {0, 10, 10},
      {4, -EAGAIN, -EAGAIN},
      {1, 0, 0},
      {3, 1, 1},
  };
  struct rig rig;

  rig_start(&rig, "6.18");
  sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint64_t i = 0; i < 6; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 3);
  rig_expect_none(&rig);
  for (int i = 0; i < 6; i++)
    assert_true(sim_complete_offset(answers[i].which * RIG_LENGTH, answers[i].told));
  assert_int_equal(rig_turns(&rig, 2), 6);
  for (int i = 0; i < 6; i++)
    rig_expect(&rig, answers[i].which, answers[i].result, 0);
  assert_int_equal(rig_stats(&rig).failed, 2);
  assert_int_equal(rig_stats(&rig).bytes, RIG_LENGTH + 11);
  rig_end(&rig);
}

static void enter_that_fails_for_now_loses_nothing(void **state)
{
  static const int32_t errors[] = {-EINTR, -EAGAIN, -EBUSY};

  for (int i = 0; i < 3; i++) {
    struct rig rig;

    rig_start(&rig, "6.18");
    (void)rig_turns(&rig, 1);
    sim_fail(SIM_CALL_ENTER, 0, 4, errors[i]);
    for (uint64_t j = 0; j < 12; j++)
      rig_ask(&rig, j);
    for (int j = 0; j < 4; j++)
      assert_ok(sqcq_engine_poll(rig.engine));
    uint64_t seen = 0;
    (void)rig_turns(&rig, 6);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 12);
    rig_end(&rig);
  }
}

static void enter_that_runs_out_of_memory_is_told_and_loses_nothing(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_ask(&rig, 1);
  sim_fail(SIM_CALL_ENTER, 0, 1, -ENOMEM);
  assert_error(sqcq_engine_poll(rig.engine), -ENOMEM);
  assert_int_equal(rig_turns(&rig, 1), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void wait_that_a_signal_ends_says_so(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  kernel.eintr_percent = 100;
  rig_start_with(&rig, &kernel, &config);
  assert_error(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), -EINTR);
  rig_ask(&rig, 1);
  assert_count(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void submission_in_small_parts_loses_nothing(void **state)
{
  struct rig rig;
  uint64_t seen = 0;

  rig_start(&rig, "5.10");
  sim_now()->submit_max = 1;
  for (uint64_t i = 0; i < 24; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 40);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 24);
  rig_end(&rig);
}

/* Reads, their cancels, closes and the wake poll do not fit into the SQ together: with few reads
 * the last ones find it full, with many the last cancels. */
static void fill_the_submission_queue(uint32_t early)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  sqcq_file files[20], late;
  struct rig rig;
  uint64_t seen = 0;

  config.depth = 32;
  config.channels_max = 1;
  rig_start_with(&rig, &kernel, &config);
  for (int i = 0; i < 20; i++)
    assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[i]));
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &late));
  (void)rig_turns(&rig, 1);
  sim_fail(SIM_CALL_ENTER, 0, 1000000, -EAGAIN);
  for (uint64_t i = 0; i < early; i++)
    rig_ask(&rig, i);
  (void)rig_turns(&rig, 2);
  for (int i = 0; i < 20; i++)
    assert_ok(sqcq_file_remove(rig.engine, files[i], SQCQ_REMOVE_DRAIN));
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 3);
  for (uint64_t i = early; i < 32; i++)
    assert_ok(rig_try(&rig, rig.channel, late, 0, i));
  (void)rig_turns(&rig, 2);
  struct sqcq_stats stats = rig_stats(&rig);
  assert_int_equal(stats.inflight, early == 32 ? 32 : 64 - SQCQ__CLOSES_MAX - early);
  assert_int_equal(stats.inflight + stats.waiting, 32);
  assert_int_equal(rig.engine->io.requests.cancels_wanted, early == 32 ? 16 : 0);
  assert_ok(sqcq_engine_wait(rig.engine, 10 * RIG_MS));
  assert_true(rig_stats(&rig).enters - stats.enters <= 30); /* naps between them */
  assert_null(sqcq__ring_sqe(rig.engine->ring));
  sim_fail(SIM_CALL_ENTER, 0, 0, -EAGAIN);
  (void)rig_turns(&rig, 10);
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 32);
  assert_int_equal(rig_stats(&rig).files_retired, 21);
  rig_end(&rig);
}

static void full_submission_queue_delays_and_loses_nothing(void **state)
{
  fill_the_submission_queue(21);
  fill_the_submission_queue(32);
}

/* ------------------------------------------------------------------------- */
/* Wakes                                                                     */
/* ------------------------------------------------------------------------- */

static void *run_engine(void *engine)
{
  return (void *)(intptr_t)sqcq_engine_run(engine);
}

/* The I/O thread sleeps before each request, and must come to know of it. */
static void wake_a_sleeper(const char *version, uint32_t poll_end_percent, uint64_t rounds)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();
  struct sqcq_completion completion;
  struct rig rig;
  pthread_t thread;
  void *result;

  kernel.poll_end_percent = poll_end_percent;
  rig_start_with(&rig, &kernel, &config);
  assert_ok(pthread_create(&thread, NULL, run_engine, rig.engine));
  for (uint64_t i = 0; i < rounds; i++) {
    if (i % 2 != 0)
      assert_soon(sqcq__load_relaxed(&rig.engine->sleeper.asleep) != 0);
    rig_ask(&rig, i % 64);
    assert_count(sqcq_channel_wait(rig.engine, rig.channel, &completion, 1, 1, TEST_SOON_NS), 1);
    assert_count(sqcq_buffer_release(rig.engine, &completion.buffer, 1), 1);
  }
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(pthread_join(thread, &result));
  assert_null(result);
  assert_true(sim_counts()->completed[SIM_POLL] > 1);
  rig_close(&rig);
  rig_clear(&rig);
}

static void wake_reaches_a_sleeper_with_one_shot_polls(void **state)
{
  wake_a_sleeper("5.10", 0, 300);
}

static void wake_reaches_a_sleeper_whose_multishot_poll_ends_each_time(void **state)
{
  wake_a_sleeper("5.15", 100, 300);
  wake_a_sleeper("6.18", 100, 300);
}

static void wake_reaches_a_sleeper_with_a_multishot_poll(void **state)
{
  wake_a_sleeper("6.18", 0, 300);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(file_gets_its_slot_with_the_16th_read),
      cmocka_unit_test(pipe_never_gets_a_slot),
      cmocka_unit_test(reads_without_a_file_table_go_through_descriptors),
      cmocka_unit_test(update_of_the_table_that_fails_is_not_tried_again),
      cmocka_unit_test(fixed_pools_are_registered_together),
      cmocka_unit_test(fixed_pool_that_is_refused_leaves_the_earlier_ones_fixed),
      cmocka_unit_test(fixed_pools_that_the_kernel_takes_back_are_plain_ones),
      cmocka_unit_test(results_are_passed_on_as_they_are_in_any_order),
      cmocka_unit_test(enter_that_fails_for_now_loses_nothing),
      cmocka_unit_test(enter_that_runs_out_of_memory_is_told_and_loses_nothing),
      cmocka_unit_test(wait_that_a_signal_ends_says_so),
      cmocka_unit_test(submission_in_small_parts_loses_nothing),
      cmocka_unit_test(full_submission_queue_delays_and_loses_nothing),
      cmocka_unit_test(wake_reaches_a_sleeper_with_one_shot_polls),
      cmocka_unit_test(wake_reaches_a_sleeper_whose_multishot_poll_ends_each_time),
      cmocka_unit_test(wake_reaches_a_sleeper_with_a_multishot_poll),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
