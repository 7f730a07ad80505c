/* sqcq-test: timeout 400 */
/*
 * A channel alone: producers that take credits and give some back unused, one thread that pushes
 * and publishes, one that waits for batches. Every completion comes out once, whole and in order,
 * and nobody sleeps while there is something for him.
 *
 * The litmus is as in stress_sleeper.c: a lost wake is seen after the fact, not guessed from a timeout.
 */
#include "dispatch/router.h"

#include "base/mem.h"
#include "stress/crowd.h"

#include <string.h>

#define PRODUCERS 3u
#define GENERATION 7u
#define MS INT64_C(1000000)

struct field {
  struct sqcq__channel channel;
  struct sqcq__relay relay;
  struct sqcq__router router;
  uint32_t capacity;
  uint32_t quota;          /* of each producer */
  atomic_uint promised;    /* requests on their way to the pusher */
  atomic_uint producing;   /* producers that are not at their end */
  atomic_uint pushed_done; /* litmus: rounds whose wakes are finished */
  uint64_t asked;          /* by all producers; after joining */
  uint64_t pushed;
  uint64_t popped;
  uint64_t slept;
  uint64_t waived; /* times less came than was wanted */
};

static struct field field;
static struct crowd crowd;

static void make_field(uint32_t capacity)
{
  memset(&field, 0, sizeof(field));
  field.capacity = capacity;
  assert_ok(sqcq__channel_fit(&field.channel, capacity));
  assert_ok(sqcq__relay_init(&field.relay, &field.channel, 1));
  assert_ok(sqcq__router_init(&field.router, &field.relay, &field.channel, 1));
  field.channel.credit.capacity = capacity;
  sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, 0));
}

static void unmake_field(void)
{
  sqcq__channel_fini(&field.channel);
  sqcq__router_fini(&field.router);
  sqcq__relay_fini(&field.relay);
}

/* Every field follows from the number. */
static struct sqcq_completion completion_of(uint64_t number)
{
  uint64_t state = number;
  struct sqcq_completion completion = {.user_data = number};

  completion.offset = rng_mix(&state);
  completion.file.id = rng_mix(&state);
  completion.buffer.id = rng_mix(&state);
  completion.result = (int32_t)rng_mix(&state);
  completion.length = (uint32_t)rng_mix(&state);
  completion.reserved = rng_mix(&state);
  return completion;
}

static bool is_whole(const struct sqcq_completion *completion, uint64_t number)
{
  struct sqcq_completion expected = completion_of(number);

  return memcmp(completion, &expected, sizeof(expected)) == 0;
}

/* ------------------------------------------------------------------------- */
/* The crowd                                                                 */
/* ------------------------------------------------------------------------- */

static void produce(struct crowd_member *me)
{
  uint32_t asked = 0;

  while (asked < field.quota && crowd_good(me)) {
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, 3);
    int got = sqcq__credit_take(&field.channel.credit, GENERATION, want);

    if (got < 0) {
      crowd_check(me, got == -EXFULL || got == -EAGAIN);
      (void)sched_yield();
      continue;
    }
    /* Some of them are refused later on, as for a lane or a buffer. */
    uint32_t used = (uint32_t)rng_between(&me->rng, 0, (uint64_t)got);
    if (used > field.quota - asked)
      used = field.quota - asked;
    crowd_jitter(&me->rng);
    if (used > 0)
      atomic_fetch_add(&field.promised, used);
    if ((uint32_t)got > used)
      sqcq__channel_give_back(&field.channel, (uint32_t)got - used);
    asked += used;
    crowd_progress(me);
  }
  atomic_fetch_sub(&field.producing, 1);
}

