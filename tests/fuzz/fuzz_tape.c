/*
 * The tapes of tests/property, made by libFuzzer: bytes are a tape (property/tape_file.h), which is
 * played against the model, and a failed check aborts. Only with clang, in a preset of its own:
 *
 *   cmake --preset fuzz && cmake --build --preset fuzz
 *   build/fuzz/tests/fuzz.tape -max_len=4096 -timeout=120 DIR tests/fuzz/corpus
 *
 * New tapes go to DIR, one that fails to ./crash-*. What it is about, any build tells:
 *
 *   build/dev/tests/fuzz.replay crash-*       see replay_tape.c
 *
 * The corpus, which every build plays as fuzz.corpus: tapes named by hashes reach, together, all that
 * was ever reached; found-* have found a mistake, fault-* a fault put into src/ on purpose. When
 * tests/property changes, bytes mean something else, and they reach less. To make it anew, with those
 * two kept, in some 100 tapes:
 *
 *   mkdir NEW && cp tests/fuzz/corpus/{found,fault}-* NEW
 *   build/fuzz/tests/fuzz.tape -merge=1 -set_cover_merge=1 -use_counters=0 -max_len=1500 \
 *     NEW tests/fuzz/corpus DIR
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "property/tape_file.h"
#include "property/tape_outside.h"
#include "property/tape_run.h"

#include <string.h>

static struct temp_dir dir;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t max);

static void clean_up(void)
{
  temp_dir_remove(&dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  temp_dir_make(&dir);
  tape_make_files(&dir);
  atexit(clean_up);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  static struct tape_step steps[TAPE_STEPS_MAX];
  struct tape_shared shared = {.aborts = true};
  uint64_t seed;
  uint32_t count = tape_from_bytes(bytes, size, &seed, steps);

  tape_run(&shared, &dir, seed, steps, count, false);
  return 0;
}

/* Whole steps: some new ones, some dropped, or one number of one of them. */
static uint32_t change_steps(struct tape_step *steps, uint32_t count, uint32_t max, struct rng *rng)
{
  uint32_t at = (uint32_t)rng_below(rng, count + 1), left = count - at;
  uint32_t n = (uint32_t)rng_between(rng, 1, 8);

  switch (rng_below(rng, 3)) {
  case 0:
    n = n < max - count ? n : max - count;
    memmove(steps + at + n, steps + at, left * sizeof(*steps));
    for (uint32_t i = 0; i < n; i++)
      tape_draw_step(rng, &steps[at + i]);
    return count + n;
  case 1:
    n = n < left ? n : left;
    memmove(steps + at, steps + at + n, (left - n) * sizeof(*steps));
    return count - n;
  default:
    if (left > 0)
      steps[at].r[rng_below(rng, 4)] = (uint32_t)rng_next(rng);
    return count;
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max, unsigned seed)
{
  static struct tape_step steps[TAPE_STEPS_MAX];
  size_t steps_max = max < TAPE_SEED_BYTES ? 0 : (max - TAPE_SEED_BYTES) / TAPE_STEP_BYTES;
  uint64_t tape_seed;
  struct rng rng;

  rng_seed(&rng, seed);
  uint32_t count = tape_from_bytes(bytes, size, &tape_seed, steps);
  if (steps_max > TAPE_STEPS_MAX)
    steps_max = TAPE_STEPS_MAX;
  if (count > steps_max || steps_max == 0 || rng_percent(&rng, 30))
    return LLVMFuzzerMutate(bytes, size, max);
  if (rng_percent(&rng, 10))
    tape_seed = rng_next(&rng); /* another kernel, another configuration */
  count = change_steps(steps, count, (uint32_t)steps_max, &rng);
  return tape_to_bytes(tape_seed, steps, count, bytes);
}
