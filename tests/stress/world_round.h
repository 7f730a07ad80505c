/*
 * A round of a world: made, played, and every account of it closed; see world.h.
 */
#ifndef SQCQ_TESTS_STRESS_WORLD_ROUND_H
#define SQCQ_TESTS_STRESS_WORLD_ROUND_H

#include "stress/world_roles.h"
#include "stress/world_watch.h"
#include "support/kernel.h"

#include <stdio.h>

#define MS INT64_C(1000000)
#define ROUND_NS (250 * MS)
#define QUOTA 40000u /* reads of a round, if there is time for them */

static struct rng seeded;

/* ------------------------------------------------------------------------- */
/* Made, and closed                                                          */
/* ------------------------------------------------------------------------- */

static inline void make_world(const struct plan *plan)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = plan->capacity};
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = plan->buffers, .align = 64, .buffer_size = BUFFER_SIZE};
  uint32_t all = plan->channels + plan->guest + plan->silent;

  const struct world fresh = {
      .plan = *plan, .round = world.round & 0xffff, .until = test_now_ns() + ROUND_NS};

  world = fresh;
  world.plan.config.channels_max = all;
  world.plan.config.requests_max = all * plan->capacity;
  world.plan.config.buffers_max = plan->buffers;
  world.plan.config.pools_max = 1;
  world.plan.config.files_max = FILES + 3;
  world.plan.config.lanes_own = plan->own ? (plan->producers + 1) / 2 : 0;
  struct sqcq_explanation why = {.text = ""};
  if (sqcq_engine_create(&world.engine, &world.plan.config, &why) < 0)
    fail_msg("no engine: %s", why.text);
  for (uint32_t i = 0; i < plan->channels; i++)
    assert_ok(sqcq_channel_create(world.engine, &channel, &world.channels[i]));
  if (plan->silent) {
    assert_ok(sqcq_channel_create(world.engine, &channel, &world.silent_channel));
    assert_ok(sqcq_file_add(world.engine, ground.pipe[0], &world.pipe));
  }
  assert_ok(sqcq_pool_create(world.engine, &pool, &world.pool));
  for (uint32_t i = 0; i < FILES; i++) {
    sqcq_file file;

    assert_ok(sqcq_file_add(world.engine, ground.fds[i], &file));
    atomic_store(&world.files[i], file.id);
  }
  for (uint32_t i = 0; i < plan->producers + plan->guest + plan->silent; i++) {
    world.producers[i].records = calloc(plan->quota + BATCH_MAX, sizeof(struct record));
    assert_non_null(world.producers[i].records);
  }
  atomic_store(&world.producing, plan->producers);
}

/* Every accepted read was answered once, and nothing else was. */
static inline uint64_t check_records(uint64_t refused[8])
{
  uint64_t accepted = 0;

  for (uint32_t i = 0; i < PRODUCERS_MAX; i++) {
    const struct producer *producer = &world.producers[i];

    for (uint64_t s = 0; producer->records != NULL && s < world.plan.quota; s++) {
      unsigned expected = s < producer->accepted ? 1 : 0;

      if (producer->records[s].seen != expected)
        fail_msg("producer %u, read %llu of %llu: answered %u times", i, (unsigned long long)s,
                 (unsigned long long)producer->accepted, producer->records[s].seen);
    }
    accepted += producer->accepted;
    for (int k = 0; k < 8; k++)
      refused[k] += producer->refused[k];
  }
  return accepted;
}

/* No credit, no part of the depth and no buffer has got lost. */
static inline void check_stocks(void)
{
  struct sqcq_engine *engine = world.engine;
  sqcq_buffer *buffers = calloc(world.plan.buffers + 1, sizeof(*buffers));
  uint32_t credits = sqcq__load_relaxed(&engine->credits_left);

  assert_non_null(buffers);
  for (uint32_t i = 0; i < engine->config.user.channels_max; i++) {
    uint64_t word = sqcq__load_relaxed(&engine->channels[i].credit.word);

    assert_int_equal(sqcq__credit_taken(word), 0);
    assert_int_equal(sqcq__channel_unread(&engine->channels[i]), 0);
    if ((sqcq__word_state(word) & SQCQ__CREDIT_FREE) == 0)
      credits += world.plan.capacity;
  }
  assert_int_equal(credits, engine->config.user.requests_max);
  assert_int_equal(sqcq__load_relaxed(&engine->depth_left),
                   engine->config.user.depth - engine->config.user.channels_max);
  assert_count(sqcq_buffer_acquire(engine, world.pool, buffers, world.plan.buffers + 1),
               (int)world.plan.buffers);
  assert_count(sqcq_buffer_release(engine, buffers, world.plan.buffers), (int)world.plan.buffers);
  free(buffers);
}

