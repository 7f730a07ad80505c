/*
 * A consumer takes completions. Doorway I -> C.
 *
 * In this order: the completion is copied out of the ring, its buffer is the consumer's, its credit
 * goes back. So the buffer is OWNED before anybody can be told so, and the slot is read before it
 * is promised again.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/point.h"
#include "base/probe.h"

#include <errno.h>

/* What says that a completion has not one buffer, but several, or none. */
#define FEW_OR_MANY_BUFFERS                                                                        \
  (SQCQ_COMPLETION_VECTOR | SQCQ_COMPLETION_ADVICE | SQCQ_COMPLETION_REPORT)

/* The I/O thread left the time of the CQE in each. */
static void time_delivery(struct sqcq_engine *engine, struct sqcq_completion *taken, uint32_t n)
{
  int64_t now = sqcq__now();

  for (uint32_t i = 0; i < n; i++) {
    if ((taken[i].flags & SQCQ_COMPLETION_REPORT) != 0)
      continue;
    sqcq__histogram_add_shared(&engine->histograms[SQCQ_STAGE_DELIVERY],
                               now - (int64_t)taken[i].reserved);
    taken[i].reserved = 0;
  }
}

static uint32_t take(struct sqcq_engine *engine, struct sqcq__channel *channel,
                     struct sqcq_completion *out, uint32_t max)
{
  uint32_t n = sqcq__channel_pop(channel, out, max);

  if (n > 0)
    SQCQ_POINT(POPPED);
  for (uint32_t i = 0; i < n; i++) {
    if (sqcq__unlikely((out[i].flags & FEW_OR_MANY_BUFFERS) != 0)) {
      sqcq__vector_take(&engine->buffers, out[i].buffer.id); /* {0}: none */
      continue;
    }
    struct sqcq__buffer *buffer = sqcq__buffer_at(&engine->buffers, out[i].buffer.id);
    sqcq__owner_take(&buffer->owner, buffer->memory, buffer->size);
    bool mine =
        sqcq__buffer_step(buffer, out[i].buffer.id, SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_OWNED);
    SQCQ_ASSERT(mine);
    (void)mine;
  }
  if (n == 0)
    return 0;
  if (engine->histograms != NULL)
    time_delivery(engine, out, n);
  SQCQ_POINT(BUFFERS_BACK);
  sqcq__credit_give(&channel->credit, n);
  SQCQ_POINT(CREDITS_BACK);
  if (sqcq__room_awaited(&channel->room) != 0) /* a load of the line just written */
    sqcq__channel_room_given(engine, channel, n);
  SQCQ_PROBE3(deliver, engine, channel - engine->channels, n);
  return n;
}

