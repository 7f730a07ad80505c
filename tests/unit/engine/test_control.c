/*
 * Control words: bits that are set, seen and taken.
 */
#include "engine/control.h"

#include "support/test.h"

#include <stddef.h>

static struct sqcq__control control;

static int clear(void **state)
{
  (void)state;
  control = (struct sqcq__control){0};
  return 0;
}

static void control_take_of_nothing_is_zero(void **state)
{
  assert_false(sqcq__control_posted(&control));
  assert_int_equal(sqcq__control_take(&control), 0);
}

static void control_post_is_seen_until_taken(void **state)
{
  sqcq__control_post(&control, SQCQ__CONTROL_REMOVE);
  assert_true(sqcq__control_posted(&control));
  assert_true(sqcq__control_posted(&control));
  assert_int_equal(sqcq__control_take(&control), SQCQ__CONTROL_REMOVE);
  assert_false(sqcq__control_posted(&control));
  assert_int_equal(sqcq__control_take(&control), 0);
}

static void control_posts_add_up(void **state)
{
  sqcq__control_post(&control, SQCQ__CONTROL_STOP);
  sqcq__control_post(&control, SQCQ__CONTROL_RETIRE);
  sqcq__control_post(&control, SQCQ__CONTROL_STOP);
  assert_int_equal(sqcq__control_take(&control), SQCQ__CONTROL_STOP | SQCQ__CONTROL_RETIRE);
}

static void control_bits_are_different(void **state)
{
  assert_int_equal(SQCQ__CONTROL_STOP ^ SQCQ__CONTROL_REMOVE ^ SQCQ__CONTROL_RETIRE, 7);
}

static void control_stopping_is_so_in_either_mode(void **state)
{
  assert_false(sqcq__control_stopping(&control));
  sqcq__store_relaxed(&control.stopping, SQCQ__STOPPING_DRAIN);
  assert_true(sqcq__control_stopping(&control));
  sqcq__store_relaxed(&control.stopping, SQCQ__STOPPING_CANCEL);
  assert_true(sqcq__control_stopping(&control));
  assert_true(SQCQ__STOPPING_DRAIN < SQCQ__STOPPING_CANCEL); /* it only grows */
}

static void control_bits_are_apart_from_what_producers_read(void **state)
{
  assert_int_not_equal(offsetof(struct sqcq__control, stopping) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__control, bits) / SQCQ_CACHELINE);
  assert_int_not_equal(offsetof(struct sqcq__control, stop_limit) / SQCQ_CACHELINE,
                       offsetof(struct sqcq__control, bits) / SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__control) % SQCQ_CACHELINE, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(control_take_of_nothing_is_zero, clear),
      cmocka_unit_test_setup(control_post_is_seen_until_taken, clear),
      cmocka_unit_test_setup(control_posts_add_up, clear),
      cmocka_unit_test(control_bits_are_different),
      cmocka_unit_test_setup(control_stopping_is_so_in_either_mode, clear),
      cmocka_unit_test(control_bits_are_apart_from_what_producers_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
