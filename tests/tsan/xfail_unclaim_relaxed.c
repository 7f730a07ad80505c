/*
 * Planted: a lane's claim is given back without release, so what the last holder did to the ring does not
 * come before what the next one does. ThreadSanitizer has to say so.
 */
#include "mpsc/lanes.h"

#include "tsan/pair.h"

#include <sched.h>

#define SLOTS 1024u

static struct sqcq__lanes lanes;
static uint64_t holders; /* plain: the claim protects it */

static void *push(void *arg)
{
  struct sqcq__lane *lane = &lanes.lanes[0];

  for (uint32_t i = 0; i < SLOTS / 4; i++) {
    while (!sqcq__lane_claim(lane, SQCQ__CLAIM_HELD))
      (void)sched_yield();
    holders++;
    sqcq__store_relaxed(&lane->claim, SQCQ__CLAIM_FREE);
  }
  return arg;
}

int main(void)
{
  if (sqcq__lanes_init(&lanes, 1, SLOTS) != 0)
    return 1;
  pair_run(push, push);
  sqcq__lanes_fini(&lanes);
  return holders == 0;
}
