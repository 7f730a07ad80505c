/*
 * Requests and the engine's own operations become SQEs. Room: I. No system call; each function
 * writes the whole SQE.
 */
#ifndef SQCQ_ENGINE_PREP_H
#define SQCQ_ENGINE_PREP_H

#include "engine/ring.h"

#include <stdbool.h>
#include <stdint.h>

struct io_uring_sqe;

/* What an SQE is, in the low bits of its user_data. */
enum sqcq__op {
  SQCQ__OP_READ,        /* a request: slot and generation above */
  SQCQ__OP_CANCEL,      /* the cancel of one: same slot and generation */
  SQCQ__OP_WAKE,        /* the poll on the wake eventfd */
  SQCQ__OP_UNWAKE,      /* the cancel of that poll, in the last turn */
  SQCQ__OP_CLOSE,       /* the close of a retired file's descriptor */
  SQCQ__OP_TIMEOUT = 5, /* the alarm of a sleep outside */
  SQCQ__OP_UNTIMEOUT,   /* its cancel */
  SQCQ__OP_BITS = 3
};

/* user_data: slot (32 bits) | generation (29) | op (3). */
static inline uint64_t sqcq__user_data(enum sqcq__op op, uint32_t slot, uint32_t generation)
{
  return (uint64_t)slot << 32 | (uint64_t)(generation & 0x1fffffffu) << SQCQ__OP_BITS |
         (uint64_t)op;
}

static inline enum sqcq__op sqcq__user_data_op(uint64_t user_data)
{
  return (enum sqcq__op)(user_data & ((1u << SQCQ__OP_BITS) - 1));
}

static inline uint32_t sqcq__user_data_slot(uint64_t user_data)
{
  return (uint32_t)(user_data >> 32);
}

static inline uint32_t sqcq__user_data_generation(uint64_t user_data)
{
  return (uint32_t)(user_data & 0xffffffffu) >> SQCQ__OP_BITS;
}

/* Where a read goes and what it is issued on. */
struct sqcq__read_target {
  void *data;
  uint64_t offset;
  uint32_t length;
  int32_t fd; /* descriptor, or slot of the fixed table */
  bool fixed_file;
  int32_t fixed_buffer; /* index of the registered buffer that data lies in; -1: none */
};

void sqcq__prep_read(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                     uint64_t user_data);
/* Into data, an array of `length` iovecs: fixed_buffer is not looked at. */
void sqcq__prep_vector(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                       uint64_t user_data);
/* posix_fadvise(2), WILLNEED or DONTNEED, of offset and length. */
void sqcq__prep_advice(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                       bool will_need, uint64_t user_data);
/* Put SQCQ_READ_* and a priority on one of these three. */
void sqcq__prep_hints(struct io_uring_sqe *sqe, uint32_t flags, uint16_t ioprio);
void sqcq__prep_cancel(struct io_uring_sqe *sqe, uint64_t target, uint64_t user_data);
void sqcq__prep_close(struct io_uring_sqe *sqe, int fd, bool by_worker, uint64_t user_data);
/* At *at, CLOCK_MONOTONIC, which stays as it is until the CQE is in. */
void sqcq__prep_timeout(struct io_uring_sqe *sqe, const struct sqcq__ring_time *at,
                        uint64_t user_data);
void sqcq__prep_poll(struct io_uring_sqe *sqe, int fd, bool multishot, uint64_t user_data);

#endif
