/*
 * One lane: capacity, wrap-around, claims. By one thread; see stress_lanes.c for many.
 */
#include "mpsc/lane.h"

#include "base/mem.h"
#include "support/test.h"

#include <stddef.h>
#include <string.h>

static struct sqcq__lane *lane;

static void make(uint32_t slots)
{
  lane = sqcq__mem_new(1, sizeof(*lane));
  assert_non_null(lane);
  lane->slots = sqcq__mem_new(slots, sizeof(*lane->slots));
  assert_non_null(lane->slots);
  sqcq__spsc_init(&lane->ring, slots);
}

static int unmake(void **state)
{
  (void)state;
  if (lane != NULL)
    sqcq__mem_free(lane->slots);
  sqcq__mem_free(lane);
  lane = NULL;
  return 0;
}

/* Fill a slot, not to be seen yet. */
static bool fill(uint64_t number)
{
  struct sqcq__request *slot = sqcq__lane_reserve(lane);

  if (slot == NULL)
    return false;
  /* Every byte says which request it is, so that none is mixed. */
  memset(slot, (int)(number % 251), sizeof(*slot));
  slot->user_data = number;
  sqcq__lane_fill(lane);
  return true;
}

static bool push(uint64_t number)
{
  bool filled = fill(number);

  sqcq__lane_commit(lane);
  return filled;
}

static void assert_at(uint32_t i, uint64_t number)
{
  struct sqcq__request expected;

  assert_true(i < sqcq__lane_ready(lane));
  memset(&expected, (int)(number % 251), sizeof(expected));
  expected.user_data = number;
  assert_memory_equal(sqcq__lane_at(lane, i), &expected, sizeof(expected));
}

static void assert_pops(uint64_t number)
{
  assert_at(0, number);
  sqcq__lane_give_back(lane, 1);
}

static void assert_empty(void)
{
  assert_int_equal(sqcq__lane_ready(lane), 0);
}

static uint64_t accepted(void)
{
  return sqcq__load_relaxed(&lane->accepted);
}

static void lane_of_n_slots_carries_n(void **state)
{
  for (uint32_t slots = 2; slots <= 256; slots *= 2) {
    make(slots);
    for (uint32_t i = 0; i < slots; i++)
      assert_true(push(i));
    assert_false(push(99));
    assert_null(sqcq__lane_reserve(lane));
    for (uint32_t i = 0; i < slots; i++)
      assert_pops(i);
    assert_empty();
    unmake(NULL);
  }
}

static void lane_wraps_around_and_keeps_order(void **state)
{
  uint64_t pushed = 0, popped = 0;

  make(4);
  for (int i = 0; i < 1000; i++) {
    for (uint32_t n = (uint32_t)i % 5; n > 0; n--)
      pushed += push(pushed);
    assert_int_equal(sqcq__lane_ready(lane), pushed - popped);
    while (popped + (uint32_t)i % 3 < pushed)
      assert_pops(popped++);
  }
  while (popped < pushed)
    assert_pops(popped++);
  assert_empty();
}

static void lane_positions_wrap_past_their_type(void **state)
{
  make(4);
  sqcq__store_relaxed(&lane->ring.head, UINT32_MAX - 1);
  sqcq__store_relaxed(&lane->ring.tail, UINT32_MAX - 1);
  lane->ring.first = lane->ring.next = lane->ring.head_seen = UINT32_MAX - 1;
  for (uint64_t i = 0; i < 12; i += 4) {
    for (uint64_t n = 0; n < 4; n++)
      assert_true(push(i + n));
    assert_false(push(99));
    assert_int_equal(accepted(), i + 4);
    for (uint64_t n = 0; n < 4; n++)
      assert_pops(i + n);
    assert_empty();
  }
}

static void lane_reserve_without_fill_is_the_same_slot_again(void **state)
{
  make(2);
  struct sqcq__request *slot = sqcq__lane_reserve(lane);

  assert_non_null(slot);
  assert_ptr_equal(sqcq__lane_reserve(lane), slot);
  sqcq__lane_commit(lane); /* of nothing */
  assert_empty();
  assert_int_equal(accepted(), 0);
  assert_ptr_equal(sqcq__lane_reserve(lane), slot);
  assert_true(push(7));
  assert_ptr_equal(sqcq__lane_at(lane, 0), slot);
}

static void lane_commit_publishes_all_that_is_filled_and_counts_it(void **state)
{
  make(4);
  for (uint64_t i = 0; i < 3; i++) {
    assert_true(fill(i));
    assert_empty();
    assert_int_equal(accepted(), 0);
  }
  sqcq__lane_commit(lane);
  assert_int_equal(sqcq__lane_ready(lane), 3);
  assert_int_equal(accepted(), 3);
  assert_true(fill(3));
  assert_int_equal(sqcq__lane_ready(lane), 3);
  sqcq__lane_commit(lane);
  sqcq__lane_commit(lane); /* again: nothing new */
  assert_int_equal(sqcq__lane_ready(lane), 4);
  assert_int_equal(accepted(), 4);
  for (uint32_t i = 0; i < 4; i++)
    assert_at(i, i);
}

