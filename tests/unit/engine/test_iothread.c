/* sqcq-test: simulated */
/*
 * A ring that fails while its thread lives, and one whose thread has ended.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/kernel.h"
#include "unit/engine/turn_rig.h"

#include <pthread.h>

/* What is left: each once, none with the kernel's own answer. */
static void expect_all_answered(struct rig *rig, uint32_t count)
{
  struct sqcq_completion completion;
  uint64_t seen = 0;

  for (uint32_t i = 0; i < count; i++) {
    assert_true(rig_take_from(rig, rig->channel, &completion));
    assert_int_equal(seen >> completion.user_data & 1, 0);
    seen |= UINT64_C(1) << completion.user_data;
    assert_int_equal(completion.result, -ECANCELED);
    assert_true((completion.flags & SQCQ_COMPLETION_STOPPED) != 0);
  }
  rig_expect_none(rig);
}

static void end(struct rig *rig)
{
  assert_error(sqcq_engine_poll(rig->engine), -ESHUTDOWN);
  assert_int_equal(rig_stats(rig).completed, rig_stats(rig).accepted);
  assert_ok(sqcq_engine_destroy(rig->engine, NULL));
  assert_true(fds_same(&rig->fds));
  rig_clear(rig);
}

static void ring_that_fails_is_closed_and_all_is_answered(void **state)
{
  static const int32_t errors[] = {-EBADF, -ENXIO, -EPERM, -EEXIST};

  for (int i = 0; i < 4; i++) {
    struct rig rig;

    rig_start(&rig, i < 2 ? "6.18" : "5.10");
    for (uint64_t j = 0; j < 4; j++)
      rig_ask_silent(&rig, j);
    (void)rig_turns(&rig, 2);
    rig_ask(&rig, 4);
    sim_fail(SIM_CALL_ENTER, 0, 1000, errors[i]);
    assert_error(sqcq_engine_poll(rig.engine), errors[i]);
    rig_ask(&rig, 5); /* nobody knows yet */
    assert_error(sqcq_engine_poll(rig.engine), errors[i]);
    assert_error(rig_try(&rig, rig.channel, rig.file, 0, 6), -ESHUTDOWN);
    assert_true(rig_stopped(&rig));
    expect_all_answered(&rig, 6);
    end(&rig);
  }
}

/* A ring that has failed while three silent reads are in flight and a request, 3, is in a lane; the
 * kernel does not let go of it. */
static void start_held(struct rig *rig, const char *kernel)
{
  rig_start(rig, kernel);
  for (uint64_t i = 0; i < 3; i++)
    rig_ask_silent(rig, i);
  (void)rig_turns(rig, 2);
  rig_ask(rig, 3);
  sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
  sim_now()->holds_on = true;
  assert_error(sqcq_engine_poll(rig->engine), -EBADF);
}

/* Buffers may be written to until the kernel has let go of the ring. */
static void nothing_is_answered_until_the_kernel_lets_go(void **state)
{
  struct sqcq_held held;
  struct rig rig;

  start_held(&rig, "6.18");
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_false(rig_stopped(&rig));
  rig_expect_none(&rig);
  assert_error(rig_try(&rig, rig.channel, rig.file, 0, 9), -ESHUTDOWN);
  sim_let_go();
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(held.unread, 4);
  expect_all_answered(&rig, 4);
  end(&rig);
}

/* What the ring still has to say when it is closed is delivered, and is in flight no more. */
static void what_is_delivered_at_the_end_is_not_in_flight(void **state)
{
  struct rig rig;

  start_held(&rig, "5.15");
  assert_true(sim_complete(0, -EIO));
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  rig_expect(&rig, 0, -EIO, 0);
  assert_int_equal(rig_stats(&rig).inflight, 3); /* the one of which nobody knows included */
  sim_let_go();
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_int_equal(rig_stats(&rig).inflight, 0);
  expect_all_answered(&rig, 3);
  end(&rig);
}

/* Not from the last look at the ring, however long ago that was. */
static void what_is_answered_at_the_end_is_timed_from_there(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_histogram delivery;
  struct rig rig;

  config.flags |= SQCQ_ENGINE_HISTOGRAMS;
  rig_start_with(&rig, &kernel, &config);
  rig_ask_silent(&rig, 0);
  (void)rig_turns(&rig, 1);
  rig_ask(&rig, 1);
  sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
  sim_now()->holds_on = true;
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  sim_let_go();
  test_sleep_ns(5 * RIG_MS);
  int64_t before = test_now_ns();
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  expect_all_answered(&rig, 2);
  assert_ok(sqcq_engine_histogram(rig.engine, SQCQ_STAGE_DELIVERY, &delivery, sizeof(delivery)));
  assert_int_equal(delivery.count, 2);
  assert_true((int64_t)delivery.max_ns <= test_now_ns() - before);
  end(&rig);
}