/* Why an empty channel will stay so: -ESHUTDOWN, -EPIPE, or 0: it need not. */
static int ended(struct sqcq_engine *engine, struct sqcq__channel *channel)
{
  if (sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
    return -ESHUTDOWN;
  uint64_t word = sqcq__load_acquire(&channel->credit.word);
  bool closed = (sqcq__word_state(word) & SQCQ__CREDIT_CLOSED) != 0;
  return closed && sqcq__credit_taken(word) == 0 ? -EPIPE : 0;
}

/* As sqcq_channel_poll(), inside the channel. */
static int poll_channel(struct sqcq_engine *engine, struct sqcq__channel *channel,
                        struct sqcq_completion *out, uint32_t max)
{
  uint32_t n = take(engine, channel, out, max);

  if (n > 0)
    return (int)n;
  int end = ended(engine, channel);
  if (end == 0)
    return 0;
  /* What came between the first look and the end. */
  n = take(engine, channel, out, max);
  return n > 0 ? (int)n : end;
}

/* Back from a sleep outside: as whoever leaves a sleep, it passes wakes on. */
static void disarm(struct sqcq_engine *engine, struct sqcq__channel *channel)
{
  channel->waiter.armed = false;
  sqcq__relay_leave(&engine->relay, &channel->waiter);
}

int sqcq__consume(struct sqcq_engine *engine, uint64_t handle, struct sqcq_completion *out,
                  uint32_t max)
{
  struct sqcq__channel *channel = sqcq__channel_enter(engine, handle);

  if (channel == NULL)
    return -EPIPE;
  if (sqcq__unlikely(channel->waiter.armed)) /* in a line that entering has written to */
    disarm(engine, channel);
  int n = poll_channel(engine, channel, out, max > INT32_MAX ? INT32_MAX : max);
  sqcq__channel_leave(channel);
  return n;
}

static bool may_go_on(struct sqcq_engine *engine, struct sqcq__channel *channel, uint32_t min)
{
  return sqcq__channel_ready(channel, min) || sqcq__phase(engine) == SQCQ__PHASE_STOPPED;
}

/* Look for min completions for consumer_spin_ns at the most, and not past the deadline (negative:
 * none). */
static bool spin_for(struct sqcq_engine *engine, struct sqcq__channel *channel, uint32_t min,
                     int64_t deadline)
{
  if (engine->config.user.consumer_spin_ns == 0)
    return false;
  struct sqcq__spin spin = {.until = sqcq__now() + engine->config.user.consumer_spin_ns};

  if (deadline >= 0 && spin.until > deadline)
    spin.until = deadline;
  while (sqcq__spin(&spin))
    if (may_go_on(engine, channel, min))
      return true;
  return false;
}

static void sleep_for(struct sqcq_engine *engine, struct sqcq__channel *channel, uint32_t min,
                      int64_t deadline)
{
  struct sqcq__waiter *waiter = &channel->waiter;
  uint32_t prepared = sqcq__waiter_prepare(waiter);

  sqcq__waiter_announce(waiter, min); /* pair(want) announce */
  SQCQ_POINT(WANT_ANNOUNCED);
  /* pair(want) look again */
  if (!may_go_on(engine, channel, min))
    sqcq__waiter_sleep(waiter, prepared, deadline);
  sqcq__relay_leave(&engine->relay, waiter);
}

static int wait_channel(struct sqcq_engine *engine, struct sqcq__channel *channel,
                        struct sqcq_completion *out, uint32_t max, uint32_t min, int64_t timeout_ns)
{
  int64_t deadline = timeout_ns;

  if (timeout_ns > 0) {
    int64_t now = sqcq__now();
    deadline = timeout_ns > INT64_MAX - now ? -1 : now + timeout_ns;
  }
  for (;;) {
    bool timed_out = timeout_ns == 0 || (deadline > 0 && sqcq__now() >= deadline);
    bool mine = sqcq__iothread_is_self(engine);

    if (timed_out || mine || may_go_on(engine, channel, min)) {
      int n = poll_channel(engine, channel, out, max);

      if (n != 0 || timed_out)
        return n;
      if (mine)
        return -EDEADLK;
    }
    if (!spin_for(engine, channel, min, deadline))
      sleep_for(engine, channel, min, deadline);
  }
}

int sqcq__consume_wait(struct sqcq_engine *engine, uint64_t handle, struct sqcq_completion *out,
                       uint32_t max, uint32_t min, int64_t timeout_ns)
{
  struct sqcq__channel *channel = sqcq__channel_enter(engine, handle);

  if (channel == NULL)
    return -EPIPE;
  if (sqcq__unlikely(channel->waiter.armed))
    disarm(engine, channel);
  int n = wait_channel(engine, channel, out, max > INT32_MAX ? INT32_MAX : max, min, timeout_ns);
  sqcq__channel_leave(channel);
  return n;
}

static int arm_channel(struct sqcq_engine *engine, struct sqcq__channel *channel, uint32_t min)
{
  struct sqcq__waiter *waiter = &channel->waiter;

  if (sqcq__load_relaxed(&waiter->event) == 0) /* relaxed: it is about to be our own */
    return -EINVAL;
  if (waiter->armed)
    disarm(engine, channel);
  if (!may_go_on(engine, channel, min)) {
    sqcq__waiter_reset(waiter);                 /* what was written belongs to earlier sleeps */
    sqcq__waiter_announce_outside(waiter, min); /* pair(want) announce */
    /* pair(want) look again */
    if (!may_go_on(engine, channel, min)) {
      sqcq__count(&waiter->sleeps, 1);
      return 0;
    }
    disarm(engine, channel);
  }
  uint32_t unread = sqcq__channel_unread(channel);
  return unread > 0 ? (int)unread : 1;
}

int sqcq__consume_arm(struct sqcq_engine *engine, uint64_t handle, uint32_t min)
{
  struct sqcq__channel *channel = sqcq__channel_enter(engine, handle);

  if (channel == NULL)
    return -EPIPE;
  int n = arm_channel(engine, channel, min);
  sqcq__channel_leave(channel);
  return n;
}

int sqcq__consume_fd(struct sqcq_engine *engine, uint64_t handle)
{
  struct sqcq__channel *channel = sqcq__channel_enter(engine, handle);

  if (channel == NULL)
    return -EPIPE;
  int fd = sqcq__waiter_event(&channel->waiter);
  sqcq__channel_leave(channel);
  return fd;
}
