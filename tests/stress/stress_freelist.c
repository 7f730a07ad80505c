/* sqcq-test: timeout 400 */
/*
 * The free list alone, by more threads than there are CPUs: each index belongs to one thread at a time, and none
 * is lost. With few indexes the same head comes back all the time, which is what its count is there for.
 */
#include "base/freelist.h"

#include "stress/crowd.h"

#include <string.h>

#define THREADS 5u
#define INDEXES_MAX 16u
#define STEPS 250000u /* of each thread */

struct entry {
  _Atomic uint32_t link;
  atomic_uint owner; /* thread + 1, 0: in the list */
  uint64_t payload;  /* not atomic: the list must order it */
};

struct field {
  struct entry entries[INDEXES_MAX];
  struct sqcq__freelist list;
  uint32_t indexes;
  uint32_t steps;
};

static struct field field;
static struct crowd crowd;

/* They are mine: nobody else's, and nobody else touches what is in them. */
static void use(struct crowd_member *me, const uint32_t *indexes, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    struct entry *entry = &field.entries[indexes[i]];

    crowd_check(me, indexes[i] < field.indexes);
    uint32_t before = atomic_exchange_explicit(&entry->owner, me->index + 1, memory_order_relaxed);
    if (before != 0)
      verdict_fail(&me->crowd->verdict, "index %u belongs to threads %u and %u", indexes[i],
                   before - 1, me->index);
    entry->payload = me->index;
  }
  if (rng_percent(&me->rng, 2)) /* mostly it is the list that they are in */
    crowd_jitter(&me->rng);
  for (uint32_t i = 0; i < count; i++) {
    struct entry *entry = &field.entries[indexes[i]];

    crowd_check(me, entry->payload == me->index);
    uint32_t before = atomic_exchange_explicit(&entry->owner, 0, memory_order_relaxed);
    crowd_check(me, before == me->index + 1);
  }
}

static void take_and_put(struct crowd_member *me)
{
  for (uint32_t step = 0; step < field.steps && crowd_good(me); step++) {
    uint32_t mine[4];
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, 2);
    uint32_t count = sqcq__freelist_take(&field.list, mine, want);

    crowd_check(me, count <= want);
    if (count == 0) {
      crowd_pause();
      continue;
    }
    use(me, mine, count);
    crowd_progress(me);
    /* Back one by one in another order, or all at once. */
    if (rng_percent(&me->rng, 50)) {
      sqcq__freelist_put(&field.list, mine, count);
    } else {
      while (count-- > 0)
        sqcq__freelist_put(&field.list, &mine[count], 1);
    }
  }
}

static void freelist_under_many_threads_gives_each_index_to_one(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(16);
  uint64_t stops = 0;

  rng_seed(&rng, rng_seed_from_env(0xf4ee));
  while (crowd_next_round(&soak)) {
    uint32_t out[INDEXES_MAX];
    uint32_t seen = 0;

    memset(&field, 0, sizeof(field));
    field.indexes = (uint32_t)rng_between(&rng, 2, rng_percent(&rng, 70) ? 5 : INDEXES_MAX);
    field.steps = STEPS;
    sqcq__freelist_init(&field.list, &field.entries[0].link, sizeof(field.entries[0]));
    for (uint32_t i = 0; i < field.indexes; i++)
      sqcq__freelist_put(&field.list, &i, 1);
    /* Near the end of the count, now and then. */
    if (rng_percent(&rng, 30))
      (void)sqcq__or_acq_rel(&field.list.head, UINT64_C(0xfffff000) << 32);
    crowd_start(&crowd, THREADS, soak.done % 4 != 0 ? CROWD_STOPPED : CROWD_LEFT_ALONE, &rng,
                take_and_put);
    crowd_join(&crowd);
    stops += atomic_load(&crowd.stops);

    assert_int_equal(sqcq__freelist_take(&field.list, out, INDEXES_MAX), field.indexes);
    for (uint32_t i = 0; i < field.indexes; i++)
      seen |= 1u << out[i];
    assert_int_equal(seen, (1u << field.indexes) - 1);
  }
  printf("%llu times one was stopped\n", (unsigned long long)stops);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(freelist_under_many_threads_gives_each_index_to_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
