/* sqcq-test: timeout 400 */
/*
 * Wakes that are passed on, with the I/O thread gone: in each round it answers some consumers in one
 * turn, and turns no more until all of them have taken what is theirs. So the first wake alone must
 * reach them all, from one to the next. Some consumers wait for ever, and hang where a wake is lost;
 * the others for a random moment, so that they leave while they are being relied on.
 *
 * The litmus: one that is announced leaves by itself, just while the I/O thread ends a turn with
 * something for it and for another, which cannot leave by itself. Whoever comes second must see the
 * first: the other one is woken.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "engine/engine.h"
#include "stress/crowd.h"
#include "support/kernel.h"

#include "base/mem.h"

#include <sqcq/sqcq.h>

#include <sys/mman.h>

#define CONSUMERS 5u
#define RESTLESS 2u /* of them; they wait for a moment only */
#define IN_ROUND 3u /* reads for one consumer, at the most */
#define ROUNDS 3000u

struct field {
  struct sqcq_engine *engine;
  sqcq_file file;
  sqcq_pool pool;
  sqcq_channel channels[CONSUMERS];
  uint32_t rounds;
  uint32_t asked[CONSUMERS];
  atomic_uint taken[CONSUMERS];
  atomic_bool over;
  uint64_t slept; /* after joining */
  uint64_t woken;
};

static struct field field;
static struct crowd crowd;

static void make_field(void)
{
  struct sqcq_engine_config config;
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = IN_ROUND};
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = CONSUMERS * IN_ROUND, .align = 64, .buffer_size = 64};
  int fd = memfd_create("stress_relay", MFD_CLOEXEC);

  field = (struct field){.rounds = crowd_scaled(ROUNDS)};
  assert_true(fd >= 0);
  assert_ok(ftruncate(fd, 4096));
  sqcq_engine_config_init(&config);
  config.depth = 32;
  config.channels_max = CONSUMERS;
  config.requests_max = CONSUMERS * IN_ROUND;
  assert_ok(sqcq_engine_create(&field.engine, &config, NULL));
  assert_ok(sqcq_file_add(field.engine, fd, &field.file));
  close(fd);
  assert_ok(sqcq_pool_create(field.engine, &pool, &field.pool));
  for (uint32_t i = 0; i < CONSUMERS; i++)
    assert_ok(sqcq_channel_create(field.engine, &channel, &field.channels[i]));
}

static void unmake_field(void)
{
  struct sqcq_stats stats;
  struct sqcq_held held;

  assert_ok(sqcq_engine_stats(field.engine, &stats, sizeof(stats)));
  field.slept = stats.consumer_sleeps;
  field.woken = stats.consumer_wakes;
  assert_ok(sqcq_engine_destroy(field.engine, &held));
}

/* ------------------------------------------------------------------------- */
/* The I/O thread                                                            */
/* ------------------------------------------------------------------------- */

static uint32_t ask(struct crowd_member *me)
{
  uint32_t asked = 0;

  for (uint32_t i = 0; i < CONSUMERS; i++)
    for (uint64_t n = rng_between(&me->rng, 0, IN_ROUND); n > 0; n--) {
      struct sqcq_read read = {.file = field.file, .channel = field.channels[i], .length = 64};

      crowd_check(me, sqcq_buffer_acquire(field.engine, field.pool, &read.buffer, 1) == 1);
      crowd_check(me, sqcq_request(field.engine, &read) == 0);
      field.asked[i]++;
      asked++;
    }
  return asked;
}

static void say_lost(struct crowd_member *me, uint32_t index)
{
  struct sqcq__channel *channel = &field.engine->channels[index];
  const struct sqcq__waiter *waiter = &channel->waiter;

  verdict_fail(
      &me->crowd->verdict,
      "a wake was lost: consumer %u sleeps on %u that are there: wants %u, sleep %llu, last "
      "roused from %llu; notes %#llx",
      index, sqcq__channel_unread(channel), sqcq__load_relaxed(&waiter->want),
      (unsigned long long)sqcq__waiter_number(waiter),
      (unsigned long long)sqcq__load_relaxed(&waiter->roused),
      (unsigned long long)sqcq__load_relaxed(&field.engine->relay.notes[0]));
}

/* Without a turn; false where somebody sleeps on. */
static bool all_take_theirs(struct crowd_member *me)
{
  int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;

  for (uint32_t i = 0; i < CONSUMERS; i++)
    while (atomic_load(&field.taken[i]) != field.asked[i]) {
      if (test_now_ns() > patience)
        say_lost(me, i);
      if (!crowd_good(me))
        return false;
      (void)sched_yield();
    }
  return true;
}

static void turn_in_rounds(struct crowd_member *me)
{
  for (uint32_t round = 0; round < field.rounds && crowd_good(me); round++) {
    uint32_t left = ask(me);

    crowd_jitter(&me->rng);
    while (left > 0 && crowd_good(me)) { /* a page in memory: one turn, mostly */
      int delivered = sqcq_engine_poll(field.engine);

      crowd_check(me, delivered >= 0);
      left -= delivered > 0 ? (uint32_t)delivered : 0;
    }
    if (!all_take_theirs(me))
      break;
    crowd_progress(me);
  }
  atomic_store(&field.over, true);
  crowd_check(me, sqcq_engine_stop(field.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER) == 0);
  crowd_check(me, sqcq_engine_run(field.engine) == 0);
}

/* ------------------------------------------------------------------------- */
/* Consumers                                                                 */
/* ------------------------------------------------------------------------- */

