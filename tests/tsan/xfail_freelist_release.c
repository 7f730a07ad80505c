/*
 * Planted: a put into the free list that does not release.
 * ThreadSanitizer has to say so.
 */
#include "base/freelist.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>
#include <stdio.h>

#define ENTRIES 4u
#define ROUNDS 2000u

static struct {
  _Atomic uint32_t link;
  uint64_t payload;
} entries[ENTRIES];

static struct sqcq__freelist there, back;

/* sqcq__freelist_put() for one index, all of it relaxed. */
static void put_relaxed(uint32_t index)
{
  uint64_t seen = sqcq__load_relaxed(&there.head);

  do
    sqcq__store_relaxed(&entries[index].link, (uint32_t)seen);
  while (!PLANTED(sqcq__cas_relaxed, sqcq__cas_release)(&there.head, &seen,
                                                        ((seen >> 32) + 1) << 32 | (index + 1)));
}

static void *give(void *arg)
{
  uint32_t index;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__freelist_take(&back, &index, 1) == 0)
      (void)sched_yield();
    entries[index].payload = i;
    put_relaxed(index);
  }
  return arg;
}

static void *take(void *arg)
{
  uint64_t sum = 0;
  uint32_t index;

  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__freelist_take(&there, &index, 1) == 0)
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
