/*
 * A channel: its ring, what it promises to a consumer that waits, and credits that come back unused.
 */
#include "dispatch/channel.h"

#include "base/mem.h"
#include "support/test.h"

#include <stddef.h>
#include <string.h>

#define GENERATION 3u

static struct sqcq__channel *channel;

static int make(void **state)
{
  (void)state;
  channel = sqcq__mem_new(1, sizeof(*channel));
  return channel == NULL ? -1 : 0;
}

static int unmake(void **state)
{
  (void)state;
  sqcq__channel_fini(channel);
  sqcq__mem_free(channel);
  return 0;
}

static void open_for(uint32_t capacity)
{
  assert_ok(sqcq__channel_fit(channel, capacity));
  channel->credit.capacity = capacity;
  sqcq__store_relaxed(&channel->credit.word, sqcq__word(GENERATION, 0));
}

static void close_channel(void)
{
  (void)sqcq__or_acq_rel(&channel->credit.word, SQCQ__CREDIT_CLOSED);
}

static void take(uint32_t credits)
{
  assert_count(sqcq__credit_take(&channel->credit, GENERATION, credits), credits);
}

/* Not to be popped yet. */
static void stage(uint64_t number)
{
  struct sqcq_completion completion;

  memset(&completion, (int)(number % 251), sizeof(completion));
  completion.user_data = number;
  sqcq__channel_push(channel, &completion);
}

static void push(uint64_t number)
{
  stage(number);
  sqcq__channel_publish(channel);
}

/* A request's whole way: promised and answered. */
static void answer(uint64_t number)
{
  take(1);
  push(number);
}

static void assert_is(const struct sqcq_completion *completion, uint64_t number)
{
  struct sqcq_completion expected;

  memset(&expected, (int)(number % 251), sizeof(expected));
  expected.user_data = number;
  assert_memory_equal(completion, &expected, sizeof(expected));
}

static void assert_pops(uint64_t number)
{
  struct sqcq_completion completion;

  assert_int_equal(sqcq__channel_pop(channel, &completion, 1), 1);
  assert_is(&completion, number);
  sqcq__credit_give(&channel->credit, 1);
}

/* ------------------------------------------------------------------------- */
/* The ring                                                                  */
/* ------------------------------------------------------------------------- */

static void channel_fit_makes_the_smallest_ring_that_holds_them(void **state)
{
  static const uint32_t capacities[][2] = {{1, 2}, {2, 2}, {3, 4},     {4, 4},
                                           {5, 8}, {8, 8}, {256, 256}, {257, 512}};

  for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
    uint32_t capacity = capacities[i][0];

    open_for(capacity);
    assert_int_equal(channel->ring_size, capacities[i][1]);
    for (uint32_t n = 0; n < capacity; n++)
      answer(n);
    for (uint32_t n = 0; n < capacity; n++)
      assert_pops(n);
  }
}

static void channel_fit_keeps_a_ring_that_is_large_enough(void **state)
{
  open_for(8);
  struct sqcq_completion *slots = channel->slots;
  const struct sqcq__channel_ring *rings = channel->rings;

  answer(1);
  assert_pops(1);
  for (uint32_t capacity = 8; capacity > 0; capacity--) {
    open_for(capacity);
    assert_ptr_equal(channel->slots, slots);
    assert_ptr_equal(channel->rings, rings);
    assert_int_equal(channel->ring_size, 8);
    answer(capacity);
    assert_pops(capacity);
  }
}

static void channel_fit_that_grows_keeps_the_old_ring_for_stale_consumers(void **state)
{
  open_for(3);
  struct sqcq_completion *first = channel->slots;
  struct sqcq_completion before = first[0];

  open_for(5);
  struct sqcq_completion *second = channel->slots;
  assert_ptr_not_equal(second, first);
  open_for(100);
  assert_ptr_not_equal(channel->slots, second);
  assert_int_equal(channel->ring_size, 128);
  assert_int_equal(sqcq__channel_unread(channel), 0);
  /* All it ever had are still there, newest first; a checker would see a touch of freed memory. */
  assert_ptr_equal(channel->rings->slots, channel->slots);
  assert_ptr_equal(channel->rings->older->slots, second);
  assert_ptr_equal(channel->rings->older->older->slots, first);
  assert_null(channel->rings->older->older->older);
  assert_memory_equal(&first[0], &before, sizeof(before));
}

