#include "engine/prep.h"

#include "engine/ring.h"

#include <liburing.h>

#include <fcntl.h>
#include <poll.h>
#include <sqcq/sqcq.h>

void sqcq__prep_read(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                     uint64_t user_data)
{
  if (target->fixed_buffer >= 0)
    io_uring_prep_read_fixed(sqe, target->fd, target->data, target->length, target->offset,
                             target->fixed_buffer);
  else
    io_uring_prep_read(sqe, target->fd, target->data, target->length, target->offset);
  if (target->fixed_file)
    sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = user_data;
}

void sqcq__prep_vector(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                       uint64_t user_data)
{
  io_uring_prep_readv(sqe, target->fd, target->data, target->length, target->offset);
  if (target->fixed_file)
    sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = user_data;
}

void sqcq__prep_advice(struct io_uring_sqe *sqe, const struct sqcq__read_target *target,
                       bool will_need, uint64_t user_data)
{
  io_uring_prep_fadvise(sqe, target->fd, target->offset, (off_t)target->length,
                        will_need ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED);
  if (target->fixed_file)
    sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = user_data;
}

void sqcq__prep_hints(struct io_uring_sqe *sqe, uint32_t flags, uint16_t ioprio)
{
  if ((flags & SQCQ_READ_ASYNC) != 0)
    sqe->flags |= IOSQE_ASYNC;
  if ((flags & SQCQ_READ_NOWAIT) != 0)
    sqe->rw_flags |= RWF_NOWAIT;
  if ((flags & SQCQ_READ_DONTCACHE) != 0)
    sqe->rw_flags |= SQCQ__RWF_DONTCACHE;
  sqe->ioprio = ioprio;
}

void sqcq__prep_cancel(struct io_uring_sqe *sqe, uint64_t target, uint64_t user_data)
{
  io_uring_prep_cancel64(sqe, target, 0);
  sqe->user_data = user_data;
}

void sqcq__prep_close(struct io_uring_sqe *sqe, int fd, bool by_worker, uint64_t user_data)
{
  io_uring_prep_close(sqe, fd);
  if (by_worker)
    sqe->flags |= IOSQE_ASYNC;
  sqe->user_data = user_data;
}

_Static_assert(sizeof(struct sqcq__ring_time) == sizeof(struct __kernel_timespec),
               "it is read by the kernel");

void sqcq__prep_timeout(struct io_uring_sqe *sqe, const struct sqcq__ring_time *at,
                        uint64_t user_data)
{
  io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(uintptr_t)at, 0, IORING_TIMEOUT_ABS);
  sqe->user_data = user_data;
}

void sqcq__prep_poll(struct io_uring_sqe *sqe, int fd, bool multishot, uint64_t user_data)
{
  if (multishot)
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
  else
    io_uring_prep_poll_add(sqe, fd, POLLIN);
  sqe->user_data = user_data;
}
