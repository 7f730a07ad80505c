/* sqcq-test: timeout 400 */
/*
 * Many producers that sleep where they are refused, against lanes of two slots, a channel of three and a pool of
 * four, so that each bound refuses all the time. Each has its reads answered exactly once; nobody
 * sleeps for ever while there is room: the watchdog ends a round in which nothing gets on. Some wait for ever, some
 * for a moment, and take wakes with them as they leave; some have an eventfd written, and some of these change
 * their minds. In the end the engine stops under all that still sleep.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress/crowd.h"
#include "support/kernel.h"

#include <sqcq/sqcq.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(SQCQ__TSAN)
#define PRODUCERS 24u
#define QUOTA 60u
#define ROUNDS 1
#elif defined(SQCQ__ASAN)
#define PRODUCERS 64u
#define QUOTA 100u
#define ROUNDS 1
#else
#define PRODUCERS 64u
#define QUOTA 300u
#define ROUNDS 2
#endif

#define CAPACITY 3u
#define BUFFERS 4u
#define WATCH_SECONDS 120u

struct field {
  struct sqcq_engine *engine;
  sqcq_file file;
  sqcq_pool pool;
  sqcq_channel channel;
  struct verdict verdict;
  atomic_uint answered[PRODUCERS];
  atomic_uint finished; /* producers */
  atomic_uint waits, timeouts, notices, taken_back;
  uint64_t seed;
};

static struct field field;

#define check(condition) verdict_check(&field.verdict, (condition))

/* A round that lasts too long is a hang. */
static void on_alarm(int number)
{
  (void)number;
  struct sqcq_stats s;

  if (sqcq_engine_stats(field.engine, &s, sizeof(s)) == 0)
    dprintf(2,
            "stress: somebody sleeps on: accepted %llu, completed %llu, %u producers are through\n",
            (unsigned long long)s.accepted, (unsigned long long)s.completed,
            atomic_load(&field.finished));
  abort();
}

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

struct producer {
  uint32_t index;
  struct rng rng;
  int eventfd;
};

/* By an eventfd, for which it waits as an event loop does, or not at all. */
static int wait_by_notice(struct producer *me, unsigned bound, uint64_t id)
{
  struct pollfd watch = {.fd = me->eventfd, .events = POLLIN};
  sqcq_notice notice;
  uint64_t count;
  int there = sqcq_request_notify(field.engine, bound, id, me->eventfd, &notice);

  if (there == -ENOSPC)
    return sqcq_request_wait(field.engine, bound, id, SQCQ_FOREVER);
  if (there != 0)
    return there > 0 ? 0 : there;
  atomic_fetch_add(&field.notices, 1);
  if (rng_percent(&me->rng,
                  30)) { /* it changes its mind; and registers with another eventfd next */
    if (rng_percent(&me->rng, 50))
      (void)sched_yield();
    int error = sqcq_request_unnotify(field.engine, notice);
    check(error == 0 || error == -ESTALE);
    if (error == 0) {
      atomic_fetch_add(&field.taken_back, 1);
      check(poll(&watch, 1, 0) == 0); /* nothing was written, and nothing will be */
    }
    close(me->eventfd);
    me->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(me->eventfd >= 0);
    return 0;
  }
  while (poll(&watch, 1, -1) < 0)
    check(errno == EINTR);
  check(read(me->eventfd, &count, sizeof(count)) == sizeof(count));
  check(count == 1);
  check(sqcq_request_unnotify(field.engine, notice) == -ESTALE);
  return 0;
}

static int wait_for(struct producer *me, unsigned bound, uint64_t id)
{
  uint64_t choice = rng_below(&me->rng, 10);

  atomic_fetch_add(&field.waits, 1);
  if (choice < 2)
    return wait_by_notice(me, bound, id);
  if (choice < 7)
    return sqcq_request_wait(field.engine, bound, id, SQCQ_FOREVER);
  int error = sqcq_request_wait(field.engine, bound, id, (int64_t)rng_below(&me->rng, 200000));
  if (error == -ETIMEDOUT) {
    atomic_fetch_add(&field.timeouts, 1);
    return 0;
  }
  return error;
}

/* False: the engine stops. */
static bool ask(struct producer *me, uint64_t sequence)
{
  struct sqcq_read read = {.file = field.file,
                           .channel = field.channel,
                           .offset = 0,
                           .length = 8,
                           .user_data = (uint64_t)me->index << 32 | sequence};
  int error;

  for (;;) {
    int n = sqcq_buffer_acquire(field.engine, field.pool, &read.buffer, 1);

    if (n == 1)
      break;
    check(n == -ENOBUFS);
    error = wait_for(me, SQCQ_BOUND_POOL, field.pool.id);
    if (error < 0) {
      check(error == -ESHUTDOWN);
      return false;
    }
  }
  while ((error = sqcq_request(field.engine, &read)) < 0) {
    if (error == -EAGAIN)
      error = wait_for(me, SQCQ_BOUND_LANES, 0);
    else if (error == -EXFULL)
      error = wait_for(me, SQCQ_BOUND_CHANNEL, field.channel.id);
    if (error < 0) {
      check(error == -ESHUTDOWN);
      check(sqcq_buffer_release(field.engine, &read.buffer, 1) == 1);
      return false;
    }
  }
  return true;
}

