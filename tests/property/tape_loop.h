/*
 * Steps of event loops: consumers arm (the I/O thread does so in tape_io.h), and whoever is armed and
 * has what it waits for has a readable descriptor, after every step.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_LOOP_H
#define SQCQ_TESTS_PROPERTY_TAPE_LOOP_H

#include "tape_io.h"

static inline void tape_channel_fd(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_channel(tape, r[0]);
  struct tape_channel *channel = at < 0 ? NULL : &tape->channels[at];
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, channel == NULL || channel->state == TAPE_DEAD, -EPIPE);
  int fd = sqcq_channel_fd(tape->engine, channel == NULL ? (sqcq_channel){0} : channel->handle);
  tape_say(tape, "channel_fd %d -> %d", at, fd);
  if (tape_worked(tape, &errors, fd, "channel_fd")) {
    tape_check(tape, channel->fd == -1 || channel->fd == fd, "another descriptor");
    channel->fd = fd;
  }
}

static inline bool tape_has_enough(const struct tape *tape, const struct tape_channel *channel,
                                   uint32_t min)
{
  uint32_t unread = tape_unread(tape, channel);

  return unread >= min || (unread > 0 && unread == channel->pending) || tape_stopped(tape) ||
         (channel->state == TAPE_CLOSED && channel->pending == 0);
}

static inline void tape_channel_arm(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_channel(tape, r[0]);
  struct tape_channel *channel = at < 0 ? NULL : &tape->channels[at];
  uint32_t min = r[1] % 5;
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, min == 0, -EINVAL);
  tape_allow(&errors, channel == NULL || channel->state == TAPE_DEAD, -EPIPE);
  bool gone = errors.count > 0;
  /* The place may have its descriptor of an earlier channel. */
  tape_allow(&errors,
             !gone && sqcq__load_relaxed(&tape_inner_channel(tape, channel)->waiter.event) == 0,
             -EINVAL);
  int result =
      sqcq_channel_arm(tape->engine, channel == NULL ? (sqcq_channel){0} : channel->handle, min);
  tape_say(tape, "channel_arm %d, %u -> %d", at, min, result);
  if (!tape_worked(tape, &errors, result, "channel_arm"))
    return;
  uint32_t unread = tape_unread(tape, channel);
  bool enough = tape_has_enough(tape, channel, min);
  tape_check(tape, enough ? result == (int)(unread > 0 ? unread : 1) : result == 0, "%d of %u",
             result, unread);
  channel->armed = result == 0 ? min : 0;
  if (result == 0 && channel->fd >= 0)
    tape_check(tape, !tape_readable(channel->fd), "armed, nothing is there, and readable");
}

/* After every step. */
static inline void tape_check_armed(struct tape *tape)
{
  struct sqcq_engine *engine = tape->engine;

  if (engine->io.armed && tape->io.lost == 0 &&
      (tape->undrained > 0 || sqcq__load_relaxed(&engine->control.bits) != 0))
    tape_check(tape, tape_readable(engine->sleeper.eventfd), "the I/O thread sleeps on work");
  for (uint32_t i = 0; i < TAPE_CHANNELS; i++) {
    struct tape_channel *channel = &tape->channels[i];

    if (channel->armed == 0 || channel->fd < 0 || channel->state == TAPE_NONE)
      continue;
    if (channel->state == TAPE_DEAD) {
      tape_check(tape, tape_readable(channel->fd), "channel %u is gone, its consumer sleeps", i);
      channel->armed = 0;
      continue;
    }
    if (!tape_inner_channel(tape, channel)->waiter.armed) {
      channel->armed = 0; /* it was polled */
      continue;
    }
    /* Wakes that are passed on wait for the next turn, or for somebody to come back. */
    if (tape_has_enough(tape, channel, channel->armed) && engine->io.router.touched_count == 0)
      tape_check(tape, tape_readable(channel->fd), "channel %u: its consumer sleeps", i);
  }
}

#endif
