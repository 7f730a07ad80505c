/*
 * The turn's step that acts on control words: stop, removal of files, retirement of channels; and
 * what follows from it: cancels and closes. Cancels asked for, and deadlines, are in ending.c. Room: I.
 *
 * A control word is taken BEFORE the lanes are drained and acted upon AFTER: what was accepted
 * before the word was posted is in the table by then.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "engine/prep.h"

#include <errno.h>
#include <unistd.h>

uint32_t sqcq__turn_answer_waiting(struct sqcq_engine *engine, const struct sqcq__match *match,
                                   uint32_t flags)
{
  struct sqcq__requests *requests = &engine->io.requests;
  uint32_t index = sqcq__requests_unqueue(requests, match), answered = 0;

  while (index != SQCQ__NO_SLOT) {
    struct sqcq__slot *slot = &requests->slots[index];
    uint64_t of = slot->request.file;

    index = slot->next;
    sqcq__turn_answer(engine, slot, -ECANCELED, flags | SQCQ_COMPLETION_UNSUBMITTED);
    sqcq__count(&engine->stats.unsubmitted, 1);
    sqcq__requests_drop(requests, slot);
    sqcq__turn_unref(engine, of);
    answered++;
  }
  return answered;
}

static void retire_file(struct sqcq_engine *engine, uint32_t index)
{
  struct sqcq__file_io *io = &engine->files.io[index];

  if (io->slot >= 0) {
    (void)sqcq__ring_update_file(engine->ring, (uint32_t)io->slot, -1);
    sqcq__count(&engine->stats.syscalls_control, 1);
    engine->files.slots[engine->files.slot_count++] = io->slot;
    io->slot = -1;
  }
  io->next = engine->files.to_close;
  engine->files.to_close = index + 1;
}

void sqcq__turn_unref(struct sqcq_engine *engine, uint64_t file)
{
  uint32_t index = sqcq__handle_index(file);
  struct sqcq__file_io *io = &engine->files.io[index];

  SQCQ_ASSERT(io->refs > 0);
  if (--io->refs == 0 && io->retiring)
    retire_file(engine, index);
}

static void remove_file(struct sqcq_engine *engine, uint32_t index)
{
  struct sqcq__file *file = &engine->files.files[index];
  struct sqcq__file_io *io = &engine->files.io[index];

  io->retiring = true;
  if (io->refs == 0) {
    retire_file(engine, index);
    return;
  }
  if (file->remove_mode != SQCQ_REMOVE_CANCEL)
    return;
  /* relaxed: the word is ours until the file is closed */
  uint64_t handle =
      sqcq__handle(sqcq__word_generation(sqcq__load_relaxed(&file->word)), index, engine->tag);
  struct sqcq__match match = {.file = handle};
  (void)sqcq__requests_want_cancel(&engine->io.requests, &match, SQCQ_COMPLETION_FILE_REMOVED);
  (void)sqcq__turn_answer_waiting(engine, &match, SQCQ_COMPLETION_FILE_REMOVED);
}

/* Close what can be closed: through the ring, since close(2) can block, but for IOPOLL rings, which
 * cannot. */
static void close_files(struct sqcq_engine *engine)
{
  bool polls = sqcq__polls_device(engine);

  while (engine->files.to_close != 0 && engine->io.closes_out < SQCQ__CLOSES_MAX) {
    uint32_t index = engine->files.to_close - 1;
    struct io_uring_sqe *sqe = polls ? NULL : sqcq__ring_sqe(engine->ring);
    uint32_t next = engine->files.io[index].next;

    if (sqe == NULL && !polls) {
      engine->io.nap = true;
      return;
    }
    engine->files.to_close = next;
    sqcq__count(&engine->stats.files_retired, 1);
    if (polls) {
      (void)close(engine->files.files[index].fd);
      sqcq__count(&engine->stats.syscalls_control, 1);
      sqcq__files_recycle(&engine->files, index);
      continue;
    }
    /* The last close of a file may take long (a lingering socket, a large file that was deleted),
     * and the kernel does it here and now unless told otherwise. A worker costs more than a small
     * file's close. */
    sqcq__prep_close(sqe, engine->files.files[index].fd,
                     (engine->files.files[index].flags & SQCQ__FILE_SMALL) == 0,
                     sqcq__user_data(SQCQ__OP_CLOSE, index, 0));
    engine->files.io[index].closing = true;
    engine->io.closes_out++;
  }
}

