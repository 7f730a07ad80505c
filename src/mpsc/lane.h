/*
 * One lane: a bounded ring of requests by value. Doorway P -> I.
 *
 * A ck spsc ring with a claim word in front: whoever holds the claim is the ring's one producer.
 * The I/O thread is its one consumer. A ring of N slots carries N - 1.
 *
 *   pair(lane-claim)  release of the claim, after the last commit, before the next acquire of it:
 *   the
 *                     ring's producer side passes from thread to thread like under a lock, but one
 *                     that is only ever tried.
 *   pair(lane)        by ck: commit (release of p_tail) before the I/O thread's dequeue; dequeue
 *                     (c_head) before the slot is written again. ck 0.7.1 orders the copy out of a
 *                     slot and the store of c_head by a store fence, which is enough because the
 *                     copy goes to memory that others see later (the request table, through its
 *                     address).
 */
#ifndef SQCQ_MPSC_LANE_H
#define SQCQ_MPSC_LANE_H

#include "base/atomics.h"
#include "mpsc/request.h"

#include <ck_ring.h>

#include <stdbool.h>
#include <stdint.h>

enum sqcq__claim {
  SQCQ__CLAIM_FREE,
  SQCQ__CLAIM_HELD,
  SQCQ__CLAIM_STOPPED /* by the I/O thread, for good */
};

struct sqcq__lane {
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t claim; /* W: P, I; enum sqcq__claim; pair(lane-claim) */
  _Atomic uint64_t accepted;               /* W: claim holder; R: any, relaxed: a statistic */
  _Alignas(SQCQ_CACHELINE) ck_ring_t ring; /* W: claim holder (tail), I (head); pair(lane) */
  struct sqcq__request *slots;             /* constant; in the line of the ring's own constants */
};

CK_RING_PROTOTYPE(request, sqcq__request)

static inline bool sqcq__lane_claim(struct sqcq__lane *lane, enum sqcq__claim as)
{
  uint32_t expected = SQCQ__CLAIM_FREE;

  /* relaxed look: a lane that seems held is only passed over. */
  if (sqcq__load_relaxed(&lane->claim) != SQCQ__CLAIM_FREE)
    return false;
  /* pair(lane-claim) acquire: the last holder's commits come before ours. */
  return sqcq__cas_acquire(&lane->claim, &expected, (uint32_t)as);
}

static inline void sqcq__lane_unclaim(struct sqcq__lane *lane)
{
  sqcq__store_release(&lane->claim, SQCQ__CLAIM_FREE); /* pair(lane-claim) release */
}

/* By the claim's holder: the next slot to write, or NULL where the ring is full. */
static inline struct sqcq__request *sqcq__lane_reserve(struct sqcq__lane *lane)
{
  return ck_ring_enqueue_reserve_spsc_request(&lane->ring, lane->slots);
}

/* By the claim's holder: publish the slot reserved last. */
static inline void sqcq__lane_commit(struct sqcq__lane *lane)
{
  ck_ring_enqueue_commit_spsc(&lane->ring); /* pair(lane) release, by ck */
  sqcq__count(&lane->accepted, 1);
}

/* By the I/O thread: copy the oldest request out. */
static inline bool sqcq__lane_pop(struct sqcq__lane *lane, struct sqcq__request *request)
{
  return ck_ring_dequeue_spsc_request(&lane->ring, lane->slots,
                                      request); /* pair(lane) acquire, by ck */
}

#endif
