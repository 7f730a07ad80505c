/*
 * Counters. Doorway I -> any, and P -> any. Each counter of the I/O thread has one writer: no
 * locked instruction; refusals are counted by whoever is refused. relaxed everywhere: numbers, with
 * nothing behind them.
 */
#ifndef SQCQ_ENGINE_STATS_H
#define SQCQ_ENGINE_STATS_H

#include "base/atomics.h"

#include <errno.h>
#include <stdint.h>

enum sqcq__refusal {
  SQCQ__REFUSED_AGAIN,
  SQCQ__REFUSED_FULL,
  SQCQ__REFUSED_CLOSED,
  SQCQ__REFUSED_STOPPING,
  SQCQ__REFUSED_FILE,
  SQCQ__REFUSED_BUFFER,
  SQCQ__REFUSED_INVALID,
  SQCQ__REFUSED_NO_BUFFERS,
  SQCQ__REFUSED_KINDS
};

struct sqcq__stats {
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t refused[SQCQ__REFUSED_KINDS]; /* W: P */
  _Alignas(SQCQ_CACHELINE) _Atomic uint64_t submitted;                    /* W: I, these all */
  _Atomic uint64_t completed;
  _Atomic uint64_t unsubmitted;
  _Atomic uint64_t failed;
  _Atomic uint64_t bytes;
  _Atomic uint64_t turns;
  _Atomic uint64_t turns_idle;
  _Atomic uint64_t enters;
  _Atomic uint64_t sleeps;
  _Atomic uint64_t files_retired;
  _Atomic uint64_t syscalls_control;
  _Atomic uint64_t inflight;
  _Atomic uint64_t waiting;
  _Atomic uint64_t cq_overflow;
};

/* P: count a refusal by its error. */
static inline void sqcq__stats_refused(struct sqcq__stats *stats, int error)
{
  enum sqcq__refusal kind = SQCQ__REFUSED_INVALID;

  switch (error) {
  case -EAGAIN:
    kind = SQCQ__REFUSED_AGAIN;
    break;
  case -EXFULL:
    kind = SQCQ__REFUSED_FULL;
    break;
  case -EPIPE:
    kind = SQCQ__REFUSED_CLOSED;
    break;
  case -ESHUTDOWN:
    kind = SQCQ__REFUSED_STOPPING;
    break;
  case -EBADF:
    kind = SQCQ__REFUSED_FILE;
    break;
  case -ESTALE:
  case -EBUSY:
    kind = SQCQ__REFUSED_BUFFER;
    break;
  case -ENOBUFS:
    kind = SQCQ__REFUSED_NO_BUFFERS;
    break;
  default:
    break;
  }
  sqcq__add_relaxed(&stats->refused[kind], 1);
}

#endif
