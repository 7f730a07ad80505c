/*
 * Sleeping and waking: tickets, event counts, timeouts, signals. Where two threads must race for a fault to
 * show, stress_sleeper.c and stress_channel.c do so.
 */
#include "dispatch/wake.h"

#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static struct sqcq__sleeper sleeper;
static struct sqcq__waiter waiter;

static int make(void **state)
{
  (void)state;
  sleeper = (struct sqcq__sleeper){.eventfd = -1};
  waiter = (struct sqcq__waiter){0};
  return sqcq__sleeper_init(&sleeper);
}

static int unmake(void **state)
{
  (void)state;
  sqcq__sleeper_fini(&sleeper);
  return 0;
}

/* How often the eventfd has been written to since the last look. */
static uint64_t writes(void)
{
  uint64_t count = 0;
  ssize_t got = read(sleeper.eventfd, &count, sizeof(count));

  assert_true(got == sizeof(count) || (got < 0 && errno == EAGAIN));
  return count;
}

/* The state letter of another thread of ours: 'S' where it sleeps in a system call. */
static char thread_state(pid_t thread)
{
  char path[64], text[512];
  FILE *file;

  (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
  file = fopen(path, "re");
  if (file == NULL)
    return '?';
  size_t length = fread(text, 1, sizeof(text) - 1, file);
  (void)fclose(file);
  text[length] = '\0';
  const char *state = strrchr(text, ')');
  return state == NULL || strlen(state) < 3 ? '?' : state[2];
}

/* ------------------------------------------------------------------------- */
/* The I/O thread's sleep                                                    */
/* ------------------------------------------------------------------------- */

static void sleeper_init_makes_a_quiet_eventfd(void **state)
{
  assert_true(sleeper.eventfd >= 0);
  assert_true((fcntl(sleeper.eventfd, F_GETFD) & FD_CLOEXEC) != 0);
  assert_true((fcntl(sleeper.eventfd, F_GETFL) & O_NONBLOCK) != 0);
  assert_int_equal(writes(), 0);
}

static void sleeper_fini_closes_once(void **state)
{
  int fd = sleeper.eventfd;

  sqcq__sleeper_fini(&sleeper);
  assert_int_equal(sleeper.eventfd, -1);
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  sqcq__sleeper_fini(&sleeper);
}

static void sleeper_wake_of_one_awake_writes_nothing(void **state)
{
  sqcq__sleeper_wake(&sleeper);
  assert_int_equal(writes(), 0);
  sqcq__sleeper_announce(&sleeper);
  sqcq__sleeper_clear(&sleeper);
  sqcq__sleeper_wake(&sleeper);
  assert_int_equal(writes(), 0);
  assert_int_equal(sqcq__load_relaxed(&sleeper.wakes), 0);
}

static void sleeper_wake_writes_once_a_sleep(void **state)
{
  sqcq__sleeper_announce(&sleeper);
  for (int i = 0; i < 5; i++)
    sqcq__sleeper_wake(&sleeper);
  assert_int_equal(writes(), 1);
  assert_int_equal(sqcq__load_relaxed(&sleeper.wakes), 1);
}

static void sleeper_wake_writes_again_for_the_next_sleep(void **state)
{
  for (uint64_t sleep = 1; sleep <= 5; sleep++) {
    sqcq__sleeper_announce(&sleeper);
    assert_int_equal(sqcq__load_relaxed(&sleeper.asleep), sleep);
    sqcq__sleeper_wake(&sleeper);
    sqcq__sleeper_wake(&sleeper);
    assert_int_equal(writes(), 1);
    sqcq__sleeper_clear(&sleeper);
    sqcq__sleeper_wake(&sleeper);
    assert_int_equal(writes(), 0);
  }
  assert_int_equal(sqcq__load_relaxed(&sleeper.wakes), 5);
}

static void sleeper_wake_leaves_the_announcement_to_the_sleeper(void **state)
{
  sqcq__sleeper_announce(&sleeper);
  sqcq__sleeper_wake(&sleeper);
  assert_int_equal(sqcq__load_relaxed(&sleeper.asleep), 1);
}

static void sleeper_wake_that_notes_an_older_sleep_costs_one_write(void **state)
{
  sqcq__sleeper_announce(&sleeper);
  sqcq__sleeper_clear(&sleeper);
  sqcq__sleeper_announce(&sleeper);
  sqcq__sleeper_wake(&sleeper);
  /* A waker of the sleep before comes late with its note. */
  sqcq__store_release(&sleeper.woken, 1);
  sqcq__sleeper_wake(&sleeper);
  sqcq__sleeper_wake(&sleeper);
  assert_int_equal(writes(), 2);
}

static void sleeper_reset_makes_the_eventfd_unreadable(void **state)
{
  sqcq__sleeper_reset(&sleeper); /* nothing there: does not block */
  sqcq__sleeper_write(&sleeper);
  sqcq__sleeper_write(&sleeper);
  sqcq__sleeper_reset(&sleeper);
  assert_int_equal(writes(), 0);
}

static void sleeper_poll_of_a_written_one_returns_at_once(void **state)
{
  sqcq__sleeper_write(&sleeper);
  assert_ok(sqcq__sleeper_poll(&sleeper, -1));
  assert_ok(sqcq__sleeper_poll(&sleeper, 0)); /* still readable */
  sqcq__sleeper_reset(&sleeper);
  assert_error(sqcq__sleeper_poll(&sleeper, 0), -ETIME);
}

static void sleeper_poll_times_out_after_its_time(void **state)
{
  int64_t start = test_now_ns();

  assert_error(sqcq__sleeper_poll(&sleeper, 20 * MS), -ETIME);
  assert_true(test_now_ns() - start >= 20 * MS);
}

/* Wakes that a second thread is stopped in the middle of. */
struct parked {
  pthread_t thread;
  _Atomic pid_t id;
};

static void *wake_in_thread(void *argument)
{
  struct parked *parked = argument;

  atomic_store(&parked->id, (pid_t)syscall(SYS_gettid));
  sqcq__sleeper_wake(&sleeper);
  return NULL;
}

/* A waker stopped before its write has not woken anybody, so it must not have noted the sleep: all others
 * would leave the I/O thread asleep. The eventfd is made to block writers. */
static void sleeper_wake_is_noted_after_its_write_never_before(void **state)
{
  struct parked parked = {0};
  uint64_t full = UINT64_MAX - 1;

  assert_int_equal(fcntl(sleeper.eventfd, F_SETFL, 0), 0);
  assert_int_equal(write(sleeper.eventfd, &full, sizeof(full)), sizeof(full));
  sqcq__sleeper_announce(&sleeper);
  assert_int_equal(pthread_create(&parked.thread, NULL, wake_in_thread, &parked), 0);
  assert_soon(atomic_load(&parked.id) != 0 && thread_state(atomic_load(&parked.id)) == 'S');
  /* It may sleep on its way there, too: what is asserted holds at any time before the write. */
  for (int i = 0; i < 20; i++) {
    assert_int_equal(sqcq__load_acquire(&sleeper.woken), 0);
    test_sleep_ns(MS);
  }
  assert_int_equal(writes(), UINT64_MAX - 1); /* lets it go on */
  assert_int_equal(pthread_join(parked.thread, NULL), 0);
  assert_int_equal(sqcq__load_acquire(&sleeper.woken), 1);
  assert_int_equal(writes(), 1);
}

/* ------------------------------------------------------------------------- */
/* Signals                                                                   */
/* ------------------------------------------------------------------------- */

static void on_signal(int number)
{
  (void)number;
  sqcq__sleeper_wake(&sleeper);
}

static void handle_signals(void)
{
  struct sigaction action = {.sa_handler = on_signal};

  assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static void sleeper_wake_from_a_signal_handler_keeps_errno(void **state)
{
  handle_signals();
  sqcq__sleeper_announce(&sleeper);
  errno = EXDEV;
  assert_int_equal(raise(SIGUSR1), 0);
  assert_int_equal(errno, EXDEV);
  assert_int_equal(writes(), 1);
}

static void sleeper_write_that_fails_keeps_errno(void **state)
{
  uint64_t full = UINT64_MAX - 1;

  /* Full: EAGAIN, and readable as it was. */
  assert_int_equal(write(sleeper.eventfd, &full, sizeof(full)), sizeof(full));
  errno = EXDEV;
  sqcq__sleeper_write(&sleeper);
  assert_int_equal(errno, EXDEV);
  assert_ok(sqcq__sleeper_poll(&sleeper, 0));
}

static void *signal_when_asleep(void *argument)
{
  struct parked *parked = argument;

  /* Until it has been seen: one that comes before the sleep is not what is tested. */
  for (int i = 0; i < 20000 && atomic_load(&parked->id) != 0; i++) {
    if (thread_state(atomic_load(&parked->id)) == 'S')
      (void)pthread_kill(parked->thread, SIGUSR1);
    test_sleep_ns(MS);
  }
  return NULL;
}

static void sleeper_poll_ended_by_a_signal_is_eintr(void **state)
{
  struct parked me = {.thread = pthread_self()};
  pthread_t other;

  handle_signals(); /* its wake writes nothing: nobody announced */
  atomic_store(&me.id, (pid_t)syscall(SYS_gettid));
  assert_int_equal(pthread_create(&other, NULL, signal_when_asleep, &me), 0);
  int result = sqcq__sleeper_poll(&sleeper, TEST_SOON_NS);
  atomic_store(&me.id, 0);
  assert_int_equal(pthread_join(other, NULL), 0);
  assert_error(result, -EINTR);
}

/* ------------------------------------------------------------------------- */
/* A consumer's sleep                                                        */
/* ------------------------------------------------------------------------- */

static void waiter_of_zeroed_memory_is_awake(void **state)
{
  assert_int_equal(sqcq__waiter_want(&waiter), 0);
  assert_int_equal(sqcq__waiter_prepare(&waiter), 0);
}

static void waiter_announce_is_seen_until_cleared(void **state)
{
  sqcq__waiter_announce(&waiter, 5);
  assert_int_equal(sqcq__waiter_want(&waiter), 5);
  sqcq__waiter_clear(&waiter);
  assert_int_equal(sqcq__waiter_want(&waiter), 0);
}

static void waiter_wake_before_the_sleep_is_not_lost(void **state)
{
  for (int i = 0; i < 100; i++) {
    uint32_t prepared = sqcq__waiter_prepare(&waiter);

    sqcq__waiter_announce(&waiter, 1);
    assert_true(sqcq__waiter_wake(&waiter));   /* announced: as good as asleep */
    assert_false(sqcq__waiter_wake(&waiter));  /* and noted as ended */
    sqcq__waiter_sleep(&waiter, prepared, -1); /* without limit, and yet it returns */
    sqcq__waiter_clear(&waiter);
  }
  assert_int_equal(sqcq__load_relaxed(&waiter.sleeps), 100);
}

static void waiter_sleep_times_out_after_its_time(void **state)
{
  int64_t start = sqcq__now();
  uint32_t prepared = sqcq__waiter_prepare(&waiter);

  sqcq__waiter_sleep(&waiter, prepared, start + 20 * MS);
  assert_true(sqcq__now() - start >= 20 * MS);
  assert_int_equal(sqcq__waiter_prepare(&waiter), prepared);
}

static void waiter_sleep_until_a_time_gone_by_returns(void **state)
{
  sqcq__waiter_sleep(&waiter, sqcq__waiter_prepare(&waiter), 0);
  sqcq__waiter_sleep(&waiter, sqcq__waiter_prepare(&waiter), sqcq__now());
  sqcq__waiter_sleep(&waiter, sqcq__waiter_prepare(&waiter), sqcq__now() - 1000 * MS);
}

static void *sleep_in_thread(void *unused)
{
  uint32_t prepared = sqcq__waiter_prepare(&waiter);

  (void)unused;
  sqcq__waiter_announce(&waiter, 1);
  sqcq__waiter_sleep(&waiter, prepared, -1);
  sqcq__waiter_clear(&waiter);
  return NULL;
}

static void waiter_wake_of_one_asleep_ends_its_sleep(void **state)
{
  pthread_t thread;

  assert_int_equal(pthread_create(&thread, NULL, sleep_in_thread, NULL), 0);
  assert_soon(ck_ec32_has_waiters(&waiter.count));
  assert_true(sqcq__waiter_wake(&waiter)); /* that took a system call */
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_false(sqcq__waiter_wake(&waiter)); /* and now there is nobody */
}

static void waiter_sleeps_beyond_its_first_bounded_wait(void **state)
{
  /* ck may sleep for a bounded time first and again after it: a deadline inside holds anyway. */
  int64_t start = sqcq__now();

  sqcq__waiter_sleep(&waiter, sqcq__waiter_prepare(&waiter), start + 2200 * MS);
  assert_true(sqcq__now() - start >= 2200 * MS);
}

static void now_is_the_monotonic_clock_and_does_not_go_back(void **state)
{
  int64_t before = test_now_ns();
  int64_t now = sqcq__now();
  int64_t after = test_now_ns();

  assert_true(before <= now && now <= after);
}

/* ------------------------------------------------------------------------- */
/* Layout                                                                    */
/* ------------------------------------------------------------------------- */

static void sleeper_writers_have_lines_of_their_own(void **state)
{
  assert_int_not_equal(offsetof(struct sqcq__sleeper, asleep) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__sleeper, woken) / SQCQ_CACHELINE);
  assert_int_equal(offsetof(struct sqcq__sleeper, asleep) / SQCQ_CACHELINE,
                   offsetof(struct sqcq__sleeper, sleeps) / SQCQ_CACHELINE);
  assert_int_equal(offsetof(struct sqcq__sleeper, woken) / SQCQ_CACHELINE,
                   offsetof(struct sqcq__sleeper, wakes) / SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__sleeper) % SQCQ_CACHELINE, 0);
  /* What wakers write is apart from what the consumer writes. */
  assert_int_not_equal(offsetof(struct sqcq__waiter, want) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__waiter, roused) / SQCQ_CACHELINE);
  assert_int_equal(_Alignof(struct sqcq__waiter), SQCQ_CACHELINE);
}

