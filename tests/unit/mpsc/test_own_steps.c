/* sqcq-test: no-valgrind */
/*
 * Own lanes, with another thread's part between any two instructions of one: producers with lanes of
 * their own, the I/O thread that drains, its stop, and a lane that is closed and opened again. Every
 * request published is drained once, none is left without its bit set, and no producer minds where
 * another one stands still.
 */
#include "unit/step.h"

#include "mpsc/own.c"

#include <string.h>

#define NUMBERS 8u

static struct sqcq__own own;

struct field {
  uint64_t handles[2];
  uint32_t handed_in[2]; /* by each of the producers */
  uint32_t refused[2];   /* -ESHUTDOWN */
  uint32_t drained[NUMBERS];
  uint32_t closed;    /* how many have closed lane 0 */
  bool sealed;        /* the stop said that it has all lanes */
  bool after_sealing; /* something was drained after that */
  bool wrong;         /* an answer that cannot be */
};

/* Lanes 0 and 1 for the producers; or, of 65, lanes 0 and 64, which share a bit. */
static struct field set_up(uint32_t count)
{
  struct field field = {.sealed = false};

  sqcq__own_fini(&own);
  assert_ok(sqcq__own_init(&own, count, 4, 1));
  for (uint32_t i = 0; i < count; i++)
    assert_ok(sqcq__own_open(&own, &field.handles[i == 0 ? 0 : 1]));
  return field;
}

static int unmake(void **state)
{
  (void)state;
  sqcq__own_fini(&own);
  return 0;
}

/* As accept.c does it; numbers of the one are even, of the other odd. */
static void hand_in(struct field *field, uint32_t producer, uint32_t count)
{
  struct sqcq__own_lane *lane;
  int error = sqcq__own_enter(&own, field->handles[producer], &lane);
  uint32_t done = 0;

  if (error < 0) {
    field->refused[producer] += error == -ESHUTDOWN;
    field->wrong |= error != -ESHUTDOWN;
    return;
  }
  for (; done < count; done++) {
    struct sqcq__request *slot = sqcq__lane_reserve(&lane->lane);

    if (slot == NULL)
      break;
    *slot = (struct sqcq__request){.user_data =
                                       2 * (uint64_t)(field->handed_in[producer]++) + producer};
    sqcq__lane_fill(&lane->lane);
  }
  if (done > 0)
    sqcq__own_publish(&own, lane);
  sqcq__own_leave(lane);
}

static void produce(void *argument)
{
  hand_in(argument, 0, 2);
}

static void other_produces(void *argument)
{
  hand_in(argument, 1, 2);
}

/* Producer 0 leaves its lane; producer 1 takes over the first that is free. */
static void pass_on(void *argument)
{
  struct field *field = argument;

  field->wrong |= sqcq__own_close(&own, field->handles[0]) != 0;
  field->wrong |= sqcq__own_open(&own, &field->handles[1]) != 0;
  hand_in(field, 1, 2);
}

static void drain(void *argument)
{
  struct field *field = argument;

  for (uint64_t work = sqcq__own_take_work(&own); work != 0; work &= work - 1)
    for (uint32_t i = (uint32_t)__builtin_ctzll(work); i < own.count; i += SQCQ__OWN_BITS) {
      struct sqcq__lane *lane = &own.lanes[i].lane;
      uint32_t ready = sqcq__lane_ready(lane);

      for (uint32_t k = 0; k < ready; k++) {
        uint64_t number = sqcq__lane_at(lane, k)->user_data;

        if (number < NUMBERS)
          field->drained[number]++;
        field->after_sealing |= field->sealed;
      }
      sqcq__lane_give_back(lane, ready);
    }
}

static void stop(void *argument)
{
  struct field *field = argument;
  bool sealed = sqcq__own_stop(&own);

  drain(field);
  field->sealed = sealed;
}

