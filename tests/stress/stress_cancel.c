/* sqcq-test: timeout 120 */
/*
 * Threads that ask pipes which nobody writes to, and threads that cancel those reads, at once, on the
 * real ring. Only cancels and deadlines end a read, so one that is overlooked hangs its producer. Each
 * producer asks, cancels its own read by user_data (which must find it: its request has returned),
 * and asks for another with the same user_data at once (which that cancel must not find). Others
 * cancel what they have never seen: a channel of bystanders, whose reads go on asking again.
 *
 *   SQCQ_SEED, SQCQ_STRESS_PERCENT, SQCQ_SOAK_SECONDS    see crowd.h
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "engine/engine.h"
#include "stress/crowd.h"

#include <fcntl.h>
#include <string.h>

#define PRODUCERS 4u
#define CANCELLERS 2u
#define CREDITS 4u
#define ROUNDS 600u

static struct world {
  struct sqcq_engine *engine;
  sqcq_channel channels[PRODUCERS], shared;
  sqcq_pool pool;
  sqcq_file pipe;
  int ends[2];
  int io_result;
  atomic_uint producing;
  uint64_t asked[PRODUCERS], answered[PRODUCERS], reports[PRODUCERS];
} world;

static struct crowd crowd;
static struct rng seeded;

static int ask(sqcq_channel channel, uint64_t user_data, int64_t deadline_ns)
{
  struct sqcq_read read = {.file = world.pipe,
                           .channel = channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .user_data = user_data,
                           .length = 1,
                           .deadline_ns = (uint64_t)deadline_ns};
  int error;

  while (sqcq_buffer_acquire(world.engine, world.pool, &read.buffer, 1) != 1)
    (void)sched_yield();
  while ((error = sqcq_request(world.engine, &read)) == -EAGAIN)
    (void)sched_yield();
  if (error < 0 && sqcq_buffer_release(world.engine, &read.buffer, 1) != 1)
    error = -EINVAL;
  return error;
}

static int cancel(const struct sqcq_cancel_target *what)
{
  int error;

  while ((error = sqcq_cancel(world.engine, what)) == -EAGAIN)
    (void)sched_yield();
  return error;
}

/* One completion; it waits for it. */
static bool take(struct crowd_member *me, sqcq_channel channel, struct sqcq_completion *out)
{
  int n = 0;

  while (n == 0 && crowd_good(me))
    n = sqcq_channel_wait(world.engine, channel, out, 1, 1, 50000000);
  crowd_check(me, n == 1);
  if (n == 1 && (out->flags & SQCQ_COMPLETION_REPORT) == 0) {
    crowd_check(me, out->result == -ECANCELED || out->result == -EINTR);
    crowd_check(me, sqcq_buffer_release(world.engine, &out->buffer, 1) == 1);
  }
  return n == 1;
}

/* Two reads of the same name and a cancel between them. */
static void produce(struct crowd_member *me, uint32_t who)
{
  sqcq_channel channel = world.channels[who];
  struct sqcq_cancel_target mine = {.what = SQCQ_CANCEL_USER_DATA,
                                    .flags = SQCQ_CANCEL_REPORT,
                                    .channel = channel,
                                    .user_data = who,
                                    .report = channel,
                                    .report_user_data = who};
  uint32_t rounds = crowd_scaled(ROUNDS);

  for (uint32_t i = 0; i < rounds && crowd_good(me); i++) {
    struct sqcq_completion completion;
    uint32_t reads = 0, reports = 0;

    crowd_check(me, ask(channel, who, 0) == 0);
    crowd_check(me, cancel(&mine) == 0);
    crowd_check(me, ask(channel, who, 0) == 0); /* the next one */
    world.asked[who] += 2;
    while (reads + reports < 2 && take(me, channel, &completion)) {
      bool report = (completion.flags & SQCQ_COMPLETION_REPORT) != 0;

      crowd_check(me, !report || completion.result == 1); /* the first one, and it alone */
      crowd_check(me, report || completion.flags == SQCQ_COMPLETION_CANCELLED ||
                          completion.flags ==
                              (SQCQ_COMPLETION_CANCELLED | SQCQ_COMPLETION_UNSUBMITTED));
      reads += !report;
      reports += report;
    }
    crowd_check(me, reads == 1 && reports == 1); /* the second read goes on */
    crowd_check(me, cancel(&mine) == 0);
    for (int k = 0; k < 2 && take(me, channel, &completion); k++) {
      bool report = (completion.flags & SQCQ_COMPLETION_REPORT) != 0;

      crowd_check(me, !report || completion.result == 1);
      reads += !report;
      reports += report;
    }
    crowd_check(me, reads == 2 && reports == 2);
    world.answered[who] += reads;
    world.reports[who] += reports;
    crowd_progress(me);
  }
}

