/*
 * Steps of set-up (pools and channels) and of consumers.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_ENGINE_H
#define SQCQ_TESTS_PROPERTY_TAPE_ENGINE_H

#include "tape_own.h"

#include "support/alloc.h"

/* ------------------------------------------------------------------------- */
/* Set-up: pools and channels. These may allocate                            */
/* ------------------------------------------------------------------------- */

static inline uint64_t tape_alloc_calls(void)
{
  return alloc_works() ? alloc_calls() : 0;
}

static inline void tape_pool_create(struct tape *tape, const uint32_t r[4])
{
  uint32_t spoiled = r[3] % 24;
  struct sqcq_pool_config config = {
      .size = sizeof(config),
      .count = 1 + r[0] % 5,
      .align = r[1] % 4 == 0 ? 0 : 1u << r[1] % 8,
      .buffer_size = 1 + r[2] % TAPE_BUFFER_SIZE,
      .flags = r[3] % 5 == 0    ? SQCQ_POOL_FIXED
               : r[3] % 11 == 0 ? SQCQ_POOL_FIXED | SQCQ_POOL_STRICT
               : r[3] % 61 == 0 ? SQCQ_POOL_HUGE
               : r[3] % 67 == 0 ? SQCQ_POOL_HUGE | SQCQ_POOL_STRICT
                                : 0,
  };
  bool strict = (config.flags & SQCQ_POOL_STRICT) != 0 && (config.flags & SQCQ_POOL_FIXED) != 0;
  int place = tape_pool_place(tape);
  sqcq_pool pool = {.id = 77};
  struct tape_errors errors = {.count = 0};
  uint32_t open = 0;

  if (place < 0)
    return;
  for (uint32_t i = 0; i < TAPE_POOLS; i++)
    open += tape->pools[i].state == TAPE_OPEN;
  if (spoiled == 1)
    config.count = 0;
  else if (spoiled == 2)
    config.buffer_size = 0;
  else if (spoiled == 3)
    config.align = 3;
  else if (spoiled == 4)
    config.flags = 8;
  tape_allow(&errors, spoiled >= 1 && spoiled <= 4, -EINVAL);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors, open == tape->config.pools_max, -ENOSPC);
  tape_allow(&errors, config.count > tape->config.buffers_max, -ENOSPC);
  bool turned = sqcq__phase(tape->engine) != SQCQ__PHASE_CREATED;
  int32_t refusal = tape->kernel.error[SIM_CALL_REGISTER_BUFFERS];
  if (strict && turned)
    tape_allow(&errors, true, -EBUSY);
  else if (strict && refusal != 0)
    tape_allow(&errors, true, refusal);
  int result = sqcq_pool_create(tape->engine, &config, &pool);
  tape_say(tape, "pool_create %u of %u, flags %u -> %d, pool %d", config.count,
           (unsigned)config.buffer_size, config.flags, result, place);
  tape_allow(&errors, result == -ENOMEM && config.flags == (SQCQ_POOL_HUGE | SQCQ_POOL_STRICT),
             -ENOMEM); /* a machine without */
  /* Places in a row: a question of what earlier pools have left. */
  tape_allow(&errors, result == -ENOSPC && !tape->fresh, -ENOSPC);
  if (!tape_worked(tape, &errors, result, "pool_create")) {
    tape_check(tape, pool.id == 77, "refused, and *pool has changed");
    return;
  }
  tape->fresh = false;
  tape->pools[place] = (struct tape_pool){.state = TAPE_OPEN,
                                          .handle = pool,
                                          .count = config.count,
                                          .size = (uint32_t)config.buffer_size,
                                          .align = config.align};
}

static inline void tape_pool_destroy(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_pool(tape, r[0]);
  struct tape_pool *pool = at < 0 ? NULL : &tape->pools[at];
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, pool == NULL || pool->state == TAPE_DEAD, -ESTALE);
  tape_allow(&errors, pool != NULL && pool->state == TAPE_OPEN && pool->out > 0, -EBUSY);
  int result = sqcq_pool_destroy(tape->engine, pool == NULL ? (sqcq_pool){0} : pool->handle);
  tape_say(tape, "pool_destroy %d -> %d", at, result);
  if (tape_worked(tape, &errors, result, "pool_destroy"))
    pool->state = TAPE_DEAD;
}

