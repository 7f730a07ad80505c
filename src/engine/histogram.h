/*
 * How long requests take, by stage: log-linear histograms. Doorway I, C -> any.
 *
 * Only where SQCQ_ENGINE_HISTOGRAMS asks for them. Queue and device are written by the I/O thread
 * alone, delivery by all consumers. relaxed everywhere: numbers, with nothing behind them.
 *
 * Eight buckets for each power of two, so that a bucket's bounds are an eighth apart at the most; below 8
 * ns one for each. The last one takes all that is longer.
 */
#ifndef SQCQ_ENGINE_HISTOGRAM_H
#define SQCQ_ENGINE_HISTOGRAM_H

#include "base/atomics.h"

#include <sqcq/sqcq.h>

#include <stdint.h>

#define SQCQ__STAGES 3u

struct sqcq__histogram {
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t sum_ns; /* W: I, or C; R: any; these all */
  _Atomic uint64_t max_ns;
  _Atomic uint64_t buckets[SQCQ_HISTOGRAM_BUCKETS];
};

/* Where a time belongs. */
uint32_t sqcq__histogram_bucket(uint64_t ns);

/* One more, by the histogram's only writer; by one of several. Negative times count as 0. */
void sqcq__histogram_add(struct sqcq__histogram *histogram, int64_t ns);
void sqcq__histogram_add_shared(struct sqcq__histogram *histogram, int64_t ns);

/* A copy, in which count is the sum of the buckets, and the longest is in the last one or beyond. */
void sqcq__histogram_read(const struct sqcq__histogram *histogram, struct sqcq_histogram *out);

#endif
