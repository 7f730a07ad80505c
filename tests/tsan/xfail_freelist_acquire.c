/*
 * Planted: a take from the free list that does not acquire. What the putter wrote into its entry is not
 * ordered before what the taker reads there.
 * ThreadSanitizer has to say so.
 */
#include "base/freelist.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#define ENTRIES 4u
#define ROUNDS 2000u

static struct {
  _Atomic uint32_t link;
  uint64_t payload;
} entries[ENTRIES];

static struct sqcq__freelist there, back;

/* sqcq__freelist_take() for one index, all of it relaxed. */
static bool take_relaxed(uint32_t *index)
{
  uint64_t seen = PLANTED(sqcq__load_relaxed, sqcq__load_acquire)(&there.head);

  for (;;) {
    uint32_t top = (uint32_t)seen;

    if (top == 0)
      return false;
    uint32_t below = sqcq__load_relaxed(&entries[top - 1].link);
    if (PLANTED(sqcq__cas_relaxed, sqcq__cas_acq_rel)(&there.head, &seen,
                                                      ((seen >> 32) + 1) << 32 | below)) {
      *index = top - 1;
      return true;
    }
  }
}

static void *give(void *arg)
{
  uint32_t index;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__freelist_take(&back, &index, 1) == 0)
      (void)sched_yield();
    entries[index].payload = i;
    sqcq__freelist_put(&there, &index, 1);
  }
  return arg;
}

static void *take(void *arg)
{
  uint64_t sum = 0;
  uint32_t index;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (!take_relaxed(&index))
      (void)sched_yield();
    sum += entries[index].payload;
    sqcq__freelist_put(&back, &index, 1);
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  sqcq__freelist_init(&there, &entries[0].link, sizeof(entries[0]));
  sqcq__freelist_init(&back, &entries[0].link, sizeof(entries[0]));
  for (uint32_t i = 0; i < ENTRIES; i++)
    sqcq__freelist_put(&back, &i, 1);
  pair_run(give, take);
  return 0;
}
