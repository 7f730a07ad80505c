/*
 * Waiting for room. Doorway: P, C, I -> P.
 *
 * Every bound that producers meet has a room: how many wait for it, and a futex word of its own. Two
 * kinds wait: sleepers, in sqcq_request_wait(), and notices, which are a write to an eventfd that
 * somebody else sleeps on. Whoever gives room back publishes it by a sequentially consistent RMW of
 * the bound's own word, looks at `awaited`, which is in that word's line, and is done where it is 0.
 *
 *   pair(room)  Publishing is that RMW; announcing is an RMW of `awaited`, for a notice and a store of its
 *               word too; all looks are sequentially consistent loads. So if the look at `awaited` (or at
 *               the notice) misses an announcement, the RMW comes before the announcement in the
 *               one order, and the second look sees the room. No fence: on x86 the RMW is a barrier
 *               as it is, on aarch64 it has acquire and release, and a load-acquire does not pass it.
 *   pair(room-sequence)  a sleeper takes the number of the futex word BEFORE its second look; a waker
 *               changes it (release) after its room was published. A sleeper that has the new number
 *               (acquire) sees that room; one that has the old one does not fall asleep, or is in the
 *               kernel's queue before the waker's system call.
 *
 * A give-back of n wakes n sleepers, not all: a thousand woken for one slot would all but one go back
 * to sleep. So a wake must not be lost, and the invariant is:
 *
 *   room > 0 and somebody sleeps  =>  somebody awake is about to look, or has looked and left with
 *                                     the baton passed on
 *
 * A woken one always looks before it does anything else, its time passed or not. Where it finds no room
 * somebody took it, whose give-back is yet to come, and it sleeps again. Where it finds some it leaves,
 * and if others sleep wakes ONE of them (the baton): it may not take its slot, or there were more. The
 * next one finds none, mostly, and the chain ends: two wakes a slot.
 *
 *   pair(notice)  A notice's word: FREE -> MAKING -> ARMED -> FIRING -> FREE, or ARMED -> MAKING -> FREE
 *               where its owner takes it back. Whoever moves it from ARMED has its descriptor alone.
 *
 * A notice is advice: its owner may be busy, or gone. It has no baton, and is not counted for a sleeper:
 * a give-back of n fires up to n notices beside its n sleepers, and all there are where there is room for
 * all, or where nothing is out any more, which somebody could still give back.
 */
#ifndef SQCQ_DISPATCH_ROOM_H
#define SQCQ_DISPATCH_ROOM_H

#include "base/atomics.h"

#include <stdbool.h>
#include <stdint.h>

/* Beside the word that says how much room there is. Zeroed memory is a good one. */
struct sqcq__room {
  _Atomic uint64_t awaited;  /* W: P, whoever fires; R: whoever gives back; notices (32) | sleepers
                                (32); pair(room) */
  _Atomic uint32_t sequence; /* W: wakers; R: sleepers; futex word; pair(room-sequence) */
};

#define SQCQ__ROOM_SLEEPER UINT64_C(1)
#define SQCQ__ROOM_NOTICE (UINT64_C(1) << 32)

struct sqcq__notice {
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t word; /* generation | state; W, R: any; pair(notice) */
  /* W: its owner, MAKING. relaxed: one that is read for another notice fails at the word's CAS */
  _Atomic(struct sqcq__room *) room;
  int fd; /* W: its owner, MAKING; R: whoever has moved the word from ARMED; pair(notice) */
};

/* The notices of an engine, and what waiting for room has cost. */
struct sqcq__rooms {
  struct sqcq__notice *notices; /* constant, both */
  uint32_t count;
  /* W: any; where the next search begins, so that each gets its turn; relaxed: advice */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t turn;
  _Atomic uint64_t sleeps; /* W: P, relaxed: statistics, these three */
  _Atomic uint64_t wakes;  /* W: wakers; sleepers woken */
  _Atomic uint64_t fired;  /* notices */
};

int sqcq__rooms_init(struct sqcq__rooms *rooms, uint32_t notices); /* S; 0 or -ENOMEM */
void sqcq__rooms_fini(struct sqcq__rooms *rooms);

/* Any, after publishing room: who waits for it, 0 mostly. */
static inline uint64_t sqcq__room_awaited(const struct sqcq__room *room)
{
  return sqcq__load_seq(&room->awaited); /* pair(room) look */
}

static inline uint32_t sqcq__room_sleepers(uint64_t awaited)
{
  return (uint32_t)awaited;
}

static inline uint32_t sqcq__room_notices(uint64_t awaited)
{
  return (uint32_t)(awaited >> 32);
}

/* Any: somebody waits, and `given` came back, so that now `free` of `size` are. */
void sqcq__room_given(struct sqcq__rooms *rooms, struct sqcq__room *room, uint32_t given,
                      uint32_t free, uint32_t size);

/* Any: there is nothing to wait for any more, or what there is must be looked at by all. */
void sqcq__room_end(struct sqcq__rooms *rooms, struct sqcq__room *room);

/* A sleeper's steps: announce; then prepare, look again, and sleep, as often as it takes; leave. */
static inline void sqcq__room_announce(struct sqcq__room *room)
{
  sqcq__add_seq(&room->awaited, SQCQ__ROOM_SLEEPER); /* pair(room) announce */
}

static inline uint32_t sqcq__room_prepare(const struct sqcq__room *room)
{
  return sqcq__load_acquire(&room->sequence); /* pair(room-sequence) acquire */
}

/* Sleep unless woken since prepare. deadline_ns: CLOCK_MONOTONIC, negative: none. */
void sqcq__room_sleep(struct sqcq__rooms *rooms, struct sqcq__room *room, uint32_t prepared,
                      int64_t deadline_ns);

/* found: there was room at the last look. */
void sqcq__room_leave(struct sqcq__rooms *rooms, struct sqcq__room *room, bool found);

/* A notice's owner: a place for one, or -ENOSPC. *generation: of the notice. It is to be armed, or
 * dropped. */
int sqcq__notice_make(struct sqcq__rooms *rooms, uint32_t *generation);
void sqcq__notice_drop(struct sqcq__rooms *rooms, uint32_t index);
/* From here on 1 may be written to fd, which is the notice's own. Look again. */
void sqcq__notice_arm(struct sqcq__rooms *rooms, uint32_t index, struct sqcq__room *room, int fd);
/* Take it back: false where it has fired, is firing, or never was. */
bool sqcq__notice_disarm(struct sqcq__rooms *rooms, uint32_t index, uint32_t generation);

#endif
