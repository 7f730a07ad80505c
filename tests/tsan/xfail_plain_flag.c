/*
 * Planted: the announcement of a sleep is a plain variable instead of an atomic.
 * ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <stdint.h>
#include <stdio.h>

#define ROUNDS 10000u

static PLANTED(uint64_t, _Atomic uint64_t) asleep;
static _Atomic uint32_t work;

static void *sleeper(void *arg)
{
  for (uint32_t i = 1; i <= ROUNDS; i++) {
    asleep = i;
    if (sqcq__load_seq(&work) != 0)
      (void)sqcq__swap_seq(&work, 0);
    asleep = 0;
  }
  return arg;
}

static void *producer(void *arg)
{
  uint64_t seen = 0;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    (void)sqcq__or_seq(&work, 1);
    seen += asleep != 0;
  }
  printf("%llu\n", (unsigned long long)seen);
  return arg;
}

int main(void)
{
  pair_run(sleeper, producer);
  return 0;
}
