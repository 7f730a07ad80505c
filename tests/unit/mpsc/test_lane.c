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
  ck_ring_init(&lane->ring, slots);
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

static bool push(uint64_t number)
{
  struct sqcq__request *slot = sqcq__lane_reserve(lane);

  if (slot == NULL)
    return false;
  /* Every byte says which request it is, so that none is mixed. */
  memset(slot, (int)(number % 251), sizeof(*slot));
  slot->user_data = number;
  sqcq__lane_commit(lane);
  return true;
}

static void assert_pops(uint64_t number)
{
  struct sqcq__request request, expected;

  assert_true(sqcq__lane_pop(lane, &request));
  memset(&expected, (int)(number % 251), sizeof(expected));
  expected.user_data = number;
  assert_memory_equal(&request, &expected, sizeof(request));
}

static void assert_empty(void)
{
  struct sqcq__request request;

  assert_false(sqcq__lane_pop(lane, &request));
}

static void lane_of_n_slots_carries_one_less(void **state)
{
  for (uint32_t slots = 2; slots <= 256; slots *= 2) {
    make(slots);
    for (uint32_t i = 0; i < slots - 1; i++)
      assert_true(push(i));
    assert_false(push(99));
    assert_null(sqcq__lane_reserve(lane));
    for (uint32_t i = 0; i < slots - 1; i++)
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
    for (uint32_t n = (uint32_t)i % 4; n > 0; n--)
      pushed += push(pushed);
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
  lane->ring.p_tail = lane->ring.p_head = lane->ring.c_head = UINT32_MAX - 1;
  for (uint64_t i = 0; i < 12; i += 3) {
    assert_true(push(i));
    assert_true(push(i + 1));
    assert_true(push(i + 2));
    assert_false(push(99));
    assert_pops(i);
    assert_pops(i + 1);
    assert_pops(i + 2);
    assert_empty();
  }
}

static void lane_reserve_without_commit_publishes_nothing(void **state)
{
  make(2);
  struct sqcq__request *slot = sqcq__lane_reserve(lane);

  assert_non_null(slot);
  assert_empty();
  assert_int_equal(sqcq__load_relaxed(&lane->accepted), 0);
  assert_ptr_equal(sqcq__lane_reserve(lane), slot); /* the same one, again */
  slot->user_data = 7;
  sqcq__lane_commit(lane);
  assert_int_equal(sqcq__load_relaxed(&lane->accepted), 1);
  struct sqcq__request request;
  assert_true(sqcq__lane_pop(lane, &request));
  assert_int_equal(request.user_data, 7);
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
  ((offsetof(struct sqcq__lane, ring) + offsetof(ck_ring_t, member)) / SQCQ_CACHELINE)

static void lane_writers_have_lines_of_their_own(void **state)
{
  assert_int_equal(_Alignof(struct sqcq__lane), SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__lane) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__lane, ring) % SQCQ_CACHELINE, 0);
  /* The claim, the consumer's head, the producer's tail and what is constant. */
  assert_int_not_equal(LINE(claim), RING_LINE(c_head));
  assert_int_not_equal(LINE(claim), RING_LINE(p_tail));
  assert_int_not_equal(RING_LINE(c_head), RING_LINE(p_tail));
  assert_int_not_equal(RING_LINE(mask), RING_LINE(c_head));
  assert_int_not_equal(RING_LINE(mask), RING_LINE(p_tail));
  assert_int_equal(LINE(slots), RING_LINE(mask));
  assert_int_equal(LINE(accepted), LINE(claim)); /* both the holder's */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(lane_of_n_slots_carries_one_less, unmake),
      cmocka_unit_test_teardown(lane_wraps_around_and_keeps_order, unmake),
      cmocka_unit_test_teardown(lane_positions_wrap_past_their_type, unmake),
      cmocka_unit_test_teardown(lane_reserve_without_commit_publishes_nothing, unmake),
      cmocka_unit_test_teardown(lane_claim_is_exclusive_until_given_back, unmake),
      cmocka_unit_test_teardown(lane_claim_of_a_stopped_one_fails_for_good, unmake),
      cmocka_unit_test(lane_zeroed_memory_is_free),
      cmocka_unit_test(lane_writers_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
