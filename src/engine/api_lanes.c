/*
 * The public entry points of own lanes: arguments are checked here, then forwarded. No state.
 */
#include "engine/engine.h"

#include "base/probe.h"

#include <errno.h>
#include <stddef.h>

int sqcq_lane_open(struct sqcq_engine *engine, sqcq_lane *lane)
{
  if (engine == NULL || lane == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  return sqcq__own_open(&engine->own, &lane->id);
}

int sqcq_lane_close(struct sqcq_engine *engine, sqcq_lane lane)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__own_close(&engine->own, lane.id);
  if (error == 0) /* notices of its producer's */
    sqcq__room_end(&engine->rooms, &engine->own_rooms[sqcq__handle_index(lane.id)]);
  return error;
}

int sqcq_lane_request(struct sqcq_engine *engine, sqcq_lane lane, const struct sqcq_read *read)
{
  int accepted = sqcq_lane_request_many(engine, lane, read, 1);
  return accepted < 0 ? accepted : 0;
}

int sqcq_lane_request_many(struct sqcq_engine *engine, sqcq_lane lane,
                           const struct sqcq_read *reads, uint32_t count)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int accepted =
      reads == NULL || count == 0 ? -EINVAL : sqcq__accept(engine, &lane.id, reads, count);
  if (accepted < 0) {
    sqcq__stats_refused(&engine->stats, accepted);
    SQCQ_PROBE2(refuse, engine, accepted);
  }
  return accepted;
}
