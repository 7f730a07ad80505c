/*
 * The seam on io_uring: the only file that makes its system calls. Room: I; see ring.h.
 *
 * What the turn does with an errno of the enter call:
 *   -EINTR   a signal: the turn ends early, sqcq_engine_wait() says so
 *   -ETIME   the timeout of a wait
 *   -EAGAIN  the kernel is short of memory for requests: SQEs stay queued, tried on the next turn
 *   -EBUSY   the CQ is overflown (cannot be here) or task work is pending: reap, then the next turn
 *   -EBADR   completions were dropped: cannot be here; an error of the turn
 *   others   the ring is not usable (-EBADF, -EEXIST, -EFAULT, -EINVAL, -EPERM ...): an error of
 *   the turn
 */
#include "engine/ring.h"

#include "base/mem.h"
#include "base/ownership.h"

#include <liburing.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define OPS_PROBED 64
#define RWF_NOAPPEND_6_9 0x20 /* not in all headers that we build with */

struct sqcq__ring {
  struct io_uring uring;
  uint32_t setup_flags;
  bool ext_arg;               /* a timeout can be an argument of enter (5.11) */
  bool ring_fd;               /* registered */
  bool inherited;             /* from a thread that has ended */
  uint8_t unregistered_flags; /* liburing's own, without that */
  uint32_t buffers;
  uint64_t token; /* written by every call: ThreadSanitizer sees two threads in one ring */
};

#if defined(SQCQ__TSAN)
#include <sanitizer/tsan_interface.h>
/* liburing is not instrumented: its mappings come and go unseen, at the same addresses. */
static char mappings;
#define MAPPINGS_GONE() __tsan_release(&mappings)
#define MAPPINGS_NEW() __tsan_acquire(&mappings)
#else
#define MAPPINGS_GONE() ((void)0)
#define MAPPINGS_NEW() ((void)0)
#endif

static const uint32_t group_flags[SQCQ__GROUP_COUNT] = {
    [SQCQ__GROUP_DEFER_TASKRUN] = IORING_SETUP_DEFER_TASKRUN,
    [SQCQ__GROUP_SINGLE_ISSUER] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED,
    [SQCQ__GROUP_COOP_TASKRUN] = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    [SQCQ__GROUP_SUBMIT_ALL] = IORING_SETUP_SUBMIT_ALL,
};

static bool group_wanted(const struct sqcq__ring_config *config, enum sqcq__ring_group group)
{
  switch (group) {
  case SQCQ__GROUP_DEFER_TASKRUN:
    return !config->no_defer && !config->sqpoll;
  case SQCQ__GROUP_SINGLE_ISSUER:
    return !config->no_defer;
  case SQCQ__GROUP_COOP_TASKRUN:
    return !config->sqpoll; /* a kernel thread submits: there is no task work of ours */
  default:
    return true;
  }
}

static int try_setup(struct sqcq__ring *ring, const struct sqcq__ring_config *config,
                     uint32_t flags, struct io_uring_params *params)
{
  memset(params, 0, sizeof(*params));
  params->flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | flags;
  params->cq_entries = config->cq_entries;
  if (config->iopoll)
    params->flags |= IORING_SETUP_IOPOLL;
  if (config->sqpoll) {
    params->flags |= IORING_SETUP_SQPOLL;
    params->sq_thread_idle = config->sqpoll_idle_ms;
    if (config->sqpoll_cpu >= 0) {
      params->flags |= IORING_SETUP_SQ_AFF;
      params->sq_thread_cpu = (uint32_t)config->sqpoll_cpu;
    }
  }
  return io_uring_queue_init_params(config->sq_entries, &ring->uring, params);
}

