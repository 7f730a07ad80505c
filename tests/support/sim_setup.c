/*
 * The simulated ring: create, bind, register, destroy.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SQ_ENTRIES_MAX 32768u /* the kernel's limits, which IORING_SETUP_CLAMP keeps to */
#define CQ_ENTRIES_MAX 65536u
#define BUFFER_BYTES_MAX (UINT64_C(1) << 30)

/* ------------------------------------------------------------------------- */
/* Create and destroy                                                        */
/* ------------------------------------------------------------------------- */

static const uint32_t group_flags[SQCQ__GROUP_COUNT] = {
    [SQCQ__GROUP_DEFER_TASKRUN] = IORING_SETUP_DEFER_TASKRUN,
    [SQCQ__GROUP_SINGLE_ISSUER] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED,
    [SQCQ__GROUP_COOP_TASKRUN] = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    [SQCQ__GROUP_SUBMIT_ALL] = IORING_SETUP_SUBMIT_ALL,
};

static bool group_wanted(const struct sqcq__ring_config *config, uint32_t group)
{
  switch (group) {
  case SQCQ__GROUP_DEFER_TASKRUN:
    return !config->no_defer && !config->sqpoll;
  case SQCQ__GROUP_SINGLE_ISSUER:
    return !config->no_defer;
  case SQCQ__GROUP_COOP_TASKRUN:
    return !config->sqpoll;
  default:
    return true;
  }
}

/* What io_uring_setup would say to these flags. */
static int32_t try_setup(const struct sqcq__ring *ring, uint32_t flags)
{
  int32_t error = sim__fault_of_create();

  if (error != 0)
    return error;
  if ((flags & IORING_SETUP_DEFER_TASKRUN) != 0 && (flags & IORING_SETUP_SINGLE_ISSUER) == 0)
    return -EINVAL;
  return (flags & ring->plan.config.setup_refused) != 0 ? -EINVAL : 0;
}

/* The same ladder as the real one: all groups at first; while they are refused, drop the newest. */
static int climb_down(struct sqcq__ring *ring, const struct sqcq__ring_config *config,
                      struct sqcq__ring_traits *traits)
{
  for (uint32_t newest = 0;; newest++) {
    uint32_t flags = 0;

    while (newest < SQCQ__GROUP_COUNT && !group_wanted(config, newest))
      newest++;
    for (uint32_t group = newest; group < SQCQ__GROUP_COUNT; group++)
      if (group_wanted(config, group))
        flags |= group_flags[group];
    if ((flags & IORING_SETUP_DEFER_TASKRUN) != 0)
      flags &= ~(uint32_t)IORING_SETUP_COOP_TASKRUN;
    flags |= IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    flags |= config->iopoll ? IORING_SETUP_IOPOLL : 0;
    flags |= config->sqpoll ? IORING_SETUP_SQPOLL : 0;
    flags |= config->sqpoll && config->sqpoll_cpu >= 0 ? IORING_SETUP_SQ_AFF : 0;
    ring->counts.calls[SIM_CALL_CREATE]++;
    int32_t error = try_setup(ring, flags);
    if (error == 0) {
      for (uint32_t group = newest; group < SQCQ__GROUP_COUNT; group++)
        traits->group_on[group] = group_wanted(config, group);
      ring->setup_flags = flags;
      return 0;
    }
    ring->counts.failed[SIM_CALL_CREATE]++;
    if (error != -EINVAL || newest == SQCQ__GROUP_COUNT)
      return error;
    traits->group_error[newest] = error;
  }
}

