/* sqcq-test: simulated */
/*
 * Engines made on old, new, refusing and forbidding kernels: where the ladder ends, what the
 * features say, and why there is no engine.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <liburing.h>

#include <sys/resource.h>

#define ON SQCQ_FEATURE_ON
#define OFF SQCQ_FEATURE_OFF
#define NO SQCQ_FEATURE_REFUSED

/* ------------------------------------------------------------------------- */
/* Features                                                                  */
/* ------------------------------------------------------------------------- */

static const struct {
  const char *version;
  uint32_t states[9]; /* of `by_kernel` */
} kernels[SIM_KERNELS] = {
    {"5.10", {NO, NO, NO, NO, NO, NO, NO, NO, NO}},
    {"5.10.262", {NO, NO, NO, NO, NO, ON, ON, ON, NO}},
    {"5.15", {NO, NO, NO, NO, NO, ON, ON, ON, NO}},
    {"5.19", {ON, ON, NO, NO, ON, ON, ON, ON, NO}},
    {"6.0", {ON, ON, ON, NO, ON, ON, ON, ON, NO}},
    {"6.1", {ON, ON, ON, ON, ON, ON, ON, ON, NO}},
    {"6.12", {ON, ON, ON, ON, ON, ON, ON, ON, NO}},
    {"6.18", {ON, ON, ON, ON, ON, ON, ON, ON, ON}},
};

/* The features that are a question of the kernel's age, and what an older one says. */
static const struct {
  enum sqcq__feature feature;
  int error;
} by_kernel[9] = {
    {SQCQ__FEATURE_SUBMIT_ALL, -EINVAL},     {SQCQ__FEATURE_COOP_TASKRUN, -EINVAL},
    {SQCQ__FEATURE_SINGLE_ISSUER, -EINVAL},  {SQCQ__FEATURE_DEFER_TASKRUN, -EINVAL},
    {SQCQ__FEATURE_RING_FD, -EINVAL},        {SQCQ__FEATURE_TIMED_ENTER, -EINVAL},
    {SQCQ__FEATURE_POLL_MULTISHOT, -EINVAL}, {SQCQ__FEATURE_IO_WORKERS, -EINVAL},
    {SQCQ__FEATURE_DONTCACHE, -EOPNOTSUPP},
};

static void features_on_each_kernel_say_what_is_used(void **state)
{
  for (uint32_t i = 0; i < SIM_KERNELS; i++) {
    struct sim_config kernel = sim_kernel(kernels[i].version);
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    assert_string_equal(sim_kernel_version(i), kernels[i].version); /* all of them */
    config.io_workers_bounded = 2;
    rig_start_with(&rig, &kernel, &config);
    rig_sleep(&rig);
    for (int j = 0; j < 9; j++)
      rig_assert_feature(&rig, by_kernel[j].feature, kernels[i].states[j],
                         kernels[i].states[j] == ON ? 0 : by_kernel[j].error);
    rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_FILES, ON, 0);
    rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_BUFFERS, OFF, 0);
    rig_assert_feature(&rig, SQCQ__FEATURE_HUGE_PAGES, OFF, 0);
    rig_assert_feature(&rig, SQCQ__FEATURE_SQPOLL, OFF, 0);
    rig_assert_feature(&rig, SQCQ__FEATURE_IOPOLL, OFF, 0);
    rig_end(&rig);
  }
}

static void features_before_the_first_turn_leave_the_ring_fd_open(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_assert_feature(&rig, SQCQ__FEATURE_RING_FD, OFF, 0);
  (void)rig_turns(&rig, 1);
  rig_assert_feature(&rig, SQCQ__FEATURE_RING_FD, ON, 0);
  rig_end(&rig);
}

