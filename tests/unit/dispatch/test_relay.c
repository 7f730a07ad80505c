/*
 * The relay: notes of who is to be woken, beyond one word of them. See test_router.c for a turn,
 * and stress_relay.c for threads.
 */
#include "dispatch/relay.h"

#include "base/mem.h"
#include "support/test.h"

#define CHANNELS 130u

static struct sqcq__channel *channels;
static struct sqcq__relay relay;

static int make(void **state)
{
  (void)state;
  channels = sqcq__mem_new(CHANNELS, sizeof(*channels));
  if (channels == NULL || sqcq__relay_init(&relay, channels, CHANNELS) != 0)
    return -1;
  for (uint32_t i = 0; i < CHANNELS; i++) {
    if (sqcq__channel_fit(&channels[i], 1) != 0)
      return -1;
    channels[i].credit.capacity = 1;
    sqcq__store_relaxed(&channels[i].credit.word, sqcq__word(1, 1));
  }
  return 0;
}

static int unmake(void **state)
{
  (void)state;
  for (uint32_t i = 0; i < CHANNELS; i++)
    sqcq__channel_fini(&channels[i]);
  sqcq__mem_free(channels);
  sqcq__relay_fini(&relay);
  return 0;
}

/* It sleeps, and what it waits for is there. */
static void sleep_with_one(uint32_t index)
{
  struct sqcq_completion completion = {.user_data = index};

  sqcq__waiter_announce(&channels[index].waiter, 1);
  sqcq__channel_push(&channels[index], &completion);
  sqcq__channel_publish(&channels[index]);
}

/* A consumer that is none of these leaves a sleep. Whether it has woken somebody. */
static bool leave(void)
{
  struct sqcq__waiter waiter = {.want = 1};
  uint64_t wakes = 0;

  for (uint32_t i = 0; i < CHANNELS; i++)
    wakes -= sqcq__load_relaxed(&channels[i].waiter.wakes);
  sqcq__relay_leave(&relay, &waiter);
  assert_int_equal(sqcq__waiter_want(&waiter), 0);
  for (uint32_t i = 0; i < CHANNELS; i++)
    wakes += sqcq__load_relaxed(&channels[i].waiter.wakes);
  assert_true(wakes <= 1);
  return wakes == 1;
}

static bool is_woken(uint32_t index)
{
  return sqcq__waiter_prepare(&channels[index].waiter) != 0;
}

static void relay_without_notes_wakes_nobody(void **state)
{
  sleep_with_one(3);
  assert_false(leave());
  assert_false(is_woken(3));
}

static void relay_wakes_one_a_call_and_each_once(void **state)
{
  static const uint32_t sleepers[] = {0, 1, 63, 64, 127, 128, 129};
  uint32_t count = sizeof(sleepers) / sizeof(sleepers[0]), woken = 0;

  for (uint32_t i = 0; i < count; i++) {
    sleep_with_one(sleepers[i]);
    sqcq__relay_note(&relay, sleepers[i]);
    sqcq__relay_note(&relay, sleepers[i]); /* twice is once */
  }
  while (leave()) {
    uint32_t now = 0;

    woken++;
    for (uint32_t i = 0; i < count; i++)
      now += is_woken(sleepers[i]);
    assert_int_equal(now, woken);
  }
  assert_int_equal(woken, count);
}

static void relay_passes_over_those_that_need_no_wake(void **state)
{
  sqcq__relay_note(&relay, 2); /* awake */
  sqcq__waiter_announce(&channels[65].waiter, 1);
  sqcq__relay_note(&relay, 65); /* asleep, and nothing there for it */
  sleep_with_one(70);
  sqcq__relay_note(&relay, 70);
  assert_true(leave());
  assert_true(is_woken(70));
  assert_false(is_woken(2));
  assert_false(is_woken(65));
  assert_false(leave()); /* and their notes are gone */
}

#define RELAY_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      RELAY_TEST(relay_without_notes_wakes_nobody),
      RELAY_TEST(relay_wakes_one_a_call_and_each_once),
      RELAY_TEST(relay_passes_over_those_that_need_no_wake),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
