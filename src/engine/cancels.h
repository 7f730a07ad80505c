/*
 * Cancels on their way to the I/O thread. Doorway P -> I.
 *
 * A bounded number of entries, and a stack of those posted: never a lane, since a cancel may be
 * what frees the slot that all wait for. An entry is in the free list, a canceller's, in the stack,
 * or the I/O thread's.
 *
 *   pair(cancel)  the canceller's push (release: the entry is written, the epoch is raised) before
 *                 the I/O thread's taking of the stack (acquire). A request accepted before the
 *                 cancel is in a lane by then, and the I/O thread drains the lanes between taking
 *                 the stack and acting on it.
 *
 * EPOCHS. control.cancel_epoch counts cancels. A producer reads it once a call, before it commits;
 * a canceller raises it and keeps the new number; the I/O thread ends only requests whose number is
 * older. A request whose call had returned has read an older one; a request whose call comes after
 * the cancel's cannot. Both follow from the order within threads, and between them by whatever
 * makes one call "after" the other: reads and writes of one word agree with it, so relaxed is
 * enough (tests/model/cancel.cpp). A request that raced with the cancel may be ended or not.
 *
 * The end: with its last turn the I/O thread closes the stack, which works only while it is empty.
 * Who comes later is refused and gives everything back, so no report is owed to anybody.
 */
#ifndef SQCQ_ENGINE_CANCELS_H
#define SQCQ_ENGINE_CANCELS_H

#include "base/atomics.h"
#include "base/freelist.h"

#include <sqcq/sqcq.h>

#include <stdbool.h>
#include <stdint.h>

#define SQCQ__CANCELS_CLOSED UINT32_MAX

struct sqcq__cancel {
  struct sqcq_cancel_target asked; /* W: the canceller; pair(cancel) */
  uint32_t epoch;        /* W: the canceller; pair(cancel); requests older than this are meant */
  _Atomic uint32_t link; /* of the free list, or of the stack: never in both */
};

struct sqcq__cancels {
  struct sqcq__cancel *entries; /* constant */
  struct sqcq__freelist free;
  /* W: P pushes, I takes and closes; top of the stack: index + 1; pair(cancel) */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t posted;
  uint32_t taken; /* I: what this turn acts on: index + 1 */
};

/* 0 or -ENOMEM; fini takes half-built ones. */
int sqcq__cancels_init(struct sqcq__cancels *cancels, uint32_t count);
void sqcq__cancels_fini(struct sqcq__cancels *cancels);

/* P: the entry, filled in and the caller's own, is the I/O thread's. False: closed; it is the
 * caller's still. Post the control bit afterwards. */
bool sqcq__cancels_push(struct sqcq__cancels *cancels, uint32_t index);

/* I: take what is posted. Then drain the lanes, then act. */
void sqcq__cancels_take(struct sqcq__cancels *cancels);

/* I: the next one of those taken, index + 1, or 0; free it after use. */
static inline uint32_t sqcq__cancels_next(struct sqcq__cancels *cancels)
{
  uint32_t top = cancels->taken;

  if (top != 0)
    cancels->taken = sqcq__load_relaxed(&cancels->entries[top - 1].link); /* came with the stack */
  return top;
}

/* I: nothing is posted, and nothing will be. False: something is. */
bool sqcq__cancels_close(struct sqcq__cancels *cancels);

#endif
