/*
 * The public entry points of waiting for room: arguments are checked here, then forwarded. No state.
 */
#include "engine/engine.h"

#include <errno.h>

/* What is waited for, as such: ours or not, whatever has become of it. */
static int check_bound(const struct sqcq_engine *engine, unsigned bound, uint64_t id)
{
  uint32_t count;

  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  switch (bound) {
  case SQCQ_BOUND_LANES:
    return id == 0 ? 0 : -EINVAL;
  case SQCQ_BOUND_CHANNEL:
    if (id == 0)
      return -EPIPE;
    count = engine->config.user.channels_max;
    break;
  case SQCQ_BOUND_POOL:
    if (id == 0)
      return -ESTALE;
    count = engine->buffers.pool_max;
    break;
  case SQCQ_BOUND_LANE:
    if (id == 0)
      return -EBADFD;
    count = engine->own.count;
    break;
  default:
    return -EINVAL;
  }
  return sqcq__handle_tag(id) == engine->tag && sqcq__handle_index(id) < count ? 0 : -EINVAL;
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