/* What is filled is the lane's, not its holder's: no slot is lost with the claim. */
static void lane_unclaim_keeps_what_is_filled_for_the_next_holder(void **state)
{
  make(4);
  assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
  assert_true(fill(0));
  sqcq__lane_unclaim(lane);
  assert_empty();
  assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
  assert_true(push(1));
  assert_int_equal(accepted(), 2);
  assert_pops(0);
  assert_pops(1);
}

static void lane_give_back_makes_room_only_for_what_was_copied(void **state)
{
  make(4);
  for (uint64_t i = 0; i < 4; i++)
    assert_true(push(i));
  for (uint32_t i = 0; i < 3; i++)
    assert_at(i, i);
  assert_null(sqcq__lane_reserve(lane)); /* looked at is not given back */
  sqcq__lane_give_back(lane, 3);
  assert_int_equal(sqcq__lane_ready(lane), 1);
  assert_at(0, 3);
  for (uint64_t i = 4; i < 7; i++)
    assert_true(push(i));
  assert_null(sqcq__lane_reserve(lane));
  for (uint32_t i = 0; i < 4; i++)
    assert_at(i, 3 + i);
  assert_int_equal(accepted(), 7); /* accepted, not: there */
}

static void lane_claim_is_exclusive_until_given_back(void **state)
{
  make(2);
  assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
  assert_false(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
  assert_false(sqcq__lane_claim(lane, SQCQ__CLAIM_STOPPED)); /* stop waits for the holder */
  assert_int_equal(sqcq__load_relaxed(&lane->claim), SQCQ__CLAIM_HELD);
  sqcq__lane_unclaim(lane);
  assert_int_equal(sqcq__load_relaxed(&lane->claim), SQCQ__CLAIM_FREE);
  assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
}

static void lane_claim_of_a_stopped_one_fails_for_good(void **state)
{
  make(2);
  assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_STOPPED));
  assert_false(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
  assert_false(sqcq__lane_claim(lane, SQCQ__CLAIM_STOPPED));
  assert_int_equal(sqcq__load_relaxed(&lane->claim), SQCQ__CLAIM_STOPPED);
}

static void lane_zeroed_memory_is_free(void **state)
{
  assert_int_equal(SQCQ__CLAIM_FREE, 0);
}

#define LINE(member) (offsetof(struct sqcq__lane, member) / SQCQ_CACHELINE)
#define RING_LINE(member)                                                                          \
  ((offsetof(struct sqcq__lane, ring) + offsetof(struct sqcq__spsc, member)) / SQCQ_CACHELINE)

static void lane_writers_have_lines_of_their_own(void **state)
{
  assert_int_equal(_Alignof(struct sqcq__lane), SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__lane) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__lane, ring) % SQCQ_CACHELINE, 0);
  /* The claim, the consumer's head, the producer's tail and what is constant. */
  assert_int_not_equal(LINE(claim), RING_LINE(head));
  assert_int_not_equal(LINE(claim), RING_LINE(tail));
  assert_int_not_equal(RING_LINE(head), RING_LINE(tail));
  assert_int_not_equal(RING_LINE(mask), LINE(claim));
  assert_int_not_equal(RING_LINE(mask), RING_LINE(head));
  assert_int_not_equal(RING_LINE(mask), RING_LINE(tail));
  assert_int_equal(LINE(slots), RING_LINE(mask));
  assert_int_equal(LINE(accepted), LINE(claim)); /* both the holder's */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(lane_of_n_slots_carries_n, unmake),
      cmocka_unit_test_teardown(lane_wraps_around_and_keeps_order, unmake),
      cmocka_unit_test_teardown(lane_positions_wrap_past_their_type, unmake),
      cmocka_unit_test_teardown(lane_reserve_without_fill_is_the_same_slot_again, unmake),
      cmocka_unit_test_teardown(lane_commit_publishes_all_that_is_filled_and_counts_it, unmake),
      cmocka_unit_test_teardown(lane_unclaim_keeps_what_is_filled_for_the_next_holder, unmake),
      cmocka_unit_test_teardown(lane_give_back_makes_room_only_for_what_was_copied, unmake),
      cmocka_unit_test_teardown(lane_claim_is_exclusive_until_given_back, unmake),
      cmocka_unit_test_teardown(lane_claim_of_a_stopped_one_fails_for_good, unmake),
      cmocka_unit_test(lane_zeroed_memory_is_free),
      cmocka_unit_test(lane_writers_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
