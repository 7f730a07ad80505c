#include "engine/iothread.h"

#include "engine/engine.h"

#include "base/check.h"
#include "base/thread.h"

#include <linux/io_uring.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* How long sqcq_engine_destroy() waits for a lost ring's reads. The kernel cancels what waits for
 * data at once, some 50 ms here; a disk's reads end by themselves. */
#define DESTROY_WAIT_MS 5000

int sqcq__iothread_init(struct sqcq__iothread *thread)
{
  pthread_mutexattr_t robust;
  int error = pthread_mutexattr_init(&robust);

  if (error != 0)
    return -error;
  (void)pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST); /* a value that is allowed */
  error = pthread_mutex_init(&thread->held, &robust);
  (void)pthread_mutexattr_destroy(&robust);
  return -error;
}

void sqcq__iothread_fini(struct sqcq__iothread *thread)
{
  if (thread->tombstone >= 0)
    (void)close(thread->tombstone);
  thread->tombstone = -1;
}

int sqcq__iothread_bury(struct sqcq_engine *engine, uint32_t slot)
{
  int ends[2];

  if (pipe2(ends, O_CLOEXEC) < 0)
    return -errno;
  int error = sqcq__ring_update_file(engine->ring, slot, ends[1]);
  (void)close(ends[1]); /* the table's is the only one */
  if (error < 0)
    (void)close(ends[0]);
  else
    engine->iothread.tombstone = ends[0];
  return error;
}

/* ------------------------------------------------------------------------- */
/* The end of a lost ring                                                    */
/* ------------------------------------------------------------------------- */

void sqcq__iothread_failed(struct sqcq_engine *engine, int error)
{
  switch (error) {
  case -EBADF:  /* closed under us */
  case -EBADFD: /* or never enabled */
  case -ENXIO:
  case -EOPNOTSUPP:
  case -EEXIST: /* another thread's */
  case -EPERM:  /* a seccomp filter that came late */
  case -EACCES:
  case -ENOSYS:
    engine->iothread.lost = error;
    break;
  default: /* short of memory, perhaps: the next turn may do */
    break;
  }
}

/* Let the kernel go from the ring: `mine`: what is registered with it is so by the caller, or nobody.
 * What it has answered is taken first. */
static void close_ring(struct sqcq_engine *engine, bool mine)
{
  if (engine->ring == NULL)
    return;
  if (!mine)
    sqcq__ring_abandon(engine->ring);
  sqcq__turn_reap(engine);
  sqcq__ring_unbind(engine->ring);
  sqcq__ring_destroy(engine->ring);
  engine->ring = NULL;
  /* There is no table any more. A descriptor whose close was on its way is closed, or leaked: its
   * number may be another's by now. */
  for (uint32_t i = 0; i < engine->files.count; i++) {
    engine->files.io[i].slot = -1;
    if (engine->files.io[i].closing)
      engine->files.files[i].fd = -1;
  }
}

/* Whether the kernel holds no read of the ring any more. */
static bool is_buried(const struct sqcq_engine *engine, int wait_ms)
{
  struct pollfd watch = {.fd = engine->iothread.tombstone};

  if (engine->io.requests.flying_count == 0)
    return true;
  return watch.fd >= 0 && poll(&watch, 1, wait_ms) == 1 && (watch.revents & POLLHUP) != 0;
}

static void answer_all(struct sqcq_engine *engine)
{
  struct sqcq__requests *requests = &engine->io.requests;
  struct sqcq__match all = {0};

  for (uint32_t i = 0; i < requests->capacity; i++) {
    struct sqcq__slot *slot = &requests->slots[i];
    uint64_t file = slot->request.file;

    if (slot->state != SQCQ__SLOT_FLYING)
      continue;
    sqcq__turn_answer(engine, slot, -ECANCELED, SQCQ_COMPLETION_STOPPED);
    sqcq__requests_land(requests, slot);
    sqcq__turn_unref(engine, file);
  }
  (void)sqcq__turn_answer_waiting(engine, &all, SQCQ_COMPLETION_STOPPED);
}

/* Every request gets its answer, and the engine is stopped, as soon as that can be: within wait_ms,
 * or in a later call. */
static void end_lost(struct sqcq_engine *engine, bool mine, int wait_ms)
{
  struct sqcq__io *io = &engine->io;

  (void)sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER);
  if (!io->sealed) {
    bool shared = sqcq__lanes_stop(&engine->lanes);
    bool own = sqcq__own_stop(&engine->own);

    io->sealed = shared && own;
    if (!io->sealed)
      return; /* a producer is inside a lane */
  }
  io->router.pushed = 0;
  io->reports = 0;
  close_ring(engine, mine);
  io->now = sqcq__time(engine);
  if (is_buried(engine, wait_ms)) {
    sqcq__cancels_take(&engine->cancels);
    sqcq__turn_drain(engine);
    sqcq__turn_cancel(engine); /* its reports; whom it means is answered below */
    answer_all(engine);
  }
  /* relaxed, both: statistics */
  sqcq__store_relaxed(&engine->stats.inflight, io->requests.flying_count);
  sqcq__store_relaxed(&engine->stats.waiting, io->requests.waiting_count);
  sqcq__count(&engine->stats.completed, io->router.pushed - io->reports);
  sqcq__router_publish(&io->router);
  if (sqcq__requests_unanswered(&io->requests) == 0 && sqcq__cancels_close(&engine->cancels)) {
    sqcq__store_release(&engine->phase, SQCQ__PHASE_STOPPED); /* pair(phase) release */
    sqcq__router_wake_all(&io->router);
  }
  sqcq__router_wake(&io->router);
}

