/*
 * Steps of those who only look: features, counters, times; and a forked child, to whom every call is
 * refused. None of them changes anything for the others, which the checks after each step show.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_LOOK_H
#define SQCQ_TESTS_PROPERTY_TAPE_LOOK_H

#include "tape_io.h"

#include "support/forked.h"

#include <sys/wait.h>

#define TAPE_FEATURES 32
#define TAPE_FORKS 2u /* of one tape: one takes longer than a tape without */

/* ------------------------------------------------------------------------- */
/* Features                                                                  */
/* ------------------------------------------------------------------------- */

/* What a kernel refuses is refused, what the configuration does not ask for is off. */
static inline void tape_check_group(struct tape *tape, const struct sqcq_feature *feature,
                                    const char *name, bool wanted, uint32_t flags)
{
  bool refused = (tape->kernel.setup_refused & flags) != 0;

  if (strcmp(feature->name, name) != 0)
    return;
  uint32_t expected = !wanted ? SQCQ_FEATURE_OFF : refused ? SQCQ_FEATURE_REFUSED : SQCQ_FEATURE_ON;
  tape_check(tape, feature->state == expected, "%s is %u on %s, expected %u", name, feature->state,
             tape->version, expected);
}

static inline void tape_look_features(struct tape *tape, uint32_t max)
{
  struct sqcq_feature features[TAPE_FEATURES];
  bool defer = (tape->config.flags & SQCQ_ENGINE_NO_DEFER) == 0;
  bool sqpoll = (tape->config.flags & SQCQ_ENGINE_SQPOLL) != 0;
  int count = sqcq_engine_features(tape->engine, features, max, sizeof(features[0]));

  tape_check(tape, count > 0 && count <= TAPE_FEATURES, "%d features", count);
  for (uint32_t i = 0; i < (uint32_t)count && i < max; i++) {
    const struct sqcq_feature *feature = &features[i];

    tape_check(tape, (feature->state == SQCQ_FEATURE_ON) == (feature->instead[0] == '\0'), "%s",
               feature->name);
    tape_check(tape, (feature->state == SQCQ_FEATURE_REFUSED) == (feature->error != 0), "%s: %d",
               feature->name, feature->error);
    tape_check_group(tape, feature, "SUBMIT_ALL", true, IORING_SETUP_SUBMIT_ALL);
    tape_check_group(tape, feature, "COOP_TASKRUN", !sqpoll, IORING_SETUP_COOP_TASKRUN);
    tape_check_group(tape, feature, "SINGLE_ISSUER", defer, IORING_SETUP_SINGLE_ISSUER);
    tape_check_group(tape, feature, "DEFER_TASKRUN", defer && !sqpoll, IORING_SETUP_DEFER_TASKRUN);
    if (strcmp(feature->name, "DONTCACHE") == 0)
      tape_check(tape, feature->error == tape->kernel.dontcache_error, "DONTCACHE");
    if (strcmp(feature->name, "EXT_ARG") == 0)
      tape_check(tape,
                 (feature->error == 0) == ((tape->kernel.features & IORING_FEAT_EXT_ARG) != 0),
                 "EXT_ARG");
  }
}

/* ------------------------------------------------------------------------- */
/* Counters and times                                                        */
/* ------------------------------------------------------------------------- */

static inline void tape_look_channels(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_CHANNELS; i++) {
    const struct tape_channel *channel = &tape->channels[i];
    struct sqcq_channel_counters counters = {.capacity = 77};
    int result;

    if (channel->state == TAPE_NONE)
      continue;
    result = sqcq_channel_stats(tape->engine, channel->handle, &counters, sizeof(counters));
    if (channel->state == TAPE_DEAD) {
      /* Its place is free only after the next turn. */
      tape_check(tape, result == 0 || (result == -EPIPE && counters.capacity == 77),
                 "channel_stats: %d", result);
      continue;
    }
    tape_check(tape, result == 0, "channel_stats: %d", result);
    tape_check(tape, counters.capacity == channel->capacity, "capacity");
    tape_check(tape, counters.taken == channel->pending, "taken");
    tape_check(tape, counters.unread == tape_unread(tape, channel), "unread");
    tape_check(tape, counters.high_water >= counters.unread, "high_water");
  }
}

static inline void tape_look_times(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_histogram histogram;
  unsigned stage = r[0] % 4; /* 3: there is none */
  bool timed = (tape->config.flags & SQCQ_ENGINE_HISTOGRAMS) != 0;
  int expected = stage == 3 ? -EINVAL : timed ? 0 : -EOPNOTSUPP;
  int result = sqcq_engine_histogram(tape->engine, stage, &histogram, sizeof(histogram));

  tape_check(tape, result == expected, "histogram %u: %d", stage, result);
  if (result != 0)
    return;
  uint64_t sum = 0, low = sqcq_histogram_quantile(&histogram, r[1] % 500000);
  for (uint32_t i = 0; i < SQCQ_HISTOGRAM_BUCKETS; i++) {
    tape_check(tape, i == 0 || sqcq_histogram_bound(i - 1) < sqcq_histogram_bound(i), "bound");
    sum += histogram.buckets[i];
  }
  tape_check(tape, sum == histogram.count, "buckets");
  tape_check(tape, low <= sqcq_histogram_quantile(&histogram, 500000 + r[2] % 500001), "quantiles");
  tape_check(tape, histogram.max_ns <= histogram.sum_ns, "sum");
  tape_check(tape, histogram.count > 0 || low == 0, "a quantile of nothing");
}

static inline void tape_look(struct tape *tape, const uint32_t r[4])
{
  if (r[3] % 4 == 0)
    tape_look_features(tape, r[0] % TAPE_FEATURES);
  tape_look_channels(tape);
  tape_look_times(tape, r);
  tape_check(tape, sqcq_version()[0] != '\0' && sqcq_strerror(-(int)(r[0] % 140))[0] != '\0',
             "text");
  tape_say(tape, "look");
}

/* ------------------------------------------------------------------------- */
/* A child                                                                   */
/* ------------------------------------------------------------------------- */

static inline void tape_fork(struct tape *tape, const uint32_t r[4])
{
  struct forked_targets on = {.engine = tape->engine};
  int status = -1;

  if (r[0] % 8 != 0 || tape->forks == TAPE_FORKS)
    return;
  tape->forks++;
  for (uint32_t i = 0; i < TAPE_CHANNELS; i++)
    if (tape->channels[i].state == TAPE_OPEN)
      on.channel = tape->channels[i].handle;
  for (uint32_t i = 0; i < TAPE_POOLS; i++)
    if (tape->pools[i].state == TAPE_OPEN)
      on.pool = tape->pools[i].handle;
  for (uint32_t i = 0; i < TAPE_FILES; i++)
    if (tape->files[i].state == TAPE_OPEN)
      on.file = tape->files[i].handle;
  for (uint32_t i = 0; i < TAPE_LANES; i++)
    if (tape->lanes[i].state == TAPE_OPEN)
      on.lane = tape->lanes[i].handle;
  for (uint32_t i = 0; i < TAPE_BUFFERS; i++)
    if (tape->buffers[i].used && tape->buffers[i].owner == TAPE_OWNED)
      on.buffer = tape->buffers[i].handle;
  pid_t child = fork();
  if (child == 0)
    _exit(forked_calls(&on));
  tape_say(tape, "fork");
  tape_check(tape, child > 0, "fork");
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  tape_check(tape, status == 0, "in a child: status %#x, 0xNN00: call NN was not refused",
             (unsigned)status);
}

#endif