/* Try the groups together; while the kernel does not know them (-EINVAL), drop the newest. */
static int climb_down(struct sqcq__ring *ring, const struct sqcq__ring_config *config,
                      struct sqcq__ring_traits *traits, struct io_uring_params *params)
{
  for (uint32_t newest = 0;; newest++) {
    uint32_t flags = 0;

    while (newest < SQCQ__GROUP_COUNT && !group_wanted(config, (enum sqcq__ring_group)newest))
      newest++;
    for (uint32_t group = newest; group < SQCQ__GROUP_COUNT; group++)
      if (group_wanted(config, (enum sqcq__ring_group)group))
        flags |= group_flags[group];
    if ((flags & IORING_SETUP_DEFER_TASKRUN) != 0)
      flags &= ~(uint32_t)IORING_SETUP_COOP_TASKRUN; /* implied, and refused beside it */
    int error = try_setup(ring, config, flags, params);
    if (error >= 0) {
      for (uint32_t group = newest; group < SQCQ__GROUP_COUNT; group++)
        traits->group_on[group] = group_wanted(config, (enum sqcq__ring_group)group);
      return 0;
    }
    if (error != -EINVAL || newest == SQCQ__GROUP_COUNT)
      return error;
    traits->group_error[newest] = error;
  }
}

/* Whether kernel and ring know an operation: 0 or -errno. */
static int try_operation(struct sqcq__ring *ring, unsigned op)
{
  size_t bytes = sizeof(struct io_uring_probe) + OPS_PROBED * sizeof(struct io_uring_probe_op);
  struct io_uring_probe *probe = sqcq__mem_new(1, bytes);

  if (probe == NULL)
    return -ENOMEM;
  int error = io_uring_register_probe(&ring->uring, probe, OPS_PROBED);
  if (error >= 0)
    error = op <= probe->last_op && (probe->ops[op].flags & IO_URING_OP_SUPPORTED) != 0
                ? 0
                : -EOPNOTSUPP;
  sqcq__mem_free(probe);
  return error;
}

/* Whether the kernel knows RWF_DONTCACHE, whatever file systems say to it. Flags that it does not
 * know it refuses first, with -EOPNOTSUPP; then two that exclude each other, with -EINVAL. One of
 * these came in 6.9, DONTCACHE in 6.14. Nothing is read, and the descriptor is any that has
 * something of read(2) in it. */
static int try_dontcache(void)
{
  char byte;
  struct iovec iovec = {.iov_base = &byte, .iov_len = 1};
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  if (fd < 0)
    return -errno;
  /* Bare: a C library may know less than the kernel. The offset of -1: no offset. */
  long n = syscall(SYS_preadv2, fd, &iovec, 1L, -1L, 0L,
                   (long)(SQCQ__RWF_DONTCACHE | RWF_APPEND | RWF_NOAPPEND_6_9));
  int error = n < 0 ? -errno : -EOPNOTSUPP;
  (void)close(fd);
  return error == -EINVAL ? 0 : error;
}

int sqcq__ring_create(struct sqcq__ring **ring, const struct sqcq__ring_config *config,
                      struct sqcq__ring_traits *traits)
{
  struct sqcq__ring *made = sqcq__mem_new(1, sizeof(*made));
  struct io_uring_params params;

  if (made == NULL)
    return -ENOMEM;
  memset(traits, 0, sizeof(*traits));
  int error = climb_down(made, config, traits, &params);
  if (error < 0) {
    sqcq__mem_free(made);
    return error;
  }
  MAPPINGS_NEW();
  /* CLAMP makes rings smaller without a word; the bounds of the engine rest on their sizes. */
  if (params.sq_entries < config->sq_entries || params.cq_entries < config->cq_entries) {
    sqcq__ring_destroy(made);
    return -EINVAL;
  }
  made->setup_flags = params.flags;
  made->ext_arg = (params.features & IORING_FEAT_EXT_ARG) != 0;
  traits->setup_flags = params.flags;
  traits->features = params.features;
  traits->timed_enter = made->ext_arg;
  traits->unregistered_sqpoll = (params.features & IORING_FEAT_SQPOLL_NONFIXED) != 0;
  traits->fadvise_error = try_operation(made, IORING_OP_FADVISE);
  traits->dontcache_error = try_dontcache();
  *ring = made;
  return 0;
}

