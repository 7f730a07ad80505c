/*
 * A consumer waits while another thread turns the engine: for one, for a batch, for a time, for the
 * end; and channels are destroyed under consumers that wait.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#define LONG (60000 * MS) /* never reached where all is well */

/* A rig with an I/O thread, and a pipe that answers when it is told to. */
struct stage {
  struct rig rig;
  struct io_thread io;
  sqcq_file pipe;
  int ends[2];
};

static struct stage stage;
static uint32_t spin_ns; /* how long consumers look again before they sleep */

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.consumer_spin_ns = spin_ns;
  rig_make_with(&stage.rig, &config, RIG_CAPACITY);
  assert_int_equal(pipe2(stage.ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(stage.rig.engine, stage.ends[0], &stage.pipe));
  io_thread_start(&stage.io, stage.rig.engine);
  return 0;
}

static int teardown(void **state)
{
  close(stage.ends[0]);
  assert_ok(sqcq_engine_stop(stage.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  io_thread_join(&stage.io);
  rig_read_rest(&stage.rig, stage.rig.channel);
  close(stage.ends[1]);
  rig_destroy(&stage.rig);
  return 0;
}

/* One-byte reads of the pipe. */
static void ask(sqcq_channel channel, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    struct sqcq_read read = {.file = stage.pipe,
                             .buffer = rig_buffer(&stage.rig),
                             .channel = channel,
                             .offset = SQCQ_OFFSET_CURRENT,
                             .length = 1};

    assert_ok(sqcq_request(stage.rig.engine, &read));
  }
}

static void answer(uint32_t count)
{
  for (uint32_t i = 0; i < count; i++)
    assert_int_equal(write(stage.ends[1], "x", 1), 1);
}

static int wait_for(struct sqcq_completion *completions, uint32_t max, uint32_t min,
                    int64_t timeout_ns)
{
  int n = sqcq_channel_wait(stage.rig.engine, stage.rig.channel, completions, max, min, timeout_ns);

  for (int i = 0; i < n; i++)
    rig_release(&stage.rig, completions[i].buffer);
  return n;
}

/* Never before its time, and of some tries at least one on time: a busy machine may delay others. */
static void check_time(int64_t timeout_ns)
{
  struct sqcq_completion completions[4];
  int64_t best = INT64_MAX;

  for (int i = 0; i < 5; i++) {
    int64_t start = test_now_ns();

    assert_count(wait_for(completions, 4, 1, timeout_ns), 0);
    int64_t took = test_now_ns() - start;
    assert_true(took >= timeout_ns);
    best = took < best ? took : best;
  }
  if (best > timeout_ns + 300 * MS)
    fail_msg("%d ms became %d ms", (int)(timeout_ns / MS), (int)(best / MS));
}

static void wait_without_answers_ends_with_the_time(void **state)
{
  struct sqcq_completion completion;

  check_time(0);
  check_time(MS);
  check_time(20 * MS); /* nothing was asked for */
  ask(stage.rig.channel, 1);
  check_time(20 * MS); /* and no answer has come */
  answer(1);
  assert_count(wait_for(&completion, 1, 1, LONG), 1);
}

static void wait_takes_what_there_is_when_the_time_has_passed(void **state)
{
  struct sqcq_completion completions[4];

  ask(stage.rig.channel, 4);
  answer(2);
  assert_soon(rig_stats(&stage.rig).completed == 2);
  int64_t start = test_now_ns();
  assert_count(wait_for(completions, 4, 3, 20 * MS), 2);
  assert_true(test_now_ns() - start >= 20 * MS);
  answer(2);
  assert_count(wait_for(completions, 4, 2, LONG), 2);
}

static void wait_takes_no_more_than_max(void **state)
{
  struct sqcq_completion completions[4];

  ask(stage.rig.channel, 6);
  answer(6);
  assert_soon(rig_stats(&stage.rig).completed == 6);
  assert_count(wait_for(completions, 4, 1, LONG), 4);
  assert_count(wait_for(completions, 1, 1, LONG), 1);
  assert_count(wait_for(completions, 4, 1, LONG), 1);
}

/* Every request accepted has been answered: nothing more can come, so fewer than min are enough. */
static void wait_for_a_batch_does_not_hang_on_reads_that_were_not_asked_for(void **state)
{
  struct sqcq_completion completions[8];

  for (uint32_t count = 1; count < 8; count++) {
    ask(stage.rig.channel, count);
    answer(count);
    assert_count(wait_for(completions, 8, 8, LONG), (int)count);
  }
}

struct consumer {
  struct rig *rig;
  sqcq_channel channel;
  uint32_t min;
  int result;
  _Atomic bool done;
  struct sqcq_completion completions[8];
};

static void *consume(void *argument)
{
  struct consumer *consumer = argument;

  consumer->result = sqcq_channel_wait(consumer->rig->engine, consumer->channel,
                                       consumer->completions, 8, consumer->min, SQCQ_FOREVER);
  atomic_store(&consumer->done, true);
  return NULL;
}

static pthread_t start_on(struct rig *rig, struct consumer *consumer, sqcq_channel channel,
                          uint32_t min)
{
  pthread_t thread;

  consumer->rig = rig;
  consumer->channel = channel;
  consumer->min = min;
  consumer->result = 12345;
  atomic_store(&consumer->done, false);
  assert_int_equal(pthread_create(&thread, NULL, consume, consumer), 0);
  return thread;
}

static pthread_t start(struct consumer *consumer, sqcq_channel channel, uint32_t min)
{
  return start_on(&stage.rig, consumer, channel, min);
}

static int finish(struct consumer *consumer, pthread_t thread)
{
  assert_int_equal(pthread_join(thread, NULL), 0);
  for (int i = 0; i < consumer->result; i++)
    rig_release(consumer->rig, consumer->completions[i].buffer);
  return consumer->result;
}

static void sleeping_consumer_is_woken_for_a_batch_not_before(void **state)
{
  struct consumer consumer;

  ask(stage.rig.channel, 8);
  pthread_t thread = start(&consumer, stage.rig.channel, 4);
  assert_soon(rig_stats(&stage.rig).consumer_sleeps > 0);
  uint64_t wakes = rig_stats(&stage.rig).consumer_wakes;
  for (uint64_t i = 1; i <= 3; i++) {
    answer(1);
    assert_soon(rig_stats(&stage.rig).completed == i);
  }
  assert_false(atomic_load(&consumer.done));
  assert_int_equal(rig_stats(&stage.rig).consumer_wakes, wakes);
  answer(1);
  assert_count(finish(&consumer, thread), 4);
  assert_soon(rig_stats(&stage.rig).consumer_wakes == wakes + 1);
  answer(4);
  struct sqcq_completion completions[8];
  assert_count(wait_for(completions, 8, 8, LONG), 4);
}

static void sleeping_consumer_is_woken_by_stop(void **state)
{
  struct sqcq_completion completion;
  struct consumer consumer;
  struct io_thread io;
  struct rig r;

  for (int asked = 0; asked < 2; asked++) {
    rig_make(&r);
    io_thread_start(&io, r.engine);
    if (asked == 1) {
      sqcq_file file;

      assert_ok(sqcq_file_add(r.engine, stage.ends[0], &file));
      rig_request_stream(&r, r.channel, file, 1);
    }
    pthread_t thread = start_on(&r, &consumer, r.channel, 4);
    assert_soon(rig_stats(&r).consumer_sleeps > 0);
    assert_ok(sqcq_engine_stop(r.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    assert_count(finish(&consumer, thread), asked == 1 ? 1 : -ESHUTDOWN);
    io_thread_join(&io);
    assert_error(sqcq_channel_wait(r.engine, r.channel, &completion, 1, 1, SQCQ_FOREVER),
                 -ESHUTDOWN);
    rig_destroy(&r);
  }
}

/* ------------------------------------------------------------------------- */
/* Destroyed under a consumer                                                */
/* ------------------------------------------------------------------------- */

static sqcq_channel make_channel(void)
{
  struct sqcq_channel_config config = {.size = sizeof(config), .capacity = 8};
  sqcq_channel channel = {0};
  int error;

  /* The I/O thread gives the last one's place back in its next turn. */
  assert_soon((error = sqcq_channel_create(stage.rig.engine, &config, &channel)) != -ENOSPC);
  assert_ok(error);
  return channel;
}

static void destroy(sqcq_channel channel)
{
  int error;

  /* -EBUSY: the consumer that was woken is still inside. */
  assert_soon((error = sqcq_channel_destroy(stage.rig.engine, channel)) != -EBUSY);
  assert_ok(error);
}

static void sleeping_consumer_of_a_destroyed_channel_finds_its_end(void **state)
{
  struct consumer consumer;

  for (int i = 0; i < 50; i++) {
    sqcq_channel channel = make_channel();
    uint64_t sleeps = rig_stats(&stage.rig).consumer_sleeps;
    pthread_t thread = start(&consumer, channel, 1 + (uint32_t)i % 8);

    if (i % 2 == 0)
      assert_soon(rig_stats(&stage.rig).consumer_sleeps > sleeps);
    destroy(channel);
    assert_error(finish(&consumer, thread), -EPIPE);
  }
}

/* The next channel in the same place gets its wakes, whatever the last one's consumer still does. */
static void consumer_of_the_next_channel_in_the_place_is_woken(void **state)
{
  for (int i = 0; i < (SANITIZED ? 50 : 300); i++) {
    struct consumer consumers[2];
    sqcq_channel channel = make_channel();
    pthread_t first = start(&consumers[0], channel, 1);

    destroy(channel);
    sqcq_channel next = make_channel();
    pthread_t second = start(&consumers[1], next, 2);
    ask(next, 2);
    answer(2);
    assert_count(finish(&consumers[1], second), 2);
    assert_error(finish(&consumers[0], first), -EPIPE);
    destroy(next);
  }
}

/* What was asked for before the channel was closed still comes, to a consumer asleep. */
static void closed_channel_wakes_its_consumer_for_the_rest(void **state)
{
  for (int i = 0; i < 30; i++) {
    struct consumer consumer;
    sqcq_channel channel = make_channel();

    ask(channel, 3);
    pthread_t thread = start(&consumer, channel, 8);
    assert_error(sqcq_channel_destroy(stage.rig.engine, channel), -EBUSY);
    answer(3);
    assert_count(finish(&consumer, thread), 3);
    destroy(channel);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(wait_without_answers_ends_with_the_time),
      CASE(wait_takes_what_there_is_when_the_time_has_passed),
      CASE(wait_takes_no_more_than_max),
      CASE(wait_for_a_batch_does_not_hang_on_reads_that_were_not_asked_for),
      CASE(sleeping_consumer_is_woken_for_a_batch_not_before),
      CASE(sleeping_consumer_is_woken_by_stop),
      CASE(sleeping_consumer_of_a_destroyed_channel_finds_its_end),
      CASE(consumer_of_the_next_channel_in_the_place_is_woken),
      CASE(closed_channel_wakes_its_consumer_for_the_rest),
  };

  require_io_uring();
  int failed = cmocka_run_group_tests_name("consumers sleep at once", tests, NULL, NULL);
  spin_ns = 200000;
  return failed + cmocka_run_group_tests_name("consumers look again", tests, NULL, NULL);
}
