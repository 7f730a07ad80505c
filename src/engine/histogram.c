#include "engine/histogram.h"

#include <stddef.h>
#include <string.h>

#define SUB_BITS 3u
#define SUB (1u << SUB_BITS)

uint32_t sqcq__histogram_bucket(uint64_t ns)
{
  if (ns < SUB)
    return (uint32_t)ns;
  uint32_t top = 63u - (uint32_t)__builtin_clzll(ns);
  uint32_t bucket = (top - SUB_BITS + 1) * SUB + (uint32_t)(ns >> (top - SUB_BITS) & (SUB - 1));
  return bucket < SQCQ_HISTOGRAM_BUCKETS ? bucket : SQCQ_HISTOGRAM_BUCKETS - 1;
}

uint64_t sqcq_histogram_bound(uint32_t bucket)
{
  if (bucket > SQCQ_HISTOGRAM_BUCKETS - 1)
    bucket = SQCQ_HISTOGRAM_BUCKETS - 1;
  if (bucket < SUB)
    return bucket;
  return (uint64_t)(SUB + bucket % SUB) << (bucket / SUB - 1);
}

void sqcq__histogram_add(struct sqcq__histogram *histogram, int64_t ns)
{
  uint64_t time = ns < 0 ? 0 : (uint64_t)ns;

  sqcq__count(&histogram->buckets[sqcq__histogram_bucket(time)], 1);
  sqcq__count(&histogram->sum_ns, time);
  if (time > sqcq__load_relaxed(&histogram->max_ns))
    sqcq__store_relaxed(&histogram->max_ns, time);
}

void sqcq__histogram_add_shared(struct sqcq__histogram *histogram, int64_t ns)
{
  uint64_t time = ns < 0 ? 0 : (uint64_t)ns;
  uint64_t most = sqcq__load_relaxed(&histogram->max_ns);

  sqcq__add_relaxed(&histogram->buckets[sqcq__histogram_bucket(time)], 1);
  sqcq__add_relaxed(&histogram->sum_ns, time);
  while (time > most && !sqcq__cas_relaxed(&histogram->max_ns, &most, time))
    continue;
}

void sqcq__histogram_read(const struct sqcq__histogram *histogram, struct sqcq_histogram *out)
{
  memset(out, 0, sizeof(*out));
  for (uint32_t i = 0; i < SQCQ_HISTOGRAM_BUCKETS; i++) {
    out->buckets[i] = sqcq__load_relaxed(&histogram->buckets[i]);
    out->count += out->buckets[i];
  }
  out->sum_ns = sqcq__load_relaxed(&histogram->sum_ns);
  out->max_ns = sqcq__load_relaxed(&histogram->max_ns);
  /* One that has come into its bucket may not have raised the longest yet. */
  for (uint32_t i = SQCQ_HISTOGRAM_BUCKETS; i-- > 0;) {
    if (out->buckets[i] == 0)
      continue;
    if (out->max_ns < sqcq_histogram_bound(i))
      out->max_ns = sqcq_histogram_bound(i);
    break;
  }
}

uint64_t sqcq_histogram_quantile(const struct sqcq_histogram *histogram, uint32_t per_million)
{
  uint64_t below = 0;

  if (histogram == NULL || histogram->count == 0 || per_million > 1000000)
    return 0;
  /* The rank of the one asked for, from 1; in this order it does not overflow. */
  uint64_t rank = histogram->count / 1000000 * per_million +
                  (histogram->count % 1000000 * per_million + 999999) / 1000000;
  for (uint32_t i = 0; i < SQCQ_HISTOGRAM_BUCKETS - 1; i++) {
    uint64_t end = sqcq_histogram_bound(i + 1) - 1;

    below += histogram->buckets[i];
    if (below >= rank && below > 0)
      return end < histogram->max_ns ? end : histogram->max_ns;
  }
  return histogram->max_ns;
}