/* Reads for anybody to cancel, some with a deadline; and one to cancel them in the end. */
static void ask_shared(struct crowd_member *me, bool consumes)
{
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_CHANNEL, .channel = world.shared};
  struct sqcq_completion completion;
  uint64_t asked = 0, answered = 0;

  if (!consumes) {
    while (atomic_load(&world.producing) > 0 && crowd_good(me)) {
      int error = cancel(&all);

      /* The other one stops the engine when there are no producers any more. */
      crowd_check(me, error == 0 || (error == -ESHUTDOWN && atomic_load(&world.producing) == 0));
      crowd_progress(me);
      crowd_jitter(&me->rng);
      (void)sched_yield();
    }
    return;
  }
  while (atomic_load(&world.producing) > 0 && crowd_good(me)) {
    int64_t deadline =
        rng_percent(&me->rng, 50) ? 0 : sqcq__now() + (int64_t)rng_below(&me->rng, 200000);
    int error = ask(world.shared, 77, deadline);

    crowd_check(me, error == 0 || error == -EXFULL);
    asked += error == 0;
    for (; sqcq_channel_poll(world.engine, world.shared, &completion, 1) == 1; answered++)
      crowd_check(me, sqcq_buffer_release(world.engine, &completion.buffer, 1) == 1);
    crowd_progress(me);
  }
  crowd_check(me, cancel(&all) == 0);
  for (; answered < asked && take(me, world.shared, &completion); answered++)
    continue;
  crowd_check(me, answered == asked);
  crowd_check(me, sqcq_channel_poll(world.engine, world.shared, &completion, 1) == 0);
  crowd_check(me, sqcq_engine_stop(world.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
}

static void act(struct crowd_member *me)
{
  if (me->index == 0) {
    world.io_result = sqcq_engine_run(world.engine);
  } else if (me->index <= PRODUCERS) {
    produce(me, me->index - 1);
    atomic_fetch_sub(&world.producing, 1);
  } else {
    ask_shared(me, me->index == PRODUCERS + 1);
  }
}

static void play(void)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = CREDITS};
  struct sqcq_pool_config pool = {.size = sizeof(pool), .count = 64, .buffer_size = 64};
  struct sqcq_engine_config config;
  struct sqcq_stats stats;

  world = (struct world){0};
  sqcq_engine_config_init(&config);
  config.depth = 16;
  config.requests_max = CREDITS * (PRODUCERS + 1);
  config.channels_max = PRODUCERS + 1;
  config.lanes_shared = 2;
  config.lane_slots = 4;
  config.cancels_max = 3;
  assert_int_equal(pipe2(world.ends, O_CLOEXEC), 0);
  assert_ok(sqcq_engine_create(&world.engine, &config, NULL));
  for (uint32_t i = 0; i < PRODUCERS; i++)
    assert_ok(sqcq_channel_create(world.engine, &channel, &world.channels[i]));
  assert_ok(sqcq_channel_create(world.engine, &channel, &world.shared));
  assert_ok(sqcq_pool_create(world.engine, &pool, &world.pool));
  assert_ok(sqcq_file_add(world.engine, world.ends[0], &world.pipe));
  atomic_store(&world.producing, PRODUCERS);
  crowd_start(&crowd, 2 + PRODUCERS + CANCELLERS, CROWD_JOSTLED, &seeded, act);
  crowd_join(&crowd);
  assert_ok(world.io_result);
  for (uint32_t i = 0; i < PRODUCERS; i++) {
    assert_int_equal(world.answered[i], world.asked[i]);
    assert_int_equal(world.reports[i], world.asked[i]);
  }
  assert_ok(sqcq_engine_stats(world.engine, &stats, sizeof(stats)));
  assert_int_equal(stats.completed, stats.accepted);
  assert_int_equal(world.engine->io.timers.count, 0);
  assert_ok(sqcq_engine_destroy(world.engine, NULL));
  close(world.ends[0]);
  close(world.ends[1]);
}

static void requests_and_cancels_at_once_end_each_read_exactly_once(void **state)
{
  struct crowd_soak soak = crowd_soak(1);

  rng_seed(&seeded, rng_seed_from_env(0xca9ce1));
  while (crowd_next_round(&soak))
    play();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_and_cancels_at_once_end_each_read_exactly_once),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
