/*
 * A completion channel. Doorway: I -> C, with the credits that P takes.
 *
 * A ring (base/spsc.h) of completions by value. The I/O thread pushes, and publishes once a turn;
 * one consumer at a time pops. A push cannot fail: each completion has a credit, and there are no
 * more credits than slots. Nor does it look at what the consumer has given back: the credit came
 * back after that, pair(credit).
 *
 * Channels live in an array as long as the engine; a handle's generation says whether it means the
 * one that is there now. A slot's ring is kept for the next channel and replaced only by a larger
 * one; the old one is kept too until the engine's end (each is twice the last, so all of them are
 * less than two), since a consumer with a stale handle may still be looking at it.
 */
#ifndef SQCQ_DISPATCH_CHANNEL_H
#define SQCQ_DISPATCH_CHANNEL_H

#include "base/atomics.h"
#include "base/spsc.h"
#include "dispatch/room.h"
#include "dispatch/wake.h"
#include "mpsc/credit.h"

#include <sqcq/sqcq.h>

#include <stdbool.h>
#include <stdint.h>

_Static_assert(sizeof(struct sqcq_completion) == SQCQ_CACHELINE, "a completion is one cache line");

/* An outgrown ring. */
struct sqcq__channel_ring {
  struct sqcq_completion *slots;
  struct sqcq__channel_ring *older;
};

struct sqcq__channel {
  _Alignas(SQCQ_CACHELINE) struct sqcq__credit credit;
  struct sqcq__room room;                          /* in the line of the credit word */
  _Alignas(SQCQ_CACHELINE) struct sqcq__spsc ring; /* producer: I; consumer: C */
  /* Constant while the channel is open, in a line with the ring's constants; W: its creator before
   * opening, pair(credit). */
  uint32_t inflight_max;
  uint32_t inflight_min;
  uint32_t ring_size; /* slots of the ring, a power of two; 0: none yet */
  struct sqcq_completion *slots;
  struct sqcq__channel_ring *rings; /* all it ever had, newest first */
  _Atomic uint32_t retire_next;     /* link in control.h's stack of channels to retire */
  struct sqcq__waiter waiter;
};

/* Give the channel a ring for `capacity` completions. By its creator, while it is not open; 0 or
 * -ENOMEM. */
int sqcq__channel_fit(struct sqcq__channel *channel, uint32_t capacity);
void sqcq__channel_fini(struct sqcq__channel *channel);

/* I: the completion can be popped once it is published, with all others pushed so far. */
void sqcq__channel_push(struct sqcq__channel *channel, const struct sqcq_completion *completion);
void sqcq__channel_publish(struct sqcq__channel *channel);

/* I: whether there is something that is not published. */
static inline bool sqcq__channel_has_staged(const struct sqcq__channel *channel)
{
  return channel->ring.next != sqcq__load_relaxed(&channel->ring.tail); /* relaxed: its own */
}

/* C: copy up to max out, oldest first. The credits are still held. */
uint32_t sqcq__channel_pop(struct sqcq__channel *channel, struct sqcq_completion *out,
                           uint32_t max);

/* C, I: how many are there to pop; by others, about how many. */
static inline uint32_t sqcq__channel_unread(const struct sqcq__channel *channel)
{
  return sqcq__spsc_count(&channel->ring);
}

/* Any: the most completions that its consumer has found, or would find now. */
static inline uint32_t sqcq__channel_high_water(const struct sqcq__channel *channel)
{
  uint32_t unread = sqcq__channel_unread(channel);
  uint32_t most = sqcq__load_relaxed(&channel->ring.most); /* relaxed: a statistic */

  return most > unread ? most : unread;
}

/* Any: after the fence: wake the consumer if it sleeps and has enough to wake up for. `last`: wake
 * it whatever there is. Returns whether a system call was made. */
bool sqcq__channel_wake(struct sqcq__channel *channel, bool last);

/* I: whether its consumer sleeps and has what it waits for. */
bool sqcq__channel_sleeps(struct sqcq__channel *channel);

/* P: give back credits that no request went out with. The sleeping consumer may have waited for
 * just those: see sqcq__channel_ready(). */
void sqcq__channel_give_back(struct sqcq__channel *channel, uint32_t n);

/* Its destroyer, once no consumer is inside: one that is armed is woken to find that the channel is
 * gone; its place's next consumer begins as if never armed. */
void sqcq__channel_abandon(struct sqcq__channel *channel);

/* Any: whether a sleeper that wants `want` may go on: they are there; or some are and nothing more
 * is promised; or nothing will ever come, since the channel is closed. */
bool sqcq__channel_ready(struct sqcq__channel *channel, uint32_t want);

#endif
