/*
 * Planted: a ring's consumer looks at the tail without acquire, so it may read a slot before it is written.
 * ThreadSanitizer has to say so.
 */
#include "tsan/ring.h"

static void *consume_relaxed(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (PLANTED(sqcq__load_relaxed, sqcq__load_acquire)(&ring.tail) == ring.first)
      (void)sched_yield();
    sum += slots[sqcq__spsc_at(&ring, 0)];
    sqcq__spsc_give_back(&ring, 1);
  }
  return sum == 0 ? &ring : arg;
}

int main(void)
{
  return ring_run(produce, consume_relaxed);
}
