/* sqcq-test: no-valgrind */
/*
 * The free list, with another thread's call between any two instructions of one. This is where the
 * count in its head is needed: the same index on top again, and another one below it.
 */
#include "unit/step.h"

#include "base/freelist.c"

#define COUNT 4u

static _Atomic uint32_t links[COUNT];
static struct sqcq__freelist list;

/* Indexes that the two threads hold, a bit each. */
struct hands {
  uint32_t one;
  uint32_t other;
  uint32_t want;
  bool both; /* an index was in two hands */
};

/* All are free; 0 is on top. */
static struct hands set_up(uint32_t want)
{
  sqcq__freelist_init(&list, &links[0], sizeof(links[0]));
  for (uint32_t i = COUNT; i-- > 0;)
    sqcq__freelist_put(&list, &i, 1);
  return (struct hands){.want = want};
}

static void hold(struct hands *hands, uint32_t *hand, uint32_t index)
{
  hands->both |= ((hands->one | hands->other) & 1u << index) != 0;
  *hand |= 1u << index;
}

static uint32_t take_into(struct hands *hands, uint32_t *hand, uint32_t *out, uint32_t want)
{
  uint32_t count = sqcq__freelist_take(&list, out, want);

  for (uint32_t i = 0; i < count; i++)
    hold(hands, hand, out[i]);
  return count;
}

static void put(uint32_t *hand, uint32_t index)
{
  *hand &= ~(1u << index);
  sqcq__freelist_put(&list, &index, 1);
}

static void check(struct hands *hands)
{
  uint32_t out[COUNT + 1];

  assert_false(hands->both);
  (void)take_into(hands, &hands->one, out, COUNT + 1);
  assert_false(hands->both);
  assert_int_equal(hands->one | hands->other, (1u << COUNT) - 1); /* and none is lost */
}

static void take(void *argument)
{
  struct hands *hands = argument;
  uint32_t out[COUNT];

  (void)take_into(hands, &hands->one, out, hands->want);
}

static void put_two(void *argument)
{
  struct hands *hands = argument;
  const uint32_t two[2] = {1, 0};

  hands->one &= ~3u;
  sqcq__freelist_put(&list, two, 2);
}

static void other_takes_one(void *argument)
{
  struct hands *hands = argument;
  uint32_t out;

  (void)take_into(hands, &hands->other, &out, 1);
}

/* It is on top again, and the second is not below it. */
static void other_takes_two_and_puts_the_first_back(void *argument)
{
  struct hands *hands = argument;
  uint32_t out[2];

  if (take_into(hands, &hands->other, out, 2) > 0)
    put(&hands->other, out[0]);
}

/* The same, and all of them are there, in another order. */
static void other_turns_three_round(void *argument)
{
  struct hands *hands = argument;
  uint32_t out[3];
  uint32_t count = take_into(hands, &hands->other, out, 3);

  for (uint32_t i = 1; i < count; i++)
    put(&hands->other, out[i]);
  if (count > 0)
    put(&hands->other, out[0]);
}

static void (*const others[])(void *) = {
    other_takes_one,
    other_takes_two_and_puts_the_first_back,
    other_turns_three_round,
};
#define OTHERS (sizeof(others) / sizeof(others[0]))

static void freelist_take_while_another_takes_and_puts(void **state)
{
  for (size_t i = 0; i < OTHERS; i++)
    for (uint32_t want = 1; want <= 3; want++) {
      bool more = true;

      for (uint32_t k = 0; more; k++) {
        struct hands hands = set_up(want);

        more = step_at(k, take, others[i], &hands);
        check(&hands);
      }
    }
}

static void freelist_put_while_another_takes_and_puts(void **state)
{
  for (size_t i = 0; i < OTHERS; i++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct hands hands = set_up(0);
      uint32_t out[2];

      assert_int_equal(sqcq__freelist_take(&list, out, 2), 2); /* 0 and 1 */
      hands.one = 3;
      more = step_at(k, put_two, others[i], &hands);
      check(&hands);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(freelist_take_while_another_takes_and_puts),
      cmocka_unit_test(freelist_put_while_another_takes_and_puts),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
