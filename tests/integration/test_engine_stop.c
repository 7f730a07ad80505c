/*
 * Stop, from wherever it may be called: what was accepted is answered, a run ends, and what comes
 * later is refused.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <signal.h>
#include <sys/time.h>

/* Reads of a silent pipe: in the kernel, and waiting for a depth of 4. */
#define DEPTH 4u

struct silent {
  struct rig rig;
  int ends[2];
};

static void silent_make(struct silent *silent, uint32_t idle)
{
  struct sqcq_engine_config config = rig_config();
  sqcq_file file;

  config.depth = DEPTH;
  config.channels_max = 1;
  config.idle = idle;
  rig_make_with(&silent->rig, &config, RIG_CAPACITY);
  assert_int_equal(pipe2(silent->ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(silent->rig.engine, silent->ends[0], &file));
  for (uint64_t i = 0; i < RIG_CAPACITY; i++)
    rig_request_stream(&silent->rig, silent->rig.channel, file, i);
}

/* Every one is answered once, cancelled by the stop; the engine is at its end. */
static void silent_end(struct silent *silent)
{
  struct rig *rig = &silent->rig;
  struct sqcq_completion completions[RIG_CAPACITY];
  uint32_t seen = 0;
  uint32_t unsubmitted = 0;

  assert_count(sqcq_channel_wait(rig->engine, rig->channel, completions, RIG_CAPACITY, RIG_CAPACITY,
                                 SQCQ_FOREVER),
               RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    assert_true(completions[i].result == -ECANCELED || completions[i].result == -EINTR);
    assert_int_equal(completions[i].flags & ~(uint32_t)SQCQ_COMPLETION_UNSUBMITTED,
                     SQCQ_COMPLETION_STOPPED);
    unsubmitted += (completions[i].flags & SQCQ_COMPLETION_UNSUBMITTED) != 0;
    seen |= 1u << completions[i].user_data;
    rig_release(rig, completions[i].buffer);
  }
  assert_int_equal(seen, (1u << RIG_CAPACITY) - 1);
  assert_int_equal(rig_stats(rig).unsubmitted, unsubmitted);
  assert_int_equal(rig_stats(rig).submitted, RIG_CAPACITY - unsubmitted);
  assert_error(sqcq_channel_poll(rig->engine, rig->channel, completions, 1), -ESHUTDOWN);
  close(silent->ends[0]);
  close(silent->ends[1]);
  rig_destroy(rig);
}

/* ------------------------------------------------------------------------- */
/* From where                                                                */
/* ------------------------------------------------------------------------- */

static void stop_from_the_io_thread_itself(void **state)
{
  struct silent silent;

  silent_make(&silent, SQCQ_IDLE_SLEEP);
  rig_expect_nothing(&silent.rig, silent.rig.channel);
  assert_int_equal(rig_stats(&silent.rig).inflight, DEPTH);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(silent.rig.engine));
  assert_ok(sqcq_engine_run(silent.rig.engine)); /* it has ended: at once */
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, 0));
  silent_end(&silent);
}

static void stop_from_another_thread_whatever_the_idle_strategy(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    struct silent silent;
    struct io_thread io;

    silent_make(&silent, idle);
    io_thread_start(&io, silent.rig.engine);
    assert_soon(rig_stats(&silent.rig).inflight == DEPTH);
    if (idle != SQCQ_IDLE_BUSY)
      assert_soon(rig_stats(&silent.rig).sleeps > 0);
    assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    io_thread_join(&io);
    silent_end(&silent);
  }
}

