/* sqcq-test: simulated */
/*
 * Turns driven by an event loop, and consumers that sleep in one: what makes the descriptors
 * readable, and what must not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <liburing.h>

#include <poll.h>

static const char *const kernels[] = {"5.10", "5.10.262", "5.15", "5.19",
                                      "6.0",  "6.1",      "6.12", "6.18"};
#define KERNELS (sizeof(kernels) / sizeof(kernels[0]))

static struct sqcq_engine_config loop_config(void)
{
  struct sqcq_engine_config config = rig_config();

  config.flags = SQCQ_ENGINE_EVENT_LOOP;
  return config;
}

static void loop_start(struct rig *rig, const char *version)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = loop_config();

  rig_start_with(rig, &kernel, &config);
}

static bool readable(int fd)
{
  struct pollfd watch = {.fd = fd, .events = POLLIN};

  assert_true(fd >= 0);
  return poll(&watch, 1, 0) == 1;
}

/* What the library has written to it since it was read last. */
static uint64_t writes_to(int fd)
{
  char path[64], line[128];
  unsigned long long count = UINT64_MAX;

  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  while (fgets(line, sizeof(line), file) != NULL)
    (void)sscanf(line, "eventfd-count: %llx", &count);
  fclose(file);
  assert_true(count != UINT64_MAX);
  return count;
}

/* Turn until there is nothing to do; the engine is armed then. How many were delivered. */
static uint32_t turn_until_armed(struct rig *rig)
{
  uint32_t delivered = 0;

  for (int turns = 0;; turns++) {
    int work = sqcq_engine_arm(rig->engine);

    assert_true((work >= 0 || work == -ESHUTDOWN) && turns < RIG_TURNS);
    if (work <= 0)
      return delivered;
    delivered += rig_turns(rig, 1);
  }
}

/* ------------------------------------------------------------------------- */
/* The I/O thread                                                            */
/* ------------------------------------------------------------------------- */

static void engine_without_the_flag_has_no_descriptor(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  assert_error(sqcq_engine_fd(rig.engine), -EOPNOTSUPP);
  assert_error(sqcq_engine_arm(rig.engine), -EOPNOTSUPP);
  assert_int_equal(sqcq__phase(rig.engine), SQCQ__PHASE_CREATED); /* it was no first turn */
  assert_int_equal(sim_counts()->calls[SIM_CALL_REGISTER_EVENTFD], 0);
  rig_assert_feature(&rig, SQCQ__FEATURE_EVENTFD, SQCQ_FEATURE_OFF, 0);
  assert_error(sqcq_engine_fd(NULL), -EINVAL);
  assert_error(sqcq_engine_arm(NULL), -EINVAL);
  rig_end(&rig);
}

static void create_where_the_eventfd_is_refused_says_why(void **state)
{
  static const struct {
    int given, told;
    uint32_t reason;
  } cases[] = {{-EINVAL, -EOPNOTSUPP, SQCQ_REASON_MODE},
               {-EBUSY, -EOPNOTSUPP, SQCQ_REASON_MODE},
               {-ENOMEM, -ENOMEM, SQCQ_REASON_MEMORY}};

  for (size_t i = 0; i < 3; i++) {
    struct sim_config kernel = sim_kernel("6.18");
    struct sqcq_engine_config config = loop_config();
    struct sqcq_explanation why;
    struct rig rig;

    kernel.error[SIM_CALL_REGISTER_EVENTFD] = cases[i].given;
    rig_prepare(&rig);
    sim_configure(&kernel);
    assert_error(sqcq_engine_create(&rig.engine, &config, &why), cases[i].told);
    assert_null(rig.engine);
    assert_int_equal(why.error, cases[i].told);
    assert_int_equal(why.reason, cases[i].reason);
    assert_true(why.text[0] != '\0');
    assert_true(fds_same(&rig.fds));
    rig_clear(&rig);
  }
}

