/*
 * Own lanes, by one thread: handles, the gate, work bits, stop. stress_own.c has many threads.
 */
#include "mpsc/own.h"

#include "support/test.h"

#include <stddef.h>

#define TAG 7u

static struct sqcq__own own;

static void make(uint32_t count, uint32_t slots)
{
  assert_ok(sqcq__own_init(&own, count, slots, TAG));
}

static int unmake(void **state)
{
  (void)state;
  sqcq__own_fini(&own);
  return 0;
}

static uint64_t open_one(void)
{
  uint64_t handle = 0;

  assert_ok(sqcq__own_open(&own, &handle));
  return handle;
}

static struct sqcq__own_lane *enter(uint64_t handle)
{
  struct sqcq__own_lane *lane = NULL;

  assert_ok(sqcq__own_enter(&own, handle, &lane));
  assert_ptr_equal(lane, &own.lanes[sqcq__handle_index(handle)]);
  return lane;
}

static void fill(struct sqcq__own_lane *lane, uint64_t number)
{
  struct sqcq__request *slot = sqcq__lane_reserve(&lane->lane);

  assert_non_null(slot);
  *slot = (struct sqcq__request){.user_data = number};
  sqcq__lane_fill(&lane->lane);
}

static void push(uint64_t handle, uint64_t number)
{
  struct sqcq__own_lane *lane = enter(handle);

  fill(lane, number);
  sqcq__own_publish(&own, lane);
  sqcq__own_leave(lane);
}

/* Empty a lane that must hold one request. */
static void pop(uint64_t handle, uint64_t number)
{
  struct sqcq__lane *lane = &own.lanes[sqcq__handle_index(handle)].lane;

  assert_int_equal(sqcq__lane_ready(lane), 1);
  assert_int_equal(sqcq__lane_at(lane, 0)->user_data, number);
  sqcq__lane_give_back(lane, 1);
}

static void own_init_makes_closed_and_empty_lanes(void **state)
{
  make(5, 8);
  assert_int_equal(own.count, 5);
  assert_false(sqcq__own_have_work(&own));
  assert_int_equal(sqcq__own_take_work(&own), 0);
  assert_int_equal(sqcq__own_accepted(&own), 0);
  for (uint32_t i = 0; i < 5; i++) {
    struct sqcq__own_lane *lane;

    assert_error(sqcq__own_enter(&own, sqcq__handle(0, i, TAG), &lane), -EBADFD);
    assert_error(sqcq__own_enter(&own, sqcq__handle(1, i, TAG), &lane), -EBADFD);
    assert_error(sqcq__own_close(&own, sqcq__handle(1, i, TAG)), -EBADFD);
  }
}

static void own_without_lanes_refuses_and_has_no_work(void **state)
{
  struct sqcq__own_lane *lane;
  uint64_t handle = 42;

  make(0, 8);
  assert_error(sqcq__own_open(&own, &handle), -ENOSPC);
  assert_int_equal(handle, 42);
  assert_error(sqcq__own_enter(&own, sqcq__handle(1, 0, TAG), &lane), -EINVAL);
  assert_int_equal(sqcq__own_take_work(&own), 0);
  assert_int_equal(sqcq__own_accepted(&own), 0);
  assert_true(sqcq__own_stop(&own));
  assert_int_equal(sqcq__own_take_work(&own), 0);
  sqcq__own_fini(&own);
  sqcq__own_fini(&own);
}

static void own_open_gives_each_lane_once_the_lowest_first(void **state)
{
  uint64_t handles[70], more = 1;

  make(70, 2);
  for (uint32_t i = 0; i < 70; i++) {
    handles[i] = open_one();
    assert_int_equal(sqcq__handle_index(handles[i]), i);
    assert_int_equal(sqcq__handle_tag(handles[i]), TAG);
    assert_int_equal(sqcq__handle_generation(handles[i]), 1);
  }
  assert_error(sqcq__own_open(&own, &more), -ENOSPC);
  assert_int_equal(more, 1);
  assert_ok(sqcq__own_close(&own, handles[33]));
  more = open_one();
  assert_int_equal(more, sqcq__handle(2, 33, TAG));
}

