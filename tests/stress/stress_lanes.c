/* sqcq-test: timeout 400 */
/*
 * The lanes alone: many producers, one that drains, tiny rings, batches of random size. Every
 * request committed comes out once and whole; after a stop nothing follows; no work bit is lost;
 * and a producer that is stopped anywhere holds up no other.
 */
#include "mpsc/lanes.h"

#include "stress/ledger.h"

#define LANES_MAX 4u

struct field {
  struct sqcq__lanes lanes;
  uint32_t attempts;
  bool stop_midway;
  uint64_t stop_at;
  atomic_bool stopping;
  atomic_uint producing; /* producers that are not at their end */
  struct ledger ledger;
};

static struct field field;
static struct crowd crowd;

static void make_field(uint32_t lanes, uint32_t slots)
{
  memset(&field, 0, sizeof(field));
  assert_ok(sqcq__lanes_init(&field.lanes, lanes, slots));
}

/* ------------------------------------------------------------------------- */
/* The drainer                                                               */
/* ------------------------------------------------------------------------- */

/* As the I/O thread does it: bits first, then what is ready in each lane, all of it or say `again`;
 * given back only once it is copied. */
static void drain(struct crowd_member *me)
{
  for (uint64_t work = sqcq__lanes_take_work(&field.lanes); work != 0; work &= work - 1) {
    uint32_t index = (uint32_t)__builtin_ctzll(work);
    struct sqcq__lane *lane = &field.lanes.lanes[index];
    uint32_t ready = sqcq__lane_ready(lane), n = ready;

    if (rng_percent(&me->rng, 20))
      n = (uint32_t)rng_between(&me->rng, 0, ready);
    ledger_drain(&field.ledger, me, index, lane, n);
    if (n < ready)
      sqcq__lanes_again(&field.lanes, index);
  }
}

static void check_nothing_is_left(struct crowd_member *me)
{
  crowd_check(me, !sqcq__lanes_have_work(&field.lanes));
  for (uint32_t i = 0; i < field.lanes.count; i++)
    ledger_check_empty(me, i, &field.lanes.lanes[i]);
}

/* Stop, as act.c does: claim what is free, drain, until all lanes are taken. Nothing can follow. */
static void stop_and_drain(struct crowd_member *me)
{
  int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;
  bool sealed = false;

  atomic_store_explicit(&field.stopping, true, memory_order_relaxed);
  while (!sealed && crowd_good(me)) {
    sealed = sqcq__lanes_stop(&field.lanes);
    drain(me);
    crowd_progress(me);
    if (test_now_ns() > patience)
      crowd_fail(me, "the stop does not get all lanes");
  }
  while (sqcq__lanes_have_work(&field.lanes) && crowd_good(me))
    drain(me); /* what it left for later */
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
  /* All have published; what their bits have told has been drained. */
  while (sqcq__lanes_have_work(&field.lanes) && crowd_good(me))
    drain(me);
  check_nothing_is_left(me);
}

/* ------------------------------------------------------------------------- */
/* The producers                                                             */
/* ------------------------------------------------------------------------- */

/* Hand in up to `count` requests from `number` on, into the lanes that can be had, as accept.c
 * does; now and then in parts, since a commit may come at any time. */
static uint32_t hand_in(struct crowd_member *me, uint32_t producer, uint32_t number, uint32_t count)
{
  uint32_t done = 0, tried = 0;

  while (done < count) {
    struct sqcq__lane *lane = sqcq__lanes_claim(&field.lanes, &tried);
    uint32_t before = done;

    if (lane == NULL)
      break;
    while (done < count) {
      struct sqcq__request *slot = sqcq__lane_reserve(lane);

      if (slot == NULL)
        break;
      crowd_jitter(&me->rng);
      *slot = request_of(producer, number + done);
      sqcq__lane_fill(lane);
      done++;
      if (rng_percent(&me->rng, 10))
        sqcq__lane_commit(lane);
    }
    crowd_jitter(&me->rng);
    if (done > before)
      sqcq__lanes_publish(&field.lanes, lane);
    else
      sqcq__lane_unclaim(lane);
  }
  return done;
}