static void arm_before_the_first_turn_wakes_for_a_request(void **state)
{
  for (size_t i = 0; i < KERNELS; i++) {
    struct rig rig;

    loop_start(&rig, kernels[i]);
    int fd = sqcq_engine_fd(rig.engine);
    assert_false(readable(fd));
    assert_count(sqcq_engine_arm(rig.engine), 0);
    assert_int_equal(sqcq__phase(rig.engine), SQCQ__PHASE_RUNNING);
    assert_false(readable(fd));
    rig_ask(&rig, 1);
    assert_true(readable(fd));
    assert_int_equal(writes_to(fd), 1);
    assert_int_equal(turn_until_armed(&rig), 1);
    rig_expect(&rig, 1, RIG_LENGTH, 0);
    assert_false(readable(fd));
    rig_assert_feature(&rig, SQCQ__FEATURE_EVENTFD, SQCQ_FEATURE_ON, 0);
    rig_end(&rig);
  }
}

static void request_made_before_arm_is_work(void **state)
{
  struct rig rig;

  loop_start(&rig, "6.18");
  rig_ask(&rig, 1);
  assert_true(sqcq_engine_arm(rig.engine) > 0);
  assert_int_equal(writes_to(sqcq_engine_fd(rig.engine)), 0);
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DEFAULT));
  assert_true(sqcq_engine_arm(rig.engine) > 0);
  assert_int_equal(turn_until_armed(&rig), 1);
  rig_end(&rig);
}

static void each_call_that_asks_for_a_turn_makes_it_readable(void **state)
{
  struct rig rig;

  loop_start(&rig, "6.18");
  int fd = sqcq_engine_fd(rig.engine);
  sqcq_channel other = rig_channel(&rig, 1, 0, 0);

  assert_int_equal(turn_until_armed(&rig), 0);
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DEFAULT));
  assert_true(readable(fd));
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_false(readable(fd));
  assert_ok(sqcq_channel_destroy(rig.engine, other));
  assert_true(readable(fd));
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_false(readable(fd));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_true(readable(fd));
  rig_run(&rig);
  assert_error(sqcq_engine_arm(rig.engine), -ESHUTDOWN);
  rig_close(&rig);
  rig_clear(&rig);
}

static void completion_while_armed_makes_it_readable(void **state)
{
  for (size_t i = 0; i < KERNELS; i++) {
    struct rig rig;

    loop_start(&rig, kernels[i]);
    int fd = sqcq_engine_fd(rig.engine);
    rig_ask_silent(&rig, 1);
    assert_int_equal(turn_until_armed(&rig), 0);
    assert_int_equal(rig_reads_inside(), 1);
    assert_false(readable(fd));
    assert_int_equal(write(rig.pipe[1], "x", 1), 1);
    sim_pass();
    assert_true(readable(fd));
    assert_int_equal(turn_until_armed(&rig), 1);
    rig_expect(&rig, 1, 1, 0);
    assert_false(readable(fd));
    rig_end(&rig);
  }
}

static void nothing_is_written_while_not_armed(void **state)
{
  for (size_t i = 0; i < KERNELS; i++) {
    struct rig rig;

    loop_start(&rig, kernels[i]);
    int fd = sqcq_engine_fd(rig.engine);
    assert_int_equal(turn_until_armed(&rig), 0);
    (void)rig_turns(&rig, 1); /* which takes the announcement back */
    for (uint64_t round = 0; round < 8; round++) {
      rig_ask(&rig, round);
      rig_ask_silent(&rig, 60);
      assert_int_equal(write(rig.pipe[1], "x", 1), 1);
      for (int turns = 0; turns < 4; turns++) {
        sim_pass();
        (void)rig_turns(&rig, 1);
        assert_int_equal(writes_to(fd), 0);
      }
      struct sqcq_completion completion;
      while (rig_take_from(&rig, rig.channel, &completion))
        continue;
    }
    assert_int_equal(sim_counts()->events, 0);
    assert_int_equal(rig_stats(&rig).io_wakes, 0);
    assert_int_equal(sim_counts()->submitted[SIM_POLL], 0); /* no poll on the eventfd, either */
    rig_end(&rig);
  }
}

