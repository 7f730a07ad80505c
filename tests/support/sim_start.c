/*
 * The simulated ring: from an SQE to an operation in flight, and how one leaves.
 *
 * When an operation starts, everything about it that is left to chance is drawn: how late, how
 * short, with which error. Later only the order is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define GARBAGE_64 UINT64_C(0xa5a5a5a5a5a5a5a5)

/* ------------------------------------------------------------------------- */
/* The list of what is in flight                                             */
/* ------------------------------------------------------------------------- */

static struct sim_request *add_request(struct sqcq__ring *ring)
{
  struct sim_request *request = ring->free;
  uint32_t occupied = ring->inflight + sim__unread(ring) + 1;

  if (request == NULL || occupied > ring->cq_mask + 1)
    sim__abort("enter: %u operations in flight and %u completions unread, the CQ holds %u: it "
               "could overflow",
               ring->inflight + 1, sim__unread(ring), ring->cq_mask + 1);
  ring->free = request->newer;
  memset(request, 0, sizeof(*request));
  request->used = true;
  request->older = ring->newest;
  if (ring->newest != NULL)
    ring->newest->newer = request;
  else
    ring->oldest = request;
  ring->newest = request;
  ring->inflight++;
  if (ring->counts.inflight_max < ring->inflight)
    ring->counts.inflight_max = ring->inflight;
  if (ring->counts.occupied_max < occupied)
    ring->counts.occupied_max = occupied;
  return request;
}

static void drop_request(struct sqcq__ring *ring, struct sim_request *request)
{
  if (request->older != NULL)
    request->older->newer = request->newer;
  else
    ring->oldest = request->newer;
  if (request->newer != NULL)
    request->newer->older = request->older;
  else
    ring->newest = request->older;
  request->used = false;
  request->newer = ring->free;
  ring->free = request;
  ring->inflight--;
}

static void write_log(struct sqcq__ring *ring, const struct sim_request *request)
{
  struct sim_op *entry = &ring->log[request->op.number % SIM_LOG];

  if (entry->number == request->op.number)
    *entry = request->op;
}

/* ------------------------------------------------------------------------- */
/* CQEs                                                                      */
/* ------------------------------------------------------------------------- */

void sim__post(struct sqcq__ring *ring, struct sim_request *request, int32_t result, uint32_t flags)
{
  if (sim__unread(ring) > ring->cq_mask)
    sim__abort("enter: the CQ of %u overflows", ring->cq_mask + 1);
  struct io_uring_cqe *cqe = &ring->cqes[ring->cq_tail++ & ring->cq_mask];
  cqe->user_data = request->op.user_data;
  cqe->res = result;
  cqe->flags = flags;
  ring->counts.completed[request->op.kind]++;
  request->op.result = result;
  if ((flags & IORING_CQE_F_MORE) == 0) {
    request->op.decided = true;
    request->op.done = true;
    if (request->op.multishot && request->events != 0) {
      epoll_ctl(ring->epoll, EPOLL_CTL_DEL, request->op.fd, NULL);
      ring->multishots--;
    }
    drop_request(ring, request);
  }
  write_log(ring, request);
  sim__signal(ring);
}

void sim__tell(struct sqcq__ring *ring, struct sim_request *request, int32_t result, uint64_t delay)
{
  request->op.decided = true;
  request->op.result = result;
  request->told = ++ring->decided;
  request->due = ring->tick + delay;
  write_log(ring, request);
}

/* ------------------------------------------------------------------------- */
/* Start: from SQE to operation                                              */
/* ------------------------------------------------------------------------- */

static void refuse_sqe(const struct io_uring_sqe *sqe, const char *why)
{
  sim__abort("enter: SQE of operation %u, user_data %#llx: %s", sqe->opcode,
             (unsigned long long)sqe->user_data, why);
}

/* A slot of the file table, or a descriptor. */
static void decode_file(const struct sqcq__ring *ring, struct sim_op *op,
                        const struct io_uring_sqe *sqe)
{
  if ((sqe->flags & IOSQE_FIXED_FILE) == 0)
    return;
  if (sqe->fd < 0 || (uint32_t)sqe->fd >= ring->file_count || ring->files[sqe->fd] < 0)
    refuse_sqe(sqe, "unknown or empty slot of the file table");
  op->slot = sqe->fd;
  op->fd = ring->files[sqe->fd];
}

static void decode_advice(struct sqcq__ring *ring, struct sim_op *op,
                          const struct io_uring_sqe *sqe)
{
  op->kind = SIM_ADVICE;
  op->offset = sqe->off;
  op->length = sqe->len;
  op->rw_flags = sqe->fadvise_advice;
  op->async = (sqe->flags & IOSQE_ASYNC) != 0;
  if ((sqe->flags & ~(IOSQE_FIXED_FILE | IOSQE_ASYNC)) != 0 || sqe->ioprio != 0 || sqe->addr != 0 ||
      sqe->buf_index != 0 || sqe->off > INT64_MAX)
    refuse_sqe(sqe, "unknown flags, or fields that fadvise does not have");
  if (ring->plan.config.fadvise_error != 0)
    refuse_sqe(sqe, "this kernel has no fadvise");
  decode_file(ring, op, sqe);
}

