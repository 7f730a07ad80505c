/*
 * Channels come and go. Doorway: any thread, with the I/O thread's acknowledgement.
 *
 *   FREE | CLOSED -> CLOSED (being made) -> open -> CLOSED -> CLOSED | RETIRING -> FREE | CLOSED
 *
 * Destroying takes three steps: CLOSED, so that nothing new is accepted; RETIRING, once nothing is
 * promised and unread; and FREE by the I/O thread, which may still have been about to wake its
 * consumer.
 */
#include "engine/engine.h"

#include "base/check.h"

#include <errno.h>

struct sqcq__channel *sqcq__channel_enter(struct sqcq_engine *engine, uint64_t handle)
{
  struct sqcq__channel *channel = &engine->channels[sqcq__handle_index(handle)];

  sqcq__add_seq(&channel->waiter.inside, 1); /* pair(inside) announce */
  /* pair(inside) look again */
  uint64_t word = sqcq__load_seq(&channel->credit.word);
  if (sqcq__word_generation(word) == sqcq__handle_generation(handle) &&
      (sqcq__word_state(word) & (SQCQ__CREDIT_FREE | SQCQ__CREDIT_RETIRING)) == 0)
    return channel;
  sqcq__channel_leave(channel);
  return NULL;
}

void sqcq__channel_leave(struct sqcq__channel *channel)
{
  sqcq__sub_acq_rel(&channel->waiter.inside, 1); /* what was done inside comes before */
}

/* n of a stock that others take from too: 0 or -ENOSPC. relaxed: a number. */
static int take_stock(_Atomic uint32_t *stock, uint32_t n)
{
  uint32_t left = sqcq__load_relaxed(stock);

  do {
    if (left < n)
      return -ENOSPC;
  } while (!sqcq__cas_relaxed(stock, &left, left - n));
  return 0;
}

/* A free slot, now ours, with the next generation. */
static struct sqcq__channel *claim(struct sqcq_engine *engine, uint32_t *generation)
{
  for (uint32_t i = 0; i < engine->config.user.channels_max; i++) {
    struct sqcq__channel *channel = &engine->channels[i];
    uint64_t word = sqcq__load_relaxed(&channel->credit.word); /* relaxed: the CAS checks it */

    if ((sqcq__word_state(word) & SQCQ__CREDIT_FREE) == 0)
      continue;
    *generation = sqcq__generation_after(sqcq__word_generation(word));
    /* pair(credit) acquire: what the last one did with the slot comes before. */
    if (sqcq__cas_acq_rel(&channel->credit.word, &word,
                          sqcq__word(*generation, SQCQ__CREDIT_CLOSED)))
      return channel;
  }
  return NULL;
}

/* The word's state bits change, by RMW: a refused producer may be looking at it. */
static void change_state(struct sqcq__channel *channel, uint32_t from, uint32_t to)
{
  uint64_t word = sqcq__load_relaxed(&channel->credit.word);
  uint64_t next;

  do {
    SQCQ_ASSERT(sqcq__word_state(word) == from);
    next = sqcq__word(sqcq__word_generation(word), to);
  } while (!sqcq__cas_acq_rel(&channel->credit.word, &word, next)); /* pair(credit) release */
}

/* Bounds that the caller left open, and whether the engine can have them. */
static int complete(const struct sqcq_engine *engine, struct sqcq_channel_config *config)
{
  const struct sqcq_engine_config *user = &engine->config.user;

  if (config->capacity > user->requests_max || config->inflight_max > user->depth ||
      config->inflight_min > user->depth)
    return -EINVAL;
  if (config->capacity == 0) {
    uint32_t left = sqcq__load_relaxed(&engine->credits_left); /* relaxed: checked when taken */

    config->capacity = left == 0 || left > 256 ? 256 : left;
  }
  if (config->inflight_max == 0)
    config->inflight_max = engine->config.inflight_max;
  if (config->inflight_min == 0)
    config->inflight_min = 1;
  return config->inflight_min > config->inflight_max ? -EINVAL : 0;
}

