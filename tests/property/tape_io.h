/*
 * Steps of the I/O thread: turns, sleeps, stop. It may be a thread of its own that ends before its
 * time, and another one comes instead; or its ring may fail for good.
 *
 *   goes on     the caller is the I/O thread, or takes over a ring that any thread may enter
 *   is refused  the I/O thread is another one, and lives: -EPERM, and nothing has changed
 *   is lost     the ring belonged to the one that has ended, or fails: all is answered
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_IO_H
#define SQCQ_TESTS_PROPERTY_TAPE_IO_H

#include "tape_actor.h"
#include "tape_engine.h"

#include <linux/io_uring.h>

#include <poll.h>

struct tape_turn {
  struct tape *tape;
  uint32_t call; /* TAPE_POLL, TAPE_WAIT, TAPE_RUN or TAPE_ENGINE_ARM */
  int64_t timeout_ns;
  uint64_t caller;
  uint32_t unread; /* before it */
  int64_t at;
  int result;
};

static inline bool tape_readable(int fd)
{
  struct pollfd watch = {.fd = fd, .events = POLLIN};

  return poll(&watch, 1, 0) == 1;
}

/* ------------------------------------------------------------------------- */
/* Rings that are lost                                                       */
/* ------------------------------------------------------------------------- */

/* Whether reads of a lost ring could ever be known to be over. */
static inline bool tape_may_be_lost(const struct tape *tape)
{
  return tape->engine->iothread.tombstone >= 0;
}

/* Before a call with which the ring may go: which descriptors are being closed, or will be by the
 * turns that this very call makes. */
static inline void tape_note_closing(struct tape *tape, bool turns)
{
  const struct sqcq__files *files = &tape->engine->files;

  tape->io.closing_count = 0;
  if (tape->engine->ring == NULL || (!tape->io.orphaned && tape->io.lost == 0 && !turns))
    return;
  for (uint32_t i = 0; i < files->count && tape->io.closing_count < TAPE_CLOSING; i++) {
    uint64_t word = sqcq__load_relaxed(&files->files[i].word);

    if (files->io[i].closing || (turns && sqcq__word_state(word) == SQCQ__FILE_REMOVING))
      tape->io.closing[tape->io.closing_count++] = files->files[i].fd;
  }
}

/* After it: a close that had not reached the kernel leaks its descriptor (decision 0013), which is
 * the one leak that there may be. */
static inline void tape_close_leaked(struct tape *tape)
{
  for (uint32_t i = 0; i < tape->io.closing_count; i++)
    if (fcntl(tape->io.closing[i], F_GETFD) >= 0)
      close(tape->io.closing[i]);
  tape->io.closing_count = 0;
}

/* All is answered, and no turn will follow that closes files. */
static inline void tape_ended(struct tape *tape)
{
  uint32_t open = 0;

  tape_drained(tape);
  tape_cancels_done(tape);
  tape_channels_back(tape);
  for (uint32_t i = 0; i < TAPE_FILES; i++)
    open += tape->files[i].state == TAPE_OPEN;
  tape->files_late = tape->config.files_max - tape_free_files(tape) - open;
}

/* What the ring has not answered. */
static inline uint64_t tape_left_reads(void)
{
  const struct sim_counts *counts = sim_counts();

  return counts->submitted[SIM_READ] - counts->completed[SIM_READ];
}

/* A call has found that it is lost, or has found it so before. */
static inline void tape_lost(struct tape *tape, uint64_t caller)
{
  struct tape_io *io = &tape->io;

  if (io->orphaned)
    io->owner = caller;
  io->orphaned = false;
  io->lost = tape->engine->iothread.lost;
  tape->shared->lost++;
  tape->stopping = tape->cancelling = true;
  for (uint32_t i = 0; i < TAPE_REPORTS; i++)
    tape->reports[i].exact = false; /* what the kernel had answered came first */
  tape_close_leaked(tape);
  if (tape_stopped(tape) && io->held)
    tape_check(tape, tape_left_reads() == 0, "answered, and the kernel holds reads");
  if (tape_stopped(tape))
    tape_ended(tape);
  else
    tape_check(tape, tape->io.held, "lost, and not all is answered");
}

static inline void tape_let_go(struct tape *tape)
{
  tape->io.held = sim_now()->holds_on = false;
  sim_let_go();
  tape_say(tape, "kernel: lets go");
}

/* ------------------------------------------------------------------------- */
/* Who turns                                                                 */
/* ------------------------------------------------------------------------- */

/* The I/O thread, or who is next; now and then somebody else. */
static inline uint64_t tape_caller(struct tape *tape, uint32_t r)
{
  bool other = r % 32 == 7;

  if (!tape->io.acted)
    return TAPE_MAIN;
  if (tape->io.owner == 0 || tape->io.orphaned)
    return r % 4 == 3 ? TAPE_MAIN : tape_actor_number();
  return (tape->io.owner == TAPE_MAIN) != other ? TAPE_MAIN : tape_actor_number();
}