void sqcq__ring_destroy(struct sqcq__ring *ring)
{
  if (ring == NULL)
    return;
  MAPPINGS_GONE();
  io_uring_queue_exit(&ring->uring);
  sqcq__mem_free(ring);
}

int sqcq__ring_bind(struct sqcq__ring *ring, int *fd_error)
{
  ring->token++;
  if ((ring->setup_flags & IORING_SETUP_R_DISABLED) != 0) {
    /* Not io_uring_enable_rings(): liburing 2.3's shared library forgot to export it. */
    int error =
        io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (error < 0)
      return error;
  }
  ring->unregistered_flags = ring->uring.int_flags;
  int registered = io_uring_register_ring_fd(&ring->uring);
  ring->ring_fd = registered == 1;
  *fd_error = registered < 0 ? registered : 0;
  return 0;
}

int sqcq__ring_bound_workers(struct sqcq__ring *ring, uint32_t bounded, uint32_t unbounded)
{
  unsigned values[2] = {bounded, unbounded};

  ring->token++;
  int error = io_uring_register_iowq_max_workers(&ring->uring, values);
  return error < 0 ? error : 0;
}

void sqcq__ring_unbind(struct sqcq__ring *ring)
{
  ring->token++;
  if (ring->ring_fd)
    (void)io_uring_unregister_ring_fd(&ring->uring);
  ring->ring_fd = false;
}

void sqcq__ring_abandon(struct sqcq__ring *ring)
{
  ring->token++;
  ring->inherited = true;
  if (!ring->ring_fd)
    return;
  /* As before the registration: liburing would else use, and give back at the end, whatever the
   * caller has registered in that place. */
  ring->uring.int_flags = ring->unregistered_flags;
  ring->uring.enter_ring_fd = ring->uring.ring_fd;
  ring->ring_fd = false;
}

int sqcq__ring_register_files(struct sqcq__ring *ring, uint32_t count)
{
  ring->token++;
  int error = io_uring_register_files_sparse(&ring->uring, count);
  if (error != -EINVAL)
    return error;
  /* Before 5.19 an empty slot is spelled -1. */
  int *empty = sqcq__mem_new(count, sizeof(*empty));
  if (empty == NULL)
    return -ENOMEM;
  memset(empty, 0xff, count * sizeof(*empty));
  error = io_uring_register_files(&ring->uring, empty, count);
  sqcq__mem_free(empty);
  return error;
}

int sqcq__ring_update_file(struct sqcq__ring *ring, uint32_t slot, int fd)
{
  ring->token++;
  int updated = io_uring_register_files_update(&ring->uring, slot, &fd, 1);
  return updated < 0 ? updated : 0;
}

int sqcq__ring_register_buffers(struct sqcq__ring *ring, const struct iovec *iovecs, uint32_t count)
{
  ring->token++;
  if (ring->buffers > 0)
    (void)io_uring_unregister_buffers(&ring->uring);
  ring->buffers = 0;
  if (count == 0)
    return 0;
  int error = io_uring_register_buffers(&ring->uring, iovecs, count);
  if (error >= 0)
    ring->buffers = count;
  return error < 0 ? error : 0;
}

int sqcq__ring_register_eventfd(struct sqcq__ring *ring, int fd)
{
  ring->token++;
  int error = io_uring_register_eventfd(&ring->uring, fd);
  if (error == 0)
    error = io_uring_cq_eventfd_toggle(&ring->uring, false);
  return error < 0 ? error : 0;
}

void sqcq__ring_watch(struct sqcq__ring *ring, bool on)
{
  ring->token++;
  (void)io_uring_cq_eventfd_toggle(&ring->uring, on); /* worked when it was registered */
}