static void *produce(void *argument)
{
  struct producer *me = argument;
  uint64_t sequence = 0;

  while (sequence < QUOTA && !verdict_is_bad(&field.verdict) && ask(me, sequence))
    sequence++;
  atomic_fetch_add(&field.finished, 1);
  close(me->eventfd);
  return (void *)(uintptr_t)sequence;
}

/* ------------------------------------------------------------------------- */
/* The others                                                                */
/* ------------------------------------------------------------------------- */

static void *consume(void *argument)
{
  struct sqcq_completion completions[2];
  int n;

  while ((n = sqcq_channel_wait(field.engine, field.channel, completions, 2, 1, SQCQ_FOREVER)) > 0)
    for (int i = 0; i < n; i++) {
      atomic_fetch_add(&field.answered[completions[i].user_data >> 32], 1);
      check(sqcq_buffer_release(field.engine, &completions[i].buffer, 1) == 1);
    }
  check(n == -ESHUTDOWN);
  return argument;
}

static void *turn(void *argument)
{
  check(sqcq_engine_run(field.engine) == 0);
  return argument;
}

static void make_field(void)
{
  struct sqcq_engine_config config;
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = CAPACITY};
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = BUFFERS, .align = 64, .buffer_size = 64};
  int fd = memfd_create("stress_room", MFD_CLOEXEC);

  memset(&field, 0, sizeof(field));
  assert_true(fd >= 0);
  assert_ok(ftruncate(fd, 4096));
  sqcq_engine_config_init(&config);
  config.depth = 4;
  config.channels_max = 1;
  config.requests_max = CAPACITY;
  config.lanes_shared = 1;
  config.lane_slots = 2;
  config.notices_max = 8;
  assert_ok(sqcq_engine_create(&field.engine, &config, NULL));
  assert_ok(sqcq_file_add(field.engine, fd, &field.file));
  close(fd);
  assert_ok(sqcq_pool_create(field.engine, &pool, &field.pool));
  assert_ok(sqcq_channel_create(field.engine, &channel, &field.channel));
}

/* stop_after: producers that are through when the engine stops. */
static void play(struct rng *rng, uint32_t stop_after)
{
  static struct producer producers[PRODUCERS];
  pthread_t threads[PRODUCERS], io, consumer;
  struct sqcq_stats stats;

  make_field();
  (void)signal(SIGALRM, on_alarm);
  (void)alarm(WATCH_SECONDS * (PRODUCERS == 64 ? 1 : 2));
  assert_int_equal(pthread_create(&io, NULL, turn, NULL), 0);
  assert_int_equal(pthread_create(&consumer, NULL, consume, NULL), 0);
  for (uint32_t i = 0; i < PRODUCERS; i++) {
    producers[i].index = i;
    producers[i].eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(producers[i].eventfd >= 0);
    rng_split(rng, &producers[i].rng);
    assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
  }
  while (atomic_load(&field.finished) < stop_after && !verdict_is_bad(&field.verdict))
    test_sleep_ns(1000000);
  assert_ok(sqcq_engine_stop(field.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  uint64_t sum = 0;
  for (uint32_t i = 0; i < PRODUCERS; i++) {
    void *asked;

    assert_int_equal(pthread_join(threads[i], &asked), 0);
    producers[i].index = (uint32_t)(uintptr_t)asked;
    sum += (uintptr_t)asked;
  }
  assert_int_equal(pthread_join(io, NULL), 0);
  assert_int_equal(pthread_join(consumer, NULL), 0);
  (void)alarm(0);
  assert_verdict(&field.verdict);
  for (uint32_t i = 0; i < PRODUCERS; i++)
    assert_int_equal(atomic_load(&field.answered[i]), producers[i].index);
  assert_ok(sqcq_engine_stats(field.engine, &stats, sizeof(stats)));
  assert_int_equal(stats.accepted, sum);
  assert_int_equal(stats.completed, sum);
  if (stop_after == PRODUCERS)
    assert_int_equal(sum, PRODUCERS * QUOTA);
  printf("%llu reads; refused: lanes %llu, channel %llu, pool %llu; waits %u, %u by time; sleeps "
         "%llu, "
         "wakes %llu; notices %u, %u taken back, %llu fired\n",
         (unsigned long long)sum, (unsigned long long)stats.refused_again,
         (unsigned long long)stats.refused_full, (unsigned long long)stats.refused_no_buffers,
         atomic_load(&field.waits), atomic_load(&field.timeouts),
         (unsigned long long)stats.producer_sleeps, (unsigned long long)stats.producer_wakes,
         atomic_load(&field.notices), atomic_load(&field.taken_back),
         (unsigned long long)stats.notices_fired);
  crowd_operations += sum;
  crowd_faults += stats.refused_again + stats.refused_full + stats.refused_no_buffers;
  assert_ok(sqcq_engine_destroy(field.engine, NULL));
}

static void producers_that_sleep_are_all_served(void **state)
{
  struct crowd_soak soak = crowd_soak(ROUNDS);
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(0x700a));
  while (crowd_next_round(&soak))
    play(&rng, PRODUCERS);
}

static void stop_wakes_all_that_sleep(void **state)
{
  struct crowd_soak soak = crowd_soak(ROUNDS);
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(0x570b));
  while (crowd_next_round(&soak))
    play(&rng, 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(producers_that_sleep_are_all_served),
      cmocka_unit_test(stop_wakes_all_that_sleep),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
