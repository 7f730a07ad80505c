/*
 * A tape as bytes, for files and for a fuzzer: the seed in 8 bytes, then 17 for each step, its
 * operation and its four numbers; all of them little-endian. Any bytes are a tape.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_FILE_H
#define SQCQ_TESTS_PROPERTY_TAPE_FILE_H

#include "tape.h"

#define TAPE_SEED_BYTES 8u
#define TAPE_STEP_BYTES 17u
#define TAPE_BYTES_MAX (TAPE_SEED_BYTES + TAPE_STEPS_MAX * TAPE_STEP_BYTES)

static inline uint64_t tape_number(const uint8_t *bytes, uint32_t count)
{
  uint64_t number = 0;

  for (uint32_t i = count; i-- > 0;)
    number = number << 8 | bytes[i];
  return number;
}

/* How many steps. */
static inline uint32_t tape_from_bytes(const uint8_t *bytes, size_t size, uint64_t *seed,
                                       struct tape_step *steps)
{
  uint32_t count = 0;

  *seed = tape_number(bytes, (uint32_t)(size < TAPE_SEED_BYTES ? size : TAPE_SEED_BYTES));
  for (size_t at = TAPE_SEED_BYTES; at + TAPE_STEP_BYTES <= size && count < TAPE_STEPS_MAX;
       at += TAPE_STEP_BYTES) {
    struct tape_step *step = &steps[count++];

    step->op = bytes[at] % TAPE_OPS;
    for (uint32_t i = 0; i < 4; i++)
      step->r[i] = (uint32_t)tape_number(bytes + at + 1 + i * 4, 4);
  }
  return count;
}

static inline void tape_put(uint8_t **to, uint64_t number, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++)
    *(*to)++ = (uint8_t)(number >> (8 * i));
}

static inline size_t tape_to_bytes(uint64_t seed, const struct tape_step *steps, uint32_t count,
                                   uint8_t *bytes)
{
  uint8_t *to = bytes;

  tape_put(&to, seed, TAPE_SEED_BYTES);
  for (uint32_t i = 0; i < count; i++) {
    tape_put(&to, steps[i].op, 1);
    for (uint32_t j = 0; j < 4; j++)
      tape_put(&to, steps[i].r[j], 4);
  }
  return (size_t)(to - bytes);
}

/* False where the file cannot be written. */
static inline bool tape_write_file(const char *path, uint64_t seed, const struct tape_step *steps,
                                   uint32_t count)
{
  static uint8_t bytes[TAPE_BYTES_MAX];
  size_t size = tape_to_bytes(seed, steps, count, bytes);
  FILE *file = fopen(path, "wb");

  if (file == NULL)
    return false;
  bool written = fwrite(bytes, 1, size, file) == size;
  return fclose(file) == 0 && written;
}

/* False where it cannot be read. */
static inline bool tape_read_file(const char *path, uint64_t *seed, struct tape_step *steps,
                                  uint32_t *count)
{
  static uint8_t bytes[TAPE_BYTES_MAX];
  FILE *file = fopen(path, "rb");

  if (file == NULL)
    return false;
  size_t size = fread(bytes, 1, sizeof(bytes), file);
  bool read = ferror(file) == 0;
  fclose(file);
  *count = tape_from_bytes(bytes, size, seed, steps);
  return read;
}

#endif