static void create_with_no_defer_or_sqpoll_leaves_groups_off(void **state)
{
  static const struct {
    uint32_t flags;
    uint32_t states[4]; /* SUBMIT_ALL, COOP_TASKRUN, SINGLE_ISSUER, DEFER_TASKRUN */
    enum sqcq__feature on;
  } cases[] = {
      {SQCQ_ENGINE_NO_DEFER, {ON, ON, OFF, OFF}, SQCQ__FEATURE_SUBMIT_ALL},
      {SQCQ_ENGINE_SQPOLL, {ON, OFF, ON, OFF}, SQCQ__FEATURE_SQPOLL},
      {SQCQ_ENGINE_NO_FIXED_FILES, {ON, ON, ON, ON}, SQCQ__FEATURE_SUBMIT_ALL},
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sim_config kernel = sim_kernel("6.18");
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    config.flags = cases[i].flags;
    rig_start_with(&rig, &kernel, &config);
    for (int j = 0; j < 4; j++)
      rig_assert_feature(&rig, (enum sqcq__feature)(SQCQ__FEATURE_SUBMIT_ALL + j),
                         cases[i].states[j], 0);
    rig_assert_feature(&rig, cases[i].on, ON, 0);
    rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_FILES,
                       (cases[i].flags & SQCQ_ENGINE_NO_FIXED_FILES) != 0 ? OFF : ON, 0);
    assert_int_equal((sim_setup_flags() & IORING_SETUP_SQPOLL) != 0,
                     (cases[i].flags & SQCQ_ENGINE_SQPOLL) != 0);
    rig_ask(&rig, 1);
    (void)rig_turns(&rig, 2);
    rig_expect(&rig, 1, RIG_LENGTH, 0);
    rig_end(&rig);
  }
}

static void create_where_one_group_is_refused_keeps_the_older_ones(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  kernel.setup_refused = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN;
  rig_start_with(&rig, &kernel, &config);
  rig_assert_feature(&rig, SQCQ__FEATURE_DEFER_TASKRUN, NO, -EINVAL);
  rig_assert_feature(&rig, SQCQ__FEATURE_SINGLE_ISSUER, NO, -EINVAL);
  rig_assert_feature(&rig, SQCQ__FEATURE_COOP_TASKRUN, NO, -EINVAL);
  rig_assert_feature(&rig, SQCQ__FEATURE_SUBMIT_ALL, ON, 0);
  rig_ask(&rig, 3);
  (void)rig_turns(&rig, 2);
  rig_expect(&rig, 3, RIG_LENGTH, 0);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* Errors of create                                                          */
/* ------------------------------------------------------------------------- */

static void create_that_the_kernel_refuses_says_why(void **state)
{
  static const struct {
    uint32_t flags;
    int32_t kernel, error;
    uint32_t reason;
    const char *says;
  } cases[] = {
      {0, -ENOSYS, -ENOSYS, SQCQ_REASON_NO_IO_URING, "io_uring_setup"},
      {0, -EACCES, -EACCES, SQCQ_REASON_SECCOMP, "security module"},
      {SQCQ_ENGINE_SQPOLL, -EPERM, -EPERM, SQCQ_REASON_MODE, "SQPOLL"},
      {0, -EMFILE, -EMFILE, SQCQ_REASON_DESCRIPTORS, "descriptor"},
      {0, -ENFILE, -ENFILE, SQCQ_REASON_DESCRIPTORS, "descriptor"},
      {0, -EINVAL, -EINVAL, SQCQ_REASON_OTHER, "Invalid argument"},
      {SQCQ_ENGINE_IOPOLL, -EINVAL, -EOPNOTSUPP, SQCQ_REASON_MODE, "IOPOLL"},
      {SQCQ_ENGINE_SQPOLL, -EINVAL, -EOPNOTSUPP, SQCQ_REASON_MODE, "SQPOLL"},
      {0, -EFAULT, -EFAULT, SQCQ_REASON_OTHER, "Bad address"},
  };
  struct fds fds;

  fds_look(&fds);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sim_config kernel = sim_kernel("6.18");
    struct sqcq_engine_config config = rig_config();
    struct sqcq_engine *engine = NULL;
    struct sqcq_explanation why;

    config.flags = cases[i].flags;
    kernel.error[SIM_CALL_CREATE] = cases[i].kernel;
    sim_configure(&kernel);
    assert_error(sqcq_engine_create(&engine, &config, &why), cases[i].error);
    assert_null(engine);
    assert_int_equal(why.error, cases[i].error);
    assert_int_equal(why.reason, cases[i].reason);
    if (strstr(why.text, cases[i].says) == NULL)
      fail_msg("\"%s\" does not say \"%s\"", why.text, cases[i].says);
    assert_error(sqcq_engine_create(&engine, &config, NULL), cases[i].error);
    assert_int_equal(sim_rings(), 0);
  }
  assert_true(fds_same(&fds));
}

