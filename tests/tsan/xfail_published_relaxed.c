/*
 * Planted: a ring's tail is stored without release, so the consumer may read a slot before it is
 * written. ThreadSanitizer has to say so.
 */
#include "base/spsc.h"

#include "tsan/pair.h"

#include <sched.h>

#define ROUNDS 2000u
#define SLOTS 4u

static _Alignas(SQCQ_CACHELINE) struct sqcq__spsc ring;
static uint64_t slots[SLOTS];

static void *produce(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (!sqcq__spsc_has_room(&ring))
      (void)sched_yield();
    slots[ring.next++ & ring.mask] = i;
    sqcq__store_relaxed(&ring.tail, ring.next);
  }
  return arg;
}

static void *consume(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__spsc_ready(&ring) == 0)
      (void)sched_yield();
    sum += slots[sqcq__spsc_at(&ring, 0)];
    sqcq__spsc_give_back(&ring, 1);
  }
  return sum == 0 ? &ring : arg;
}

int main(void)
{
  sqcq__spsc_init(&ring, SLOTS);
  pair_run(produce, consume);
  return 0;
}