static inline void tape_channel_create(struct tape *tape, const uint32_t r[4])
{
  const struct sqcq_engine_config *user = &tape->config;
  struct sqcq_channel_config config = {
      .size = sizeof(config),
      .capacity = r[0] % 5 == 0 ? 0 : 1 + r[0] % 4,
      .inflight_max = r[1] % 3 == 0 ? 0 : 1 + r[1] % user->depth,
      .inflight_min = r[2] % 3 == 0 ? 1 + r[2] % 3 : 0,
  };
  uint32_t spoiled = r[3] % 24;
  int place = tape_channel_place(tape);
  sqcq_channel channel = {.id = 77};
  struct tape_errors errors = {.count = 0};

  if (place < 0)
    return;
  if (spoiled == 1)
    config.capacity = user->requests_max + 1;
  else if (spoiled == 2)
    config.inflight_max = user->depth + 1;
  uint32_t capacity = config.capacity != 0      ? config.capacity
                      : tape->credits_left == 0 ? 256
                                                : tape->credits_left;
  uint32_t max = config.inflight_max != 0 ? config.inflight_max : tape->engine->config.inflight_max;
  uint32_t min = config.inflight_min != 0 ? config.inflight_min : 1;
  tape_allow(&errors, spoiled == 1 || spoiled == 2 || min > max || min > user->depth, -EINVAL);
  tape_allow(&errors, config.capacity > user->requests_max, -EINVAL);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors,
             tape->channels_left == 0 || capacity > tape->credits_left ||
                 min - 1 > tape->depth_left,
             -ENOSPC);
  int result = sqcq_channel_create(tape->engine, &config, &channel);
  tape_say(tape, "channel_create %u, %u to %u in flight -> %d, channel %d", config.capacity,
           config.inflight_min, config.inflight_max, result, place);
  if (!tape_worked(tape, &errors, result, "channel_create")) {
    tape_check(tape, channel.id == 77, "refused, and *channel has changed");
    return;
  }
  tape->credits_left -= capacity;
  tape->depth_left -= min - 1;
  tape->channels_left--;
  tape->channels[place] = (struct tape_channel){.state = TAPE_OPEN,
                                                .handle = channel,
                                                .capacity = capacity,
                                                .inflight_max = max,
                                                .inflight_min = min,
                                                .fd = -1};
}

/* What channels that were destroyed had is there again. */
static inline void tape_channels_back(struct tape *tape)
{
  tape->credits_left += tape->credits_coming;
  tape->depth_left += tape->depth_coming;
  tape->channels_left += tape->channels_coming;
  tape->credits_coming = tape->depth_coming = tape->channels_coming = 0;
}

static inline void tape_channel_destroy(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_channel(tape, r[0]);
  struct tape_errors errors = {.count = 0};

  for (uint32_t i = 0; i < TAPE_CHANNELS && r[1] % 4 != 0; i++)
    if (tape->channels[i].state == TAPE_CLOSED)
      at = (int)i; /* it has been asked for before, and has not come to its end */
  struct tape_channel *channel = at < 0 ? NULL : &tape->channels[at];
  if (channel != NULL && channel->state == TAPE_OPEN && channel->pending > 0 && r[2] % 4 != 0)
    return; /* else most are closed most of the time */
  tape_allow(&errors, channel == NULL || channel->state == TAPE_DEAD, -EPIPE);
  tape_allow(&errors, channel != NULL && channel->state != TAPE_DEAD && channel->pending > 0,
             -EBUSY);
  int result =
      sqcq_channel_destroy(tape->engine, channel == NULL ? (sqcq_channel){0} : channel->handle);
  tape_say(tape, "channel_destroy %d -> %d", at, result);
  if (tape_worked(tape, &errors, result, "channel_destroy")) {
    channel->state = TAPE_DEAD;
    tape->credits_coming += channel->capacity;
    tape->depth_coming += channel->inflight_min - 1;
    tape->channels_coming++;
    if (tape_stopped(tape))
      tape_channels_back(tape);
  } else if (result == -EBUSY) {
    channel->state = TAPE_CLOSED;
  }
}

/* ------------------------------------------------------------------------- */
/* Consumers                                                                 */
/* ------------------------------------------------------------------------- */

static inline int tape_consume(struct tape *tape, int at, uint32_t max, uint32_t min,
                               int64_t timeout_ns)
{
  const struct tape_channel *channel = at < 0 ? NULL : &tape->channels[at];
  uint32_t unread = channel == NULL ? 0 : tape_unread(tape, channel);
  bool dead = channel == NULL || channel->state == TAPE_DEAD;
  struct sqcq_completion completions[4];
  sqcq_channel handle = {.id = channel == NULL ? 0 : channel->handle.id};
  struct tape_errors errors = {.count = 0};
  int n;

  tape_allow(&errors, max == 0 || (timeout_ns >= 0 && (min == 0 || min > max)), -EINVAL);
  tape_allow(&errors, dead, -EPIPE);
  if (!dead && unread == 0) {
    tape_allow(&errors, tape_stopped(tape), -ESHUTDOWN);
    tape_allow(&errors,
               !tape_stopped(tape) && channel->state == TAPE_CLOSED && channel->pending == 0,
               -EPIPE);
  }
  if (timeout_ns < 0) {
    n = sqcq_channel_poll(tape->engine, handle, completions, max);
  } else {
    n = sqcq_channel_wait(tape->engine, handle, completions, max, min, timeout_ns);
    tape_allow(&errors,
               n == -EDEADLK && unread == 0 && timeout_ns > 0 && tape->io.owner == TAPE_MAIN &&
                   sqcq__phase(tape->engine) == SQCQ__PHASE_RUNNING,
               -EDEADLK);
  }
  tape_say(tape, "channel %d: take %u, at least %u -> %d", at, max, min, n);
  if (!tape_worked(tape, &errors, n, "consume"))
    return n;
  tape_check(tape, n == (int)(unread < max ? unread : max), "%d taken, %u were there", n, unread);
  for (int i = 0; i < n; i++)
    tape_take(tape, (uint32_t)at, &completions[i]);
  return n;
}

#endif