static void create_without_permission_names_the_sysctl_or_a_filter(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine *engine;
  struct sqcq_explanation why;

  kernel.error[SIM_CALL_CREATE] = -EPERM;
  sim_configure(&kernel);
  assert_error(sqcq_engine_create(&engine, NULL, &why), -EPERM);
  assert_true(why.reason == SQCQ_REASON_SYSCTL || why.reason == SQCQ_REASON_SECCOMP);
  assert_non_null(strstr(why.text, why.reason == SQCQ_REASON_SYSCTL ? "sysctl" : "seccomp"));
}

static void create_without_memory_names_the_limit_where_it_is_small(void **state)
{
  struct sim_config kernel = sim_kernel("5.10");
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine;
  struct sqcq_explanation why;
  struct rlimit before, small;

  assert_ok(getrlimit(RLIMIT_MEMLOCK, &before));
  small = before;
  small.rlim_cur = 4096;
  assert_ok(setrlimit(RLIMIT_MEMLOCK, &small));
  kernel.error[SIM_CALL_CREATE] = -ENOMEM;
  sim_configure(&kernel);
  assert_error(sqcq_engine_create(&engine, &config, &why), -ENOMEM);
  assert_int_equal(why.reason, SQCQ_REASON_MEMLOCK);
  assert_int_equal(why.limit, 4096);
  assert_true(why.needed > 4096);
  assert_non_null(strstr(why.text, "RLIMIT_MEMLOCK"));
  assert_ok(setrlimit(RLIMIT_MEMLOCK, &before));
}

static void create_of_sqpoll_on_a_genuine_5_10_says_it_cannot(void **state)
{
  struct sim_config kernel = sim_kernel("5.10");
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine;
  struct sqcq_explanation why;
  struct fds fds;

  fds_look(&fds);
  config.flags = SQCQ_ENGINE_SQPOLL;
  sim_configure(&kernel);
  assert_error(sqcq_engine_create(&engine, &config, &why), -EOPNOTSUPP);
  assert_int_equal(why.reason, SQCQ_REASON_MODE);
  assert_int_equal(sim_rings(), 0);
  assert_true(fds_same(&fds));
}

/* ------------------------------------------------------------------------- */
/* The first turn                                                            */
/* ------------------------------------------------------------------------- */

static void first_turn_that_cannot_bind_says_so_and_may_be_made_again(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_ask(&rig, 1);
  sim_fail(SIM_CALL_BIND, 0, 3, -ENOMEM);
  assert_error(sqcq_engine_poll(rig.engine), -ENOMEM);
  assert_error(sqcq_engine_wait(rig.engine, 0), -ENOMEM);
  assert_error(sqcq_engine_run(rig.engine), -ENOMEM);
  rig_expect_none(&rig);
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void destroy_of_an_engine_that_cannot_bind_and_owes_nothing_works(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  kernel.error[SIM_CALL_BIND] = -EPERM;
  rig_start_with(&rig, &kernel, &config);
  assert_ok(sqcq_engine_destroy(rig.engine, NULL));
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

/* There is no other thread that could be its I/O thread. */
static void destroy_of_an_engine_that_cannot_bind_makes_the_last_turn(void **state)
{
  struct sqcq_held held;
  sqcq_buffer buffer;
  struct rig rig;

  rig_start(&rig, "6.18");
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1), 1);
  sim_fail(SIM_CALL_BIND, 0, 1, -ENOMEM);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN);
  assert_ok(sqcq_engine_run(rig.engine));
  assert_count(sqcq_buffer_release(rig.engine, &buffer, 1), 1);
  assert_ok(sqcq_engine_destroy(rig.engine, NULL));
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

