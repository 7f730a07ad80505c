/* sqcq-test: timeout 400 */
/*
 * The I/O thread's sleep alone, against the real functions of wake.h.
 *
 * The litmus: all threads start a round together, each a random moment late; one announces, looks again and
 * sleeps, the others publish and wake. Whoever published has looked at the announcement; if the sleeper
 * sleeps on after they are all done, and its eventfd is not readable, a wake is lost. That is seen after
 * the fact and not guessed from a timeout, so a busy machine does not fail the test.
 *
 * The traffic: producers hand in one thing after another and wait for each to be seen, in any order and
 * with some of them stopped anywhere.
 */
#include "dispatch/wake.h"
#include "engine/control.h"

#include "stress/crowd.h"

#include <string.h>

#define MS INT64_C(1000000)

struct field {
  struct sqcq__sleeper sleeper;
  struct sqcq__control control;
  uint32_t rounds;
  atomic_uint awake_done;        /* rounds' wakes that have been finished, by all wakers */
  atomic_uint seen[CROWD_MAX];   /* traffic: the last number of each producer that was seen */
  atomic_uint posted[CROWD_MAX]; /* and that it has handed in */
  atomic_uint producing;         /* producers that are not at their end */
  uint64_t slept;
};

static struct field field;
static struct crowd crowd;

static bool readable(void)
{
  return sqcq__sleeper_poll(&field.sleeper, 0) == 0;
}

/* ------------------------------------------------------------------------- */
/* Litmus                                                                    */
/* ------------------------------------------------------------------------- */

/* Sleep until woken; false where the wake is lost. `all` wakes are to have been finished by then. */
static bool sleep_or_lose(struct crowd_member *me, uint32_t all)
{
  field.slept++;
  while (sqcq__sleeper_poll(&field.sleeper, 2 * MS) != 0) {
    if (atomic_load(&field.awake_done) == all && !readable()) {
      crowd_fail(me, "a wake was lost: all have published and looked, and I sleep");
      return false;
    }
    if (!crowd_good(me))
      return false;
  }
  return true;
}

static void sleep_in_rounds(struct crowd_member *me, uint32_t wakers)
{
  for (uint32_t round = 1; round <= field.rounds; round++) {
    uint32_t all = (1u << wakers) - 1, seen = 0;

    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 100));
    while (seen != all) {
      sqcq__sleeper_announce(&field.sleeper);
      if (!sqcq__control_posted(&field.control) && !sleep_or_lose(me, wakers * round))
        return;
      sqcq__sleeper_clear(&field.sleeper);
      sqcq__sleeper_reset(&field.sleeper);
      seen |= sqcq__control_take(&field.control);
    }
    if (!crowd_meet(me, 2 * round + 1))
      return;
    sqcq__sleeper_reset(&field.sleeper); /* a write that came after the clear */
  }
}

static void wake_in_rounds(struct crowd_member *me)
{
  for (uint32_t round = 1; round <= field.rounds; round++) {
    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 100));
    sqcq__control_post(&field.control, 1u << (me->index - 1));
    sqcq__sleeper_wake(&field.sleeper);
    atomic_fetch_add(&field.awake_done, 1);
    crowd_progress(me);
    if (!crowd_meet(me, 2 * round + 1))
      return;
  }
}

static void play_litmus(struct crowd_member *me)
{
  if (me->index == 0)
    sleep_in_rounds(me, me->crowd->count - 1);
  else
    wake_in_rounds(me);
}

static void litmus(struct rng *rng, uint32_t wakers, uint32_t rounds)
{
  memset(&field, 0, sizeof(field));
  field.rounds = rounds;
  assert_ok(sqcq__sleeper_init(&field.sleeper));
  crowd_start(&crowd, wakers + 1, CROWD_LEFT_ALONE, rng, play_litmus);
  crowd_join(&crowd);
  uint64_t writes = sqcq__load_relaxed(&field.sleeper.wakes);
  printf("%u wakers: %u rounds, %llu announced, %llu slept, %llu writes\n", wakers, rounds,
         (unsigned long long)field.sleeper.sleeps, (unsigned long long)field.slept,
         (unsigned long long)writes);
  /* A sleep costs at most a write for each waker that is inside. */
  assert_true(writes <= field.sleeper.sleeps * wakers);
  sqcq__sleeper_fini(&field.sleeper);
}

