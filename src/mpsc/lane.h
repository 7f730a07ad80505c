/*
 * One lane: a bounded ring of requests by value. Doorway P -> I.
 *
 * A ring (base/spsc.h) with a claim word in front: whoever holds the claim is the ring's one
 * producer. The I/O thread is its one consumer.
 *
 *   pair(lane-claim)  release of the claim, after the last commit, before the next acquire of it:
 *                     the ring's producer side passes from thread to thread like under a lock, but
 *                     one that is only ever tried.
 */
#ifndef SQCQ_MPSC_LANE_H
#define SQCQ_MPSC_LANE_H

#include "base/atomics.h"
#include "base/spsc.h"
#include "mpsc/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sqcq__claim {
  SQCQ__CLAIM_FREE,
  SQCQ__CLAIM_HELD,
  SQCQ__CLAIM_STOPPED /* by the I/O thread, for good */
};

struct sqcq__lane {
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t claim; /* W: P, I; enum sqcq__claim; pair(lane-claim) */
  _Atomic uint64_t accepted; /* W: claim holder; R: any; relaxed, both: statistics */
  _Atomic uint64_t batches;  /* commits */
  /* producer: the claim's holder; consumer: I */
  _Alignas(SQCQ_CACHELINE) struct sqcq__spsc ring;
  struct sqcq__request *slots; /* constant; in the line of the ring's own constants */
};

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

/* By the claim's holder: the slot to fill, or NULL where the ring is full. */
static inline struct sqcq__request *sqcq__lane_reserve(struct sqcq__lane *lane)
{
  return sqcq__spsc_has_room(&lane->ring) ? &lane->slots[lane->ring.next & lane->ring.mask] : NULL;
}

/* By the claim's holder: the slot reserved is filled. */
static inline void sqcq__lane_fill(struct sqcq__lane *lane)
{
  lane->ring.next++;
}

/* By the claim's holder: the I/O thread may have what is filled. */
static inline void sqcq__lane_commit(struct sqcq__lane *lane)
{
  /* relaxed: its own */
  sqcq__count(&lane->accepted, lane->ring.next - sqcq__load_relaxed(&lane->ring.tail));
  sqcq__count(&lane->batches, 1);
  sqcq__spsc_publish(&lane->ring);
}

/* By the I/O thread: how many there are, the i-th oldest, and that the first n have been copied. */
static inline uint32_t sqcq__lane_ready(const struct sqcq__lane *lane)
{
  return sqcq__spsc_ready(&lane->ring);
}

static inline const struct sqcq__request *sqcq__lane_at(const struct sqcq__lane *lane, uint32_t i)
{
  return &lane->slots[sqcq__spsc_at(&lane->ring, i)];
}

static inline void sqcq__lane_give_back(struct sqcq__lane *lane, uint32_t n)
{
  sqcq__spsc_give_back(&lane->ring, n);
}

#endif
