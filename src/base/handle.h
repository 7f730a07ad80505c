/*
 * Handles and state words. Plain values, no state.
 *
 *   handle      generation (32) | index (20) | engine tag (12)
 *   state word  generation (32) | state (32)
 *
 * A handle is current while the generation in the state word of its index is its own. Generations
 * start at 1 and skip 0, so that the handle {0} is never current. The tag tells engines of one
 * process apart.
 */
#ifndef SQCQ_BASE_HANDLE_H
#define SQCQ_BASE_HANDLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define SQCQ__TAG_BITS 12
#define SQCQ__TAG_MASK ((1u << SQCQ__TAG_BITS) - 1)
#define SQCQ__INDEX_MASK ((1u << 20) - 1)

static inline uint64_t sqcq__handle(uint32_t generation, uint32_t index, uint32_t tag)
{
  return (uint64_t)generation << 32 | (uint64_t)index << SQCQ__TAG_BITS | tag;
}

static inline uint32_t sqcq__handle_generation(uint64_t handle)
{
  return (uint32_t)(handle >> 32);
}

static inline uint32_t sqcq__handle_index(uint64_t handle)
{
  return (uint32_t)(handle >> SQCQ__TAG_BITS) & SQCQ__INDEX_MASK;
}

static inline uint32_t sqcq__handle_tag(uint64_t handle)
{
  return (uint32_t)handle & SQCQ__TAG_MASK;
}

/* The same handle with other tag bits. */
static inline uint64_t sqcq__handle_retag(uint64_t handle, uint32_t tag)
{
  return (handle & ~(uint64_t)SQCQ__TAG_MASK) | tag;
}

/* Whether a handle is one of these, current or not: 0; `none` where it is {0}; or -EINVAL. */
static inline int sqcq__handle_check(uint64_t handle, uint32_t tag, uint32_t count, int none)
{
  if (sqcq__handle_tag(handle) == tag && sqcq__handle_index(handle) < count)
    return 0;
  return handle == 0 ? none : -EINVAL;
}

static inline uint64_t sqcq__word(uint32_t generation, uint32_t state)
{
  return (uint64_t)generation << 32 | state;
}

static inline uint32_t sqcq__word_generation(uint64_t word)
{
  return (uint32_t)(word >> 32);
}

static inline uint32_t sqcq__word_state(uint64_t word)
{
  return (uint32_t)word;
}

static inline uint32_t sqcq__generation_after(uint32_t generation)
{
  return generation + 1 == 0 ? 1 : generation + 1;
}

#endif
