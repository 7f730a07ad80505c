/*
 * pair(relay): the I/O thread, at the end of a turn that has something for two sleeping consumers, notes the
 * second, then looks whether the first one still sleeps, wakes that one and leaves the other one to it. The
 * first one, awake by itself just now, takes its announcement back, then looks for notes. A round is lost where the
 * I/O thread relies on one who has looked already: the second consumer sleeps until the next turn.
 */
#include "dispatch/router.h"

#include "litmus/litmus.h"

static struct sqcq__channel channels[2];
static struct sqcq__relay relay;
static struct sqcq__router router;
static uint64_t wakes_before[2]; /* sleeper only */

static uint64_t wakes(uint32_t index)
{
  return sqcq__load_relaxed(&channels[index].waiter.wakes);
}

/* Both sleep. */
static void reset(void)
{
  struct sqcq_completion out[2];

  for (uint32_t i = 0; i < 2; i++) {
    (void)sqcq__channel_pop(&channels[i], out, 2);
    sqcq__waiter_announce(&channels[i].waiter, 1);
    router.notes[i] = (struct sqcq__router_note){0};
    wakes_before[i] = wakes(i);
  }
  router.touched_count = 0;
  sqcq__store_relaxed(&relay.notes[0], 0);
}

static void leave(void)
{
  sqcq__relay_leave(&relay, &channels[0].waiter);
}

static void publish(void)
{
  for (uint32_t i = 0; i < 2; i++)
    sqcq__router_push(&router, i, &(struct sqcq_completion){.user_data = 1});
  sqcq__router_publish(&router);
  for (uint32_t i = 0; i < 2; i++)
    (void)sqcq__channel_sleeps(&channels[i]);
}

static void end_turn(void)
{
  sqcq__router_wake(&router);
}

static bool lost(void)
{
  return wakes(0) != wakes_before[0] && wakes(1) == wakes_before[1];
}

static void turn_against_a_consumer_that_leaves_its_sleep(void **state)
{
  assert_ok(sqcq__relay_init(&relay, channels, 2));
  assert_ok(sqcq__router_init(&router, &relay, channels, 2));
  for (uint32_t i = 0; i < 2; i++) {
    assert_ok(sqcq__channel_fit(&channels[i], 2));
    sqcq__store_relaxed(&channels[i].credit.word, sqcq__word(1, 1));
  }
  litmus_run(&(struct litmus){reset, publish, end_turn, leave, lost});
  for (uint32_t i = 0; i < 2; i++)
    sqcq__channel_fini(&channels[i]);
  sqcq__router_fini(&router);
  sqcq__relay_fini(&relay);
}

LITMUS_MAIN(cmocka_unit_test(turn_against_a_consumer_that_leaves_its_sleep))