struct io_uring_sqe *sqcq__ring_sqe(struct sqcq__ring *ring)
{
  ring->token++;
  return io_uring_get_sqe(&ring->uring);
}

bool sqcq__ring_has_unsubmitted(const struct sqcq__ring *ring)
{
  unsigned ready = io_uring_sq_ready(&ring->uring);

  if (ready == 0 || (ring->setup_flags & IORING_SETUP_SQPOLL) == 0)
    return ready > 0;
  /* What the kernel thread has been shown is its own business. */
  return ring->uring.sq.sqe_tail != IO_URING_READ_ONCE(*ring->uring.sq.ktail);
}

bool sqcq__ring_wants_enter(const struct sqcq__ring *ring)
{
  /* relaxed: a flag raised after this look is seen by the next one, or by a sleep. */
  return (IO_URING_READ_ONCE(*ring->uring.sq.kflags) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool sqcq__ring_keeps_awake(const struct sqcq__ring *ring)
{
  return !ring->inherited && sqcq__ring_wants_enter(ring);
}

/* Kernels before 5.11: submit, then sleep on the ring's descriptor. */
static int enter_then_poll(struct sqcq__ring *ring, int64_t timeout_ns, uint64_t *syscalls)
{
  struct pollfd watch = {.fd = ring->uring.ring_fd, .events = POLLIN};
  struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                             .tv_nsec = (long)(timeout_ns % NS_PER_S)};
  int error = io_uring_submit_and_get_events(&ring->uring);

  *syscalls += 1;
  if (error < 0 || io_uring_cq_ready(&ring->uring) > 0)
    return error < 0 ? error : 0;
  *syscalls += 1;
  int ready = ppoll(&watch, 1, &timeout, NULL);
  if (ready < 0)
    return -errno;
  return ready == 0 ? -ETIME : 0;
}

int sqcq__ring_enter(struct sqcq__ring *ring, uint32_t wait_nr, int64_t timeout_ns,
                     uint64_t *syscalls)
{
  int error;

  ring->token++;
  if (wait_nr == 0 && (ring->setup_flags & IORING_SETUP_SQPOLL) != 0) {
    /* A system call only where the kernel thread has gone to sleep. */
    uint32_t flags = IO_URING_READ_ONCE(*ring->uring.sq.kflags);

    *syscalls += (flags & IORING_SQ_NEED_WAKEUP) != 0;
    error = io_uring_submit(&ring->uring);
  } else if (wait_nr == 0) {
    *syscalls += 1;
    error = io_uring_submit_and_get_events(&ring->uring);
  } else if (timeout_ns < 0) {
    *syscalls += 1;
    error = io_uring_submit_and_wait(&ring->uring, wait_nr);
  } else if (!ring->ext_arg) {
    return enter_then_poll(ring, timeout_ns, syscalls);
  } else {
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / NS_PER_S,
                                        .tv_nsec = timeout_ns % NS_PER_S};
    struct io_uring_cqe *cqe;

    *syscalls += 1;
    error = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, wait_nr, &timeout, NULL);
  }
  return error < 0 ? error : 0;
}

uint32_t sqcq__ring_peek(struct sqcq__ring *ring, struct io_uring_cqe **cqes, uint32_t max)
{
  struct io_uring_cqe *cqe;
  unsigned head;
  uint32_t n = 0;

  ring->token++;
  io_uring_for_each_cqe(&ring->uring, head, cqe)
  {
    if (n == max)
      break;
    cqes[n++] = cqe;
  }
  return n;
}

void sqcq__ring_advance(struct sqcq__ring *ring, uint32_t count)
{
  io_uring_cq_advance(&ring->uring, count);
}

uint64_t sqcq__ring_overflow(const struct sqcq__ring *ring)
{
  return IO_URING_READ_ONCE(*ring->uring.cq.koverflow);
}