static void channel_fini_of_one_never_used_does_nothing(void **state)
{
  sqcq__channel_fini(channel);
  assert_null(channel->rings);
}

static void channel_pop_gives_the_oldest_first_and_no_more_than_asked(void **state)
{
  struct sqcq_completion out[8];

  open_for(5);
  for (uint64_t i = 0; i < 5; i++)
    answer(i);
  assert_int_equal(sqcq__channel_unread(channel), 5);
  assert_int_equal(sqcq__channel_pop(channel, out, 2), 2);
  assert_is(&out[0], 0);
  assert_is(&out[1], 1);
  assert_int_equal(sqcq__channel_unread(channel), 3);
  assert_int_equal(sqcq__credit_taken(sqcq__load_relaxed(&channel->credit.word)), 5);
  assert_int_equal(sqcq__channel_pop(channel, out, 8), 3);
  assert_is(&out[2], 4);
  assert_int_equal(sqcq__channel_pop(channel, out, 8), 0);
}

static void channel_push_is_popped_only_once_it_is_published(void **state)
{
  struct sqcq_completion out[8];

  open_for(4);
  take(4);
  stage(0);
  stage(1);
  assert_int_equal(sqcq__channel_unread(channel), 0);
  assert_int_equal(sqcq__channel_pop(channel, out, 8), 0);
  assert_false(sqcq__channel_ready(channel, 1));
  sqcq__channel_publish(channel);
  assert_int_equal(sqcq__channel_unread(channel), 2);
  stage(2);
  assert_int_equal(sqcq__channel_pop(channel, out, 8), 2);
  assert_is(&out[0], 0);
  assert_is(&out[1], 1);
  stage(3);
  sqcq__channel_publish(channel);
  sqcq__channel_publish(channel); /* nothing new */
  assert_int_equal(sqcq__channel_pop(channel, out, 8), 2);
  assert_is(&out[0], 2);
  assert_is(&out[1], 3);
}

static void channel_ring_wraps_around_and_keeps_order(void **state)
{
  uint64_t pushed = 0, popped = 0;

  open_for(4);
  sqcq__store_relaxed(&channel->ring.head, UINT32_MAX - 50);
  sqcq__store_relaxed(&channel->ring.tail, UINT32_MAX - 50);
  channel->ring.first = channel->ring.next = UINT32_MAX - 50;
  for (int i = 0; i < 1000; i++) {
    while (pushed - popped < (uint32_t)i % 5)
      answer(pushed++);
    assert_int_equal(sqcq__channel_unread(channel), pushed - popped);
    while (pushed - popped > (uint32_t)(i / 2) % 3)
      assert_pops(popped++);
  }
}

static void push_one_too_many(void *unused)
{
  (void)unused;
  open_for(2);
  answer(0);
  answer(1);
  push(2); /* without a credit */
}

static void channel_push_without_a_credit_is_a_mistake(void **state)
{
  assert_aborts(push_one_too_many, NULL, "<= ring->mask");
}

/* ------------------------------------------------------------------------- */
/* ready()                                                                   */
/* ------------------------------------------------------------------------- */

static void channel_ready_with_as_many_as_wanted_is_true(void **state)
{
  open_for(4);
  take(1); /* more is promised */
  answer(0);
  assert_true(sqcq__channel_ready(channel, 1));
  assert_false(sqcq__channel_ready(channel, 2));
  answer(1);
  assert_true(sqcq__channel_ready(channel, 1)); /* more than wanted, too */
  assert_true(sqcq__channel_ready(channel, 2));
  assert_false(sqcq__channel_ready(channel, 3));
}

static void channel_ready_with_some_and_nothing_promised_waives_the_rest(void **state)
{
  open_for(4);
  answer(0);
  assert_true(sqcq__channel_ready(channel, 2));
  assert_true(sqcq__channel_ready(channel, UINT32_MAX));
  take(1);
  assert_false(sqcq__channel_ready(channel, 2));
  push(1);
  assert_true(sqcq__channel_ready(channel, 3));
}

