/* See latency.h. */
#include "latency.h"

#include "flags.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

uint64_t bench_now(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct bench_latency *bench_latency_new(void)
{
  struct bench_latency *latency = calloc(1, sizeof *latency);

  if (!latency)
    bench_die("latencies", ENOMEM);
  return latency;
}

void bench_latency_add(struct bench_latency *latency, uint64_t ns)
{
  const uint32_t per_power = 1u << BENCH_LATENCY_BITS;
  uint64_t slot = ns;

  if (ns >= per_power) {
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - BENCH_LATENCY_BITS;

    slot = ((uint64_t)(shift + 1) << BENCH_LATENCY_BITS) + ((ns >> shift) & (per_power - 1));
  }
  latency->slots[slot]++;
  latency->count++;
  if (ns > latency->worst_ns)
    latency->worst_ns = ns;
}

void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from)
{
  into->count += from->count;
  if (from->worst_ns > into->worst_ns)
    into->worst_ns = from->worst_ns;
  for (uint32_t i = 0; i < BENCH_LATENCY_SLOTS; i++)
    into->slots[i] += from->slots[i];
}

uint64_t bench_latency_at(const struct bench_latency *latency, double quantile)
{
  const uint64_t per_power = 1u << BENCH_LATENCY_BITS;
  uint64_t wanted = (uint64_t)(quantile * (double)latency->count);
  uint64_t seen = 0;

  for (uint64_t i = 0; i < BENCH_LATENCY_SLOTS; i++) {
    seen += latency->slots[i];
    if (seen > wanted)
      return i < per_power ? i : (per_power + i % per_power) << (i / per_power - 1);
  }
  return 0;
}
