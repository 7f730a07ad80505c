/* sqcq-test: simulated */
/*
 * Waiting for room in the lanes, by the steps that a waiter and a turn make: in the order in which
 * two threads could make them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <errno.h>
#include <sys/eventfd.h>

#define SLOTS 4u

static struct rig rig;

static void start(void)
{
  struct sim_config kernel = sim_kernel("6.12");
  struct sqcq_engine_config config = rig_config();

  config.lane_slots = SLOTS;
  rig_start_with(&rig, &kernel, &config);
}

static void fill_lane(void)
{
  for (uint32_t i = 0; i < SLOTS; i++)
    rig_ask(&rig, i);
  assert_error(rig_try(&rig, rig.channel, rig.file, 0, 0), -EAGAIN);
  assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANES, 0, 0), -ETIMEDOUT);
}

static void end(void)
{
  uint64_t seen = 0;

  for (uint32_t taken = 0; taken < SLOTS; taken += rig_take_all(&rig, rig.channel, &seen))
    (void)rig_turns(&rig, 1);
  rig_end(&rig);
}

/* The turn takes the control bits; the waiter posts its bit, and sees the lane full; the turn drains.
 * To the I/O thread that is: drained, and then the bit. */
static void sleeper_that_asks_between_bits_and_drain_is_woken_by_the_next_turn(void **state)
{
  (void)state;
  start();
  struct sqcq__room *room = &rig.engine->lanes_room;
  fill_lane();
  sqcq__room_announce(room);
  uint32_t prepared = sqcq__room_prepare(room);
  (void)rig_turns(&rig, 1);
  assert_int_equal(sqcq__room_prepare(room), prepared);
  sqcq__control_post(&rig.engine->control, SQCQ__CONTROL_ROOM);
  (void)rig_turns(&rig, 1);
  assert_int_not_equal(sqcq__room_prepare(room), prepared);
  sqcq__room_leave(&rig.engine->rooms, room, true);
  end();
}

/* Likewise of a notice. */
static void notice_that_asks_between_bits_and_drain_is_fired_by_the_next_turn(void **state)
{
  (void)state;
  start();
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  uint64_t written = 0;
  uint32_t generation;
  fill_lane();
  int index = sqcq__notice_make(&rig.engine->rooms, &generation);
  assert_true(fd >= 0 && index >= 0);
  sqcq__notice_arm(&rig.engine->rooms, (uint32_t)index, &rig.engine->lanes_room,
                   fcntl(fd, F_DUPFD_CLOEXEC, 0));
  (void)rig_turns(&rig, 1);
  sqcq__control_post(&rig.engine->control, SQCQ__CONTROL_ROOM);
  (void)rig_turns(&rig, 1);
  assert_int_equal(read(fd, &written, sizeof(written)), sizeof(written));
  assert_false(sqcq__notice_disarm(&rig.engine->rooms, (uint32_t)index, generation));
  assert_ok(close(fd));
  end();
}

/* A producer has filled the lane and not set its bit yet: asked, there is nothing to tell; after the
 * drain there is. */
static void turn_asked_while_there_is_no_room_tells_nobody(void **state)
{
  (void)state;
  start();
  struct sqcq__room *room = &rig.engine->lanes_room;
  fill_lane();
  assert_int_equal(sqcq__lanes_take_work(&rig.engine->lanes), 1);
  sqcq__room_announce(room);
  uint32_t prepared = sqcq__room_prepare(room);
  sqcq__control_post(&rig.engine->control, SQCQ__CONTROL_ROOM);
  (void)rig_turns(&rig, 1);
  assert_int_equal(sqcq__room_prepare(room), prepared);
  sqcq__lanes_again(&rig.engine->lanes, 0);
  (void)rig_turns(&rig, 1);
  assert_int_not_equal(sqcq__room_prepare(room), prepared);
  sqcq__room_leave(&rig.engine->rooms, room, true);
  end();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sleeper_that_asks_between_bits_and_drain_is_woken_by_the_next_turn),
      cmocka_unit_test(notice_that_asks_between_bits_and_drain_is_fired_by_the_next_turn),
      cmocka_unit_test(turn_asked_while_there_is_no_room_tells_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
