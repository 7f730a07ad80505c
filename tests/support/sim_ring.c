/*
 * The simulated ring: SQ, enter and CQ of the seam src/engine/ring.h. See sim_ring.h for what it
 * does and sim_internal.h for its parts. Like the real one it never allocates after create.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include "base/thread.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define GARBAGE 0xa5 /* in SQEs handed out and in CQEs given back */

/* ------------------------------------------------------------------------- */
/* Who may call                                                              */
/* ------------------------------------------------------------------------- */

void sim__come_in(struct sqcq__ring *ring, const char *call)
{
  if (ring->bound && (ring->setup_flags & IORING_SETUP_SINGLE_ISSUER) != 0 &&
      ring->thread != sqcq__thread_self())
    sim__abort("%s: by a second thread on a SINGLE_ISSUER ring", call);
  /* relaxed: the room has one owner; where it has not, this is about to say so. */
  if (atomic_exchange_explicit(&ring->inside, true, memory_order_relaxed))
    sim__abort("%s: two threads in one ring", call);
}

void sim__go_out(struct sqcq__ring *ring)
{
  atomic_store_explicit(&ring->inside, false, memory_order_relaxed);
}

bool sim__is_disabled(const struct sqcq__ring *ring)
{
  return (ring->setup_flags & IORING_SETUP_R_DISABLED) != 0 && !ring->bound;
}

/* ------------------------------------------------------------------------- */
/* SQ                                                                        */
/* ------------------------------------------------------------------------- */

struct io_uring_sqe *sqcq__ring_sqe(struct sqcq__ring *ring)
{
  struct io_uring_sqe *sqe = NULL;

  sim__come_in(ring, "sqe");
  if (ring->sq_tail - ring->sq_head <= ring->sq_mask) {
    sqe = &ring->sqes[ring->sq_tail++ & ring->sq_mask];
    memset(sqe, GARBAGE, sizeof(*sqe));
  }
  sim__go_out(ring);
  return sqe;
}

bool sqcq__ring_has_unsubmitted(const struct sqcq__ring *ring)
{
  sim__come_in(ring->self, "has_unsubmitted");
  bool has = ring->sq_head != ring->sq_tail;
  sim__go_out(ring->self);
  return has;
}

/* How many SQEs the kernel took. Before SUBMIT_ALL (5.18) one that it refuses ends the batch. */
static uint32_t submit(struct sqcq__ring *ring)
{
  uint32_t limit = ring->plan.config.submit_max;
  uint32_t taken = 0;

  while (ring->sq_head != ring->sq_tail && (limit == 0 || taken < limit)) {
    bool accepted = sim__start(ring, &ring->sqes[ring->sq_head & ring->sq_mask]);

    ring->sq_head++;
    taken++;
    if (!accepted && (ring->setup_flags & IORING_SETUP_SUBMIT_ALL) == 0)
      break;
  }
  return taken;
}

/* ------------------------------------------------------------------------- */
/* Enter                                                                     */
/* ------------------------------------------------------------------------- */

