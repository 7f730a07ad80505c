/*
 * Buffers and their pools. Doorway: any -> any.
 *
 * A buffer's word says who may touch its memory; each move is one CAS that names the state and the
 * generation it comes from, so that a handle used twice, late or after release is refused.
 *
 *   FREE -> OWNED (acquire) -> IN_FLIGHT (request accepted) -> OWNED (completion taken) -> FREE
 *   (release)
 *
 * The generation grows with each release, so all handles of before are stale.
 *
 *   pair(buffer)  release by whoever gives the buffer on (a request's acceptance, a release to the
 *   pool), acquire by
 *                 whoever takes it. The bytes themselves go from the I/O thread to the consumer by
 *                 pair(spsc), and from releaser to acquirer by pair(freelist).
 *   pair(pool)    the creator's store of the pool's word (release: its fields are written) before
 *   an
 *                 acquirer's load of it.
 *
 * Each buffer has a cache line of its own with all that a request needs to know. Places of wrapped
 * memory are kept in a list of their own; a pool keeps its places for the next pool in its slot.
 */
#ifndef SQCQ_ENGINE_BUFFERS_H
#define SQCQ_ENGINE_BUFFERS_H

#include "base/atomics.h"
#include "base/freelist.h"
#include "base/handle.h"
#include "base/ownership.h"
#include "dispatch/room.h"
#include "mpsc/request.h"

#include <sqcq/sqcq.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum sqcq__buffer_state {
  SQCQ__BUFFER_FREE,
  SQCQ__BUFFER_OWNED,
  SQCQ__BUFFER_IN_FLIGHT
};

struct sqcq__buffer {
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t word; /* W, R: any; generation | state; pair(buffer) */
  _Atomic uint32_t link;                          /* of its free list; pair(freelist) */
  /* Constant while the buffer exists; W: pool_create or wrap. */
  uint32_t size;
  unsigned char *memory;
  uint32_t pool; /* index, or SQCQ__POOL_WRAPPED */
  /* W: whoever has it IN_FLIGHT; the next one's handle in a chain, 0: the last: see hints.h.
   * Atomic for those who look at what is theirs no more; relaxed. */
  _Atomic uint64_t next;
  struct sqcq__owner owner;
};

enum sqcq__pool_state {
  SQCQ__POOL_FREE,
  SQCQ__POOL_CHANGING, /* being made or destroyed */
  SQCQ__POOL_OPEN
};

struct sqcq__pool {
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t word; /* W: S, any; generation | state; pair(pool) */
  /* Constant while open; W: pool_create. */
  uint32_t first; /* place of its first buffer */
  uint32_t range; /* places it keeps; 0: never used */
  uint32_t count;
  bool huge;             /* in reserved huge pages */
  bool wants_fixed;      /* to be registered; W: S, before the first turn */
  int32_t fixed;         /* the registered buffer that its first part is, -1: none */
  uint32_t fixed_places; /* buffers in each part */
  size_t stride;
  unsigned char *start; /* of its first buffer */
  void *memory;
  size_t bytes;
  _Alignas(SQCQ_CACHELINE) struct sqcq__freelist free;
  struct sqcq__room room; /* in the line of the list's head */
  _Atomic uint32_t size;  /* count, for whoever has given its buffer back; relaxed: a number */
};

struct sqcq__buffers {
  struct sqcq__buffer *buffers; /* constant, all of these */
  struct sqcq__pool *pools;
  uint32_t buffer_max;
  uint32_t pool_max;
  uint32_t tag;
  struct sqcq__rooms *rooms; /* the engine's */
  _Alignas(SQCQ_CACHELINE) struct sqcq__freelist
      unwrapped;                                  /* places of wrapped memory that are free again */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t used; /* places given to pools and wraps */
};

int sqcq__buffers_init(struct sqcq__buffers *buffers, uint32_t buffer_max, uint32_t pool_max,
                       uint32_t tag);
void sqcq__buffers_fini(struct sqcq__buffers *buffers);

