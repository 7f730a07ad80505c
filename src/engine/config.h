/*
 * Options of an engine: checked, defaults put in, every size derived. Room: S. Pure functions.
 */
#ifndef SQCQ_ENGINE_CONFIG_H
#define SQCQ_ENGINE_CONFIG_H

#include <sqcq/sqcq.h>

#include <stdint.h>

/* SQEs and CQEs of the engine's own beside reads and their cancels: the wake poll and its cancel,
 * the alarm and its cancel, and closes of retired files. */
#define SQCQ__CLOSES_MAX 16u
#define SQCQ__OWN_OPS_MAX (SQCQ__CLOSES_MAX + 4u)

struct sqcq__config {
  struct sqcq_engine_config user; /* complete: no field left to its default */
  uint32_t sq_entries;
  uint32_t cq_entries;
  uint32_t inflight_max; /* default of a channel */
};

/* 0, or -EINVAL with *why (not NULL) naming the field. `given` may be NULL. */
int sqcq__config_resolve(const struct sqcq_engine_config *given, struct sqcq__config *config,
                         struct sqcq_explanation *why);

/* The smallest power of two not below n. */
uint32_t sqcq__pow2_ceil(uint32_t n);

#endif