/* The I/O thread goes on until the bits say that nothing is left; and nothing is. */
static void check(struct field *field)
{
  while (sqcq__own_have_work(&own))
    drain(field);
  assert_false(field->wrong);
  for (uint32_t i = 0; i < own.count; i++)
    assert_int_equal(sqcq__lane_ready(&own.lanes[i].lane), 0);
  for (uint32_t producer = 0; producer < 2; producer++)
    for (uint32_t number = 0; number < NUMBERS / 2; number++)
      assert_int_equal(field->drained[2 * number + producer], number < field->handed_in[producer]);
  assert_int_equal(sqcq__own_accepted(&own), field->handed_in[0] + field->handed_in[1]);
  assert_false(field->after_sealing);
}

static void producer_while_the_io_thread_drains(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(1);

    more = step_at(k, produce, drain, &field);
    assert_int_equal(field.handed_in[0], 2);
    check(&field);
  }
}

/* Wherever the one stands still, the other goes on, also where they share a bit. */
static void producer_while_another_one_hands_in(void **state)
{
  for (uint32_t count = 2; count <= 65; count += 63) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct field field = set_up(count);

      more = step_at(k, produce, other_produces, &field);
      assert_int_equal(field.handed_in[0], 2);
      assert_int_equal(field.handed_in[1], more ? 2 : 0);
      check(&field);
    }
  }
}

static void io_thread_while_a_producer_hands_in(void **state)
{
  for (uint32_t count = 2; count <= 65; count += 63) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct field field = set_up(count);

      produce(&field);
      more = step_at(k, drain, other_produces, &field);
      assert_int_equal(field.handed_in[1], more ? 2 : 0);
      check(&field);
    }
  }
}

static void io_thread_while_a_lane_is_passed_on(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(1);

    produce(&field);
    more = step_at(k, drain, pass_on, &field);
    assert_int_equal(field.handed_in[1], more ? 2 : 0);
    check(&field);
  }
}

static void producer_while_the_io_thread_stops(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(2);

    more = step_at(k, produce, stop, &field);
    assert_int_equal(field.handed_in[0], field.refused[0] == 0 ? 2 : 0);
    while (!field.sealed)
      stop(&field);
    check(&field);
    other_produces(&field);
    assert_int_equal(field.refused[1], 1);
  }
}

static void stop_while_a_producer_hands_in(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(2);

    more = step_at(k, stop, other_produces, &field);
    while (!field.sealed)
      stop(&field);
    check(&field);
    produce(&field);
    assert_int_equal(field.refused[0], 1);
  }
}

static void stop_while_a_lane_is_passed_on(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(1);

    produce(&field);
    more = step_at(k, stop, pass_on, &field);
    while (!field.sealed)
      stop(&field);
    check(&field);
    if (!more)
      pass_on(&field);
    other_produces(&field);
    assert_in_range(field.refused[1], 1, 2);
    assert_false(field.wrong);
  }
}

static void close_first(void *argument)
{
  struct field *field = argument;

  field->closed += sqcq__own_close(&own, field->handles[0]) == 0;
}

/* Or the lane would have two owners next time. */
static void close_by_two_is_done_by_one(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(2);
    uint64_t handles[2];

    more = step_at(k, close_first, close_first, &field);
    assert_int_equal(field.closed, 1);
    assert_ok(sqcq__own_open(&own, &handles[0]));
    assert_error(sqcq__own_open(&own, &handles[1]), -ENOSPC);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(producer_while_the_io_thread_drains, unmake),
      cmocka_unit_test_teardown(producer_while_another_one_hands_in, unmake),
      cmocka_unit_test_teardown(io_thread_while_a_producer_hands_in, unmake),
      cmocka_unit_test_teardown(io_thread_while_a_lane_is_passed_on, unmake),
      cmocka_unit_test_teardown(producer_while_the_io_thread_stops, unmake),
      cmocka_unit_test_teardown(stop_while_a_producer_hands_in, unmake),
      cmocka_unit_test_teardown(stop_while_a_lane_is_passed_on, unmake),
      cmocka_unit_test_teardown(close_by_two_is_done_by_one, unmake),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
