/*
 * The heap of deadlines. Plain single-threaded code; after each step the whole heap is gone
 * through.
 */
#include "engine/timers.h"

#include "support/rng.h"
#include "support/test.h"

#define SLOTS 40u

static struct sqcq__timers timers;

static void check(void)
{
  uint32_t placed = 0;

  for (uint32_t i = 0; i < timers.count; i++) {
    assert_int_equal(timers.places[timers.heap[i].slot], i + 1);
    if (i > 0)
      assert_true(timers.heap[(i - 1) / 2].deadline_ns <= timers.heap[i].deadline_ns);
  }
  for (uint32_t i = 0; i < timers.capacity; i++)
    placed += timers.places[i] != 0;
  assert_int_equal(placed, timers.count);
}

static int make(void **state)
{
  return sqcq__timers_init(&timers, SLOTS);
}

static int unmake(void **state)
{
  sqcq__timers_fini(&timers);
  return 0;
}

static void timers_next_of_none_is_negative(void **state)
{
  uint32_t slot = 77;

  assert_true(sqcq__timers_next(&timers, 0) < 0);
  assert_false(sqcq__timers_expire(&timers, INT64_MAX, &slot));
  assert_int_equal(slot, 77);
}

static void timers_next_counts_down_to_the_earliest(void **state)
{
  sqcq__timers_add(&timers, 3, 500);
  sqcq__timers_add(&timers, 4, 300);
  sqcq__timers_add(&timers, 5, INT64_MAX);
  assert_int_equal(sqcq__timers_next(&timers, 0), 300);
  assert_int_equal(sqcq__timers_next(&timers, 299), 1);
  assert_int_equal(sqcq__timers_next(&timers, 300), 0);
  assert_int_equal(sqcq__timers_next(&timers, INT64_MAX), 0);
  sqcq__timers_remove(&timers, 4);
  assert_int_equal(sqcq__timers_next(&timers, 300), 200);
  sqcq__timers_remove(&timers, 3);
  assert_int_equal(sqcq__timers_next(&timers, 1), INT64_MAX - 1);
  sqcq__timers_remove(&timers, 5);
  check();
}

static void timers_expire_at_their_time_and_not_before(void **state)
{
  uint32_t slot;

  sqcq__timers_add(&timers, 0, 20);
  sqcq__timers_add(&timers, SLOTS - 1, 10);
  assert_false(sqcq__timers_expire(&timers, 9, &slot));
  assert_true(sqcq__timers_expire(&timers, 10, &slot));
  assert_int_equal(slot, SLOTS - 1);
  assert_false(sqcq__timers_expire(&timers, 19, &slot));
  assert_true(sqcq__timers_expire(&timers, 21, &slot));
  assert_int_equal(slot, 0);
  assert_false(sqcq__timers_expire(&timers, INT64_MAX, &slot));
  check();
}

static void timers_remove_of_what_is_not_there_does_nothing(void **state)
{
  sqcq__timers_remove(&timers, 1);
  sqcq__timers_add(&timers, 1, 5);
  sqcq__timers_remove(&timers, 2);
  check();
  assert_int_equal(timers.count, 1);
  sqcq__timers_remove(&timers, 1);
  sqcq__timers_remove(&timers, 1);
  check();
  assert_int_equal(timers.count, 0);
}

/* Each removed by its slot, from everywhere in the heap, or expired; against a plain array. */
static void timers_in_any_order_agree_with_an_array(void **state)
{
  int64_t model[SLOTS] = {0}; /* 0: none */
  struct rng rng;
  int64_t now = 1;

  rng_seed(&rng, rng_seed_from_env(0x7135));
  for (int step = 0; step < 20000; step++) {
    uint32_t slot = (uint32_t)rng_below(&rng, SLOTS);
    uint64_t what = rng_below(&rng, 10);

    if (what < 6 && model[slot] == 0) {
      model[slot] = now + (int64_t)rng_below(&rng, 60);
      sqcq__timers_add(&timers, slot, model[slot]);
    } else if (what < 8) {
      sqcq__timers_remove(&timers, slot);
      model[slot] = 0;
    } else {
      int64_t last = 0;

      now += (int64_t)rng_below(&rng, 8);
      while (sqcq__timers_expire(&timers, now, &slot)) {
        assert_true(model[slot] != 0 && model[slot] <= now && model[slot] >= last);
        last = model[slot];
        model[slot] = 0;
      }
    }
    check();
    int64_t next = -1;
    for (uint32_t i = 0; i < SLOTS; i++)
      if (model[i] != 0 && (next < 0 || model[i] < next))
        next = model[i];
    assert_int_equal(sqcq__timers_next(&timers, now), next < 0 ? -1 : next > now ? next - now : 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(timers_next_of_none_is_negative, make, unmake),
      cmocka_unit_test_setup_teardown(timers_next_counts_down_to_the_earliest, make, unmake),
      cmocka_unit_test_setup_teardown(timers_expire_at_their_time_and_not_before, make, unmake),
      cmocka_unit_test_setup_teardown(timers_remove_of_what_is_not_there_does_nothing, make,
                                      unmake),
      cmocka_unit_test_setup_teardown(timers_in_any_order_agree_with_an_array, make, unmake),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