static inline void check_stats(uint64_t accepted, const uint64_t refused[8])
{
  struct sqcq_stats stats;
  uint64_t taken = 0;

  for (uint32_t i = 0; i < CROWD_MAX; i++)
    taken += world.taken[i];
  assert_ok(sqcq_engine_stats(world.engine, &stats, sizeof(stats)));
  assert_int_equal(taken, accepted);
  assert_int_equal(stats.accepted, accepted);
  assert_int_equal(stats.completed, accepted);
  assert_int_equal(stats.submitted + stats.unsubmitted, accepted);
  assert_int_equal(stats.refused_again, refused[0]);
  assert_int_equal(stats.refused_full, refused[1]);
  assert_int_equal(stats.refused_closed, refused[2]);
  assert_int_equal(stats.refused_stopping, refused[3]);
  assert_int_equal(stats.refused_file, refused[4]);
  assert_int_equal(stats.refused_no_buffers, refused[5]);
  assert_int_equal(stats.refused_buffer, refused[7]);
  assert_int_equal(stats.refused_invalid, 0);
  assert_int_equal(stats.inflight, 0);
  assert_int_equal(stats.waiting, 0);
  assert_int_equal(stats.cq_overflow, 0);
  /* A write by each producer that is inside a call, at the most, for each announcement, whether it
   * led to a sleep or the second look found work. One that comes late, and notes an earlier number,
   * costs one more; but of the crowd the I/O thread and the consumers wake nobody. */
  assert_int_equal(stats.sleeps, world.engine->sleeper.sleeps);
  assert_in_range(stats.io_wakes, 0, stats.sleeps * crowd.count);
}

/* What the rounds of a scenario came to: are the bounds hit at all? */
static struct tally {
  uint64_t rounds, reads, cancelled, refused[8];
  uint64_t faults; /* others that the scenario has brought about */
} tally;

static inline void note(uint64_t accepted, const uint64_t refused[8])
{
  tally.rounds++;
  tally.reads += accepted;
  for (uint32_t i = 0; i < CROWD_MAX; i++)
    tally.cancelled += world.cancelled[i];
  for (int i = 0; i < 8; i++)
    tally.refused[i] += refused[i];
}

static inline void say_tally(const char *scenario)
{
  uint64_t faults = tally.faults + tally.cancelled;

  for (int i = 0; i < 8; i++)
    faults += tally.refused[i];
  print_message("%" PRIu64 " rounds, %" PRIu64 " cancelled; refused: EAGAIN %" PRIu64
                ", EXFULL %" PRIu64 ", EPIPE %" PRIu64 ", ESHUTDOWN %" PRIu64 ", EBADF %" PRIu64
                ", ENOBUFS %" PRIu64 "\n",
                tally.rounds, tally.cancelled, tally.refused[0], tally.refused[1], tally.refused[2],
                tally.refused[3], tally.refused[4], tally.refused[5]);
  crowd_report(scenario, tally.reads, faults);
  tally = (struct tally){0};
}

/* Nobody is there any more. */
static inline void close_world(void)
{
  uint64_t refused[8] = {0};
  struct sqcq_held held;
  uint64_t accepted = check_records(refused);

  check_stats(accepted, refused);
  check_stocks();
  note(accepted, refused);
  int error = sqcq_engine_destroy(world.engine, &held);
  if (error < 0)
    fail_msg("held: running %u, inflight %u, unread %u, buffers %u", held.running, held.inflight,
             held.unread, held.buffers);
  world.engine = NULL;
  for (uint32_t i = 0; i < PRODUCERS_MAX; i++)
    free(world.producers[i].records);
}

