/*
 * Sleeping and waking: every protocol of it. Doorway: any thread.
 *
 * Sleep and wake is where lock-free designs lose requests. The rule, both times: the sleeper
 * announces, looks again, sleeps; the waker publishes, then looks at the announcement; and each
 * side's store comes before its look in one order that all agree on. Only the sleeper takes its
 * announcement back: if a waker did, and were stopped before its system call, everybody else's work
 * would sleep with it. Each sleep has a number, and a waker notes it AFTER its system call, so that
 * others need not repeat it: a noted sleep is one that has been ended. So a sleep costs at most as
 * many system calls as there are producers inside a call at that moment, and mostly one.
 *
 *   pair(sleep)  The I/O thread. Publishing is a sequentially consistent RMW (the lane's work bit, or
 *                a control bit), the looks are sequentially consistent loads and the announcement is
 *                a sequentially consistent store: if the waker's look misses the announcement, its
 *                RMW comes before the announcement in that order, and the second look sees it.
 *   pair(want)   A consumer. Publishing is a release store of the channel's tail, so both sides
 *                need a full fence: the I/O thread one a turn, for all channels it pushed to; the
 *                consumer one before each sleep.
 *
 * Both may sleep outside of this library too, in an event loop that watches a descriptor. Then
 * announcing and sleeping are two calls: armed is who has announced and not come back. The I/O
 * thread's descriptor is the eventfd that it has anyway. A consumer's is made when it is asked for;
 * its sleep's number says which way it sleeps, so that one word tells a waker which sleep to end and
 * how. The eventfd is made unreadable by whoever sleeps, before the next announcement: what was
 * written before belongs to a sleep that is over. tests/model/armed_fd.cpp
 */
#ifndef SQCQ_DISPATCH_WAKE_H
#define SQCQ_DISPATCH_WAKE_H

#include "base/atomics.h"
#include "base/point.h"

#include <ck_ec.h>

#include <stdbool.h>
#include <stdint.h>

/* The I/O thread's sleep. */
struct sqcq__sleeper {
  /* W: I; R: P; number of the sleep, 0: awake; pair(sleep) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t asleep;
  int eventfd;     /* constant */
  uint64_t sleeps; /* I only */
  /* W, R: P; the last sleep ended by a write; pair(woken) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t woken;
  _Atomic uint64_t wakes; /* W: P, relaxed: a statistic */
};

int sqcq__sleeper_init(struct sqcq__sleeper *sleeper); /* S; 0 or -errno */
void sqcq__sleeper_fini(struct sqcq__sleeper *sleeper);

/* Write to the eventfd: one system call. Async-signal-safe. */
void sqcq__sleeper_write(struct sqcq__sleeper *sleeper);

/* P: after publishing by a sequentially consistent RMW: wake the I/O thread if it sleeps.
 * Async-signal-safe. */
static inline void sqcq__sleeper_wake(struct sqcq__sleeper *sleeper)
{
  SQCQ_POINT(WAKE_DUE);
  uint64_t sleep = sqcq__load_seq(&sleeper->asleep); /* pair(sleep) look */

  if (sleep == 0 || sqcq__load_acquire(&sleeper->woken) == sleep) /* pair(woken) acquire */
    return;
  SQCQ_POINT(WAKE_SEEN);
  sqcq__sleeper_write(sleeper);
  SQCQ_POINT(WAKE_WRITTEN);
  sqcq__store_release(&sleeper->woken,
                      sleep); /* pair(woken) release: after the write, never before */
}

/* I: from here on whoever publishes writes to the eventfd. Look again before sleeping. */
static inline void sqcq__sleeper_announce(struct sqcq__sleeper *sleeper)
{
  sqcq__store_seq(&sleeper->asleep, ++sleeper->sleeps); /* pair(sleep) announce */
}

/* I: awake. relaxed: a producer that still sees it asleep writes once for nothing. */
static inline void sqcq__sleeper_clear(struct sqcq__sleeper *sleeper)
{
  sqcq__store_relaxed(&sleeper->asleep, 0);
}

/* I: make the eventfd unreadable again. */
void sqcq__sleeper_reset(struct sqcq__sleeper *sleeper);

/* I: sleep outside the ring until the eventfd is written or the time has passed (negative: no
 * limit). 0, -ETIME or -EINTR. */
int sqcq__sleeper_poll(struct sqcq__sleeper *sleeper, int64_t timeout_ns);

