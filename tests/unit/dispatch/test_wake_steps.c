/* sqcq-test: no-valgrind */
/*
 * Sleeping and waking, with another thread's part between any two instructions of one. Two
 * questions: whether one who sleeps has been woken, once all who published have looked; and whether
 * that is so even if one of them never gets on, as all others do.
 */
#include "unit/step.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a futex has been woken: wake.c's own system calls are counted on their way. */
static int futex_wakes;
#define syscall(number, address, operation, ...)                                                   \
  (futex_wakes++, syscall((number), (address), (operation), __VA_ARGS__))
#include "dispatch/wake.c"
#undef syscall

#include "engine/control.h"

struct field {
  struct sqcq__sleeper sleeper;
  struct sqcq__control control;
  struct sqcq__waiter waiter;
  _Atomic uint32_t published; /* for the waiter */
  uint32_t prepared;
  bool asleep;  /* announced, looked again, found nothing */
  bool unwoken; /* somebody had published and looked, and the sleeper was still asleep */
};

static struct field field;

static void set_up(void)
{
  sqcq__sleeper_reset(&field.sleeper);
  int eventfd = field.sleeper.eventfd;

  field = (struct field){.sleeper.eventfd = eventfd};
  futex_wakes = 0;
}

static int make(void **state)
{
  (void)state;
  return sqcq__sleeper_init(&field.sleeper);
}

static int unmake(void **state)
{
  (void)state;
  sqcq__sleeper_fini(&field.sleeper);
  return 0;
}

/* ------------------------------------------------------------------------- */
/* The I/O thread                                                            */
/* ------------------------------------------------------------------------- */

static bool readable(void)
{
  struct pollfd watch = {.fd = field.sleeper.eventfd, .events = POLLIN};

  return poll(&watch, 1, 0) == 1;
}

static void fall_asleep(void *unused)
{
  (void)unused;
  sqcq__sleeper_announce(&field.sleeper);
  field.asleep = !sqcq__control_posted(&field.control);
}

static void wake(void *unused)
{
  (void)unused;
  sqcq__control_post(&field.control, SQCQ__CONTROL_STOP);
  sqcq__sleeper_wake(&field.sleeper);
}

static void other_wakes(void *unused)
{
  (void)unused;
  sqcq__control_post(&field.control, SQCQ__CONTROL_REMOVE);
  sqcq__sleeper_wake(&field.sleeper);
  field.unwoken |= field.asleep && !readable();
}

/* It wakes up for some reason, sees what is there, and falls asleep again; then somebody else has
 * something. */
static void sleeps_again_and_other_wakes(void *unused)
{
  sqcq__sleeper_clear(&field.sleeper);
  sqcq__sleeper_reset(&field.sleeper);
  (void)sqcq__control_take(&field.control);
  fall_asleep(unused);
  other_wakes(unused);
}

static void sleeper_announces_while_a_waker_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, wake, fall_asleep, NULL);
    if (field.asleep)
      assert_true(readable());
  }
}

static void waker_wakes_while_the_sleeper_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, fall_asleep, wake, NULL);
    if (field.asleep && more)
      assert_true(readable());
  }
}

static void waker_stopped_anywhere_keeps_no_other_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    fall_asleep(NULL);
    assert_true(field.asleep);
    more = step_at(k, wake, other_wakes, NULL);
    assert_false(field.unwoken);
    assert_true(readable());
  }
}

static void waker_of_an_earlier_sleep_keeps_no_other_from_waking(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    fall_asleep(NULL);
    more = step_at(k, wake, sleeps_again_and_other_wakes, NULL);
    assert_false(field.unwoken);
    if (!more)
      continue;
    /* What the late one has noted does not do for the sleep after that, either. */
    sleeps_again_and_other_wakes(NULL);
    assert_false(field.unwoken);
  }
}

static void control_taken_while_a_post_is_anywhere_is_not_lost(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    sqcq__control_post(&field.control, SQCQ__CONTROL_RETIRE);
    more = step_at(k, wake, sleeps_again_and_other_wakes, NULL);
    uint32_t bits = sqcq__control_take(&field.control);
    if (more)
      assert_true((bits & SQCQ__CONTROL_REMOVE) != 0);
    else
      assert_int_equal(bits, SQCQ__CONTROL_STOP | SQCQ__CONTROL_RETIRE);
  }
}

