/*
 * Planted: a channel is opened without release, so whoever takes its credits may not see its bounds.
 * ThreadSanitizer has to say so.
 */
#include "dispatch/channel.h"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>

#define TAKES 200u

static struct sqcq__channel channel;
static _Atomic uint32_t newest; /* relaxed, both: so may an application pass a handle on */
static _Atomic uint32_t takes;

static void *create(void *arg)
{
  for (uint32_t generation = 1; sqcq__load_relaxed(&takes) < TAKES; generation++) {
    sqcq__store_relaxed(&channel.credit.word, sqcq__word(generation, SQCQ__CREDIT_CLOSED));
    channel.inflight_max = generation;
    sqcq__store_relaxed(&channel.credit.word, sqcq__word(generation, 0)); /* should be release */
    sqcq__store_relaxed(&newest, generation);
    (void)sched_yield();
  }
  return arg;
}

static void *request(void *arg)
{
  uint64_t sum = 0;

  while (sqcq__load_relaxed(&takes) < TAKES) {
    if (sqcq__credit_take(&channel.credit, sqcq__load_relaxed(&newest), 1) == 1) {
      sum += channel.inflight_max;
      sqcq__add_relaxed(&takes, 1);
    }
    (void)sched_yield();
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  sqcq__store_relaxed(&channel.credit.capacity, UINT32_MAX);
  pair_run(create, request);
  return 0;
}
