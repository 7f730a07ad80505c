#include "mpsc/lanes.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/point.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>

int sqcq__lanes_init(struct sqcq__lanes *lanes, uint32_t count, uint32_t slots)
{
  lanes->count = 0;
  lanes->slots = slots;
  lanes->stopped = 0;
  sqcq__store_relaxed(&lanes->work, 0); /* relaxed: nobody else is here yet */
  lanes->lanes = sqcq__mem_new(count, sizeof(*lanes->lanes));
  if (lanes->lanes == NULL)
    return -ENOMEM;
  for (; lanes->count < count; lanes->count++) {
    struct sqcq__lane *lane = &lanes->lanes[lanes->count];

    lane->slots = sqcq__mem_new(slots, sizeof(*lane->slots));
    if (lane->slots == NULL)
      return -ENOMEM;
    sqcq__spsc_init(&lane->ring, slots);
  }
  return 0;
}

void sqcq__lanes_fini(struct sqcq__lanes *lanes)
{
  for (uint32_t i = 0; i < lanes->count; i++)
    sqcq__mem_free(lanes->lanes[i].slots);
  sqcq__mem_free(lanes->lanes);
  lanes->lanes = NULL;
  lanes->count = 0;
}

/*
 * Where a thread starts to look: the lane of its CPU, so that running threads start apart and those
 * that are not running do not matter. With restartable sequences (glibc 2.35) reading the CPU is a
 * load; elsewhere it may be a system call, so there the address of errno, one a thread, must do.
 */
static uint32_t start_lane(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 35))
  return (uint32_t)sched_getcpu(); /* -1 is as good as any */
#else
  return (uint32_t)((uintptr_t)&errno >> 12) * 2654435761u >> 16;
#endif
}

struct sqcq__lane *sqcq__lanes_claim(struct sqcq__lanes *lanes, uint32_t *tried)
{
  uint32_t at = start_lane() % lanes->count;

  while (*tried < lanes->count) {
    struct sqcq__lane *lane = &lanes->lanes[(at + (*tried)++) % lanes->count];

    if (sqcq__lane_claim(lane, SQCQ__CLAIM_HELD)) {
      SQCQ_POINT(LANE_CLAIMED);
      return lane;
    }
  }
  return NULL;
}

bool sqcq__lanes_stop(struct sqcq__lanes *lanes)
{
  uint64_t all = lanes->count == 64 ? UINT64_MAX : (UINT64_C(1) << lanes->count) - 1;

  for (uint32_t i = 0; i < lanes->count; i++) {
    uint64_t bit = UINT64_C(1) << i;

    if ((lanes->stopped & bit) == 0 && sqcq__lane_claim(&lanes->lanes[i], SQCQ__CLAIM_STOPPED)) {
      lanes->stopped |= bit;
      sqcq__lanes_again(lanes, i); /* its last requests may not be announced yet */
    }
  }
  return lanes->stopped == all;
}

uint64_t sqcq__lanes_accepted(const struct sqcq__lanes *lanes)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < lanes->count; i++)
    sum += sqcq__load_relaxed(&lanes->lanes[i].accepted); /* relaxed: a statistic */
  return sum;
}
