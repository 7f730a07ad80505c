/* sqcq-test: timeout 400 */
/*
 * Sleeps outside, in epoll: against threads that race with each step of them.
 *
 * The litmus, for a consumer and for the I/O thread: all start a round together, each a random moment
 * late; one arms, and sleeps in epoll where that says so; the other publishes and wakes. If the
 * sleeper sleeps on after the waker is done, and its descriptor is not readable, a wake is lost. That
 * is seen after the fact and not guessed from a timeout.
 *
 * The traffic: producers on threads, an I/O thread that sleeps in epoll, and consumers that sleep in
 * epoll or in sqcq_channel_wait(), as the moment takes them. A lost wake is a hang.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/thread.h"
#include "engine/engine.h"
#include "stress/crowd.h"
#include "support/kernel.h"

#include "base/mem.h"

#include <sys/epoll.h>
#include <sys/mman.h>

#define MS INT64_C(1000000)
#define LITMUS_ROUNDS 100000u
#define PRODUCERS 2u
#define CONSUMERS 2u
#define READS 12000u /* of each producer */
#define CAPACITY 8u
#define LENGTH 64u

static struct crowd crowd;

static int epoll_with(int fd, uint32_t events)
{
  struct epoll_event event = {.events = EPOLLIN | events};
  int epoll = epoll_create1(EPOLL_CLOEXEC);

  assert_true(epoll >= 0 && fd >= 0);
  assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
  return epoll;
}

/* Whether it became readable within so many milliseconds. A sleep that a signal ends counts. */
static bool sleep_in(int epoll, int ms)
{
  struct epoll_event event;

  return epoll_wait(epoll, &event, 1, ms) != 0;
}

/* ------------------------------------------------------------------------- */
/* Litmus                                                                    */
/* ------------------------------------------------------------------------- */

static struct litmus {
  struct sqcq_engine *engine;
  struct sqcq__channel *inner; /* of the channel, whose one credit is always taken */
  sqcq_channel channel;
  int epoll;
  uint32_t rounds;
  atomic_uint done; /* rounds' wakes */
  uint64_t slept;
} litmus;

static void make_litmus(bool of_engine)
{
  struct sqcq_engine_config config;

  litmus = (struct litmus){.rounds = crowd_scaled(LITMUS_ROUNDS)};
  sqcq_engine_config_init(&config);
  config.flags = SQCQ_ENGINE_EVENT_LOOP;
  config.channels_max = 1;
  assert_ok(sqcq_engine_create(&litmus.engine, &config, NULL));
  assert_ok(sqcq_channel_create(litmus.engine, NULL, &litmus.channel));
  litmus.inner = &litmus.engine->channels[sqcq__handle_index(litmus.channel.id)];
  litmus.epoll = epoll_with(of_engine ? sqcq_engine_fd(litmus.engine)
                                      : sqcq_channel_fd(litmus.engine, litmus.channel),
                            0);
}

static void unmake_litmus(void)
{
  close(litmus.epoll);
  if (sqcq__phase(litmus.engine) != SQCQ__PHASE_CREATED) { /* by a thread that has ended */
    sqcq__store_relaxed(&litmus.engine->owner, sqcq__thread_self());
    sqcq__ring_destroy(litmus.engine->ring);
    litmus.engine->ring = NULL;
    sqcq__store_release(&litmus.engine->phase, SQCQ__PHASE_STOPPED);
  }
  assert_ok(sqcq_engine_destroy(litmus.engine, NULL));
}

static bool sleep_or_lose(struct crowd_member *me, uint32_t round)
{
  litmus.slept++;
  while (!sleep_in(litmus.epoll, 2)) {
    if (atomic_load(&litmus.done) == round && !sleep_in(litmus.epoll, 0)) {
      crowd_fail(me, "a wake was lost: it has published and looked, and I sleep");
      return false;
    }
    if (!crowd_good(me))
      return false;
  }
  return true;
}

/* One completion, as a turn gives it out. */
static void publish_completion(void)
{
  struct sqcq_completion completion = {.result = 1};

  sqcq__channel_push(litmus.inner, &completion);
  sqcq__channel_publish(litmus.inner);
  sqcq__waiters_fence();
  (void)sqcq__channel_wake(litmus.inner, false);
}

static bool take_completion(struct crowd_member *me, uint32_t round)
{
  struct sqcq_completion out;

  for (;;) {
    int work = sqcq_channel_arm(litmus.engine, litmus.channel, 1);

    crowd_check(me, work >= 0);
    if (work == 0 && !sleep_or_lose(me, round))
      return false;
    if (sqcq__channel_pop(litmus.inner, &out, 1) == 1)
      return true;
  }
}

