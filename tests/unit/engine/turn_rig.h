/*
 * What the tests of the engine on the simulated ring share: an engine with a channel, a pool and a
 * stamped file, whose one thread plays all roles; and steps of a few lines each.
 */
#ifndef SQCQ_TESTS_UNIT_ENGINE_TURN_RIG_H
#define SQCQ_TESTS_UNIT_ENGINE_TURN_RIG_H

#include "engine/engine.h"
#include "engine/prep.h"
#include "support/fds.h"
#include "support/sim_ring.h"
#include "support/temp.h"
#include "support/test.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RIG_TAG 9u
#define RIG_PAGES 16u
#define RIG_LENGTH 64u
#define RIG_BUFFERS 64u
#define RIG_TURNS 2000 /* more than anything takes that ends */
#define RIG_MS INT64_C(1000000)

struct rig {
  struct temp_dir dir;
  struct fds fds;
  int fd; /* of the stamped file */
  int pipe[2];
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_pool pool;
  sqcq_file file;   /* the stamped one */
  sqcq_file silent; /* the pipe's */
};

static inline struct sqcq_engine_config rig_config(void)
{
  struct sqcq_engine_config config;

  sqcq_engine_config_init(&config);
  config.depth = 8;
  config.requests_max = 64;
  config.channels_max = 2;
  config.lanes_shared = 1;
  config.lane_slots = 128;
  config.files_max = 40;
  config.pools_max = 4;
  config.buffers_max = 2 * RIG_BUFFERS;
  config.idle = SQCQ_IDLE_SLEEP;
  return config;
}

/* The temporary directory and what is in it; the engine is made afterwards, by rig_start or by the
 * test. */
static inline void rig_prepare(struct rig *rig)
{
  memset(rig, 0, sizeof(*rig));
  temp_dir_make(&rig->dir);
  rig->fd = temp_file_stamped(&rig->dir, "file", RIG_PAGES, RIG_TAG);
  assert_ok(pipe2(rig->pipe, O_CLOEXEC));
  fds_look(&rig->fds);
}

static inline sqcq_channel rig_channel(struct rig *rig, uint32_t capacity, uint32_t min,
                                       uint32_t max)
{
  struct sqcq_channel_config config = {
      .size = sizeof(config), .capacity = capacity, .inflight_min = min, .inflight_max = max};
  sqcq_channel channel;

  assert_ok(sqcq_channel_create(rig->engine, &config, &channel));
  return channel;
}

/* The parts of an engine just made. */
static inline void rig_fill(struct rig *rig)
{
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = RIG_BUFFERS, .buffer_size = RIG_LENGTH, .align = 64};

  rig->channel = rig_channel(rig, 32, 0, 0);
  assert_ok(sqcq_pool_create(rig->engine, &pool, &rig->pool));
  assert_ok(sqcq_file_add(rig->engine, rig->fd, &rig->file));
  assert_ok(sqcq_file_add(rig->engine, rig->pipe[0], &rig->silent));
}

static inline void rig_start_with(struct rig *rig, const struct sim_config *kernel,
                                  const struct sqcq_engine_config *config)
{
  struct sqcq_explanation why;

  rig_prepare(rig);
  sim_configure(kernel);
  int error = sqcq_engine_create(&rig->engine, config, &why);
  if (error < 0)
    fail_msg("no engine: %s", why.text);
  rig_fill(rig);
}

static inline void rig_start(struct rig *rig, const char *version)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();

  rig_start_with(rig, &kernel, &config);
}

static inline uint32_t rig_turns(struct rig *rig, int count)
{
  uint32_t delivered = 0;

  for (; count > 0; count--) {
    int n = sqcq_engine_poll(rig->engine);

    if (n < 0)
      assert_error(n, -ESHUTDOWN);
    else
      delivered += (uint32_t)n;
  }
  return delivered;
}

/* ------------------------------------------------------------------------- */
/* Requests and completions                                                  */
/* ------------------------------------------------------------------------- */

static inline int rig_try(struct rig *rig, sqcq_channel channel, sqcq_file file, uint64_t offset,
                          uint64_t user_data)
{
  struct sqcq_read read = {.file = file,
                           .channel = channel,
                           .offset = offset,
                           .user_data = user_data,
                           .length = RIG_LENGTH};

  assert_count(sqcq_buffer_acquire(rig->engine, rig->pool, &read.buffer, 1), 1);
  int error = sqcq_request(rig->engine, &read);
  if (error < 0)
    assert_count(sqcq_buffer_release(rig->engine, &read.buffer, 1), 1);
  return error;
}

/* A read of the stamped file, at 64 x user_data. */
static inline void rig_ask(struct rig *rig, uint64_t user_data)
{
  assert_ok(rig_try(rig, rig->channel, rig->file, user_data * RIG_LENGTH, user_data));
}

/* A read of the pipe. */
static inline void rig_ask_silent(struct rig *rig, uint64_t user_data)
{
  assert_ok(rig_try(rig, rig->channel, rig->silent, SQCQ_OFFSET_CURRENT, user_data));
}

/* Take one completion if there is one; its buffer goes back. */
static inline bool rig_take_from(struct rig *rig, sqcq_channel channel,
                                 struct sqcq_completion *completion)
{
  int n = sqcq_channel_poll(rig->engine, channel, completion, 1);

