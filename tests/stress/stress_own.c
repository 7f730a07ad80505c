/* sqcq-test: timeout 400 */
/*
 * Own lanes alone: each producer in a lane of its own, which it closes and opens anew now and then,
 * so that lanes go from hand to hand with requests in them; one that drains; a stop in the middle.
 * Every request committed comes out once and whole, in the order of its producer within a lane;
 * after a stop nothing follows.
 */
#include "mpsc/own.h"

#include "stress/ledger.h"

#define LANES_MAX 130u /* more than a bit holds */

struct field {
  struct sqcq__own own;
  uint32_t attempts;
  bool stop_midway;
  uint64_t stop_at;
  atomic_uint producing; /* producers that are not at their end */
  struct ledger ledger;
  int64_t skew; /* how long the stop is held back; negative: the producer */
};

static struct field field;
static struct crowd crowd;

static void make_field(uint32_t lanes, uint32_t slots)
{
  memset(&field, 0, sizeof(field));
  assert_ok(sqcq__own_init(&field.own, lanes, slots, 1));
}

/* ------------------------------------------------------------------------- */
/* The drainer                                                               */
/* ------------------------------------------------------------------------- */

/* As the I/O thread does it: bits first, then all that is ready in each lane of each. */
static void drain(struct crowd_member *me)
{
  for (uint64_t work = sqcq__own_take_work(&field.own); work != 0; work &= work - 1)
    for (uint32_t i = (uint32_t)__builtin_ctzll(work); i < field.own.count; i += SQCQ__OWN_BITS) {
      struct sqcq__lane *lane = &field.own.lanes[i].lane;

      ledger_drain(&field.ledger, me, i, lane, sqcq__lane_ready(lane));
    }
}

static void check_nothing_is_left(struct crowd_member *me)
{
  crowd_check(me, !sqcq__own_have_work(&field.own));
  for (uint32_t i = 0; i < field.own.count; i++)
    ledger_check_empty(me, i, &field.own.lanes[i].lane);
}

/* Stop, as act.c does, but nobody is told before: close, drain, until nobody is inside. */
static void stop_and_drain(struct crowd_member *me)
{
  int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;
  bool sealed = false;

  while (!sealed && crowd_good(me)) {
    sealed = sqcq__own_stop(&field.own);
    drain(me);
    crowd_progress(me);
    if (test_now_ns() > patience)
      crowd_fail(me, "the stop does not get all lanes");
  }
  /* They go on trying. */
  for (int i = 0; i < 50; i++) {
    check_nothing_is_left(me);
    (void)sched_yield();
  }
}

static void drain_all(struct crowd_member *me)
{
  bool last = false;

  while (!last && crowd_good(me)) {
    last = atomic_load(&field.producing) == 0;
    drain(me);
    crowd_progress(me);
    if (field.stop_midway && field.ledger.drained >= field.stop_at) {
      stop_and_drain(me);
      return;
    }
    if (rng_percent(&me->rng, 30))
      (void)sched_yield();
  }
  check_nothing_is_left(me);
}

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

/* As accept.c does it: how many went in, or the error. */
static int hand_in(struct crowd_member *me, uint64_t handle, uint32_t number, uint32_t count)
{
  uint32_t producer = me->index - 1, done = 0;
  struct sqcq__own_lane *lane;
  int error = sqcq__own_enter(&field.own, handle, &lane);

  if (error < 0)
    return error;
  for (; done < count; done++) {
    struct sqcq__request *slot = sqcq__lane_reserve(&lane->lane);

    if (slot == NULL)
      break;
    crowd_jitter(&me->rng);
    *slot = request_of(producer, number + done);
    sqcq__lane_fill(&lane->lane);
    if (rng_percent(&me->rng, 10))
      sqcq__own_publish(&field.own, lane); /* chunk by chunk */
  }
  crowd_jitter(&me->rng);
  if (done > 0)
    sqcq__own_publish(&field.own, lane);
  sqcq__own_leave(lane);
  return (int)done;
}

/* Close the lane and open the next: mostly one that somebody has just left. */
static bool move(struct crowd_member *me, uint64_t *handle)
{
  uint64_t gone = *handle;

  if (gone != 0) {
    struct sqcq__own_lane *lane;

    crowd_check(me, sqcq__own_close(&field.own, gone) == 0);
    crowd_check(me, sqcq__own_close(&field.own, gone) == -EBADFD);
    crowd_check(me, sqcq__own_enter(&field.own, gone, &lane) == -EBADFD);
  }
  int error = sqcq__own_open(&field.own, handle);
  if (error < 0) {
    crowd_check(me, error == -ENOSPC); /* others have them */
    *handle = 0;
  }
  return error == 0;
}

static void produce(struct crowd_member *me)
{
  uint32_t number = 0;
  uint64_t handle = 0;

  for (uint32_t i = 0; i < field.attempts && crowd_good(me); i++) {
    if ((handle == 0 || rng_percent(&me->rng, 5)) && !move(me, &handle)) {
      (void)sched_yield();
      continue;
    }
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, 5);
    if (want > NUMBERS_MAX - number)
      break;
    int done = hand_in(me, handle, number + 1, want);

    if (done == -ESHUTDOWN && rng_percent(&me->rng, 5))
      break; /* the others go on trying, in every lane they get */
    crowd_check(me, done >= 0 || done == -ESHUTDOWN);
    number += done > 0 ? (uint32_t)done : 0;
    crowd_progress(me);
    if (done < (int)want)
      (void)sched_yield();
  }
  if (handle != 0)
    crowd_check(me, sqcq__own_close(&field.own, handle) == 0);
  field.ledger.committed[me->index - 1] = number;
  atomic_fetch_sub(&field.producing, 1);
}

