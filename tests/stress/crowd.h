/*
 * What the stress programs of the lock-free parts share: sizes that shrink under sanitizers, a watchdog,
 * threads that start together, and torment: each thread has a timer that interrupts it anywhere.
 *
 *   SQCQ_SEED=<number>           the random choices of an earlier run; the threads' race is another one
 *   SQCQ_STRESS_PERCENT=<n>      so many rounds of the usual, 100
 *   SQCQ_SOAK_SECONDS=<n>        go on for so long
 *
 * The timer's signal handler gives the CPU away, or stays in there until the other threads have got on: a
 * lock-free step that is left half done must not hold them up, and finds another world when it goes on.
 * ThreadSanitizer puts signals off to the next call of the C library, so there is none of it there.
 */
#ifndef SQCQ_TESTS_STRESS_CROWD_H
#define SQCQ_TESTS_STRESS_CROWD_H

#include "support/rng.h"
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CROWD_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define CROWD_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(CROWD_TSAN)
#define CROWD_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(CROWD_ASAN)
#define CROWD_ASAN 1
#endif

#if defined(CROWD_TSAN)
#define CROWD_SHRINK 5u
#elif defined(CROWD_ASAN)
#define CROWD_SHRINK 2u
#else
#define CROWD_SHRINK 1u
#endif

#define CROWD_MAX 16u
/* Long, even where the machine is busy with other things: only a fault lasts so long. */
#define CROWD_PATIENCE_NS INT64_C(10000000000)
#define CROWD_WATCHDOG_S 240u

/* ------------------------------------------------------------------------- */
/* Sizes and time                                                            */
/* ------------------------------------------------------------------------- */

