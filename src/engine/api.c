/*
 * The public entry points: arguments are checked here, then forwarded. No state.
 */
#include "engine/engine.h"

#include "base/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

int sqcq_engine_create(struct sqcq_engine **engine, const struct sqcq_engine_config *config,
                       struct sqcq_explanation *why)
{
  struct sqcq_explanation unread;
  struct sqcq__config resolved = {0};

  if (why == NULL)
    why = &unread;
  if (engine == NULL) {
    *why = (struct sqcq_explanation){.error = -EINVAL, .reason = SQCQ_REASON_CONFIG};
    return -EINVAL;
  }
  int error = sqcq__config_resolve(config, &resolved, why);
  return error < 0 ? error : sqcq__engine_create(engine, &resolved, why);
}

int sqcq_engine_destroy(struct sqcq_engine *engine, struct sqcq_held *held)
{
  if (engine == NULL)
    return 0;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__engine_destroy(engine, held);
}

/* A later caller's larger struct is good if what is beyond ours is 0. */
static int take_config(void *to, size_t known, const void *from, uint32_t given)
{
  if (given < 2 * sizeof(uint32_t) || given > 4096)
    return -EINVAL;
  memset(to, 0, known);
  memcpy(to, from, given < known ? given : known);
  for (size_t i = known; i < given; i++)
    if (((const unsigned char *)from)[i] != 0)
      return -EINVAL;
  return 0;
}

int sqcq_channel_create(struct sqcq_engine *engine, const struct sqcq_channel_config *config,
                        sqcq_channel *channel)
{
  struct sqcq_channel_config taken = {.size = sizeof(taken)};

  if (engine == NULL || channel == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (config != NULL) {
    int error = take_config(&taken, sizeof(taken), config, config->size);
    if (error < 0)
      return error;
  }
  return sqcq__channel_create(engine, &taken, &channel->id);
}

/* A channel's handle as such: ours or not, whatever has become of the channel. */
static int check_channel(const struct sqcq_engine *engine, sqcq_channel channel)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__channel_check(engine, channel.id);
}

int sqcq_channel_destroy(struct sqcq_engine *engine, sqcq_channel channel)
{
  int error = check_channel(engine, channel);
  return error < 0 ? error : sqcq__channel_destroy(engine, channel.id);
}

int sqcq_channel_poll(struct sqcq_engine *engine, sqcq_channel channel,
                      struct sqcq_completion *completions, uint32_t max)
{
  if (completions == NULL || max == 0)
    return -EINVAL;
  int error = check_channel(engine, channel);
  return error < 0 ? error : sqcq__consume(engine, channel.id, completions, max);
}

int sqcq_channel_wait(struct sqcq_engine *engine, sqcq_channel channel,
                      struct sqcq_completion *completions, uint32_t max, uint32_t min,
                      int64_t timeout_ns)
{
  if (completions == NULL || min == 0 || min > max || timeout_ns < SQCQ_FOREVER)
    return -EINVAL;
  int error = check_channel(engine, channel);
  return error < 0 ? error
                   : sqcq__consume_wait(engine, channel.id, completions, max, min, timeout_ns);
}

int sqcq_channel_fd(struct sqcq_engine *engine, sqcq_channel channel)
{
  int error = check_channel(engine, channel);
  return error < 0 ? error : sqcq__consume_fd(engine, channel.id);
}

int sqcq_channel_arm(struct sqcq_engine *engine, sqcq_channel channel, uint32_t min)
{
  if (min == 0)
    return -EINVAL;
  int error = check_channel(engine, channel);
  return error < 0 ? error : sqcq__consume_arm(engine, channel.id, min);
}

int sqcq_pool_create(struct sqcq_engine *engine, const struct sqcq_pool_config *config,
                     sqcq_pool *pool)
{
  struct sqcq_pool_config taken;

  if (engine == NULL || config == NULL || pool == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = take_config(&taken, sizeof(taken), config, config->size);
  return error < 0 ? error : sqcq__pool_create(engine, &taken, &pool->id);
}

int sqcq_pool_destroy(struct sqcq_engine *engine, sqcq_pool pool)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__pool_destroy(&engine->buffers, pool.id);
}

