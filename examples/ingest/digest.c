/*
 * Counting and hashing. Room: the file's consumer.
 */
#include "digest.h"

#include <string.h>

/* What every processor has in one register; wider ones are compiled into single bytes there. */
typedef uint8_t vector __attribute__((vector_size(16)));

#define VECTORS 4u /* at once: each waits for its own last sum only */

static inline vector newlines(const uint8_t *data)
{
  vector bytes;

  memcpy(&bytes, data, sizeof bytes);
  return (vector)(bytes == '\n'); /* true is all ones, that is -1 */
}

/* Newlines: in 8-bit counters, which hold 255 rounds. */
static uint64_t count_lines(const uint8_t *data, size_t length)
{
  uint64_t lines = 0;
  size_t at = 0;

  while (length - at >= VECTORS * sizeof(vector)) {
    size_t rounds = (length - at) / (VECTORS * sizeof(vector));
    vector sum[VECTORS] = {0};

    if (rounds > 255)
      rounds = 255;
    for (size_t i = 0; i < rounds; i++, at += VECTORS * sizeof(vector))
      for (size_t j = 0; j < VECTORS; j++)
        sum[j] -= newlines(data + at + j * sizeof(vector));
    for (size_t j = 0; j < VECTORS; j++)
      for (size_t i = 0; i < sizeof(vector); i++)
        lines += sum[j][i];
  }
  for (; at < length; at++)
    lines += data[at] == '\n';
  return lines;
}

void digest_block(struct slot *slot, enum operation op, const uint8_t *data, uint32_t length,
                  bool last)
{
  bool first = slot->total == 0;

  slot->total += length;
  if (op == OP_LINES) {
    slot->lines += count_lines(data, length);
  } else if (op == OP_XXH3 && first && last) {
    slot->digest = XXH3_64bits(data, length);
  } else if (op == OP_XXH3) {
    if (first)
      (void)XXH3_64bits_reset(slot->hash);
    (void)XXH3_64bits_update(slot->hash, data, length);
    if (last)
      slot->digest = XXH3_64bits_digest(slot->hash);
  }
}