/* The I/O thread. */
static void push_and_wake(struct crowd_member *me)
{
  for (;;) {
    bool last = atomic_load(&field.producing) == 0;
    uint32_t count = atomic_exchange(&field.promised, 0);

    for (; count > 0; count--) {
      struct sqcq_completion completion = completion_of(field.pushed++);

      sqcq__router_push(&field.router, 0, &completion);
      if (rng_percent(&me->rng, 5))
        break; /* the rest in another turn */
      crowd_jitter(&me->rng);
    }
    if (count > 0)
      atomic_fetch_add(&field.promised, count - 1);
    crowd_jitter(&me->rng);
    sqcq__router_publish(&field.router);
    crowd_jitter(&me->rng);
    sqcq__router_wake(&field.router);
    crowd_progress(me);
    if (!crowd_good(me))
      break;
    if (last && count == 0 && atomic_load(&field.promised) == 0)
      break;
    if (rng_percent(&me->rng, 30))
      (void)sched_yield();
  }
  /* As sqcq_channel_destroy() begins. */
  (void)sqcq__or_acq_rel(&field.channel.credit.word, SQCQ__CREDIT_CLOSED);
  sqcq__channel_give_back(&field.channel, 0);
}

/* As sqcq_channel_wait() does it. */
static void wait_for(struct crowd_member *me, uint32_t want)
{
  struct sqcq__channel *channel = &field.channel;

  while (!sqcq__channel_ready(channel, want)) {
    int64_t deadline = sqcq__now() + CROWD_PATIENCE_NS;
    uint32_t prepared = sqcq__waiter_prepare(&channel->waiter);

    sqcq__waiter_announce(&channel->waiter, want);
    if (!sqcq__channel_ready(channel, want)) {
      field.slept++;
      sqcq__waiter_sleep(&channel->waiter, prepared, deadline);
      if (sqcq__now() >= deadline) {
        crowd_fail(me, sqcq__channel_ready(channel, want) ? "the consumer was not woken"
                                                          : "nothing came");
        break;
      }
    }
    sqcq__waiter_clear(&channel->waiter);
  }
}

static void consume(struct crowd_member *me)
{
  struct sqcq_completion out[16];

  while (crowd_good(me)) {
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, field.capacity + 1);
    uint32_t max = (uint32_t)rng_between(&me->rng, want, 15);

    wait_for(me, want);
    uint32_t count = sqcq__channel_pop(&field.channel, out, max);
    for (uint32_t i = 0; i < count; i++) {
      if (!is_whole(&out[i], field.popped))
        verdict_fail(&me->crowd->verdict, "completion %llu came as number %llu",
                     (unsigned long long)out[i].user_data, (unsigned long long)field.popped);
      field.popped++;
    }
    field.waived += count > 0 && count < want;
    crowd_jitter(&me->rng);
    if (count > 0)
      sqcq__credit_give(&field.channel.credit, count);
    uint64_t word = sqcq__load_acquire(&field.channel.credit.word);
    if (word == sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED))
      break; /* nothing is left or to come */
    crowd_progress(me);
  }
}

static void play(struct crowd_member *me)
{
  if (me->index == 0)
    push_and_wake(me);
  else if (me->index == 1)
    consume(me);
  else
    produce(me);
}

static void channel_under_load_delivers_all_in_order_and_wakes(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(8);

  rng_seed(&rng, rng_seed_from_env(0xc4a77e1));
  while (crowd_next_round(&soak)) {
    make_field((uint32_t)rng_between(&rng, 1, 7));
    field.quota = 6000;
    atomic_store(&field.producing, PRODUCERS);
    /* None is stopped for long: its credits, or what it does, are what the others need. */
    crowd_start(&crowd, PRODUCERS + 2, soak.done % 2 == 0 ? CROWD_JOSTLED : CROWD_LEFT_ALONE, &rng,
                play);
    crowd_join(&crowd);
    assert_int_equal(field.pushed, PRODUCERS * field.quota);
    assert_int_equal(field.popped, field.pushed);
    assert_int_equal(sqcq__channel_unread(&field.channel), 0);
    assert_int_equal(sqcq__load_relaxed(&field.channel.credit.word),
                     sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED));
    printf("capacity %u: %llu delivered, slept %llu times, waived %llu times\n", field.capacity,
           (unsigned long long)field.popped, (unsigned long long)field.slept,
           (unsigned long long)field.waived);
    unmake_field();
  }
}

/* ------------------------------------------------------------------------- */
/* Litmus                                                                    */
/* ------------------------------------------------------------------------- */

/* What the pusher's half of a round is: a push, or credits that come back and so end the waiting. */
enum end {
  END_PUSH,
  END_GIVE_BACK,
  END_CLOSE
};