static inline uint64_t crowd_number_from_env(const char *name, uint64_t otherwise)
{
  const char *text = getenv(name);

  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

/* So much as is asked for, less under sanitizers, at least 1. */
static inline uint32_t crowd_scaled(uint32_t count)
{
  uint64_t scaled = count * crowd_number_from_env("SQCQ_STRESS_PERCENT", 100) / 100 / CROWD_SHRINK;

  return scaled == 0 ? 1 : (uint32_t)scaled;
}

static inline bool soaking(void)
{
  return crowd_number_from_env("SQCQ_SOAK_SECONDS", 0) != 0;
}

/* What a scenario came to, for scripts/soak: things handed in and accounted for; and what was done to
 * them, or to the threads at it: refusals at a bound, cancels, stopped threads and the like. */
static inline void crowd_report(const char *scenario, uint64_t operations, uint64_t faults)
{
  printf("scenario %s: %llu operations, %llu faults\n", scenario, (unsigned long long)operations,
         (unsigned long long)faults);
  (void)fflush(stdout);
}

/* How long a test goes on: for its rounds, or for SQCQ_SOAK_SECONDS. */
struct crowd_soak {
  const char *scenario; /* to be reported at the end; NULL: it does so itself */
  uint32_t rounds;
  uint32_t done;
  int64_t until; /* 0: by rounds */
};

/* Of the rounds so far: see crowd_join(). */
static uint64_t crowd_operations, crowd_faults;

static inline struct crowd_soak crowd_soak_of(const char *scenario, uint32_t rounds)
{
  int64_t seconds = (int64_t)crowd_number_from_env("SQCQ_SOAK_SECONDS", 0);

  (void)alarm((unsigned)seconds + CROWD_WATCHDOG_S); /* SIGALRM ends the program */
  return (struct crowd_soak){.scenario = scenario,
                             .rounds = crowd_scaled(rounds),
                             .until = seconds == 0 ? 0 : test_now_ns() + seconds * 1000000000};
}

#define crowd_soak(rounds) crowd_soak_of(__func__, (rounds))

static inline bool crowd_next_round(struct crowd_soak *soak)
{
  soak->done++;
  if (soak->until == 0 ? soak->done <= soak->rounds : test_now_ns() < soak->until)
    return true;
  if (soak->scenario != NULL)
    crowd_report(soak->scenario, crowd_operations, crowd_faults);
  crowd_operations = crowd_faults = 0;
  return false;
}

static inline void crowd_pause(void)
{
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

static inline void crowd_spin(uint64_t pauses)
{
  while (pauses-- > 0)
    crowd_pause();
}

/* Now and then be late, or let others go first. */
static inline void crowd_jitter(struct rng *rng)
{
  uint64_t choice = rng_next(rng);

  if ((choice & 0x3f) == 0)
    (void)sched_yield();
  else if ((choice & 0x7) == 0)
    crowd_spin((choice >> 8) & 0x3f);
}

/* ------------------------------------------------------------------------- */
/* Threads                                                                   */
/* ------------------------------------------------------------------------- */

struct crowd;

/* One of the threads; each on lines of its own. */
struct crowd_member {
  _Alignas(128) struct rng rng;
  struct rng torment_rng; /* the signal handler's */
  struct crowd *crowd;
  uint32_t index;
  pthread_t thread;
  timer_t timer;
  atomic_uint progress; /* how often it got something done */
  atomic_uint interrupts;
  atomic_bool finished;
};

struct crowd {
  struct crowd_member members[CROWD_MAX];
  uint32_t count;
  void (*function)(struct crowd_member *);
  struct verdict verdict;
  atomic_uint arrived;     /* at the start, or at a round's */
  uint32_t torment_from;   /* members from this one on are interrupted */
  bool may_stop;           /* and stopped until others have got on */
  atomic_bool one_stopped; /* not two at a time: they would wait for each other */
  atomic_uint stops;
};

static _Thread_local struct crowd_member *crowd_me;

static inline void crowd_fail(struct crowd_member *me, const char *text)
{
  verdict_fail(&me->crowd->verdict, "thread %u: %s", me->index, text);
}

#define crowd_check(me, condition) verdict_check(&(me)->crowd->verdict, (condition))

/* Whether a thread may go on: nobody has found a fault. */
static inline bool crowd_good(struct crowd_member *me)
{
  return !verdict_is_bad(&me->crowd->verdict);
}

static inline void crowd_progress(struct crowd_member *me)
{
  atomic_fetch_add_explicit(&me->progress, 1, memory_order_relaxed);
}

/* Wait until all `count` threads are here for the `round`-th time (from 1). False where one gave up. */
static inline bool crowd_meet(struct crowd_member *me, uint32_t round)
{
  struct crowd *crowd = me->crowd;
  uint32_t all = crowd->count * round;

  atomic_fetch_add(&crowd->arrived, 1);
  for (uint32_t looks = 0; (int32_t)(atomic_load(&crowd->arrived) - all) < 0; looks++) {
    if (verdict_is_bad(&crowd->verdict))
      return false;
    if (looks < 200)
      crowd_pause();
    else
      (void)sched_yield();
  }
  return true;
}

/* ------------------------------------------------------------------------- */
/* Torment                                                                   */
/* ------------------------------------------------------------------------- */

/* What all but this one have got done. *left: how many of them are to get on by themselves. */
static inline uint64_t crowd_others(struct crowd *crowd, uint32_t but, uint32_t *left)
{
  uint64_t sum = 0;

  *left = 0;
  for (uint32_t i = 0; i < crowd->count; i++)
    if (i != but) {
      sum += atomic_load_explicit(&crowd->members[i].progress, memory_order_relaxed);
      *left += i >= crowd->torment_from && !atomic_load(&crowd->members[i].finished);
    }
  return sum;
}

/* In a signal handler: stay here until the others have got on. They must be able to. */
static inline void crowd_stop(struct crowd_member *me)
{
  struct crowd *crowd = me->crowd;
  int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;
  uint32_t left;

  if (atomic_exchange(&crowd->one_stopped, true))
    return;
  uint64_t until = crowd_others(crowd, me->index, &left) + rng_between(&me->torment_rng, 1, 20);
  while (left > 0 && crowd_others(crowd, me->index, &left) < until && crowd_good(me)) {
    if (test_now_ns() > patience)
      verdict_fail(&crowd->verdict, "thread %u was stopped, and the others do not get on",
                   me->index);
    (void)sched_yield();
  }
  atomic_fetch_add(&crowd->stops, 1);
  atomic_store(&crowd->one_stopped, false);
}

/* Once more, a while after this one is over: on a machine with much else to do a timer that goes by itself
 * would be due again each time the thread gets to run, and it would never get out of its handler. */
static inline void crowd_torment_next(struct crowd_member *me)
{
  struct itimerspec when = {.it_value.tv_nsec = (long)rng_between(&me->torment_rng, 50000, 300000)};

  (void)timer_settime(me->timer, 0, &when, NULL);
}

static inline void crowd_on_signal(int number)
{
  struct crowd_member *me = crowd_me;
  int saved = errno;

  (void)number;
  if (me != NULL)
    atomic_fetch_add_explicit(&me->interrupts, 1, memory_order_relaxed);
  if (me != NULL && me->crowd->may_stop && rng_percent(&me->torment_rng, 50))
    crowd_stop(me);
  else
    (void)sched_yield();
  if (me != NULL)
    crowd_torment_next(me);
  errno = saved;
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static inline bool crowd_is_tormented(const struct crowd_member *me)
{
#if defined(CROWD_TSAN)
  (void)me;
  return false;
#else
  return me->index >= me->crowd->torment_from;
#endif
}

/* Whether a read may have ended by a signal to the I/O thread, which is the first one, while the kernel was
 * starting a worker for it: -ECANCELED, though nobody has cancelled it (sqcq.h, "Kernel's part"). */
static inline bool crowd_interrupted(const struct crowd_member *me, int32_t result, uint32_t flags)
{
  return result == -ECANCELED && flags == 0 && crowd_is_tormented(&me->crowd->members[0]);
}

static inline void crowd_torment(struct crowd_member *me)
{
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};

  event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
  if (timer_create(CLOCK_MONOTONIC, &event, &me->timer) != 0)
    crowd_fail(me, "no timer");
  else
    crowd_torment_next(me);
}

/* ------------------------------------------------------------------------- */
/* All together                                                              */
/* ------------------------------------------------------------------------- */

static inline void *crowd_thread(void *argument)
{
  struct crowd_member *me = argument;

  crowd_me = me;
  if (crowd_meet(me, 1)) {
    if (crowd_is_tormented(me))
      crowd_torment(me);
    me->crowd->function(me);
    if (crowd_is_tormented(me))
      (void)timer_delete(me->timer);
  }
  atomic_store(&me->finished, true);
  return NULL;
}

enum crowd_treatment {
  CROWD_LEFT_ALONE,
  CROWD_JOSTLED,          /* made to wait for a moment, anywhere */
  CROWD_STOPPED,          /* and stopped until others have got on */
  CROWD_STOPPED_BUT_FIRST /* save for the first one, which sleeps, or which the others need */
};

/* Start `count` threads, all at once. To be joined with crowd_join(). */
static inline void crowd_start(struct crowd *crowd, uint32_t count, enum crowd_treatment treatment,
                               struct rng *rng, void (*function)(struct crowd_member *))
{
  struct sigaction action = {.sa_handler = crowd_on_signal, .sa_flags = SA_RESTART};

  *crowd = (struct crowd){.count = count,
                          .function = function,
                          .torment_from = treatment == CROWD_LEFT_ALONE ? count : 0,
                          .may_stop = treatment >= CROWD_STOPPED};
  if (treatment == CROWD_STOPPED_BUT_FIRST)
    crowd->torment_from = 1;
  (void)sigaction(SIGUSR1, &action, NULL);
  for (uint32_t i = 0; i < count; i++) {
    crowd->members[i].crowd = crowd;
    crowd->members[i].index = i;
    rng_split(rng, &crowd->members[i].rng);
    rng_split(rng, &crowd->members[i].torment_rng);
  }
  for (uint32_t i = 0; i < count; i++)
    if (pthread_create(&crowd->members[i].thread, NULL, crowd_thread, &crowd->members[i]) != 0)
      fail_msg("no thread");
}

/* Wait for all; a fault that one of them found fails the test. What they got done are operations, and how
 * often they were interrupted are faults, of their scenario. */
static inline void crowd_join(struct crowd *crowd)
{
  for (uint32_t i = 0; i < crowd->count; i++) {
    (void)pthread_join(crowd->members[i].thread, NULL);
    crowd_operations += atomic_load(&crowd->members[i].progress);
    crowd_faults += atomic_load(&crowd->members[i].interrupts);
  }
  assert_verdict(&crowd->verdict);
}

#endif
