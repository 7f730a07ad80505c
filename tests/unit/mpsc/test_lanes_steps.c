/* sqcq-test: no-valgrind */
/*
 * The lanes, with another thread's part between any two instructions of one: producers, the I/O
 * thread that drains, and its stop. Every request published is drained once, and none is left
 * without its bit set.
 */
#include "unit/step.h"

#include "mpsc/lanes.c"

#include <string.h>

#define NUMBERS 8u

static struct sqcq__lanes lanes;

struct field {
  uint32_t handed_in[2]; /* by each of the producers */
  uint32_t drained[NUMBERS];
  uint32_t batch;
  bool sealed;        /* the stop said that it has all lanes */
  bool after_sealing; /* something was drained after that */
};

static struct field set_up(uint32_t lane_count, uint32_t batch)
{
  sqcq__lanes_fini(&lanes);
  assert_ok(sqcq__lanes_init(&lanes, lane_count, 4));
  return (struct field){.batch = batch};
}

static int unmake(void **state)
{
  (void)state;
  sqcq__lanes_fini(&lanes);
  return 0;
}

/* As accept.c does it; numbers of the one are even, of the other odd. */
static uint32_t hand_in(uint32_t producer, uint32_t count)
{
  uint32_t done = 0, tried = 0;

  while (done < count) {
    struct sqcq__lane *lane = sqcq__lanes_claim(&lanes, &tried);
    uint32_t before = done;

    if (lane == NULL)
      break;
    for (; done < count; done++) {
      struct sqcq__request *slot = sqcq__lane_reserve(lane);

      if (slot == NULL)
        break;
      *slot = (struct sqcq__request){.user_data = 2 * done + producer};
      sqcq__lane_fill(lane);
    }
    if (done > before)
      sqcq__lanes_publish(&lanes, lane);
    else
      sqcq__lane_unclaim(lane);
  }
  return done;
}

static void produce(void *argument)
{
  struct field *field = argument;

  field->handed_in[0] = hand_in(0, field->batch);
}

static void other_produces(void *argument)
{
  struct field *field = argument;

  field->handed_in[1] = hand_in(1, field->batch);
}

static void drain(void *argument)
{
  struct field *field = argument;
  uint64_t work = sqcq__lanes_take_work(&lanes);

  while (work != 0) {
    struct sqcq__lane *lane = &lanes.lanes[__builtin_ctzll(work)];
    uint32_t ready = sqcq__lane_ready(lane);

    work &= work - 1;
    for (uint32_t i = 0; i < ready; i++) {
      struct sqcq__request request = *sqcq__lane_at(lane, i);

      if (request.user_data < NUMBERS)
        field->drained[request.user_data]++;
      field->after_sealing |= field->sealed;
    }
    sqcq__lane_give_back(lane, ready);
  }
}

static void stop(void *argument)
{
  struct field *field = argument;
  bool sealed = sqcq__lanes_stop(&lanes);

  drain(field);
  field->sealed = sealed;
}

/* The I/O thread goes on until the bits say that nothing is left; and nothing is. */
static void check(struct field *field)
{
  while (sqcq__lanes_have_work(&lanes))
    drain(field);
  for (uint32_t i = 0; i < lanes.count; i++)
    assert_int_equal(sqcq__lane_ready(&lanes.lanes[i]), 0);
  for (uint32_t producer = 0; producer < 2; producer++)
    for (uint32_t number = 0; number < NUMBERS / 2; number++)
      assert_int_equal(field->drained[2 * number + producer], number < field->handed_in[producer]);
  assert_int_equal(sqcq__lanes_accepted(&lanes), field->handed_in[0] + field->handed_in[1]);
  assert_false(field->after_sealing);
}

static void producer_while_the_io_thread_drains(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(1, 2);

    more = step_at(k, produce, drain, &field);
    assert_int_equal(field.handed_in[0], 2);
    check(&field);
  }
}

static void producer_while_another_one_hands_in(void **state)
{
  for (uint32_t lane_count = 1; lane_count <= 2; lane_count++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct field field = set_up(lane_count, 2);

      more = step_at(k, produce, other_produces, &field);
      if (lane_count > 1) /* the one that was stopped keeps no more than one lane from the other */
        assert_int_equal(field.handed_in[1], more ? 2 : 0);
      check(&field);
    }
  }
}

/* Into the lane that has work already, or, while that is held, into the other one. */
static void io_thread_while_a_producer_hands_in(void **state)
{
  for (int other_lane = 0; other_lane < 2; other_lane++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct field field = set_up(2, 2);
      struct sqcq__lane *lane;

      field.handed_in[0] = hand_in(0, 1);
      lane = &lanes.lanes[__builtin_ctzll(sqcq__load_relaxed(&lanes.work))];
      if (other_lane == 1)
        assert_true(sqcq__lane_claim(lane, SQCQ__CLAIM_HELD));
      more = step_at(k, drain, other_produces, &field);
      assert_int_equal(field.handed_in[1], more ? 2 : 0);
      check(&field);
    }
  }
}

static void producer_while_the_io_thread_stops(void **state)
{
  for (uint32_t lane_count = 1; lane_count <= 2; lane_count++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct field field = set_up(lane_count, 1);

      more = step_at(k, produce, stop, &field);
      while (!field.sealed)
        stop(&field);
      check(&field);
      assert_int_equal(hand_in(1, 1), 0);
    }
  }
}

static void stop_while_a_producer_hands_in(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up(2, 1);

    more = step_at(k, stop, other_produces, &field);
    while (!field.sealed)
      stop(&field);
    check(&field);
    assert_int_equal(hand_in(0, 1), 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(producer_while_the_io_thread_drains, unmake),
      cmocka_unit_test_teardown(producer_while_another_one_hands_in, unmake),
      cmocka_unit_test_teardown(io_thread_while_a_producer_hands_in, unmake),
      cmocka_unit_test_teardown(producer_while_the_io_thread_stops, unmake),
      cmocka_unit_test_teardown(stop_while_a_producer_hands_in, unmake),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
