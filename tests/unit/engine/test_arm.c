/* sqcq-test: simulated */
/*
 * Consumers that sleep in an event loop: what makes a channel's descriptor readable, what must not,
 * and that whoever is back passes wakes on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include <poll.h>
#include <sys/resource.h>

static bool readable(int fd)
{
  struct pollfd watch = {.fd = fd, .events = POLLIN};

  assert_true(fd >= 0);
  return poll(&watch, 1, 0) == 1;
}

/* A second channel with an armed consumer's descriptor. */
struct pair {
  struct rig rig;
  sqcq_channel other;
  int fd, other_fd;
};

static void pair_start(struct pair *pair)
{
  rig_start(&pair->rig, "6.18");
  pair->other = rig_channel(&pair->rig, 8, 0, 0);
  pair->fd = sqcq_channel_fd(pair->rig.engine, pair->rig.channel);
  pair->other_fd = sqcq_channel_fd(pair->rig.engine, pair->other);
  assert_true(pair->fd >= 0 && pair->other_fd >= 0 && pair->fd != pair->other_fd);
}

static void ask_other(struct pair *pair, uint64_t user_data)
{
  assert_ok(rig_try(&pair->rig, pair->other, pair->rig.file, 0, user_data));
}

static uint64_t wakes(struct rig *rig)
{
  return rig_stats(rig).consumer_wakes;
}

/* ------------------------------------------------------------------------- */

static void fd_is_made_once_and_closed_with_the_engine(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  uint32_t before = fds_count();
  int fd = sqcq_channel_fd(rig.engine, rig.channel);
  assert_true(fd >= 0);
  assert_int_equal(fds_count(), before + 1);
  assert_int_equal(sqcq_channel_fd(rig.engine, rig.channel), fd);
  assert_int_equal(fds_count(), before + 1);
  assert_false(readable(fd));
  rig_end(&rig); /* which looks that no descriptor is left */
}

static void fd_without_a_descriptor_left_changes_nothing(void **state)
{
  struct rlimit before, none;
  struct rig rig;

  rig_start(&rig, "6.18");
  uint32_t fds = fds_count();
  assert_ok(getrlimit(RLIMIT_NOFILE, &before));
  none = before;
  none.rlim_cur = 3;
  assert_ok(setrlimit(RLIMIT_NOFILE, &none));
  int fd = sqcq_channel_fd(rig.engine, rig.channel);
  assert_ok(setrlimit(RLIMIT_NOFILE, &before));
  assert_error(fd, -EMFILE);
  assert_int_equal(fds_count(), fds);
  assert_error(sqcq_channel_arm(rig.engine, rig.channel, 1), -EINVAL);
  assert_true(sqcq_channel_fd(rig.engine, rig.channel) >= 0);
  assert_count(sqcq_channel_arm(rig.engine, rig.channel, 1), 0);
  rig_end(&rig);
}

static void bad_input_is_refused(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  sqcq_channel gone = rig_channel(&rig, 1, 0, 0);
  sqcq_channel foreign = {rig.channel.id ^ 1};
  sqcq_channel none = {0};

  assert_ok(sqcq_channel_destroy(rig.engine, gone));
  (void)rig_turns(&rig, 1);
  assert_error(sqcq_channel_fd(NULL, rig.channel), -EINVAL);
  assert_error(sqcq_channel_fd(rig.engine, foreign), -EINVAL);
  assert_error(sqcq_channel_fd(rig.engine, none), -EPIPE);
  assert_error(sqcq_channel_fd(rig.engine, gone), -EPIPE);
  assert_error(sqcq_channel_arm(rig.engine, rig.channel, 1), -EINVAL); /* no descriptor yet */
  assert_true(sqcq_channel_fd(rig.engine, rig.channel) >= 0);
  assert_error(sqcq_channel_arm(NULL, rig.channel, 1), -EINVAL);
  assert_error(sqcq_channel_arm(rig.engine, rig.channel, 0), -EINVAL);
  assert_error(sqcq_channel_arm(rig.engine, foreign, 1), -EINVAL);
  assert_error(sqcq_channel_arm(rig.engine, none, 1), -EPIPE);
  assert_error(sqcq_channel_arm(rig.engine, gone, 1), -EPIPE);
  struct sqcq__waiter *waiter = &rig.engine->channels[sqcq__handle_index(rig.channel.id)].waiter;
  assert_int_equal(sqcq__waiter_want(waiter), 0);
  assert_false(waiter->armed);
  rig_end(&rig);
}

static void arm_with_enough_there_says_how_many(void **state)
{
  struct pair p;

  pair_start(&p);
  for (uint64_t i = 0; i < 3; i++)
    rig_ask(&p.rig, i);
  assert_int_equal(rig_turns(&p.rig, 2), 3);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 3);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 3), 3);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 9), 3); /* waived: no more are due */
  assert_false(readable(p.fd));
  assert_int_equal(wakes(&p.rig), 0);
  rig_end(&p.rig);
}

