/*
 * Who the I/O thread is, and what becomes of the engine when it ends before its work does. Room: I,
 * but for sqcq__iothread_enter(), by which a thread becomes the I/O thread.
 *
 * The I/O thread holds a robust mutex from its first turn to its last, or until its ring is lost.
 * Others only ever try it, and the kernel says whether the holder has ended: no cost a turn, and no
 * guessing. The thread that learns so is the I/O thread from then on.
 *
 * A ring that any thread may enter goes on with it. One that is bound to its thread (SINGLE_ISSUER)
 * is lost with that one: nobody can enter it, so nobody can have its reads cancelled or learn that
 * they have ended, and as long as they have not, they may write into buffers. The same goes for a
 * ring that the kernel will not let us enter any more. Then the ring is closed, and the kernel
 * cancels what it holds; the tombstone tells when that is over: one end of a pipe, put into the
 * ring's file table at creation and kept nowhere else. The kernel lets go of the table last. Then
 * every request that is still owed an answer gets -ECANCELED, and the engine is stopped.
 *
 *   pair(held)  the I/O thread's unlocking, or end, before the next trylock that finds the mutex
 *               without a holder: what it wrote is there. By pthread.
 */
#ifndef SQCQ_ENGINE_IOTHREAD_H
#define SQCQ_ENGINE_IOTHREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sqcq_engine;

struct sqcq__iothread {
  pthread_mutex_t held; /* robust; pair(held) */
  int tombstone;        /* constant; the pipe's other end, -1: none */
  /* W: whoever holds the mutex; R: it, and the I/O thread. Why the ring is of no use any more, negative
   * errno; 0. Once it is not, nobody holds the mutex for longer than a call. */
  int32_t lost;
};

/* S: 0 or -errno. fini takes a zeroed one with tombstone -1. */
int sqcq__iothread_init(struct sqcq__iothread *thread);
void sqcq__iothread_fini(struct sqcq__iothread *thread);
/* S: put the tombstone into the slot of the ring's file table. 0 or -errno: there is none then. */
int sqcq__iothread_bury(struct sqcq_engine *engine, uint32_t slot);

/* Make the caller the I/O thread, or find that it is: 0, -EPERM, -EBUSY, -ESHUTDOWN, or why the ring
 * is lost: that is being seen to, for wait_ms at the most. Or what the kernel said to the first
 * turn. */
int sqcq__iothread_enter(struct sqcq_engine *engine, int wait_ms);

/* Any: whether the caller is. */
bool sqcq__iothread_is_self(struct sqcq_engine *engine);

/* S: a running engine whose I/O thread has ended is brought to its end here; see held.running. */
void sqcq__iothread_end(struct sqcq_engine *engine);

/* I: after the last turn. */
void sqcq__iothread_leave(struct sqcq_engine *engine);

/* I: an enter has failed with this: whether another one would too. */
void sqcq__iothread_failed(struct sqcq_engine *engine, int error);

#endif
