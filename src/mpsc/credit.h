/*
 * The credit word of a channel. Doorway: P, I, C.
 *
 *   generation (32) | CLOSED (1) | RETIRING (1) | FREE (1) | unused (5) | taken (24)
 *
 * `taken` counts the channel's completion slots that are promised: from before a request is put
 * into a lane until its completion is taken. It is never more than `capacity`, so pushing a
 * completion can never fail. All of it is ONE word, since a producer must learn in one step that
 * the channel is the one it means, open, and has room; and credits are taken by CAS, not by an add
 * that is taken back when it was too much, so that no refused call leaves a trace, however short,
 * for another one to stumble over.
 *
 *   pair(credit)  the consumer's give (release: the slot has been read) before the producer's take
 *                 (acquire), whose request fills the slot again; and the opening of a channel
 *                 (release: its fields are written) before the take that finds it open.
 *
 * Every change is an RMW, the recycling of a dead channel's slot too: a store would wipe what a
 * thread that is still inside a call does to the word.
 */
#ifndef SQCQ_MPSC_CREDIT_H
#define SQCQ_MPSC_CREDIT_H

#include "base/atomics.h"
#include "base/check.h"
#include "base/handle.h"
#include "base/point.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define SQCQ__CREDIT_CLOSED (1u << 31)
#define SQCQ__CREDIT_RETIRING (1u << 30) /* destroyed; the I/O thread has to let go of it */
#define SQCQ__CREDIT_FREE (1u << 29)     /* no channel */
#define SQCQ__CREDIT_TAKEN ((1u << 24) - 1)

/* How often a taker loses to others before it gives up for now. */
#define SQCQ__CREDIT_TRIES 64

struct sqcq__credit {
  _Atomic uint64_t word; /* W, R: any; pair(credit) */
  /* W: S before opening; R: P; pair(credit). relaxed: a taker whose channel is being replaced under
   * it may read the next one's, and then its CAS fails. */
  _Atomic uint32_t capacity;
};

static inline uint32_t sqcq__credit_taken(uint64_t word)
{
  return sqcq__word_state(word) & SQCQ__CREDIT_TAKEN;
}

/* Give back n, taken before. Sequentially consistent, which costs nothing more here, because it
 * publishes room: whoever gives back looks afterwards whether a producer waits for it. */
static inline void sqcq__credit_give(struct sqcq__credit *credit, uint32_t n)
{
  /* pair(credit) release: what was done with the slots comes before others may have them; pair(room)
   * publish */
  uint64_t before = sqcq__sub_seq(&credit->word, n);
  SQCQ_ASSERT(sqcq__credit_taken(before) >= n);
  (void)before;
}

/*
 * Take up to `want` credits of the channel of this generation. Returns how many, at least 1; -EPIPE
 * where it is closed or another one; -EXFULL where none is free; -EAGAIN after losing to other
 * takers and givers SQCQ__CREDIT_TRIES times in a row, so that a call has a bounded number of
 * steps.
 */
static inline int sqcq__credit_take(struct sqcq__credit *credit, uint32_t generation, uint32_t want)
{
  /* pair(credit) acquire: the capacity of the generation seen comes with it. */
  uint64_t seen = sqcq__load_acquire(&credit->word);
  SQCQ_POINT(CREDIT_SEEN);

  for (int tries = 0; tries < SQCQ__CREDIT_TRIES; tries++) {
    if (sqcq__word_generation(seen) != generation ||
        (sqcq__word_state(seen) & (SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE)) != 0)
      return -EPIPE;
    uint32_t taken = sqcq__credit_taken(seen);
    uint32_t capacity = sqcq__load_relaxed(&credit->capacity);
    if (taken >= capacity)
      return -EXFULL;
    uint32_t n = want < capacity - taken ? want : capacity - taken;
    if (sqcq__cas_acq_rel(&credit->word, &seen, seen + n)) /* pair(credit) acquire */
      return (int)n;
  }
  return -EAGAIN;
}

#endif