static inline void tape_give_up(struct tape *tape, const uint32_t r[4])
{
  struct tape_io *io = &tape->io;

  if (!tape_actor.lives || !tape_may_be_lost(tape))
    return;
  bool owner = io->owner == tape_actor.number && io->lost == 0 &&
               sqcq__phase(tape->engine) == SQCQ__PHASE_RUNNING;
  tape_say(tape, "thread %llu ends%s", (unsigned long long)tape_actor.number,
           owner ? ": the I/O thread" : "");
  tape_actor_end();
  io->orphaned = io->orphaned || owner;
  if (owner && r[1] % 4 == 0)
    io->held = sim_now()->holds_on = true;
}

static inline void tape_make_turn(void *argument)
{
  struct tape_turn *turn = argument;
  struct sqcq_engine *engine = turn->tape->engine;

  switch (turn->call) {
  case TAPE_POLL:
    turn->result = sqcq_engine_poll(engine);
    break;
  case TAPE_WAIT:
    turn->result = sqcq_engine_wait(engine, turn->timeout_ns);
    break;
  case TAPE_RUN:
    turn->result = sqcq_engine_run(engine);
    break;
  default:
    turn->result = sqcq_engine_arm(engine);
    break;
  }
}

/* ------------------------------------------------------------------------- */
/* What must be so after a turn                                              */
/* ------------------------------------------------------------------------- */

/* The kernel's answers that end a turn. */
static inline bool tape_may_fail(const struct tape *tape, const struct tape_turn *turn)
{
  return turn->result == -ENOMEM || (turn->result == tape->io.fatal && turn->result != 0) ||
         (turn->result == -EINTR && turn->call == TAPE_WAIT && tape->unruly);
}

/* The lanes are drained, and it has let go of channels. */
static inline void tape_turned(struct tape *tape, const struct tape_turn *turn)
{
  uint32_t now = tape_unread_all(tape);
  int result = turn->result;

  tape_drained(tape);
  tape->turned_at = turn->at;
  tape_cancels_done(tape);
  tape_channels_back(tape);
  if (turn->call != TAPE_RUN)
    tape_check(tape, now - turn->unread == (result > 0 ? (uint32_t)result : 0), "%d, %u delivered",
               result, now - turn->unread);
  if (result < 0 && !tape_may_fail(tape, turn))
    tape_check(tape, result == -ESHUTDOWN && tape_stopped(tape), "turn: %d", result);
  if (turn->call == TAPE_RUN && result >= 0)
    tape_check(tape, result == 0 && tape_stopped(tape), "run: %d", result);
  if (tape_stopped(tape))
    tape_check(tape, tape->stopping && now == tape->pending + tape->reports_out,
               "stopped, %u pending, %u unread", tape->pending, now);
}

static inline void tape_armed(struct tape *tape, const struct tape_turn *turn, bool armed)
{
  int fd = sqcq_engine_fd(tape->engine);

  if (turn->result < 0) {
    tape_check(tape, tape_may_fail(tape, turn), "arm: %d", turn->result);
    return;
  }
  tape_check(tape, tape->engine->io.armed == (turn->result == 0), "armed");
  if (turn->result > 0 && armed) /* nothing that was written before is left */
    tape_check(tape, !tape_readable(fd), "not armed, and readable");
  if (turn->result == 0)
    tape_check(tape, tape->undrained == 0, "armed, with requests in lanes");
}

static inline void tape_expect_answer(struct tape *tape, const struct tape_turn *turn, int error)
{
  int expected = turn->call == TAPE_RUN && error == -ESHUTDOWN ? 0 : error;

  tape_check(tape, turn->result == expected, "%d, expected %d", turn->result, expected);
}

/* Nothing may have changed by a call that is refused. */
static inline void tape_expect_refusal(struct tape *tape, const struct tape_turn *turn, int error)
{
  tape_expect_answer(tape, turn, error);
  tape_check(tape, tape_unread_all(tape) == turn->unread, "refused, and delivered");
}