/* Mostly a push: that is where there is no locked instruction, only the fence. */
static enum end end_of(uint32_t round)
{
  return round % 8 == 0 ? END_GIVE_BACK : round % 8 == 1 ? END_CLOSE : END_PUSH;
}

static void end_in_rounds(struct crowd_member *me)
{
  for (uint32_t round = 1; round <= field.quota; round++) {
    struct sqcq_completion completion = completion_of(round);

    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 60));
    switch (end_of(round)) {
    case END_PUSH:
      sqcq__router_push(&field.router, 0, &completion);
      sqcq__router_publish(&field.router);
      sqcq__router_wake(&field.router);
      break;
    case END_GIVE_BACK:
      sqcq__channel_give_back(&field.channel, 1);
      break;
    default:
      (void)sqcq__or_acq_rel(&field.channel.credit.word, SQCQ__CREDIT_CLOSED);
      sqcq__channel_give_back(&field.channel, 0);
      break;
    }
    atomic_fetch_add(&field.pushed_done, 1);
    crowd_progress(me);
    if (!crowd_meet(me, 2 * round + 1))
      return;
  }
}

/* What is there before the round: for a push one promised; for the give-back one to read and one promised that
 * will not come; for the close nothing. */
static void set_up_round(uint32_t round)
{
  struct sqcq_completion completion = completion_of(round);

  switch (end_of(round)) {
  case END_PUSH:
    sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, 1));
    break;
  case END_GIVE_BACK:
    sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, 2));
    sqcq__channel_push(&field.channel, &completion);
    sqcq__channel_publish(&field.channel);
    break;
  default:
    sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, 0));
    break;
  }
}

static bool sleep_or_lose(struct crowd_member *me, uint32_t round, uint32_t prepared)
{
  struct sqcq__waiter *waiter = &field.channel.waiter;

  field.slept++;
  for (;;) {
    sqcq__waiter_sleep(waiter, prepared, sqcq__now() + 2 * MS);
    bool done = atomic_load(&field.pushed_done) == round;
    if (sqcq__waiter_prepare(waiter) != prepared)
      return true;
    if (done) {
      crowd_fail(me, "a wake was lost: it is there, whoever brought it has looked, and I sleep");
      return false;
    }
    if (!crowd_good(me))
      return false;
  }
}

static void wait_in_rounds(struct crowd_member *me)
{
  struct sqcq__waiter *waiter = &field.channel.waiter;

  for (uint32_t round = 1; round <= field.quota; round++) {
    uint32_t want = end_of(round) == END_GIVE_BACK ? 2 : 1;
    struct sqcq_completion out;

    set_up_round(round);
    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 60));
    while (!sqcq__channel_ready(&field.channel, want)) {
      uint32_t prepared = sqcq__waiter_prepare(waiter);

      sqcq__waiter_announce(waiter, want);
      if (!sqcq__channel_ready(&field.channel, want) && !sleep_or_lose(me, round, prepared))
        return;
      sqcq__waiter_clear(waiter);
    }
    uint32_t count = sqcq__channel_pop(&field.channel, &out, 1);
    crowd_check(me, count == (end_of(round) != END_CLOSE));
    crowd_check(me, count == 0 || is_whole(&out, round));
    if (!crowd_meet(me, 2 * round + 1))
      return;
  }
}

static void play_litmus(struct crowd_member *me)
{
  if (me->index == 0)
    end_in_rounds(me);
  else
    wait_in_rounds(me);
}

static void channel_litmus_loses_no_wake(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(1);

  rng_seed(&rng, rng_seed_from_env(0xc4a2));
  while (crowd_next_round(&soak)) {
    make_field(3);
    field.quota = crowd_scaled(200000);
    crowd_start(&crowd, 2, CROWD_LEFT_ALONE, &rng, play_litmus);
    crowd_join(&crowd);
    printf("%u rounds, slept %llu times\n", field.quota, (unsigned long long)field.slept);
    unmake_field();
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(channel_under_load_delivers_all_in_order_and_wakes),
      cmocka_unit_test(channel_litmus_loses_no_wake),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
