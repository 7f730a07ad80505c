/*
 * What the engine uses of the kernel, and why not the rest. Doorway S, I -> any: each feature is
 * one word, written when its fate is known. relaxed: words for people, with nothing behind them.
 */
#ifndef SQCQ_ENGINE_FEATURES_H
#define SQCQ_ENGINE_FEATURES_H

#include "base/atomics.h"

#include <sqcq/sqcq.h>

#include <stddef.h>
#include <stdint.h>

struct sqcq__ring_traits;
struct sqcq__config;

enum sqcq__feature {
  SQCQ__FEATURE_SUBMIT_ALL,
  SQCQ__FEATURE_COOP_TASKRUN,
  SQCQ__FEATURE_SINGLE_ISSUER,
  SQCQ__FEATURE_DEFER_TASKRUN,
  SQCQ__FEATURE_RING_FD,
  SQCQ__FEATURE_TIMED_ENTER,
  SQCQ__FEATURE_POLL_MULTISHOT,
  SQCQ__FEATURE_FIXED_FILES,
  SQCQ__FEATURE_FIXED_BUFFERS,
  SQCQ__FEATURE_HUGE_PAGES,
  SQCQ__FEATURE_SQPOLL,
  SQCQ__FEATURE_IOPOLL,
  SQCQ__FEATURE_NOWAIT,
  SQCQ__FEATURE_DONTCACHE,
  SQCQ__FEATURE_FADVISE,
  SQCQ__FEATURE_IO_WORKERS,
  SQCQ__FEATURE_EVENTFD,
  SQCQ__FEATURE_FORK_GUARD,
  SQCQ__FEATURE_COUNT
};

struct sqcq__features {
  _Atomic uint64_t words[SQCQ__FEATURE_COUNT]; /* W: S, I; errno (32) | enum sqcq_feature_state */
  _Atomic uint64_t needed; /* W: S; of FIXED_BUFFERS, where the kernel refused */
  _Atomic uint64_t limit;
};

/* All that is known once the ring is made. */
void sqcq__features_init(struct sqcq__features *features, const struct sqcq__config *config,
                         const struct sqcq__ring_traits *traits);

/* error 0: on. */
void sqcq__features_set(struct sqcq__features *features, enum sqcq__feature feature, int error);

/* As sqcq_engine_features(), for checked arguments. */
int sqcq__features_list(const struct sqcq__features *features, struct sqcq_feature *out,
                        uint32_t max);

#endif