static void own_handle_that_is_not_of_an_open_lane_is_refused(void **state)
{
  struct sqcq__own_lane *lane = NULL;
  uint64_t handle, next;

  make(2, 2);
  handle = open_one();
  const uint64_t foreign[] = {sqcq__handle_retag(handle, TAG + 1), sqcq__handle(1, 2, TAG), 1};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
    assert_error(sqcq__own_enter(&own, foreign[i], &lane), -EINVAL);
    assert_error(sqcq__own_close(&own, foreign[i]), -EINVAL);
  }
  assert_error(sqcq__own_enter(&own, 0, &lane), -EBADFD);
  assert_error(sqcq__own_close(&own, 0), -EBADFD);
  assert_ok(sqcq__own_close(&own, handle));
  assert_error(sqcq__own_close(&own, handle), -EBADFD);
  assert_error(sqcq__own_enter(&own, handle, &lane), -EBADFD);
  next = open_one(); /* the same lane */
  assert_int_equal(sqcq__handle_index(next), sqcq__handle_index(handle));
  assert_error(sqcq__own_close(&own, handle), -EBADFD);
  assert_error(sqcq__own_enter(&own, handle, &lane), -EBADFD);
  assert_null(lane);
  push(next, 3);
}

static void own_publish_commits_and_sets_the_bit_of_its_lane(void **state)
{
  uint64_t handles[130];

  make(130, 2);
  for (uint32_t i = 0; i < 130; i++)
    handles[i] = open_one();
  for (uint32_t i = 0; i < 130; i++) {
    struct sqcq__own_lane *lane = enter(handles[i]);

    fill(lane, i);
    assert_int_equal(sqcq__lane_ready(&lane->lane), 0);
    assert_false(sqcq__own_have_work(&own));
    sqcq__own_publish(&own, lane);
    assert_true(sqcq__own_have_work(&own));
    assert_int_equal(sqcq__load_relaxed(&lane->lane.claim), SQCQ__CLAIM_HELD);
    sqcq__own_leave(lane);
    assert_int_equal(sqcq__load_relaxed(&lane->lane.claim), SQCQ__CLAIM_FREE);
    assert_int_equal(sqcq__own_take_work(&own), UINT64_C(1) << i % 64);
    assert_int_equal(sqcq__own_take_work(&own), 0);
    pop(handles[i], i);
  }
  assert_int_equal(sqcq__own_accepted(&own), 130);
}

static void own_lane_full_has_no_room_until_given_back(void **state)
{
  uint64_t handle;

  make(1, 4);
  handle = open_one();
  for (uint32_t round = 0; round < 5; round++) { /* the indexes run over the ring's end */
    struct sqcq__own_lane *lane = enter(handle);

    for (uint64_t i = 0; i < 4; i++)
      fill(lane, i);
    assert_null(sqcq__lane_reserve(&lane->lane));
    sqcq__own_publish(&own, lane);
    assert_int_equal(sqcq__lane_ready(&lane->lane), 4);
    assert_null(sqcq__lane_reserve(&lane->lane));
    sqcq__lane_give_back(&lane->lane, 3);
    fill(lane, 9);
    sqcq__own_publish(&own, lane);
    assert_int_equal(sqcq__lane_ready(&lane->lane), 2);
    sqcq__lane_give_back(&lane->lane, 2);
    sqcq__own_leave(lane);
  }
}

static void own_close_with_requests_in_it_keeps_them_for_whoever_comes_next(void **state)
{
  uint64_t first, second;

  make(1, 4);
  first = open_one();
  push(first, 1);
  assert_ok(sqcq__own_close(&own, first));
  second = open_one();
  assert_int_not_equal(second, first);
  push(second, 2);
  struct sqcq__lane *lane = &own.lanes[0].lane;
  assert_int_equal(sqcq__own_take_work(&own), 1);
  assert_int_equal(sqcq__lane_ready(lane), 2);
  assert_int_equal(sqcq__lane_at(lane, 0)->user_data, 1);
  assert_int_equal(sqcq__lane_at(lane, 1)->user_data, 2);
  sqcq__lane_give_back(lane, 2);
  assert_int_equal(sqcq__own_accepted(&own), 2);
}