/* At any moment of the I/O thread's life: before its first turn, while it falls asleep, while it sleeps. */
static void stop_at_any_moment_ends_the_run(void **state)
{
  struct sqcq_engine_config config = rig_config();

  for (uint32_t i = 0; i < (SANITIZED ? 50 : 300); i++) {
    struct sqcq_engine *engine = NULL;
    struct io_thread io;

    config.idle = i % 2 == 0 ? SQCQ_IDLE_SLEEP : SQCQ_IDLE_SPIN_SLEEP;
    assert_ok(sqcq_engine_create(&engine, &config, NULL));
    io_thread_start(&io, engine);
    for (uint32_t spin = 0; spin < i * i % 20000; spin++)
      atomic_signal_fence(memory_order_seq_cst);
    assert_ok(sqcq_engine_stop(engine, i % 3 == 0 ? SQCQ_STOP_CANCEL : SQCQ_STOP_DRAIN, -1));
    io_thread_join(&io);
    assert_ok(sqcq_engine_destroy(engine, NULL));
  }
}

#if defined(SQCQ__TSAN)
#define TSAN_PUTS_OFF 1
#else
#define TSAN_PUTS_OFF 0
#endif

static struct sqcq_engine *_Atomic to_stop;

static void stop_in_handler(int number)
{
  struct sqcq_engine *engine = atomic_load(&to_stop);
  int saved = errno;

  (void)number;
  if (engine != NULL && sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER) != 0)
    abort();
  if (errno != saved)
    abort();
}

/* The handler runs on the I/O thread, asleep or about to sleep. */
static void stop_from_a_signal_handler(void **state)
{
  struct sigaction action = {.sa_handler = stop_in_handler};
  struct sigaction before;

  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  for (int i = 0; i < (SANITIZED ? 20 : 100); i++) {
    /* One shot: from before the first turn to well asleep. ThreadSanitizer puts the handler off to
     * the next call it knows, which may never come: there another shot interrupts the sleep. */
    struct itimerval timer = {.it_value.tv_usec = 1 + i * i,
                              .it_interval.tv_usec = TSAN_PUTS_OFF ? 20000 : 0};
    struct itimerval none = {0};
    struct silent silent;

    silent_make(&silent, i % 2 == 0 ? SQCQ_IDLE_SLEEP : SQCQ_IDLE_SPIN_SLEEP);
    atomic_store(&to_stop, silent.rig.engine);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    assert_ok(sqcq_engine_run(silent.rig.engine));
    atomic_store(&to_stop, NULL);
    assert_int_equal(setitimer(ITIMER_REAL, &none, NULL), 0);
    silent_end(&silent);
  }
  assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

/* ------------------------------------------------------------------------- */
/* Drain, cancel, and limits                                                 */
/* ------------------------------------------------------------------------- */

static void stop_drain_reads_what_was_accepted(void **state)
{
  struct rig rig;
  struct sqcq_completion completions[RIG_CAPACITY];

  rig_make(&rig);
  for (uint64_t i = 0; i < RIG_CAPACITY; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    assert_ok(sqcq_request(rig.engine, &read));
  }
  struct sqcq_read late = rig_page(&rig, 0);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_refused(&rig, sqcq_request(rig.engine, &late), -ESHUTDOWN);
  assert_ok(sqcq_engine_run(rig.engine));
  assert_refused(&rig, sqcq_request(rig.engine, &late), -ESHUTDOWN);
  assert_int_equal(rig_stats(&rig).refused_stopping, 2);
  rig_release(&rig, late.buffer);
  assert_count(sqcq_channel_poll(rig.engine, rig.channel, completions, RIG_CAPACITY), RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    rig_check_page(&completions[i]);
    rig_release(&rig, completions[i].buffer);
  }
  rig_destroy(&rig);
}

static void stop_cancel_answers_what_never_reached_the_kernel(void **state)
{
  struct silent silent;

  silent_make(&silent, SQCQ_IDLE_SLEEP); /* not one turn */
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(silent.rig.engine));
  assert_int_equal(rig_stats(&silent.rig).submitted, 0);
  silent_end(&silent);
}