int sqcq_file_add(struct sqcq_engine *engine, int fd, sqcq_file *file)
{
  if (engine == NULL || file == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return duplicate < 0 ? -errno : sqcq__files_add(&engine->files, duplicate, &file->id);
}

int sqcq_file_open(struct sqcq_engine *engine, int dirfd, const char *path, int flags,
                   sqcq_file *file)
{
  if (engine == NULL || path == NULL || file == NULL ||
      (flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | O_PATH)) != O_RDONLY)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
#ifdef O_TMPFILE
  if ((flags & O_TMPFILE) == O_TMPFILE)
    return -EINVAL;
#endif
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  int fd = openat(dirfd, path, flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);
  return fd < 0 ? -errno : sqcq__files_add(&engine->files, fd, &file->id);
}

int sqcq_file_remove(struct sqcq_engine *engine, sqcq_file file, unsigned mode)
{
  if (engine == NULL || mode > SQCQ_REMOVE_CANCEL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__files_remove(&engine->files, file.id, mode);
  if (error < 0)
    return error;
  sqcq__control_post(&engine->control, SQCQ__CONTROL_REMOVE);
  sqcq__sleeper_wake(&engine->sleeper);
  return 0;
}

static void refused(struct sqcq_engine *engine, int error)
{
  sqcq__stats_refused(&engine->stats, error);
  SQCQ_PROBE2(refuse, engine, error);
}

int sqcq_buffer_acquire(struct sqcq_engine *engine, sqcq_pool pool, sqcq_buffer *buffers,
                        uint32_t count)
{
  if (engine == NULL || buffers == NULL || count == 0)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int taken = sqcq__buffers_acquire(&engine->buffers, pool.id, buffers, count);
  if (taken == -ENOBUFS)
    refused(engine, taken);
  return taken;
}

int sqcq_buffer_release(struct sqcq_engine *engine, const sqcq_buffer *buffers, uint32_t count)
{
  if (engine == NULL || buffers == NULL || count == 0)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__buffers_release(&engine->buffers, buffers, count);
}

void *sqcq_buffer_data(struct sqcq_engine *engine, sqcq_buffer buffer)
{
  if (engine == NULL || sqcq__forked(engine) || sqcq__buffer_check(&engine->buffers, buffer.id) < 0)
    return NULL;
  return sqcq__buffer_at(&engine->buffers, buffer.id)->memory;
}

size_t sqcq_buffer_size(struct sqcq_engine *engine, sqcq_buffer buffer)
{
  if (engine == NULL || sqcq__forked(engine) || sqcq__buffer_check(&engine->buffers, buffer.id) < 0)
    return 0;
  return sqcq__buffer_at(&engine->buffers, buffer.id)->size;
}

int sqcq_buffer_wrap(struct sqcq_engine *engine, void *memory, size_t size, sqcq_buffer *buffer)
{
  if (engine == NULL || memory == NULL || size == 0 || size > SQCQ_LENGTH_MAX || buffer == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  return sqcq__buffers_wrap(&engine->buffers, memory, size, &buffer->id);
}

int sqcq_buffer_unwrap(struct sqcq_engine *engine, sqcq_buffer buffer)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__buffers_unwrap(&engine->buffers, buffer.id);
}

int sqcq_completion_buffers(struct sqcq_engine *engine, const struct sqcq_completion *completion,
                            sqcq_buffer *buffers, uint32_t max)
{
  if (engine == NULL || completion == NULL || (buffers == NULL && max > 0))
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if ((completion->flags & (SQCQ_COMPLETION_ADVICE | SQCQ_COMPLETION_REPORT)) != 0)
    return 0;
  if ((completion->flags & SQCQ_COMPLETION_VECTOR) != 0)
    return sqcq__vector_list(&engine->buffers, completion->buffer.id, buffers, max);
  int error = sqcq__buffer_check(&engine->buffers, completion->buffer.id);
  if (error < 0)
    return error;
  if (max > 0)
    buffers[0] = completion->buffer;
  return 1;
}

int sqcq_request(struct sqcq_engine *engine, const struct sqcq_read *read)
{
  int accepted = sqcq_request_many(engine, read, 1);
  return accepted < 0 ? accepted : 0;
}

int sqcq_request_many(struct sqcq_engine *engine, const struct sqcq_read *reads, uint32_t count)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int accepted = reads == NULL || count == 0 ? -EINVAL : sqcq__accept(engine, NULL, reads, count);
  if (accepted < 0)
    refused(engine, accepted);
  return accepted;
}

