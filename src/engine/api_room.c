/*
 * The public entry points of waiting for room: arguments are checked here, then forwarded. No state.
 */
#include "engine/engine.h"

#include <errno.h>

/* What is waited for, as such: ours or not, whatever has become of it. */
static int check_bound(const struct sqcq_engine *engine, unsigned bound, uint64_t id)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  switch (bound) {
  case SQCQ_BOUND_LANES:
    return id == 0 ? 0 : -EINVAL;
  case SQCQ_BOUND_CHANNEL:
    return sqcq__channel_check(engine, id);
  case SQCQ_BOUND_POOL:
    return sqcq__handle_check(id, engine->tag, engine->buffers.pool_max, -ESTALE);
  case SQCQ_BOUND_LANE:
    return sqcq__handle_check(id, engine->tag, engine->own.count, -EBADFD);
  default:
    return -EINVAL;
  }
}

int sqcq_request_wait(struct sqcq_engine *engine, unsigned bound, uint64_t id, int64_t timeout_ns)
{
  if (timeout_ns < SQCQ_FOREVER)
    return -EINVAL;
  int error = check_bound(engine, bound, id);
  return error < 0 ? error : sqcq__room_wait(engine, bound, id, timeout_ns);
}

int sqcq_request_notify(struct sqcq_engine *engine, unsigned bound, uint64_t id, int eventfd,
                        sqcq_notice *notice)
{
  if (notice == NULL)
    return -EINVAL;
  int error = check_bound(engine, bound, id);
  return error < 0 ? error : sqcq__room_notify(engine, bound, id, eventfd, &notice->id);
}

int sqcq_request_unnotify(struct sqcq_engine *engine, sqcq_notice notice)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__room_unnotify(engine, notice.id);
}
