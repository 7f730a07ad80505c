/*
 * Own lanes: each has one producer at a time, who claims nothing. Doorway P -> I; opening and
 * closing, P -> P.
 *
 * A lane (lane.h) whose claim word is a gate: HELD while its producer is inside, written by that one
 * alone and by a store. Nobody else looks at it but the stopping I/O thread.
 *
 *   pair(gate)       The producer says that it is inside, then looks whether the lane is closed; the
 *                    stopping I/O thread closes it, then looks whether somebody is inside. All four
 *                    sequentially consistent: one of the two sees the other. Flag against flag needs
 *                    no more; each of the four weaker loses a request (tests/model/own_lane.cpp).
 *   pair(gate-left)  The producer is outside (release) after its last commit, before the I/O thread
 *                    that finds it so (acquire) drains the lane for the last time.
 *   pair(own)        The opener opens the lane (release) before a request looks at its word
 *                    (acquire): with it comes the ring's producer side, which the last producer has
 *                    left by closing the lane: pair(freelist). What it left in the ring stays.
 *   pair(work)       As of shared lanes, in a word of their own: set by an RMW after the commit,
 *                    always, and inside; taken, THEN drained. Lane i has bit i mod 64: up to 64 open lanes one
 *                    each, and no bit more than sixteen lanes.
 *
 * If a producer stops for ever inside, its lane is lost and a stop waits for it; no other producer
 * ever looks at that lane.
 */
#ifndef SQCQ_MPSC_OWN_H
#define SQCQ_MPSC_OWN_H

#include "base/atomics.h"
#include "base/check.h"
#include "base/freelist.h"
#include "base/handle.h"
#include "base/point.h"
#include "mpsc/lane.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define SQCQ__OWN_BITS 64u

enum sqcq__own_state {
  SQCQ__OWN_FREE,
  SQCQ__OWN_OPEN
};

struct sqcq__own_lane {
  struct sqcq__lane lane; /* W of its claim: the lane's producer; R: I; pair(gate) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t word; /* W, R: P; generation | state; pair(own) */
  _Atomic uint32_t link;                          /* of the free list; W, R: P; pair(freelist) */
  _Atomic uint32_t closed;                        /* W: I, once, for good; R: P; pair(gate) */
  bool taken; /* I only: closed, and nobody is inside or will be */
};

struct sqcq__own {
  struct sqcq__own_lane *lanes; /* constant; NULL where there are none */
  uint32_t count;               /* constant */
  uint32_t tag;                 /* constant; of the engine */
  _Alignas(SQCQ_CACHELINE) struct sqcq__freelist free;
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t work; /* W: P sets, I clears; pair(work), pair(sleep) */
  _Alignas(SQCQ_CACHELINE) bool closed;           /* I only: every lane is closed */
  uint32_t taken;                                 /* I only: how many are taken */
};

/* Role S. count may be 0. 0 or -ENOMEM; fini takes half-built ones. */
int sqcq__own_init(struct sqcq__own *own, uint32_t count, uint32_t slots, uint32_t tag);
void sqcq__own_fini(struct sqcq__own *own);

/* P: 0, or -ENOSPC where all are open. */
int sqcq__own_open(struct sqcq__own *own, uint64_t *handle);
/* P, nobody inside: 0, -EBADFD or -EINVAL. */
int sqcq__own_close(struct sqcq__own *own, uint64_t handle);

/* The lane that a handle names, open or not: 0, -EBADFD or -EINVAL. */
static inline int sqcq__own_find(const struct sqcq__own *own, uint64_t handle,
                                 struct sqcq__own_lane **lane)
{
  int error = sqcq__handle_check(handle, own->tag, own->count, -EBADFD);

  if (error == 0)
    *lane = &own->lanes[sqcq__handle_index(handle)];
  return error;
}

/* Any: whether the handle is still that of the open lane. */
static inline bool sqcq__own_is_open(const struct sqcq__own_lane *lane, uint64_t handle)
{
  return sqcq__load_acquire(&lane->word) == /* pair(own) acquire */
         sqcq__word(sqcq__handle_generation(handle), SQCQ__OWN_OPEN);
}

/* The lane's producer: outside again. */
static inline void sqcq__own_leave(struct sqcq__own_lane *lane)
{
  SQCQ_ASSERT(sqcq__load_relaxed(&lane->lane.claim) == SQCQ__CLAIM_HELD); /* relaxed: our own */
  sqcq__store_release(&lane->lane.claim, SQCQ__CLAIM_FREE); /* pair(gate-left) release */
}

/* The lane's producer: inside from here to leave, and nothing in between waits. 0, -EBADFD,
 * -EINVAL, or -ESHUTDOWN where the lane is closed for good. */
static inline int sqcq__own_enter(struct sqcq__own *own, uint64_t handle,
                                  struct sqcq__own_lane **out)
{
  struct sqcq__own_lane *lane;
  int error = sqcq__own_find(own, handle, &lane);

  if (error < 0)
    return error;
  if (!sqcq__own_is_open(lane, handle))
    return -EBADFD;
  /* relaxed: nobody but us writes it. Two threads at once on one lane are the caller's mistake. */
  SQCQ_ASSERT(sqcq__load_relaxed(&lane->lane.claim) == SQCQ__CLAIM_FREE);
  sqcq__store_seq(&lane->lane.claim, SQCQ__CLAIM_HELD); /* pair(gate) publish */
  SQCQ_POINT(OWN_ENTERED);
  if (sqcq__load_seq(&lane->closed) != 0) { /* pair(gate) look */
    sqcq__own_leave(lane);
    return -ESHUTDOWN;
  }
  SQCQ_POINT(OWN_INSIDE);
  *out = lane;
  return 0;
}

/* The lane's producer, inside: commit what is filled, and say that the lane has work. */
static inline void sqcq__own_publish(struct sqcq__own *own, struct sqcq__own_lane *lane)
{
  uint64_t bit = UINT64_C(1) << (uint32_t)(lane - own->lanes) % SQCQ__OWN_BITS;

  SQCQ_ASSERT(sqcq__load_relaxed(&lane->lane.claim) == SQCQ__CLAIM_HELD); /* relaxed: our own */
  sqcq__lane_commit(&lane->lane);
  SQCQ_POINT(OWN_COMMITTED);
  sqcq__or_seq(&own->work, bit); /* pair(work) release; pair(sleep) publish */
  SQCQ_POINT(OWN_MARKED);
}

/* I: whether some lane has work. The sleeper's second look. */
static inline bool sqcq__own_have_work(struct sqcq__own *own)
{
  return sqcq__load_seq(&own->work) != 0; /* pair(sleep) look again */
}

/* I: the bits of lanes that have work; they are cleared. Empty each lane of each. */
static inline uint64_t sqcq__own_take_work(struct sqcq__own *own)
{
  /* relaxed look: a bit that is missed here is seen on the next turn or before the sleep. A line
   * that nobody writes where there are no own lanes. */
  if (sqcq__load_relaxed(&own->work) == 0)
    return 0;
  return sqcq__swap_seq(&own->work, 0); /* pair(work) acquire */
}

/* I: close every lane for good, open or not, as far as nobody is inside. True once all are; what is
 * then in the lanes is all there will ever be. */
bool sqcq__own_stop(struct sqcq__own *own);

/* Any: requests accepted so far. */
uint64_t sqcq__own_accepted(const struct sqcq__own *own);

#endif
