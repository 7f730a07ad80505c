/*
 * Random numbers that replay: xoshiro256**, seeded through splitmix64. Not for secrets.
 *
 * A test takes its seed with rng_seed_from_env(), which prints it; SQCQ_SEED=<number> runs the
 * same tape again. One struct rng belongs to one thread: give each its own, by rng_split().
 */
#ifndef SQCQ_TESTS_SUPPORT_RNG_H
#define SQCQ_TESTS_SUPPORT_RNG_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct rng {
  uint64_t state[4];
};

/* One step of splitmix64; also good for hashing a number. */
static inline uint64_t rng_mix(uint64_t *state)
{
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static inline void rng_seed(struct rng *rng, uint64_t seed)
{
  for (int i = 0; i < 4; i++)
    rng->state[i] = rng_mix(&seed);
}

static inline uint64_t rng_rotate(uint64_t value, int bits)
{
  return (value << bits) | (value >> (64 - bits));
}

static inline uint64_t rng_next(struct rng *rng)
{
  uint64_t *s = rng->state;
  uint64_t result = rng_rotate(s[1] * 5, 7) * 9;
  uint64_t shifted = s[1] << 17;

  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rng_rotate(s[3], 45);
  return result;
}

/* 0 to below - 1. The bias of the modulo is too small to matter to a test. */
static inline uint64_t rng_below(struct rng *rng, uint64_t below)
{
  return below == 0 ? 0 : rng_next(rng) % below;
}

/* low to high, both included. */
static inline uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
  return low + rng_below(rng, high - low + 1);
}

/* True in `percent` of 100 calls; 0 and 100 are never and always. */
static inline bool rng_percent(struct rng *rng, uint32_t percent)
{
  return rng_below(rng, 100) < percent;
}

/* A generator of its own for another thread or part. */
static inline void rng_split(struct rng *rng, struct rng *other)
{
  rng_seed(other, rng_next(rng));
}

/* SQCQ_SEED where it is set (any base that C writes numbers in), else `given`. Prints the line
 * that runs it again. */
static inline uint64_t rng_seed_from_env(uint64_t given)
{
  const char *text = getenv("SQCQ_SEED");
  uint64_t seed = given;

  if (text != NULL && *text != '\0') {
    char *end;

    seed = strtoull(text, &end, 0);
    if (*end != '\0') {
      fprintf(stderr, "SQCQ_SEED=%s is no number\n", text);
      exit(2);
    }
  }
  printf("seed: run again with SQCQ_SEED=%#" PRIx64 "\n", seed);
  fflush(stdout);
  return seed;
}

#endif