static void stop_drain_with_a_limit_becomes_cancel(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    struct silent silent;

    silent_make(&silent, idle);
    int64_t start = test_now_ns();
    assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, 30 * MS));
    assert_ok(sqcq_engine_run(silent.rig.engine));
    assert_true(test_now_ns() - start >= 30 * MS);
    silent_end(&silent);
  }
}

static void stop_drain_with_no_time_left_is_cancel(void **state)
{
  struct silent silent;

  silent_make(&silent, SQCQ_IDLE_SLEEP);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, 0));
  assert_ok(sqcq_engine_run(silent.rig.engine));
  silent_end(&silent);
}

static void stop_drain_without_a_limit_waits_until_cancel_is_asked_for(void **state)
{
  struct silent silent;
  struct io_thread io;

  silent_make(&silent, SQCQ_IDLE_SLEEP);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  for (int i = 0; i < 3; i++)
    assert_count(sqcq_engine_wait(silent.rig.engine, MS), 0);
  assert_int_equal(rig_stats(&silent.rig).inflight, DEPTH);
  assert_int_equal(rig_stats(&silent.rig).completed, 0);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(silent.rig.engine));
  silent_end(&silent);

  /* The same while an I/O thread sleeps in its drain. */
  silent_make(&silent, SQCQ_IDLE_SLEEP);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_start(&io, silent.rig.engine);
  assert_soon(rig_stats(&silent.rig).sleeps > 0);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  io_thread_join(&io);
  silent_end(&silent);
}

static void stop_with_a_shorter_limit_replaces_a_longer_one(void **state)
{
  struct silent silent;
  struct io_thread io;

  silent_make(&silent, SQCQ_IDLE_SLEEP);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, 3600000 * MS));
  io_thread_start(&io, silent.rig.engine);
  assert_soon(rig_stats(&silent.rig).sleeps > 0);
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, 10 * MS));
  /* A longer one does not. */
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, INT64_MAX));
  assert_ok(sqcq_engine_stop(silent.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  silent_end(&silent);
}

/* A drain that is written to ends by itself: every byte arrives. */
static void stop_drain_ends_when_the_last_read_is_answered(void **state)
{
  struct rig rig;
  struct io_thread io;
  struct sqcq_completion completion;
  sqcq_file file;
  int ends[2];

  rig_make(&rig);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  for (uint64_t i = 0; i < 8; i++)
    rig_request_stream(&rig, rig.channel, file, i);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_start(&io, rig.engine);
  for (int i = 0; i < 8; i++) {
    assert_soon(rig_stats(&rig).completed == (uint64_t)i);
    assert_int_equal(write(ends[1], "abcd", 4), 4);
    assert_count(sqcq_channel_wait(rig.engine, rig.channel, &completion, 1, 1, SQCQ_FOREVER), 1);
    assert_int_equal(completion.result, 4);
    assert_int_equal(completion.flags, 0);
    rig_release(&rig, completion.buffer);
  }
  io_thread_join(&io);
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, &completion, 1, 1, SQCQ_FOREVER),
               -ESHUTDOWN);
  close(ends[0]);
  close(ends[1]);
  rig_destroy(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stop_from_the_io_thread_itself),
      cmocka_unit_test(stop_from_another_thread_whatever_the_idle_strategy),
      cmocka_unit_test(stop_at_any_moment_ends_the_run),
      cmocka_unit_test(stop_from_a_signal_handler),
      cmocka_unit_test(stop_drain_reads_what_was_accepted),
      cmocka_unit_test(stop_cancel_answers_what_never_reached_the_kernel),
      cmocka_unit_test(stop_drain_with_a_limit_becomes_cancel),
      cmocka_unit_test(stop_drain_with_no_time_left_is_cancel),
      cmocka_unit_test(stop_drain_without_a_limit_waits_until_cancel_is_asked_for),
      cmocka_unit_test(stop_with_a_shorter_limit_replaces_a_longer_one),
      cmocka_unit_test(stop_drain_ends_when_the_last_read_is_answered),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine_stop", tests, NULL, NULL);
}
