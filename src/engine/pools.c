/*
 * Pools, and their registration with the kernel. Room: S for fixed pools.
 *
 * Fixed buffers are registered all at once, anew for each pool that is made before the first turn,
 * when nothing is in flight: that works on every kernel alike.
 */
#include "engine/engine.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* The kernel registers no larger piece. */
#define PART_MAX ((size_t)1 << 30)

static int complete(struct sqcq_pool_config *config)
{
  if (config->align == 0)
    config->align = 4096;
  if ((config->flags & ~(SQCQ_POOL_FIXED | SQCQ_POOL_STRICT | SQCQ_POOL_HUGE)) != 0 ||
      config->count == 0 || (config->align & (config->align - 1)) != 0 ||
      config->align > (2u << 20) || config->buffer_size == 0 ||
      config->buffer_size > SQCQ_LENGTH_MAX)
    return -EINVAL;
  return 0;
}

/* Append the pool's parts to the list of registered buffers; returns the list, or NULL without
 * memory. */
static struct iovec *with_pool(const struct sqcq_engine *engine, const struct sqcq__pool *pool,
                               uint32_t per_part, uint32_t *count)
{
  uint32_t parts = (pool->count + per_part - 1) / per_part;
  struct iovec *list = sqcq__mem_new(engine->fixed_count + parts, sizeof(*list));

  if (list == NULL)
    return NULL;
  if (engine->fixed_count > 0)
    memcpy(list, engine->fixed, engine->fixed_count * sizeof(*list));
  for (uint32_t i = 0; i < parts; i++) {
    uint32_t first = i * per_part;
    uint32_t places = pool->count - first < per_part ? pool->count - first : per_part;

    list[engine->fixed_count + i].iov_base = pool->start + pool->stride * first;
    list[engine->fixed_count + i].iov_len = pool->stride * places;
  }
  *count = engine->fixed_count + parts;
  return list;
}

static int register_pool(struct sqcq_engine *engine, struct sqcq__pool *pool)
{
  uint32_t per_part = pool->stride >= PART_MAX ? 1 : (uint32_t)(PART_MAX / pool->stride);
  uint32_t count;

  if (pool->stride > PART_MAX)
    return -EFAULT; /* what the kernel says to a piece as large as that */
  struct iovec *list = with_pool(engine, pool, per_part, &count);
  if (list == NULL)
    return -ENOMEM;
  int error = sqcq__ring_register_buffers(engine->ring, list, count);
  if (error < 0) {
    /* As it was: these were taken before. Were they not taken again, no pool is fixed any more. */
    if (sqcq__ring_register_buffers(engine->ring, engine->fixed, engine->fixed_count) < 0) {
      for (uint32_t i = 0; i < engine->buffers.pool_max; i++)
        engine->buffers.pools[i].fixed = -1;
      engine->fixed_count = 0;
    }
    sqcq__mem_free(list);
    return error;
  }
  pool->fixed = (int32_t)engine->fixed_count;
  pool->fixed_places = per_part;
  sqcq__mem_free(engine->fixed);
  engine->fixed = list;
  engine->fixed_count = count;
  return 0;
}

static void note_refusal(struct sqcq_engine *engine, const struct sqcq__pool *pool, int error)
{
  struct rlimit limit = {0};
  uint64_t needed = pool->bytes;

  for (uint32_t i = 0; i < engine->fixed_count; i++)
    needed += engine->fixed[i].iov_len;
  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  sqcq__store_relaxed(&engine->features.needed, needed);
  sqcq__store_relaxed(&engine->features.limit, limit.rlim_cur);
  sqcq__features_set(&engine->features, SQCQ__FEATURE_FIXED_BUFFERS, error);
}

/* Only while CREATED, and nobody makes the first turn meanwhile. */
static int fix(struct sqcq_engine *engine, struct sqcq__pool *pool)
{
  uint32_t created = SQCQ__PHASE_CREATED;

  if (!sqcq__cas_acq_rel(&engine->phase, &created, SQCQ__PHASE_REGISTERING))
    return -EBUSY;
  int error = register_pool(engine, pool);
  if (error < 0)
    note_refusal(engine, pool, error);
  else
    sqcq__features_set(&engine->features, SQCQ__FEATURE_FIXED_BUFFERS, 0);
  sqcq__store_release(&engine->phase, SQCQ__PHASE_CREATED); /* pair(phase) release */
  return error;
}

int sqcq__pool_create(struct sqcq_engine *engine, const struct sqcq_pool_config *given,
                      uint64_t *handle)
{
  struct sqcq_pool_config config = *given;
  uint32_t index;
  int error = complete(&config);

  if (error < 0)
    return error;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  error = sqcq__pool_make(&engine->buffers, &config, &index);
  if ((config.flags & SQCQ_POOL_HUGE) != 0 && (error == 0 || error == -ENOMEM))
    sqcq__features_set(&engine->features, SQCQ__FEATURE_HUGE_PAGES,
                       error == 0 && engine->buffers.pools[index].huge ? 0 : -ENOMEM);
  if (error < 0)
    return error;
  if ((config.flags & SQCQ_POOL_FIXED) != 0) {
    error = fix(engine, &engine->buffers.pools[index]);
    if (error < 0 && (config.flags & SQCQ_POOL_STRICT) != 0) {
      sqcq__pool_abandon(&engine->buffers, index);
      return error;
    }
  }
  *handle = sqcq__pool_open(&engine->buffers, index);
  return 0;
}