/* The iovecs are kept, to see whether they stay what they are. */
static void decode_vector(struct sim_request *request, const struct io_uring_sqe *sqe)
{
  struct sim_op *op = &request->op;
  const struct iovec *iovecs = op->data;
  uint64_t bytes = 0;

  op->vectors = sqe->len;
  if (sqe->len > SIM_VECTORS_MAX)
    refuse_sqe(sqe, "too many iovecs");
  for (uint32_t i = 0; i < sqe->len; i++) {
    if (iovecs[i].iov_base == NULL || iovecs[i].iov_len == 0)
      refuse_sqe(sqe, "an empty iovec");
    request->iovecs[i] = iovecs[i];
    bytes += iovecs[i].iov_len;
  }
  if (bytes > INT32_MAX)
    refuse_sqe(sqe, "longer than a read can be");
  op->length = (uint32_t)bytes;
}

static void decode_read(struct sqcq__ring *ring, struct sim_op *op, const struct io_uring_sqe *sqe)
{
  uint32_t known = RWF_NOWAIT | (ring->plan.config.dontcache_error == 0 ? SQCQ__RWF_DONTCACHE : 0);

  op->kind = SIM_READ;
  op->rw_flags = (uint32_t)sqe->rw_flags;
  op->ioprio = sqe->ioprio;
  op->offset = sqe->off;
  op->length = sqe->len;
  op->data = (void *)(uintptr_t)sqe->addr;
  op->async = (sqe->flags & IOSQE_ASYNC) != 0;
  if ((sqe->flags & ~(IOSQE_FIXED_FILE | IOSQE_ASYNC)) != 0 || (op->rw_flags & ~known) != 0)
    refuse_sqe(sqe, "unknown flags");
  if (sqe->len == 0 || sqe->len == (uint32_t)GARBAGE_64 || sqe->addr == 0 ||
      sqe->addr == GARBAGE_64 || sqe->off == GARBAGE_64)
    refuse_sqe(sqe, "no length, address or offset");
  decode_file(ring, op, sqe);
  if (sqe->opcode == IORING_OP_READ_FIXED) {
    if (sqe->buf_index >= ring->buffer_count)
      refuse_sqe(sqe, "no such fixed buffer");
    const struct iovec *buffer = &ring->buffers[sqe->buf_index];
    uint64_t start = (uint64_t)(uintptr_t)buffer->iov_base;
    if (sqe->addr < start || sqe->addr - start > buffer->iov_len ||
        buffer->iov_len - (sqe->addr - start) < sqe->len)
      refuse_sqe(sqe, "outside of its fixed buffer");
    op->fixed_buffer = sqe->buf_index;
  } else if (sqe->buf_index != 0) {
    refuse_sqe(sqe, "buffer index on a plain read");
  }
}

