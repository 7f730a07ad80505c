/*
 * Deadlines of requests: a binary heap of slots, the earliest on top. Room: I.
 *
 * Memory for every slot of the request table is there from the start, so adding cannot fail. What
 * has no deadline is never in here: the turn looks at the clock only while the heap is not empty.
 */
#ifndef SQCQ_ENGINE_TIMERS_H
#define SQCQ_ENGINE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct sqcq__timer {
  int64_t deadline_ns; /* CLOCK_MONOTONIC */
  uint32_t slot;
};

struct sqcq__timers {
  struct sqcq__timer *heap;
  uint32_t *places; /* by slot: where the heap has it, + 1; 0: it has no timer */
  uint32_t count;
  uint32_t capacity; /* slots */
};

/* 0 or -ENOMEM; fini takes half-built ones. */
int sqcq__timers_init(struct sqcq__timers *timers, uint32_t slots);
void sqcq__timers_fini(struct sqcq__timers *timers);

/* The slot has none yet. */
void sqcq__timers_add(struct sqcq__timers *timers, uint32_t slot, int64_t deadline_ns);

/* Nothing happens where it has none, or has none any more. */
void sqcq__timers_remove(struct sqcq__timers *timers, uint32_t slot);

/* The earliest one that is not after `now` is taken out: true, with its slot. */
bool sqcq__timers_expire(struct sqcq__timers *timers, int64_t now, uint32_t *slot);

/* Nanoseconds until the next deadline, 0 where it has passed; negative: there is none. */
static inline int64_t sqcq__timers_next(const struct sqcq__timers *timers, int64_t now)
{
  if (timers->count == 0)
    return -1;
  return timers->heap[0].deadline_ns > now ? timers->heap[0].deadline_ns - now : 0;
}

#endif