/* In the number of a sleep: it is outside, and ends with a write to the waiter's eventfd. */
#define SQCQ__WAITER_OUTSIDE (UINT64_C(1) << 63)

/* A consumer's sleep. Zeroed memory is a good one. */
struct sqcq__waiter {
  /* W: C; completions it waits for, 0: awake; R: I, P; pair(want) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t want;
  ck_ec32_t count;         /* W: C (flag), I, P (count); event count; by ck */
  _Atomic uint64_t number; /* W: C; of the sleep announced last; R: I, P; pair(want-number) */
  _Atomic uint64_t sleeps; /* W: C, relaxed: a statistic */
  _Atomic uint32_t inside; /* W: C, calls; R: the channel's destroyer; pair(inside) */
  /* W: C once, before it arms; R: wakers; pair(event); its eventfd + 1, 0: none */
  _Atomic uint32_t event;
  bool armed;   /* C only: announced, and outside */
  bool written; /* C only: the eventfd may have been written since it was read */
  /* W, R: I, P; the last sleep ended by a wake; pair(roused) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t roused;
  _Atomic uint64_t wakes; /* W: wakers, relaxed: a statistic */
};

/* The consumer's half, in three steps: */
static inline uint32_t sqcq__waiter_prepare(const struct sqcq__waiter *waiter)
{
  return ck_ec32_value(&waiter->count); /* a wake from here on ends the sleep */
}
void sqcq__waiter_announce(struct sqcq__waiter *waiter, uint32_t want);
/* Sleep unless woken since prepare. deadline_ns: CLOCK_MONOTONIC, negative: none. */
void sqcq__waiter_sleep(struct sqcq__waiter *waiter, uint32_t prepared, int64_t deadline_ns);
/* The same for a sleep outside, in two: reset, then announce. Look again before sleeping. */
void sqcq__waiter_reset(struct sqcq__waiter *waiter);
void sqcq__waiter_announce_outside(struct sqcq__waiter *waiter, uint32_t want);
static inline void sqcq__waiter_clear(struct sqcq__waiter *waiter)
{
  sqcq__store_relaxed(&waiter->want, 0); /* relaxed: at worst one wake for nothing */
}

/* Any: the waiter's eventfd, made by the first call, or -errno. It lives until fini: a waker that is
 * late must not write to a descriptor of somebody else's. */
int sqcq__waiter_event(struct sqcq__waiter *waiter);
void sqcq__waiter_fini(struct sqcq__waiter *waiter); /* S */

/* Any: between a look at a ring and a later look that must not be made earlier. */
void sqcq__looks_fence(void);

/* Any: after what a sleeper must see, and before the look whether it sleeps. */
void sqcq__waiters_fence(void);

/* Any: what the consumer waits for, 0 where it is awake. */
static inline uint32_t sqcq__waiter_want(struct sqcq__waiter *waiter)
{
  /* pair(want) look; pair(want-number) acquire: the number is this sleep's, or a later one's */
  return sqcq__load_acquire(&waiter->want);
}

/* Any: the sleep that the last look found, or a later one. relaxed: came with `want` */
static inline uint64_t sqcq__waiter_number(const struct sqcq__waiter *waiter)
{
  return sqcq__load_relaxed(&waiter->number);
}

/* Any: end the sleep just seen, if nobody has; true where that took a system call. */
bool sqcq__waiter_wake(struct sqcq__waiter *waiter);

/* The system calls of waiting for room (room.h): sleep while *word is `expected`, until deadline_ns
 * (CLOCK_MONOTONIC, negative: none), or for no reason; wake up to `count`, and say how many that
 * were; write 1. All leave errno alone: a stop in a signal handler wakes too. */
void sqcq__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
uint32_t sqcq__futex_wake(_Atomic uint32_t *word, uint32_t count);
void sqcq__eventfd_write(int fd);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t sqcq__now(void);

/* Looking again for a while before sleeping: a sleep and a wake cost two context switches and some
 * system calls, and on an idle virtual CPU tens of microseconds. The first looks are a pause apart;
 * then each is a sched_yield apart, so that whoever could bring the work about, and wants this CPU,
 * gets it. */
struct sqcq__spin {
  int64_t until;  /* CLOCK_MONOTONIC ns */
  uint32_t looks; /* so far */
};

/* Pass a moment. False when the time is over. */
bool sqcq__spin(struct sqcq__spin *spin);

#endif
