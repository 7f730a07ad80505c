/*
 * The indexes of a bounded ring with one producer and one consumer. Its slots belong to whoever
 * embeds it: lanes (P -> I) and channels (I -> C).
 *
 * On two cores a cache line that both touch costs some 200 ns each time it changes sides, more than
 * anything else a request needs of us. So each side touches the other's line once a batch, not once
 * an item: the producer fills slots and publishes them by one store, the consumer empties them
 * and gives them back by one store.
 *
 *   pair(spsc)  release of `tail` after the slots are written, before the acquire of it by the
 *               consumer, which then reads them; release of `head` after they are read, before the
 *               acquire of it by the producer, which then writes them again.
 *
 * If the producer stops for ever between slots and tail, what it has filled is not there yet; if
 * the consumer does between slots and head, the ring is fuller than it need be.
 */
#ifndef SQCQ_BASE_SPSC_H
#define SQCQ_BASE_SPSC_H

#include "base/atomics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whoever embeds it aligns it to a line, and may go on with constants of its own in the last one:
 * so the members have no alignment, which would make a whole line of it. */
struct sqcq__spsc {
  _Atomic uint32_t head; /* W: consumer; R: any; all before it is given back; pair(spsc) */
  uint32_t first;        /* consumer only: all before it is given back */
  _Atomic uint32_t most; /* W: consumer; R: any; the most it has found; relaxed: a statistic */
  unsigned char pad_consumer[SQCQ_CACHELINE - 3 * sizeof(uint32_t)];
  _Atomic uint32_t tail; /* W: producer; R: any; all before it is published; pair(spsc) */
  uint32_t next;         /* producer only: all before it is filled */
  uint32_t head_seen;    /* producer only: head, as it was once */
  unsigned char pad_producer[SQCQ_CACHELINE - 3 * sizeof(uint32_t)];
  uint32_t mask; /* constant: slots - 1; the indexes run on */
};

_Static_assert(offsetof(struct sqcq__spsc, tail) == SQCQ_CACHELINE, "the producer's line");
_Static_assert(offsetof(struct sqcq__spsc, mask) == 2 * SQCQ_CACHELINE, "the constants' line");

/* `slots`: a power of two. Nobody else is there. */
static inline void sqcq__spsc_init(struct sqcq__spsc *ring, uint32_t slots)
{
  sqcq__store_relaxed(&ring->head, 0); /* relaxed, all: nobody else is there */
  sqcq__store_relaxed(&ring->tail, 0);
  sqcq__store_relaxed(&ring->most, 0);
  ring->first = 0;
  ring->next = 0;
  ring->head_seen = 0;
  ring->mask = slots - 1;
}

/* Any, about how many: published and not given back. Never below nothing, and too many only
 * where both sides have got on between the two looks. */
static inline uint32_t sqcq__spsc_count(const struct sqcq__spsc *ring)
{
  /* In this order, and acquire even so: a tail older than the head would be some 4 billion. */
  uint32_t head = sqcq__load_acquire(&ring->head); /* pair(spsc) acquire */

  return sqcq__load_acquire(&ring->tail) - head; /* pair(spsc) acquire */
}

/* Producer: whether the slot at `next` may be filled. */
static inline bool sqcq__spsc_has_room(struct sqcq__spsc *ring)
{
  if (ring->next - ring->head_seen <= ring->mask)
    return true;
  ring->head_seen = sqcq__load_acquire(&ring->head); /* pair(spsc) acquire */
  return ring->next - ring->head_seen <= ring->mask;
}

/* Producer: the slots up to `next` are the consumer's. */
static inline void sqcq__spsc_publish(struct sqcq__spsc *ring)
{
  sqcq__store_release(&ring->tail, ring->next); /* pair(spsc) release */
}

/* Consumer: how many are published. */
static inline uint32_t sqcq__spsc_ready(const struct sqcq__spsc *ring)
{
  return sqcq__load_acquire(&ring->tail) - ring->first; /* pair(spsc) acquire */
}

/* Consumer: so many were found: the high-water mark. */
static inline void sqcq__spsc_note(struct sqcq__spsc *ring, uint32_t ready)
{
  if (ready > sqcq__load_relaxed(&ring->most))
    sqcq__store_relaxed(&ring->most, ready);
}

/* Consumer: slot i of those that are published. */
static inline uint32_t sqcq__spsc_at(const struct sqcq__spsc *ring, uint32_t i)
{
  return (ring->first + i) & ring->mask;
}

/* Consumer: the first n have been read. */
static inline void sqcq__spsc_give_back(struct sqcq__spsc *ring, uint32_t n)
{
  ring->first += n;
  sqcq__store_release(&ring->head, ring->first); /* pair(spsc) release */
}

#endif