int64_t sim__now_ns(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

void sim__signal(struct sqcq__ring *ring)
{
  uint64_t one = 1;

  if (ring->eventfd < 0 || !ring->watched)
    return;
  ring->counts.events++;
  if (write(ring->eventfd, &one, sizeof(one)) != sizeof(one))
    sim__abort("the eventfd cannot be written: %s", strerror(errno));
}

/* Sleep until a descriptor that an operation waits for is ready. 0, -ETIME or -EINTR. */
static int sleep_until(struct sqcq__ring *ring, int64_t deadline_ns)
{
  uint32_t count = sim__watch(ring);
  int64_t timeout_at = sim__next_timeout(ring);
  struct timespec timeout = {0, 0};
  bool early = timeout_at >= 0 && (deadline_ns < 0 || timeout_at < deadline_ns);

  if (early)
    deadline_ns = timeout_at;
  if (count == 0 && deadline_ns < 0)
    sim__abort("enter: waits for ever: nothing in flight can complete and no poll is armed");
  if (deadline_ns >= 0) {
    int64_t left_ns = deadline_ns - sim__now_ns();

    left_ns = left_ns < 0 ? 0 : left_ns;
    timeout.tv_sec = (time_t)(left_ns / NS_PER_S);
    timeout.tv_nsec = (long)(left_ns % NS_PER_S);
  }
  ring->counts.sleeps++;
  int ready = ppoll(ring->sleepers, count, deadline_ns < 0 ? NULL : &timeout, NULL);
  if (ready < 0 && errno == EINTR) {
    ring->counts.interrupts++;
    return -EINTR;
  }
  if (ready < 0)
    sim__abort("enter: ppoll: %s", strerror(errno));
  return ready == 0 && !early ? -ETIME : 0;
}

static int wait_for(struct sqcq__ring *ring, uint32_t wait_nr, int64_t timeout_ns)
{
  int64_t start_ns = sim__now_ns();
  int64_t deadline_ns = -1;
  bool interrupted = rng_percent(&ring->rng, ring->plan.config.eintr_percent);

  if (timeout_ns >= 0)
    deadline_ns = timeout_ns > INT64_MAX - start_ns ? INT64_MAX : start_ns + timeout_ns;
  if (wait_nr > ring->cq_mask + 1)
    wait_nr = ring->cq_mask + 1;
  while (sim__unread(ring) < wait_nr) {
    if (sim__force(ring))
      continue;
    if ((ring->setup_flags & IORING_SETUP_IOPOLL) != 0)
      return 0; /* nothing to poll for: it does not sleep */
    if (interrupted) {
      ring->counts.interrupts++;
      return -EINTR;
    }
    int error = sleep_until(ring, deadline_ns);
    if (error != 0)
      return error;
    sim__progress(ring);
  }
  return 0;
}

/* Whether the kernel refuses to take SQEs this time. */
static int32_t refuse_submission(struct sqcq__ring *ring)
{
  const struct sim_config *config = &ring->plan.config;

  if (ring->sq_head == ring->sq_tail || (ring->setup_flags & IORING_SETUP_SQPOLL) != 0)
    return 0;
  if (rng_percent(&ring->rng, config->eagain_percent))
    return -EAGAIN;
  return rng_percent(&ring->rng, config->ebusy_percent) ? -EBUSY : 0;
}

/* The kernel says how much it took, and only where that is nothing why the wait ended; liburing
 * then says -ETIME for any timed wait that brought nothing. */
static int enter(struct sqcq__ring *ring, uint32_t wait_nr, int64_t timeout_ns, uint64_t *syscalls)
{
  bool timed = wait_nr > 0 && timeout_ns >= 0;
  int error = sim__fault(ring, SIM_CALL_ENTER);

  if (error == 0) {
    error = refuse_submission(ring);
    ring->counts.failed[SIM_CALL_ENTER] += error != 0;
  }
  if (error != 0)
    return error;
  uint32_t taken = submit(ring);
  sim__progress(ring);
  if (wait_nr == 0)
    return 0;
  ring->counts.waits++;
  if (timed && !ring->timed) { /* before 5.11: any completion ends it */
    if (sim__unread(ring) > 0)
      return 0;
    *syscalls += 1;
    return wait_for(ring, 1, timeout_ns);
  }
  if (ring->sq_head == ring->sq_tail) /* else it took less than all, and does not wait */
    error = wait_for(ring, wait_nr, timeout_ns);
  if (taken > 0)
    error = timed && sim__unread(ring) == 0 ? -ETIME : 0;
  return error;
}

int sqcq__ring_enter(struct sqcq__ring *ring, uint32_t wait_nr, int64_t timeout_ns,
                     uint64_t *syscalls)
{
  int saved = errno;

  sim__come_in(ring, "enter");
  if (sim__is_disabled(ring))
    sim__abort("enter: the ring is disabled (-EBADFD): bind comes first");
  *syscalls += 1;
  int error = enter(ring, wait_nr, timeout_ns, syscalls);
  ring->counts.timeouts += error == -ETIME;
  sim__go_out(ring);
  errno = saved;
  return error;
}

/* ------------------------------------------------------------------------- */
/* CQ                                                                        */
/* ------------------------------------------------------------------------- */

/* With the flag, completions wait for an enter and a flag says so; without, the kernel interrupts
 * the thread and they are there by themselves. */
static bool posts_by_itself(const struct sqcq__ring *ring)
{
  return (ring->setup_flags & IORING_SETUP_TASKRUN_FLAG) == 0;
}

bool sqcq__ring_keeps_awake(const struct sqcq__ring *ring)
{
  return sqcq__ring_wants_enter(ring);
}

bool sqcq__ring_wants_enter(const struct sqcq__ring *ring)
{
  struct sqcq__ring *own = ring->self;
  int saved = errno;

  sim__come_in(own, "wants_enter");
  bool wants = false;
  if (!posts_by_itself(own) && !sim__is_disabled(own)) {
    own->tick++;
    wants = sim__could_progress(own);
  }
  sim__go_out(own);
  errno = saved;
  return wants;
}

uint32_t sqcq__ring_peek(struct sqcq__ring *ring, struct io_uring_cqe **cqes, uint32_t max)
{
  int saved = errno;

  sim__come_in(ring, "peek");
  if (posts_by_itself(ring) && !sim__is_disabled(ring))
    sim__progress(ring);
  uint32_t count = sim__unread(ring);
  if (count > max)
    count = max;
  for (uint32_t i = 0; i < count; i++)
    cqes[i] = &ring->cqes[(ring->cq_head + i) & ring->cq_mask];
  sim__go_out(ring);
  errno = saved;
  return count;
}

void sim_pass(void)
{
  struct sqcq__ring *ring = sim__chosen();
  int saved = errno;

  sim__come_in(ring, "pass");
  if (posts_by_itself(ring))
    sim__progress(ring);
  else if (ring->tick++, sim__could_progress(ring))
    sim__signal(ring);
  sim__go_out(ring);
  errno = saved;
}

void sqcq__ring_advance(struct sqcq__ring *ring, uint32_t count)
{
  sim__come_in(ring, "advance");
  if (count > sim__unread(ring))
    sim__abort("advance: by %u, but %u are there", count, sim__unread(ring));
  for (; count > 0; count--)
    memset(&ring->cqes[ring->cq_head++ & ring->cq_mask], GARBAGE, sizeof(*ring->cqes));
  sim__go_out(ring);
}

uint64_t sqcq__ring_overflow(const struct sqcq__ring *ring)
{
  (void)ring;
  return 0; /* the simulation would have ended the program */
}