static void armed_channel_is_written_once_when_min_are_there(void **state)
{
  struct pair p;

  pair_start(&p);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 2), 0);
  rig_ask_silent(&p.rig, 60);
  rig_ask(&p.rig, 1);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_false(readable(p.fd)); /* one is not two, and another is to come */
  rig_ask(&p.rig, 2);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_true(readable(p.fd));
  assert_int_equal(wakes(&p.rig), 1);
  rig_ask(&p.rig, 3);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_int_equal(wakes(&p.rig), 1); /* one write an announcement */
  assert_int_equal(rig_stats(&p.rig).consumer_sleeps, 1);
  rig_expect(&p.rig, 1, RIG_LENGTH, 0);
  assert_true(readable(p.fd)); /* until it is armed again */
  rig_ask(&p.rig, 4);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_int_equal(wakes(&p.rig), 1); /* not armed: nothing is written */
  rig_expect(&p.rig, 2, RIG_LENGTH, 0);
  rig_expect(&p.rig, 3, RIG_LENGTH, 0);
  rig_expect(&p.rig, 4, RIG_LENGTH, 0);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  assert_false(readable(p.fd));
  rig_end(&p.rig);
}

static void min_that_is_waived_makes_it_readable(void **state)
{
  struct pair p;

  pair_start(&p);
  rig_ask(&p.rig, 1);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 5), 0);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_true(readable(p.fd));
  rig_expect(&p.rig, 1, RIG_LENGTH, 0);
  rig_end(&p.rig);
}

static void credit_given_back_makes_it_readable(void **state)
{
  struct pair p;

  pair_start(&p);
  struct sqcq__channel *channel = &p.rig.engine->channels[sqcq__handle_index(p.rig.channel.id)];
  rig_ask(&p.rig, 1);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_count(sqcq__credit_take(&channel->credit, sqcq__handle_generation(p.rig.channel.id), 1),
               1); /* as a producer that is about to be refused */
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 2), 0);
  sqcq__channel_give_back(channel, 1);
  assert_true(readable(p.fd));
  rig_expect(&p.rig, 1, RIG_LENGTH, 0);
  rig_end(&p.rig);
}

static void arm_then_wait_sleeps_as_if_never_armed(void **state)
{
  struct sqcq_completion out;
  struct pair p;

  pair_start(&p);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  assert_count(sqcq_channel_wait(p.rig.engine, p.rig.channel, &out, 1, 1, 1000), 0);
  struct sqcq__waiter *waiter =
      &p.rig.engine->channels[sqcq__handle_index(p.rig.channel.id)].waiter;
  assert_false(waiter->armed);
  assert_int_equal(sqcq__waiter_want(waiter), 0);
  rig_ask(&p.rig, 1);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_false(readable(p.fd));
  assert_count(sqcq_channel_wait(p.rig.engine, p.rig.channel, &out, 1, 1, SQCQ_FOREVER), 1);
  assert_count(sqcq_buffer_release(p.rig.engine, &out.buffer, 1), 1);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  rig_ask(&p.rig, 2);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_true(readable(p.fd));
  rig_end(&p.rig);
}

static void late_write_is_taken_back_by_the_next_arm(void **state)
{
  struct pair p;

  pair_start(&p);
  struct sqcq__channel *channel = &p.rig.engine->channels[sqcq__handle_index(p.rig.channel.id)];
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  rig_expect_none(&p.rig);                          /* takes the announcement back */
  assert_true(sqcq__waiter_wake(&channel->waiter)); /* of one who saw it */
  assert_true(readable(p.fd));
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  assert_false(readable(p.fd));
  rig_ask(&p.rig, 1);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_true(readable(p.fd));
  rig_end(&p.rig);
}

static void consumer_that_is_back_passes_the_wake_on(void **state)
{
  struct pair p;

  pair_start(&p);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1), 0);
  assert_count(sqcq_channel_arm(p.rig.engine, p.other, 1), 0);
  rig_ask(&p.rig, 1);
  ask_other(&p, 2);
  assert_int_equal(rig_turns(&p.rig, 1), 2);
  assert_int_equal(wakes(&p.rig), 1); /* one by the I/O thread */
  assert_int_equal(readable(p.fd) + readable(p.other_fd), 1);
  struct sqcq_completion out;
  sqcq_channel first = readable(p.fd) ? p.rig.channel : p.other;
  assert_true(rig_take_from(&p.rig, first, &out));
  assert_int_equal(wakes(&p.rig), 2); /* the other by the first */
  assert_true(readable(p.fd) && readable(p.other_fd));
  (void)rig_take_from(&p.rig, p.rig.channel, &out);
  (void)rig_take_from(&p.rig, p.other, &out);
  rig_end(&p.rig);
}

