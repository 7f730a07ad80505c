/*
 * What the litmus programs share. Two threads start a round together, each a random moment late, and each
 * goes through its half of a sleep-and-wake protocol, by the library's own functions:
 *
 *   waker    publishes, then looks whether somebody has announced itself
 *   sleeper  announces itself, then looks again for what is published
 *
 * A round is lost where both have missed each other: the sleeper would sleep, and nobody wakes it. That is
 * seen from what both did and not guessed from a timeout: a busy machine does not fail a test. Ordinary
 * stress does not see such a fault: the two steps have to meet within some ten nanoseconds.
 *
 * Each source is two programs, and each of its cases two tests. litmus.<name> must lose no round of a
 * million. litmus.<name>_weak, with weak/base/atomics.h in place of the library's, must lose one, or the
 * million shows nothing: it goes on until then, for ten million. With one CPU no two steps meet: skipped.
 */
#ifndef SQCQ_TESTS_LITMUS_LITMUS_H
#define SQCQ_TESTS_LITMUS_LITMUS_H

#include "base/atomics.h"

#include "stress/crowd.h"

#include <string.h>

#if defined(LITMUS_WEAK)
#define LITMUS_ROUNDS 10000000u
#else
#define LITMUS_ROUNDS 1000000u
#endif

struct litmus {
  void (*reset)(void);   /* by the sleeper, alone: as if there had been no round */
  void (*prepare)(void); /* then by the waker, alone: all that comes before its publishing */
  void (*waker)(void);
  void (*sleeper)(void);
  bool (*lost)(void); /* by the sleeper; both have returned */
};

/* Each is late by less than so many steps, of some 0.3 ns. A cache line changes sides in 100 ns or so. */
#define LITMUS_LATE 1000u

static struct {
  struct crowd crowd;
  struct litmus now;
  uint32_t rounds;
  _Alignas(128) atomic_uint waker_done; /* the last round that the waker is through with */
  _Alignas(128) uint32_t round;         /* sleeper only */
  bool slept_on;                        /* it would sleep, and nobody is left to wake it */
  bool over;                            /* a round is lost: no more */
  uint32_t played;
  uint32_t lost;
} litmus_field;

/* --wrap: in place of a producer's sleep, until somebody wakes it or nobody will. */
void __wrap_sqcq__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
void __wrap_sqcq__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
  (void)deadline_ns;
  while (sqcq__load_acquire(word) == expected && !litmus_field.slept_on) {
    bool done = atomic_load(&litmus_field.waker_done) == litmus_field.round;

    /* Where it is done, what it has published is there, and the caller's next look finds it. */
    litmus_field.slept_on = done && sqcq__load_acquire(word) == expected;
    crowd_pause();
  }
}

static inline void litmus_delay(uint64_t steps)
{
  while (steps-- > 0)
    __asm__ volatile("");
}

/* Three meetings a round: after the reset, at the start, and at the end. */
static inline void litmus_sleep(struct crowd_member *me)
{
  const struct litmus *now = &litmus_field.now;

  for (uint32_t round = 1; round <= litmus_field.rounds; round++) {
    uint64_t late = rng_below(&me->rng, LITMUS_LATE);

    litmus_field.round = round;
    litmus_field.slept_on = false;
    litmus_field.over = litmus_field.lost > 0;
    now->reset();
    if (!crowd_meet(me, 3 * round - 1) || litmus_field.over || !crowd_meet(me, 3 * round))
      return;
    litmus_delay(late);
    now->sleeper();
    if (!crowd_meet(me, 3 * round + 1))
      return;
    litmus_field.played = round;
    litmus_field.lost += now->lost();
  }
}

static inline void litmus_wake(struct crowd_member *me)
{
  const struct litmus *now = &litmus_field.now;

  for (uint32_t round = 1; round <= litmus_field.rounds; round++) {
    uint64_t late = rng_below(&me->rng, LITMUS_LATE);

    if (!crowd_meet(me, 3 * round - 1) || litmus_field.over)
      return;
    now->prepare();
    if (!crowd_meet(me, 3 * round))
      return;
    litmus_delay(late);
    now->waker();
    atomic_store(&litmus_field.waker_done, round);
    if (!crowd_meet(me, 3 * round + 1))
      return;
  }
}

/* Each on a CPU of its own: on one they would take turns, and never meet. */
static inline void litmus_pin(uint32_t index)
{
  cpu_set_t cpus, mine;
  size_t cpu = 0;

  if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
    return;
  for (uint32_t skip = index; !CPU_ISSET(cpu, &cpus) || skip-- > 0;)
    cpu++;
  CPU_ZERO(&mine);
  CPU_SET(cpu, &mine);
  (void)sched_setaffinity(0, sizeof(mine), &mine);
}

static inline void litmus_play(struct crowd_member *me)
{
  litmus_pin(me->index);
  if (me->index == 0)
    litmus_sleep(me);
  else
    litmus_wake(me);
}

static inline void litmus_run(const struct litmus *litmus)
{
  struct rng rng;

  (void)alarm(CROWD_WATCHDOG_S); /* SIGALRM ends the program */
  rng_seed(&rng, rng_seed_from_env(0x117305));
  litmus_field.now = *litmus;
  litmus_field.rounds = crowd_scaled(LITMUS_ROUNDS);
  litmus_field.played = litmus_field.lost = 0;
  atomic_store(&litmus_field.waker_done, 0);
  crowd_start(&litmus_field.crowd, 2, CROWD_LEFT_ALONE, &rng, litmus_play);
  crowd_join(&litmus_field.crowd);
  printf("rounds: %u, lost: %u\n", litmus_field.played, litmus_field.lost);
#if defined(LITMUS_WEAK)
  assert_int_equal(litmus_field.lost, 1);
#else
  assert_int_equal(litmus_field.played, litmus_field.rounds);
  assert_int_equal(litmus_field.lost, 0);
#endif
}

/* All cases, or the one that is named. */
static inline int litmus_main(const struct CMUnitTest *tests, size_t count, const char *only)
{
  cpu_set_t cpus;

  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2) {
    printf("a single CPU: no two steps meet\n");
    return 77;
  }
  if (only != NULL)
    cmocka_set_test_filter(only);
  int failed = _cmocka_run_group_tests("litmus", tests, count, NULL, NULL);
  if (litmus_field.played == 0) /* cmocka does not mind a name that is nobody's */
    printf("no case was played\n");
  return litmus_field.played == 0 ? 1 : failed;
}

/* In place of main(): each case calls litmus_run(). */
#define LITMUS_MAIN(...)                                                                           \
  int main(int argc, char **argv)                                                                  \
  {                                                                                                \
    const struct CMUnitTest tests[] = {__VA_ARGS__};                                               \
                                                                                                   \
    return litmus_main(tests, sizeof(tests) / sizeof(*tests), argc > 1 ? argv[1] : NULL);          \
  }

#endif
