/*
 * A whole run: the engine and its kernel as the seed has them, the steps, and the end: stop, take
 * what is left, give everything back, destroy.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_END_H
#define SQCQ_TESTS_PROPERTY_TAPE_END_H

#include "tape_hints.h"
#include "tape_lanes.h"
#include "tape_look.h"
#include "tape_loop.h"
#include "tape_room.h"

#define TAPE_TURNS_MAX 20000 /* to the end of a stop */
#define TAPE_MS INT64_C(1000000)

/* ------------------------------------------------------------------------- */
/* The simulated kernel interferes                                           */
/* ------------------------------------------------------------------------- */

static inline void tape_pipe_write(struct tape *tape, const uint32_t r[4])
{
  struct tape_source *source = &tape->sources[TAPE_SOURCES - TAPE_PIPES + r[0] % TAPE_PIPES];
  unsigned char bytes[48];
  uint32_t count = 1 + r[1] % (uint32_t)sizeof(bytes);

  if (source->writer < 0 || source->size - source->got > 4000)
    return;
  if (r[2] % 64 == 0) {
    close(source->writer);
    source->writer = -1;
    tape_say(tape, "pipe %u closed", r[0] % TAPE_PIPES);
    return;
  }
  for (uint32_t i = 0; i < count; i++)
    bytes[i] = tape_byte(source, source->size + i);
  tape_check(tape, write(source->writer, bytes, count) == (ssize_t)count, "write to a pipe");
  source->size += count;
  tape_say(tape, "pipe %u: %u bytes", r[0] % TAPE_PIPES, count);
}

static inline void tape_silence(struct tape *tape, uint32_t at, bool silent)
{
  if (tape->sources[at].silent != silent)
    sim_silence(tape->sources[at].fd, silent);
  tape->sources[at].silent = silent;
  tape_say(tape, "source %u %s", at, silent ? "never answers" : "answers");
}

static inline void tape_fault(struct tape *tape, const uint32_t r[4])
{
  static const enum sim_call calls[] = {SIM_CALL_ENTER, SIM_CALL_ENTER, SIM_CALL_UPDATE_FILE,
                                        SIM_CALL_BIND};
  static const int32_t errors[] = {-ENOMEM, -EAGAIN, -EBUSY};
  static const int32_t fatal[] = {-EBADF, -ENXIO, -EPERM, -EEXIST};
  enum sim_call call = calls[r[0] % 4];
  int32_t error = call == SIM_CALL_ENTER ? errors[r[1] % 3] : -ENOMEM;

  if (r[0] % 24 == 5 && tape_may_be_lost(tape) && tape->io.lost == 0) {
    tape->io.fatal = fatal[r[1] % 4];
    tape->io.held = sim_now()->holds_on = r[3] % 4 == 0;
    sim_fail(SIM_CALL_ENTER, r[2] % 3, UINT32_MAX, tape->io.fatal);
    tape_say(tape, "kernel: enter fails for good with %d", tape->io.fatal);
    return;
  }
  if (call == SIM_CALL_BIND && sqcq__phase(tape->engine) != SQCQ__PHASE_CREATED)
    return;
  sim_fail(call, r[2] % 3, 1 + r[3] % 2, error);
  tape_say(tape, "kernel: call %d fails with %d", (int)call, error);
}

static inline void tape_mood(struct tape *tape, const uint32_t r[4])
{
  struct sim_config *now = sim_now();

  now->cancel = (enum sim_cancel)(r[0] % 4);
  now->cancel_first = r[1] % 2 == 0;
  now->in_order = tape->in_order || r[1] % 16 == 3;
  if (!tape->unruly)
    return;
  now->delay_max = r[2] % 5;
  now->completions_max = r[2] / 8 % 5;
  now->submit_max = r[2] / 64 % 4;
  now->error_percent = r[3] % 4 == 0 ? 30 : 2;
  now->again_percent = r[3] / 4 % 4 == 0 ? 30 : 2;
  now->eagain_percent = r[3] / 16 % 4 == 0 ? 50 : 5;
  now->ebusy_percent = r[3] / 64 % 4 == 0 ? 50 : 5;
}

/* ------------------------------------------------------------------------- */
/* Destroy                                                                   */
/* ------------------------------------------------------------------------- */

