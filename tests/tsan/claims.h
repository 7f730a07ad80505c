/*
 * Two threads that pass a lane's claim to each other, by mpsc/lane.h as it is, but for what a planted fault has
 * redefined before. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_CLAIMS_H
#define SQCQ_TESTS_TSAN_CLAIMS_H

#include "mpsc/lane.h"

#include "tsan/pair.h"

#include <sched.h>

#define CLAIMS 2000u

static struct sqcq__lane lane;
static uint64_t holders; /* plain: the claim protects it */

static void *hold(void *arg)
{
  for (uint32_t i = 0; i < CLAIMS; i++) {
    while (!sqcq__lane_claim(&lane, SQCQ__CLAIM_HELD))
      (void)sched_yield();
    holders++;
    sqcq__lane_unclaim(&lane);
  }
  return arg;
}

int main(void)
{
  pair_run(hold, hold);
  return holders == 0;
}

#endif