/* ------------------------------------------------------------------------- */
/* Who it is                                                                 */
/* ------------------------------------------------------------------------- */

bool sqcq__iothread_is_self(struct sqcq_engine *engine)
{
  return sqcq__phase(engine) == SQCQ__PHASE_RUNNING &&
         sqcq__load_relaxed(&engine->owner) == sqcq__thread_self();
}

void sqcq__iothread_leave(struct sqcq_engine *engine)
{
  (void)pthread_mutex_unlock(&engine->iothread.held); /* pair(held) release: by pthread */
}

/* The kernel keeps these bounds with the thread (SQPOLL: with its own one), so it is done here. */
static void bound_workers(struct sqcq_engine *engine)
{
  const struct sqcq_engine_config *user = &engine->config.user;

  if ((user->io_workers_bounded | user->io_workers_unbounded) == 0)
    return;
  int error =
      sqcq__ring_bound_workers(engine->ring, user->io_workers_bounded, user->io_workers_unbounded);
  sqcq__features_set(&engine->features, SQCQ__FEATURE_IO_WORKERS, error);
  sqcq__count(&engine->stats.syscalls_control, 1);
}

/* The ring's part in having another I/O thread. */
static int bind(struct sqcq_engine *engine)
{
  int fd_error;
  int error = sqcq__ring_bind(engine->ring, &fd_error);

  if (error < 0)
    return error;
  sqcq__features_set(&engine->features, SQCQ__FEATURE_RING_FD, fd_error);
  bound_workers(engine);
  sqcq__count(&engine->stats.syscalls_control, 2);
  return 0;
}

static int enter_first(struct sqcq_engine *engine)
{
  uint32_t created = SQCQ__PHASE_CREATED;

  /* REGISTERING for a moment: nobody else comes in; owner is written before RUNNING. */
  if (!sqcq__cas_acq_rel(&engine->phase, &created, SQCQ__PHASE_REGISTERING))
    return -EBUSY;
  int error = bind(engine);
  if (error < 0) {
    sqcq__store_release(&engine->phase, SQCQ__PHASE_CREATED);
    return error;
  }
  error = pthread_mutex_trylock(&engine->iothread.held);
  SQCQ_ASSERT(error == 0);                                  /* nobody tries before RUNNING */
  sqcq__store_relaxed(&engine->owner, sqcq__thread_self()); /* relaxed: published by RUNNING */
  sqcq__store_release(&engine->phase, SQCQ__PHASE_RUNNING); /* pair(phase) release */
  return 0;
}

/* The place of an I/O thread that has ended, or whose ring is lost. 0: it is the caller's, who goes on
 * with the ring, where `keep` says so and that can be; -EPERM: it is another's, who lives; or why the
 * ring is lost, which has been seen to for wait_ms at the most; -ESHUTDOWN: and that is over. */
static int take_over(struct sqcq_engine *engine, bool keep, int wait_ms)
{
  struct sqcq__iothread *thread = &engine->iothread;
  uint64_t self = sqcq__thread_self();
  bool mine = sqcq__load_relaxed(&engine->owner) == self; /* relaxed: whether it is us, we know */
  int error = pthread_mutex_trylock(&thread->held);       /* pair(held) acquire: by pthread */

  if (error == EOWNERDEAD) {
    (void)pthread_mutex_consistent(&thread->held);
    sqcq__store_relaxed(&engine->owner, self); /* relaxed: read by ourselves */
    mine = true;
    if (engine->ring != NULL)
      sqcq__ring_abandon(engine->ring);
    if (thread->lost == 0 && keep &&
        (engine->traits.setup_flags & IORING_SETUP_SINGLE_ISSUER) == 0) {
      thread->lost = bind(engine);
      if (thread->lost == 0)
        return 0;
    } else if (thread->lost == 0) {
      thread->lost = -EOWNERDEAD;
    }
  } else if (error != 0) {
    return -EPERM;
  }
  int lost = thread->lost;
  bool over = sqcq__phase(engine) == SQCQ__PHASE_STOPPED;
  if (lost != 0 && !over)
    end_lost(engine, mine, wait_ms);
  sqcq__iothread_leave(engine);
  return over ? -ESHUTDOWN : lost == 0 ? -EPERM : lost;
}

int sqcq__iothread_enter(struct sqcq_engine *engine, int wait_ms)
{
  uint32_t phase = sqcq__phase(engine);

  if (phase == SQCQ__PHASE_CREATED)
    return enter_first(engine);
  if (phase == SQCQ__PHASE_REGISTERING)
    return -EBUSY;
  if (phase == SQCQ__PHASE_STOPPED)
    return -ESHUTDOWN; /* whoever asks */
  if (sqcq__load_relaxed(&engine->owner) != sqcq__thread_self())
    return take_over(engine, true, wait_ms);
  return engine->iothread.lost == 0 ? 0 : take_over(engine, true, wait_ms);
}

void sqcq__iothread_end(struct sqcq_engine *engine)
{
  if (sqcq__phase(engine) == SQCQ__PHASE_RUNNING)
    (void)take_over(engine, false, DESTROY_WAIT_MS);
}
