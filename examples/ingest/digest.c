/*
 * Counting and hashing. Room: the file's consumer.
 */
#include "digest.h"

#include <string.h>

typedef uint8_t lane_bytes __attribute__((vector_size(32)));

/* Newlines: 32 bytes at a time in 8-bit counters, which hold 255 rounds. */
static uint64_t count_lines(const uint8_t *data, size_t length)
{
  uint64_t lines = 0;
  size_t at = 0;

  while (length - at >= sizeof(lane_bytes)) {
    size_t rounds = (length - at) / sizeof(lane_bytes);
    lane_bytes sum = {0};

    if (rounds > 255)
      rounds = 255;
    for (size_t i = 0; i < rounds; i++, at += sizeof(lane_bytes)) {
      lane_bytes bytes;

      memcpy(&bytes, data + at, sizeof bytes);
      sum -= (lane_bytes)(bytes == '\n'); /* true is all ones, that is -1 */
    }
    for (size_t i = 0; i < sizeof sum; i++)
      lines += sum[i];
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
