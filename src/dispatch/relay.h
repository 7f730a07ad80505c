/*
 * Wakes that are passed on. Doorway: I -> C -> C.
 *
 * Waking a thread is the most expensive thing that the I/O thread does for a consumer: some
 * microseconds each, tens of them where the thread's CPU is a virtual one and busy. And it is the
 * one thread that all wait for. So it wakes one consumer a turn; the others that have what they
 * wait for are noted here, and whoever leaves a sleep wakes one of them, who will do the same.
 *
 *   pair(relay)  The I/O thread, and a consumer that passes on: the notes are made (RMW), fence,
 *                then the look at the `want` of the one to be woken. A consumer: its `want` is taken
 *                back, fence, then the look at the notes. If the waker saw it asleep, it sees the
 *                notes; if it did not, the waker looks for somebody else to wake.
 *
 * If a consumer stops for ever between its note's removal and the wake, that one's wake is lost
 * here; the I/O thread looks again at all it has passed on in its next turn, and wakes those that
 * still sleep itself (router.h).
 */
#ifndef SQCQ_DISPATCH_RELAY_H
#define SQCQ_DISPATCH_RELAY_H

#include "dispatch/channel.h"

#include <stdbool.h>
#include <stdint.h>

struct sqcq__relay {
  struct sqcq__channel *channels; /* constant; the engine's array */
  _Atomic uint64_t *notes;        /* W: I sets, C clears; bit i of word j: channel 64 j + i */
  uint32_t words;                 /* constant */
};

/* Role S. 0 or -ENOMEM. */
int sqcq__relay_init(struct sqcq__relay *relay, struct sqcq__channel *channels, uint32_t count);
void sqcq__relay_fini(struct sqcq__relay *relay);

/* I: the channel is to be looked at by the next consumer that leaves a sleep. A note too many costs
 * that one a look. */
void sqcq__relay_note(struct sqcq__relay *relay, uint32_t channel);

/* C: awake: take the announcement back, then wake one of those noted, if any sleeps. */
void sqcq__relay_leave(struct sqcq__relay *relay, struct sqcq__waiter *waiter);

#endif
