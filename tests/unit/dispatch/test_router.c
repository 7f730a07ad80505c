/*
 * The router: each completion to its channel, and at the end of a turn one wake, which goes on from
 * consumer to consumer, and those that it has not reached a turn later.
 */
#include "dispatch/router.h"

#include "base/mem.h"
#include "support/test.h"

#define CHANNELS 4u
#define CAPACITY 8u

static struct sqcq__channel *channels;
static struct sqcq__relay relay;
static struct sqcq__router router;

static int make(void **state)
{
  (void)state;
  channels = sqcq__mem_new(CHANNELS, sizeof(*channels));
  if (channels == NULL || sqcq__relay_init(&relay, channels, CHANNELS) != 0 ||
      sqcq__router_init(&router, &relay, channels, CHANNELS) != 0)
    return -1;
  for (uint32_t i = 0; i < CHANNELS; i++) {
    if (sqcq__channel_fit(&channels[i], CAPACITY) != 0)
      return -1;
    channels[i].credit.capacity = CAPACITY;
    sqcq__store_relaxed(&channels[i].credit.word, sqcq__word(1, CAPACITY)); /* all promised */
  }
  return 0;
}

static int unmake(void **state)
{
  (void)state;
  for (uint32_t i = 0; i < CHANNELS; i++)
    sqcq__channel_fini(&channels[i]);
  sqcq__mem_free(channels);
  sqcq__router_fini(&router);
  sqcq__relay_fini(&relay);
  return 0;
}

static void push(uint32_t channel, uint64_t number)
{
  struct sqcq_completion completion = {.user_data = number};

  sqcq__router_push(&router, channel, &completion);
}

static void end_turn(void)
{
  sqcq__router_publish(&router);
  sqcq__router_wake(&router);
}

static void want(uint32_t channel, uint32_t count)
{
  sqcq__waiter_announce(&channels[channel].waiter, count);
}

/* How often the channel's waiter has been woken, by event count. */
static uint32_t woken(uint32_t channel)
{
  return sqcq__waiter_prepare(&channels[channel].waiter);
}

static void router_push_goes_to_its_channel(void **state)
{
  struct sqcq_completion out[CAPACITY];

  push(2, 20);
  push(0, 1);
  push(2, 21);
  assert_int_equal(router.pushed, 3);
  assert_int_equal(sqcq__channel_pop(&channels[2], out, CAPACITY), 0); /* not before the end */
  end_turn();
  assert_int_equal(sqcq__channel_pop(&channels[0], out, CAPACITY), 1);
  assert_int_equal(out[0].user_data, 1);
  assert_int_equal(sqcq__channel_pop(&channels[1], out, CAPACITY), 0);
  assert_int_equal(sqcq__channel_pop(&channels[2], out, CAPACITY), 2);
  assert_int_equal(out[0].user_data, 20);
  assert_int_equal(out[1].user_data, 21);
  assert_int_equal(sqcq__channel_pop(&channels[3], out, CAPACITY), 0);
}

static void router_push_notes_a_channel_once(void **state)
{
  for (int i = 0; i < 5; i++)
    push(1, 0);
  push(3, 0);
  push(1, 0);
  assert_int_equal(router.touched_count, 2);
  assert_int_equal(router.touched[0], 1);
  assert_int_equal(router.touched[1], 3);
}

static void router_wake_wakes_each_channel_once_a_turn(void **state)
{
  want(1, 1);
  want(3, 2);
  for (int i = 0; i < 5; i++)
    push(1, 0);
  push(3, 0);
  assert_int_equal(woken(1), 0); /* not at a push */
  end_turn();
  assert_int_equal(woken(1), 1);
  assert_int_equal(woken(3), 0); /* it wants two */
  push(3, 0);
  end_turn();
  assert_int_equal(woken(1), 1); /* nothing new for it in this turn */
  assert_int_equal(woken(3), 1);
}

static uint32_t all_woken(void)
{
  uint32_t sum = 0;

  for (uint32_t i = 0; i < CHANNELS; i++)
    sum += woken(i);
  return sum;
}

/* The next of those woken is awake. */
static void leave(uint32_t channel)
{
  sqcq__relay_leave(&relay, &channels[channel].waiter);
}

static void router_wake_of_several_wakes_one_and_passes_on(void **state)
{
  for (uint32_t i = 0; i < CHANNELS; i++) {
    want(i, 1);
    push(i, i);
  }
  end_turn();
  assert_int_equal(all_woken(), 1);
  /* Each that is awake wakes the next, and the last one nobody. */
  for (uint32_t i = 0; i < CHANNELS; i++) {
    leave(i);
    assert_int_equal(all_woken(), i + 2 < CHANNELS ? i + 2 : CHANNELS);
  }
  for (uint32_t i = 0; i < CHANNELS; i++)
    assert_int_equal(woken(i), 1);
  end_turn(); /* and the I/O thread finds nobody asleep */
  assert_int_equal(all_woken(), CHANNELS);
  assert_int_equal(router.touched_count, 0);
}

