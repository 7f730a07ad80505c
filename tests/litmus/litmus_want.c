/*
 * pair(want): the I/O thread publishes completions, or anybody gives credits back, then looks, after a fence,
 * whether the consumer has announced its sleep; the consumer announces it, then looks, after a fence, whether
 * there is what it waits for.
 */
#include "dispatch/router.h"

#include "litmus/litmus.h"

static struct sqcq__channel channel;
static struct sqcq__relay relay;
static struct sqcq__router router;
static uint32_t want;         /* of the case; constant in a round */
static uint32_t promised;     /* likewise: credits taken when a round begins */
static uint64_t wakes_before; /* sleeper only, both */
static bool sleeps;

static void reset(void)
{
  struct sqcq_completion out[2];

  if (promised == 1)
    (void)sqcq__channel_pop(&channel, out, 2);
  sqcq__waiter_clear(&channel.waiter);
  sqcq__store_relaxed(&channel.credit.word, sqcq__word(1, promised));
  wakes_before = sqcq__load_relaxed(&channel.waiter.wakes);
}

static void reset_outside(void)
{
  reset();
  sqcq__waiter_reset(&channel.waiter);
}

static void announce_and_look(void)
{
  (void)sqcq__waiter_prepare(&channel.waiter);
  sqcq__waiter_announce(&channel.waiter, want);
  sleeps = !sqcq__channel_ready(&channel, want);
}

static void announce_outside_and_look(void)
{
  sqcq__waiter_announce_outside(&channel.waiter, want);
  sleeps = !sqcq__channel_ready(&channel, want);
}

static bool lost(void)
{
  return sleeps && sqcq__load_relaxed(&channel.waiter.wakes) == wakes_before;
}

static void look(void)
{
  (void)sqcq__waiter_want(&channel.waiter);
}

static void push(void)
{
  sqcq__router_push(&router, 0, &(struct sqcq_completion){.user_data = 1});
  look();
}

/* The end of a turn. */
static void complete(void)
{
  sqcq__router_publish(&router);
  sqcq__router_wake(&router);
}

/* The consumer wants two: one is there, and another one was promised until now. */
static void give_back(void)
{
  sqcq__channel_give_back(&channel, 1);
}

static void run(const struct litmus *litmus, uint32_t wanted)
{
  memset(&channel, 0, sizeof(channel));
  assert_ok(sqcq__channel_fit(&channel, 2));
  assert_ok(sqcq__relay_init(&relay, &channel, 1));
  assert_ok(sqcq__router_init(&router, &relay, &channel, 1));
  assert_true(sqcq__waiter_event(&channel.waiter) >= 0);
  want = wanted;
  promised = wanted;
  if (want == 2)
    push();
  sqcq__router_publish(&router);
  litmus_run(litmus);
  sqcq__router_fini(&router);
  sqcq__relay_fini(&relay);
  sqcq__channel_fini(&channel);
}

static void completion_against_a_consumers_sleep(void **state)
{
  run(&(struct litmus){reset, push, complete, announce_and_look, lost}, 1);
}

static void completion_against_a_consumers_sleep_outside(void **state)
{
  run(&(struct litmus){reset_outside, push, complete, announce_outside_and_look, lost}, 1);
}

static void give_back_against_a_consumers_sleep(void **state)
{
  run(&(struct litmus){reset, look, give_back, announce_and_look, lost}, 2);
}

LITMUS_MAIN(cmocka_unit_test(completion_against_a_consumers_sleep),
            cmocka_unit_test(completion_against_a_consumers_sleep_outside),
            cmocka_unit_test(give_back_against_a_consumers_sleep))
