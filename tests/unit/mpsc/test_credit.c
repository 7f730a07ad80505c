/*
 * The credit word, by one thread: what is given, what is refused and with which error. What many threads
 * do to it is in stress_credits.c.
 */
#include "mpsc/credit.h"

#include "support/test.h"

#include <sqcq/sqcq.h>

#define GENERATION 5u
#define CAPACITY 4u

static struct sqcq__credit credit;

static void set(uint32_t generation, uint32_t state)
{
  sqcq__store_relaxed(&credit.word, sqcq__word(generation, state));
}

static uint64_t word(void)
{
  return sqcq__load_relaxed(&credit.word);
}

static int open_channel(void **state)
{
  (void)state;
  credit.capacity = CAPACITY;
  set(GENERATION, 0);
  return 0;
}

static void credit_take_of_all_leaves_none(void **state)
{
  assert_count(sqcq__credit_take(&credit, GENERATION, CAPACITY), CAPACITY);
  assert_int_equal(word(), sqcq__word(GENERATION, CAPACITY));
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EXFULL);
  assert_int_equal(word(), sqcq__word(GENERATION, CAPACITY));
}

static void credit_take_one_by_one_gives_each_once(void **state)
{
  for (uint32_t i = 1; i <= CAPACITY; i++) {
    assert_count(sqcq__credit_take(&credit, GENERATION, 1), 1);
    assert_int_equal(sqcq__credit_taken(word()), i);
  }
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EXFULL);
}

static void credit_take_of_more_than_there_are_gives_those(void **state)
{
  assert_count(sqcq__credit_take(&credit, GENERATION, 1), 1);
  assert_count(sqcq__credit_take(&credit, GENERATION, 100), CAPACITY - 1);
  assert_error(sqcq__credit_take(&credit, GENERATION, 100), -EXFULL);
}

static void credit_take_of_another_generation_is_epipe(void **state)
{
  assert_error(sqcq__credit_take(&credit, GENERATION - 1, 1), -EPIPE);
  assert_error(sqcq__credit_take(&credit, GENERATION + 1, 1), -EPIPE);
  assert_error(sqcq__credit_take(&credit, 0, 1), -EPIPE);
  assert_int_equal(word(), sqcq__word(GENERATION, 0));
}

static void credit_take_of_a_closed_one_is_epipe(void **state)
{
  set(GENERATION, SQCQ__CREDIT_CLOSED | 2);
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EPIPE);
  assert_int_equal(word(), sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED | 2));
  set(GENERATION, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_RETIRING);
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EPIPE);
}

static void credit_take_of_a_closed_and_full_one_is_epipe(void **state)
{
  set(GENERATION, SQCQ__CREDIT_CLOSED | CAPACITY);
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EPIPE); /* not -EXFULL: it stays so */
}

static void credit_take_of_a_free_place_is_epipe(void **state)
{
  set(GENERATION, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE);
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EPIPE);
  set(0, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE); /* as create leaves them; handle {0} */
  assert_error(sqcq__credit_take(&credit, 0, 1), -EPIPE);
}

static void credit_give_makes_room_for_as_many(void **state)
{
  assert_count(sqcq__credit_take(&credit, GENERATION, CAPACITY), CAPACITY);
  sqcq__credit_give(&credit, 3);
  assert_int_equal(word(), sqcq__word(GENERATION, CAPACITY - 3));
  assert_count(sqcq__credit_take(&credit, GENERATION, CAPACITY), 3);
  sqcq__credit_give(&credit, CAPACITY);
  assert_int_equal(word(), sqcq__word(GENERATION, 0));
}

static void credit_give_of_none_changes_nothing(void **state)
{
  set(GENERATION, SQCQ__CREDIT_CLOSED);
  sqcq__credit_give(&credit, 0);
  assert_int_equal(word(), sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED));
}

static void credit_give_to_a_closed_one_keeps_it_closed(void **state)
{
  set(GENERATION, SQCQ__CREDIT_CLOSED | 2);
  sqcq__credit_give(&credit, 1);
  assert_int_equal(word(), sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED | 1));
  sqcq__credit_give(&credit, 1);
  assert_int_equal(word(), sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED));
}

static void give_too_many(void *unused)
{
  (void)unused;
  set(GENERATION, 1);
  sqcq__credit_give(&credit, 2);
}

static void credit_give_of_more_than_taken_is_a_mistake(void **state)
{
  assert_aborts(give_too_many, NULL, "taken");
}

static void credit_count_holds_the_largest_channel(void **state)
{
  credit.capacity = SQCQ_REQUESTS_MAX;
  assert_true(SQCQ_REQUESTS_MAX <= SQCQ__CREDIT_TAKEN);
  assert_count(sqcq__credit_take(&credit, GENERATION, UINT32_MAX), SQCQ_REQUESTS_MAX);
  assert_error(sqcq__credit_take(&credit, GENERATION, 1), -EXFULL);
  assert_int_equal(sqcq__credit_taken(word()), SQCQ_REQUESTS_MAX);
  /* Not a bit of it reaches into the flags, nor the flags into each other. */
  assert_int_equal(SQCQ__CREDIT_TAKEN & (SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_RETIRING), 0);
  assert_int_equal(SQCQ__CREDIT_TAKEN & SQCQ__CREDIT_FREE, 0);
  assert_int_equal(SQCQ__CREDIT_CLOSED ^ SQCQ__CREDIT_RETIRING ^ SQCQ__CREDIT_FREE, 0xe0000000u);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(credit_take_of_all_leaves_none, open_channel),
      cmocka_unit_test_setup(credit_take_one_by_one_gives_each_once, open_channel),
      cmocka_unit_test_setup(credit_take_of_more_than_there_are_gives_those, open_channel),
      cmocka_unit_test_setup(credit_take_of_another_generation_is_epipe, open_channel),
      cmocka_unit_test_setup(credit_take_of_a_closed_one_is_epipe, open_channel),
      cmocka_unit_test_setup(credit_take_of_a_closed_and_full_one_is_epipe, open_channel),
      cmocka_unit_test_setup(credit_take_of_a_free_place_is_epipe, open_channel),
      cmocka_unit_test_setup(credit_give_makes_room_for_as_many, open_channel),
      cmocka_unit_test_setup(credit_give_of_none_changes_nothing, open_channel),
      cmocka_unit_test_setup(credit_give_to_a_closed_one_keeps_it_closed, open_channel),
      cmocka_unit_test_setup(credit_give_of_more_than_taken_is_a_mistake, open_channel),
      cmocka_unit_test_setup(credit_count_holds_the_largest_channel, open_channel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
