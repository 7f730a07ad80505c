/*
 * Pools, and their registration with the kernel. Room: S for fixed pools.
 *
 * Fixed buffers are registered all at once, anew for each pool that is made before the first turn,
 * when nothing is in flight: that works on every kernel alike.
 */
#include "engine/engine.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/uio.h>

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

/* Buffers of a pool that one registered part holds. */
static uint32_t places_per_part(const struct sqcq__pool *pool)
{
  return (uint32_t)(PART_MAX / pool->stride);
}

static uint32_t parts_of(const struct sqcq__pool *pool)
{
  return pool->wants_fixed ? (pool->count - 1) / places_per_part(pool) + 1 : 0;
}

static void fill_parts(struct sqcq__pool *pool, struct iovec *list, uint32_t first_part)
{
  uint32_t per_part = places_per_part(pool);

  pool->fixed = (int32_t)first_part;
  pool->fixed_places = per_part;
  for (uint32_t i = 0; i < parts_of(pool); i++) {
    uint32_t left = pool->count - i * per_part;

    list[first_part + i].iov_base = pool->start + pool->stride * per_part * i;
    list[first_part + i].iov_len = pool->stride * (left < per_part ? left : per_part);
  }
}

/* Register the parts of all pools that want it. *bytes: what they lock. */
static int register_all(struct sqcq_engine *engine, uint64_t *bytes)
{
  struct sqcq__pool *pools = engine->buffers.pools;
  uint32_t parts = 0, done = 0;

  *bytes = 0;
  for (uint32_t i = 0; i < engine->buffers.pool_max; i++)
    parts += parts_of(&pools[i]);
  struct iovec *list = sqcq__mem_new(parts, sizeof(*list));
  if (list == NULL)
    return -ENOMEM;
  for (uint32_t i = 0; i < engine->buffers.pool_max; i++) {
    if (!pools[i].wants_fixed)
      continue;
    fill_parts(&pools[i], list, done);
    done += parts_of(&pools[i]);
    *bytes += pools[i].bytes;
  }
  int error = sqcq__ring_register_buffers(engine->ring, list, parts);
  sqcq__mem_free(list);
  return error;
}

static int register_pool(struct sqcq_engine *engine, struct sqcq__pool *pool)
{
  struct rlimit limit = {0};
  uint64_t bytes, fewer;

  if (pool->stride > PART_MAX)
    return -EFAULT; /* what the kernel says to a piece as large as that */
  pool->wants_fixed = true;
  int error = register_all(engine, &bytes);
  if (error == 0)
    return 0;
  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  sqcq__store_relaxed(&engine->features.needed, bytes);
  sqcq__store_relaxed(&engine->features.limit, limit.rlim_cur);
  /* As it was without it. Should the kernel not take the others again, none is fixed. */
  pool->wants_fixed = false;
  pool->fixed = -1;
  if (register_all(engine, &fewer) < 0)
    for (uint32_t i = 0; i < engine->buffers.pool_max; i++) {
      engine->buffers.pools[i].wants_fixed = false;
      engine->buffers.pools[i].fixed = -1;
    }
  return error;
}

/* Only while CREATED, and nobody makes the first turn meanwhile. */
static int fix(struct sqcq_engine *engine, struct sqcq__pool *pool)
{
  uint32_t created = SQCQ__PHASE_CREATED;

  if (!sqcq__cas_acq_rel(&engine->phase, &created, SQCQ__PHASE_REGISTERING))
    return -EBUSY;
  int error = register_pool(engine, pool);
  sqcq__features_set(&engine->features, SQCQ__FEATURE_FIXED_BUFFERS, error);
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
