/*
 * The set of lanes, by one thread: claims, work bits, stop. stress_lanes.c has many threads.
 */
#include "mpsc/lanes.h"

#include "support/test.h"

#include <stddef.h>

static struct sqcq__lanes lanes;

static void make(uint32_t count, uint32_t slots)
{
  assert_ok(sqcq__lanes_init(&lanes, count, slots));
}

static int unmake(void **state)
{
  (void)state;
  sqcq__lanes_fini(&lanes);
  return 0;
}

static uint32_t index_of(const struct sqcq__lane *lane)
{
  return (uint32_t)(lane - lanes.lanes);
}

static struct sqcq__lane *claim(void)
{
  uint32_t tried = 0;

  return sqcq__lanes_claim(&lanes, &tried);
}

/* Fill a slot; the publishing is the test's. */
static void fill(struct sqcq__lane *lane, uint64_t number)
{
  struct sqcq__request *slot = sqcq__lane_reserve(lane);

  assert_non_null(slot);
  *slot = (struct sqcq__request){.user_data = number};
  sqcq__lane_fill(lane);
}

static void lanes_init_makes_free_and_empty_lanes(void **state)
{
  make(5, 8);
  assert_int_equal(lanes.count, 5);
  assert_int_equal(lanes.slots, 8);
  assert_false(sqcq__lanes_have_work(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), 0);
  assert_int_equal(sqcq__lanes_accepted(&lanes), 0);
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(sqcq__load_relaxed(&lanes.lanes[i].claim), SQCQ__CLAIM_FREE);
    assert_int_equal(sqcq__lane_ready(&lanes.lanes[i]), 0);
    for (uint32_t n = 0; n < 8; n++)
      fill(&lanes.lanes[i], n);
    assert_null(sqcq__lane_reserve(&lanes.lanes[i]));
  }
}

static void lanes_fini_of_none_does_nothing(void **state)
{
  lanes = (struct sqcq__lanes){0};
  sqcq__lanes_fini(&lanes);
  make(2, 2);
  sqcq__lanes_fini(&lanes);
  sqcq__lanes_fini(&lanes);
}

static void lanes_claim_gives_each_lane_once(void **state)
{
  uint64_t seen = 0;

  make(7, 2);
  for (uint32_t i = 0; i < 7; i++) {
    struct sqcq__lane *lane = claim();

    assert_non_null(lane);
    assert_int_equal(sqcq__load_relaxed(&lane->claim), SQCQ__CLAIM_HELD);
    assert_int_equal(seen & UINT64_C(1) << index_of(lane), 0);
    seen |= UINT64_C(1) << index_of(lane);
  }
  assert_int_equal(seen, 0x7f);
  assert_null(claim());
}

static void lanes_claim_passes_over_held_lanes(void **state)
{
  make(4, 2);
  for (uint32_t left = 0; left < 4; left++) {
    for (uint32_t i = 0; i < 4; i++)
      sqcq__store_relaxed(&lanes.lanes[i].claim, i == left ? SQCQ__CLAIM_FREE : SQCQ__CLAIM_HELD);
    struct sqcq__lane *lane = claim();
    assert_ptr_equal(lane, &lanes.lanes[left]);
    assert_null(claim());
  }
}

static void lanes_claim_tries_each_at_most_once_for_a_batch(void **state)
{
  uint32_t tried = 0;

  make(3, 2);
  /* A batch that fills each lane and gives it back gets no lane twice, though all are free. */
  for (uint32_t i = 1; i <= 3; i++) {
    struct sqcq__lane *lane = sqcq__lanes_claim(&lanes, &tried);

    assert_non_null(lane);
    assert_true(tried >= i && tried <= 3);
    sqcq__lane_unclaim(lane);
  }
  assert_null(sqcq__lanes_claim(&lanes, &tried));
  assert_int_equal(tried, 3);
  assert_non_null(claim()); /* another batch starts anew */
}

static void lanes_publish_commits_sets_the_bit_and_gives_the_claim_back(void **state)
{
  make(64, 2);
  for (uint32_t i = 0; i < 64; i++) {
    struct sqcq__lane *lane = &lanes.lanes[i];

    assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
    fill(lane, i);
    fill(lane, 100 + i);
    assert_int_equal(sqcq__lane_ready(lane), 0);
    assert_false(sqcq__lanes_have_work(&lanes));
    sqcq__lanes_publish(&lanes, lane);
    assert_int_equal(sqcq__lane_ready(lane), 2);
    assert_int_equal(sqcq__lane_at(lane, 1)->user_data, 100 + i);
    assert_int_equal(sqcq__load_relaxed(&lane->claim), SQCQ__CLAIM_FREE);
    assert_true(sqcq__lanes_have_work(&lanes));
    assert_int_equal(sqcq__lanes_take_work(&lanes), UINT64_C(1) << i);
    assert_false(sqcq__lanes_have_work(&lanes));
    assert_int_equal(sqcq__lanes_take_work(&lanes), 0);
  }
  assert_int_equal(sqcq__lanes_accepted(&lanes), 2 * 64);
}

static void lanes_take_work_takes_all_bits_at_once(void **state)
{
  make(6, 2);
  assert_true(sqcq__lane_claim(&lanes.lanes[1], SQCQ__CLAIM_HELD));
  assert_true(sqcq__lane_claim(&lanes.lanes[4], SQCQ__CLAIM_HELD));
  sqcq__lanes_publish(&lanes, &lanes.lanes[4]);
  sqcq__lanes_publish(&lanes, &lanes.lanes[1]);
  assert_int_equal(sqcq__lanes_take_work(&lanes), 1u << 1 | 1u << 4);
  assert_int_equal(sqcq__lanes_take_work(&lanes), 0);
}

