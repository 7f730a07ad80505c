/*
 * The I/O thread asleep outside of the ring: in an event loop of the user's, or in a wait of ours, on
 * the eventfd that producers write to and, while it is watched, the kernel for each completion. Only
 * with SQCQ_ENGINE_EVENT_LOOP. Room: I.
 *
 * The sleep is that of pair(sleep), with one more waker: the kernel, which queues a completion (or
 * the work that makes one, and says so in the SQ's flags), then looks whether the eventfd is
 * watched. So it is: watch, announce, full fence, look again. Nothing is written while nobody has
 * announced, save by a waker that is late: that costs a turn for nothing.
 *
 * What is to be done at a certain time cannot be left to the event loop, which knows of no such time:
 * a timeout in the ring ends the sleep with its completion. One at a time; one that is too early
 * stays as it is, one that is too late is taken back first.
 */
#include "engine/engine.h"

#include "base/probe.h"
#include "engine/prep.h"

#include <errno.h>

#define NS_PER_S INT64_C(1000000000)

static void announce(struct sqcq_engine *engine)
{
  sqcq__count(&engine->stats.sleeps, 1);
  sqcq__ring_watch(engine->ring, true);
  sqcq__sleeper_announce(&engine->sleeper); /* pair(sleep) announce */
  sqcq__waiters_fence(); /* before the looks at the ring: the other end is in the kernel */
}

/* Whether anybody has published what we would sleep on. */
static bool look_again(struct sqcq_engine *engine)
{
  struct io_uring_cqe *cqe;

  return sqcq__published(engine) || sqcq__ring_keeps_awake(engine->ring) ||
         sqcq__ring_peek(engine->ring, &cqe, 1) > 0;
}

void sqcq__turn_disarm(struct sqcq_engine *engine)
{
  engine->io.armed = false;
  sqcq__ring_watch(engine->ring, false);
  sqcq__sleeper_clear(&engine->sleeper);
  sqcq__sleeper_reset(&engine->sleeper);
  sqcq__count(&engine->stats.syscalls_control, 1);
}

int sqcq__turn_sleep_outside(struct sqcq_engine *engine, int64_t timeout_ns)
{
  int error = 0;

  SQCQ_PROBE2(sleep, engine, timeout_ns);
  announce(engine);
  if (!look_again(engine)) {
    error = sqcq__sleeper_poll(&engine->sleeper, timeout_ns);
    sqcq__count(&engine->stats.syscalls_control, 1);
  }
  sqcq__turn_disarm(engine);
  return error == -ETIME ? 0 : error;
}

static void cancel_alarm(struct sqcq_engine *engine)
{
  struct sqcq__alarm *alarm = &engine->io.alarm;
  struct io_uring_sqe *sqe;

  if (alarm->cancel_out)
    return;
  sqe = sqcq__ring_sqe(engine->ring);
  if (sqe == NULL) {
    engine->io.nap = true;
    return;
  }
  sqcq__prep_cancel(sqe, sqcq__user_data(SQCQ__OP_TIMEOUT, 0, 0),
                    sqcq__user_data(SQCQ__OP_UNTIMEOUT, 0, 0));
  alarm->cancel_out = true;
}

bool sqcq__turn_silence(struct sqcq_engine *engine)
{
  if (engine->io.alarm.out)
    cancel_alarm(engine);
  return !engine->io.alarm.out;
}

/* See that a completion comes at this time. 0: it will, or sooner; 1: only after a turn; or what ends
 * the turn. */
static int set_alarm(struct sqcq_engine *engine, int64_t at)
{
  struct sqcq__alarm *alarm = &engine->io.alarm;
  struct io_uring_sqe *sqe;

  if (sqcq__polls_device(engine))
    return 1; /* a ring that is polled has no timeouts */
  if (alarm->out && alarm->at > at)
    cancel_alarm(engine); /* another one when both completions are in */
  if (alarm->out || alarm->cancel_out)
    return alarm->cancel_out;
  sqe = sqcq__ring_sqe(engine->ring);
  if (sqe == NULL)
    return 1;
  alarm->at = at;
  alarm->time = (struct sqcq__ring_time){.seconds = at / NS_PER_S, .nanoseconds = at % NS_PER_S};
  alarm->out = true;
  sqcq__prep_timeout(sqe, &alarm->time, sqcq__user_data(SQCQ__OP_TIMEOUT, 0, 0));
  int error = sqcq__turn_submit(engine, 0);
  if (error < 0 && error != -EINTR)
    return error;
  return sqcq__ring_has_unsubmitted(engine->ring);
}

int sqcq__turn_arm(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;

  if (io->armed)
    sqcq__turn_disarm(engine);
  /* Consumers whose wakes were passed on may need ours, on the next turn: see router.h. */
  if (io->router.touched_count > 0 || sqcq__turn_has_work(engine))
    return 1;
  int64_t now = sqcq__now();
  int64_t left = sqcq__turn_time_left(engine, now, -1);
  if (left >= 0) {
    int answer = left == 0 ? 1 : set_alarm(engine, now + left);

    if (answer != 0)
      return answer;
  }
  SQCQ_PROBE2(sleep, engine, left);
  announce(engine);
  io->armed = true;
  if (!look_again(engine))
    return 0;
  sqcq__turn_disarm(engine);
  return 1;
}
