/*
 * Planted: the consumer of a ring gives a slot back before it has read it, so the producer may fill
 * it again. ThreadSanitizer has to say so.
 */
#include "tsan/ring.h"

static void *consume_late(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__spsc_ready(&ring) == 0)
      (void)sched_yield();
    uint32_t at = sqcq__spsc_at(&ring, 0);
    PLANTED(sqcq__spsc_give_back(&ring, 1), (void)0);
    sum += slots[at];
    PLANTED((void)0, sqcq__spsc_give_back(&ring, 1));
  }
  return sum == 0 ? &ring : arg;
}

int main(void)
{
  return ring_run(produce, consume_late);
}