static void lanes_publish_again_before_the_take_is_one_bit(void **state)
{
  make(2, 4);
  for (int i = 0; i < 3; i++) {
    assert_true(sqcq__lane_claim(&lanes.lanes[0], SQCQ__CLAIM_HELD));
    fill(&lanes.lanes[0], 0);
    sqcq__lanes_publish(&lanes, &lanes.lanes[0]);
  }
  assert_int_equal(sqcq__lanes_take_work(&lanes), 1);
  assert_int_equal(sqcq__lanes_accepted(&lanes), 3);
}

static void lanes_again_brings_the_bit_back(void **state)
{
  make(64, 2);
  sqcq__lanes_again(&lanes, 63);
  sqcq__lanes_again(&lanes, 0);
  assert_true(sqcq__lanes_have_work(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), UINT64_C(1) << 63 | 1);
}

static void lanes_stop_of_free_lanes_takes_them_all(void **state)
{
  for (uint32_t count = 1; count <= 64; count += 21) {
    make(count, 2);
    assert_true(sqcq__lanes_stop(&lanes));
    for (uint32_t i = 0; i < count; i++)
      assert_int_equal(sqcq__load_relaxed(&lanes.lanes[i].claim), SQCQ__CLAIM_STOPPED);
    assert_null(claim());
    /* Each is to be drained once more, whether or not its work was announced. */
    uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    assert_int_equal(sqcq__lanes_take_work(&lanes), all);
    assert_true(sqcq__lanes_stop(&lanes)); /* again: nothing new */
    assert_int_equal(sqcq__lanes_take_work(&lanes), 0);
    sqcq__lanes_fini(&lanes);
  }
}

static void lanes_stop_while_one_is_held_takes_it_later(void **state)
{
  make(3, 2);
  assert_true(sqcq__lane_claim(&lanes.lanes[1], SQCQ__CLAIM_HELD));
  assert_false(sqcq__lanes_stop(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), 1u << 0 | 1u << 2);
  assert_null(claim()); /* the others are gone already */
  assert_false(sqcq__lanes_stop(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), 0);

  /* Its holder was in the middle of it: commits, gives back, has not announced yet. */
  fill(&lanes.lanes[1], 42);
  sqcq__lane_commit(&lanes.lanes[1]);
  sqcq__lane_unclaim(&lanes.lanes[1]);
  assert_true(sqcq__lanes_stop(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), 1u << 1);
  assert_int_equal(sqcq__lane_ready(&lanes.lanes[1]), 1);
  assert_int_equal(sqcq__lane_at(&lanes.lanes[1], 0)->user_data, 42);
  assert_null(claim());
}

static void lanes_publish_after_stop_leaves_the_lane_stopped(void **state)
{
  make(2, 2);
  assert_true(sqcq__lane_claim(&lanes.lanes[0], SQCQ__CLAIM_HELD));
  fill(&lanes.lanes[0], 1);
  assert_false(sqcq__lanes_stop(&lanes));
  (void)sqcq__lanes_take_work(&lanes);
  sqcq__lanes_publish(&lanes, &lanes.lanes[0]);
  assert_true(sqcq__lanes_stop(&lanes));
  assert_int_equal(sqcq__lanes_take_work(&lanes), 1);
  assert_null(claim());
}

static void lanes_accepted_counts_over_all_lanes(void **state)
{
  make(3, 4);
  for (uint32_t i = 0; i < 3; i++) {
    for (uint32_t n = 0; n <= i; n++)
      fill(&lanes.lanes[i], n);
    assert_int_equal(sqcq__lanes_accepted(&lanes), i * (i + 1) / 2); /* not yet */
    sqcq__lane_commit(&lanes.lanes[i]);
  }
  assert_int_equal(sqcq__lanes_accepted(&lanes), 1 + 2 + 3);
  sqcq__lane_give_back(&lanes.lanes[2], 3);
  assert_int_equal(sqcq__lanes_accepted(&lanes), 6); /* accepted, not: there */
}

static void lanes_writers_have_lines_of_their_own(void **state)
{
  size_t work = offsetof(struct sqcq__lanes, work) / SQCQ_CACHELINE;

  assert_int_not_equal(work, offsetof(struct sqcq__lanes, count) / SQCQ_CACHELINE);
  assert_int_not_equal(work, offsetof(struct sqcq__lanes, slots) / SQCQ_CACHELINE);
  assert_int_not_equal(work, offsetof(struct sqcq__lanes, stopped) / SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__lanes) % SQCQ_CACHELINE, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(lanes_init_makes_free_and_empty_lanes, unmake),
      cmocka_unit_test(lanes_fini_of_none_does_nothing),
      cmocka_unit_test_teardown(lanes_claim_gives_each_lane_once, unmake),
      cmocka_unit_test_teardown(lanes_claim_passes_over_held_lanes, unmake),
      cmocka_unit_test_teardown(lanes_claim_tries_each_at_most_once_for_a_batch, unmake),
      cmocka_unit_test_teardown(lanes_publish_commits_sets_the_bit_and_gives_the_claim_back,
                                unmake),
      cmocka_unit_test_teardown(lanes_take_work_takes_all_bits_at_once, unmake),
      cmocka_unit_test_teardown(lanes_publish_again_before_the_take_is_one_bit, unmake),
      cmocka_unit_test_teardown(lanes_again_brings_the_bit_back, unmake),
      cmocka_unit_test(lanes_stop_of_free_lanes_takes_them_all),
      cmocka_unit_test_teardown(lanes_stop_while_one_is_held_takes_it_later, unmake),
      cmocka_unit_test_teardown(lanes_publish_after_stop_leaves_the_lane_stopped, unmake),
      cmocka_unit_test_teardown(lanes_accepted_counts_over_all_lanes, unmake),
      cmocka_unit_test(lanes_writers_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