static void arm_twice_or_a_turn_takes_the_announcement_back(void **state)
{
  struct rig rig;

  loop_start(&rig, "6.18");
  int fd = sqcq_engine_fd(rig.engine);
  assert_int_equal(turn_until_armed(&rig), 0);
  uint64_t sleeps = rig_stats(&rig).sleeps;
  assert_count(sqcq_engine_arm(rig.engine), 0);
  assert_int_equal(rig_stats(&rig).sleeps, sleeps + 1);
  rig_ask(&rig, 1);
  rig_ask(&rig, 2); /* the sleep is noted as ended */
  assert_int_equal(writes_to(fd), 1);
  assert_true(sqcq_engine_arm(rig.engine) > 0);
  assert_int_equal(writes_to(fd), 0);
  rig_ask(&rig, 3); /* nobody is announced */
  assert_int_equal(writes_to(fd), 0);
  assert_int_equal(turn_until_armed(&rig), 3);
  rig_end(&rig);
}

static void late_write_costs_one_turn(void **state)
{
  struct rig rig;

  loop_start(&rig, "6.18");
  int fd = sqcq_engine_fd(rig.engine);
  assert_int_equal(turn_until_armed(&rig), 0);
  (void)rig_turns(&rig, 1);
  sqcq__sleeper_write(&rig.engine->sleeper); /* of one who saw it announced */
  assert_count(sqcq_engine_arm(rig.engine), 0);
  assert_true(readable(fd));
  (void)rig_turns(&rig, 1);
  assert_count(sqcq_engine_arm(rig.engine), 0);
  assert_false(readable(fd));
  rig_end(&rig);
}

static void wait_and_run_sleep_on_the_eventfd(void **state)
{
  for (size_t i = 0; i < KERNELS; i++) {
    struct rig rig;

    loop_start(&rig, kernels[i]);
    uint64_t waits = sim_counts()->waits;
    rig_sleep(&rig);
    assert_int_equal(sim_counts()->waits, waits); /* not in the ring */
    assert_int_equal(sim_counts()->submitted[SIM_POLL], 0);
    rig_ask(&rig, 1);
    assert_count(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
    rig_expect(&rig, 1, RIG_LENGTH, 0);
    assert_int_equal(writes_to(sqcq_engine_fd(rig.engine)), 0);
    rig_end(&rig);
  }
}

/* ------------------------------------------------------------------------- */
/* Times                                                                     */
/* ------------------------------------------------------------------------- */

static bool alarm_in_ring(uint64_t *at)
{
  struct sim_op ops[64];
  uint32_t count = sim_inflight(ops, 64);

  for (uint32_t i = 0; i < count; i++)
    if (ops[i].kind == SIM_TIMEOUT) {
      *at = ops[i].offset;
      return true;
    }
  return false;
}

static void stop_with_a_limit_ends_the_sleep(void **state)
{
  for (size_t i = 0; i < KERNELS; i++) {
    uint64_t at = 0;
    struct rig rig;

    loop_start(&rig, kernels[i]);
    int fd = sqcq_engine_fd(rig.engine);
    rig_ask_silent(&rig, 1);
    assert_int_equal(turn_until_armed(&rig), 0);
    assert_false(alarm_in_ring(&at));
    int64_t before = sqcq__now();
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 10 * RIG_MS));
    assert_true(readable(fd));
    uint32_t delivered = turn_until_armed(&rig);
    /* Unless the machine was so slow that the limit has passed. */
    assert_true(delivered == 0 || sqcq__now() >= before + 10 * RIG_MS);
    if (delivered == 0 && !rig_stopped(&rig) && alarm_in_ring(&at)) {
      assert_true((int64_t)at >= before);
      while (sqcq__now() < (int64_t)at)
        test_sleep_ns(RIG_MS);
      sim_pass();
      assert_true(readable(fd));
    }
    rig_run(&rig);
    rig_expect(&rig, 1, sim_kernel(kernels[i]).cancel_interrupts ? -EINTR : -ECANCELED,
               SQCQ_COMPLETION_STOPPED);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

static void earlier_time_replaces_the_alarm_and_a_later_one_does_not(void **state)
{
  uint64_t at = 0;
  struct rig rig;

  loop_start(&rig, "6.18");
  rig_ask_silent(&rig, 1);
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 3600 * 1000 * RIG_MS));
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_true(alarm_in_ring(&at));
  uint64_t submitted = sim_counts()->submitted[SIM_TIMEOUT];
  assert_count(sqcq_engine_arm(rig.engine), 0);
  assert_int_equal(sim_counts()->submitted[SIM_TIMEOUT], submitted); /* it is there */
  uint64_t first = at;
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 1800 * 1000 * RIG_MS));
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_true(alarm_in_ring(&at));
  assert_true(at < first);
  assert_int_equal(sim_counts()->submitted[SIM_TIMEOUT], submitted + 1);
  rig_end(&rig); /* the last turn takes it back: close finds nothing in flight */
}