int sqcq_cancel(struct sqcq_engine *engine, const struct sqcq_cancel_target *cancel)
{
  if (engine == NULL || cancel == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__cancel(engine, cancel);
}

int sqcq_engine_stop(struct sqcq_engine *engine, unsigned mode, int64_t limit_ns)
{
  if (engine == NULL || mode > SQCQ_STOP_CANCEL || limit_ns < SQCQ_FOREVER)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  struct sqcq__control *control = &engine->control;
  int64_t now = sqcq__now();
  int64_t limit = limit_ns < 0 || limit_ns > INT64_MAX - now ? INT64_MAX : now + limit_ns;
  uint32_t wanted = mode == SQCQ_STOP_DRAIN ? SQCQ__STOPPING_DRAIN : SQCQ__STOPPING_CANCEL;

  /* relaxed, here: published by the control bit. Both words only move one way. */
  int64_t before = sqcq__load_relaxed(&control->stop_limit);
  while (limit < before && !sqcq__cas_relaxed(&control->stop_limit, &before, limit))
    continue;
  uint32_t stopping = sqcq__load_relaxed(&control->stopping);
  /* pair(room) publish: sequentially consistent, since those who wait for room look at it */
  while (wanted > stopping && !sqcq__cas_seq(&control->stopping, &stopping, wanted))
    continue;
  sqcq__control_post(control, SQCQ__CONTROL_STOP);
  sqcq__sleeper_wake(&engine->sleeper);
  sqcq__rooms_end(engine); /* here, since there may be no turn for a while */
  return 0;
}

int sqcq_engine_poll(struct sqcq_engine *engine)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__iothread_enter(engine, 0);
  return error < 0 ? error : sqcq__iothread_done(engine, sqcq__turn(engine));
}

/* For poll(2): rounded up; negative: no limit. */
static int milliseconds(int64_t ns)
{
  return ns < 0 ? -1 : ns / 1000000 < INT32_MAX ? (int)((ns + 999999) / 1000000) : INT32_MAX;
}

int sqcq_engine_wait(struct sqcq_engine *engine, int64_t timeout_ns)
{
  if (engine == NULL || timeout_ns < SQCQ_FOREVER)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__iothread_enter(engine, milliseconds(timeout_ns));
  return error < 0 ? error : sqcq__iothread_done(engine, sqcq__turn_wait(engine, timeout_ns));
}

int sqcq_engine_fd(const struct sqcq_engine *engine)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__is_looped(engine) ? engine->sleeper.eventfd : -EOPNOTSUPP;
}

int sqcq_engine_arm(struct sqcq_engine *engine)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (!sqcq__is_looped(engine))
    return -EOPNOTSUPP;
  int error = sqcq__iothread_enter(engine, 0);
  return error < 0 ? error : sqcq__iothread_done(engine, sqcq__turn_arm(engine));
}

int sqcq_engine_run(struct sqcq_engine *engine)
{
  if (engine == NULL)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__iothread_enter(engine, -1);
  if (error == 0) {
    do
      error = sqcq__turn_wait(engine, SQCQ_FOREVER);
    while (error >= 0 || error == -EINTR);
    (void)sqcq__iothread_done(engine, error);
  }
  return error == -ESHUTDOWN ? 0 : error;
}
