/*
 * What a read may be beside a plain one: with hints or a priority, into several buffers, or no read
 * at all but advice about the file. Doorway P -> I -> C.
 *
 * The buffers of a vectored read are a chain: each one's `next` is the handle of the next, 0 the
 * end. Links are written by the producer while it accepts the read, when all of these buffers are
 * IN_FLIGHT by its own steps; the I/O thread and the consumer read them after pair(spsc), and the
 * chain lasts until one of the buffers is requested anew. The `next` of any other buffer means
 * nothing: only SQCQ_COMPLETION_VECTOR says that there is a chain.
 */
#ifndef SQCQ_ENGINE_HINTS_H
#define SQCQ_ENGINE_HINTS_H

#include "engine/buffers.h"
#include "mpsc/request.h"

#include <sqcq/sqcq.h>

#include <stdint.h>
#include <sys/uio.h>

struct sqcq_engine;

#define SQCQ__READ_ADVICE (SQCQ_READ_WILLNEED | SQCQ_READ_DONTNEED)
/* These take no step on read->buffer. */
#define SQCQ__READ_BUFFERS (SQCQ__READ_ADVICE | SQCQ_READ_VECTOR)
#define SQCQ__READ_FLAGS                                                                           \
  (SQCQ_READ_NOWAIT | SQCQ_READ_DONTCACHE | SQCQ_READ_ASYNC | SQCQ__READ_BUFFERS)

_Static_assert(SQCQ__READ_FLAGS <= UINT8_MAX, "they travel in sqcq__request.hints");

/* P: whether a read with flags, a priority or a count of buffers may be asked for: 0, -EINVAL,
 * -EOPNOTSUPP. Looks at no handle. */
int sqcq__hints_check(const struct sqcq_engine *engine, const struct sqcq_read *read);

/* P: the buffers of a vectored read, as they are now: 0, -ESTALE, -EBUSY, -EINVAL. */
int sqcq__vector_check(const struct sqcq__buffers *buffers, const struct sqcq_read *read);

/* P: all of them to IN_FLIGHT, linked up; or none, and -ESTALE or -EBUSY. */
int sqcq__vector_give(const struct sqcq__buffers *buffers, const struct sqcq_read *read);

/* I: where the bytes of a vectored read go: fills iovecs, returns how many. */
uint32_t sqcq__vector_fill(const struct sqcq__buffers *buffers, const struct sqcq__request *request,
                           struct iovec *iovecs, uint32_t max);

/* C: all of the chain, by its first one's handle, to OWNED. */
void sqcq__vector_take(const struct sqcq__buffers *buffers, uint64_t first);

/* C: its handles in `out`, up to max; how many there are, or -ESTALE, -EBUSY, -EINVAL where one is
 * the caller's no more. */
int sqcq__vector_list(const struct sqcq__buffers *buffers, uint64_t first, sqcq_buffer *out,
                      uint32_t max);

#endif
