/*
 * Own lanes on the real ring, with an I/O thread that sleeps: producers with a lane each beside
 * others that share, each waiting for its answer, so that a request that is not seen is a test that
 * does not end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"
#include "support/rng.h"

#define PRODUCERS 4u /* two with lanes of their own, two without */
#define READS (SANITIZED ? 200u : 1000u)

static struct rig rig;
static struct io_thread io;

struct producer {
  pthread_t thread;
  sqcq_channel channel;
  bool own;
  int error; /* the first that was wrong */
  uint32_t done;
};

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.idle = SQCQ_IDLE_SLEEP;
  config.channels_max = PRODUCERS + 1;
  config.requests_max = 128;
  config.lanes_own = PRODUCERS;
  config.lanes_shared = 2;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  return 0;
}

/* One read and its answer. */
static int round_trip(const struct producer *producer, sqcq_lane lane, uint64_t page)
{
  struct sqcq_completion completion;
  struct sqcq_read read = {.file = rig.file,
                           .channel = producer->channel,
                           .offset = page * STAMP_PAGE,
                           .user_data = page,
                           .length = STAMP_PAGE};
  int n = sqcq_buffer_acquire(rig.engine, rig.pool, &read.buffer, 1);

  if (n != 1)
    return n < 0 ? n : -EIO;
  while ((n = producer->own ? sqcq_lane_request(rig.engine, lane, &read)
                            : sqcq_request(rig.engine, &read)) == -EAGAIN)
    (void)sched_yield(); /* shared lanes: both are held for a moment */
  if (n < 0)
    return n;
  n = sqcq_channel_wait(rig.engine, producer->channel, &completion, 1, 1, TEST_SOON_NS);
  if (n != 1 || completion.user_data != page || completion.result != (int)STAMP_PAGE ||
      !stamp_matches(completion.data, RIG_TAG, completion.offset, STAMP_PAGE))
    return n < 0 ? n : -EIO;
  return sqcq_buffer_release(rig.engine, &completion.buffer, 1) == 1 ? 0 : -EIO;
}

/* The lane is opened and closed now and then, and goes from hand to hand that way. */
static void *produce(void *argument)
{
  struct producer *producer = argument;
  sqcq_lane lane = {0};

  for (uint32_t i = 0; i < READS && producer->error == 0; i++) {
    if (producer->own && i % 16 == 0) {
      if (i > 0)
        producer->error = sqcq_lane_close(rig.engine, lane);
      if (producer->error == 0)
        producer->error = sqcq_lane_open(rig.engine, &lane);
    }
    if (producer->error == 0)
      producer->error = round_trip(producer, lane, i % RIG_PAGES);
    producer->done += producer->error == 0;
  }
  if (producer->own && producer->error == 0)
    producer->error = sqcq_lane_close(rig.engine, lane);
  return NULL;
}

/* Two reads at a distance, and both answers. */
static int pair_of_trips(const struct producer *producer, sqcq_lane lane, uint64_t distance)
{
  struct sqcq_completion completions[2];
  sqcq_buffer buffers[2];
  int n = sqcq_buffer_acquire(rig.engine, rig.pool, buffers, 2);

  if (n != 2)
    return n < 0 ? n : -EIO;
  for (uint32_t i = 0; i < 2; i++) {
    struct sqcq_read read = {
        .file = rig.file, .buffer = buffers[i], .channel = producer->channel, .length = STAMP_PAGE};

    n = sqcq_lane_request(rig.engine, lane, &read);
    if (n < 0)
      return n;
    for (; i == 0 && distance > 0; distance--)
      (void)sqcq__load_relaxed(&rig.engine->phase);
  }
  for (int taken = 0; taken < 2; taken += n) {
    n = sqcq_channel_wait(rig.engine, producer->channel, completions, 2, 1, TEST_SOON_NS);
    if (n <= 0)
      return n < 0 ? n : -ETIME;
  }
  return sqcq_buffer_release(rig.engine, buffers, 2) == 2 ? 0 : -EIO;
}

/* One alone, so that nobody else's wake makes up for one that is lost: the second read comes at any
 * moment of the I/O thread's doing the first and going to sleep. */
static void *produce_alone(void *argument)
{
  struct producer *producer = argument;
  struct rng rng;
  sqcq_lane lane;

  rng_seed(&rng, 0xa10e);
  producer->error = sqcq_lane_open(rig.engine, &lane);
  for (uint32_t i = 0; i < 30 * READS && producer->error == 0; i++) {
    producer->error = pair_of_trips(producer, lane, rng_below(&rng, 20000));
    producer->done += producer->error == 0;
  }
  return NULL;
}

static void lane_of_the_only_producer_always_wakes_the_io_thread(void **state)
{
  struct producer producer = {.channel = rig.channel, .own = true};

  io_thread_start(&io, rig.engine);
  assert_int_equal(pthread_create(&producer.thread, NULL, produce_alone, &producer), 0);
  assert_int_equal(pthread_join(producer.thread, NULL), 0);
  assert_ok(producer.error);
  assert_int_equal(producer.done, 30 * READS);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_int_equal(pthread_join(io.thread, NULL), 0);
  assert_ok(io.result);
  rig_read_rest(&rig, rig.channel);
  rig_destroy(&rig);
}

static void lanes_beside_shared_ones_lose_no_request_and_no_wake(void **state)
{
  struct sqcq_channel_config config = {.size = sizeof(config), .capacity = RIG_CAPACITY};
  struct producer producers[PRODUCERS] = {{0}};

  io_thread_start(&io, rig.engine);
  for (uint32_t i = 0; i < PRODUCERS; i++) {
    producers[i].own = i % 2 == 0;
    assert_ok(sqcq_channel_create(rig.engine, &config, &producers[i].channel));
    assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
  }
  for (uint32_t i = 0; i < PRODUCERS; i++) {
    assert_int_equal(pthread_join(producers[i].thread, NULL), 0);
    assert_ok(producers[i].error);
    assert_int_equal(producers[i].done, READS);
  }
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_int_equal(pthread_join(io.thread, NULL), 0);
  assert_ok(io.result);
  struct sqcq_stats stats = rig_stats(&rig);
  assert_int_equal(stats.accepted, PRODUCERS * READS);
  assert_true(stats.sleeps > 0);
  rig_read_rest(&rig, rig.channel);
  rig_destroy(&rig);
}

/* One thread plays all roles: a request in the lane keeps it from sleeping. */
static void lane_with_work_keeps_the_only_thread_awake(void **state)
{
  struct sqcq_completion completion;
  sqcq_lane lane;

  assert_ok(sqcq_lane_open(rig.engine, &lane));
  for (uint64_t page = 0; page < 20; page++) {
    struct sqcq_read read = rig_page(&rig, page);

    assert_ok(sqcq_lane_request(rig.engine, lane, &read));
    assert_count(sqcq_engine_wait(rig.engine, SQCQ_FOREVER), 1);
    assert_count(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 1);
    rig_check_page(&completion);
    assert_int_equal(completion.user_data, page);
    rig_release(&rig, completion.buffer);
  }
  assert_ok(sqcq_lane_close(rig.engine, lane));
  rig_end(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(lanes_beside_shared_ones_lose_no_request_and_no_wake, setup),
      cmocka_unit_test_setup(lane_of_the_only_producer_always_wakes_the_io_thread, setup),
      cmocka_unit_test_setup(lane_with_work_keeps_the_only_thread_awake, setup),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
