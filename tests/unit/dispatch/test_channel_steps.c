/* sqcq-test: no-valgrind */
/*
 * A channel, with another thread's part between any two instructions of one: pushes and credits that come
 * back, against a consumer that takes or falls asleep.
 */
#include "unit/step.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.c"
#include "dispatch/channel.c"
#include "dispatch/relay.c"
#include "dispatch/router.c"
#include "dispatch/wake.c"

#define GENERATION 1u
#define CAPACITY 3u

struct field {
  struct sqcq__channel channel;
  struct sqcq__relay relay;
  struct sqcq__router router;
  struct sqcq_completion out[CAPACITY];
  uint64_t pushed;
  uint32_t popped;
  uint32_t counted;
  uint32_t want;
  uint32_t prepared;
  bool asleep;  /* announced, looked again, was to wait */
  bool unwoken; /* there was enough, all but one had looked, and it still slept */
  bool mixed;
};

static struct field field;

static void set_up(uint32_t want, uint32_t taken, uint32_t unread)
{
  sqcq__channel_fini(&field.channel);
  sqcq__router_fini(&field.router);
  sqcq__relay_fini(&field.relay);
  field = (struct field){.want = want};
  assert_ok(sqcq__channel_fit(&field.channel, CAPACITY));
  assert_ok(sqcq__relay_init(&field.relay, &field.channel, 1));
  assert_ok(sqcq__router_init(&field.router, &field.relay, &field.channel, 1));
  field.channel.credit.capacity = CAPACITY;
  sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, taken));
  for (; unread > 0; unread--) {
    struct sqcq_completion completion = {.user_data = field.pushed++};

    sqcq__channel_push(&field.channel, &completion);
  }
  sqcq__channel_publish(&field.channel);
}

static int unmake(void **state)
{
  (void)state;
  sqcq__channel_fini(&field.channel);
  sqcq__router_fini(&field.router);
  sqcq__relay_fini(&field.relay);
  field = (struct field){0};
  return 0;
}

static bool ready(void)
{
  return sqcq__channel_ready(&field.channel, field.want);
}

static bool woken(void)
{
  return sqcq__waiter_prepare(&field.channel.waiter) != field.prepared;
}

/* As sleep_for() in consume.c. */
static void fall_asleep(void *unused)
{
  (void)unused;
  field.prepared = sqcq__waiter_prepare(&field.channel.waiter);
  sqcq__waiter_announce(&field.channel.waiter, field.want);
  field.asleep = !ready();
}

static void push_and_wake(void *unused)
{
  struct sqcq_completion completion = {.user_data = field.pushed++};

  (void)unused;
  sqcq__router_push(&field.router, 0, &completion);
  sqcq__router_publish(&field.router);
  sqcq__router_wake(&field.router);
}

static void give_one_back(void *unused)
{
  (void)unused;
  sqcq__channel_give_back(&field.channel, 1);
}

static void close_it(void *unused)
{
  (void)unused;
  (void)sqcq__or_acq_rel(&field.channel.credit.word, SQCQ__CREDIT_CLOSED);
  sqcq__channel_give_back(&field.channel, 0);
}

static void take_all(void *unused)
{
  uint32_t n = sqcq__channel_pop(&field.channel, field.out, CAPACITY);

  (void)unused;
  for (uint32_t i = 0; i < n; i++)
    field.mixed |= field.out[i].user_data != field.popped++;
  if (n > 0)
    sqcq__credit_give(&field.channel.credit, n);
}

/* ------------------------------------------------------------------------- */
/* Who sleeps is woken                                                       */
/* ------------------------------------------------------------------------- */

/* What ends a wait, and what is there before it. */
static const struct {
  void (*end)(void *);
  uint32_t want, taken, unread;
} ends[] = {
    {push_and_wake, 1, 1, 0}, /* the first */
    {push_and_wake, 2, 3, 1}, /* enough, and more to come */
    {push_and_wake, 3, 2, 1}, /* not enough, but nothing more to come */
    {give_one_back, 2, 2, 1}, /* the one to come will not */
    {close_it, 1, 0, 0},      /* nothing will ever */
};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static void consumer_falls_asleep_while_its_end_is_anywhere(void **state)
{
  for (size_t i = 0; i < ENDS; i++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      set_up(ends[i].want, ends[i].taken, ends[i].unread);
      more = step_at(k, ends[i].end, fall_asleep, NULL);
      assert_true(ready());
      if (field.asleep)
        assert_true(woken());
    }
  }
}

static void end_comes_while_the_consumer_is_anywhere(void **state)
{
  for (size_t i = 0; i < ENDS; i++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      set_up(ends[i].want, ends[i].taken, ends[i].unread);
      more = step_at(k, fall_asleep, ends[i].end, NULL);
      if (more && field.asleep)
        assert_true(woken());
    }
  }
}

static void push_enough(void *unused)
{
  push_and_wake(unused);
  field.unwoken |= field.asleep && ready() && !woken();
}