/* Let go of destroyed channels: no push, no wake of ours can touch them any more. */
static void retire_channels(struct sqcq_engine *engine)
{
  uint32_t top = sqcq__swap_acquire(&engine->control.retired, 0); /* pair(retire) acquire */

  while (top != 0) {
    uint32_t index = top - 1;
    struct sqcq__channel *channel = &engine->channels[index];

    top = sqcq__load_relaxed(&channel->retire_next); /* relaxed: came with the stack */
    sqcq__requests_forget(&engine->io.requests, index);
    sqcq__channel_recycle(engine, channel);
  }
}

/* Cancels that missed are tried again when their time has come: the turn that reaped them set it.
 * */
static void retry_cancels(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;

  if (io->retry_at == 0 || (io->requests.cancels_missed > 0 && sqcq__now() < io->retry_at))
    return;
  io->retry_at = 0;
  sqcq__requests_retry_missed(&io->requests);
}

/* The steps of a stop that are possible now. */
static void stop(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;
  struct sqcq__control *control = &engine->control;
  /* relaxed: the control bit brought it the first time; later looks may be a turn late */
  uint32_t mode = sqcq__load_relaxed(&control->stopping);

  if (mode == SQCQ__STOPPING_NOT)
    return;
  if (!io->sealed) {
    bool shared = sqcq__lanes_stop(&engine->lanes);
    bool own = sqcq__own_stop(&engine->own);

    io->sealed = shared && own;
    sqcq__turn_drain(engine);
    io->nap = !io->sealed; /* a producer is inside a lane */
  }
  if (mode == SQCQ__STOPPING_DRAIN && sqcq__now() >= sqcq__load_relaxed(&control->stop_limit)) {
    uint32_t drain = SQCQ__STOPPING_DRAIN;

    (void)sqcq__cas_relaxed(&control->stopping, &drain, SQCQ__STOPPING_CANCEL);
    mode = SQCQ__STOPPING_CANCEL;
  }
  if (mode == SQCQ__STOPPING_CANCEL) {
    struct sqcq__match all = {0};

    (void)sqcq__requests_want_cancel(&io->requests, &all, SQCQ_COMPLETION_STOPPED);
    (void)sqcq__turn_answer_waiting(engine, &all, SQCQ_COMPLETION_STOPPED);
  }
}

static void submit_cancels(struct sqcq_engine *engine)
{
  struct sqcq__requests *requests = &engine->io.requests;
  struct sqcq__slot *slot;
  uint32_t place = 0;

  while ((slot = sqcq__requests_next_cancel(requests, &place)) != NULL) {
    struct io_uring_sqe *sqe = sqcq__ring_sqe(engine->ring);
    uint32_t index = sqcq__requests_index(requests, slot);

    if (sqe == NULL) {
      sqcq__requests_uncancel(requests, slot);
      engine->io.nap = true;
      return;
    }
    sqcq__prep_cancel(sqe, sqcq__user_data(SQCQ__OP_READ, index, slot->generation),
                      sqcq__user_data(SQCQ__OP_CANCEL, index, slot->generation));
  }
}

void sqcq__turn_control(struct sqcq_engine *engine, uint32_t bits, uint32_t removed)
{
  /* First: what others would end in this turn is reported as found. */
  if ((bits & SQCQ__CONTROL_CANCEL) != 0 || engine->io.sealed)
    sqcq__turn_cancel(engine);
  while (removed != 0) {
    uint32_t index = removed - 1;

    removed = sqcq__files_removed_next(&engine->files, index);
    remove_file(engine, index);
  }
  if ((bits & SQCQ__CONTROL_RETIRE) != 0)
    retire_channels(engine);
  stop(engine);
  if (engine->io.timers.count > 0) /* after all that drains lanes: none starts past its deadline */
    sqcq__turn_expire(engine);
  if (engine->files.to_close != 0)
    close_files(engine);
  retry_cancels(engine);
  if (engine->io.requests.cancels_wanted > 0 && !sqcq__polls_device(engine))
    submit_cancels(engine);
}