  if (n != 1) {
    assert_true(n == 0 || n == -ESHUTDOWN || n == -EPIPE);
    return false;
  }
  if (completion->result > 0 && completion->file.id == rig->file.id)
    assert_true(
        stamp_matches(completion->data, RIG_TAG, completion->offset, (size_t)completion->result));
  assert_count(sqcq_buffer_release(rig->engine, &completion->buffer, 1), 1);
  return true;
}

/* The next one must be this. */
static inline void rig_expect(struct rig *rig, uint64_t user_data, int32_t result, uint32_t flags)
{
  struct sqcq_completion completion;

  if (!rig_take_from(rig, rig->channel, &completion))
    fail_msg("no completion; %llu was expected", (unsigned long long)user_data);
  assert_int_equal(completion.user_data, user_data);
  assert_int_equal(completion.result, result);
  assert_int_equal(completion.flags, flags);
}

static inline void rig_expect_none(struct rig *rig)
{
  struct sqcq_completion completion;

  assert_false(rig_take_from(rig, rig->channel, &completion));
}

/* Take all there are: how many; every user_data from 0 to 63 at most once. */
static inline uint32_t rig_take_all(struct rig *rig, sqcq_channel channel, uint64_t *seen)
{
  struct sqcq_completion completion;
  uint32_t count = 0;

  for (; rig_take_from(rig, channel, &completion); count++) {
    assert_true(completion.user_data < 64);
    assert_int_equal(*seen >> completion.user_data & 1, 0);
    *seen |= UINT64_C(1) << completion.user_data;
  }
  return count;
}

/* ------------------------------------------------------------------------- */
/* Looking                                                                   */
/* ------------------------------------------------------------------------- */

static inline struct sqcq_stats rig_stats(struct rig *rig)
{
  struct sqcq_stats stats;

  assert_ok(sqcq_engine_stats(rig->engine, &stats, sizeof(stats)));
  return stats;
}

static inline struct sqcq_feature rig_feature(struct rig *rig, enum sqcq__feature which)
{
  struct sqcq_feature features[SQCQ__FEATURE_COUNT];

  assert_count(
      sqcq_engine_features(rig->engine, features, SQCQ__FEATURE_COUNT, sizeof(features[0])),
      SQCQ__FEATURE_COUNT);
  return features[which];
}

static inline void rig_assert_feature(struct rig *rig, enum sqcq__feature which, uint32_t state,
                                      int32_t error)
{
  struct sqcq_feature feature = rig_feature(rig, which);

  if (feature.state != state || feature.error != error)
    fail_msg("%s: state %u, error %d", feature.name, feature.state, feature.error);
  assert_int_equal(*feature.instead == '\0', state == SQCQ_FEATURE_ON);
}

/* Reads in the ring, without their last CQE. */
static inline uint32_t rig_reads_inside(void)
{
  struct sim_op ops[64];
  uint32_t count = sim_inflight(ops, 64), reads = 0;

  assert_true(count <= 64);
  for (uint32_t i = 0; i < count; i++)
    reads += ops[i].kind == SIM_READ;
  return reads;
}

static inline bool rig_stopped(struct rig *rig)
{
  return sqcq__phase(rig->engine) == SQCQ__PHASE_STOPPED;
}

/* Let it sleep once, however slow the machine is: its wake poll is armed then. */
static inline void rig_sleep(struct rig *rig)
{
  uint64_t sleeps = rig_stats(rig).sleeps;

  while (rig_stats(rig).sleeps == sleeps)
    assert_ok(sqcq_engine_wait(rig->engine, 2 * RIG_MS));
}

/* ------------------------------------------------------------------------- */
/* The end                                                                   */
/* ------------------------------------------------------------------------- */

/* Turn until the stop that has been asked for is over. */
static inline void rig_run(struct rig *rig)
{
  for (int turns = 0; !rig_stopped(rig); turns++) {
    assert_true(turns < RIG_TURNS);
    (void)rig_turns(rig, 1);
  }
  assert_error(sqcq_engine_poll(rig->engine), -ESHUTDOWN);
  assert_error(sqcq_engine_wait(rig->engine, 0), -ESHUTDOWN);
  assert_ok(sqcq_engine_run(rig->engine));
}

/* The engine has stopped. Everything is taken and given back; nothing is left behind. */
static inline void rig_close(struct rig *rig)
{
  struct sqcq_completion completion;
  struct sqcq_held held;

  while (rig_take_from(rig, rig->channel, &completion))
    continue;
  struct sqcq_stats stats = rig_stats(rig);
  assert_int_equal(stats.completed, stats.accepted);
  assert_int_equal(stats.inflight + stats.waiting, 0);
  int error = sqcq_engine_destroy(rig->engine, &held);
  if (error < 0)
    fail_msg("held: running %u, inflight %u, unread %u, buffers %u, wrapped %u", held.running,
             held.inflight, held.unread, held.buffers, held.wrapped);
  assert_int_equal(sim_counts()->left_inflight, 0);
  assert_int_equal(sim_counts()->left_unread, 0);
  assert_true(fds_same(&rig->fds));
}

static inline void rig_clear(struct rig *rig)
{
  close(rig->fd);
  close(rig->pipe[0]);
  close(rig->pipe[1]);
  temp_dir_remove(&rig->dir);
}

static inline void rig_end(struct rig *rig)
{
  sim_now()->hold = 0;
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(rig);
  rig_close(rig);
  rig_clear(rig);
}

#endif