/* Nothing to wait for, and no tombstone needed. */
static void all_is_answered_at_once_where_nothing_is_in_flight(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  kernel.error[SIM_CALL_REGISTER_FILES] = -ENOMEM;
  rig_start_with(&rig, &kernel, &config);
  sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
  assert_error(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), -EBADF);
  rig_ask(&rig, 1);
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_true(rig_stopped(&rig));
  expect_all_answered(&rig, 1);
  end(&rig);
}

static void *poll_once(void *arg)
{
  struct rig *rig = arg;

  return (void *)(intptr_t)sqcq_engine_poll(rig->engine);
}

static void poll_by_another(struct rig *rig, int expected)
{
  pthread_t thread;
  void *result;

  assert_int_equal(pthread_create(&thread, NULL, poll_once, rig), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_int_equal((int)(intptr_t)result, expected);
}

static void *destroy_once(void *arg)
{
  struct rig *rig = arg;

  return (void *)(intptr_t)sqcq_engine_destroy(rig->engine, NULL);
}

/* The I/O thread lives, and does not come back. */
static void ring_that_fails_is_ended_by_whoever_destroys(void **state)
{
  pthread_t thread;
  void *result;
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_ask_silent(&rig, 1);
  (void)rig_turns(&rig, 2);
  sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
  rig_ask(&rig, 2);
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_int_equal(pthread_create(&thread, NULL, destroy_once, &rig), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_error((int)(intptr_t)result, -EBUSY); /* completions to be read */
  assert_true(rig_stopped(&rig));
  expect_all_answered(&rig, 2);
  end(&rig);
}

static void thread_that_ends_leaves_its_work_to_the_next(void **state)
{
  struct rig rig;

  rig_start(&rig, "5.10");
  rig_ask(&rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  poll_by_another(&rig, 0);
  sim_now()->hold = 0;
  while (rig_stats(&rig).completed == 0)
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void cancel_with_a_report_is_answered_too(void **state)
{
  struct sqcq_completion completion;
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_ask_silent(&rig, 1);
  (void)rig_turns(&rig, 2);
  sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
  rig_ask(&rig, 2);
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_ALL,
                                   .flags = SQCQ_CANCEL_REPORT,
                                   .report = rig.channel,
                                   .report_user_data = 77};
  assert_ok(sqcq_cancel(rig.engine, &all));
  assert_error(sqcq_engine_poll(rig.engine), -EBADF);
  assert_true(rig_stopped(&rig));
  for (uint32_t reports = 0, i = 0; i < 3; i++) {
    assert_int_equal(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 1);
    if ((completion.flags & SQCQ_COMPLETION_REPORT) != 0) {
      assert_int_equal(completion.user_data, 77);
      assert_int_equal(completion.result, 2);
      assert_int_equal(reports++, 0);
    } else {
      assert_count(sqcq_buffer_release(rig.engine, &completion.buffer, 1), 1);
    }
  }
  end(&rig);
}

/* What it commits after the end would never be answered. */
static void end_waits_for_who_is_inside_a_lane(void **state)
{
  for (uint32_t own = 0; own < 2; own++) {
    struct sqcq_engine_config config = rig_config();
    struct sim_config kernel = sim_kernel("6.18");
    struct sqcq__own_lane *own_lane = NULL;
    struct sqcq__lane *lane = NULL;
    uint32_t tried = 0;
    sqcq_lane handle;
    struct rig rig;

    config.lanes_own = 1;
    config.lanes_shared = 2;
    rig_start_with(&rig, &kernel, &config);
    assert_ok(sqcq_lane_open(rig.engine, &handle));
    (void)rig_turns(&rig, 1);
    if (own == 1)
      assert_ok(sqcq__own_enter(&rig.engine->own, handle.id, &own_lane));
    else
      assert_non_null(lane = sqcq__lanes_claim(&rig.engine->lanes, &tried));
    rig_ask(&rig, 1); /* by another lane */
    sim_fail(SIM_CALL_ENTER, 0, 1000, -EBADF);
    assert_error(sqcq_engine_poll(rig.engine), -EBADF);
    assert_error(sqcq_engine_poll(rig.engine), -EBADF);
    assert_false(rig_stopped(&rig));
    if (own == 1)
      sqcq__own_leave(own_lane);
    else
      sqcq__lane_unclaim(lane);
    assert_error(sqcq_engine_poll(rig.engine), -EBADF);
    assert_true(rig_stopped(&rig));
    expect_all_answered(&rig, 1);
    end(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ring_that_fails_is_closed_and_all_is_answered),
      cmocka_unit_test(nothing_is_answered_until_the_kernel_lets_go),
      cmocka_unit_test(what_is_delivered_at_the_end_is_not_in_flight),
      cmocka_unit_test(what_is_answered_at_the_end_is_timed_from_there),
      cmocka_unit_test(all_is_answered_at_once_where_nothing_is_in_flight),
      cmocka_unit_test(ring_that_fails_is_ended_by_whoever_destroys),
      cmocka_unit_test(thread_that_ends_leaves_its_work_to_the_next),
      cmocka_unit_test(cancel_with_a_report_is_answered_too),
      cmocka_unit_test(end_waits_for_who_is_inside_a_lane),
  };

  require_robust_mutexes();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