static inline int tape_turn(struct tape *tape, uint32_t call, int64_t timeout_ns, uint32_t r)
{
  static const char *const names[TAPE_OPS] = {
      [TAPE_POLL] = "poll", [TAPE_WAIT] = "wait", [TAPE_RUN] = "run", [TAPE_ENGINE_ARM] = "arm"};
  struct tape_io *io = &tape->io;
  struct tape_turn turn = {.tape = tape, .call = call, .timeout_ns = timeout_ns};
  bool stopped = tape_stopped(tape), armed = tape->engine->io.armed, orphaned = io->orphaned;
  bool created = sqcq__phase(tape->engine) == SQCQ__PHASE_CREATED;

  turn.caller = tape_caller(tape, r);
  turn.unread = tape_unread_all(tape);
  turn.at = tape_clock_ns;
  tape_note_closing(tape, false);
  if (turn.caller == TAPE_MAIN)
    tape_make_turn(&turn);
  else
    tape_actor_do(tape_make_turn, &turn);
  tape_say(tape, "thread %llu: %s -> %d", (unsigned long long)turn.caller, names[call],
           turn.result);
  bool looped = (tape->config.flags & SQCQ_ENGINE_EVENT_LOOP) != 0;
  if (call == TAPE_ENGINE_ARM && !looped) {
    tape_expect_refusal(tape, &turn, -EOPNOTSUPP);
  } else if (stopped) {
    tape_expect_refusal(tape, &turn, -ESHUTDOWN);
  } else if (created && sqcq__phase(tape->engine) == SQCQ__PHASE_CREATED) {
    tape_expect_refusal(tape, &turn, -ENOMEM); /* the ring could not be enabled */
  } else if (!created && !orphaned && io->lost == 0 && io->owner != turn.caller) {
    tape_expect_refusal(tape, &turn, -EPERM);
  } else if (io->lost != 0 || (orphaned && tape->engine->ring == NULL)) {
    bool anybodys = (tape->engine->traits.setup_flags & IORING_SETUP_SINGLE_ISSUER) == 0;

    tape_expect_answer(tape, &turn,
                       io->lost != 0 ? io->lost
                       : anybodys    ? -ENOMEM /* it could not be enabled for the next thread */
                                     : -EOWNERDEAD);
    tape_lost(tape, turn.caller);
  } else {
    io->owner = turn.caller;
    io->orphaned = false;
    tape->shared->takeovers += orphaned;
    if (call == TAPE_ENGINE_ARM)
      tape_armed(tape, &turn, armed);
    else
      tape_turned(tape, &turn);
    if (tape->engine->iothread.lost != 0) { /* the next call sees to it */
      tape_check(tape, tape->engine->iothread.lost == io->fatal, "lost: %d",
                 tape->engine->iothread.lost);
      io->lost = io->fatal;
    }
  }
  return turn.result;
}

/* ------------------------------------------------------------------------- */
/* Steps                                                                     */
/* ------------------------------------------------------------------------- */

static inline void tape_engine_arm(struct tape *tape, const uint32_t r[4])
{
  bool looped = (tape->config.flags & SQCQ_ENGINE_EVENT_LOOP) != 0;
  int fd = sqcq_engine_fd(tape->engine);

  tape_check(tape, looped ? fd >= 0 : fd == -EOPNOTSUPP, "engine_fd: %d", fd);
  (void)tape_turn(tape, TAPE_ENGINE_ARM, 0, r[0]);
}

/* Only where all that is accepted comes to an end by itself. */
static inline void tape_engine_run(struct tape *tape, const uint32_t r[4])
{
  bool ends = tape->stopping && tape->cancelling && sim_now()->hold == 0 && !tape_polls(tape);

  if (ends && !tape->io.held)
    (void)tape_turn(tape, TAPE_RUN, 0, r[0]);
}

static inline void tape_stop(struct tape *tape, unsigned mode, int64_t limit_ns)
{
  int result = sqcq_engine_stop(tape->engine, mode, limit_ns);
  struct tape_errors errors = {.count = 0};

  tape_say(tape, "stop %u, limit %lld -> %d", mode, (long long)limit_ns, result);
  tape_allow(&errors, mode > 1 || limit_ns < -1, -EINVAL);
  if (!tape_worked(tape, &errors, result, "stop"))
    return;
  tape->stopping = true;
  tape->cancelling = tape->cancelling || mode == SQCQ_STOP_CANCEL;
  if (limit_ns >= 0 && tape_clock_ns + limit_ns < tape->stop_limit)
    tape->stop_limit = tape_clock_ns + limit_ns;
}

static inline void tape_play_io(struct tape *tape, const struct tape_step *step)
{
  const uint32_t *r = step->r;

  switch (step->op) {
  case TAPE_POLL:
    (void)tape_turn(tape, TAPE_POLL, 0, r[0]);
    break;
  case TAPE_WAIT:
    (void)tape_turn(tape, TAPE_WAIT, r[1] % 3 * 1500, r[0]);
    break;
  case TAPE_ENGINE_ARM:
    tape_engine_arm(tape, r);
    break;
  case TAPE_RUN:
    tape_engine_run(tape, r);
    break;
  case TAPE_GIVE_UP:
    tape_give_up(tape, r);
    break;
  case TAPE_LET_GO:
    tape_let_go(tape);
    break;
  default:
    if (r[0] / 8 % 3 == 0) /* else most tapes would end early */
      tape_stop(tape, r[0] % 8 == 0 ? 2 : r[1] % 2,
                r[2] % 8 == 0   ? -2
                : r[2] % 2 == 0 ? -1
                                : (int64_t)(r[3] % 50) * 1000000);
    break;
  }
}

#endif