static void consume(struct crowd_member *me, uint32_t index)
{
  struct sqcq_completion out[IN_ROUND];

  for (;;) {
    int64_t timeout = index < RESTLESS ? (int64_t)rng_below(&me->rng, 100000) : SQCQ_FOREVER;
    int n = sqcq_channel_wait(field.engine, field.channels[index], out, IN_ROUND, 1, timeout);

    if (n == -ESHUTDOWN)
      return;
    crowd_check(me, n >= 0);
    for (int i = 0; i < n; i++) {
      crowd_check(me, out[i].result == 64 || crowd_interrupted(me, out[i].result, out[i].flags));
      crowd_check(me, sqcq_buffer_release(field.engine, &out[i].buffer, 1) == 1);
    }
    crowd_jitter(&me->rng);
    if (n > 0)
      atomic_fetch_add(&field.taken[index], (uint32_t)n);
    crowd_progress(me);
  }
}

static void act(struct crowd_member *me)
{
  if (me->index == 0)
    turn_in_rounds(me);
  else
    consume(me, me->index - 1);
}

static void one_wake_reaches_all(void **state)
{
  struct crowd_soak soak = crowd_soak(1);
  struct rng rng;

  (void)state;
  rng_seed(&rng, rng_seed_from_env(0x5e1a7));
  while (crowd_next_round(&soak)) {
    make_field();
    crowd_start(&crowd, CONSUMERS + 1, CROWD_JOSTLED, &rng, act);
    crowd_join(&crowd);
    unmake_field();
    print_message("%u rounds, %llu sleeps, %llu wakes\n", field.rounds,
                  (unsigned long long)field.slept, (unsigned long long)field.woken);
    assert_true(field.woken > 0);
  }
}

/* ------------------------------------------------------------------------- */
/* Litmus                                                                    */
/* ------------------------------------------------------------------------- */

#define LITMUS_ROUNDS 200000u

enum {
  LEAVES,
  SLEEPS_ON
};

static struct litmus {
  struct sqcq__channel *channels;
  struct sqcq__relay relay;
  struct sqcq__router router;
  uint32_t rounds;
  uint32_t by_turn; /* rounds in which the turn had no need of the one that left */
} litmus;

static void make_litmus(void)
{
  litmus.rounds = crowd_scaled(LITMUS_ROUNDS);
  litmus.channels = sqcq__mem_new(2, sizeof(*litmus.channels));
  assert_non_null(litmus.channels);
  assert_ok(sqcq__relay_init(&litmus.relay, litmus.channels, 2));
  assert_ok(sqcq__router_init(&litmus.router, &litmus.relay, litmus.channels, 2));
  for (uint32_t i = 0; i < 2; i++) {
    assert_ok(sqcq__channel_fit(&litmus.channels[i], 1));
    litmus.channels[i].credit.capacity = 1;
    sqcq__store_relaxed(&litmus.channels[i].credit.word, sqcq__word(1, 1));
  }
}

static void unmake_litmus(void)
{
  for (uint32_t i = 0; i < 2; i++)
    sqcq__channel_fini(&litmus.channels[i]);
  sqcq__router_fini(&litmus.router);
  sqcq__relay_fini(&litmus.relay);
  sqcq__mem_free(litmus.channels);
}

/* Both are announced, and what they wait for is there, but for the end of the turn. */
static void set_up_round(void)
{
  struct sqcq_completion completion = {0}, out;

  litmus.router.touched_count = 0;
  for (uint32_t i = 0; i < 2; i++) {
    litmus.router.notes[i] = (struct sqcq__router_note){0};
    (void)sqcq__channel_pop(&litmus.channels[i], &out, 1);
    sqcq__waiter_announce(&litmus.channels[i].waiter, 1);
  }
  sqcq__router_push(&litmus.router, LEAVES, &completion);
  sqcq__router_push(&litmus.router, SLEEPS_ON, &completion);
  sqcq__router_publish(&litmus.router);
}

static void litmus_in_rounds(struct crowd_member *me)
{
  struct sqcq__waiter *other = &litmus.channels[SLEEPS_ON].waiter;

  for (uint32_t round = 0; round < litmus.rounds; round++) {
    uint64_t before = sqcq__load_relaxed(&other->wakes);

    if (me->index == 0)
      set_up_round();
    if (!crowd_meet(me, 3 * round + 2))
      return;
    crowd_spin(rng_below(&me->rng, 30));
    if (me->index == 0)
      sqcq__router_wake(&litmus.router);
    else
      sqcq__relay_leave(&litmus.relay, &litmus.channels[LEAVES].waiter);
    if (!crowd_meet(me, 3 * round + 3))
      return;
    if (me->index == 0) {
      if (sqcq__load_relaxed(&other->wakes) == before)
        crowd_fail(me, "a wake was lost: relied on one that did not look again");
      litmus.by_turn += litmus.router.touched_count == 0;
      crowd_progress(me);
    }
    if (!crowd_meet(me, 3 * round + 4))
      return;
  }
}

static void one_that_leaves_is_not_relied_on_or_passes_on(void **state)
{
  struct crowd_soak soak = crowd_soak(1);
  struct rng rng;

  (void)state;
  rng_seed(&rng, rng_seed_from_env(0x1ea5e));
  while (crowd_next_round(&soak)) {
    litmus = (struct litmus){0};
    make_litmus();
    crowd_start(&crowd, 2, CROWD_LEFT_ALONE, &rng, litmus_in_rounds);
    crowd_join(&crowd);
    unmake_litmus();
    print_message("%u of %u rounds without the one that left\n", litmus.by_turn, litmus.rounds);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_wake_reaches_all),
      cmocka_unit_test(one_that_leaves_is_not_relied_on_or_passes_on),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
