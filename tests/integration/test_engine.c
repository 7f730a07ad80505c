/*
 * An engine is made, turned by its one thread, waits, tells about itself, and is taken down.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <signal.h>
#include <sys/time.h>

/* Long enough to be seen on the clock. */
#define SHORT (20 * MS)

/* ------------------------------------------------------------------------- */
/* Made and taken down                                                       */
/* ------------------------------------------------------------------------- */

static void create_with_defaults_and_destroy_leave_nothing(void **state)
{
  struct fds fds;

  fds_look(&fds);
  for (int i = 0; i < 50; i++) {
    struct sqcq_engine *engine = NULL;
    struct sqcq_explanation why;

    memset(&why, 0xee, sizeof(why));
    assert_ok(sqcq_engine_create(&engine, NULL, i % 2 == 0 ? &why : NULL));
    assert_non_null(engine);
    if (i % 3 == 0)
      assert_count(sqcq_engine_poll(engine), 0);
    if (i % 3 == 0) {
      assert_ok(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
      assert_ok(sqcq_engine_run(engine));
    }
    assert_ok(sqcq_engine_destroy(engine, NULL));
  }
  assert_true(fds_same(&fds));
}

/* Many engines in one process, each with its own handles. */
static void engines_side_by_side_do_not_mix(void **state)
{
  static struct rig rigs[8];

  for (int i = 0; i < 8; i++)
    rig_make(&rigs[i]);
  for (int i = 0; i < 8; i++) {
    struct sqcq_read read = rig_page(&rigs[i], 1);

    for (int j = 0; j < 8; j++)
      if (j != i)
        assert_error(sqcq_request(rigs[j].engine, &read), -EINVAL);
    rig_release(&rigs[i], read.buffer);
  }
  for (int i = 0; i < 8; i++)
    rig_prove(&rigs[i]);
  for (int i = 8; i-- > 0;)
    rig_end(&rigs[i]);
}

/* Destroy turns an engine that nobody ever turned, and says what it still holds. */
static void destroy_of_never_turned_engine_answers_what_was_accepted(void **state)
{
  struct rig rig;
  struct sqcq_completion completions[6];
  struct sqcq_held held;
  char memory[8];
  sqcq_buffer wrapped;

  rig_make(&rig);
  for (uint64_t i = 0; i < 5; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    assert_ok(sqcq_request(rig.engine, &read));
  }
  sqcq_buffer extra = rig_buffer(&rig);
  assert_ok(sqcq_buffer_wrap(rig.engine, memory, sizeof(memory), &wrapped));
  memset(&held, 0xee, sizeof(held));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(held.inflight, 0);
  assert_int_equal(held.unread, 5);
  assert_int_equal(held.buffers, 6);
  assert_int_equal(held.wrapped, 1);
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);

  assert_count(sqcq_channel_wait(rig.engine, rig.channel, completions, 6, 6, SQCQ_FOREVER), 5);
  for (uint64_t i = 0; i < 5; i++) {
    assert_int_equal(completions[i].result, -ECANCELED);
    assert_int_equal(completions[i].flags, SQCQ_COMPLETION_UNSUBMITTED | SQCQ_COMPLETION_STOPPED);
    assert_int_equal(completions[i].offset, completions[i].user_data * STAMP_PAGE);
  }
  assert_error(sqcq_channel_poll(rig.engine, rig.channel, completions, 6), -ESHUTDOWN);
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, completions, 6, 1, SQCQ_FOREVER),
               -ESHUTDOWN);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.unread, 0);
  assert_int_equal(held.buffers, 6);
  for (int i = 0; i < 5; i++)
    rig_release(&rig, completions[i].buffer);
  rig_release(&rig, extra);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.buffers, 0);
  assert_int_equal(held.wrapped, 1);
  assert_ok(sqcq_buffer_unwrap(rig.engine, wrapped));
  assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN);
  rig_destroy(&rig);
}

static void destroy_with_reads_in_the_kernel_is_refused(void **state)
{
  struct rig rig;
  struct sqcq_held held;
  sqcq_file file;
  int ends[2];

  rig_make(&rig);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  for (uint64_t i = 0; i < 3; i++)
    rig_request_stream(&rig, rig.channel, file, i);
  rig_expect_nothing(&rig, rig.channel);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_int_equal(held.inflight, 3);
  assert_int_equal(held.unread, 0);
  assert_int_equal(held.buffers, 3);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_ok(sqcq_engine_run(rig.engine));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(held.inflight, 0);
  assert_int_equal(held.unread, 3);
  assert_int_equal(rig_read_rest(&rig, rig.channel), 3);
  close(ends[0]);
  close(ends[1]);
  rig_destroy(&rig);
}

/* ------------------------------------------------------------------------- */
/* The one I/O thread                                                        */
/* ------------------------------------------------------------------------- */