/* One gives a credit back and is stopped for ever; then the completions come that are enough by themselves. */
static void giver_stopped_anywhere_keeps_no_push_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(1, 3, 0);
    fall_asleep(NULL);
    assert_true(field.asleep);
    more = step_at(k, give_one_back, push_enough, NULL);
    assert_false(field.unwoken);
  }
}

static void give_one_back_and_look(void *unused)
{
  give_one_back(unused);
  field.unwoken |= field.asleep && ready() && !woken();
}

/* Two give back: whoever is the last of them sees that nothing more is to come. */
static void giver_anywhere_keeps_no_other_giver_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(3, 3, 1);
    fall_asleep(NULL);
    assert_true(field.asleep);
    more = step_at(k, give_one_back, give_one_back_and_look, NULL);
    assert_false(field.unwoken);
    if (more)
      assert_true(ready() && woken());
  }
}

static void pusher_stopped_anywhere_keeps_no_giver_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(3, 3, 1);
    fall_asleep(NULL);
    more = step_at(k, push_and_wake, give_one_back_and_look, NULL);
    assert_false(field.unwoken);
    if (more)
      assert_true(ready() && woken());
  }
}

/* ------------------------------------------------------------------------- */
/* What is pushed is taken                                                   */
/* ------------------------------------------------------------------------- */

static void check_taken(void)
{
  take_all(NULL);
  assert_false(field.mixed);
  assert_int_equal(field.popped, field.pushed);
}

static void consumer_takes_while_a_push_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(1, 2, 1);
    more = step_at(k, push_and_wake, take_all, NULL);
    check_taken();
    assert_int_equal(sqcq__credit_taken(sqcq__load_relaxed(&field.channel.credit.word)), 0);
  }
}

static void push_comes_while_the_consumer_takes_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(1, 3, 2);
    more = step_at(k, take_all, push_and_wake, NULL);
    check_taken();
  }
}

/* Two at once: one is not to be had without the other. */
static void push_two(void *unused)
{
  for (int i = 0; i < 2; i++) {
    struct sqcq_completion completion = {.user_data = field.pushed++};

    sqcq__router_push(&field.router, 0, &completion);
  }
  (void)unused;
  sqcq__router_publish(&field.router);
}

static void consumer_takes_while_a_batch_is_anywhere_and_gets_all_or_none(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(1, 2, 0);
    more = step_at(k, push_two, take_all, NULL);
    assert_true(field.popped == 0 || field.popped == 2);
    check_taken();
  }
}

/* Of one who is neither side, as a producer that gives credits back. */
static void count(void *unused)
{
  (void)unused;
  field.counted = sqcq__channel_unread(&field.channel);
}

static void push_and_take(void *unused)
{
  for (int i = 0; i < 3; i++) {
    (void)sqcq__credit_take(&field.channel.credit, GENERATION, 2);
    push_two(unused);
    take_all(unused);
  }
}

static void onlooker_counts_while_much_comes_and_goes_and_never_below_nothing(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(1, 1, 1);
    more = step_at(k, count, push_and_take, NULL);
    assert_true(field.counted <= 1 + 3 * 2);
  }
}

/* A ready channel has something to take, or its end; not so only where it was taken meanwhile. */
static void look(void *unused)
{
  (void)unused;
  field.asleep = !ready();
}

static void consumer_looks_while_a_push_is_anywhere_and_is_not_deceived(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(2, 2, 1);
    more = step_at(k, look, push_and_wake, NULL);
    if (!field.asleep) /* both are there: nothing was waived while one was promised */
      assert_int_equal(sqcq__channel_unread(&field.channel), 2);
  }
}

/* A request for it is accepted and answered, all at once. */
static void accept_and_answer(void *unused)
{
  (void)sqcq__credit_take(&field.channel.credit, GENERATION, 1);
  push_and_wake(unused);
}

/* It must not be taken for the one that was promised before, and is still to come. */
static void consumer_looks_while_another_read_is_answered_and_is_not_deceived(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(2, 1, 0);
    more = step_at(k, look, accept_and_answer, NULL);
    assert_true(field.asleep);
  }
}

#define STEPS_TEST(name) cmocka_unit_test_teardown(name, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      STEPS_TEST(consumer_falls_asleep_while_its_end_is_anywhere),
      STEPS_TEST(end_comes_while_the_consumer_is_anywhere),
      STEPS_TEST(giver_stopped_anywhere_keeps_no_push_from_waking),
      STEPS_TEST(giver_anywhere_keeps_no_other_giver_from_waking),
      STEPS_TEST(pusher_stopped_anywhere_keeps_no_giver_from_waking),
      STEPS_TEST(consumer_takes_while_a_push_is_anywhere),
      STEPS_TEST(push_comes_while_the_consumer_takes_anywhere),
      STEPS_TEST(consumer_takes_while_a_batch_is_anywhere_and_gets_all_or_none),
      STEPS_TEST(onlooker_counts_while_much_comes_and_goes_and_never_below_nothing),
      STEPS_TEST(consumer_looks_while_a_push_is_anywhere_and_is_not_deceived),
      STEPS_TEST(consumer_looks_while_another_read_is_answered_and_is_not_deceived),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
