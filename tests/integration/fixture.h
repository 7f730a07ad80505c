/*
 * What the tests on the real ring share: a rig, which is an engine with a channel, a pool and a
 * stamped file, and an I/O thread for it where a test wants one of its own.
 *
 * Without an I/O thread the test's only thread plays all roles: rig_take() turns the engine. A
 * refusal is shown to have changed nothing by assert_refused(), and by rig_prove(), which uses every
 * credit and every buffer afterwards.
 */
#ifndef SQCQ_TESTS_INTEGRATION_FIXTURE_H
#define SQCQ_TESTS_INTEGRATION_FIXTURE_H

#include "engine/engine.h"
#include "support/fds.h"
#include "support/kernel.h"
#include "support/temp.h"
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RIG_PAGES 64u
#define RIG_TAG 5u
#define RIG_CAPACITY 16u
#define RIG_BUFFERS (RIG_CAPACITY + 4)

#define MS INT64_C(1000000)

#if defined(SQCQ__TSAN) || defined(SQCQ__ASAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* A test with its file's own setup() and teardown(). */
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

struct rig {
  struct fds fds; /* open before the engine was made */
  struct temp_dir dir;
  int fd; /* of the stamped file */
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_pool pool;
  sqcq_file file;
};

/* What a refusal must leave as it was. */
struct rig_state {
  struct sqcq_stats stats; /* but for the counters of refusals */
  uint64_t refused;        /* all of these */
  uint64_t credit;         /* the channel's credit word */
  uint32_t buffers, wrapped;
  uint32_t fds;
};

/* ------------------------------------------------------------------------- */
/* Made and taken down                                                       */
/* ------------------------------------------------------------------------- */

static inline struct sqcq_engine_config rig_config(void)
{
  struct sqcq_engine_config config;

  sqcq_engine_config_init(&config);
  config.depth = 32;
  config.requests_max = 64;
  config.channels_max = 4;
  config.lane_slots = 64;
  config.files_max = 16;
  config.files_fixed = 16;
  config.pools_max = 4;
  config.buffers_max = 64;
  return config;
}

static inline void rig_make_with(struct rig *rig, const struct sqcq_engine_config *config,
                                 uint32_t capacity)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = capacity};
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = RIG_BUFFERS, .buffer_size = STAMP_PAGE};
  struct sqcq_explanation why;

  memset(rig, 0, sizeof(*rig));
  temp_dir_make(&rig->dir);
  rig->fd = temp_file_stamped(&rig->dir, "stamped", RIG_PAGES, RIG_TAG);
  fds_look(&rig->fds);
  int error = sqcq_engine_create(&rig->engine, config, &why);
  if (error < 0)
    fail_msg("no engine: %s: %s", sqcq_strerror(error), why.text);
  assert_ok(sqcq_channel_create(rig->engine, &channel, &rig->channel));
  assert_ok(sqcq_pool_create(rig->engine, &pool, &rig->pool));
  assert_ok(sqcq_file_add(rig->engine, rig->fd, &rig->file));
}

static inline void rig_make(struct rig *rig)
{
  struct sqcq_engine_config config = rig_config();

  rig_make_with(rig, &config, RIG_CAPACITY);
}

/* Take what is left of a stopped engine's channel, and give the buffers back. Returns how many. */
static inline uint32_t rig_read_rest(struct rig *rig, sqcq_channel channel)
{
  struct sqcq_completion completion;
  uint32_t count = 0;
  int n;

  while ((n = sqcq_channel_poll(rig->engine, channel, &completion, 1)) == 1) {
    assert_count(sqcq_buffer_release(rig->engine, &completion.buffer, 1), 1);
    count++;
  }
  assert_true(n == -ESHUTDOWN || n == -EPIPE);
  return count;
}

/* The engine has stopped: destroy it, and show that no descriptor is left. */
static inline void rig_destroy(struct rig *rig)
{
  struct sqcq_stats stats;
  struct sqcq_held held;

  assert_ok(sqcq_engine_stats(rig->engine, &stats, sizeof(stats)));
  assert_int_equal(stats.completed, stats.accepted);
  assert_int_equal(stats.cq_overflow, 0);
  int error = sqcq_engine_destroy(rig->engine, &held);
  if (error == -EBUSY)
    fail_msg("held: running %u, inflight %u, unread %u, buffers %u, wrapped %u", held.running,
             held.inflight, held.unread, held.buffers, held.wrapped);
  assert_ok(error);
  assert_true(fds_same(&rig->fds));
  close(rig->fd);
  temp_dir_remove(&rig->dir);
}

static inline void rig_end(struct rig *rig)
{
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig->engine));
  rig_read_rest(rig, rig->channel);
  rig_destroy(rig);
}

/* ------------------------------------------------------------------------- */
/* Reads                                                                     */
/* ------------------------------------------------------------------------- */