struct stranger {
  struct sqcq_engine *engine;
  int poll, wait, run;
};

static void *turn_as_stranger(void *argument)
{
  struct stranger *stranger = argument;

  stranger->poll = sqcq_engine_poll(stranger->engine);
  stranger->wait = sqcq_engine_wait(stranger->engine, SQCQ_FOREVER);
  stranger->run = sqcq_engine_run(stranger->engine);
  return NULL;
}

static void expect_stranger_told(struct sqcq_engine *engine, int error, int run)
{
  struct stranger stranger = {.engine = engine};
  pthread_t thread;

  assert_int_equal(pthread_create(&thread, NULL, turn_as_stranger, &stranger), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_error(stranger.poll, error);
  assert_error(stranger.wait, error);
  assert_count(stranger.run, run);
}

static void turn_by_another_thread_is_refused(void **state)
{
  struct rig rig;
  struct io_thread io;

  rig_make(&rig);
  assert_count(sqcq_engine_poll(rig.engine), 0);
  expect_stranger_told(rig.engine, -EPERM, -EPERM);
  rig_prove(&rig);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig.engine));
  expect_stranger_told(rig.engine, -ESHUTDOWN, 0); /* the stop is over for whoever asks */
  assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN);
  assert_error(sqcq_engine_wait(rig.engine, 0), -ESHUTDOWN);
  assert_ok(sqcq_engine_run(rig.engine));
  rig_destroy(&rig);

  rig_make(&rig);
  io_thread_start(&io, rig.engine);
  assert_soon(rig_stats(&rig).turns > 0);
  assert_error(sqcq_engine_poll(rig.engine), -EPERM);
  assert_error(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), -EPERM);
  assert_error(sqcq_engine_run(rig.engine), -EPERM);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  rig_destroy(&rig);
}

static void wait_without_work_ends_with_the_time(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    config.idle = idle;
    rig_make_with(&rig, &config, RIG_CAPACITY);
    assert_count(sqcq_engine_wait(rig.engine, 0), 0);
    for (int i = 0; i < 3; i++) {
      int64_t start = test_now_ns();

      assert_count(sqcq_engine_wait(rig.engine, SHORT), 0);
      assert_true(test_now_ns() - start >= SHORT);
    }
    assert_int_equal(rig_stats(&rig).sleeps > 0, idle != SQCQ_IDLE_BUSY);
    rig_prove(&rig);
    rig_end(&rig);
  }
}

static void on_signal(int number)
{
  (void)number;
}

static void tick(int64_t ns)
{
  struct timeval time = {.tv_sec = ns / 1000000000, .tv_usec = ns / 1000 % 1000000};
  struct itimerval timer = {.it_interval = time, .it_value = time};

  assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void handle_alarm(void (*handler)(int))
{
  struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART */

  assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
}

static void wait_is_ended_by_a_signal(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_SLEEP; idle++) {
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    config.idle = idle;
    rig_make_with(&rig, &config, RIG_CAPACITY);
    handle_alarm(on_signal);
    tick(5 * MS); /* again and again: one may come before the sleep */
    assert_error(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), -EINTR);
    assert_error(sqcq_engine_wait(rig.engine, 60000 * MS), -EINTR);
    tick(0);
    handle_alarm(SIG_DFL);
    rig_prove(&rig);
    rig_end(&rig);
  }
}

/* The very first sleep too, which has something to submit. One signal each: of some tries at least
 * one comes while it sleeps. */
static void first_wait_is_ended_by_a_signal(void **state)
{
  struct sqcq_engine_config config = rig_config();
  bool ended = false;

  config.idle = SQCQ_IDLE_SLEEP;
  handle_alarm(on_signal);
  for (int i = 0; i < 5 && !ended; i++) {
    struct itimerval once = {.it_value.tv_usec = 20000};
    struct rig rig;

    rig_make_with(&rig, &config, RIG_CAPACITY);
    assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
    int n = sqcq_engine_wait(rig.engine, 1000 * MS);
    ended = n == -EINTR;
    if (!ended)
      assert_error(n, 0);
    rig_prove(&rig);
    rig_end(&rig);
  }
  handle_alarm(SIG_DFL);
  assert_true(ended);
}

