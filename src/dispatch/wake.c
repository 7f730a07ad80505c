#include "dispatch/wake.h"

#include "base/point.h"
#include "base/probe.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static struct timespec timespec_of(int64_t ns)
{
  struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
  return time;
}

int64_t sqcq__now(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int sqcq__sleeper_init(struct sqcq__sleeper *sleeper)
{
  sqcq__store_relaxed(&sleeper->asleep, 0); /* relaxed, both: nobody else is here yet */
  sqcq__store_relaxed(&sleeper->wakes, 0);
  sleeper->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return sleeper->eventfd < 0 ? -errno : 0;
}

void sqcq__sleeper_fini(struct sqcq__sleeper *sleeper)
{
  if (sleeper->eventfd >= 0)
    (void)close(sleeper->eventfd);
  sleeper->eventfd = -1;
}

void sqcq__eventfd_write(int fd)
{
  int saved = errno; /* a signal handler's caller must not see it change */
  uint64_t one = 1;

  /* EAGAIN, 2^64 - 2 writes later, would still leave it readable. */
  while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
    continue;
  errno = saved;
}

static void read_event(int eventfd)
{
  uint64_t count;

  while (read(eventfd, &count, sizeof(count)) < 0 && errno == EINTR)
    continue;
}

void sqcq__sleeper_write(struct sqcq__sleeper *sleeper)
{
  SQCQ_PROBE1(wake, sleeper);
  sqcq__eventfd_write(sleeper->eventfd);
  sqcq__add_relaxed(&sleeper->wakes, 1);
}

void sqcq__sleeper_reset(struct sqcq__sleeper *sleeper)
{
  read_event(sleeper->eventfd);
}

int sqcq__sleeper_poll(struct sqcq__sleeper *sleeper, int64_t timeout_ns)
{
  struct pollfd watch = {.fd = sleeper->eventfd, .events = POLLIN};
  struct timespec timeout = timespec_of(timeout_ns < 0 ? 0 : timeout_ns);
  int ready = ppoll(&watch, 1, timeout_ns < 0 ? NULL : &timeout, NULL);

  if (ready < 0)
    return -errno;
  return ready == 0 ? -ETIME : 0;
}

/* Looks that are only a pause apart: about a microsecond in all. */
#define PAUSES 32

static inline void relax(void)
{
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

bool sqcq__spin(struct sqcq__spin *spin)
{
  if (spin->looks < PAUSES) {
    spin->looks++;
    relax();
    return true;
  }
  (void)sched_yield();
  return sqcq__now() < spin->until;
}

/* ck's event counts leave the system calls to us. */

static int ec_time(const struct ck_ec_ops *ops, struct timespec *out)
{
  (void)ops;
  return clock_gettime(CLOCK_MONOTONIC, out);
}

/* Sleeps until the caller's own deadline, which comes as the wait's data: ck's is that of its
 * back-off, made for counts with a single producer, and looks past the caller's at first. */
static void ec_wait32(const struct ck_ec_wait_state *state, const uint32_t *address,
                      uint32_t expected, const struct timespec *deadline)
{
  (void)deadline;
  /* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, or NULL. */
  (void)syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, state->data,
                NULL, FUTEX_BITSET_MATCH_ANY);
}

/* See sqcq__waiter_wake(). */
static void ec_leave_it_to_us(const struct ck_ec_ops *ops, const uint32_t *address)
{
  (void)ops;
  (void)address;
}

static const struct ck_ec_ops ec_ops = {
    .gettime = ec_time,
    .wait32 = ec_wait32,
    .wake32 = ec_leave_it_to_us,
    .busy_loop_iter = 1, /* pair(want) needs no spin: wakers use an RMW */
};

static const struct ck_ec_mode ec_mode = {.ops = &ec_ops, .single_producer = false};

/* ThreadSanitizer does not know fences. None is needed for its happens-before: what they order is
 * looked at with atomics, and data passes through the rings. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

void sqcq__looks_fence(void)
{
  atomic_thread_fence(memory_order_acquire);
}

void sqcq__waiters_fence(void)
{
  atomic_thread_fence(memory_order_seq_cst); /* pair(want) publish: counterpart in announce below */
}