static uint64_t time_of(const struct __kernel_timespec *time)
{
  return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

static void decode_other(struct sim_request *request, const struct io_uring_sqe *sqe)
{
  struct sim_op *op = &request->op;

  op->async = sqe->opcode == IORING_OP_CLOSE && (sqe->flags & IOSQE_ASYNC) != 0;
  if (sqe->flags != (op->async ? IOSQE_ASYNC : 0) || sqe->ioprio != 0)
    refuse_sqe(sqe, "unknown flags, or a priority");
  switch (sqe->opcode) {
  case IORING_OP_NOP:
    op->kind = SIM_NOP;
    break;
  case IORING_OP_POLL_ADD:
    op->kind = SIM_POLL;
    op->multishot = sqe->len == IORING_POLL_ADD_MULTI;
    request->events = (short)sqe->poll_events;
    if ((sqe->len != 0 && !op->multishot) || sqe->addr != 0 || sqe->off != 0 ||
        sqe->poll32_events != POLLIN)
      refuse_sqe(sqe, "a poll for something else than POLLIN");
    break;
  case IORING_OP_ASYNC_CANCEL:
    op->kind = SIM_CANCEL;
    op->target = sqe->addr;
    if (sqe->cancel_flags != 0 || sqe->off != 0 || sqe->len != 0)
      refuse_sqe(sqe, "a cancel by something else than user_data");
    break;
  case IORING_OP_TIMEOUT:
    op->kind = SIM_TIMEOUT;
    if (sqe->timeout_flags != IORING_TIMEOUT_ABS || sqe->off != 0 || sqe->len != 1 || sqe->fd != -1)
      refuse_sqe(sqe, "a timeout that is not absolute");
    op->offset = time_of((const struct __kernel_timespec *)(uintptr_t)sqe->addr);
    break;
  case IORING_OP_CLOSE:
    op->kind = SIM_CLOSE;
    if (sqe->fd < 0 || sqe->off != 0 || sqe->addr != 0 || sqe->len != 0)
      refuse_sqe(sqe, "a close of something else than a descriptor");
    break;
  default:
    refuse_sqe(sqe, "unknown operation");
  }
}

static void decode(struct sqcq__ring *ring, struct sim_request *request,
                   const struct io_uring_sqe *sqe)
{
  struct sim_op *op = &request->op;

  op->number = ring->submitted++;
  op->user_data = sqe->user_data;
  op->fd = sqe->fd;
  op->slot = -1;
  op->fixed_buffer = -1;
  if (sqe->user_data == GARBAGE_64)
    refuse_sqe(sqe, "no user_data");
  if (sqe->personality != 0 || sqe->file_index != 0)
    refuse_sqe(sqe, "personality or file_index is not 0");
  switch (sqe->opcode) {
  case IORING_OP_READ:
  case IORING_OP_READ_FIXED:
  case IORING_OP_READV:
    decode_read(ring, op, sqe);
    if (sqe->opcode == IORING_OP_READV)
      decode_vector(request, sqe);
    break;
  case IORING_OP_FADVISE:
    decode_advice(ring, op, sqe);
    break;
  default:
    decode_other(request, sqe);
    break;
  }
  for (const struct sim_request *other = ring->oldest; other != NULL; other = other->newer) {
    if (other == request)
      continue;
    if (other->op.kind == op->kind && (op->kind == SIM_READ || op->kind == SIM_CANCEL) &&
        other->op.user_data == op->user_data)
      refuse_sqe(sqe, "another one with this user_data is in flight");
    if (op->kind == SIM_TIMEOUT && other->op.kind == SIM_TIMEOUT)
      refuse_sqe(sqe, "a second timeout");
    if (op->kind == SIM_CLOSE && other->op.kind == SIM_READ && other->op.slot < 0 &&
        other->op.fd == op->fd)
      refuse_sqe(sqe, "closes a file that a read in flight is on");
  }
  ring->log[op->number % SIM_LOG] = *op;
  ring->counts.submitted[op->kind]++;
}

/* What the kernel says at once: 0, or an error that is the CQE. */
static int32_t admit(struct sqcq__ring *ring, struct sim_request *request)
{
  const struct sim_config *config = &ring->plan.config;
  const struct sim_op *op = &request->op;
  struct stat status;

  if ((ring->setup_flags & IORING_SETUP_IOPOLL) != 0 && op->kind != SIM_READ && op->kind != SIM_NOP)
    return -EINVAL;
  if (op->multishot && config->no_multishot_poll)
    return -EINVAL;
  if ((ring->setup_flags & IORING_SETUP_SQPOLL) != 0 && op->slot < 0 &&
      (config->features & IORING_FEAT_SQPOLL_NONFIXED) == 0 &&
      (op->kind == SIM_READ || op->kind == SIM_POLL))
    return -EBADF;
  if (op->kind == SIM_READ || op->kind == SIM_POLL) {
    if (fstat(op->fd, &status) != 0)
      return -EBADF;
    request->stream =
        !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode) && !S_ISDIR(status.st_mode);
  }
  return 0;
}

static void watch_multishot(struct sqcq__ring *ring, struct sim_request *request)
{
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};

  event.data.u32 = (uint32_t)(request - ring->requests);
  if (epoll_ctl(ring->epoll, EPOLL_CTL_ADD, request->op.fd, &event) != 0)
    sim__abort("enter: multishot poll of descriptor %d: %s", request->op.fd, strerror(errno));
  ring->multishots++;
}

/* Everything that is left to chance. */
static void draw(struct sqcq__ring *ring, struct sim_request *request)
{
  const struct sim_config *config = &ring->plan.config;
  struct sim_op *op = &request->op;

  request->due = ring->tick + 1 + rng_below(&ring->rng, (uint64_t)config->delay_max + 1);
  request->outcome = config->cancel;
  if (op->kind == SIM_CANCEL && config->cancel == SIM_CANCEL_RANDOM) {
    request->outcome = (enum sim_cancel)rng_below(&ring->rng, SIM_CANCEL_RANDOM);
    if (rng_percent(&ring->rng, 50))
      request->due = ring->tick;
  } else if (op->kind == SIM_CANCEL) {
    request->due = ring->tick;
  }
  if (op->kind != SIM_READ)
    return;
  if (rng_percent(&ring->rng, config->error_percent))
    request->fault = config->read_error != 0 ? config->read_error : -EIO;
  else if (rng_percent(&ring->rng, config->again_percent))
    request->fault = -EAGAIN;
  else if (op->length > 1 && rng_percent(&ring->rng, config->short_percent))
    request->trim = (uint32_t)rng_between(&ring->rng, 1, op->length - 1);
}

bool sim__start(struct sqcq__ring *ring, const struct io_uring_sqe *sqe)
{
  struct sim_request *request = add_request(ring);

  decode(ring, request, sqe);
  int32_t error = admit(ring, request);
  if (error != 0) {
    request->events = 0;
    sim__post(ring, request, error, 0);
    return false;
  }
  draw(ring, request);
  if (request->op.multishot)
    watch_multishot(ring, request);
  /* A cancel is carried out while it is submitted, unless it is to be late. */
  if (request->op.kind == SIM_CANCEL && request->due == ring->tick &&
      (ring->plan.config.hold & SIM_HOLD(SIM_CANCEL)) == 0)
    sim__complete(ring, request);
  return true;
}