static void consumer_rounds(struct crowd_member *me)
{
  for (uint32_t round = 1; round <= litmus.rounds; round++) {
    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 100));
    if (me->index == 0) {
      if (!take_completion(me, round))
        return;
    } else {
      publish_completion();
      atomic_fetch_add(&litmus.done, 1);
      crowd_progress(me);
    }
    if (!crowd_meet(me, 2 * round + 1))
      return;
  }
}

/* A control word, as any call that asks for a turn posts it. */
static void engine_rounds(struct crowd_member *me)
{
  for (uint32_t round = 1; round <= litmus.rounds; round++) {
    if (!crowd_meet(me, 2 * round))
      return;
    crowd_spin(rng_below(&me->rng, 100));
    if (me->index != 0) {
      sqcq__control_post(&litmus.engine->control, 1u << 31);
      sqcq__sleeper_wake(&litmus.engine->sleeper);
      atomic_fetch_add(&litmus.done, 1);
      crowd_progress(me);
    } else {
      while (sqcq__control_take(&litmus.engine->control) == 0) {
        int work = sqcq_engine_arm(litmus.engine);

        crowd_check(me, work >= 0);
        if (work == 0 && !sleep_or_lose(me, round))
          return;
      }
    }
    if (!crowd_meet(me, 2 * round + 1))
      return;
  }
}

static void play_litmus(const char *scenario, bool of_engine, uint64_t seed)
{
  struct crowd_soak soak = crowd_soak_of(scenario, 1);
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(seed));
  while (crowd_next_round(&soak)) {
    make_litmus(of_engine);
    if (!of_engine) /* one more request is always owed, or a `min` of 1 would be waived */
      sqcq__add_seq(&litmus.inner->credit.word, 2);
    crowd_start(&crowd, 2, CROWD_LEFT_ALONE, &rng, of_engine ? engine_rounds : consumer_rounds);
    crowd_join(&crowd);
    print_message("%u rounds, slept in %llu\n", litmus.rounds, (unsigned long long)litmus.slept);
    if (!of_engine)
      sqcq__credit_give(&litmus.inner->credit, 2);
    unmake_litmus();
  }
}

static void armed_consumer_loses_no_wake(void **state)
{
  (void)state;
  play_litmus(__func__, false, 0xa23edc);
}

static void armed_io_thread_loses_no_wake(void **state)
{
  (void)state;
  play_litmus(__func__, true, 0xa23ed1);
}

/* ------------------------------------------------------------------------- */
/* Traffic                                                                   */
/* ------------------------------------------------------------------------- */

static struct field {
  struct sqcq_engine *engine;
  sqcq_file file;
  sqcq_pool pool;
  sqcq_channel channels[CONSUMERS];
  int engine_epoll;
  int epolls[CONSUMERS];
  uint32_t reads;
  atomic_uint producing;
  _Atomic uint64_t taken;
  uint64_t io_sleeps;
} field;

static void make_field(uint32_t flags, uint32_t events)
{
  struct sqcq_engine_config config;
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = CAPACITY};
  struct sqcq_pool_config pool = {.size = sizeof(pool),
                                  .count = CONSUMERS * CAPACITY + PRODUCERS,
                                  .align = 64,
                                  .buffer_size = LENGTH};
  int fd = memfd_create("stress_armed", MFD_CLOEXEC);

  field = (struct field){.reads = crowd_scaled(READS)};
  assert_true(fd >= 0);
  assert_ok(ftruncate(fd, 4096));
  sqcq_engine_config_init(&config);
  config.flags = SQCQ_ENGINE_EVENT_LOOP | flags;
  config.depth = 16;
  config.channels_max = CONSUMERS;
  assert_ok(sqcq_engine_create(&field.engine, &config, NULL));
  assert_ok(sqcq_file_add(field.engine, fd, &field.file));
  close(fd);
  assert_ok(sqcq_pool_create(field.engine, &pool, &field.pool));
  field.engine_epoll = epoll_with(sqcq_engine_fd(field.engine), events);
  for (uint32_t i = 0; i < CONSUMERS; i++) {
    assert_ok(sqcq_channel_create(field.engine, &channel, &field.channels[i]));
    field.epolls[i] = epoll_with(sqcq_channel_fd(field.engine, field.channels[i]), events);
  }
  atomic_store(&field.producing, PRODUCERS);
}

static void unmake_field(void)
{
  struct sqcq_stats stats;

  assert_ok(sqcq_engine_stats(field.engine, &stats, sizeof(stats)));
  print_message(
      "%llu reads, %llu sleeps of the I/O thread, %llu of consumers, %llu and %llu wakes\n",
      (unsigned long long)stats.completed, (unsigned long long)stats.sleeps,
      (unsigned long long)stats.consumer_sleeps, (unsigned long long)stats.io_wakes,
      (unsigned long long)stats.consumer_wakes);
  assert_int_equal(stats.accepted, (uint64_t)PRODUCERS * field.reads);
  assert_int_equal(stats.completed, stats.accepted);
  assert_int_equal(atomic_load(&field.taken), stats.accepted);
  assert_int_equal(stats.cq_overflow, 0);
  close(field.engine_epoll);
  for (uint32_t i = 0; i < CONSUMERS; i++)
    close(field.epolls[i]);
  assert_ok(sqcq_engine_destroy(field.engine, NULL));
}

