/* See sqcq_setup.h. */
#include "sqcq_setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct options options = {.fixed = 1, .files_fixed = 1, .many = 1};
struct sqcq_engine *engine;
sqcq_file file;
sqcq_buffer buffers[BENCH_REQUESTS_MAX];
sqcq_channel channels[BENCH_CONSUMERS_MAX];
uint32_t channel_count;

static sqcq_pool pool;

void die(const char *what, int error)
{
  fprintf(stderr, "%s: %s: %s\n", bench_name, what, sqcq_strerror(error));
  _Exit(BENCH_FAILED);
}

static uint32_t power_of_two(uint32_t least)
{
  uint32_t power = 1;

  while (power < least)
    power *= 2;
  return power;
}

static void make_engine(void)
{
  struct sqcq_engine_config config;
  struct sqcq_explanation why;
  int error;

  sqcq_engine_config_init(&config);
  /* Only the harness' own bound, qd, shall ever be met: each channel can have all of it. */
  config.depth = options.depth ? options.depth : power_of_two(bench.qd + channel_count - 1);
  config.channels_max = channel_count;
  config.requests_max = bench.qd * channel_count;
  config.lanes_shared = options.lanes;
  config.lanes_own = options.own_lanes ? bench.producers : 0;
  config.lane_slots = options.lane_slots ? options.lane_slots : power_of_two(bench.qd + 1);
  config.idle = options.idle;
  if (options.spin_us)
    config.spin_ns = options.spin_us * 1000;
  config.consumer_spin_ns = options.consumer_spin_us * 1000;
  if (!options.files_fixed)
    config.flags |= SQCQ_ENGINE_NO_FIXED_FILES;
  error = sqcq_engine_create(&engine, &config, &why);
  if (error) {
    fprintf(stderr, "%s: sqcq_engine_create: %s\n", bench_name, why.text);
    _Exit(error == -ENOSYS || error == -EPERM ? BENCH_SKIPPED : BENCH_FAILED);
  }
}

static void make_channels(void)
{
  struct sqcq_channel_config config = {.size = sizeof config, .capacity = bench.qd};
  int error;

  config.inflight_min = 1; /* and no other bound but the depth */
  config.inflight_max = options.depth && options.depth < bench.qd ? options.depth : bench.qd;
  for (uint32_t c = 0; c < channel_count; c++) {
    error = sqcq_channel_create(engine, &config, &channels[c]);
    if (error)
      die("sqcq_channel_create", error);
  }
}

static void make_buffers(void)
{
  struct sqcq_pool_config config = {.size = sizeof config,
                                    .flags = options.fixed ? SQCQ_POOL_FIXED : 0,
                                    .count = bench.qd,
                                    .buffer_size = bench.bs};
  uint32_t count = 0;
  int result = sqcq_pool_create(engine, &config, &pool);

  if (result)
    die("sqcq_pool_create", result);
  while (count < bench.qd) {
    result = sqcq_buffer_acquire(engine, pool, &buffers[count], bench.qd - count);
    if (result < 0)
      die("sqcq_buffer_acquire", result);
    count += (uint32_t)result;
  }
  for (uint32_t i = 0; i < bench.qd; i++) {
    bench.requests[i].data = sqcq_buffer_data(engine, buffers[i]);
    memset(bench.requests[i].data, 0, bench.bs); /* there before the clock starts */
  }
}

void print_features(void)
{
  struct sqcq_feature features[64];
  int count = sqcq_engine_features(engine, features, 64, sizeof *features);

  for (int i = 0; i < count && i < 64; i++) {
    const struct sqcq_feature *feature = &features[i];

    fprintf(stderr, "%-24s %s", feature->name, feature->state == SQCQ_FEATURE_ON ? "on" : "off");
    if (feature->state == SQCQ_FEATURE_REFUSED)
      fprintf(stderr, " (%s)", sqcq_strerror(feature->error));
    fprintf(stderr, "%s%s\n", *feature->instead ? ", instead: " : "", feature->instead);
  }
}

void set_up(void)
{
  int error;

  channel_count = options.solo ? 1 : bench.consumers;
  if (!channel_count)
    bench_die("needs --consumers 1 or more, or --solo 1", 0);
  if (!options.min) {
    /* Half a batch, so that a consumer works while its producers request the other half. */
    uint32_t share = bench.qd / channel_count / 2;

    options.min = bench.batch / 2 < share ? bench.batch / 2 : share;
    if (!options.min)
      options.min = 1;
  }
  make_engine();
  make_channels();
  make_buffers();
  error = sqcq_file_add(engine, bench.fd, &file);
  if (error)
    die("sqcq_file_add", error);
}

bool tear_down(void)
{
  struct sqcq_held held;
  int error;

  for (uint32_t done = 0; done < bench.qd;) {
    int result = sqcq_buffer_release(engine, &buffers[done], bench.qd - done);

    if (result < 0)
      die("sqcq_buffer_release", result);
    done += (uint32_t)result;
  }
  error = sqcq_engine_destroy(engine, &held);
  if (!error)
    return true;
  fprintf(stderr, "%s: sqcq_engine_destroy: %s: running %u inflight %u unread %u buffers %u\n",
          bench_name, sqcq_strerror(error), held.running, held.inflight, held.unread, held.buffers);
  return false;
}
