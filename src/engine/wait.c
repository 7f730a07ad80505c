/*
 * Turns that sleep while there is nothing to do: sqcq_engine_wait(), sqcq_engine_run(). Room: I. Sleeps
 * outside of the ring are in loop.c.
 */
#include "engine/engine.h"

#include "base/point.h"
#include "base/probe.h"
#include "engine/prep.h"

#include <errno.h>

/* The sleep while something can only be tried again: a lane that a producer holds during stop, an
 * SQ that the kernel has not emptied, memory that it is short of. */
#define NAP_NS INT64_C(1000000)

bool sqcq__turn_has_work(struct sqcq_engine *engine)
{
  struct io_uring_cqe *cqe;

  return engine->io.hurry || sqcq__load_relaxed(&engine->lanes.work) != 0 ||
         sqcq__load_relaxed(&engine->own.work) != 0 ||
         sqcq__load_relaxed(&engine->control.bits) != 0 || sqcq__ring_keeps_awake(engine->ring) ||
         sqcq__ring_peek(engine->ring, &cqe, 1) > 0 || sqcq__ring_has_unsubmitted(engine->ring) ||
         (sqcq__polls_device(engine) && engine->io.requests.flying_count > 0);
}

/* The poll on the eventfd, so that a write to it ends a sleep in the ring. */
static void arm_wake(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;
  struct io_uring_sqe *sqe;

  if (io->wake_armed || sqcq__polls_device(engine))
    return;
  /* What woke us last must not wake us again at once. Whoever writes from here on has published
   * before, and is seen by the look after the announcement. */
  sqcq__sleeper_reset(&engine->sleeper);
  sqcq__count(&engine->stats.syscalls_control, 1);
  sqe = sqcq__ring_sqe(engine->ring);
  if (sqe == NULL)
    return;
  sqcq__prep_poll(sqe, engine->sleeper.eventfd, io->wake_multishot,
                  sqcq__user_data(SQCQ__OP_WAKE, 0, 0));
  io->wake_armed = true;
}

static int64_t least(int64_t a, int64_t b)
{
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Announce, look again, sleep. 0, -EINTR, or an error that ends the turn. */
static int sleep_until(struct sqcq_engine *engine, int64_t timeout_ns)
{
  /* A ring that cannot wait on the eventfd, or would not wait at all before it has submitted. */
  bool outside =
      sqcq__polls_device(engine) || (engine->io.nap && sqcq__ring_has_unsubmitted(engine->ring));
  int error = 0;

  if (sqcq__is_looped(engine))
    return sqcq__turn_sleep_outside(engine, timeout_ns);
  if (!outside) {
    arm_wake(engine);
    if (!engine->io.wake_armed) { /* no SQE for it: completions could not wake us outside */
      outside = true;
      timeout_ns = least(timeout_ns, NAP_NS);
    } else if (sqcq__ring_has_unsubmitted(engine->ring)) {
      /* By itself: an enter that submits says how many, and not that a signal ended its wait. */
      error = sqcq__turn_submit(engine, 0);
      if (error < 0 || sqcq__turn_has_work(engine))
        return error;
    }
  }
  sqcq__count(&engine->stats.sleeps, 1);
  SQCQ_PROBE2(sleep, engine, timeout_ns);
  sqcq__sleeper_announce(&engine->sleeper); /* pair(sleep) announce */
  SQCQ_POINT(SLEEP_ANNOUNCED);
  if (!sqcq__published(engine)) {
    if (outside) {
      error = sqcq__sleeper_poll(&engine->sleeper, timeout_ns);
      sqcq__sleeper_reset(&engine->sleeper);
      sqcq__count(&engine->stats.syscalls_control, 2);
      error = error == -ETIME ? 0 : error;
    } else {
      error = sqcq__turn_submit(engine, timeout_ns);
    }
  }
  sqcq__sleeper_clear(&engine->sleeper);
  return error;
}

/* Look for work for spin_ns at the most. */
static bool spin_for_work(struct sqcq_engine *engine, int64_t *now)
{
  struct sqcq__spin spin = {.until = *now + engine->config.user.spin_ns};
  int64_t next = sqcq__timers_next(&engine->io.timers, *now);

  if (next >= 0 && next < (int64_t)engine->config.user.spin_ns)
    spin.until = *now + next;
  do {
    if (sqcq__turn_has_work(engine))
      return true;
  } while (sqcq__spin(&spin));
  *now = sqcq__now();
  return false;
}

int64_t sqcq__turn_time_left(struct sqcq_engine *engine, int64_t now, int64_t deadline)
{
  const struct sqcq__io *io = &engine->io;
  int64_t until = deadline;

  if (io->nap)
    until = least(until, now + NAP_NS);
  if (io->retry_at != 0)
    until = least(until, io->retry_at);
  int64_t next = sqcq__timers_next(&io->timers, now);
  if (next >= 0)
    until = least(until, now + next);
  /* relaxed, both: what is stopped later is a control word, which ends the sleep */
  if (sqcq__load_relaxed(&engine->control.stopping) == SQCQ__STOPPING_DRAIN) {
    int64_t limit = sqcq__load_relaxed(&engine->control.stop_limit);

    until = least(until, limit == INT64_MAX ? -1 : limit);
  }
  return until < 0 ? -1 : until > now ? until - now : 0;
}

int sqcq__turn_wait(struct sqcq_engine *engine, int64_t timeout_ns)
{
  int64_t now = sqcq__now();
  int64_t deadline = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? -1 : now + timeout_ns;

  if (sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
    return -ESHUTDOWN; /* sqcq_engine_run() after a turn that delivered and was the last */
  for (;;) {
    int delivered = sqcq__turn_once(engine);

    if (delivered != 0)
      return delivered;
    if (sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
      return -ESHUTDOWN;
    now = sqcq__now();
    if (deadline >= 0 && now >= deadline)
      return 0;
    if ((engine->io.hurry && !engine->io.nap) || engine->config.user.idle == SQCQ_IDLE_BUSY)
      continue;
    if (!engine->io.nap &&
        (sqcq__turn_has_work(engine) ||
         (engine->config.user.idle == SQCQ_IDLE_SPIN_SLEEP && spin_for_work(engine, &now))))
      continue;
    int64_t left = sqcq__turn_time_left(engine, now, deadline);
    if (left == 0)
      continue;
    int error = sleep_until(engine, left);
    if (error < 0) {
      /* What came in beside the error is delivered first. */
      delivered = sqcq__turn_once(engine);
      return delivered > 0 ? delivered : error;
    }
  }
}
