/*
 * The simulated ring: doing what an operation asks for. See sim_time.c for when.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOT_YET (INT32_MIN + 1) /* a read that would have to wait */

/* ------------------------------------------------------------------------- */
/* Patterns                                                                  */
/* ------------------------------------------------------------------------- */

uint64_t sim_file_key(int fd)
{
  struct sim_file_id id;

  if (!sim__file_id(fd, &id))
    sim__abort("sim_file_key: descriptor %d: %s", fd, strerror(errno));
  uint64_t state = (uint64_t)id.device;
  state = rng_mix(&state) ^ (uint64_t)id.inode;
  return rng_mix(&state);
}

uint8_t sim_pattern(uint64_t file_key, uint64_t offset)
{
  uint64_t state = file_key + offset / 8;

  return (uint8_t)(rng_mix(&state) >> (offset % 8 * 8));
}

bool sim_pattern_matches(const void *data, int fd, uint64_t offset, uint32_t length)
{
  const uint8_t *bytes = data;
  uint64_t key = sim_file_key(fd);

  for (uint32_t i = 0; i < length; i++)
    if (bytes[i] != sim_pattern(key, offset + i))
      return false;
  return true;
}

/* ------------------------------------------------------------------------- */
/* Reads                                                                     */
/* ------------------------------------------------------------------------- */

bool sim__has_something(const struct sim_request *request)
{
  struct pollfd look = {.fd = request->op.fd, .events = POLLIN};

  return !request->stream || poll(&look, 1, 0) > 0;
}

/* The sanitizers are not to see this write: it stands for the kernel's. Neither may the compiler
 * make a memset or memcpy of it, hence volatile. */
__attribute__((no_sanitize("thread"), no_sanitize("address"))) static void
put_byte(volatile uint8_t *to, uint8_t byte)
{
  *to = byte;
}

/* Where a read's bytes go: its iovecs, only so many bytes of them. Returns how many. */
static uint32_t aim(const struct sim_request *request, uint32_t want, struct iovec *iovecs)
{
  const struct sim_op *op = &request->op;
  uint32_t count = 0;

  if (op->vectors == 0) {
    iovecs[0] = (struct iovec){.iov_base = op->data, .iov_len = want};
    return 1;
  }
  if (memcmp(op->data, request->iovecs, op->vectors * sizeof(struct iovec)) != 0)
    sim__abort("read %llu: its iovecs changed in flight", (unsigned long long)op->number);
  for (; want > 0; count++) {
    iovecs[count] = request->iovecs[count];
    if (iovecs[count].iov_len > want)
      iovecs[count].iov_len = want;
    want -= (uint32_t)iovecs[count].iov_len;
  }
  return count;
}

static int32_t read_pattern(const struct sqcq__ring *ring, const struct sim_op *op,
                            const struct iovec *iovecs, uint32_t want)
{
  uint64_t size = ring->plan.config.pattern_size;
  uint64_t key = sim_file_key(op->fd);
  uint32_t at = 0, in = 0;

  if (size > 0 && op->offset >= size)
    return 0;
  if (size > 0 && size - op->offset < want)
    want = (uint32_t)(size - op->offset);
  for (uint32_t i = 0; i < want; i++) {
    put_byte((uint8_t *)iovecs[at].iov_base + in, sim_pattern(key, op->offset + i));
    if (++in == iovecs[at].iov_len) {
      at++;
      in = 0;
    }
  }
  return (int32_t)want;
}

/* System calls made bare: the wrappers of the sanitizers would take the kernel's write for one of
 * this thread, into memory that is not its own just now. */
static int32_t read_now(const struct sqcq__ring *ring, const struct sim_request *request,
                        uint32_t want)
{
  const struct sim_op *op = &request->op;
  bool here = request->stream || op->offset == UINT64_MAX;
  struct iovec iovecs[SIM_VECTORS_MAX];
  long count = (long)aim(request, want, iovecs);
  long n;

  if (!here && ring->plan.config.data == SIM_DATA_PATTERN)
    return read_pattern(ring, op, iovecs, want);
  if (here)
    n = syscall(SYS_readv, op->fd, iovecs, count);
  else
    n = syscall(SYS_preadv, op->fd, iovecs, count, op->offset, 0L);
  return n < 0 ? -errno : (int32_t)n;
}