static void channel_ready_when_open_and_empty_is_false(void **state)
{
  open_for(4);
  assert_false(sqcq__channel_ready(channel, 1)); /* requests may still come */
  take(2);
  assert_false(sqcq__channel_ready(channel, 1));
}

static void channel_ready_when_closed_and_empty_is_true(void **state)
{
  open_for(4);
  close_channel();
  assert_true(sqcq__channel_ready(channel, 1)); /* to learn of the end */
  assert_true(sqcq__channel_ready(channel, 4));
}

static void channel_ready_when_closed_but_promised_is_false(void **state)
{
  open_for(4);
  take(2);
  close_channel();
  assert_false(sqcq__channel_ready(channel, 1));
  push(0);
  assert_true(sqcq__channel_ready(channel, 1));
  assert_false(sqcq__channel_ready(channel, 2));
  push(1);
  assert_true(sqcq__channel_ready(channel, 4));
}

static void channel_ready_after_unused_credits_come_back_is_true(void **state)
{
  open_for(4);
  answer(0);
  take(3); /* of a batch that will be refused */
  assert_false(sqcq__channel_ready(channel, 2));
  sqcq__channel_give_back(channel, 2);
  assert_false(sqcq__channel_ready(channel, 2));
  sqcq__channel_give_back(channel, 1);
  assert_true(sqcq__channel_ready(channel, 2));
}

/* ------------------------------------------------------------------------- */
/* Waking                                                                    */
/* ------------------------------------------------------------------------- */

/* How often the waiter was woken. */
static uint32_t wakes(void)
{
  return sqcq__waiter_prepare(&channel->waiter);
}

static void channel_wake_of_nobody_does_nothing(void **state)
{
  open_for(2);
  answer(0);
  assert_false(sqcq__channel_wake(channel, false));
  assert_false(sqcq__channel_wake(channel, true));
  assert_int_equal(wakes(), 0);
}

static void channel_sleeps_is_true_of_one_that_has_what_it_waits_for(void **state)
{
  open_for(4);
  take(3);
  push(0);
  assert_false(sqcq__channel_sleeps(channel)); /* awake */
  sqcq__waiter_announce(&channel->waiter, 2);
  assert_false(sqcq__channel_sleeps(channel));
  stage(1);
  assert_false(sqcq__channel_sleeps(channel));
  sqcq__channel_publish(channel);
  assert_true(sqcq__channel_sleeps(channel));
  assert_int_equal(wakes(), 0); /* a look */
  sqcq__waiter_clear(&channel->waiter);
  assert_false(sqcq__channel_sleeps(channel));
}

static void channel_wake_comes_once_enough_is_there(void **state)
{
  open_for(4);
  take(3);
  sqcq__waiter_announce(&channel->waiter, 2);
  push(0);
  (void)sqcq__channel_wake(channel, false);
  assert_int_equal(wakes(), 0);
  push(1);
  (void)sqcq__channel_wake(channel, false);
  assert_int_equal(wakes(), 1);
  sqcq__waiter_clear(&channel->waiter);
  (void)sqcq__channel_wake(channel, false);
  assert_int_equal(wakes(), 1);
}

static void channel_wake_leaves_the_announcement_to_the_sleeper(void **state)
{
  open_for(2);
  sqcq__waiter_announce(&channel->waiter, 1);
  answer(0);
  (void)sqcq__channel_wake(channel, false);
  assert_int_equal(sqcq__waiter_want(&channel->waiter), 1);
  assert_false(sqcq__channel_wake(channel, false)); /* noted as ended: once is enough */
  assert_int_equal(wakes(), 1);
  sqcq__waiter_announce(&channel->waiter, 1); /* the next sleep is another one */
  assert_true(sqcq__channel_wake(channel, false));
  assert_int_equal(wakes(), 2);
}

static void channel_wake_for_the_last_time_wakes_whatever_there_is(void **state)
{
  open_for(4);
  take(2);
  sqcq__waiter_announce(&channel->waiter, 2);
  (void)sqcq__channel_wake(channel, false);
  assert_int_equal(wakes(), 0);
  (void)sqcq__channel_wake(channel, true);
  assert_int_equal(wakes(), 1);
}