static void own_generation_skips_zero(void **state)
{
  uint64_t handle;

  make(1, 2);
  sqcq__store_relaxed(&own.lanes[0].word, sqcq__word(UINT32_MAX, SQCQ__OWN_FREE));
  handle = open_one();
  assert_int_equal(sqcq__handle_generation(handle), 1);
}

static void own_stop_closes_every_lane_open_or_not(void **state)
{
  for (uint32_t count = 1; count <= 129; count += 64) {
    struct sqcq__own_lane *lane = NULL;
    uint64_t open;

    make(count, 2);
    open = open_one();
    assert_true(sqcq__own_stop(&own));
    assert_error(sqcq__own_enter(&own, open, &lane), -ESHUTDOWN);
    assert_ok(sqcq__own_close(&own, open));
    for (uint32_t i = 0; i < count; i++)
      assert_error(sqcq__own_enter(&own, open_one(), &lane), -ESHUTDOWN);
    for (uint32_t i = 0; i < count; i++)
      assert_int_equal(sqcq__load_relaxed(&own.lanes[i].lane.claim), SQCQ__CLAIM_FREE);
    assert_null(lane);
    assert_true(sqcq__own_stop(&own)); /* again: nothing new */
    assert_int_equal(sqcq__own_take_work(&own), 0);
    sqcq__own_fini(&own);
  }
}

static void own_stop_while_somebody_is_inside_takes_that_lane_later(void **state)
{
  struct sqcq__own_lane *lane, *other = NULL;
  uint64_t first, second;

  make(3, 2);
  first = open_one();
  second = open_one();
  lane = enter(second);
  assert_false(sqcq__own_stop(&own));
  assert_error(sqcq__own_enter(&own, first, &other), -ESHUTDOWN);
  assert_false(sqcq__own_stop(&own));

  /* It was in the middle of it, and goes on. */
  fill(lane, 42);
  sqcq__own_publish(&own, lane);
  assert_false(sqcq__own_stop(&own));
  sqcq__own_leave(lane);
  assert_true(sqcq__own_stop(&own));
  assert_int_equal(sqcq__own_take_work(&own), 1u << 1);
  pop(second, 42);
  assert_error(sqcq__own_enter(&own, second, &other), -ESHUTDOWN);
}

static void own_writers_have_lines_of_their_own(void **state)
{
#define LINE(type, member) (offsetof(struct type, member) / SQCQ_CACHELINE)
  size_t gate = LINE(sqcq__own_lane, word), work = LINE(sqcq__own, work);

  assert_int_equal(LINE(sqcq__own_lane, closed), gate); /* read by its producer alone, in one go */
  assert_int_equal(LINE(sqcq__own_lane, lane.claim), 0);
  assert_true(gate >= sizeof(struct sqcq__lane) / SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__own_lane) % SQCQ_CACHELINE, 0);
  assert_int_not_equal(work, LINE(sqcq__own, lanes));
  assert_int_not_equal(work, LINE(sqcq__own, free.head));
  assert_int_not_equal(work, LINE(sqcq__own, taken));
  assert_int_equal(sizeof(struct sqcq__own) % SQCQ_CACHELINE, 0);
#undef LINE
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(own_init_makes_closed_and_empty_lanes, unmake),
      cmocka_unit_test_teardown(own_without_lanes_refuses_and_has_no_work, unmake),
      cmocka_unit_test_teardown(own_open_gives_each_lane_once_the_lowest_first, unmake),
      cmocka_unit_test_teardown(own_handle_that_is_not_of_an_open_lane_is_refused, unmake),
      cmocka_unit_test_teardown(own_publish_commits_and_sets_the_bit_of_its_lane, unmake),
      cmocka_unit_test_teardown(own_lane_full_has_no_room_until_given_back, unmake),
      cmocka_unit_test_teardown(own_close_with_requests_in_it_keeps_them_for_whoever_comes_next,
                                unmake),
      cmocka_unit_test_teardown(own_generation_skips_zero, unmake),
      cmocka_unit_test(own_stop_closes_every_lane_open_or_not),
      cmocka_unit_test_teardown(own_stop_while_somebody_is_inside_takes_that_lane_later, unmake),
      cmocka_unit_test(own_writers_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