static void sleeper_litmus_with_one_waker_loses_no_wake(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(1);

  rng_seed(&rng, rng_seed_from_env(0x51ee9));
  while (crowd_next_round(&soak))
    litmus(&rng, 1, crowd_scaled(200000));
}

static void sleeper_litmus_with_several_wakers_loses_no_wake(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(2);

  rng_seed(&rng, rng_seed_from_env(0x51eef));
  while (crowd_next_round(&soak))
    litmus(&rng, (uint32_t)rng_between(&rng, 2, 4), crowd_scaled(8000));
}

/* ------------------------------------------------------------------------- */
/* Traffic                                                                   */
/* ------------------------------------------------------------------------- */

static void take_what_is_posted(struct crowd_member *me)
{
  uint32_t bits = sqcq__control_take(&field.control);

  while (bits != 0) {
    uint32_t from = (uint32_t)__builtin_ctz(bits);

    bits &= bits - 1;
    atomic_store(&field.seen[from], atomic_load(&field.posted[from]));
  }
  crowd_progress(me);
}

static void sleep_through_traffic(struct crowd_member *me)
{
  while (atomic_load(&field.producing) > 0 && crowd_good(me)) {
    take_what_is_posted(me);
    if (rng_percent(&me->rng, 50))
      continue;
    sqcq__sleeper_announce(&field.sleeper);
    if (!sqcq__control_posted(&field.control) && atomic_load(&field.producing) > 0) {
      field.slept++;
      if (sqcq__sleeper_poll(&field.sleeper, CROWD_PATIENCE_NS) == -ETIME)
        crowd_fail(me, "the sleeper was not woken");
      sqcq__sleeper_reset(&field.sleeper);
    }
    sqcq__sleeper_clear(&field.sleeper);
  }
}

static void produce_traffic(struct crowd_member *me)
{
  uint32_t bit = me->index - 1;

  for (uint32_t number = 1; number <= field.rounds && crowd_good(me); number++) {
    int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;

    atomic_store(&field.posted[bit], number);
    sqcq__control_post(&field.control, 1u << bit);
    sqcq__sleeper_wake(&field.sleeper);
    while (atomic_load(&field.seen[bit]) != number && crowd_good(me)) {
      (void)sched_yield();
      if (test_now_ns() > patience)
        crowd_fail(me, "what I handed in is not seen");
    }
    crowd_progress(me);
    crowd_jitter(&me->rng);
  }
  atomic_fetch_sub(&field.producing, 1);
  /* The sleeper waits for us, too. */
  sqcq__control_post(&field.control, 1u << bit);
  sqcq__sleeper_wake(&field.sleeper);
}

static void play_traffic(struct crowd_member *me)
{
  if (me->index == 0)
    sleep_through_traffic(me);
  else
    produce_traffic(me);
}

static void sleeper_in_traffic_sees_everything(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(3);

  rng_seed(&rng, rng_seed_from_env(0x74aff1c));
  while (crowd_next_round(&soak)) {
    uint32_t producers = (uint32_t)rng_between(&rng, 1, 6);

    memset(&field, 0, sizeof(field));
    field.rounds = 8000 / producers;
    atomic_store(&field.producing, producers);
    assert_ok(sqcq__sleeper_init(&field.sleeper));
    crowd_start(&crowd, producers + 1, producers > 2 ? CROWD_STOPPED_BUT_FIRST : CROWD_LEFT_ALONE,
                &rng, play_traffic);
    crowd_join(&crowd);
    uint64_t writes = sqcq__load_relaxed(&field.sleeper.wakes);
    printf("%u producers: %llu announced, %llu slept, %llu writes, %u times one was stopped\n",
           producers, (unsigned long long)field.sleeper.sleeps, (unsigned long long)field.slept,
           (unsigned long long)writes, atomic_load(&crowd.stops));
    assert_true(writes <= field.sleeper.sleeps * producers);
    sqcq__sleeper_fini(&field.sleeper);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sleeper_litmus_with_one_waker_loses_no_wake),
      cmocka_unit_test(sleeper_litmus_with_several_wakers_loses_no_wake),
      cmocka_unit_test(sleeper_in_traffic_sees_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
