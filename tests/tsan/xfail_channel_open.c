/*
 * Planted: a channel is opened without release, so whoever takes its credits may not see its bounds.
 * ThreadSanitizer has to say so.
 */
#include "dispatch/channel.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>
#include <stdio.h>

#define CHANNELS 200u

static struct sqcq__channel
    channels[CHANNELS]; /* each opened once: the plain bounds are written once */

static void *create(void *arg)
{
  for (uint32_t i = 0; i < CHANNELS; i++) {
    channels[i].inflight_max = i;
    PLANTED(sqcq__store_relaxed, sqcq__store_release)(&channels[i].credit.word, sqcq__word(1, 0));
  }
  return arg;
}

static void *request(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < CHANNELS; i++) {
    while (sqcq__credit_take(&channels[i].credit, 1, 1) != 1)
      (void)sched_yield();
    sum += channels[i].inflight_max;
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  for (uint32_t i = 0; i < CHANNELS; i++)
    sqcq__store_relaxed(&channels[i].credit.capacity, 1);
  pair_run(create, request);
  return 0;
}
