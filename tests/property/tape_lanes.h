/*
 * Steps of producers: own lanes.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_LANES_H
#define SQCQ_TESTS_PROPERTY_TAPE_LANES_H

#include "tape_produce.h"

static inline int tape_lane_place(const struct tape *tape)
{
  TAPE_PLACE(tape->lanes, TAPE_LANES, tape->lanes[i].state == TAPE_NONE,
             tape->lanes[i].state == TAPE_DEAD);
}

static inline uint32_t tape_lanes_open(const struct tape *tape)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < TAPE_LANES; i++)
    count += tape->lanes[i].state == TAPE_OPEN;
  return count;
}

static inline void tape_lane_open(struct tape *tape)
{
  struct tape_errors errors = {.count = 0};
  sqcq_lane lane = {.id = 77};
  int place = tape_lane_place(tape);

  if (place < 0)
    return;
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors, tape_lanes_open(tape) == tape->config.lanes_own, -ENOSPC);
  int result = sqcq_lane_open(tape->engine, &lane);
  tape_say(tape, "lane_open -> %d: lane %d", result, place);
  if (!tape_worked(tape, &errors, result, "lane_open")) {
    tape_check(tape, lane.id == 77, "refused, and *lane has changed");
    return;
  }
  for (uint32_t i = 0; i < TAPE_LANES; i++)
    tape_check(tape, tape->lanes[i].handle.id != lane.id, "a handle for the second time");
  tape->lanes[place] = (struct tape_lane){.state = TAPE_OPEN, .handle = lane};
}

/* A handle that is another's, or nobody's. */
static inline bool tape_spoil_lane(const struct tape *tape, uint32_t r, sqcq_lane *lane)
{
  if (r % 16 != 0)
    return false;
  lane->id = tape_foreign(tape, lane->id);
  return true;
}

static inline void tape_lane_close(struct tape *tape, const uint32_t r[4])
{
  struct tape_errors errors = {.count = 0};
  int at = tape_pick_lane(tape, r[0]);
  sqcq_lane lane = at < 0 ? (sqcq_lane){0} : tape->lanes[at].handle;
  bool foreign = tape_spoil_lane(tape, r[1], &lane);

  tape_allow(&errors, foreign, -EINVAL);
  tape_allow(&errors, !foreign && (at < 0 || tape->lanes[at].state != TAPE_OPEN), -EBADFD);
  int result = sqcq_lane_close(tape->engine, lane);
  tape_say(tape, "lane_close %d -> %d", at, result);
  if (tape_worked(tape, &errors, result, "lane_close"))
    tape->lanes[at].state = TAPE_DEAD;
}

static inline void tape_lane_request(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_read read;
  struct tape_try try;
  int at = tape_pick_lane(tape, r[0] >> 8);
  sqcq_lane lane = at < 0 ? (sqcq_lane){0} : tape->lanes[at].handle;

  tape_make_read(tape, r, &read, &try);
  try.own = true;
  try.lane = at;
  if (r[3] >> 28 == 0)
    tape_spoil_read(tape, r[0] >> 20, &read, &try);
  if (tape_spoil_lane(tape, r[1] >> 28, &lane))
    try.error = -EINVAL;
  tape_guard(tape, try.buffer);
  struct tape_errors errors = tape_expect(tape, &try);
  tape_hand_in(tape, &read, &try, lane, &errors, "lane_request");
}

static inline void tape_lane_request_many(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_read reads[TAPE_MANY] = {0};
  struct tape_try tries[TAPE_MANY];
  struct tape_errors errors = {.count = 0};
  uint32_t count = (r[0] >> 4) % 8 == 0 ? r[0] % TAPE_MANY : r[0] % 6, good = 0;
  int at = tape_pick_lane(tape, r[0] >> 8);
  sqcq_lane lane = at < 0 ? (sqcq_lane){0} : tape->lanes[at].handle;

  for (uint32_t i = 0; i < count; i++) {
    uint32_t own[4] = {r[0] >> 8, r[1] + i / 3, r[2] + i * 0x101u, r[3] + i * 0x4000u};

    tape_make_read(tape, own, &reads[i], &tries[i]);
    tries[i].own = true;
    tries[i].lane = at;
    if ((r[3] >> 24) % 16 == i)
      tape_spoil_read(tape, r[1] >> 8, &reads[i], &tries[i]);
    tape_guard(tape, tries[i].buffer);
  }
  tape_allow(&errors, count == 0, -EINVAL);
  for (; good < count; good++) {
    errors = tape_expect(tape, &tries[good]);
    if (errors.count > 0)
      break;
    tape_accept(tape, &reads[good], &tries[good]);
  }
  int result = sqcq_lane_request_many(tape->engine, lane, reads, count);
  tape_say(tape, "lane %d: request_many %u -> %d, model %u", at, count, result, good);
  if (good > 0) {
    tape_check(tape, result == (int)good, "%d of %u accepted, model %u", result, count, good);
    return;
  }
  (void)tape_worked(tape, &errors, result, "lane_request_many");
  tape_count_refusal(tape, result);
}

static inline void tape_play_lanes(struct tape *tape, const struct tape_step *step)
{
  switch (step->op) {
  case TAPE_LANE_OPEN:
    tape_lane_open(tape);
    break;
  case TAPE_LANE_CLOSE:
    tape_lane_close(tape, step->r);
    break;
  case TAPE_LANE_REQUEST:
    tape_lane_request(tape, step->r);
    break;
  default:
    tape_lane_request_many(tape, step->r);
    break;
  }
}

#endif