static inline sqcq_buffer rig_buffer(struct rig *rig)
{
  sqcq_buffer buffer = {0};

  assert_count(sqcq_buffer_acquire(rig->engine, rig->pool, &buffer, 1), 1);
  return buffer;
}

static inline void rig_release(struct rig *rig, sqcq_buffer buffer)
{
  assert_count(sqcq_buffer_release(rig->engine, &buffer, 1), 1);
}

/* A read of one page of the stamped file into a buffer of its own. */
static inline struct sqcq_read rig_page(struct rig *rig, uint64_t page)
{
  return (struct sqcq_read){.file = rig->file,
                            .buffer = rig_buffer(rig),
                            .channel = rig->channel,
                            .offset = page * STAMP_PAGE,
                            .user_data = page,
                            .length = STAMP_PAGE};
}

/* Ask for a read of another file, at its own position. */
static inline void rig_request_stream(struct rig *rig, sqcq_channel channel, sqcq_file file,
                                      uint64_t user_data)
{
  struct sqcq_read read = {.file = file,
                           .buffer = rig_buffer(rig),
                           .channel = channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .user_data = user_data,
                           .length = STAMP_PAGE};

  assert_ok(sqcq_request(rig->engine, &read));
}

/* Turn the engine until `count` completions of a channel have been taken. */
static inline void rig_take_from(struct rig *rig, sqcq_channel channel, struct sqcq_completion *out,
                                 uint32_t count)
{
  int64_t limit = test_now_ns() + TEST_SOON_NS;
  uint32_t taken = 0;

  while (taken < count) {
    int n = sqcq_channel_poll(rig->engine, channel, out + taken, count - taken);

    if (n < 0)
      fail_msg("sqcq_channel_poll: %s", sqcq_strerror(n));
    taken += (uint32_t)n;
    if (taken == count)
      return;
    n = sqcq_engine_wait(rig->engine, 100 * MS);
    if (n < 0 && n != -EINTR && n != -ESHUTDOWN)
      fail_msg("sqcq_engine_wait: %s", sqcq_strerror(n));
    if (test_now_ns() > limit)
      fail_msg("only %u of %u completions", taken, count);
  }
}

static inline void rig_take(struct rig *rig, struct sqcq_completion *out, uint32_t count)
{
  rig_take_from(rig, rig->channel, out, count);
}

/* Turn until nothing is left to do, and show that no completion has come meanwhile. */
static inline void rig_expect_nothing(struct rig *rig, sqcq_channel channel)
{
  struct sqcq_completion completion;

  for (int i = 0; i < 8; i++)
    assert_count(sqcq_engine_poll(rig->engine), 0);
  assert_count(sqcq_channel_poll(rig->engine, channel, &completion, 1), 0);
}

static inline bool rig_files_are_closed(const struct rig *rig)
{
  const struct sqcq__files *files = &rig->engine->files;

  for (uint32_t i = 0; i < files->count; i++)
    if (sqcq__word_state(sqcq__load_acquire(&files->files[i].word)) == SQCQ__FILE_REMOVING)
      return false;
  return true;
}

/* Turn until every file that was removed is closed and its place free, which workers of the kernel may
 * have a part in. Delivers nothing. */
static inline void rig_close_files(struct rig *rig)
{
  int64_t limit = test_now_ns() + TEST_SOON_NS;

  assert_count(sqcq_engine_poll(rig->engine), 0);
  while (!rig_files_are_closed(rig)) {
    assert_count(sqcq_engine_wait(rig->engine, 10 * MS), 0);
    assert_true(test_now_ns() < limit);
  }
}

/* A whole page of the stamped file has come. */
static inline void rig_check_page(const struct sqcq_completion *completion)
{
  assert_int_equal(completion->result, completion->length);
  assert_int_equal(completion->flags, 0);
  assert_int_equal(completion->reserved, 0);
  assert_true(stamp_matches(completion->data, RIG_TAG, completion->offset, completion->length));
}

static inline struct sqcq_stats rig_stats(const struct rig *rig)
{
  struct sqcq_stats stats;

  assert_ok(sqcq_engine_stats(rig->engine, &stats, sizeof(stats)));
  return stats;
}

/* Everything works as on the first day: all credits, all buffers, one completion each. The test must
 * hold none of them. */