/* Then it is not at its end, and the next call makes the turns. */
static void destroy_of_an_engine_that_cannot_bind_still_owes_a_report(void **state)
{
  struct sqcq_completion report;
  struct sqcq_held held;
  struct rig rig;

  rig_start(&rig, "6.18");
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_ALL,
                                   .flags = SQCQ_CANCEL_REPORT,
                                   .report = rig.channel,
                                   .report_user_data = 7};
  assert_ok(sqcq_cancel(rig.engine, &all));
  sim_fail(SIM_CALL_BIND, 0, 1, -ENOMEM);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(held.unread, 1);
  assert_count(sqcq_channel_poll(rig.engine, rig.channel, &report, 1), 1);
  assert_int_equal(report.flags, SQCQ_COMPLETION_REPORT);
  assert_int_equal(report.user_data, 7);
  assert_ok(sqcq_engine_destroy(rig.engine, NULL));
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

/* The kernel is short of memory for a moment, in the turns that destroy makes. */
static void destroy_whose_turn_fails_goes_on_with_the_next_call(void **state)
{
  struct sqcq_held held;
  struct rig rig;

  rig_start(&rig, "6.0");
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_CANCEL));
  sim_fail(SIM_CALL_ENTER, 0, 2, -ENOMEM); /* the file's close cannot be submitted */
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_ok(sqcq_engine_destroy(rig.engine, &held));
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

static void destroy_of_a_never_turned_engine_answers_and_tells_what_is_held(void **state)
{
  for (uint32_t i = 0; i < SIM_KERNELS; i++) {
    struct rig rig;
    struct sqcq_held held;

    rig_start(&rig, kernels[i].version);
    rig_ask(&rig, 1);
    rig_ask_silent(&rig, 2);
    assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DRAIN));
    assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
    assert_int_equal(held.running, 0);
    assert_int_equal(held.inflight, 0);
    assert_int_equal(held.unread, 2);
    assert_int_equal(held.buffers, 2);
    assert_int_equal(sim_counts()->submitted[SIM_READ], 0);
    uint64_t seen = 0;
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 2);
    assert_error(rig_try(&rig, rig.channel, rig.file, 0, 3), -ESHUTDOWN);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(features_on_each_kernel_say_what_is_used),
      cmocka_unit_test(features_before_the_first_turn_leave_the_ring_fd_open),
      cmocka_unit_test(create_with_no_defer_or_sqpoll_leaves_groups_off),
      cmocka_unit_test(create_where_one_group_is_refused_keeps_the_older_ones),
      cmocka_unit_test(create_that_the_kernel_refuses_says_why),
      cmocka_unit_test(create_without_permission_names_the_sysctl_or_a_filter),
      cmocka_unit_test(create_without_memory_names_the_limit_where_it_is_small),
      cmocka_unit_test(create_of_sqpoll_on_a_genuine_5_10_says_it_cannot),
      cmocka_unit_test(first_turn_that_cannot_bind_says_so_and_may_be_made_again),
      cmocka_unit_test(destroy_of_an_engine_that_cannot_bind_and_owes_nothing_works),
      cmocka_unit_test(destroy_of_an_engine_that_cannot_bind_makes_the_last_turn),
      cmocka_unit_test(destroy_of_an_engine_that_cannot_bind_still_owes_a_report),
      cmocka_unit_test(destroy_whose_turn_fails_goes_on_with_the_next_call),
      cmocka_unit_test(destroy_of_a_never_turned_engine_answers_and_tells_what_is_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
