#include "engine/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_DEFAULT 256u
#define REQUESTS_DEFAULT 4096u
#define CHANNELS_DEFAULT 64u
#define LANES_LEAST 4u
#define LANE_SLOTS_DEFAULT 256u
#define FILES_DEFAULT 1024u
#define POOLS_DEFAULT 16u
#define BUFFERS_DEFAULT 4096u
#define CANCELS_DEFAULT 64u
#define SPIN_DEFAULT_NS 20000u /* about what a sleep and a wake cost */
#define SQPOLL_IDLE_DEFAULT_MS 10u
#define NOTICES_DEFAULT 64u

#define FLAGS_ALL                                                                                  \
  (SQCQ_ENGINE_SQPOLL | SQCQ_ENGINE_IOPOLL | SQCQ_ENGINE_NO_FIXED_FILES | SQCQ_ENGINE_NO_DEFER |   \
   SQCQ_ENGINE_EVENT_LOOP | SQCQ_ENGINE_HISTOGRAMS)

uint32_t sqcq__pow2_ceil(uint32_t n)
{
  uint32_t power = 1;

  while (power < n)
    power *= 2;
  return power;
}

static uint32_t lanes_default(void)
{
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t lanes = cpus < 1 ? LANES_LEAST : (uint32_t)cpus * 2;

  if (lanes < LANES_LEAST)
    lanes = LANES_LEAST;
  return lanes > SQCQ_LANES_SHARED_MAX ? SQCQ_LANES_SHARED_MAX : lanes;
}

void sqcq_engine_config_init(struct sqcq_engine_config *config)
{
  if (config == NULL)
    return;
  *config = (struct sqcq_engine_config){
      .size = sizeof(*config),
      .depth = DEPTH_DEFAULT,
      .requests_max = REQUESTS_DEFAULT,
      .lanes_shared = lanes_default(),
      .lane_slots = LANE_SLOTS_DEFAULT,
      .files_max = FILES_DEFAULT,
      .pools_max = POOLS_DEFAULT,
      .buffers_max = BUFFERS_DEFAULT,
      .idle = SQCQ_IDLE_SPIN_SLEEP,
      .spin_ns = SPIN_DEFAULT_NS,
      .sqpoll_idle_ms = SQPOLL_IDLE_DEFAULT_MS,
      .cancels_max = CANCELS_DEFAULT,
      .notices_max = NOTICES_DEFAULT,
  };
}

static int refuse(struct sqcq_explanation *why, const char *field, uint64_t value, const char *rule,
                  uint64_t limit)
{
  *why = (struct sqcq_explanation){
      .error = -EINVAL, .reason = SQCQ_REASON_CONFIG, .needed = value, .limit = limit};
  (void)snprintf(why->text, sizeof(why->text), "config: %s is %llu, must be %s", field,
                 (unsigned long long)value, rule);
  return -EINVAL;
}