static void router_wake_wakes_itself_whom_nobody_woke_for_a_turn(void **state)
{
  for (uint32_t i = 0; i < CHANNELS; i++) {
    want(i, 1);
    push(i, i);
  }
  end_turn();
  assert_int_equal(all_woken(), 1);
  end_turn(); /* with nothing new */
  for (uint32_t i = 0; i < CHANNELS; i++)
    assert_int_equal(woken(i), 1);
  assert_int_equal(router.touched_count, 0);
}

static void router_wake_a_turn_later_wakes_old_and_new(void **state)
{
  want(0, 1);
  want(1, 1);
  push(0, 0);
  push(1, 0);
  end_turn();
  assert_int_equal(woken(0) + woken(1), 1);
  want(2, 1);
  want(3, 1);
  push(2, 0);
  push(3, 0);
  end_turn();
  assert_int_equal(woken(0) + woken(1), 2);
  assert_int_equal(woken(2) + woken(3), 1);
  end_turn();
  assert_int_equal(all_woken(), 4);
}

static void router_wake_takes_a_new_sleep_of_one_passed_on_for_a_new_one(void **state)
{
  for (uint32_t turn = 0; turn < 4; turn++) {
    uint32_t before = woken(0);

    for (uint32_t i = 0; i < 2; i++) {
      want(i, 1);
      push(i, 0);
    }
    end_turn();
    assert_int_equal(all_woken(), 2 * turn + 1); /* one a turn, whoever it was last time */
    uint32_t first = woken(0) > before ? 0 : 1;
    leave(first);
    assert_int_equal(all_woken(), 2 * turn + 2);
    leave(1 - first);
  }
}

static void router_wake_passes_over_one_whose_sleep_has_been_ended(void **state)
{
  want(0, 1);
  want(1, 1);
  push(0, 0);
  push(1, 0);
  sqcq__router_publish(&router);
  assert_true(sqcq__channel_wake(&channels[0], false)); /* by a producer that gives credits back */
  sqcq__router_wake(&router);
  assert_int_equal(woken(0), 1);
  assert_int_equal(woken(1), 1); /* not left to number 0, which may be past its look */
}

static void router_wake_forgets_what_was_touched(void **state)
{
  push(1, 0);
  end_turn();
  assert_int_equal(all_woken(), 0); /* nobody slept */
  assert_int_equal(router.touched_count, 0);
  want(1, 1);
  end_turn();
  assert_int_equal(woken(1), 0);
  push(1, 0); /* noted anew */
  assert_int_equal(router.touched_count, 1);
  end_turn();
  assert_int_equal(woken(1), 1);
}

static void router_wake_without_pushes_looks_at_nobody(void **state)
{
  want(0, 1);
  end_turn();
  assert_int_equal(woken(0), 0);
}

static void router_wake_makes_no_system_call_for_a_sleep_that_was_ended(void **state)
{
  want(0, 1);
  push(0, 0);
  end_turn();
  assert_int_equal(woken(0), 1);
  assert_int_equal(sqcq__load_relaxed(&channels[0].waiter.wakes), 1);
  push(0, 0);
  end_turn();
  assert_int_equal(woken(0), 1);
  assert_int_equal(sqcq__load_relaxed(&channels[0].waiter.wakes), 1);
}

static void router_wake_all_wakes_all_that_wait_for_whatever(void **state)
{
  want(0, 1);
  want(2, 7);
  sqcq__router_wake_all(&router);
  assert_int_equal(woken(0), 1);
  assert_int_equal(woken(1), 0); /* awake */
  assert_int_equal(woken(2), 1);
  assert_int_equal(woken(3), 0);
}

#define ROUTER_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      ROUTER_TEST(router_push_goes_to_its_channel),
      ROUTER_TEST(router_push_notes_a_channel_once),
      ROUTER_TEST(router_wake_wakes_each_channel_once_a_turn),
      ROUTER_TEST(router_wake_of_several_wakes_one_and_passes_on),
      ROUTER_TEST(router_wake_wakes_itself_whom_nobody_woke_for_a_turn),
      ROUTER_TEST(router_wake_a_turn_later_wakes_old_and_new),
      ROUTER_TEST(router_wake_takes_a_new_sleep_of_one_passed_on_for_a_new_one),
      ROUTER_TEST(router_wake_passes_over_one_whose_sleep_has_been_ended),
      ROUTER_TEST(router_wake_forgets_what_was_touched),
      ROUTER_TEST(router_wake_without_pushes_looks_at_nobody),
      ROUTER_TEST(router_wake_makes_no_system_call_for_a_sleep_that_was_ended),
      ROUTER_TEST(router_wake_all_wakes_all_that_wait_for_whatever),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