static inline bool tape_destroy(struct tape *tape)
{
  struct sqcq_held held = {.reserved = 7};
  uint32_t buffers = 0, wrapped = 0;
  bool stopped = tape_stopped(tape);
  /* It makes the turns that are left where there were none, now and in the next call. */
  bool turns =
      sqcq__phase(tape->engine) == SQCQ__PHASE_CREATED ||
      (tape->engine->ends_here && !stopped && (tape->io.owner == TAPE_MAIN || tape->io.orphaned));

  if ((tape->io.orphaned || tape->io.lost != 0) && tape->io.held)
    tape_let_go(tape); /* it would wait for some seconds */
  if (turns)
    sim_now()->hold = 0; /* of files that it closes */
  tape_note_closing(tape, turns && tape->io.fatal != 0);
  for (uint32_t i = 0; i < TAPE_BUFFERS; i++)
    if (tape->buffers[i].used && tape->buffers[i].owner != TAPE_STALE)
      tape->buffers[i].pool < 0 ? wrapped++ : buffers++;
  int result = sqcq_engine_destroy(tape->engine, &held);
  tape_say(tape, "destroy -> %d: running %u, inflight %u, unread %u, buffers %u, wrapped %u",
           result, held.running, held.inflight, held.unread, held.buffers, held.wrapped);
  if (result == 0) {
    tape_close_leaked(tape);
    if (tape->io.orphaned)
      tape->io.lost = -EOWNERDEAD;
    else if (turns && tape->io.lost == 0)
      tape->io.lost = tape->io.fatal;
    tape_check(tape, held.reserved == 7, "destroyed, and *held has changed");
    tape_check(tape, tape->reports_due + tape->reports_out == 0, "destroyed");
    tape_check(tape, tape->pending == 0 && buffers == 0 && wrapped == 0, "destroyed");
    tape->engine = NULL;
    return true;
  }
  tape_check(tape, result == -EBUSY, "destroy: %d", result);
  if (!stopped && tape->engine->iothread.lost != 0) {
    tape_lost(tape, TAPE_MAIN);
  } else if (turns) {
    tape->stopping = tape->cancelling = true;
    if (sqcq__phase(tape->engine) != SQCQ__PHASE_CREATED) {
      tape->io.owner = TAPE_MAIN;
      tape->io.orphaned = false;
      tape_drained(tape);
      tape_cancels_done(tape);
      tape_channels_back(tape);
      if (sqcq__load_relaxed(&tape->engine->stats.turns) == 0)
        tape_ended(tape); /* it has ended without one: the ring could not be enabled */
    }
  }
  uint32_t unread = tape_unread_all(tape);
  tape_check(tape, held.running == !tape_stopped(tape), "held");
  tape_check(tape, held.inflight == tape->pending - (unread - tape->reports_out) - tape->undrained,
             "held");
  tape_check(tape, held.unread == unread, "held");
  tape_check(tape, held.buffers == buffers, "held %u, out %u", held.buffers, buffers);
  tape_check(tape, held.wrapped == wrapped, "held %u, out %u", held.wrapped, wrapped);
  tape_check(tape, held.reserved == 0, "held");
  tape_check(tape, held.running + held.inflight + held.unread + held.buffers + held.wrapped > 0,
             "refused, and nothing is held");
  return false;
}

/* ------------------------------------------------------------------------- */
/* Steps                                                                     */
/* ------------------------------------------------------------------------- */

static inline void tape_play_kernel(struct tape *tape, const struct tape_step *step)
{
  const uint32_t *r = step->r;

  switch (step->op) {
  case TAPE_PIPE_WRITE:
    tape_pipe_write(tape, r);
    break;
  case TAPE_SILENCE:
    tape_silence(tape, r[0] % TAPE_SOURCES, r[1] % 5 == 0);
    break;
  case TAPE_COMPLETE:
    if (sim_rings() > 0)
      (void)sim_complete(r[0] % 4, tape->unruly && r[1] % 4 == 0 ? -EIO : SIM_RESULT_REAL);
    break;
  case TAPE_HOLD:
    sim_now()->hold = r[0] % 3 == 0 ? r[1] % 16 : 0;
    tape_say(tape, "kernel: holds %#x", sim_now()->hold);
    break;
  case TAPE_FAIL:
    tape_fault(tape, r);
    break;
  case TAPE_MOOD:
    tape_mood(tape, r);
    break;
  case TAPE_TIME:
    tape_clock_ns += (int64_t)(r[0] % 60) * TAPE_MS;
    break;
  default:
    tape_cpu = (int)(r[0] % 4);
    break;
  }
}

static inline void tape_play_rest(struct tape *tape, const struct tape_step *step)
{
  const uint32_t *r = step->r;

  switch (step->op) {
  case TAPE_CHANNEL_CREATE:
    tape_channel_create(tape, r);
    break;
  case TAPE_CHANNEL_DESTROY:
    tape_channel_destroy(tape, r);
    break;
  case TAPE_CHANNEL_POLL:
    (void)tape_consume(tape, tape_pick_channel(tape, r[0]), r[1] % 16 == 0 ? 0 : 1 + r[1] % 4, 0,
                       -1);
    break;
  case TAPE_CHANNEL_WAIT:
    (void)tape_consume(tape, tape_pick_channel(tape, r[0]), r[1] % 5, r[2] % 16 == 0 ? 0 : 1,
                       r[3] % 2 * 1000);
    break;
  case TAPE_POLL:
  case TAPE_WAIT:
  case TAPE_STOP:
  case TAPE_ENGINE_ARM:
  case TAPE_RUN:
  case TAPE_GIVE_UP:
  case TAPE_LET_GO:
    tape_play_io(tape, step);
    break;
  case TAPE_LOOK:
    tape_look(tape, r);
    break;
  case TAPE_FORK:
    tape_fork(tape, r);
    break;
  case TAPE_CHANNEL_FD:
    tape_channel_fd(tape, r);
    break;
  case TAPE_CHANNEL_ARM:
    tape_channel_arm(tape, r);
    break;
  default:
    tape_play_kernel(tape, step);
    break;
  }
}

