/* sqcq-test: simulated */
/*
 * Deadlines on the simulated ring. The clock is the test's own where it matters which of two
 * moments comes first; sleeps are real and are only checked for ending, and not too early.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <sys/syscall.h>
#include <time.h>

#define DEADLINE SQCQ_COMPLETION_DEADLINE
#define UNSUBMITTED SQCQ_COMPLETION_UNSUBMITTED

static int64_t own_clock_ns; /* 0: the real one */

/* The program's own in place of the C library's, for the library under test too. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
  if (own_clock_ns == 0)
    return (int)syscall(SYS_clock_gettime, clock, now);
  now->tv_sec = (time_t)(own_clock_ns / 1000000000);
  now->tv_nsec = (long)(own_clock_ns % 1000000000);
  return 0;
}

static void start_at(struct rig *rig, const char *version, uint32_t inflight_max, int64_t clock_ns)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();

  own_clock_ns = clock_ns;
  rig_start_with(rig, &kernel, &config);
  (void)rig_turns(rig, 1);
  assert_ok(sqcq_channel_destroy(rig->engine, rig->channel));
  (void)rig_turns(rig, 1);
  rig->channel = rig_channel(rig, 32, 1, inflight_max);
}

static void end(struct rig *rig)
{
  rig_end(rig);
  own_clock_ns = 0;
}

static void ask_by(struct rig *rig, sqcq_file file, uint64_t user_data, int64_t deadline_ns)
{
  struct sqcq_read read = {.file = file,
                           .channel = rig->channel,
                           .offset = file.id == rig->file.id ? 0 : SQCQ_OFFSET_CURRENT,
                           .user_data = user_data,
                           .length = RIG_LENGTH,
                           .deadline_ns = (uint64_t)deadline_ns};

  assert_count(sqcq_buffer_acquire(rig->engine, rig->pool, &read.buffer, 1), 1);
  assert_ok(sqcq_request(rig->engine, &read));
}

static uint32_t timers(const struct rig *rig)
{
  return rig->engine->io.timers.count;
}

static void deadline_that_has_passed_is_accepted_and_never_submitted(void **state)
{
  struct rig rig;

  start_at(&rig, "6.18", 8, 1000);
  ask_by(&rig, rig.file, 1, 1);
  ask_by(&rig, rig.file, 2, 1000); /* just now */
  ask_by(&rig, rig.file, 3, 1001);
  assert_int_equal(rig_turns(&rig, 1), 3);
  assert_int_equal(sim_counts()->submitted[SIM_READ], 1);
  rig_expect(&rig, 2, -ECANCELED, DEADLINE | UNSUBMITTED); /* no order is promised */
  rig_expect(&rig, 1, -ECANCELED, DEADLINE | UNSUBMITTED);
  rig_expect(&rig, 3, RIG_LENGTH, 0);
  assert_int_equal(timers(&rig), 0);
  assert_int_equal(rig_stats(&rig).unsubmitted, 2);
  end(&rig);
}

static void deadline_in_the_kernel_cancels_the_read(void **state)
{
  static const struct {
    const char *version;
    int32_t result;
  } kernels[] = {{"5.10", -EINTR}, {"5.15", -ECANCELED}, {"6.18", -ECANCELED}};

  for (int i = 0; i < 3; i++) {
    struct rig rig;

    start_at(&rig, kernels[i].version, 8, 1000);
    ask_by(&rig, rig.silent, 1, 2000);
    ask_by(&rig, rig.silent, 2, 0);
    (void)rig_turns(&rig, 3);
    own_clock_ns = 1999;
    (void)rig_turns(&rig, 3);
    rig_expect_none(&rig);
    assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 0);
    own_clock_ns = 2000;
    (void)rig_turns(&rig, 3);
    rig_expect(&rig, 1, kernels[i].result, DEADLINE);
    rig_expect_none(&rig);
    assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 1);
    assert_int_equal(timers(&rig), 0);
    end(&rig);
  }
}

static void deadline_of_a_read_that_was_faster_gives_its_bytes_and_no_flag(void **state)
{
  struct rig rig;

  start_at(&rig, "6.18", 8, 1000);
  sim_now()->cancel = SIM_CANCEL_LATE;
  sim_now()->hold = SIM_HOLD(SIM_READ);
  ask_by(&rig, rig.file, 1, 2000);
  (void)rig_turns(&rig, 1);
  own_clock_ns = 3000;
  (void)rig_turns(&rig, 3);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  end(&rig);
}

static void deadlines_of_waiting_reads_end_them_where_they_wait(void **state)
{
  struct rig rig;
  uint64_t seen = 0;

  start_at(&rig, "6.18", 1, 1000);
  ask_by(&rig, rig.silent, 0, 0);
  for (uint64_t i = 1; i < 30; i++) /* every third has none */
    ask_by(&rig, rig.file, i, i % 3 == 0 ? 0 : 2000 + (int64_t)(i * 7 % 30) * 100);
  (void)rig_turns(&rig, 2);
  assert_int_equal(timers(&rig), 20);
  for (int64_t now = 2000; now < 5100; now += 50) {
    struct sqcq_completion completion;

    own_clock_ns = now;
    (void)rig_turns(&rig, 1);
    while (rig_take_from(&rig, rig.channel, &completion)) {
      int64_t deadline = 2000 + (int64_t)(completion.user_data * 7 % 30) * 100;

      assert_int_equal(completion.flags, DEADLINE | UNSUBMITTED);
      assert_int_equal(completion.result, -ECANCELED);
      assert_true(deadline <= now && now - deadline < 50);
      seen |= UINT64_C(1) << completion.user_data;
    }
  }
  for (uint64_t i = 0; i < 30; i++)
    assert_int_equal(seen >> i & 1, i % 3 != 0);
  assert_int_equal(timers(&rig), 0);
  assert_int_equal(rig_stats(&rig).waiting, 9);
  assert_int_equal(rig_stats(&rig).submitted, 1);
  end(&rig);
}

