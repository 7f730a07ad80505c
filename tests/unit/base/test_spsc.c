/*
 * The indexes of a ring, by one thread, for both sides; see stress_spsc.c for two.
 */
#include "base/spsc.h"

#include "support/test.h"

static struct sqcq__spsc ring;

/* An empty ring whose indexes have run on to `at`. */
static void make_at(uint32_t slots, uint32_t at)
{
  sqcq__spsc_init(&ring, slots);
  sqcq__store_relaxed(&ring.head, at);
  sqcq__store_relaxed(&ring.tail, at);
  ring.first = ring.next = ring.head_seen = at;
}

/* Fill up to n; returns how many. */
static uint32_t fill(uint32_t n)
{
  uint32_t done = 0;

  for (; done < n && sqcq__spsc_has_room(&ring); done++)
    ring.next++;
  return done;
}

/* With one thread, the consumer and others see the same. */
static uint32_t count(void)
{
  assert_int_equal(sqcq__spsc_count(&ring), sqcq__spsc_ready(&ring));
  return sqcq__spsc_ready(&ring);
}

static void spsc_init_makes_an_empty_ring(void **state)
{
  sqcq__spsc_init(&ring, 8);
  assert_int_equal(count(), 0);
  assert_int_equal(sqcq__spsc_at(&ring, 0), 0);
  assert_true(sqcq__spsc_has_room(&ring));
  assert_int_equal(fill(3), 3);
  sqcq__spsc_publish(&ring);
  sqcq__spsc_give_back(&ring, 1);
  sqcq__spsc_init(&ring, 2); /* another one in its place */
  assert_int_equal(count(), 0);
  assert_int_equal(sqcq__spsc_at(&ring, 0), 0);
  assert_int_equal(fill(9), 2);
}

static void spsc_of_n_slots_carries_n(void **state)
{
  for (uint32_t slots = 1; slots <= 256; slots *= 2) {
    make_at(slots, 0);
    assert_int_equal(fill(slots + 1), slots);
    assert_false(sqcq__spsc_has_room(&ring));
    sqcq__spsc_publish(&ring);
    assert_false(sqcq__spsc_has_room(&ring)); /* published is not given back */
    assert_int_equal(count(), slots);
    sqcq__spsc_give_back(&ring, slots);
    assert_int_equal(count(), 0);
    assert_int_equal(fill(slots + 1), slots);
  }
}

static void spsc_has_room_changes_nothing(void **state)
{
  make_at(2, 7);
  for (int i = 0; i < 5; i++)
    assert_true(sqcq__spsc_has_room(&ring));
  assert_int_equal(ring.next, 7);
  assert_int_equal(count(), 0);
}

static void spsc_publish_shows_a_batch_and_not_a_part_of_it(void **state)
{
  make_at(8, 0);
  for (uint32_t n = 1; n <= 5; n++) {
    assert_int_equal(fill(1), 1);
    assert_int_equal(count(), 0);
  }
  sqcq__spsc_publish(&ring);
  assert_int_equal(count(), 5);
  assert_int_equal(fill(2), 2);
  assert_int_equal(count(), 5);
  sqcq__spsc_publish(&ring);
  assert_int_equal(count(), 7);
  sqcq__spsc_publish(&ring); /* nothing new */
  assert_int_equal(count(), 7);
}

static void spsc_give_back_makes_room_for_as_many(void **state)
{
  make_at(4, 0);
  assert_int_equal(fill(4), 4);
  sqcq__spsc_publish(&ring);
  sqcq__spsc_give_back(&ring, 3);
  assert_int_equal(count(), 1);
  assert_int_equal(fill(4), 3);
  sqcq__spsc_give_back(&ring, 1);
  assert_int_equal(count(), 0); /* the three are filled only */
  assert_int_equal(fill(4), 1);
  sqcq__spsc_give_back(&ring, 0);
  assert_int_equal(fill(1), 0);
  sqcq__spsc_publish(&ring);
  assert_int_equal(count(), 4);
}

static void spsc_at_names_the_slots_from_the_oldest_on(void **state)
{
  make_at(4, 0);
  assert_int_equal(fill(3), 3);
  sqcq__spsc_publish(&ring);
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(sqcq__spsc_at(&ring, i), i);
  sqcq__spsc_give_back(&ring, 2);
  assert_int_equal(fill(4), 3);
  sqcq__spsc_publish(&ring);
  for (uint32_t i = 0; i < 4; i++)
    assert_int_equal(sqcq__spsc_at(&ring, i), (2 + i) % 4);
}

/* For each place of the wrap in a batch, and each size of the batch. */
static void spsc_indexes_wrap_past_their_type(void **state)
{
  for (uint32_t slots = 1; slots <= 8; slots *= 2)
    for (uint32_t before = 0; before <= 2 * slots; before++)
      for (uint32_t batch = 1; batch <= slots; batch++) {
        uint32_t at = 0 - before; /* so many below the end */

        make_at(slots, at);
        for (uint32_t round = 0; round < 4; round++) {
          assert_int_equal(fill(batch), batch);
          assert_int_equal(count(), 0);
          sqcq__spsc_publish(&ring);
          assert_int_equal(count(), batch);
          assert_int_equal(fill(slots), slots - batch); /* full, wherever it is */
          assert_false(sqcq__spsc_has_room(&ring));
          sqcq__spsc_publish(&ring);
          assert_int_equal(count(), slots);
          for (uint32_t i = 0; i < slots; i++)
            assert_int_equal(sqcq__spsc_at(&ring, i), (at + i) % slots);
          sqcq__spsc_give_back(&ring, slots);
          assert_int_equal(count(), 0);
          at += slots;
        }
      }
}

static void spsc_sides_have_lines_of_their_own(void **state)
{
  size_t head = offsetof(struct sqcq__spsc, head) / SQCQ_CACHELINE;
  size_t tail = offsetof(struct sqcq__spsc, tail) / SQCQ_CACHELINE;
  size_t mask = offsetof(struct sqcq__spsc, mask) / SQCQ_CACHELINE;

  assert_true(head != tail && head != mask && tail != mask);
  assert_int_equal(offsetof(struct sqcq__spsc, first) / SQCQ_CACHELINE, head);
  assert_int_equal(offsetof(struct sqcq__spsc, next) / SQCQ_CACHELINE, tail);
  assert_int_equal(offsetof(struct sqcq__spsc, head_seen) / SQCQ_CACHELINE, tail);
  /* What follows it is in the line of its constants. */
  assert_int_equal(sizeof(struct sqcq__spsc) / SQCQ_CACHELINE, mask);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(spsc_init_makes_an_empty_ring),
      cmocka_unit_test(spsc_of_n_slots_carries_n),
      cmocka_unit_test(spsc_has_room_changes_nothing),
      cmocka_unit_test(spsc_publish_shows_a_batch_and_not_a_part_of_it),
      cmocka_unit_test(spsc_give_back_makes_room_for_as_many),
      cmocka_unit_test(spsc_at_names_the_slots_from_the_oldest_on),
      cmocka_unit_test(spsc_indexes_wrap_past_their_type),
      cmocka_unit_test(spsc_sides_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
