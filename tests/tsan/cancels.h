/*
 * A canceller and an I/O thread, by engine/cancels.c as it is, but for what a planted fault has redefined before.
 * Without the control bit, which would order the two by itself: at the end the I/O thread looks without it too.
 * Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_CANCELS_H
#define SQCQ_TESTS_TSAN_CANCELS_H

#include "engine/cancels.c"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>

#define CANCELS 2000u

static struct sqcq__cancels cancels;

static void *cancel(void *arg)
{
  uint32_t index;

  for (uint32_t i = 0; i < CANCELS; i++) {
    while (sqcq__freelist_take(&cancels.free, &index, 1) == 0)
      (void)sched_yield();
    cancels.entries[index].epoch = i;
    if (!sqcq__cancels_push(&cancels, index))
      abort();
  }
  return arg;
}

static void *act(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < CANCELS;) {
    uint32_t top;

    sqcq__cancels_take(&cancels);
    while ((top = sqcq__cancels_next(&cancels)) != 0) {
      uint32_t index = top - 1;

      sum += cancels.entries[index].epoch;
      sqcq__freelist_put(&cancels.free, &index, 1);
      i++;
    }
    (void)sched_yield();
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  if (sqcq__cancels_init(&cancels, 4) != 0)
    return 1;
  pair_run(cancel, act);
  sqcq__cancels_fini(&cancels);
  return 0;
}

#endif
