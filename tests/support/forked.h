/*
 * Every public function that a forked child may try on its parent's engine.
 */
#ifndef SQCQ_TESTS_SUPPORT_FORKED_H
#define SQCQ_TESTS_SUPPORT_FORKED_H

#include <sqcq/sqcq.h>

#include <errno.h>
#include <fcntl.h>

struct forked_targets {
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_pool pool;
  sqcq_file file;
  sqcq_lane lane;
  sqcq_buffer buffer;
};

/* In the child: the number of the first call that did not refuse, 0: all did. */
static inline int forked_calls(const struct forked_targets *on)
{
  struct sqcq_engine *engine = on->engine;
  sqcq_buffer buffer = on->buffer;
  struct sqcq_channel_config channel_config = {.size = sizeof(channel_config)};
  struct sqcq_pool_config pool_config = {
      .size = sizeof(pool_config), .count = 1, .buffer_size = 64};
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_ALL};
  struct sqcq_read read = {.file = on->file, .buffer = buffer, .channel = on->channel, .length = 1};
  struct sqcq_completion done = {.buffer = buffer};
  struct sqcq_channel_counters counters;
  struct sqcq_histogram histogram;
  struct sqcq_feature feature;
  struct sqcq_stats stats;
  struct sqcq_held held;
  sqcq_channel channel;
  sqcq_notice notice = {0};
  sqcq_buffer other;
  sqcq_lane opened;
  sqcq_file file;
  sqcq_pool pool;
  char memory[8];
  const int results[] = {
      sqcq_engine_destroy(engine, &held),
      sqcq_engine_poll(engine),
      sqcq_engine_wait(engine, SQCQ_FOREVER),
      sqcq_engine_run(engine),
      sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER),
      sqcq_engine_fd(engine),
      sqcq_engine_arm(engine),
      sqcq_engine_stats(engine, &stats, sizeof(stats)),
      sqcq_engine_features(engine, &feature, 1, sizeof(feature)),
      sqcq_engine_histogram(engine, SQCQ_STAGE_QUEUE, &histogram, sizeof(histogram)),
      sqcq_channel_create(engine, &channel_config, &channel),
      sqcq_channel_destroy(engine, on->channel),
      sqcq_channel_poll(engine, on->channel, &done, 1),
      sqcq_channel_wait(engine, on->channel, &done, 1, 1, SQCQ_FOREVER),
      sqcq_channel_fd(engine, on->channel),
      sqcq_channel_arm(engine, on->channel, 1),
      sqcq_channel_stats(engine, on->channel, &counters, sizeof(counters)),
      sqcq_pool_create(engine, &pool_config, &pool),
      sqcq_pool_destroy(engine, on->pool),
      sqcq_file_add(engine, 0, &file),
      sqcq_file_open(engine, AT_FDCWD, "/dev/null", 0, &file),
      sqcq_file_remove(engine, on->file, SQCQ_REMOVE_DEFAULT),
      sqcq_buffer_acquire(engine, on->pool, &other, 1),
      sqcq_buffer_release(engine, &buffer, 1),
      sqcq_buffer_wrap(engine, memory, sizeof(memory), &other),
      sqcq_buffer_unwrap(engine, buffer),
      sqcq_completion_buffers(engine, &done, &other, 1),
      sqcq_request(engine, &read),
      sqcq_request_many(engine, &read, 1),
      sqcq_request_wait(engine, SQCQ_BOUND_CHANNEL, on->channel.id, SQCQ_FOREVER),
      sqcq_request_notify(engine, SQCQ_BOUND_CHANNEL, on->channel.id, 0, &notice),
      sqcq_request_unnotify(engine, notice),
      sqcq_lane_open(engine, &opened),
      sqcq_lane_close(engine, on->lane),
      sqcq_lane_request(engine, on->lane, &read),
      sqcq_lane_request_many(engine, on->lane, &read, 1),
      sqcq_cancel(engine, &all),
  };

  for (int i = 0; i < (int)(sizeof(results) / sizeof(results[0])); i++)
    if (results[i] != -EPERM)
      return i + 1;
  return sqcq_buffer_data(engine, buffer) == NULL && sqcq_buffer_size(engine, buffer) == 0 ? 0
                                                                                           : 100;
}

#endif