static void alarm_without_an_sqe_is_work(void **state)
{
  uint64_t at = 0;
  struct rig rig;

  loop_start(&rig, "6.18");
  rig_ask_silent(&rig, 1);
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 3600 * 1000 * RIG_MS));
  (void)rig_turns(&rig, 1);
  sim_fail(SIM_CALL_ENTER, 0, 1, -EAGAIN);
  assert_true(sqcq_engine_arm(rig.engine) > 0); /* it is not in the kernel yet */
  assert_int_equal(turn_until_armed(&rig), 0);
  assert_true(alarm_in_ring(&at));
  rig_end(&rig);
}

static void alarm_that_the_kernel_fails_for_good_is_told(void **state)
{
  struct rig rig;

  loop_start(&rig, "6.18");
  rig_ask_silent(&rig, 1);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, 3600 * 1000 * RIG_MS));
  (void)rig_turns(&rig, 2);
  sim_fail(SIM_CALL_ENTER, 0, 1, -EFAULT);
  assert_error(sqcq_engine_arm(rig.engine), -EFAULT);
  assert_false(rig.engine->io.armed);
  assert_int_equal(turn_until_armed(&rig), 0); /* what was not submitted goes with the next turn */
  rig_end(&rig);
}

static void polled_ring_is_work_while_reads_are_in_flight(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = loop_config();
  struct rig rig;

  config.flags |= SQCQ_ENGINE_IOPOLL;
  rig_prepare(&rig);
  sim_configure(&kernel);
  assert_ok(sqcq_engine_create(&rig.engine, &config, NULL));
  assert_count(sqcq_engine_arm(rig.engine), 0);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_true(readable(sqcq_engine_fd(rig.engine)));
  rig.engine->io.requests.flying_count++; /* as if one were */
  assert_true(sqcq_engine_arm(rig.engine) > 0);
  (void)sqcq__control_take(&rig.engine->control);
  assert_true(sqcq_engine_arm(rig.engine) > 0);
  rig.engine->io.requests.flying_count--;
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig.engine));
  assert_ok(sqcq_engine_destroy(rig.engine, NULL));
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engine_without_the_flag_has_no_descriptor),
      cmocka_unit_test(create_where_the_eventfd_is_refused_says_why),
      cmocka_unit_test(arm_before_the_first_turn_wakes_for_a_request),
      cmocka_unit_test(request_made_before_arm_is_work),
      cmocka_unit_test(each_call_that_asks_for_a_turn_makes_it_readable),
      cmocka_unit_test(completion_while_armed_makes_it_readable),
      cmocka_unit_test(nothing_is_written_while_not_armed),
      cmocka_unit_test(arm_twice_or_a_turn_takes_the_announcement_back),
      cmocka_unit_test(late_write_costs_one_turn),
      cmocka_unit_test(wait_and_run_sleep_on_the_eventfd),
      cmocka_unit_test(stop_with_a_limit_ends_the_sleep),
      cmocka_unit_test(earlier_time_replaces_the_alarm_and_a_later_one_does_not),
      cmocka_unit_test(alarm_without_an_sqe_is_work),
      cmocka_unit_test(alarm_that_the_kernel_fails_for_good_is_told),
      cmocka_unit_test(polled_ring_is_work_while_reads_are_in_flight),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