static void deadline_of_a_read_that_ends_otherwise_is_forgotten(void **state)
{
  for (int how = 0; how < 4; how++) {
    struct rig rig;
    struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_ALL};

    start_at(&rig, "6.18", 1, 1000);
    ask_by(&rig, how == 0 ? rig.file : rig.silent, 1, 9000);
    ask_by(&rig, how == 0 ? rig.file : rig.silent, 2, 9000);
    if (how > 0) {
      (void)rig_turns(&rig, 1);
      assert_int_equal(timers(&rig), 2);
    }
    if (how == 1)
      assert_ok(sqcq_cancel(rig.engine, &cancel));
    else if (how == 2)
      assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_CANCEL));
    else if (how == 3)
      assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    (void)rig_turns(&rig, 4);
    assert_int_equal(timers(&rig), 0);
    uint64_t seen = 0;
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 2);
    own_clock_ns = 10000;
    (void)rig_turns(&rig, 2);
    end(&rig);
  }
}

static void deadline_and_removed_file_in_one_turn_give_one_completion(void **state)
{
  struct rig rig;

  start_at(&rig, "6.18", 8, 1000);
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 1);
  ask_by(&rig, rig.file, 1, 1500);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_CANCEL));
  own_clock_ns = 2000;
  (void)rig_turns(&rig, 2);
  rig_expect(&rig, 1, -ECANCELED, SQCQ_COMPLETION_FILE_REMOVED | UNSUBMITTED);
  assert_int_equal(timers(&rig), 0);
  end(&rig);
}

/* Accepted while the engine is just closing its lanes. */
static void deadline_that_has_passed_is_not_submitted_by_a_stopping_engine(void **state)
{
  struct rig rig;

  start_at(&rig, "6.18", 8, 1000);
  ask_by(&rig, rig.file, 1, 500);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  rig_run(&rig);
  assert_int_equal(sim_counts()->submitted[SIM_READ], 0);
  rig_expect(&rig, 1, -ECANCELED, DEADLINE | UNSUBMITTED);
  rig_close(&rig);
  rig_clear(&rig);
  own_clock_ns = 0;
}

static int64_t later(int64_t by_ns)
{
  return sqcq__now() + by_ns;
}

/* Nothing else would end the sleep. */
static void wait_ends_in_time_for_a_deadline_however_it_waits(void **state)
{
  static const char *const versions[] = {"5.10", "5.15", "6.18"};

  for (int i = 0; i < 9; i++) {
    struct sim_config kernel = sim_kernel(versions[i / 3]);
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    config.idle = (uint32_t)i % 3;
    config.spin_ns = i % 3 == 0 ? UINT32_MAX : 0; /* longer than the deadline */
    rig_start_with(&rig, &kernel, &config);
    int64_t deadline = later(3 * RIG_MS);
    ask_by(&rig, rig.silent, 1, deadline);
    ask_by(&rig, rig.silent, 2, deadline + 1000 * 3600 * RIG_MS);
    assert_int_equal(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
    assert_true(sqcq__now() >= deadline);
    struct sqcq_completion done;
    assert_true(rig_take_from(&rig, rig.channel, &done));
    assert_int_equal(done.user_data, 1);
    assert_true((done.flags & DEADLINE) != 0);
    /* On a machine that is busy its time may have come before its turn. */
    bool late = (done.flags & SQCQ_COMPLETION_UNSUBMITTED) != 0;
    assert_int_equal(done.result, i < 3 && !late ? -EINTR : -ECANCELED);
    rig_end(&rig);
  }
}

static void request_of_an_iopoll_engine_may_not_have_a_deadline(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_ALL};
  struct sqcq_read read = {.length = 1, .deadline_ns = 1};
  struct rig rig;

  rig_prepare(&rig);
  sim_configure(&kernel);
  config.flags |= SQCQ_ENGINE_IOPOLL;
  assert_ok(sqcq_engine_create(&rig.engine, &config, NULL));
  assert_error(sqcq_request(rig.engine, &read), -EOPNOTSUPP);
  read.deadline_ns = 0;
  assert_error(sqcq_request(rig.engine, &read), -EPIPE);
  assert_error(sqcq_cancel(rig.engine, &cancel), -EOPNOTSUPP);
  assert_ok(sqcq_engine_destroy(rig.engine, NULL));
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(deadline_that_has_passed_is_accepted_and_never_submitted),
      cmocka_unit_test(deadline_in_the_kernel_cancels_the_read),
      cmocka_unit_test(deadline_of_a_read_that_was_faster_gives_its_bytes_and_no_flag),
      cmocka_unit_test(deadlines_of_waiting_reads_end_them_where_they_wait),
      cmocka_unit_test(deadline_of_a_read_that_ends_otherwise_is_forgotten),
      cmocka_unit_test(deadline_and_removed_file_in_one_turn_give_one_completion),
      cmocka_unit_test(deadline_that_has_passed_is_not_submitted_by_a_stopping_engine),
      cmocka_unit_test(wait_ends_in_time_for_a_deadline_however_it_waits),
      cmocka_unit_test(request_of_an_iopoll_engine_may_not_have_a_deadline),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
