/*
 * Planted: a ring's consumer gives slots back without release, so the producer may write one that is still read.
 * ThreadSanitizer has to say so.
 */
#include "tsan/ring.h"

static void *consume_relaxed(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__spsc_ready(&ring) == 0)
      (void)sched_yield();
    sum += slots[sqcq__spsc_at(&ring, 0)];
    PLANTED(sqcq__store_relaxed, sqcq__store_release)(&ring.head, ++ring.first);
  }
  return sum == 0 ? &ring : arg;
}

int main(void)
{
  return ring_run(produce, consume_relaxed);
}
