/*
 * Planted: a ring's tail is stored without release, so the consumer may read a slot before it is
 * written. ThreadSanitizer has to say so.
 */
#include "tsan/ring.h"

static void *produce_relaxed(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (!sqcq__spsc_has_room(&ring))
      (void)sched_yield();
    slots[ring.next++ & ring.mask] = i;
    PLANTED(sqcq__store_relaxed, sqcq__store_release)(&ring.tail, ring.next);
  }
  return arg;
}

int main(void)
{
  return ring_run(produce_relaxed, consume);
}
