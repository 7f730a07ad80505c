/*
 * A ring (base/spsc.h) with a producer and a consumer that do it right. A planted fault takes the place of one
 * of the two. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_RING_H
#define SQCQ_TESTS_TSAN_RING_H

#include "base/spsc.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>

#define ROUNDS 20000u
#define SLOTS 2u

static _Alignas(SQCQ_CACHELINE) struct sqcq__spsc ring;
static uint64_t slots[SLOTS];

static inline void *produce(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (!sqcq__spsc_has_room(&ring))
      (void)sched_yield();
    slots[ring.next++ & ring.mask] = i;
    sqcq__spsc_publish(&ring);
  }
  return arg;
}

static inline void *consume(void *arg)
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

static inline int ring_run(void *(*producer)(void *), void *(*consumer)(void *))
{
  sqcq__spsc_init(&ring, SLOTS);
  pair_run(producer, consumer);
  return 0;
}

#endif
