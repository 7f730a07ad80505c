/*
 * The set of lanes and the word that says which of them have work. Doorway P -> I.
 *
 *   pair(work)  A producer commits, then sets its lane's bit by an RMW, always: "set if clear"
 *   without
 *               fences loses requests. The I/O thread clears the bits, THEN drains: the other way
 *               round loses them too. The RMW is sequentially consistent because it is also the
 *               producer's half of pair(sleep) in wake.h: the set of the bit before the look at the
 *               sleeper's announcement.
 *
 * Stop is a claim: the I/O thread takes the claim of every lane for good. Once it has them all and
 * has drained them, no request can follow, whatever producers were in the middle of.
 */
#ifndef SQCQ_MPSC_LANES_H
#define SQCQ_MPSC_LANES_H

#include "base/atomics.h"
#include "base/point.h"
#include "mpsc/lane.h"

#include <stdbool.h>
#include <stdint.h>

struct sqcq__lanes {
  struct sqcq__lane *lanes; /* constant */
  uint32_t count;           /* constant; 1 to 64 */
  uint32_t slots;           /* constant; of each ring */
  _Alignas(
      SQCQ_CACHELINE) _Atomic uint64_t work; /* W: P sets, I clears; bit i: lane i; pair(work) */
  _Alignas(SQCQ_CACHELINE) uint64_t stopped; /* I only: bit i: lane i is claimed for good */
};

/* Role S. 0 or -ENOMEM; fini takes half-built ones. */
int sqcq__lanes_init(struct sqcq__lanes *lanes, uint32_t count, uint32_t slots);
void sqcq__lanes_fini(struct sqcq__lanes *lanes);

/* P: claim some lane, from the caller's own place on, at most each one once: *tried counts them,
 * start with 0 and keep it over the calls for one batch. NULL: none is left to try. */
struct sqcq__lane *sqcq__lanes_claim(struct sqcq__lanes *lanes, uint32_t *tried);

/* P: commit what is filled, give the claim back and say that the lane has work. */
static inline void sqcq__lanes_publish(struct sqcq__lanes *lanes, struct sqcq__lane *lane)
{
  uint64_t bit = UINT64_C(1) << (uint32_t)(lane - lanes->lanes);

  sqcq__lane_commit(lane);
  SQCQ_POINT(LANE_COMMITTED);
  sqcq__lane_unclaim(lane);
  SQCQ_POINT(LANE_UNCLAIMED);
  sqcq__or_seq(&lanes->work, bit); /* pair(work) release; pair(sleep) publish */
  SQCQ_POINT(LANE_MARKED);
}

/* I: whether some lane has work. The sleeper's second look. */
static inline bool sqcq__lanes_have_work(struct sqcq__lanes *lanes)
{
  return sqcq__load_seq(&lanes->work) != 0; /* pair(sleep) look again */
}

/* I: the lanes that have work; their bits are cleared. Empty each of what is ready, or say again. */
static inline uint64_t sqcq__lanes_take_work(struct sqcq__lanes *lanes)
{
  /* relaxed look: a bit that is missed here is seen on the next turn or before the sleep. */
  if (sqcq__load_relaxed(&lanes->work) == 0)
    return 0;
  return sqcq__swap_seq(&lanes->work, 0); /* pair(work) acquire */
}

/* I: this lane was not drained to its end. */
static inline void sqcq__lanes_again(struct sqcq__lanes *lanes, uint32_t index)
{
  sqcq__or_seq(&lanes->work, UINT64_C(1) << index);
}

/* I: take the claims for good, as far as they are free. True once all are taken; what is then in
 * the lanes is all there will ever be. */
bool sqcq__lanes_stop(struct sqcq__lanes *lanes);

/* Any: requests accepted so far. */
uint64_t sqcq__lanes_accepted(const struct sqcq__lanes *lanes);

#endif
