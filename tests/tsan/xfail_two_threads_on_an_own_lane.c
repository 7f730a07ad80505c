/*
 * Planted: two threads use one own lane, one after the other, and nothing orders the two.
 * ThreadSanitizer has to say so. (At the same time would be an assertion.)
 */
#include "mpsc/own.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>

static struct sqcq__own own;
static uint64_t handle;
static _Atomic uint32_t turns; /* orders nothing */

static void push(void)
{
  struct sqcq__own_lane *lane;

  if (sqcq__own_enter(&own, handle, &lane) != 0)
    abort();
  *sqcq__lane_reserve(&lane->lane) = (struct sqcq__request){.user_data = 1};
  sqcq__lane_fill(&lane->lane);
  sqcq__own_publish(&own, lane);
  sqcq__own_leave(lane);
}

static void *push_first(void *arg)
{
  push();
  PLANTED(sqcq__store_relaxed, sqcq__store_release)(&turns, 1);
  return arg;
}

static void *push_second(void *arg)
{
  while (PLANTED(sqcq__load_relaxed, sqcq__load_acquire)(&turns) == 0)
    (void)sched_yield();
  push();
  return arg;
}

int main(void)
{
  if (sqcq__own_init(&own, 1, 8, 1) != 0 || sqcq__own_open(&own, &handle) != 0)
    return 1;
  pair_run(push_first, push_second);
  sqcq__own_fini(&own);
  return 0;
}
