/* sqcq-test: no-valgrind */
/*
 * A consumer that falls asleep, or arms its eventfd, by consume.c as it is, with the end of its wait between any two
 * instructions: it does not sleep on. What it does meanwhile to whoever ends it is in channel_steps.
 */
#include "unit/step.h"

#include "dispatch/channel.c"
#include "dispatch/relay.c"
#include "dispatch/router.c"
#include "dispatch/wake.c"

static void sleep_here(const struct sqcq__waiter *waiter, uint32_t prepared);
#define sqcq__waiter_sleep(waiter, prepared, deadline) sleep_here((waiter), (prepared))
#include "engine/consume.c"

#include <poll.h>
#include <string.h>

#define GENERATION 1u
#define CAPACITY 3u

/* What ends a wait, and what is there before it. */
struct end {
  void (*come)(void);
  uint32_t want, taken, unread;
};

struct field {
  struct sqcq__channel channel;
  struct sqcq_engine engine;
  const struct end *end;
  bool came;
  bool slept;
  bool unwoken; /* what it held when it fell asleep has not changed though the end has come */
  int armed;    /* what arming said; 0: armed */
};

static struct field field;

static void push(void)
{
  struct sqcq_completion completion = {.user_data = 1};

  sqcq__router_push(&field.engine.io.router, 0, &completion);
  sqcq__router_publish(&field.engine.io.router);
}

static void push_and_wake(void)
{
  push();
  sqcq__router_wake(&field.engine.io.router);
}

static void give_one_back(void)
{
  sqcq__channel_give_back(&field.channel, 1);
}

static void stop(void)
{
  sqcq__store_release(&field.engine.phase, SQCQ__PHASE_STOPPED);
  sqcq__router_wake_all(&field.engine.io.router);
}

static const struct end ends[] = {
    {push_and_wake, 1, 1, 0}, /* the first */
    {push_and_wake, 2, 3, 1}, /* enough, and more to come */
    {give_one_back, 2, 2, 1}, /* the one to come will not */
    {stop, 1, 1, 0},
};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static int unmake(void **state)
{
  (void)state;
  sqcq__channel_fini(&field.channel);
  sqcq__router_fini(&field.engine.io.router);
  sqcq__relay_fini(&field.engine.relay);
  memset(&field, 0, sizeof(field));
  return 0;
}

static void set_up(const struct end *end)
{
  struct sqcq_engine *engine = &field.engine;

  unmake(NULL);
  field.end = end;
  engine->channels = &field.channel;
  assert_ok(sqcq__channel_fit(&field.channel, CAPACITY));
  assert_ok(sqcq__relay_init(&engine->relay, &field.channel, 1));
  assert_ok(sqcq__router_init(&engine->io.router, &engine->relay, &field.channel, 1));
  field.channel.credit.capacity = CAPACITY;
  sqcq__store_relaxed(&field.channel.credit.word, sqcq__word(GENERATION, end->taken));
  for (uint32_t i = 0; i < end->unread; i++)
    push();
  sqcq__router_wake(&engine->io.router);
}

static void end_it(void *unused)
{
  (void)unused;
  if (!field.came)
    field.end->come();
  field.came = true;
}

/* Who sleeps is woken by what has come since it prepared itself, or comes now. */
static void sleep_here(const struct sqcq__waiter *waiter, uint32_t prepared)
{
  step.done = 1; /* what comes later comes into the sleep */
  field.slept = true;
  end_it(NULL);
  field.unwoken = sqcq__waiter_prepare(waiter) == prepared;
}

static void fall_asleep(void *unused)
{
  (void)unused;
  sleep_for(&field.engine, &field.channel, field.end->want, -1);
}

static void arm(void *unused)
{
  (void)unused;
  field.armed = arm_channel(&field.engine, &field.channel, field.end->want);
}

static bool is_readable(void)
{
  struct pollfd watch = {.fd = sqcq__waiter_event(&field.channel.waiter), .events = POLLIN};

  return poll(&watch, 1, 0) == 1;
}

static void end_comes_while_the_consumer_falls_asleep(void **state)
{
  for (size_t i = 0; i < ENDS; i++) {
    bool more = true, slept = false;

    for (uint32_t k = 0; more; k++) {
      set_up(&ends[i]);
      more = step_at(k, fall_asleep, end_it, NULL);
      assert_false(field.unwoken);
      slept |= field.slept;
    }
    assert_true(slept);
  }
}

static void end_comes_while_the_consumer_arms(void **state)
{
  for (size_t i = 0; i < ENDS; i++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      set_up(&ends[i]);
      assert_true(sqcq__waiter_event(&field.channel.waiter) >= 0);
      field.channel.waiter.written = true; /* by a sleep before, so there is something to reset */
      sqcq__eventfd_write(sqcq__waiter_event(&field.channel.waiter));
      more = step_at(k, arm, end_it, NULL);
      end_it(NULL);
      assert_true(field.armed > 0 || is_readable());
    }
  }
}

/* One who has looked before, and ends by now whatever sleep there is. */
static void wake_late(void *unused)
{
  (void)unused;
  (void)sqcq__waiter_wake(&field.channel.waiter);
}

/* For a sleep that was ended before it began, as for any other, the descriptor says so. */
static void late_waker_comes_while_the_consumer_arms_again(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up(&ends[0]);
    assert_true(sqcq__waiter_event(&field.channel.waiter) >= 0);
    arm(NULL);
    more = step_at(k, arm, wake_late, NULL);
    assert_int_equal(field.armed, 0);
    end_it(NULL);
    assert_true(is_readable());
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(end_comes_while_the_consumer_falls_asleep, unmake),
      cmocka_unit_test_teardown(end_comes_while_the_consumer_arms, unmake),
      cmocka_unit_test_teardown(late_waker_comes_while_the_consumer_arms_again, unmake),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