/* Make the pool's slot ours and give it memory; config has been checked and completed. *index:
 * which. The pool is not open yet: see open and abandon. 0, -ENOSPC, -ENOMEM. */
int sqcq__pool_make(struct sqcq__buffers *buffers, const struct sqcq_pool_config *config,
                    uint32_t *index);
/* Open it; returns the handle. */
uint64_t sqcq__pool_open(struct sqcq__buffers *buffers, uint32_t index);
/* Give memory and slot back. */
void sqcq__pool_abandon(struct sqcq__buffers *buffers, uint32_t index);

/* As their public namesakes, for checked pointers. */
int sqcq__pool_destroy(struct sqcq__buffers *buffers, uint64_t pool);
int sqcq__buffers_acquire(struct sqcq__buffers *buffers, uint64_t pool, sqcq_buffer *out,
                          uint32_t count);
/* For a checked handle: how many buffers are free, counted up to max, and 0 while it is just being
 * destroyed; -ESTALE. */
int sqcq__pool_room(const struct sqcq__buffers *buffers, uint64_t pool, uint32_t max);
int sqcq__buffers_release(struct sqcq__buffers *buffers, const sqcq_buffer *in, uint32_t count);
int sqcq__buffers_wrap(struct sqcq__buffers *buffers, void *memory, size_t size, uint64_t *handle);
int sqcq__buffers_unwrap(struct sqcq__buffers *buffers, uint64_t handle);

/* How many are out: of pools, and wrapped. */
void sqcq__buffers_held(const struct sqcq__buffers *buffers, uint32_t *pooled, uint32_t *wrapped);

static inline struct sqcq__buffer *sqcq__buffer_at(const struct sqcq__buffers *buffers,
                                                   uint64_t handle)
{
  return &buffers->buffers[sqcq__handle_index(handle)];
}

/* I: where the bytes of a request go, and in which registered buffer that is (-1: none). */
static inline unsigned char *sqcq__buffers_locate(const struct sqcq__buffers *buffers,
                                                  const struct sqcq__request *request,
                                                  int32_t *fixed)
{
  uint32_t pool_index = sqcq__request_pool(request);

  if (pool_index == SQCQ__POOL_WRAPPED) {
    *fixed = -1;
    return sqcq__buffer_at(buffers, request->buffer)->memory + request->buffer_offset;
  }
  const struct sqcq__pool *pool = &buffers->pools[pool_index];
  uint32_t place = sqcq__handle_index(request->buffer) - pool->first;
  *fixed = pool->fixed;
  if (pool->fixed >= 0 && place >= pool->fixed_places)
    *fixed += (int32_t)(place / pool->fixed_places);
  return pool->start + pool->stride * place + request->buffer_offset;
}

/* Whether the caller may own this buffer: 0, -ESTALE, -EBUSY (in flight) or -EINVAL. */
static inline int sqcq__buffer_check(const struct sqcq__buffers *buffers, uint64_t handle)
{
  int error = sqcq__handle_check(handle, buffers->tag, buffers->buffer_max, -ESTALE);
  if (error < 0)
    return error;
  /* pair(buffer) acquire: size and memory belong to this generation. */
  uint64_t word = sqcq__load_acquire(&sqcq__buffer_at(buffers, handle)->word);
  if (sqcq__word_generation(word) != sqcq__handle_generation(handle) ||
      sqcq__word_state(word) == SQCQ__BUFFER_FREE)
    return -ESTALE;
  return sqcq__word_state(word) == SQCQ__BUFFER_OWNED ? 0 : -EBUSY;
}

/* One step of a buffer's word. False: it was not in `from` with the handle's generation. */
static inline bool sqcq__buffer_step(struct sqcq__buffer *buffer, uint64_t handle,
                                     enum sqcq__buffer_state from, enum sqcq__buffer_state to)
{
  uint64_t expected = sqcq__word(sqcq__handle_generation(handle), from);

  /* pair(buffer) release and acquire */
  return sqcq__cas_acq_rel(&buffer->word, &expected,
                           sqcq__word(sqcq__handle_generation(handle), to));
}

#endif