int sqcq__channel_create(struct sqcq_engine *engine, const struct sqcq_channel_config *config,
                         uint64_t *handle)
{
  struct sqcq_channel_config bounds = *config;
  uint32_t generation;
  int error = complete(engine, &bounds);

  if (error < 0)
    return error;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  error = take_stock(&engine->credits_left, bounds.capacity);
  if (error < 0)
    return error;
  error = take_stock(&engine->depth_left, bounds.inflight_min - 1);
  if (error < 0)
    goto give_credits;
  struct sqcq__channel *channel = claim(engine, &generation);
  error = channel == NULL ? -ENOSPC : sqcq__channel_fit(channel, bounds.capacity);
  if (error < 0)
    goto give_depth;
  sqcq__store_relaxed(&channel->credit.capacity, bounds.capacity);
  channel->inflight_max = bounds.inflight_max;
  channel->inflight_min = bounds.inflight_min;
  change_state(channel, SQCQ__CREDIT_CLOSED, 0);
  *handle = sqcq__handle(generation, (uint32_t)(channel - engine->channels), engine->tag);
  return 0;

give_depth:
  if (channel != NULL)
    change_state(channel, SQCQ__CREDIT_CLOSED, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE);
  sqcq__add_relaxed(&engine->depth_left, bounds.inflight_min - 1);
give_credits:
  sqcq__add_relaxed(&engine->credits_left, bounds.capacity);
  return error;
}

void sqcq__channel_recycle(struct sqcq_engine *engine, struct sqcq__channel *channel)
{
  sqcq__add_relaxed(&engine->depth_left, channel->inflight_min - 1);
  sqcq__add_relaxed(&engine->credits_left, sqcq__load_relaxed(&channel->credit.capacity));
  change_state(channel, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_RETIRING,
               SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE);
}

/* Set bits of the word while it is this generation's and not RETIRING. 0 or -EPIPE. */
static int mark(struct sqcq__channel *channel, uint64_t handle, uint32_t bits)
{
  uint64_t seen = sqcq__load_acquire(&channel->credit.word);

  do {
    if (sqcq__word_generation(seen) != sqcq__handle_generation(handle) ||
        (sqcq__word_state(seen) & (SQCQ__CREDIT_FREE | SQCQ__CREDIT_RETIRING)) != 0)
      return -EPIPE;
  } while (!sqcq__cas_seq(&channel->credit.word, &seen, seen | bits)); /* pair(room) publish */
  return 0;
}

/* RETIRING, if nothing is promised and no consumer is inside. 0, -EPIPE or -EBUSY. */
static int begin_retiring(struct sqcq__channel *channel, uint64_t handle)
{
  uint64_t closed = sqcq__word(sqcq__handle_generation(handle), SQCQ__CREDIT_CLOSED);
  uint64_t seen = closed;

  /* pair(inside) publish */
  if (!sqcq__cas_seq(&channel->credit.word, &seen, closed | SQCQ__CREDIT_RETIRING))
    return sqcq__word_generation(seen) != sqcq__handle_generation(handle) ||
                   (sqcq__word_state(seen) & SQCQ__CREDIT_RETIRING) != 0
               ? -EPIPE /* somebody else destroyed it just now */
               : -EBUSY;
  if (sqcq__load_seq(&channel->waiter.inside) == 0) { /* pair(inside) look */
    sqcq__channel_abandon(channel);
    return 0;
  }
  change_state(channel, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_RETIRING, SQCQ__CREDIT_CLOSED);
  return -EBUSY;
}

int sqcq__channel_destroy(struct sqcq_engine *engine, uint64_t handle)
{
  uint32_t index = sqcq__handle_index(handle);
  struct sqcq__channel *channel = &engine->channels[index];
  int error = mark(channel, handle, SQCQ__CREDIT_CLOSED);

  if (error < 0)
    return error;
  sqcq__room_end(&engine->rooms, &channel->room);
  error = begin_retiring(channel, handle);
  if (error < 0) {
    sqcq__channel_give_back(channel, 0); /* a consumer that sleeps may have nothing to wait for */
    return error;
  }
  if (sqcq__phase(engine) == SQCQ__PHASE_STOPPED) { /* there is no I/O thread to ask */
    sqcq__channel_recycle(engine, channel);
    return 0;
  }
  uint32_t top = sqcq__load_relaxed(&engine->control.retired); /* relaxed: the CAS checks it */
  do
    sqcq__store_relaxed(&channel->retire_next, top);
  while (!sqcq__cas_release(&engine->control.retired, &top, index + 1)); /* pair(retire) release */
  sqcq__control_post(&engine->control, SQCQ__CONTROL_RETIRE);
  sqcq__sleeper_wake(&engine->sleeper);
  return 0;
}