/* False where the engine is gone. */
static inline bool tape_play(struct tape *tape, const struct tape_step *step)
{
  const uint32_t *r = step->r;

  switch (step->op) {
  case TAPE_REQUEST:
  case TAPE_REQUEST_BAD:
    tape_request(tape, r, step->op == TAPE_REQUEST_BAD);
    break;
  case TAPE_REQUEST_VECTOR:
    tape_request_vector(tape, r);
    break;
  case TAPE_REQUEST_ADVICE:
    tape_request_advice(tape, r);
    break;
  case TAPE_REQUEST_MANY:
    tape_request_many(tape, r);
    break;
  case TAPE_CANCEL:
    tape_cancel(tape, r);
    break;
  case TAPE_ACQUIRE:
    tape_acquire(tape, r);
    break;
  case TAPE_RELEASE:
    tape_release(tape, r);
    break;
  case TAPE_WRAP:
    tape_wrap(tape, r);
    break;
  case TAPE_UNWRAP:
    tape_unwrap(tape, r);
    break;
  case TAPE_POOL_CREATE:
    tape_pool_create(tape, r);
    break;
  case TAPE_POOL_DESTROY:
    tape_pool_destroy(tape, r);
    break;
  case TAPE_FILE_ADD:
    tape_file_add(tape, r);
    break;
  case TAPE_FILE_OPEN:
    tape_file_open(tape, r);
    break;
  case TAPE_FILE_REMOVE:
    tape_file_remove(tape, r);
    break;
  case TAPE_LANE_OPEN:
  case TAPE_LANE_CLOSE:
  case TAPE_LANE_REQUEST:
  case TAPE_LANE_REQUEST_MANY:
    tape_play_lanes(tape, step);
    break;
  case TAPE_ROOM_WAIT:
  case TAPE_NOTIFY:
  case TAPE_UNNOTIFY:
    tape_play_room(tape, step);
    break;
  case TAPE_DESTROY:
    return !tape_destroy(tape);
  default:
    tape_play_rest(tape, step);
    break;
  }
  return true;
}

/* ------------------------------------------------------------------------- */
/* The end                                                                   */
/* ------------------------------------------------------------------------- */

static inline void tape_to_the_end(struct tape *tape, struct rng *rng)
{
  bool cancel = rng_percent(rng, 50), run = rng_percent(rng, 25);
  int turns = 0;

  sim_now()->hold = 0;
  sim_fail(SIM_CALL_ENTER, 0, 0, -ENOMEM);
  sim_fail(SIM_CALL_BIND, 0, 0, -ENOMEM);
  tape_let_go(tape);
  if (!cancel || tape_polls(tape)) {
    for (uint32_t i = 0; i < TAPE_SOURCES; i++) {
      tape_silence(tape, i, false);
      if (tape->sources[i].writer >= 0)
        close(tape->sources[i].writer);
      tape->sources[i].writer = -1;
    }
  }
  tape_stop(tape, cancel ? SQCQ_STOP_CANCEL : SQCQ_STOP_DRAIN,
            rng_percent(rng, 50) ? SQCQ_FOREVER : 20 * TAPE_MS);
  while (!tape_stopped(tape)) {
    tape_check(tape, turns++ < TAPE_TURNS_MAX, "it does not come to an end: %u pending",
               tape->pending);
    tape_clock_ns += TAPE_MS / 2;
    (void)tape_turn(tape, run ? TAPE_RUN : TAPE_POLL, 0, (uint32_t)rng_next(rng));
    tape_check_all(tape);
    if (rng_percent(rng, 30))
      (void)tape_consume(tape, tape_pick_channel(tape, (uint32_t)rng_next(rng)), 4, 0, -1);
  }
  (void)tape_turn(tape, TAPE_POLL, 0, 0); /* one after the last */
}

static inline void tape_give_back(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_CHANNELS; i++)
    while (tape->channels[i].state != TAPE_NONE && tape_consume(tape, (int)i, 4, 0, -1) > 0)
      continue;
  tape_check(tape, tape->pending == 0, "%u were never answered", tape->pending);
  uint32_t open = 0;
  for (uint32_t i = 0; i < TAPE_FILES; i++)
    open += tape->files[i].state == TAPE_OPEN;
  tape_check(tape, tape_free_files(tape) + open + tape->files_late == tape->config.files_max,
             "%u places of files are free, %u are open", tape_free_files(tape), open);
  for (uint32_t i = 0; i < TAPE_BUFFERS; i++) {
    struct tape_buffer *buffer = &tape->buffers[i];

    if (!buffer->used || buffer->owner == TAPE_STALE)
      continue;
    if (buffer->pool < 0)
      tape_check(tape, sqcq_buffer_unwrap(tape->engine, buffer->handle) == 0, "unwrap");
    else
      tape_check(tape, sqcq_buffer_release(tape->engine, &buffer->handle, 1) == 1, "release");
    tape_buffer_gone(tape, (int)i);
  }
  tape_check_all(tape);
}

#endif