#define WAKE_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WAKE_TEST(sleeper_init_makes_a_quiet_eventfd),
      WAKE_TEST(sleeper_fini_closes_once),
      WAKE_TEST(sleeper_wake_of_one_awake_writes_nothing),
      WAKE_TEST(sleeper_wake_writes_once_a_sleep),
      WAKE_TEST(sleeper_wake_writes_again_for_the_next_sleep),
      WAKE_TEST(sleeper_wake_leaves_the_announcement_to_the_sleeper),
      WAKE_TEST(sleeper_wake_that_notes_an_older_sleep_costs_one_write),
      WAKE_TEST(sleeper_reset_makes_the_eventfd_unreadable),
      WAKE_TEST(sleeper_poll_of_a_written_one_returns_at_once),
      WAKE_TEST(sleeper_poll_times_out_after_its_time),
      WAKE_TEST(sleeper_wake_is_noted_after_its_write_never_before),
      WAKE_TEST(sleeper_wake_from_a_signal_handler_keeps_errno),
      WAKE_TEST(sleeper_write_that_fails_keeps_errno),
      WAKE_TEST(sleeper_poll_ended_by_a_signal_is_eintr),
      WAKE_TEST(waiter_of_zeroed_memory_is_awake),
      WAKE_TEST(waiter_announce_is_seen_until_cleared),
      WAKE_TEST(waiter_wake_before_the_sleep_is_not_lost),
      WAKE_TEST(waiter_sleep_times_out_after_its_time),
      WAKE_TEST(waiter_sleep_until_a_time_gone_by_returns),
      WAKE_TEST(waiter_wake_of_one_asleep_ends_its_sleep),
      WAKE_TEST(waiter_sleeps_beyond_its_first_bounded_wait),
      WAKE_TEST(now_is_the_monotonic_clock_and_does_not_go_back),
      cmocka_unit_test(sleeper_writers_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