static bool is_pow2(uint32_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

/* Copy what the caller's version of the struct has; zero means default, save for depth. */
static int take_given(const struct sqcq_engine_config *given, struct sqcq_engine_config *user,
                      struct sqcq_explanation *why)
{
  struct sqcq_engine_config defaults;

  sqcq_engine_config_init(&defaults);
  if (given == NULL)
    given = &defaults;
  if (given->size < offsetof(struct sqcq_engine_config, requests_max) || given->size > 4096)
    return refuse(why, "size", given->size, "sizeof(struct sqcq_engine_config)", sizeof(*given));
  memset(user, 0, sizeof(*user));
  memcpy(user, given, given->size < sizeof(*user) ? given->size : sizeof(*user));
  /* A newer caller's fields that this library does not know must be left at their default. */
  for (uint32_t i = sizeof(*user); i < given->size; i++)
    if (((const unsigned char *)given)[i] != 0)
      return refuse(why, "size", given->size, "that of this library or smaller", sizeof(*user));
  user->size = sizeof(*user);
#define DEFAULT(field)                                                                             \
  if (user->field == 0)                                                                            \
  user->field = defaults.field
  DEFAULT(requests_max);
  DEFAULT(lanes_shared);
  DEFAULT(lane_slots);
  DEFAULT(files_max);
  DEFAULT(pools_max);
  DEFAULT(buffers_max);
  DEFAULT(spin_ns);
  DEFAULT(sqpoll_idle_ms);
  DEFAULT(cancels_max);
  DEFAULT(notices_max);
#undef DEFAULT
  if (user->channels_max == 0) {
    /* Each keeps a place of the depth: no more than a quarter of it by default. */
    user->channels_max = user->depth / 4 < CHANNELS_DEFAULT ? user->depth / 4 : CHANNELS_DEFAULT;
    if (user->channels_max == 0)
      user->channels_max = 1;
  }
  if (user->files_fixed == 0)
    user->files_fixed =
        user->files_max < SQCQ_FILES_FIXED_MAX ? user->files_max : SQCQ_FILES_FIXED_MAX;
  return 0;
}

int sqcq__config_resolve(const struct sqcq_engine_config *given, struct sqcq__config *config,
                         struct sqcq_explanation *why)
{
  struct sqcq_engine_config *user = &config->user;
  int error = take_given(given, user, why);

  if (error < 0)
    return error;
#define BOUND(field, limit)                                                                        \
  if (user->field > (limit))                                                                       \
  return refuse(why, #field, user->field, "1 to " #limit, (limit))
  if ((user->flags & ~FLAGS_ALL) != 0)
    return refuse(why, "flags", user->flags, "of SQCQ_ENGINE_*", FLAGS_ALL);
  if ((user->flags & SQCQ_ENGINE_SQPOLL) != 0 && (user->flags & SQCQ_ENGINE_IOPOLL) != 0)
    return refuse(why, "flags", user->flags, "SQPOLL or IOPOLL, not both", FLAGS_ALL);
  if (!is_pow2(user->depth) || user->depth > SQCQ_DEPTH_MAX)
    return refuse(why, "depth", user->depth, "a power of two, 1 to SQCQ_DEPTH_MAX", SQCQ_DEPTH_MAX);
  BOUND(requests_max, SQCQ_REQUESTS_MAX);
  BOUND(channels_max, SQCQ_CHANNELS_MAX);
  if (user->channels_max > user->depth)
    return refuse(why, "channels_max", user->channels_max,
                  "at most depth: each channel is sure of one read in flight", user->depth);
  BOUND(lanes_shared, SQCQ_LANES_SHARED_MAX);
  if (!is_pow2(user->lane_slots) || user->lane_slots > SQCQ_LANE_SLOTS_MAX)
    return refuse(why, "lane_slots", user->lane_slots, "a power of two, 1 to SQCQ_LANE_SLOTS_MAX",
                  SQCQ_LANE_SLOTS_MAX);
  BOUND(files_max, SQCQ_FILES_MAX);
  BOUND(files_fixed, SQCQ_FILES_FIXED_MAX);
  BOUND(pools_max, SQCQ_POOLS_MAX);
  BOUND(buffers_max, SQCQ_BUFFERS_MAX);
  BOUND(cancels_max, SQCQ_CANCELS_MAX);
  BOUND(notices_max, SQCQ_NOTICES_MAX);
#undef BOUND
  if (user->lanes_own > SQCQ_LANES_OWN_MAX)
    return refuse(why, "lanes_own", user->lanes_own, "0 to SQCQ_LANES_OWN_MAX", SQCQ_LANES_OWN_MAX);
  if (user->idle > SQCQ_IDLE_BUSY)
    return refuse(why, "idle", user->idle, "of enum sqcq_idle", SQCQ_IDLE_BUSY);
  if (user->sqpoll_cpu < 0)
    return refuse(why, "sqpoll_cpu", (uint64_t)(int64_t)user->sqpoll_cpu, "a CPU + 1, or 0", 0);

  if (user->vectors_max > SQCQ_VECTOR_MAX)
    return refuse(why, "vectors_max", user->vectors_max, "0 to SQCQ_VECTOR_MAX", SQCQ_VECTOR_MAX);
  if (user->io_workers_bounded > INT32_MAX)
    return refuse(why, "io_workers_bounded", user->io_workers_bounded, "0 to INT32_MAX", INT32_MAX);
  if (user->io_workers_unbounded > INT32_MAX)
    return refuse(why, "io_workers_unbounded", user->io_workers_unbounded, "0 to INT32_MAX",
                  INT32_MAX);

  config->sq_entries = sqcq__pow2_ceil(user->depth + SQCQ__OWN_OPS_MAX);
  /* A read and its cancel for each place of the depth: the CQ cannot overflow. */
  config->cq_entries = sqcq__pow2_ceil(2 * user->depth + SQCQ__OWN_OPS_MAX);
  config->inflight_max =
      user->channels_max > 1 && user->depth >= 4 ? user->depth - user->depth / 4 : user->depth;
  return 0;
}