/* Read without waiting: a result, or NOT_YET. */
static int32_t try_read(struct sqcq__ring *ring, struct sim_request *request)
{
  const struct sim_config *config = &ring->plan.config;

  if (request->fault != 0) {
    ring->counts.failed_reads += request->fault != -EAGAIN;
    ring->counts.again_reads += request->fault == -EAGAIN;
    return request->fault;
  }
  int32_t result = NOT_YET;
  if (sim__has_something(request))
    result = read_now(ring, request, request->trim > 0 ? request->trim : request->op.length);
  if (request->stream && result == NOT_YET && (request->op.rw_flags & RWF_NOWAIT) != 0)
    return -EAGAIN;
  if (request->stream && (result == -EAGAIN || result == NOT_YET))
    result = config->nonblock_again && (fcntl(request->op.fd, F_GETFL) & O_NONBLOCK) != 0 ? -EAGAIN
                                                                                          : NOT_YET;
  ring->counts.short_reads += result > 0 && (uint32_t)result == request->trim;
  return result;
}

/* ------------------------------------------------------------------------- */
/* Cancels                                                                   */
/* ------------------------------------------------------------------------- */

static struct sim_request *find_target(struct sqcq__ring *ring, uint64_t user_data)
{
  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer) {
    bool decided = request->told != 0 && request->op.result != SIM_RESULT_REAL;

    if (request->op.user_data == user_data && !decided &&
        (request->op.kind == SIM_READ || request->op.kind == SIM_POLL ||
         request->op.kind == SIM_ADVICE || request->op.kind == SIM_TIMEOUT))
      return request;
  }
  return NULL;
}

/* Post both, or one now and one later. */
static void answer_both(struct sqcq__ring *ring, struct sim_request *cancel, int32_t cancel_result,
                        struct sim_request *target, int32_t target_result)
{
  const struct sim_config *config = &ring->plan.config;
  bool cancel_first = config->in_order ? config->cancel_first : rng_percent(&ring->rng, 50);
  uint64_t delay = config->in_order ? 0 : rng_below(&ring->rng, (uint64_t)config->delay_max + 1);

  sim__post(ring, cancel_first ? cancel : target, cancel_first ? cancel_result : target_result, 0);
  struct sim_request *second = cancel_first ? target : cancel;
  int32_t result = cancel_first ? target_result : cancel_result;
  if (delay == 0)
    sim__post(ring, second, result, 0);
  else
    sim__tell(ring, second, result, delay);
}

static void carry_out_cancel(struct sqcq__ring *ring, struct sim_request *cancel)
{
  struct sim_request *target = find_target(ring, cancel->op.target);
  enum sim_cancel outcome = cancel->outcome;

  if (target != NULL && outcome != SIM_CANCEL_WINS &&
      (target->op.kind != SIM_READ || sim__is_silent(ring, target->op.fd) ||
       !sim__has_something(target)))
    outcome = SIM_CANCEL_WINS; /* it will never complete by itself */
  if (target == NULL || (outcome == SIM_CANCEL_LATE && sim__complete(ring, target))) {
    ring->counts.cancels_late++;
    sim__post(ring, cancel, -ENOENT, 0);
  } else if (outcome == SIM_CANCEL_ALREADY) {
    ring->counts.cancels_already++;
    sim__post(ring, cancel, -EALREADY, 0);
  } else if (ring->plan.config.cancel_interrupts && target->op.kind == SIM_READ) {
    ring->counts.cancels_already++;
    answer_both(ring, cancel, -EALREADY, target, -EINTR);
  } else {
    ring->counts.cancels_won++;
    answer_both(ring, cancel, 0, target, -ECANCELED);
  }
}

/* ------------------------------------------------------------------------- */
/* Completing                                                                */
/* ------------------------------------------------------------------------- */

/* Do what it asks for; false where that would have to wait. */
bool sim__complete(struct sqcq__ring *ring, struct sim_request *request)
{
  int32_t result = 0;

  switch (request->op.kind) {
  case SIM_READ:
    result = try_read(ring, request);
    if (result == NOT_YET)
      return false;
    break;
  case SIM_CANCEL:
    carry_out_cancel(ring, request);
    return true;
  case SIM_CLOSE:
    result = close(request->op.fd) != 0 ? -errno : 0;
    break;
  case SIM_ADVICE:
    result = -posix_fadvise(request->op.fd, (off_t)request->op.offset, (off_t)request->op.length,
                            (int)request->op.rw_flags);
    break;
  case SIM_POLL:
    result = POLLIN;
    break;
  case SIM_TIMEOUT:
    result = -ETIME;
    break;
  default:
    break;
  }
  sim__post(ring, request, result, 0);
  return true;
}

/* Answer as it has been told. */
bool sim__complete_told(struct sqcq__ring *ring, struct sim_request *request)
{
  int32_t result = request->op.result;

  if (result == SIM_RESULT_REAL)
    return sim__complete(ring, request);
  if (request->op.kind == SIM_READ && result > 0)
    (void)read_now(ring, request, (uint32_t)result);
  if (request->op.kind == SIM_CLOSE)
    close(request->op.fd); /* it is closed whatever close(2) says */
  sim__post(ring, request, result, 0);
  return true;
}