static void engine_does_not_sleep_on_wakes_that_are_passed_on(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  config.flags = SQCQ_ENGINE_EVENT_LOOP;
  rig_start_with(&rig, &kernel, &config);
  sqcq_channel other = rig_channel(&rig, 8, 0, 0);
  int fd = sqcq_channel_fd(rig.engine, rig.channel);
  int other_fd = sqcq_channel_fd(rig.engine, other);
  assert_count(sqcq_channel_arm(rig.engine, rig.channel, 1), 0);
  assert_count(sqcq_channel_arm(rig.engine, other, 1), 0);
  rig_ask(&rig, 1);
  assert_ok(rig_try(&rig, other, rig.file, 0, 2));
  assert_int_equal(rig_turns(&rig, 1), 2);
  assert_int_equal(readable(fd) + readable(other_fd), 1);
  assert_true(sqcq_engine_arm(rig.engine) > 0); /* nobody has come back yet */
  (void)rig_turns(&rig, 1);
  assert_true(readable(fd) && readable(other_fd));
  assert_count(sqcq_engine_arm(rig.engine), 0);
  struct sqcq_completion out;
  assert_true(rig_take_from(&rig, other, &out));
  rig_end(&rig);
}

static void end_of_stream_makes_it_readable(void **state)
{
  struct sqcq_completion out;
  struct pair p;

  pair_start(&p);
  assert_count(sqcq_channel_arm(p.rig.engine, p.rig.channel, 3), 0);
  assert_ok(sqcq_engine_stop(p.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_false(readable(p.fd));
  rig_run(&p.rig);
  assert_true(readable(p.fd));
  assert_error(sqcq_channel_poll(p.rig.engine, p.rig.channel, &out, 1), -ESHUTDOWN);
  assert_true(sqcq_channel_arm(p.rig.engine, p.rig.channel, 1) > 0);
  assert_true(sqcq_channel_arm(p.rig.engine, p.other, 1) > 0);
  rig_close(&p.rig);
  rig_clear(&p.rig);
}

static void destroy_makes_it_readable(void **state)
{
  struct sqcq_completion out;
  struct pair p;

  pair_start(&p);
  /* With a request outstanding: closed only. */
  ask_other(&p, 1);
  assert_count(sqcq_channel_arm(p.rig.engine, p.other, 1), 0);
  assert_error(sqcq_channel_destroy(p.rig.engine, p.other), -EBUSY);
  assert_false(readable(p.other_fd)); /* its answer is still to come */
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_true(readable(p.other_fd));
  assert_true(rig_take_from(&p.rig, p.other, &out));
  assert_true(sqcq_channel_arm(p.rig.engine, p.other, 1) > 0); /* the end */
  assert_error(sqcq_channel_poll(p.rig.engine, p.other, &out, 1), -EPIPE);
  assert_ok(sqcq_channel_destroy(p.rig.engine, p.other));
  (void)rig_turns(&p.rig, 1);
  /* With nothing outstanding: gone. The place's next channel has its descriptor, unarmed. */
  sqcq_channel next = rig_channel(&p.rig, 8, 0, 0);
  assert_int_equal(sqcq_channel_fd(p.rig.engine, next), p.other_fd);
  assert_count(sqcq_channel_arm(p.rig.engine, next, 1), 0);
  assert_false(readable(p.other_fd));
  assert_ok(sqcq_channel_destroy(p.rig.engine, next));
  assert_true(readable(p.other_fd));
  assert_error(sqcq_channel_poll(p.rig.engine, next, &out, 1), -EPIPE);
  (void)rig_turns(&p.rig, 1);
  next = rig_channel(&p.rig, 8, 0, 0);
  assert_ok(rig_try(&p.rig, next, p.rig.file, 0, 3));
  uint64_t before = wakes(&p.rig);
  assert_int_equal(rig_turns(&p.rig, 2), 1);
  assert_int_equal(wakes(&p.rig), before);
  assert_true(rig_take_from(&p.rig, next, &out));
  assert_count(sqcq_channel_arm(p.rig.engine, next, 1), 0);
  assert_false(readable(p.other_fd));
  rig_end(&p.rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fd_is_made_once_and_closed_with_the_engine),
      cmocka_unit_test(fd_without_a_descriptor_left_changes_nothing),
      cmocka_unit_test(bad_input_is_refused),
      cmocka_unit_test(arm_with_enough_there_says_how_many),
      cmocka_unit_test(armed_channel_is_written_once_when_min_are_there),
      cmocka_unit_test(min_that_is_waived_makes_it_readable),
      cmocka_unit_test(credit_given_back_makes_it_readable),
      cmocka_unit_test(arm_then_wait_sleeps_as_if_never_armed),
      cmocka_unit_test(late_write_is_taken_back_by_the_next_arm),
      cmocka_unit_test(consumer_that_is_back_passes_the_wake_on),
      cmocka_unit_test(engine_does_not_sleep_on_wakes_that_are_passed_on),
      cmocka_unit_test(end_of_stream_makes_it_readable),
      cmocka_unit_test(destroy_makes_it_readable),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
