/* sqcq-test: timeout 400 */
/*
 * The credit word alone: never more credits out than the channel has slots, and none lost, while channels
 * are closed under those who take and opened again in the same place. Takers look at plain data of the channel
 * they hold credits of: the word must order it.
 */
#include "mpsc/credit.h"

#include "stress/crowd.h"

#include <string.h>

#define TAKERS 6u
#define OPENINGS 400u

/* What a creator writes while the channel is not open, and its takers read. */
struct opened {
  uint32_t generation;
  uint32_t capacity;
};

struct field {
  _Alignas(64) struct sqcq__credit credit;
  _Alignas(64) struct opened opened;
  atomic_uint generation;  /* what a new handle would say */
  atomic_uint outstanding; /* credits held, counted apart */
  atomic_bool over;
  uint32_t openings;
  atomic_uint refused_full;
  atomic_uint refused_again;
  atomic_uint refused_closed;
  atomic_uint taken;
};

static struct field field;
static struct crowd crowd;

/* relaxed, and so are all looks beside the word's own: nothing else may order what it orders */
static uint32_t look(atomic_uint *word)
{
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void note(atomic_uint *counter)
{
  atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void hold(struct crowd_member *me, uint32_t generation, uint32_t count)
{
  /* Counted after the take and uncounted before the give, so what is counted is really held. */
  uint32_t held =
      atomic_fetch_add_explicit(&field.outstanding, count, memory_order_relaxed) + count;

  if (field.opened.generation != generation)
    verdict_fail(&me->crowd->verdict, "a credit of generation %u while %u is open", generation,
                 field.opened.generation);
  if (held > field.opened.capacity)
    verdict_fail(&me->crowd->verdict, "%u credits are out of %u", held, field.opened.capacity);
  crowd_jitter(&me->rng);
  crowd_check(me, field.opened.generation == generation); /* nor does it change meanwhile */
  while (count > 0) {
    uint32_t part = (uint32_t)rng_between(&me->rng, 1, count);

    atomic_fetch_sub_explicit(&field.outstanding, part, memory_order_relaxed);
    sqcq__credit_give(&field.credit, part);
    count -= part;
  }
}

static void take_and_give(struct crowd_member *me)
{
  uint32_t generation = look(&field.generation);

  while (!atomic_load_explicit(&field.over, memory_order_relaxed) && crowd_good(me)) {
    uint32_t want = (uint32_t)rng_between(&me->rng, 1, 4);
    int got = sqcq__credit_take(&field.credit, generation, want);

    crowd_progress(me);
    if (got > 0) {
      crowd_check(me, (uint32_t)got <= want);
      note(&field.taken);
      hold(me, generation, (uint32_t)got);
      continue;
    }
    crowd_check(me, got == -EPIPE || got == -EXFULL || got == -EAGAIN);
    note(got == -EXFULL   ? &field.refused_full
         : got == -EAGAIN ? &field.refused_again
                          : &field.refused_closed);
    if (got == -EPIPE && rng_percent(&me->rng, 50)) /* some go on with what is stale */
      generation = look(&field.generation);
    (void)sched_yield();
  }
}

static void change(struct crowd_member *me, uint64_t from, uint64_t to)
{
  crowd_check(me, sqcq__cas_acq_rel(&field.credit.word, &from, to));
}

/* Close, wait for what is out, and open another one in its place, as channels.c does. */
static bool reopen(struct crowd_member *me, uint32_t generation)
{
  int64_t patience = test_now_ns() + CROWD_PATIENCE_NS;
  uint64_t closed = sqcq__word(generation, SQCQ__CREDIT_CLOSED);

  (void)sqcq__or_acq_rel(&field.credit.word, SQCQ__CREDIT_CLOSED);
  while (sqcq__load_acquire(&field.credit.word) != closed) {
    if (!crowd_good(me))
      return false;
    if (test_now_ns() > patience) {
      crowd_fail(me, "credits of a closed channel do not come back");
      return false;
    }
    (void)sched_yield();
  }
  crowd_check(me, look(&field.outstanding) == 0);
  change(me, closed, closed | SQCQ__CREDIT_RETIRING);
  change(me, closed | SQCQ__CREDIT_RETIRING, closed | SQCQ__CREDIT_FREE);
  uint32_t next = sqcq__generation_after(generation);
  change(me, closed | SQCQ__CREDIT_FREE, sqcq__word(next, SQCQ__CREDIT_CLOSED));
  field.opened.generation = next;
  field.opened.capacity = (uint32_t)rng_between(&me->rng, 1, 4);
  sqcq__store_relaxed(&field.credit.capacity, field.opened.capacity);
  crowd_jitter(&me->rng);
  change(me, sqcq__word(next, SQCQ__CREDIT_CLOSED), sqcq__word(next, 0));
  atomic_store_explicit(&field.generation, next, memory_order_relaxed);
  return true;
}

static void close_and_open(struct crowd_member *me)
{
  uint32_t generation = look(&field.generation);

  for (uint32_t i = 0; i < field.openings && crowd_good(me); i++) {
    for (uint64_t yields = rng_below(&me->rng, 20); yields > 0; yields--)
      (void)sched_yield();
    crowd_spin(rng_below(&me->rng, 2000));
    if (!reopen(me, generation))
      break;
    generation = sqcq__generation_after(generation);
    crowd_progress(me);
  }
  atomic_store_explicit(&field.over, true, memory_order_relaxed);
}

/* The last one closes and opens, the others take and give. */
static void play(struct crowd_member *me)
{
  if (me->index == TAKERS)
    close_and_open(me);
  else
    take_and_give(me);
}

static void credits_of_channels_that_come_and_go_are_all_kept(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(8);

  rng_seed(&rng, rng_seed_from_env(0xc4ed17));
  while (crowd_next_round(&soak)) {
    uint32_t generation = rng_percent(&rng, 30) ? UINT32_MAX - 50 : 1;

    memset(&field, 0, sizeof(field));
    field.openings = OPENINGS;
    field.opened = (struct opened){.generation = generation, .capacity = 2};
    field.credit.capacity = 2;
    sqcq__store_relaxed(&field.credit.word, sqcq__word(generation, 0));
    atomic_store(&field.generation, generation);
    crowd_start(&crowd, TAKERS + 1, soak.done % 2 == 0 ? CROWD_STOPPED : CROWD_LEFT_ALONE, &rng,
                play);
    crowd_join(&crowd);
    uint64_t word = sqcq__load_acquire(&field.credit.word);
    assert_int_equal(sqcq__credit_taken(word), 0);
    assert_int_equal(sqcq__word_state(word), 0); /* open, as it was left */
    assert_int_equal(atomic_load(&field.outstanding), 0);
    assert_true(atomic_load(&field.taken) > 0);
  }
  printf("last round: taken %u, refused: full %u, closed %u, lost races %u; stopped %u\n",
         atomic_load(&field.taken), atomic_load(&field.refused_full),
         atomic_load(&field.refused_closed), atomic_load(&field.refused_again),
         atomic_load(&crowd.stops));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(credits_of_channels_that_come_and_go_are_all_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
