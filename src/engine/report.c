/*
 * What the engine tells about itself, to any thread. It only looks: no state.
 */
#include "engine/engine.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static void raise(uint64_t *most, uint64_t value)
{
  if (value > *most)
    *most = value;
}

static void add_lane(struct sqcq_stats *stats, const struct sqcq__lane *lane)
{
  stats->batches_in += sqcq__load_relaxed(&lane->batches);
  raise(&stats->lane_high_water, sqcq__load_relaxed(&lane->ring.most));
}

int sqcq_engine_stats(const struct sqcq_engine *engine, struct sqcq_stats *stats, size_t stats_size)
{
  if (engine == NULL || stats == NULL || stats_size == 0)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  const struct sqcq__stats *from = &engine->stats;
  struct sqcq_stats now = {
      .accepted = sqcq__lanes_accepted(&engine->lanes) + sqcq__own_accepted(&engine->own),
      .refused_again = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_AGAIN]),
      .refused_full = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_FULL]),
      .refused_closed = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_CLOSED]),
      .refused_stopping = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_STOPPING]),
      .refused_file = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_FILE]),
      .refused_buffer = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_BUFFER]),
      .refused_invalid = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_INVALID]),
      .refused_no_buffers = sqcq__load_relaxed(&from->refused[SQCQ__REFUSED_NO_BUFFERS]),
      .submitted = sqcq__load_relaxed(&from->submitted),
      .completed = sqcq__load_relaxed(&from->completed),
      .unsubmitted = sqcq__load_relaxed(&from->unsubmitted),
      .failed = sqcq__load_relaxed(&from->failed),
      .bytes = sqcq__load_relaxed(&from->bytes),
      .turns = sqcq__load_relaxed(&from->turns),
      .turns_idle = sqcq__load_relaxed(&from->turns_idle),
      .enters = sqcq__load_relaxed(&from->enters),
      .sleeps = sqcq__load_relaxed(&from->sleeps),
      .io_wakes = sqcq__load_relaxed(&engine->sleeper.wakes),
      .files_retired = sqcq__load_relaxed(&from->files_retired),
      .syscalls_control = sqcq__load_relaxed(&from->syscalls_control),
      .inflight = sqcq__load_relaxed(&from->inflight),
      .waiting = sqcq__load_relaxed(&from->waiting),
      .cq_overflow = sqcq__load_relaxed(&from->cq_overflow),
      .batches_out = sqcq__load_relaxed(&engine->io.router.batches),
      .producer_sleeps = sqcq__load_relaxed(&engine->rooms.sleeps),
      .producer_wakes = sqcq__load_relaxed(&engine->rooms.wakes),
      .notices_fired = sqcq__load_relaxed(&engine->rooms.fired),
  };

  for (uint32_t i = 0; i < engine->config.user.channels_max; i++) {
    now.consumer_sleeps += sqcq__load_relaxed(&engine->channels[i].waiter.sleeps);
    now.consumer_wakes += sqcq__load_relaxed(&engine->channels[i].waiter.wakes);
    raise(&now.channel_high_water, sqcq__channel_high_water(&engine->channels[i]));
  }
  for (uint32_t i = 0; i < engine->lanes.count; i++)
    add_lane(&now, &engine->lanes.lanes[i]);
  for (uint32_t i = 0; i < engine->own.count; i++)
    add_lane(&now, &engine->own.lanes[i].lane);
  memset(stats, 0, stats_size);
  memcpy(stats, &now, stats_size < sizeof(now) ? stats_size : sizeof(now));
  return 0;
}

int sqcq_engine_features(const struct sqcq_engine *engine, struct sqcq_feature *features,
                         uint32_t max, size_t feature_size)
{
  if (engine == NULL || (features == NULL && max > 0) ||
      feature_size != sizeof(struct sqcq_feature))
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  return sqcq__features_list(&engine->features, features, max);
}

int sqcq_channel_stats(const struct sqcq_engine *engine, sqcq_channel channel,
                       struct sqcq_channel_counters *stats, size_t stats_size)
{
  if (engine == NULL || stats == NULL || stats_size == 0)
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  int error = sqcq__channel_check(engine, channel.id);
  if (error < 0)
    return error;

  const struct sqcq__channel *from = &engine->channels[sqcq__handle_index(channel.id)];
  struct sqcq_channel_counters now = {
      .capacity = sqcq__load_relaxed(&from->credit.capacity),
      .unread = sqcq__channel_unread(from),
      .high_water = sqcq__channel_high_water(from),
      .sleeps = sqcq__load_relaxed(&from->waiter.sleeps),
      .wakes = sqcq__load_relaxed(&from->waiter.wakes),
  };
  /* After the numbers: if it is still that channel, they were its own. */
  sqcq__looks_fence();
  uint64_t word = sqcq__load_acquire(&from->credit.word);
  if (sqcq__word_generation(word) != sqcq__handle_generation(channel.id) ||
      (sqcq__word_state(word) & SQCQ__CREDIT_FREE) != 0)
    return -EPIPE;
  now.taken = sqcq__credit_taken(word);
  memset(stats, 0, stats_size);
  memcpy(stats, &now, stats_size < sizeof(now) ? stats_size : sizeof(now));
  return 0;
}

int sqcq_engine_histogram(const struct sqcq_engine *engine, unsigned stage,
                          struct sqcq_histogram *histogram, size_t histogram_size)
{
  if (engine == NULL || histogram == NULL || stage >= SQCQ__STAGES ||
      histogram_size != sizeof(*histogram))
    return -EINVAL;
  if (sqcq__forked(engine))
    return -EPERM;
  if (engine->histograms == NULL)
    return -EOPNOTSUPP;
  sqcq__histogram_read(&engine->histograms[stage], histogram);
  return 0;
}