static void sleep_or_fail(struct crowd_member *me, int epoll, const char *text)
{
  if (!sleep_in(epoll, (int)(CROWD_PATIENCE_NS / MS)))
    crowd_fail(me, text);
}

static void turn(struct crowd_member *me)
{
  int n = 0;

  while (n >= 0 && crowd_good(me)) {
    int work = sqcq_engine_arm(field.engine);

    if (work == 0)
      sleep_or_fail(me, field.engine_epoll, "the I/O thread was not woken");
    n = work < 0 ? work : sqcq_engine_poll(field.engine);
    crowd_progress(me);
    crowd_jitter(&me->rng);
  }
  crowd_check(me, n == -ESHUTDOWN);
}

static void consume(struct crowd_member *me, uint32_t index)
{
  sqcq_channel channel = field.channels[index];
  struct sqcq_completion out[4];

  while (crowd_good(me)) {
    int n = 0;
    uint32_t min = (uint32_t)rng_between(&me->rng, 1, 3);

    if (rng_percent(&me->rng, 60)) {
      int more = sqcq_channel_arm(field.engine, channel, min);

      crowd_check(me, more >= 0);
      if (more == 0 && rng_percent(&me->rng, 80))
        sleep_or_fail(me, field.epolls[index], "a consumer was not woken");
      n = sqcq_channel_poll(field.engine, channel, out, 4);
    } else {
      n = sqcq_channel_wait(field.engine, channel, out, 4, min,
                            rng_percent(&me->rng, 80) ? CROWD_PATIENCE_NS : 1000);
    }
    if (n == -ESHUTDOWN)
      return;
    crowd_check(me, n >= 0);
    for (int i = 0; i < n; i++) {
      if (out[i].result != (int)LENGTH && !crowd_interrupted(me, out[i].result, out[i].flags))
        verdict_fail(&me->crowd->verdict, "a read says %d, flags %u", out[i].result, out[i].flags);
      crowd_check(me, sqcq_buffer_release(field.engine, &out[i].buffer, 1) == 1);
    }
    if (n > 0)
      atomic_fetch_add(&field.taken, (uint64_t)n);
    crowd_progress(me);
    crowd_jitter(&me->rng);
  }
}

static void produce(struct crowd_member *me)
{
  for (uint32_t i = 0; i < field.reads && crowd_good(me);) {
    struct sqcq_read read = {.file = field.file,
                             .channel = field.channels[rng_below(&me->rng, CONSUMERS)],
                             .length = LENGTH};

    if (sqcq_buffer_acquire(field.engine, field.pool, &read.buffer, 1) != 1) {
      (void)sched_yield();
      continue;
    }
    int error = sqcq_request(field.engine, &read);
    if (error == 0) {
      i++;
    } else {
      crowd_check(me, error == -EXFULL || error == -EAGAIN);
      crowd_check(me, sqcq_buffer_release(field.engine, &read.buffer, 1) == 1);
      (void)sched_yield();
    }
    crowd_progress(me);
    crowd_jitter(&me->rng);
  }
  if (atomic_fetch_sub(&field.producing, 1) == 1)
    crowd_check(me, sqcq_engine_stop(field.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
}

static void act(struct crowd_member *me)
{
  if (me->index == 0)
    turn(me);
  else if (me->index <= CONSUMERS)
    consume(me, me->index - 1);
  else
    produce(me);
}

static void everybody_in_epoll_reads_everything(void **state)
{
  static const struct {
    uint32_t flags, events;
  } rounds[] = {{0, 0}, {0, EPOLLET}, {SQCQ_ENGINE_NO_DEFER, EPOLLET}};
  struct crowd_soak soak = crowd_soak(3);
  struct rng rng;
  uint32_t round = 0;

  (void)state;
  rng_seed(&rng, rng_seed_from_env(0xa23ed));
  for (; crowd_next_round(&soak); round++) {
    make_field(rounds[round % 3].flags, rounds[round % 3].events);
    crowd_start(&crowd, 1 + CONSUMERS + PRODUCERS, CROWD_JOSTLED, &rng, act);
    crowd_join(&crowd);
    unmake_field();
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(armed_consumer_loses_no_wake),
      cmocka_unit_test(armed_io_thread_loses_no_wake),
      cmocka_unit_test(everybody_in_epoll_reads_everything),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
