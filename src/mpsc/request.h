/*
 * One request as it travels through a lane: plain data, one cache line, by value.
 *
 * Laid out for the whole contract: own lanes, cancel epochs, deadlines, hints and vectored reads
 * need no other fields.
 */
#ifndef SQCQ_MPSC_REQUEST_H
#define SQCQ_MPSC_REQUEST_H

#include "base/atomics.h"
#include "base/handle.h"

#include <stdint.h>

enum sqcq__request_op {
  SQCQ__REQUEST_READ = 0,
  SQCQ__REQUEST_VECTOR = 1, /* buffer is the first of a chain */
  SQCQ__REQUEST_ADVICE = 2  /* POSIX_FADV_*: no buffer, and 0 in its place */
};

struct sqcq__request {
  /* Handles, each with something else in the 12 bits of the tag: the channel's index; and the
   * pool's, so that the I/O thread need not look at the buffer's own line, which P and C write. */
  uint64_t file;
  uint64_t buffer;
  uint64_t offset;
  uint64_t user_data;
  uint64_t deadline_ns; /* 0: none */
  uint64_t accepted_ns; /* 0: not timed */
  uint32_t length;
  uint32_t buffer_offset;
  uint32_t cancel_epoch; /* the engine's when it was accepted */
  uint16_t ioprio;
  uint8_t op;    /* enum sqcq__request_op */
  uint8_t hints; /* SQCQ_READ_* */
};

_Static_assert(sizeof(struct sqcq__request) == SQCQ_CACHELINE, "a request is one cache line");

/* The pool index of wrapped memory. */
#define SQCQ__POOL_WRAPPED SQCQ__TAG_MASK

static inline uint32_t sqcq__request_pool(const struct sqcq__request *request)
{
  return sqcq__handle_tag(request->buffer);
}

static inline uint32_t sqcq__request_channel(const struct sqcq__request *request)
{
  return sqcq__handle_tag(request->file);
}

#endif