static bool is_power_of_two(uint32_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

static int take_memory(struct sqcq__ring *ring, uint32_t sq_entries, uint32_t cq_entries)
{
  ring->sqes = calloc(sq_entries, sizeof(*ring->sqes));
  ring->cqes = calloc(cq_entries, sizeof(*ring->cqes));
  ring->requests = calloc(cq_entries, sizeof(*ring->requests));
  ring->candidates = calloc(cq_entries, sizeof(struct sim_request *));
  ring->sleepers = calloc((size_t)cq_entries + 1, sizeof(*ring->sleepers));
  ring->buffers = calloc(ring->plan.config.buffers_max, sizeof(*ring->buffers));
  /* Read only where they were written. */
  ring->files = malloc(SIM_FILES_MAX * sizeof(*ring->files));
  ring->log = malloc(SIM_LOG * sizeof(*ring->log));
  if (ring->sqes == NULL || ring->cqes == NULL || ring->requests == NULL ||
      ring->candidates == NULL || ring->sleepers == NULL || ring->files == NULL ||
      ring->buffers == NULL || ring->log == NULL)
    return -ENOMEM;
  ring->sq_mask = sq_entries - 1;
  ring->cq_mask = cq_entries - 1;
  for (uint32_t i = cq_entries; i-- > 0;) {
    ring->requests[i].newer = ring->free;
    ring->free = &ring->requests[i];
  }
  ring->epoll = epoll_create1(EPOLL_CLOEXEC);
  return ring->epoll < 0 ? -errno : 0;
}

static void free_ring(struct sqcq__ring *ring)
{
  if (ring->epoll >= 0)
    close(ring->epoll);
  free(ring->sqes);
  free(ring->cqes);
  free(ring->requests);
  free(ring->candidates);
  free(ring->sleepers);
  free(ring->files);
  free(ring->buffers);
  free(ring->log);
  free(ring);
}

int sqcq__ring_create(struct sqcq__ring **ring, const struct sqcq__ring_config *config,
                      struct sqcq__ring_traits *traits)
{
  int saved = errno;
  struct sqcq__ring *made = calloc(1, sizeof(*made));

  if (made == NULL) {
    errno = saved;
    return -ENOMEM;
  }
  if (!is_power_of_two(config->sq_entries) || !is_power_of_two(config->cq_entries))
    sim__abort("create: %u SQ and %u CQ entries: not powers of two", config->sq_entries,
               config->cq_entries);
  made->self = made;
  made->epoll = -1;
  made->eventfd = -1;
  sim__adopt(made);
  memset(traits, 0, sizeof(*traits));
  int error = climb_down(made, config, traits);
  if (error == 0 && (config->sq_entries > SQ_ENTRIES_MAX || config->cq_entries > CQ_ENTRIES_MAX))
    error = -EINVAL; /* clamped: the caller gets less than it counts on */
  if (error == 0)
    error = take_memory(made, config->sq_entries, config->cq_entries);
  errno = saved;
  if (error != 0) {
    free_ring(made);
    return error;
  }
  made->counts.sq_entries = config->sq_entries;
  made->counts.cq_entries = config->cq_entries;
  made->timed = (made->plan.config.features & IORING_FEAT_EXT_ARG) != 0;
  traits->setup_flags = made->setup_flags;
  traits->features = made->plan.config.features;
  traits->timed_enter = made->timed;
  traits->unregistered_sqpoll = (made->plan.config.features & IORING_FEAT_SQPOLL_NONFIXED) != 0;
  traits->fadvise_error = made->plan.config.fadvise_error;
  traits->dontcache_error = made->plan.config.dontcache_error;
  sim__add(made);
  *ring = made;
  return 0;
}

#define KEPT_MAX 64u

static int kept[KEPT_MAX]; /* files of rings destroyed, which the kernel has not let go of */
static uint32_t kept_count;

void sim_let_go(void)
{
  while (kept_count > 0)
    close(kept[--kept_count]);
}

void sqcq__ring_destroy(struct sqcq__ring *ring)
{
  int saved = errno;

  if (ring == NULL)
    return;
  if (ring->fd_registered)
    sim__abort("destroy: the ring's descriptor is still registered: unbind comes first");
  ring->counts.left_inflight = ring->inflight;
  ring->counts.left_unread = sim__unread(ring);
  sim__abandon(ring);
  for (uint32_t slot = 0; slot < ring->file_count; slot++)
    if (ring->files[slot] >= 0) {
      ring->counts.left_slots++;
      if (ring->plan.config.holds_on && kept_count < KEPT_MAX)
        kept[kept_count++] = ring->files[slot];
      else
        close(ring->files[slot]);
    }
  sim__remove(ring);
  free_ring(ring);
  errno = saved;
}

/* ------------------------------------------------------------------------- */
/* Bind                                                                      */
/* ------------------------------------------------------------------------- */

int sqcq__ring_bind(struct sqcq__ring *ring, int *fd_error)
{
  if (ring->bound)
    sim__abort("bind: bound before");
  sim__come_in(ring, "bind");
  int error = sim__fault(ring, SIM_CALL_BIND);
  if (error == 0) {
    ring->bound = true;
    ring->thread = sqcq__thread_self();
    *fd_error = sim__fault(ring, SIM_CALL_RING_FD);
    ring->fd_registered = *fd_error == 0;
  }
  sim__go_out(ring);
  return error;
}

int sqcq__ring_bound_workers(struct sqcq__ring *ring, uint32_t bounded, uint32_t unbounded)
{
  sim__come_in(ring, "bound_workers");
  if (!ring->bound)
    sim__abort("bound_workers: before bind: it would be another thread's");
  int error = sim__fault(ring, SIM_CALL_BOUND_WORKERS);
  if (error == 0) {
    ring->workers[0] = bounded;
    ring->workers[1] = unbounded;
  }
  sim__go_out(ring);
  return error;
}

void sqcq__ring_unbind(struct sqcq__ring *ring)
{
  sim__come_in(ring, "unbind");
  if (ring->bound && ring->thread != sqcq__thread_self())
    sim__abort("unbind: not by the thread that called bind");
  ring->fd_registered = false;
  sim__go_out(ring);
}

void sqcq__ring_abandon(struct sqcq__ring *ring)
{
  ring->bound = false; /* by a thread that has ended: the next one may come in */
  sim__come_in(ring, "abandon");
  ring->fd_registered = false;
  sim__go_out(ring);
}

/* ------------------------------------------------------------------------- */
/* Registrations                                                             */
/* ------------------------------------------------------------------------- */

int sqcq__ring_register_files(struct sqcq__ring *ring, uint32_t count)
{
  if (ring->bound)
    sim__abort("register_files: after the first turn");
  sim__come_in(ring, "register_files");
  int error = sim__fault(ring, SIM_CALL_REGISTER_FILES);
  if (error == 0 && ring->file_count > 0)
    error = -EBUSY;
  if (error == 0 && count == 0)
    error = -EINVAL;
  if (error == 0 && count > SIM_FILES_MAX)
    error = -EMFILE;
  if (error == 0) {
    ring->file_count = count;
    for (uint32_t slot = 0; slot < count; slot++)
      ring->files[slot] = -1;
  }
  sim__go_out(ring);
  return error;
}

/* The kernel holds the file, not the number: so does a duplicate. */
static int replace_file(struct sqcq__ring *ring, uint32_t slot, int fd)
{
  int duplicate = -1;

  if (ring->file_count == 0)
    return -ENXIO;
  if (slot >= ring->file_count)
    return -EINVAL;
  if (fd >= 0) {
    duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
      return -errno;
  }
  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if ((request->op.kind == SIM_READ || request->op.kind == SIM_ADVICE) &&
        request->op.slot == (int32_t)slot)
      sim__abort("update_file: slot %u while a read of it is in flight", slot);
  if (ring->files[slot] >= 0)
    close(ring->files[slot]);
  ring->files[slot] = duplicate;
  return 0;
}

int sqcq__ring_update_file(struct sqcq__ring *ring, uint32_t slot, int fd)
{
  int saved = errno;

  sim__come_in(ring, "update_file");
  int error = sim__fault(ring, SIM_CALL_UPDATE_FILE);
  if (error == 0)
    error = replace_file(ring, slot, fd);
  sim__go_out(ring);
  errno = saved;
  return error;
}

static int check_buffers(const struct sqcq__ring *ring, const struct iovec *iovecs, uint32_t count)
{
  const struct sim_config *config = &ring->plan.config;

  if (count > config->buffers_max)
    return -EINVAL;
  for (uint32_t i = 0; i < count; i++) {
    if (iovecs[i].iov_base == NULL && (iovecs[i].iov_len != 0 || config->no_null_buffers))
      return -EFAULT;
    if (iovecs[i].iov_base != NULL &&
        (iovecs[i].iov_len == 0 || iovecs[i].iov_len > BUFFER_BYTES_MAX))
      return -EFAULT;
  }
  return 0;
}

int sqcq__ring_register_buffers(struct sqcq__ring *ring, const struct iovec *iovecs, uint32_t count)
{
  if (ring->bound)
    sim__abort("register_buffers: after the first turn");
  sim__come_in(ring, "register_buffers");
  ring->buffer_count = 0;
  int error = sim__fault(ring, SIM_CALL_REGISTER_BUFFERS);
  if (error == 0)
    error = check_buffers(ring, iovecs, count);
  if (error == 0 && count > 0) {
    memcpy(ring->buffers, iovecs, count * sizeof(*iovecs));
    ring->buffer_count = count;
  }
  sim__go_out(ring);
  return error;
}

int sqcq__ring_register_eventfd(struct sqcq__ring *ring, int fd)
{
  if (ring->bound)
    sim__abort("register_eventfd: after the first turn");
  sim__come_in(ring, "register_eventfd");
  int error = sim__fault(ring, SIM_CALL_REGISTER_EVENTFD);
  if (error == 0)
    ring->eventfd = fd;
  sim__go_out(ring);
  return error;
}

void sqcq__ring_watch(struct sqcq__ring *ring, bool on)
{
  int saved = errno;

  sim__come_in(ring, "watch");
  if (ring->eventfd < 0)
    sim__abort("watch: no eventfd is registered");
  ring->watched = on;
  if (on && sim__is_coming(ring))
    sim__signal(ring);
  sim__go_out(ring);
  errno = saved;
}
