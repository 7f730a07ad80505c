/*
 * Steps of producers that wait for room: a look that does not wait, and notices.
 *
 * A notice is there until it fires: not before there is room, or the end; and then at once, where it
 * is the only one that has waited for this bound. One that others wait beside may have to wait for
 * another give-back, but not where nothing is left to come back.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_ROOM_H
#define SQCQ_TESTS_PROPERTY_TAPE_ROOM_H

#include "tape_lanes.h"
#include "tape_own.h"

#include <poll.h>
#include <sys/eventfd.h>

/* What is waited for, of the model: at -1 a handle that never was one. */
static inline uint64_t tape_bound_id(const struct tape *tape, unsigned bound, int at)
{
  if (bound == SQCQ_BOUND_CHANNEL && at >= 0)
    return tape->channels[at].handle.id;
  if (bound == SQCQ_BOUND_POOL && at >= 0)
    return tape->pools[at].handle.id;
  if (bound == SQCQ_BOUND_LANE && at >= 0)
    return tape->lanes[at].handle.id;
  return 0;
}

static inline uint32_t tape_bound_size(const struct tape *tape, unsigned bound, int at)
{
  if (bound == SQCQ_BOUND_CHANNEL)
    return tape->channels[at].capacity;
  if (bound == SQCQ_BOUND_POOL)
    return tape->pools[at].count;
  if (bound == SQCQ_BOUND_LANE)
    return tape->config.lane_slots;
  return tape->config.lanes_shared * tape->config.lane_slots;
}

/* How much room there is, or why there will be none. */
static inline int tape_bound_room(const struct tape *tape, unsigned bound, int at)
{
  struct tape_try try = {.own = bound == SQCQ_BOUND_LANE, .lane = at};

  if (tape->stopping)
    return -ESHUTDOWN;
  if (bound == SQCQ_BOUND_CHANNEL) {
    if (at < 0 || tape->channels[at].state != TAPE_OPEN)
      return -EPIPE;
    return (int)(tape->channels[at].capacity - tape->channels[at].pending);
  }
  if (bound == SQCQ_BOUND_POOL) {
    if (at < 0 || tape->pools[at].state != TAPE_OPEN)
      return -ESTALE;
    return (int)(tape->pools[at].count - tape->pools[at].out);
  }
  if (bound == SQCQ_BOUND_LANE && (at < 0 || tape->lanes[at].state != TAPE_OPEN))
    return -EBADFD;
  return (int)tape_lane_room(tape, &try);
}

/* A handle of 0 is refused before the stop is looked at. */
static inline int tape_bound_answer(const struct tape *tape, unsigned bound, int at)
{
  if (bound != SQCQ_BOUND_LANES && tape_bound_id(tape, bound, at) == 0)
    return bound == SQCQ_BOUND_CHANNEL ? -EPIPE : bound == SQCQ_BOUND_POOL ? -ESTALE : -EBADFD;
  return tape_bound_room(tape, bound, at);
}

static inline void tape_pick_bound(const struct tape *tape, const uint32_t r[4], unsigned *bound,
                                   int *at)
{
  *bound = SQCQ_BOUND_LANES + r[0] % 4;
  *at = *bound == SQCQ_BOUND_CHANNEL ? tape_pick_channel(tape, r[1])
        : *bound == SQCQ_BOUND_POOL  ? tape_pick_pool(tape, r[1])
        : *bound == SQCQ_BOUND_LANE  ? tape_pick_lane(tape, r[1])
                                     : -1;
}

/* It sleeps on the tape's own clock, whose times have long passed on the kernel's. */
static inline void tape_room_wait(struct tape *tape, const uint32_t r[4])
{
  unsigned bound;
  int at;

  tape_pick_bound(tape, r, &bound, &at);
  int room = tape_bound_answer(tape, bound, at);
  int64_t timeout_ns = r[2] % 4 == 0 ? 3000 : 0;
  bool self = tape->io.owner == TAPE_MAIN && sqcq__phase(tape->engine) == SQCQ__PHASE_RUNNING;
  int expected = room > 0 ? 0 : room < 0 ? room : timeout_ns > 0 && self ? -EDEADLK : -ETIMEDOUT;
  int result = sqcq_request_wait(tape->engine, bound, tape_bound_id(tape, bound, at), timeout_ns);
  tape_say(tape, "request_wait for bound %u, %d -> %d", bound, at, result);
  tape_check(tape, result == expected, "%d, expected %d", result, expected);
}

