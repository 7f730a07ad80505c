/*
 * Control words: stop, removal of files, retirement of channels, cancels. Doorway P -> I.
 *
 * Control never travels in lanes: it may be what frees the slot that all wait for. Whoever has
 * something to say writes it down, sets its bit by a sequentially consistent RMW, and wakes the I/O
 * thread, which looks at the bits in every turn. All words are bounded: one stop, one stack entry a
 * file, channel, or cancel of cancels_max.
 *
 *   pair(control)  the bit's RMW (release: what it announces is written) before the I/O thread's
 *   taking
 *                  of the bits (acquire). Sequentially consistent: it is the publish of pair(sleep)
 *                  too.
 *   pair(retire)   push of a channel to the stack (release) before the taking of the stack
 *   (acquire).
 */
#ifndef SQCQ_ENGINE_CONTROL_H
#define SQCQ_ENGINE_CONTROL_H

#include "base/atomics.h"

#include <stdbool.h>
#include <stdint.h>

#define SQCQ__CONTROL_STOP (1u << 0)
#define SQCQ__CONTROL_REMOVE (1u << 1)
#define SQCQ__CONTROL_RETIRE (1u << 2)
#define SQCQ__CONTROL_CANCEL (1u << 3)
#define SQCQ__CONTROL_ROOM (1u << 8) /* somebody waits for room in the lanes */

enum sqcq__stopping {
  SQCQ__STOPPING_NOT,
  SQCQ__STOPPING_DRAIN,
  SQCQ__STOPPING_CANCEL
};

struct sqcq__control {
  /* Producers look at it in every call, and it changes once: a line that everybody shares. relaxed:
   * early advice; what holds is the claim of the lanes. */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t stopping; /* W: any; enum sqcq__stopping, only grows */
  /* W: cancellers, an RMW a cancel; R: producers, once a call, in this line which they read anyway.
   * relaxed: see cancels.h */
  _Atomic uint32_t cancel_epoch;
  _Atomic int64_t stop_limit;                     /* W: any; CLOCK_MONOTONIC ns, INT64_MAX: none */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t bits; /* W: any sets, I clears; pair(control) */
  /* W: any pushes, I takes; top of the stack of channels: index + 1; pair(retire) */
  _Atomic uint32_t retired;
};

static inline void sqcq__control_post(struct sqcq__control *control, uint32_t bit)
{
  sqcq__or_seq(&control->bits, bit); /* pair(control) release; pair(sleep) publish */
}

static inline bool sqcq__control_posted(struct sqcq__control *control)
{
  return sqcq__load_seq(&control->bits) != 0; /* pair(sleep) look again */
}

static inline uint32_t sqcq__control_take(struct sqcq__control *control)
{
  /* relaxed look: a bit that is missed here is seen on the next turn or before the sleep. */
  if (sqcq__load_relaxed(&control->bits) == 0)
    return 0;
  return sqcq__swap_seq(&control->bits, 0); /* pair(control) acquire */
}

static inline bool sqcq__control_stopping(const struct sqcq__control *control)
{
  return sqcq__load_relaxed(&control->stopping) != SQCQ__STOPPING_NOT;
}

#endif
