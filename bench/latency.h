/* The clock, and how often which time was seen. */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stdint.h>

uint64_t bench_now(void); /* CLOCK_MONOTONIC, nanoseconds */

/* Nanoseconds, 64 slots to a power of two: 1.6 % wide. */
#define BENCH_LATENCY_BITS 6
#define BENCH_LATENCY_SLOTS ((64 - BENCH_LATENCY_BITS + 1) << BENCH_LATENCY_BITS)
struct bench_latency {
  uint64_t count;
  uint64_t worst_ns;
  uint64_t slots[BENCH_LATENCY_SLOTS];
};

struct bench_latency *bench_latency_new(void); /* to be freed */
void bench_latency_add(struct bench_latency *latency, uint64_t ns);
void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from);
uint64_t bench_latency_at(const struct bench_latency *latency, double quantile);

#endif
