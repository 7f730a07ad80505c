/* sqcq-test: no-valgrind */
/*
 * The credit word, with another thread's call between any two instructions of one.
 */
#include "unit/step.h"

#include "mpsc/credit.h"

#define GENERATION 5u
#define CAPACITY 3u

static struct sqcq__credit credit;

struct hands {
  int one; /* what credit_take said, or credits held */
  int other;
  bool closed;
};

static struct hands set_up(uint32_t taken)
{
  credit.capacity = CAPACITY;
  sqcq__store_relaxed(&credit.word, sqcq__word(GENERATION, taken));
  return (struct hands){0};
}

static uint64_t word(void)
{
  return sqcq__load_relaxed(&credit.word);
}

static void take_two(void *argument)
{
  struct hands *hands = argument;

  hands->one = sqcq__credit_take(&credit, GENERATION, 2);
}

static void other_takes_two(void *argument)
{
  struct hands *hands = argument;

  hands->other = sqcq__credit_take(&credit, GENERATION, 2);
}

static void give_one(void *argument)
{
  (void)argument;
  sqcq__credit_give(&credit, 1);
}

static void close_it(void *argument)
{
  struct hands *hands = argument;

  hands->closed = true;
  (void)sqcq__or_acq_rel(&credit.word, SQCQ__CREDIT_CLOSED);
}

/* Closed, let go of, and open again for another channel with less room. */
static void reopen(void *argument)
{
  struct hands *hands = argument;
  uint64_t closed = sqcq__word(GENERATION, SQCQ__CREDIT_CLOSED);

  (void)sqcq__or_acq_rel(&credit.word, SQCQ__CREDIT_CLOSED);
  if (!sqcq__cas_acq_rel(&credit.word, &closed, sqcq__word(GENERATION + 1, SQCQ__CREDIT_CLOSED)))
    return; /* credits are out */
  credit.capacity = 1;
  closed = sqcq__word(GENERATION + 1, SQCQ__CREDIT_CLOSED);
  (void)sqcq__cas_acq_rel(&credit.word, &closed, sqcq__word(GENERATION + 1, 0));
  hands->closed = true;
}

static uint32_t held(int got)
{
  return got > 0 ? (uint32_t)got : 0;
}

static void credit_take_while_another_takes_gives_no_more_than_there_are(void **state)
{
  for (uint32_t taken = 0; taken <= CAPACITY; taken++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct hands hands = set_up(taken);

      more = step_at(k, take_two, other_takes_two, &hands);
      uint32_t sum = taken + held(hands.one) + held(hands.other);
      assert_true(sum <= CAPACITY);
      assert_int_equal(word(), sqcq__word(GENERATION, sum));
      /* And not less than could be had. */
      if (more)
        assert_true(sum == CAPACITY || (hands.one == 2 && hands.other == 2));
    }
  }
}

static void credit_take_while_another_gives_loses_none(void **state)
{
  for (uint32_t taken = 1; taken <= CAPACITY; taken++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      struct hands hands = set_up(taken);

      more = step_at(k, take_two, give_one, &hands);
      assert_int_equal(word(), sqcq__word(GENERATION, taken + held(hands.one) - more));
      assert_true(hands.one == -EXFULL || hands.one > 0);
    }
  }
}

static void credit_give_while_another_takes_or_gives_loses_none(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct hands hands = set_up(2);

    more = step_at(k, give_one, other_takes_two, &hands);
    assert_int_equal(word(), sqcq__word(GENERATION, 1 + held(hands.other)));
  }
  more = true;
  for (uint32_t k = 0; more; k++) {
    struct hands hands = set_up(2);

    more = step_at(k, give_one, give_one, &hands);
    assert_int_equal(word(), sqcq__word(GENERATION, 1 - (uint32_t)more));
  }
}

static void credit_take_while_it_is_closed_takes_before_or_not_at_all(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct hands hands = set_up(0);

    more = step_at(k, take_two, close_it, &hands);
    assert_true(hands.one == 2 || (more && hands.one == -EPIPE));
    assert_int_equal(
        word(), sqcq__word(GENERATION, (hands.closed ? SQCQ__CREDIT_CLOSED : 0) + held(hands.one)));
  }
}

static void credit_give_while_it_is_closed_keeps_it_closed(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct hands hands = set_up(2);

    more = step_at(k, give_one, close_it, &hands);
    assert_int_equal(word(), sqcq__word(GENERATION, (hands.closed ? SQCQ__CREDIT_CLOSED : 0) + 1));
  }
}

static void credit_take_while_the_place_gets_another_channel_takes_none_of_its(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct hands hands = set_up(0);

    more = step_at(k, take_two, reopen, &hands);
    if (hands.closed) {
      assert_int_equal(hands.one, -EPIPE);
      assert_int_equal(word(), sqcq__word(GENERATION + 1, 0));
    } else {
      assert_int_equal(hands.one, 2); /* it came first, and the channel stays while it is out */
      assert_int_equal(sqcq__word_generation(word()), GENERATION);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(credit_take_while_another_takes_gives_no_more_than_there_are),
      cmocka_unit_test(credit_take_while_another_gives_loses_none),
      cmocka_unit_test(credit_give_while_another_takes_or_gives_loses_none),
      cmocka_unit_test(credit_take_while_it_is_closed_takes_before_or_not_at_all),
      cmocka_unit_test(credit_give_while_it_is_closed_keeps_it_closed),
      cmocka_unit_test(credit_take_while_the_place_gets_another_channel_takes_none_of_its),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