/* Signals do not end a run, nor do they lose or double a read. */
static void reads_go_on_under_a_rain_of_signals(void **state)
{
  struct rig rig;

  rig_make(&rig);
  handle_alarm(on_signal);
  tick(MS / 5);
  for (int i = 0; i < (SANITIZED ? 20 : 200); i++)
    rig_prove(&rig);
  tick(0);
  handle_alarm(SIG_DFL);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* What it tells                                                             */
/* ------------------------------------------------------------------------- */

static void stats_add_up(void **state)
{
  struct rig rig;
  struct sqcq_stats stats;
  struct sqcq_completion completion;
  const uint64_t rounds = 10;

  rig_make(&rig);
  for (uint64_t i = 0; i < rounds; i++)
    rig_prove(&rig);                                 /* 16 pages and one refusal */
  struct sqcq_read read = rig_page(&rig, RIG_PAGES); /* the end of the file */
  assert_ok(sqcq_request(rig.engine, &read));
  rig_take(&rig, &completion, 1);
  rig_release(&rig, completion.buffer);
  stats = rig_stats(&rig);
  assert_int_equal(stats.accepted, rounds * RIG_CAPACITY + 1);
  assert_int_equal(stats.submitted, stats.accepted);
  assert_int_equal(stats.completed, stats.accepted);
  assert_int_equal(stats.bytes, rounds * RIG_CAPACITY * STAMP_PAGE);
  assert_int_equal(stats.refused_full, rounds);
  assert_int_equal(stats.refused_again + stats.refused_closed + stats.refused_stopping +
                       stats.refused_file + stats.refused_buffer + stats.refused_invalid +
                       stats.refused_no_buffers,
                   0);
  assert_int_equal(stats.unsubmitted, 0);
  assert_int_equal(stats.failed, 0);
  assert_int_equal(stats.inflight, 0);
  assert_int_equal(stats.waiting, 0);
  assert_int_equal(stats.cq_overflow, 0);
  assert_int_equal(stats.consumer_sleeps, 0);
  assert_true(stats.turns > stats.turns_idle);
  assert_true(stats.enters > 0 && stats.enters <= stats.submitted + stats.sleeps + 2);
  rig_end(&rig);
}

static void check_features(struct sqcq_engine *engine, uint32_t flags)
{
  struct sqcq_feature features[32];
  int count = sqcq_engine_features(engine, features, 32, sizeof(features[0]));

  assert_in_range(count, 1, 32);
  for (int i = 0; i < count; i++) {
    const struct sqcq_feature *feature = &features[i];
    bool defers =
        strcmp(feature->name, "DEFER_TASKRUN") == 0 || strcmp(feature->name, "SINGLE_ISSUER") == 0;

    assert_true(feature->name[0] != '\0');
    assert_true(feature->state <= SQCQ_FEATURE_REFUSED);
    assert_int_equal(feature->instead[0] == '\0', feature->state == SQCQ_FEATURE_ON);
    assert_int_equal(feature->error < 0, feature->state == SQCQ_FEATURE_REFUSED);
    assert_true(feature->error <= 0);
    assert_int_equal(feature->needed, 0);
    assert_int_equal(feature->limit, 0);
    for (int j = 0; j < i; j++)
      assert_string_not_equal(feature->name, features[j].name);
    if (defers && (flags & SQCQ_ENGINE_NO_DEFER) != 0)
      assert_int_equal(feature->state, SQCQ_FEATURE_OFF);
    if (defers && (flags & SQCQ_ENGINE_NO_DEFER) == 0)
      assert_int_not_equal(feature->state, SQCQ_FEATURE_OFF);
    if (strcmp(feature->name, "FIXED_FILES") == 0 && (flags & SQCQ_ENGINE_NO_FIXED_FILES) != 0)
      assert_int_equal(feature->state, SQCQ_FEATURE_OFF);
    if (strcmp(feature->name, "SQPOLL") == 0 || strcmp(feature->name, "IOPOLL") == 0 ||
        strcmp(feature->name, "FIXED_BUFFERS") == 0 || strcmp(feature->name, "HUGE_PAGES") == 0)
      assert_int_equal(feature->state, SQCQ_FEATURE_OFF);
  }
}

static void features_say_what_is_on_off_and_refused(void **state)
{
  static const uint32_t flags[] = {0, SQCQ_ENGINE_NO_DEFER, SQCQ_ENGINE_NO_FIXED_FILES,
                                   SQCQ_ENGINE_NO_DEFER | SQCQ_ENGINE_NO_FIXED_FILES};

  for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    config.flags = flags[i];
    rig_make_with(&rig, &config, RIG_CAPACITY);
    check_features(rig.engine, flags[i]);
    rig_prove(&rig);
    check_features(rig.engine, flags[i]);
    rig_end(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(create_with_defaults_and_destroy_leave_nothing),
      cmocka_unit_test(engines_side_by_side_do_not_mix),
      cmocka_unit_test(destroy_of_never_turned_engine_answers_what_was_accepted),
      cmocka_unit_test(destroy_with_reads_in_the_kernel_is_refused),
      cmocka_unit_test(turn_by_another_thread_is_refused),
      cmocka_unit_test(wait_without_work_ends_with_the_time),
      cmocka_unit_test(wait_is_ended_by_a_signal),
      cmocka_unit_test(first_wait_is_ended_by_a_signal),
      cmocka_unit_test(reads_go_on_under_a_rain_of_signals),
      cmocka_unit_test(stats_add_up),
      cmocka_unit_test(features_say_what_is_on_off_and_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