static void channel_give_back_wakes_one_that_waits_for_no_more(void **state)
{
  open_for(4);
  answer(0);
  take(2);
  sqcq__waiter_announce(&channel->waiter, 2);
  sqcq__channel_give_back(channel, 1);
  assert_int_equal(wakes(), 0); /* one is still promised */
  sqcq__channel_give_back(channel, 1);
  assert_int_equal(wakes(), 1);
  assert_int_equal(sqcq__credit_taken(sqcq__load_relaxed(&channel->credit.word)), 1);
}

static void channel_give_back_to_a_closed_one_wakes_for_the_end(void **state)
{
  open_for(4);
  take(1);
  close_channel();
  sqcq__waiter_announce(&channel->waiter, 1);
  sqcq__channel_give_back(channel, 0);
  assert_int_equal(wakes(), 0);
  sqcq__channel_give_back(channel, 1);
  assert_int_equal(wakes(), 1);
}

/* ------------------------------------------------------------------------- */
/* Layout                                                                    */
/* ------------------------------------------------------------------------- */

#define LINE(member) (offsetof(struct sqcq__channel, member) / SQCQ_CACHELINE)
#define RING_LINE(member)                                                                          \
  ((offsetof(struct sqcq__channel, ring) + offsetof(struct sqcq__spsc, member)) / SQCQ_CACHELINE)

static void channel_writers_have_lines_of_their_own(void **state)
{
  assert_int_equal(sizeof(struct sqcq__channel) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__channel, ring) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__channel, waiter) % SQCQ_CACHELINE, 0);
  size_t lines[] = {LINE(credit), RING_LINE(head), RING_LINE(tail), RING_LINE(mask), LINE(waiter)};
  for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
    for (size_t other = 0; other < i; other++)
      assert_int_not_equal(lines[i], lines[other]);
  /* What is constant while it is open. */
  assert_int_equal(LINE(slots), RING_LINE(mask));
  assert_int_equal(LINE(inflight_max), RING_LINE(mask));
  assert_int_equal(LINE(inflight_min), RING_LINE(mask));
}

static void completion_is_one_line(void **state)
{
  assert_int_equal(sizeof(struct sqcq_completion), SQCQ_CACHELINE);
}

#define CHANNEL_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHANNEL_TEST(channel_fit_makes_the_smallest_ring_that_holds_them),
      CHANNEL_TEST(channel_fit_keeps_a_ring_that_is_large_enough),
      CHANNEL_TEST(channel_fit_that_grows_keeps_the_old_ring_for_stale_consumers),
      CHANNEL_TEST(channel_fini_of_one_never_used_does_nothing),
      CHANNEL_TEST(channel_pop_gives_the_oldest_first_and_no_more_than_asked),
      CHANNEL_TEST(channel_push_is_popped_only_once_it_is_published),
      CHANNEL_TEST(channel_ring_wraps_around_and_keeps_order),
      CHANNEL_TEST(channel_push_without_a_credit_is_a_mistake),
      CHANNEL_TEST(channel_ready_with_as_many_as_wanted_is_true),
      CHANNEL_TEST(channel_ready_with_some_and_nothing_promised_waives_the_rest),
      CHANNEL_TEST(channel_ready_when_open_and_empty_is_false),
      CHANNEL_TEST(channel_ready_when_closed_and_empty_is_true),
      CHANNEL_TEST(channel_ready_when_closed_but_promised_is_false),
      CHANNEL_TEST(channel_ready_after_unused_credits_come_back_is_true),
      CHANNEL_TEST(channel_wake_of_nobody_does_nothing),
      CHANNEL_TEST(channel_sleeps_is_true_of_one_that_has_what_it_waits_for),
      CHANNEL_TEST(channel_wake_comes_once_enough_is_there),
      CHANNEL_TEST(channel_wake_leaves_the_announcement_to_the_sleeper),
      CHANNEL_TEST(channel_wake_for_the_last_time_wakes_whatever_there_is),
      CHANNEL_TEST(channel_give_back_wakes_one_that_waits_for_no_more),
      CHANNEL_TEST(channel_give_back_to_a_closed_one_wakes_for_the_end),
      cmocka_unit_test(channel_writers_have_lines_of_their_own),
      cmocka_unit_test(completion_is_one_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