static inline uint32_t tape_notices_armed(const struct tape *tape)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < TAPE_NOTICES; i++)
    count += tape->notices[i].armed;
  return count;
}

static inline void tape_notify(struct tape *tape, const uint32_t r[4])
{
  struct tape_notice *notice = NULL;
  sqcq_notice handle = {77};
  unsigned bound;
  bool alone = true;
  int at;

  tape_pick_bound(tape, r, &bound, &at);
  for (uint32_t i = 0; i < TAPE_NOTICES; i++)
    if (!tape->notices[i].armed)
      notice = &tape->notices[i];
    else if (tape->notices[i].bound == bound && tape->notices[i].at == at)
      alone = tape->notices[i].alone = false;
  if (notice == NULL)
    return;
  if (!notice->made)
    notice->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  notice->made = true;
  int room = tape_bound_answer(tape, bound, at);
  int expected = room > 0                                               ? 1
                 : room < 0                                             ? room
                 : tape_notices_armed(tape) == tape->config.notices_max ? -ENOSPC
                                                                        : 0;
  int result = sqcq_request_notify(tape->engine, bound, tape_bound_id(tape, bound, at),
                                   notice->eventfd, &handle);
  tape_say(tape, "request_notify for bound %u, %d -> %d", bound, at, result);
  tape_check(tape, result == expected, "%d, expected %d", result, expected);
  tape_check(tape, (result == 0) == (handle.id != 77), "*notice");
  if (result != 0)
    return;
  notice->armed = true;
  notice->alone = alone;
  notice->bound = bound;
  notice->at = at;
  notice->handle = handle;
}

static inline void tape_unnotify(struct tape *tape, const uint32_t r[4])
{
  struct tape_notice *notice = &tape->notices[r[0] % TAPE_NOTICES];
  int expected = notice->armed ? 0 : -ESTALE;

  int result = sqcq_request_unnotify(tape->engine, notice->handle);
  tape_say(tape, "request_unnotify -> %d", result);
  tape_check(tape, result == expected, "%d, expected %d", result, expected);
  notice->armed = false;
}

/* After every step. */
static inline void tape_check_notices(struct tape *tape)
{
  struct pollfd watch[TAPE_NOTICES];
  uint32_t made = 0;

  for (uint32_t i = 0; i < TAPE_NOTICES; i++) {
    made += tape->notices[i].made;
    watch[i] = (struct pollfd){.fd = tape->notices[i].made ? tape->notices[i].eventfd : -1,
                               .events = POLLIN};
  }
  int readable = made == 0 ? 0 : poll(watch, TAPE_NOTICES, 0);
  for (uint32_t i = 0; i < TAPE_NOTICES; i++) {
    struct tape_notice *notice = &tape->notices[i];
    uint64_t count = 0;

    if (!notice->made || (readable <= 0 && !notice->armed))
      continue;
    bool fired = (watch[i].revents & POLLIN) != 0;
    if (fired)
      tape_check(tape, read(notice->eventfd, &count, sizeof(count)) > 0, "eventfd");
    if (!notice->armed) {
      tape_check(tape, !fired, "a notice that is gone was fired");
      continue;
    }
    int room = tape_bound_room(tape, notice->bound, notice->at);
    if (fired) {
      tape_check(tape, count == 1, "fired %llu times", (unsigned long long)count);
      tape_check(tape, room != 0, "fired, and there is no room");
      notice->armed = false;
      continue;
    }
    tape_check(tape, room >= 0, "not fired at the end");
    tape_check(tape, room == 0 || !notice->alone, "not fired, and there is room");
    tape_check(tape, room == 0 || room < (int)tape_bound_size(tape, notice->bound, notice->at),
               "not fired, and nothing is out");
  }
}

static inline void tape_play_room(struct tape *tape, const struct tape_step *step)
{
  switch (step->op) {
  case TAPE_ROOM_WAIT:
    tape_room_wait(tape, step->r);
    break;
  case TAPE_NOTIFY:
    tape_notify(tape, step->r);
    break;
  default:
    tape_unnotify(tape, step->r);
    break;
  }
}

#endif