static void play(struct crowd_member *me)
{
  if (me->index == 0)
    drain_all(me);
  else
    produce(me);
}

/* All lanes are free again, each once. */
static void check_free_lanes(void)
{
  uint64_t handle;
  uint32_t count = 0;

  while (sqcq__own_open(&field.own, &handle) == 0)
    count++;
  assert_int_equal(count, field.own.count);
}

static void own_lanes_drain_every_request_once_and_none_after_stop(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(36);
  uint64_t all = 0, stops = 0;

  rng_seed(&rng, rng_seed_from_env(0x0e1a));
  while (crowd_next_round(&soak)) {
    uint32_t few = (uint32_t)rng_between(&rng, 2, PRODUCERS + 2);

    make_field(soak.done % 4 == 0 ? LANES_MAX : few, 2u << rng_below(&rng, 3));
    field.attempts = crowd_scaled(3000);
    field.stop_midway = soak.done % 3 != 0;
    field.stop_at = rng_below(&rng, crowd_scaled(10000));
    atomic_store(&field.producing, PRODUCERS);
    crowd_start(&crowd, PRODUCERS + 1,
                soak.done % 2 == 0 ? CROWD_STOPPED_BUT_FIRST : CROWD_LEFT_ALONE, &rng, play);
    crowd_join(&crowd);
    uint64_t committed = ledger_check(&field.ledger);
    assert_int_equal(sqcq__own_accepted(&field.own), committed);
    check_free_lanes();
    all += committed;
    stops += atomic_load(&crowd.stops);
    sqcq__own_fini(&field.own);
  }
  printf("%llu requests, %llu times one was stopped\n", (unsigned long long)all,
         (unsigned long long)stops);
}

/* ------------------------------------------------------------------------- */
/* A stop while one hands in                                                 */
/* ------------------------------------------------------------------------- */

/* Some nanoseconds each, where a pause would be too long. */
static void linger(uint64_t steps)
{
  for (uint64_t i = 0; i < steps; i++)
    (void)atomic_load_explicit(&field.producing, memory_order_relaxed);
}

/* One producer, one request, one stop, as close together as can be: the gate alone. Whoever
 * was first the last time is held back a little: so they stay close. */
static void produce_once(struct crowd_member *me)
{
  uint32_t round = 0;

  for (; round < field.attempts && crowd_meet(me, 2 * round + 2); round++) {
    struct sqcq__own_lane *lane;
    uint64_t handle = sqcq__handle(1, 0, 1);

    linger(rng_below(&me->rng, 50) + (field.skew < 0 ? (uint64_t)-field.skew : 0));
    if (sqcq__own_enter(&field.own, handle, &lane) == 0) {
      *sqcq__lane_reserve(&lane->lane) = request_of(0, 1);
      sqcq__lane_fill(&lane->lane);
      sqcq__own_publish(&field.own, lane);
      sqcq__own_leave(lane);
      field.ledger.committed[0]++;
    }
    if (!crowd_meet(me, 2 * round + 3))
      return;
  }
}

static void stop_once(struct crowd_member *me)
{
  uint64_t before = 0;

  for (uint32_t round = 0; round < field.attempts; round++) {
    uint64_t handle;

    crowd_check(me, sqcq__own_init(&field.own, 1, 2, 1) == 0);
    crowd_check(me, sqcq__own_open(&field.own, &handle) == 0);
    memset(field.ledger.seen[0], 0, 2);
    field.ledger.last[0][0] = 0;
    if (!crowd_meet(me, 2 * round + 2))
      return;
    linger(rng_below(&me->rng, 50) + (field.skew > 0 ? (uint64_t)field.skew : 0));
    while (!sqcq__own_stop(&field.own) && crowd_good(me))
      crowd_pause();
    drain(me);
    if (!crowd_meet(me, 2 * round + 3))
      return;
    field.skew += field.ledger.committed[0] == before ? 7 : -7;
    before = field.ledger.committed[0];
    crowd_check(me, field.ledger.drained == field.ledger.committed[0]);
    check_nothing_is_left(me);
    sqcq__own_fini(&field.own);
    crowd_progress(me);
  }
}

static void play_once(struct crowd_member *me)
{
  if (me->index == 0)
    stop_once(me);
  else
    produce_once(me);
}

static void own_lane_stop_and_request_at_once_agree(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(1);

  rng_seed(&rng, rng_seed_from_env(0x9a7e));
  while (crowd_next_round(&soak)) {
    memset(&field, 0, sizeof(field));
    field.attempts = crowd_scaled(30000);
    crowd_start(&crowd, 2, CROWD_LEFT_ALONE, &rng, play_once);
    crowd_join(&crowd);
    assert_int_equal(field.ledger.drained, field.ledger.committed[0]);
    printf("%u of %u were in time\n", field.ledger.committed[0], field.attempts);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(own_lanes_drain_every_request_once_and_none_after_stop),
      cmocka_unit_test(own_lane_stop_and_request_at_once_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