static void announce(struct sqcq__waiter *waiter, uint32_t want, uint64_t way)
{
  uint64_t last = sqcq__waiter_number(waiter) & ~SQCQ__WAITER_OUTSIDE;

  sqcq__store_relaxed(&waiter->number, (last + 1) | way); /* relaxed: `want` brings it */
  sqcq__store_release(&waiter->want, want);               /* pair(want-number, event) release */
  atomic_thread_fence(memory_order_seq_cst); /* pair(want) announce: counterpart in waiters_fence */
}

void sqcq__waiter_announce(struct sqcq__waiter *waiter, uint32_t want)
{
  announce(waiter, want, 0);
}

void sqcq__waiter_announce_outside(struct sqcq__waiter *waiter, uint32_t want)
{
  waiter->armed = true;
  waiter->written = true; /* as far as we can know: a waker may be late */
  announce(waiter, want, SQCQ__WAITER_OUTSIDE);
}

void sqcq__waiter_reset(struct sqcq__waiter *waiter)
{
  if (!waiter->written)
    return;
  waiter->written = false;
  read_event((int)sqcq__load_relaxed(&waiter->event) - 1); /* relaxed: it never changes again */
}

int sqcq__waiter_event(struct sqcq__waiter *waiter)
{
  uint32_t there = sqcq__load_acquire(&waiter->event); /* pair(event) acquire */

  if (there != 0)
    return (int)there - 1;
  int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made < 0)
    return -errno;
  if (sqcq__cas_acq_rel(&waiter->event, &there, (uint32_t)made + 1)) /* pair(event) release */
    return made;
  (void)close(made); /* somebody else was faster */
  return (int)there - 1;
}

void sqcq__waiter_fini(struct sqcq__waiter *waiter)
{
  uint32_t event = sqcq__load_relaxed(&waiter->event); /* relaxed, both: nobody else is here */

  if (event != 0)
    (void)close((int)event - 1);
  sqcq__store_relaxed(&waiter->event, 0);
}

void sqcq__waiter_sleep(struct sqcq__waiter *waiter, uint32_t prepared, int64_t deadline_ns)
{
  struct timespec deadline = timespec_of(deadline_ns < 0 ? 0 : deadline_ns);
  struct timespec *until = deadline_ns < 0 ? NULL : &deadline;

  sqcq__count(&waiter->sleeps, 1);
  SQCQ_PROBE1(consumer_sleep, waiter);
  (void)ck_ec32_wait_pred(&waiter->count, &ec_mode, prepared, NULL, until, until);
}

/*
 * ck's own wake takes the flag away and then makes its system call; one that is preempted between
 * the two leaves the consumer asleep, and the next waker finds no flag. So the count only counts
 * here, and every waker makes the system call itself, unless the sleep is noted as ended by one
 * that has.
 */
bool sqcq__waiter_wake(struct sqcq__waiter *waiter)
{
  uint64_t number = sqcq__waiter_number(waiter);

  if (sqcq__load_acquire(&waiter->roused) == number) /* pair(roused) acquire */
    return false;
  SQCQ_POINT(CONSUMER_SEEN);
  if ((number & SQCQ__WAITER_OUTSIDE) != 0) {
    uint32_t event = sqcq__load_acquire(&waiter->event); /* pair(event) acquire */

    /* Where the number is a later sleep's than the look at `want` found, the eventfd may be too new
     * to be seen; but then the sleep that was found is over. */
    if (event == 0)
      return false;
    SQCQ_PROBE1(consumer_wake, waiter);
    sqcq__eventfd_write((int)event - 1);
  } else {
    SQCQ_PROBE1(consumer_wake, waiter);
    (void)ck_ec32_add(&waiter->count, &ec_mode, 1);
    (void)syscall(SYS_futex, &waiter->count.counter, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL,
                  NULL, 0);
  }
  sqcq__add_relaxed(&waiter->wakes, 1);
  SQCQ_POINT(CONSUMER_WOKEN);
  sqcq__store_release(&waiter->roused, number); /* pair(roused) release: after the wake */
  return true;
}

void sqcq__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
  struct timespec deadline = timespec_of(deadline_ns < 0 ? 0 : deadline_ns);
  int saved = errno;

  /* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, or NULL. Why it ends does not matter: the
   * caller looks. */
  (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                deadline_ns < 0 ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);
  errno = saved;
}

uint32_t sqcq__futex_wake(_Atomic uint32_t *word, uint32_t count)
{
  int saved = errno;
  long woken = syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
                       count > INT_MAX ? INT_MAX : count, NULL, NULL, 0);

  errno = saved;
  return woken < 0 ? 0 : (uint32_t)woken;
}
