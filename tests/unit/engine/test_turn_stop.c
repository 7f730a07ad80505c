/* sqcq-test: simulated */
/*
 * Stop: at every stage of a request, in both modes, with a limit, and the last turn.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#define STOPPED SQCQ_COMPLETION_STOPPED
#define UNSUBMITTED SQCQ_COMPLETION_UNSUBMITTED

static const char *const versions[] = {"5.10", "5.10.262", "5.15", "5.19",
                                       "6.0",  "6.1",      "6.12", "6.18"};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

/* Reads 0 to 5 in the kernel, 6 to 9 waiting, 10 in its lane. `silent`: of the pipe. */
static void ask_at_every_stage(struct rig *rig, const char *version, bool silent)
{
  rig_start(rig, version);
  (void)rig_turns(rig, 1);
  if (!silent)
    sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint64_t i = 0; i < 10; i++)
    silent ? rig_ask_silent(rig, i) : rig_ask(rig, i);
  (void)rig_turns(rig, 2);
  silent ? rig_ask_silent(rig, 10) : rig_ask(rig, 10);
  assert_int_equal(rig_reads_inside(), 6);
}

/* All eleven ended by the stop. */
static void expect_stopped(struct rig *rig, int32_t result)
{
  struct sqcq_completion completion;
  uint64_t seen = 0;

  while (rig_take_from(rig, rig->channel, &completion)) {
    bool flew = completion.user_data < 6;

    assert_int_equal(completion.result, flew ? result : -ECANCELED);
    assert_int_equal(completion.flags, flew ? STOPPED : STOPPED | UNSUBMITTED);
    seen |= UINT64_C(1) << completion.user_data;
  }
  assert_int_equal(seen, 0x7ff);
  assert_error(sqcq_channel_poll(rig->engine, rig->channel, &completion, 1), -ESHUTDOWN);
}

static void stop_with_drain_reads_everything_on_each_kernel(void **state)
{
  for (size_t i = 0; i < VERSIONS; i++) {
    struct rig rig;
    uint64_t seen = 0;

    ask_at_every_stage(&rig, versions[i], false);
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
    assert_error(rig_try(&rig, rig.channel, rig.file, 0, 20), -ESHUTDOWN);
    (void)rig_turns(&rig, 5);
    assert_false(rig_stopped(&rig));
    sim_now()->hold = 0;
    rig_run(&rig);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 11);
    assert_int_equal(rig_stats(&rig).unsubmitted, 0);
    assert_int_equal(rig_stats(&rig).failed, 0);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

static void stop_with_cancel_ends_everything_on_each_kernel(void **state)
{
  for (size_t i = 0; i < VERSIONS; i++) {
    struct rig rig;

    ask_at_every_stage(&rig, versions[i], true);
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    rig_run(&rig);
    expect_stopped(&rig, i == 0 ? -EINTR : -ECANCELED);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

static void stop_with_a_limit_cancels_when_it_is_over(void **state)
{
  struct rig rig;

  ask_at_every_stage(&rig, "6.18", true);
  int64_t start = test_now_ns();
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 30 * RIG_MS));
  assert_ok(sqcq_engine_run(rig.engine));
  assert_true(test_now_ns() - start >= 30 * RIG_MS);
  assert_true(rig_stats(&rig).turns < 200); /* it slept */
  expect_stopped(&rig, -ECANCELED);
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_with_a_limit_of_zero_cancels_at_once(void **state)
{
  struct rig rig;

  ask_at_every_stage(&rig, "6.18", true);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 0));
  rig_run(&rig);
  expect_stopped(&rig, -ECANCELED);
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_after_stop_only_becomes_stricter(void **state)
{
  struct rig rig;

  ask_at_every_stage(&rig, "6.18", true);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  (void)rig_turns(&rig, 5);
  assert_false(rig_stopped(&rig));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 20 * RIG_MS));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 2000000 * RIG_MS));
  assert_ok(sqcq_engine_run(rig.engine));
  expect_stopped(&rig, -ECANCELED);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  rig_close(&rig);
  rig_clear(&rig);

  ask_at_every_stage(&rig, "6.18", true);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  (void)rig_turns(&rig, 3);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  rig_run(&rig);
  struct sqcq_completion completion;
  while (rig_take_from(&rig, rig.channel, &completion))
    assert_int_not_equal(completion.flags & STOPPED, 0);
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_with_bad_arguments_is_refused(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  assert_error(sqcq_engine_stop(rig.engine, 2, SQCQ_FOREVER), -EINVAL);
  assert_error(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, -2), -EINVAL);
  assert_error(sqcq_engine_stop(NULL, SQCQ_STOP_DRAIN, 0), -EINVAL);
  rig_ask(&rig, 1);
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void stop_refuses_everything_new(void **state)
{
  struct sqcq_pool_config pool = {.size = sizeof(pool), .count = 1, .buffer_size = 1};
  struct rig rig;
  sqcq_file file;
  sqcq_buffer buffer;
  sqcq_channel channel;
  sqcq_pool other;
  char byte;

  rig_start(&rig, "6.18");
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  for (int stopped = 0; stopped < 2; stopped++) {
    assert_error(rig_try(&rig, rig.channel, rig.file, 0, 1), -ESHUTDOWN);
    assert_error(sqcq_file_add(rig.engine, rig.fd, &file), -ESHUTDOWN);
    assert_error(sqcq_file_open(rig.engine, AT_FDCWD, "/dev/null", 0, &file), -ESHUTDOWN);
    assert_error(sqcq_buffer_wrap(rig.engine, &byte, 1, &buffer), -ESHUTDOWN);
    assert_error(sqcq_channel_create(rig.engine, NULL, &channel), -ESHUTDOWN);
    assert_error(sqcq_pool_create(rig.engine, &pool, &other), -ESHUTDOWN);
    rig_run(&rig);
  }
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_takes_the_wake_poll_back(void **state)
{
  for (size_t i = 0; i < VERSIONS; i++) {
    struct rig rig;

    rig_start(&rig, versions[i]);
    rig_sleep(&rig);
    struct sim_op op;
    assert_int_equal(sim_inflight(&op, 1), 1);
    assert_int_equal(op.kind, SIM_POLL);
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
    rig_run(&rig);
    assert_int_equal(sim_inflight(NULL, 0), 0);
    rig_close(&rig); /* the simulation sees a ring descriptor still registered */
    rig_clear(&rig);
  }
}

static void stop_closes_the_files_that_are_being_removed(void **state)
{
  struct rig rig;
  uint32_t fds;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  fds = fds_count();
  sim_now()->hold = SIM_HOLD(SIM_CLOSE);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DEFAULT));
  (void)rig_turns(&rig, 5);
  assert_false(rig_stopped(&rig));
  sim_now()->hold = 0;
  rig_run(&rig);
  assert_int_equal(fds_count(), fds - 2);
  rig_close(&rig);
  rig_clear(&rig);
}

