/* sqcq-test: timeout 400 */
/*
 * The ring alone, with nothing else between its two sides: one fills batches of random size and
 * publishes them, one copies and gives back as much as it likes, one only looks on. Every item
 * comes out once, in order and with every byte; none before it is published, or after its slot is
 * filled again.
 */
#include "base/spsc.h"

#include "stress/crowd.h"

#include <string.h>

#define SLOTS_MAX 64u

/* As large as a request or a completion. */
struct item {
  uint64_t words[8];
};

struct field {
  _Alignas(SQCQ_CACHELINE) struct sqcq__spsc ring;
  struct item slots[SLOTS_MAX];
  uint64_t items; /* to pass */
  uint64_t batches;
  uint64_t full;   /* times the producer found no room */
  uint64_t empty;  /* times the consumer found nothing */
  uint64_t looked; /* of the onlooker */
  uint64_t copied;
};

static struct field field;
static struct crowd crowd;

/* An empty ring whose indexes pass their end soon. */
static void make_field(uint32_t slots, uint32_t before_the_end)
{
  uint32_t at = 0 - before_the_end;

  memset(&field, 0, sizeof(field));
  sqcq__spsc_init(&field.ring, slots);
  sqcq__store_relaxed(&field.ring.head, at);
  sqcq__store_relaxed(&field.ring.tail, at);
  field.ring.first = field.ring.next = field.ring.head_seen = at;
}

/* Every word follows from the number. */
static struct item item_of(uint64_t number)
{
  struct item item = {.words = {number}};
  uint64_t state = number;

  for (int i = 1; i < 8; i++)
    item.words[i] = rng_mix(&state);
  return item;
}

static void produce(struct crowd_member *me)
{
  struct sqcq__spsc *ring = &field.ring;
  uint64_t number = 0;

  while (number < field.items && crowd_good(me)) {
    uint64_t batch = rng_between(&me->rng, 1, ring->mask + 2);
    uint64_t before = number;

    while (number - before < batch && number < field.items && sqcq__spsc_has_room(ring)) {
      crowd_jitter(&me->rng);
      field.slots[ring->next & ring->mask] = item_of(number++);
      ring->next++;
    }
    crowd_jitter(&me->rng);
    sqcq__spsc_publish(ring);
    field.batches += number > before;
    field.full += number == before;
    crowd_progress(me);
    if (number == before || rng_percent(&me->rng, 10))
      (void)sched_yield();
  }
}

static void check(struct crowd_member *me, const struct item *item)
{
  struct item expected = item_of(field.copied);

  if (memcmp(item, &expected, sizeof(expected)) != 0)
    verdict_fail(&me->crowd->verdict, "item %llu came as number %llu, or mixed",
                 (unsigned long long)item->words[0], (unsigned long long)field.copied);
  field.copied++;
}

static void consume(struct crowd_member *me)
{
  struct sqcq__spsc *ring = &field.ring;
  struct item out[SLOTS_MAX];

  while (field.copied < field.items && crowd_good(me)) {
    uint32_t ready = sqcq__spsc_ready(ring);

    if (ready > ring->mask + 1) {
      crowd_fail(me, "more are ready than there are slots");
      break;
    }
    crowd_progress(me);
    if (ready == 0) {
      field.empty++;
      (void)sched_yield();
      continue;
    }
    /* Some, or all of them; and these back in one piece or in two. */
    uint32_t n = rng_percent(&me->rng, 50) ? ready : (uint32_t)rng_between(&me->rng, 1, ready);
    uint32_t part = (uint32_t)rng_between(&me->rng, 0, n);
    for (uint32_t i = 0; i < n; i++) {
      out[i] = field.slots[sqcq__spsc_at(ring, i)];
      crowd_jitter(&me->rng);
    }
    if (part > 0)
      sqcq__spsc_give_back(ring, part);
    crowd_jitter(&me->rng);
    if (part < n)
      sqcq__spsc_give_back(ring, n - part);
    for (uint32_t i = 0; i < n; i++)
      check(me, &out[i]);
  }
}

/* Neither side, as a producer that gives credits back. */
static void look_on(struct crowd_member *me)
{
  while (!atomic_load_explicit(&crowd.members[0].finished, memory_order_relaxed) &&
         crowd_good(me)) {
    if ((int32_t)sqcq__spsc_count(&field.ring) < 0)
      crowd_fail(me, "fewer than none are there");
    field.looked++;
    crowd_progress(me);
    crowd_jitter(&me->rng);
  }
}

static void play(struct crowd_member *me)
{
  if (me->index == 0)
    produce(me);
  else if (me->index == 1)
    consume(me);
  else
    look_on(me);
}

static void spsc_passes_every_byte_once_and_in_order(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(14);
  uint64_t items = 0;

  rng_seed(&rng, rng_seed_from_env(0x59c));
  while (crowd_next_round(&soak)) {
    uint32_t slots = 1u << soak.done % 7; /* each size with both treatments */

    make_field(slots, (uint32_t)rng_below(&rng, 20000));
    field.items = 50000;
    /* Not stopped for long: each side needs the other. */
    crowd_start(&crowd, 3, soak.done % 2 == 0 ? CROWD_JOSTLED : CROWD_LEFT_ALONE, &rng, play);
    crowd_join(&crowd);
    assert_int_equal(field.copied, field.items);
    assert_int_equal(sqcq__spsc_count(&field.ring), 0);
    items += field.copied;
    printf("%u slots: %llu batches, %llu times full, %llu times empty, %llu looks\n", slots,
           (unsigned long long)field.batches, (unsigned long long)field.full,
           (unsigned long long)field.empty, (unsigned long long)field.looked);
  }
  printf("%llu items\n", (unsigned long long)items);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(spsc_passes_every_byte_once_and_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
