/* sqcq-test: simulated */
/*
 * Own lanes in a whole engine: every lane is drained in every turn, a lane outlives its producer,
 * and stop finds what is in it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

static struct rig rig;

static void start(uint32_t lanes, uint32_t slots)
{
  struct sim_config kernel = sim_kernel("6.12");
  struct sqcq_engine_config config = rig_config();

  config.lanes_own = lanes;
  config.lane_slots = slots;
  rig_start_with(&rig, &kernel, &config);
}

static sqcq_lane open_lane(void)
{
  sqcq_lane lane = {0};

  assert_ok(sqcq_lane_open(rig.engine, &lane));
  return lane;
}

static struct sqcq_read read_of(uint64_t user_data)
{
  struct sqcq_read read = {.file = rig.file,
                           .channel = rig.channel,
                           .offset = user_data * RIG_LENGTH,
                           .user_data = user_data,
                           .length = RIG_LENGTH};

  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &read.buffer, 1), 1);
  return read;
}

static int try_in(sqcq_lane lane, uint64_t user_data)
{
  struct sqcq_read read = read_of(user_data);
  int error = sqcq_lane_request(rig.engine, lane, &read);

  if (error < 0)
    assert_count(sqcq_buffer_release(rig.engine, &read.buffer, 1), 1);
  return error;
}

/* Turn until `count` completions have been taken: each from 0 to count - 1 once. */
static void expect_all(uint32_t count)
{
  uint64_t seen = 0;
  uint32_t taken = 0;

  for (int turns = 0; taken < count; turns++) {
    assert_true(turns < RIG_TURNS);
    (void)rig_turns(&rig, 1);
    taken += rig_take_all(&rig, rig.channel, &seen);
  }
  assert_int_equal(taken, count);
  assert_int_equal(seen, (UINT64_C(1) << count) - 1);
}

static void request_by_any_of_many_lanes_is_drained_in_one_turn(void **state)
{
  sqcq_lane lanes[150];

  start(150, 4);
  for (uint32_t i = 0; i < 150; i++)
    lanes[i] = open_lane();
  sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint32_t i = 0; i < 30; i++) /* more than one of some bits */
    assert_ok(try_in(lanes[i * 5 + 4], i));
  (void)rig_turns(&rig, 1);
  struct sqcq_stats stats = rig_stats(&rig);
  assert_int_equal(stats.accepted, 30);
  assert_int_equal(stats.inflight + stats.waiting, 30);
  sim_now()->hold = 0;
  expect_all(30);
  rig_end(&rig);
}

static void burst_in_one_lane_holds_up_no_other(void **state)
{
  sqcq_lane busy, quiet;

  start(2, 8);
  busy = open_lane();
  quiet = open_lane();
  sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint32_t i = 0; i < 8; i++)
    assert_ok(try_in(busy, i));
  assert_error(try_in(busy, 63), -EAGAIN);
  assert_int_equal(rig_stats(&rig).refused_again, 1);
  assert_ok(try_in(quiet, 8));
  rig_ask(&rig, 9); /* nor the shared ones */
  (void)rig_turns(&rig, 1);
  struct sqcq_stats stats = rig_stats(&rig);
  assert_int_equal(stats.inflight + stats.waiting, 10);
  for (uint32_t i = 10; i < 18; i++) /* a turn has emptied it */
    assert_ok(try_in(busy, i));
  sim_now()->hold = 0;
  expect_all(18);
  rig_end(&rig);
}

static void request_many_accepts_as_far_as_the_lane_goes(void **state)
{
  struct sqcq_read reads[40];
  sqcq_lane lane;

  start(1, 16);
  lane = open_lane();
  for (uint32_t i = 0; i < 40; i++)
    reads[i] = read_of(i);
  assert_count(sqcq_lane_request_many(rig.engine, lane, reads, 40), 16);
  assert_error(sqcq_lane_request_many(rig.engine, lane, reads + 16, 24), -EAGAIN);
  (void)rig_turns(&rig, 1);
  reads[20].length = 0;
  assert_count(sqcq_lane_request_many(rig.engine, lane, reads + 16, 24), 4);
  assert_error(sqcq_lane_request_many(rig.engine, lane, reads + 20, 20), -EINVAL);
  (void)rig_turns(&rig, 1);
  for (uint32_t i = 20; i < 40; i++)
    assert_count(sqcq_buffer_release(rig.engine, &reads[i].buffer, 1), 1);
  expect_all(20);
  rig_end(&rig);
}

/* More than accept.c handles at once; the channel's credits are the bound. */
static void request_many_in_several_chunks_stops_at_the_credits(void **state)
{
  struct sqcq_read reads[50];
  sqcq_lane lane;

  start(1, 64);
  lane = open_lane();
  for (uint32_t i = 0; i < 50; i++)
    reads[i] = read_of(i);
  assert_count(sqcq_lane_request_many(rig.engine, lane, reads, 50), 32);
  assert_error(sqcq_lane_request(rig.engine, lane, &reads[32]), -EXFULL);
  for (uint32_t i = 32; i < 50; i++)
    assert_count(sqcq_buffer_release(rig.engine, &reads[i].buffer, 1), 1);
  expect_all(32);
  rig_end(&rig);
}