static void remove_after_the_stop_leaves_the_file_to_destroy(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(&rig);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  assert_error(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN), -EBADF);
  assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN);
  rig_close(&rig);
  rig_clear(&rig);
}

/* The step of the turn alone: the request has come between its drain and the claim of the lanes. */
static void stop_drains_what_came_in_before_it_had_the_lanes(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  uint32_t bits = sqcq__control_take(&rig.engine->control);
  sqcq__store_relaxed(&rig.engine->control.stopping, SQCQ__STOPPING_NOT);
  rig_ask(&rig, 1);
  sqcq__store_relaxed(&rig.engine->control.stopping, SQCQ__STOPPING_DRAIN);
  sqcq__turn_control(rig.engine, bits, 0);
  assert_true(rig.engine->io.sealed);
  assert_false(sqcq__requests_empty(&rig.engine->io.requests));
  rig_run(&rig);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_waits_for_the_answers_of_its_cancels(void **state)
{
  struct rig rig;
  struct sim_op cancel;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_READ) | SIM_HOLD(SIM_CANCEL);
  rig_ask(&rig, 1);
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  (void)rig_turns(&rig, 3);
  assert_true(sim_complete_offset(RIG_LENGTH, SIM_RESULT_REAL));
  assert_int_equal(rig_turns(&rig, 3), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  assert_false(rig_stopped(&rig)); /* the cancel's CQE would be nobody's */
  assert_true(sim_submitted_last(SIM_CANCEL, &cancel));
  assert_true(sim_complete_user_data(cancel.user_data, -ENOENT));
  sim_now()->hold = 0;
  rig_run(&rig);
  assert_int_equal(sim_counts()->submitted[SIM_READ], 1);
  rig_close(&rig);
  rig_clear(&rig);
}

static void stop_before_the_first_turn_ends_with_it(void **state)
{
  for (unsigned mode = SQCQ_STOP_DRAIN; mode <= SQCQ_STOP_CANCEL; mode++) {
    struct rig rig;

    rig_start(&rig, "6.18");
    rig_ask(&rig, 1);
    assert_ok(sqcq_engine_stop(rig.engine, mode, SQCQ_FOREVER));
    assert_ok(sqcq_engine_run(rig.engine));
    if (mode == SQCQ_STOP_DRAIN)
      rig_expect(&rig, 1, RIG_LENGTH, 0);
    else
      rig_expect(&rig, 1, -ECANCELED, STOPPED | UNSUBMITTED);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

static void destroy_during_and_after_a_stop_tells_what_is_held(void **state)
{
  struct rig rig;
  struct sqcq_held held;

  ask_at_every_stage(&rig, "6.18", true);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_int_equal(held.inflight, 10);
  assert_int_equal(held.unread, 0);
  assert_int_equal(held.buffers, 11);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(&rig);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(held.inflight, 0);
  assert_int_equal(held.unread, 11);
  assert_int_equal(held.buffers, 11);
  assert_int_equal(held.wrapped, 0);
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  expect_stopped(&rig, -ECANCELED);
  rig_close(&rig);
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stop_with_drain_reads_everything_on_each_kernel),
      cmocka_unit_test(stop_with_cancel_ends_everything_on_each_kernel),
      cmocka_unit_test(stop_with_a_limit_cancels_when_it_is_over),
      cmocka_unit_test(stop_with_a_limit_of_zero_cancels_at_once),
      cmocka_unit_test(stop_after_stop_only_becomes_stricter),
      cmocka_unit_test(stop_with_bad_arguments_is_refused),
      cmocka_unit_test(stop_refuses_everything_new),
      cmocka_unit_test(stop_takes_the_wake_poll_back),
      cmocka_unit_test(stop_closes_the_files_that_are_being_removed),
      cmocka_unit_test(remove_after_the_stop_leaves_the_file_to_destroy),
      cmocka_unit_test(stop_drains_what_came_in_before_it_had_the_lanes),
      cmocka_unit_test(stop_waits_for_the_answers_of_its_cancels),
      cmocka_unit_test(stop_before_the_first_turn_ends_with_it),
      cmocka_unit_test(destroy_during_and_after_a_stop_tells_what_is_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