static void produce(struct crowd_member *me)
{
  uint32_t producer = me->index - 1, number = 0;

  for (uint32_t i = 0; i < field.attempts && crowd_good(me); i++) {
    /* Most look at the word that says it is over, some find out by the claims. */
    if (producer % 3 != 0 && atomic_load_explicit(&field.stopping, memory_order_relaxed))
      break;
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, 5);
    if (want > NUMBERS_MAX - number)
      break;
    uint32_t done = hand_in(me, producer, number + 1, want);

    number += done;
    crowd_progress(me);
    if (done < want)
      (void)sched_yield();
  }
  field.ledger.committed[producer] = number;
  atomic_fetch_sub(&field.producing, 1);
}

static void play(struct crowd_member *me)
{
  if (me->index == 0)
    drain_all(me);
  else
    produce(me);
}

static void lanes_drain_every_request_once_and_none_after_stop(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(48);
  uint64_t all = 0, stops = 0;

  rng_seed(&rng, rng_seed_from_env(0x1a4e5));
  while (crowd_next_round(&soak)) {
    make_field((uint32_t)rng_between(&rng, 1, LANES_MAX), 2u << rng_below(&rng, 3));
    field.attempts = 3000;
    field.stop_midway = soak.done % 3 != 0;
    field.stop_at = rng_below(&rng, 10000);
    atomic_store(&field.producing, PRODUCERS);
    crowd_start(&crowd, PRODUCERS + 1,
                soak.done % 2 == 0 ? CROWD_STOPPED_BUT_FIRST : CROWD_LEFT_ALONE, &rng, play);
    crowd_join(&crowd);
    uint64_t committed = ledger_check(&field.ledger);
    assert_int_equal(sqcq__lanes_accepted(&field.lanes), committed);
    all += committed;
    stops += atomic_load(&crowd.stops);
    sqcq__lanes_fini(&field.lanes);
  }
  printf("%llu requests, %llu times one was stopped\n", (unsigned long long)all,
         (unsigned long long)stops);
}

/* ------------------------------------------------------------------------- */
/* One at a time                                                             */
/* ------------------------------------------------------------------------- */

/* Hand in one, wait until it has been drained: a bit that is lost brings everything to a halt. */
static void hand_in_and_wait(struct crowd_member *me)
{
  uint32_t producer = me->index - 1;

  for (uint32_t number = 1; number <= field.attempts && crowd_good(me); number++) {
    int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;

    while (hand_in(me, producer, number, 1) == 0 && crowd_good(me))
      (void)sched_yield(); /* no lane for a moment */
    for (uint32_t looks = 0; crowd_good(me); looks++) {
      if (atomic_load_explicit(&field.ledger.acked[producer], memory_order_relaxed) == number)
        break;
      if (looks < 100) {
        crowd_pause();
        continue;
      }
      (void)sched_yield();
      if (test_now_ns() > patience)
        verdict_fail(&me->crowd->verdict, "request %u of producer %u is in its lane, unseen",
                     number, producer);
    }
    crowd_progress(me);
  }
  field.ledger.committed[producer] = field.attempts;
  atomic_fetch_sub(&field.producing, 1);
}

static void play_one_at_a_time(struct crowd_member *me)
{
  if (me->index == 0)
    drain_all(me);
  else
    hand_in_and_wait(me);
}

static void lanes_never_forget_that_one_has_work(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(12);

  rng_seed(&rng, rng_seed_from_env(0x0b17));
  while (crowd_next_round(&soak)) {
    uint32_t producers = soak.done % 2 == 0 ? (uint32_t)rng_between(&rng, 2, PRODUCERS) : 1;

    /* More lanes than producers may hold: one that is stopped keeps no other from a lane. */
    make_field(LANES_MAX, 2);
    field.attempts = (producers == 1 ? NUMBERS_MAX : 6000 / producers);
    atomic_store(&field.producing, producers);
    crowd_start(&crowd, producers + 1,
                soak.done % 4 == 0 ? CROWD_STOPPED_BUT_FIRST : CROWD_LEFT_ALONE, &rng,
                play_one_at_a_time);
    crowd_join(&crowd);
    assert_int_equal(field.ledger.drained, producers * field.attempts);
    sqcq__lanes_fini(&field.lanes);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lanes_drain_every_request_once_and_none_after_stop),
      cmocka_unit_test(lanes_never_forget_that_one_has_work),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