/* ------------------------------------------------------------------------- */
/* A consumer                                                                */
/* ------------------------------------------------------------------------- */

static void consumer_falls_asleep(void *unused)
{
  (void)unused;
  field.prepared = sqcq__waiter_prepare(&field.waiter);
  sqcq__waiter_announce(&field.waiter, 1);
  field.asleep = sqcq__load_acquire(&field.published) == 0;
}

/* Asleep in the futex or on its way there: the one needs the system call, the other the count. */
static bool consumer_is_woken(void)
{
  return sqcq__waiter_prepare(&field.waiter) != field.prepared && futex_wakes > 0;
}

static void publish_and_wake(void *unused)
{
  (void)unused;
  sqcq__store_release(&field.published, 1);
  sqcq__waiters_fence();
  if (sqcq__waiter_want(&field.waiter) != 0)
    (void)sqcq__waiter_wake(&field.waiter);
}

static void other_publishes_and_wakes(void *unused)
{
  publish_and_wake(unused);
  field.unwoken |= field.asleep && !consumer_is_woken();
}

static void consumer_sleeps_again_and_other_wakes(void *unused)
{
  sqcq__waiter_clear(&field.waiter);
  sqcq__store_relaxed(&field.published, 0);
  futex_wakes = 0;
  consumer_falls_asleep(unused);
  other_publishes_and_wakes(unused);
}

static void consumer_announces_while_a_waker_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, publish_and_wake, consumer_falls_asleep, NULL);
    if (field.asleep)
      assert_true(consumer_is_woken());
  }
}

static void waker_wakes_while_the_consumer_is_anywhere(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, consumer_falls_asleep, publish_and_wake, NULL);
    if (field.asleep && more)
      assert_true(consumer_is_woken());
  }
}

static void waker_stopped_anywhere_keeps_no_other_from_waking_the_consumer(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    consumer_falls_asleep(NULL);
    more = step_at(k, publish_and_wake, other_publishes_and_wakes, NULL);
    assert_false(field.unwoken);
    assert_true(consumer_is_woken());
  }
}

static void waker_of_an_earlier_sleep_keeps_no_other_from_waking_the_consumer(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    consumer_falls_asleep(NULL);
    more = step_at(k, publish_and_wake, consumer_sleeps_again_and_other_wakes, NULL);
    assert_false(field.unwoken);
    consumer_sleeps_again_and_other_wakes(NULL);
    assert_false(field.unwoken);
  }
}

/* A waker who is late meets a consumer in the middle of its next announcement: that sleep may be
 * ended for nothing, but not noted as ended without being so. */
static void late_waker_while_the_consumer_is_anywhere_notes_nothing_false(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    sqcq__waiter_announce(&field.waiter, 1);
    more = step_at(k, consumer_falls_asleep, publish_and_wake, NULL);
    if (!more)
      continue;
    sqcq__store_relaxed(&field.published, 0);
    bool woken = consumer_is_woken();
    if (sqcq__load_acquire(&field.waiter.roused) == sqcq__load_relaxed(&field.waiter.number))
      assert_true(woken);
    /* If it still sleeps, another one does wake it. */
    publish_and_wake(NULL);
    assert_true(consumer_is_woken());
  }
}

#define STEPS_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      STEPS_TEST(sleeper_announces_while_a_waker_is_anywhere),
      STEPS_TEST(waker_wakes_while_the_sleeper_is_anywhere),
      STEPS_TEST(waker_stopped_anywhere_keeps_no_other_from_waking),
      STEPS_TEST(waker_of_an_earlier_sleep_keeps_no_other_from_waking),
      STEPS_TEST(control_taken_while_a_post_is_anywhere_is_not_lost),
      STEPS_TEST(consumer_announces_while_a_waker_is_anywhere),
      STEPS_TEST(waker_wakes_while_the_consumer_is_anywhere),
      STEPS_TEST(waker_stopped_anywhere_keeps_no_other_from_waking_the_consumer),
      STEPS_TEST(waker_of_an_earlier_sleep_keeps_no_other_from_waking_the_consumer),
      STEPS_TEST(late_waker_while_the_consumer_is_anywhere_notes_nothing_false),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
