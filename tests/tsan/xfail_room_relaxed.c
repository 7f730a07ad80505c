/*
 * Planted: a ring's producer looks for room without acquire, so it may write a slot that is still read.
 * ThreadSanitizer has to say so.
 */
#include "tsan/ring.h"

static void *produce_relaxed(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (ring.next - PLANTED(sqcq__load_relaxed, sqcq__load_acquire)(&ring.head) > ring.mask)
      (void)sched_yield();
    slots[ring.next++ & ring.mask] = i;
    sqcq__spsc_publish(&ring);
  }
  return arg;
}

int main(void)
{
  return ring_run(produce_relaxed, consume);
}