static inline void rig_prove(struct rig *rig)
{
  struct sqcq_read reads[RIG_CAPACITY + 1];
  struct sqcq_completion completions[RIG_CAPACITY];
  sqcq_buffer buffers[RIG_BUFFERS + 1];
  struct sqcq_stats before = rig_stats(rig);
  uint32_t seen = 0;

  assert_count(sqcq_buffer_acquire(rig->engine, rig->pool, buffers, RIG_BUFFERS + 1), RIG_BUFFERS);
  for (uint32_t i = 0; i <= RIG_CAPACITY; i++)
    reads[i] = (struct sqcq_read){.file = rig->file,
                                  .buffer = buffers[i],
                                  .channel = rig->channel,
                                  .offset = (uint64_t)i * STAMP_PAGE,
                                  .user_data = i,
                                  .length = STAMP_PAGE};
  assert_count(sqcq_request_many(rig->engine, reads, RIG_CAPACITY + 1), RIG_CAPACITY);
  assert_error(sqcq_request(rig->engine, &reads[RIG_CAPACITY]), -EXFULL);
  rig_take(rig, completions, RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    rig_check_page(&completions[i]);
    assert_int_equal(completions[i].offset, completions[i].user_data * STAMP_PAGE);
    seen |= 1u << completions[i].user_data;
  }
  assert_int_equal(seen, (1u << RIG_CAPACITY) - 1);
  assert_count(sqcq_buffer_release(rig->engine, buffers, RIG_BUFFERS), RIG_BUFFERS);
  struct sqcq_stats after = rig_stats(rig);
  assert_int_equal(after.accepted - before.accepted, RIG_CAPACITY);
  assert_int_equal(after.completed - before.completed, RIG_CAPACITY);
  assert_int_equal(after.cq_overflow, 0);
}

/* ------------------------------------------------------------------------- */
/* Refusals                                                                  */
/* ------------------------------------------------------------------------- */

static inline void rig_look(const struct rig *rig, struct rig_state *state)
{
  struct sqcq_stats stats = rig_stats(rig);

  memset(state, 0, sizeof(*state));
  state->refused = stats.refused_again + stats.refused_full + stats.refused_closed +
                   stats.refused_stopping + stats.refused_file + stats.refused_buffer +
                   stats.refused_invalid + stats.refused_no_buffers;
  stats.refused_again = stats.refused_full = stats.refused_closed = stats.refused_stopping = 0;
  stats.refused_file = stats.refused_buffer = stats.refused_invalid = stats.refused_no_buffers = 0;
  state->stats = stats;
  state->credit =
      sqcq__load_relaxed(&rig->engine->channels[sqcq__handle_index(rig->channel.id)].credit.word);
  sqcq__buffers_held(&rig->engine->buffers, &state->buffers, &state->wrapped);
  state->fds = fds_count();
}

static inline void rig_same(const struct rig *rig, const struct rig_state *before)
{
  struct rig_state now;

  rig_look(rig, &now);
  assert_memory_equal(&now.stats, &before->stats, sizeof(now.stats));
  assert_true(now.refused - before->refused <= 1);
  assert_int_equal(now.credit, before->credit);
  assert_int_equal(now.buffers, before->buffers);
  assert_int_equal(now.wrapped, before->wrapped);
  assert_int_equal(now.fds, before->fds);
}

/* The call is refused by this error, and nothing has changed. */
#define assert_refused(rig, call, error)                                                           \
  do {                                                                                             \
    struct rig_state before_;                                                                      \
    rig_look((rig), &before_);                                                                     \
    assert_error((call), (error));                                                                 \
    rig_same((rig), &before_);                                                                     \
  } while (0)

/* ------------------------------------------------------------------------- */
/* An I/O thread, and others                                                 */
/* ------------------------------------------------------------------------- */

struct io_thread {
  pthread_t thread;
  struct sqcq_engine *engine;
  int result;
};

static inline void *io_thread_main(void *argument)
{
  struct io_thread *io = argument;

  io->result = sqcq_engine_run(io->engine);
  return NULL;
}

static inline void io_thread_start(struct io_thread *io, struct sqcq_engine *engine)
{
  io->engine = engine;
  assert_int_equal(pthread_create(&io->thread, NULL, io_thread_main, io), 0);
}

/* It must have been told to stop. */
static inline void io_thread_join(struct io_thread *io)
{
  assert_int_equal(pthread_join(io->thread, NULL), 0);
  assert_ok(io->result);
}

/* Read `length` bytes of the stamped file into a buffer at an offset and take the answer. */
static inline struct sqcq_completion rig_read_into(struct rig *rig, sqcq_file file,
                                                   sqcq_buffer buffer, uint32_t buffer_offset,
                                                   uint64_t offset, uint32_t length)
{
  struct sqcq_completion completion;
  struct sqcq_read read = {.file = file,
                           .buffer = buffer,
                           .channel = rig->channel,
                           .offset = offset,
                           .length = length,
                           .buffer_offset = buffer_offset};

  assert_ok(sqcq_request(rig->engine, &read));
  rig_take(rig, &completion, 1);
  assert_int_equal(completion.flags, 0);
  assert_int_equal(completion.buffer.id, buffer.id);
  assert_int_equal(completion.buffer_offset, buffer_offset);
  assert_ptr_equal(completion.data, (char *)sqcq_buffer_data(rig->engine, buffer) + buffer_offset);
  return completion;
}

#endif