/* All of it, with so many threads. */
static inline void play_with(const struct plan *plan, uint32_t threads,
                             enum crowd_treatment treatment, void (*act)(struct crowd_member *))
{
  struct fds before;

  fds_look(&before);
  make_world(plan);
  uint64_t allocations = alloc_calls();
  crowd_start(&crowd, threads, treatment, &seeded, act);
  crowd_join(&crowd);
  if (alloc_works() && !plan->guest) /* channels are made: set-up */
    assert_int_equal(alloc_calls(), allocations);
  assert_ok(world.io_result);
  if (plan->after != NULL)
    plan->after();
  close_world();
  assert_true(fds_same(&before));
}

/* Bounds that are hit all the time; chosen anew for each round. */
static inline struct plan random_plan(void)
{
  static const uint32_t depths[] = {2, 4, 4, 8, 32};
  struct plan plan = {.ending = END_DRAIN};

  sqcq_engine_config_init(&plan.config);
  plan.channels = (uint32_t)rng_between(&seeded, 1, 2);
  plan.capacity = (uint32_t)rng_between(&seeded, 1, 4);
  plan.producers = (uint32_t)rng_between(&seeded, 2, 8);
  plan.buffers = (uint32_t)rng_between(&seeded, 8, 24);
  plan.batch = (uint32_t)rng_between(&seeded, 1, BATCH_MAX);
  plan.quota = crowd_scaled(QUOTA) / plan.producers;
  plan.config.depth = depths[rng_below(&seeded, 5)];
  plan.config.lanes_shared = (uint32_t)rng_between(&seeded, 1, 3);
  plan.config.lane_slots = 2u << rng_below(&seeded, 3);
  plan.config.idle = (uint32_t)rng_below(&seeded, 8) % 3; /* BUSY is the rarest */
  plan.config.consumer_spin_ns = rng_percent(&seeded, 50) ? 0 : 20000;
  plan.config.flags = (rng_percent(&seeded, 30) ? SQCQ_ENGINE_NO_DEFER : 0) |
                      (rng_percent(&seeded, 25) ? SQCQ_ENGINE_HISTOGRAMS : 0) |
                      (rng_percent(&seeded, 30) ? SQCQ_ENGINE_NO_FIXED_FILES : 0);
  return plan;
}

/* Guests and silence need a channel of their own, and so a place of the depth. */
static inline void deepen(struct plan *plan)
{
  if (plan->config.depth < 4)
    plan->config.depth = 4;
}

/* ------------------------------------------------------------------------- */
/* Rounds                                                                    */
/* ------------------------------------------------------------------------- */

/* Round after round, for a second or for SQCQ_SOAK_SECONDS; at least one. */
static inline bool next_round(const char *scenario, int64_t *until)
{
  static uint64_t rounds;
  int64_t now = test_now_ns();
  uint64_t seconds = crowd_number_from_env("SQCQ_SOAK_SECONDS", 0);

  if (*until == 0)
    *until = now + (seconds == 0 ? 1200 * MS : (int64_t)seconds * 1000 * MS);
  else if (now >= *until) {
    say_tally(scenario);
    return false;
  }
  world.round = ++rounds;
  watch();
  return true;
}

#define FOR_ROUNDS for (int64_t until_ = 0; next_round(__func__, &until_);)

static inline int make_ground(void **state)
{
  temp_dir_make(&ground.dir);
  for (uint32_t i = 0; i < FILES; i++) {
    char name[16];

    snprintf(name, sizeof(name), "file-%u", i);
    ground.fds[i] = temp_file_stamped(&ground.dir, name, PAGES, i + 1);
  }
  return pipe2(ground.pipe, O_CLOEXEC);
}

static inline int unmake_ground(void **state)
{
  for (uint32_t i = 0; i < FILES; i++)
    close(ground.fds[i]);
  close(ground.pipe[0]);
  close(ground.pipe[1]);
  temp_dir_remove(&ground.dir);
  return 0;
}

#endif