static void lane_closed_with_requests_in_it_still_delivers_them(void **state)
{
  sqcq_lane first, second;

  start(1, 4);
  first = open_lane();
  assert_ok(try_in(first, 0));
  assert_ok(try_in(first, 1));
  assert_ok(sqcq_lane_close(rig.engine, first));
  assert_error(try_in(first, 63), -EBADFD);
  second = open_lane(); /* the same ring, before anybody has looked into it */
  assert_error(try_in(first, 63), -EBADFD);
  assert_ok(try_in(second, 2));
  assert_ok(try_in(second, 3));
  assert_error(try_in(second, 63), -EAGAIN);
  expect_all(4);
  assert_ok(try_in(second, 0));
  expect_all(1);
  rig_end(&rig);
}

static void stop_answers_what_is_in_lanes_and_refuses_from_then_on(void **state)
{
  for (unsigned mode = SQCQ_STOP_DRAIN; mode <= SQCQ_STOP_CANCEL; mode++) {
    sqcq_lane gone, full, late;
    uint64_t seen = 0;

    start(3, 4);
    gone = open_lane();
    full = open_lane();
    (void)rig_turns(&rig, 1);
    assert_ok(try_in(gone, 0));
    assert_ok(sqcq_lane_close(rig.engine, gone));
    for (uint32_t i = 1; i <= 4; i++)
      assert_ok(try_in(full, i));
    assert_ok(sqcq_engine_stop(rig.engine, mode, SQCQ_FOREVER));
    assert_error(try_in(full, 63), -ESHUTDOWN);
    assert_error(sqcq_lane_open(rig.engine, &late), -ESHUTDOWN);
    rig_run(&rig);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 5);
    assert_int_equal(seen, 0x1f);
    assert_error(try_in(full, 63), -ESHUTDOWN);
    assert_int_equal(rig_stats(&rig).refused_stopping, 2);
    assert_ok(sqcq_lane_close(rig.engine, full));
    assert_error(sqcq_lane_close(rig.engine, full), -EBADFD);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

/* What a producer has before it looks at the word that says stop: only the gate counts. */
static void stop_waits_for_a_producer_inside_its_lane(void **state)
{
  struct sqcq__own_lane *inside;
  sqcq_lane lane;

  start(2, 4);
  (void)open_lane();
  lane = open_lane();
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq__own_enter(&rig.engine->own, lane.id, &inside));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  (void)rig_turns(&rig, 10);
  assert_false(rig_stopped(&rig));
  assert_true(rig.engine->io.nap); /* looks again before long, since nobody will say */
  sqcq__own_leave(inside);
  rig_run(&rig);
  rig_close(&rig);
  rig_clear(&rig);
}

static void destroy_of_an_engine_never_turned_answers_what_is_in_lanes(void **state)
{
  struct sqcq_completion completion;
  struct sqcq_held held;
  sqcq_lane lane;

  start(1, 4);
  lane = open_lane();
  assert_ok(try_in(lane, 5));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.unread, 1);
  assert_true(rig_take_from(&rig, rig.channel, &completion));
  assert_int_equal(completion.user_data, 5);
  assert_int_equal(completion.result, -ECANCELED);
  rig_close(&rig);
  rig_clear(&rig);
}

/* A ring that cannot be enabled: what was accepted must not be taken for nothing. */
static void destroy_that_cannot_turn_keeps_what_is_in_lanes(void **state)
{
  struct sqcq_completion completion;
  sqcq_lane lane;

  start(1, 4);
  lane = open_lane();
  assert_ok(try_in(lane, 5));
  sim_fail(SIM_CALL_BIND, 0, 1, -ENOMEM);
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  assert_false(rig_stopped(&rig));
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  assert_true(rig_stopped(&rig));
  assert_true(rig_take_from(&rig, rig.channel, &completion));
  rig_close(&rig);
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(request_by_any_of_many_lanes_is_drained_in_one_turn),
      cmocka_unit_test(burst_in_one_lane_holds_up_no_other),
      cmocka_unit_test(request_many_accepts_as_far_as_the_lane_goes),
      cmocka_unit_test(request_many_in_several_chunks_stops_at_the_credits),
      cmocka_unit_test(lane_closed_with_requests_in_it_still_delivers_them),
      cmocka_unit_test(stop_answers_what_is_in_lanes_and_refuses_from_then_on),
      cmocka_unit_test(stop_waits_for_a_producer_inside_its_lane),
      cmocka_unit_test(destroy_of_an_engine_never_turned_answers_what_is_in_lanes),
      cmocka_unit_test(destroy_that_cannot_turn_keeps_what_is_in_lanes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
