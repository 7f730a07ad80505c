/*
 * The turn of the I/O thread. Room: I.
 *
 *   control words -> drain all lanes -> act on control -> start what the depth allows -> one enter
 *   for submit and reap -> completions to their channels -> wake the consumers that sleep
 *
 * Every step is bounded: lanes by their size, starts by the depth, reaping by the CQ. System calls
 * decide the throughput: one enter a turn, none where nothing is to be submitted and the kernel has
 * nothing to say.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/point.h"
#include "base/probe.h"
#include "engine/prep.h"

#include <errno.h>

/* Until a cancel that found nothing to cancel, since the read was just on its way, is tried again.
 * Mostly it has answered by then. */
#define RETRY_NS INT64_C(50000000)
/* A file goes into the kernel's table at this read: before, the update costs more than it saves. */
#define INSTALL_AT_READS 16u

static inline void deliver(struct sqcq_engine *engine, const struct sqcq__slot *slot,
                           int32_t result, uint32_t flags, uint64_t buffer)
{
  const struct sqcq__request *request = &slot->request;
  struct sqcq_completion completion = {
      .user_data = request->user_data,
      .result = result,
      .flags = flags,
      .offset = request->offset,
      .file = {sqcq__handle_retag(request->file, engine->tag)},
      .buffer = {buffer},
      .data = slot->data,
      .length = request->length,
      .buffer_offset = request->buffer_offset,
      .reserved = (uint64_t)engine->io.now, /* until it is taken */
  };

  sqcq__router_push(&engine->io.router, sqcq__request_channel(request), &completion);
}

/* One with a deadline, or that is no plain read. By itself, so that others do not pay for it. */
static __attribute__((noinline)) void answer_special(struct sqcq_engine *engine,
                                                     const struct sqcq__slot *slot, int32_t result,
                                                     uint32_t flags)
{
  const struct sqcq__request *request = &slot->request;
  bool advice = request->op == SQCQ__REQUEST_ADVICE;

  if (request->deadline_ns != 0)
    sqcq__timers_remove(&engine->io.timers, sqcq__requests_index(&engine->io.requests, slot));
  if (request->op == SQCQ__REQUEST_VECTOR)
    flags |= SQCQ_COMPLETION_VECTOR;
  if (advice)
    flags |= SQCQ_COMPLETION_ADVICE;
  deliver(engine, slot, result, flags,
          advice ? 0 : sqcq__handle_retag(request->buffer, engine->tag));
}

void sqcq__turn_answer(struct sqcq_engine *engine, const struct sqcq__slot *slot, int32_t result,
                       uint32_t flags)
{
  const struct sqcq__request *request = &slot->request;

  if (sqcq__unlikely(request->deadline_ns != 0 || request->op != SQCQ__REQUEST_READ))
    answer_special(engine, slot, result, flags);
  else
    deliver(engine, slot, result, flags, sqcq__handle_retag(request->buffer, engine->tag));
}

/* A request out of a lane, in a slot that is not its own yet. */
static void take_in(struct sqcq_engine *engine, struct sqcq__slot *slot)
{
  struct sqcq__io *io = &engine->io;

  slot->data = slot->request.buffer == 0
                   ? NULL
                   : sqcq__buffers_locate(&engine->buffers, &slot->request, &slot->fixed_buffer);
  if (!sqcq__files_readable(&engine->files, slot->request.file)) {
    sqcq__turn_answer(engine, slot, -ECANCELED,
                      SQCQ_COMPLETION_UNSUBMITTED | SQCQ_COMPLETION_FILE_REMOVED);
    sqcq__count(&engine->stats.unsubmitted, 1);
    return;
  }
  engine->files.io[sqcq__handle_index(slot->request.file)].refs++;
  sqcq__requests_accept(&io->requests, engine->channels);
  if (slot->request.deadline_ns != 0)
    sqcq__timers_add(&io->timers, sqcq__requests_index(&io->requests, slot),
                     (int64_t)slot->request.deadline_ns);
}

/* Returns how many it held. */
static uint32_t drain_lane(struct sqcq_engine *engine, struct sqcq__lane *lane)
{
  uint32_t ready = sqcq__lane_ready(lane);

  /* What is committed from here on sets the bit again. */
  for (uint32_t i = 0; i < ready; i++) {
    struct sqcq__slot *slot = sqcq__requests_blank(&engine->io.requests);

    SQCQ_ASSERT(slot != NULL); /* there is one for each credit */
    slot->request = *sqcq__lane_at(lane, i);
    take_in(engine, slot);
  }
  if (ready > 0) {
    sqcq__spsc_note(&lane->ring, ready);
    sqcq__lane_give_back(lane, ready);
  }
  return ready;
}

void sqcq__turn_drain(struct sqcq_engine *engine)
{
  for (uint64_t work = sqcq__lanes_take_work(&engine->lanes); work != 0; work &= work - 1)
    engine->io.drained += drain_lane(engine, &engine->lanes.lanes[__builtin_ctzll(work)]);
  for (uint64_t work = sqcq__own_take_work(&engine->own); work != 0; work &= work - 1)
    for (uint32_t i = (uint32_t)__builtin_ctzll(work); i < engine->own.count; i += SQCQ__OWN_BITS)
      (void)drain_lane(engine, &engine->own.lanes[i].lane);
}

/* Where a file is read: its slot of the kernel's table, which it gets once it is read often. */
static void aim(struct sqcq_engine *engine, const struct sqcq__slot *slot,
                struct sqcq__read_target *target)
{
  uint32_t index = sqcq__handle_index(slot->request.file);
  const struct sqcq__file *file = &engine->files.files[index];
  struct sqcq__file_io *io = &engine->files.io[index];

  if (io->slot == -1 && (file->flags & SQCQ__FILE_STORED) != 0 && engine->files.slot_count > 0 &&
      ++io->reads >= INSTALL_AT_READS) {
    int32_t place = engine->files.slots[engine->files.slot_count - 1];

    sqcq__count(&engine->stats.syscalls_control, 1);
    if (sqcq__ring_update_file(engine->ring, (uint32_t)place, file->fd) == 0) {
      engine->files.slot_count--;
      io->slot = place;
    } else {
      io->slot = -2;
    }
  }
  target->fixed_file = io->slot >= 0;
  target->fd = io->slot >= 0 ? io->slot : file->fd;
}

static void time_start(struct sqcq_engine *engine, struct sqcq__slot *slot)
{
  slot->started_ns = engine->io.now;
  sqcq__histogram_add(&engine->histograms[SQCQ_STAGE_QUEUE],
                      slot->started_ns - (int64_t)slot->request.accepted_ns);
}

/* The SQE of a read that is more than a plain one. */
static void prepare(struct sqcq_engine *engine, const struct sqcq__slot *slot,
                    struct io_uring_sqe *sqe, struct sqcq__read_target *target, uint64_t user_data)
{
  const struct sqcq__request *request = &slot->request;

  if (request->op == SQCQ__REQUEST_ADVICE) {
    sqcq__prep_advice(sqe, target, (request->hints & SQCQ_READ_WILLNEED) != 0, user_data);
  } else if (request->op == SQCQ__REQUEST_VECTOR) {
    /* The kernel may look at them until the CQE is in, and until then the place is taken. */
    uint32_t max = engine->config.user.vectors_max;
    struct iovec *iovecs = engine->io.iovecs + (size_t)slot->place * max;

    target->data = iovecs;
    target->length = sqcq__vector_fill(&engine->buffers, request, iovecs, max);
    sqcq__prep_vector(sqe, target, user_data);
  } else {
    sqcq__prep_read(sqe, target, user_data);
  }
  sqcq__prep_hints(sqe, request->hints, request->ioprio);
}

static void start(struct sqcq_engine *engine)
{
  struct sqcq__requests *requests = &engine->io.requests;
  uint32_t started = 0;

  /* What channels have been promised of the depth; relaxed: a number, and what a channel that is
   * just being made gets it cannot have asked for yet. */
  requests->reserved = requests->depth - sqcq__load_relaxed(&engine->depth_left);
  while (requests->waiting_count > 0) {
    struct sqcq__read_target target;
    struct sqcq__slot *slot = sqcq__requests_start(requests);

    if (slot == NULL)
      break;
    struct io_uring_sqe *sqe = sqcq__ring_sqe(engine->ring);
    if (sqe == NULL) { /* the kernel is behind with the last ones */
      sqcq__requests_unstart(requests, slot);
      engine->io.nap = true;
      break;
    }
    aim(engine, slot, &target);
    target.data = slot->data;
    target.offset = slot->request.offset;
    target.length = slot->request.length;
    target.fixed_buffer = slot->fixed_buffer;
    uint64_t user_data =
        sqcq__user_data(SQCQ__OP_READ, sqcq__requests_index(requests, slot), slot->generation);
    if ((slot->request.op | slot->request.hints | slot->request.ioprio) == 0)
      sqcq__prep_read(sqe, &target, user_data);
    else
      prepare(engine, slot, sqe, &target, user_data);
    if (engine->histograms != NULL)
      time_start(engine, slot);
    SQCQ_PROBE4(submit, engine, sqcq__request_channel(&slot->request), slot->request.user_data,
                slot->request.length);
    started++;
  }
  if (started > 0)
    sqcq__count(&engine->stats.submitted, started);
}

int sqcq__turn_submit(struct sqcq_engine *engine, int64_t wait_ns)
{
  uint64_t syscalls = 0;
  int error = sqcq__ring_enter(engine->ring, wait_ns == 0 ? 0 : 1, wait_ns, &syscalls);

  sqcq__count(&engine->stats.enters, syscalls);
  if (error == -EAGAIN || error == -EBUSY) {
    engine->io.nap = true; /* what is not submitted stays queued for the next turn */
    error = 0;
  }
  if (error < 0 && error != -ETIME && error != -EINTR)
    sqcq__iothread_failed(engine, error);
  return error == -ETIME ? 0 : error;
}

bool sqcq__turn_quiet(const struct sqcq_engine *engine)
{
  return engine->io.closes_out == 0 && engine->files.to_close == 0 && !engine->io.unwake_out &&
         !engine->io.alarm.cancel_out;
}

/* Nothing can follow and nothing is out: the last turn. Takes the wake poll back, then gives up the
 * ring. */
static void finish(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;

  if (!io->sealed || !sqcq__requests_empty(&io->requests) || !sqcq__turn_quiet(engine))
    return;
  if (io->wake_armed) {
    struct io_uring_sqe *sqe = sqcq__ring_sqe(engine->ring);

    if (sqe != NULL) {
      sqcq__prep_cancel(sqe, sqcq__user_data(SQCQ__OP_WAKE, 0, 0),
                        sqcq__user_data(SQCQ__OP_UNWAKE, 0, 0));
      io->unwake_out = true;
    } else {
      io->nap = true;
    }
    return;
  }
  if (!sqcq__turn_silence(engine))
    return;
  if (!sqcq__cancels_close(&engine->cancels)) /* a last one, whose report may be owed */
    return;
  sqcq__ring_unbind(engine->ring);
  sqcq__store_release(&engine->phase, SQCQ__PHASE_STOPPED); /* pair(phase) release */
  sqcq__iothread_leave(engine);
  sqcq__router_wake_all(&io->router);
}

/* Whether something had to be left to another turn, and can be done in it. */
static bool left_over(const struct sqcq_engine *engine)
{
  const struct sqcq__io *io = &engine->io;
  const struct sqcq__requests *requests = &io->requests;

  return (engine->files.to_close != 0 && io->closes_out < SQCQ__CLOSES_MAX) ||
         (requests->cancels_wanted > 0 && requests->cancels_out < requests->depth &&
          !sqcq__polls_device(engine)) ||
         (io->sealed && sqcq__requests_empty(requests) && sqcq__turn_quiet(engine));
}

/* One turn, no sleep. */
int sqcq__turn_once(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;
  uint32_t bits = sqcq__control_take(&engine->control);
  uint32_t removed =
      (bits & SQCQ__CONTROL_REMOVE) != 0 ? sqcq__files_take_removed(&engine->files) : 0;
  int error = 0;

  SQCQ_POINT(TURN_BEGUN);
  if (sqcq__unlikely(io->armed))
    sqcq__turn_disarm(engine);
  /* Once sealed, whatever the bit says: a canceller may have pushed and not set it yet. */
  if ((bits & SQCQ__CONTROL_CANCEL) != 0 || io->sealed)
    sqcq__cancels_take(&engine->cancels);
  io->nap = false;
  io->drained = 0;
  io->router.pushed = 0;
  io->reports = 0;
  io->now = sqcq__time(engine);
  sqcq__turn_drain(engine); /* after the control words: what was accepted before them is in */
  SQCQ_POINT(TURN_DRAINED);
  if (io->lanes_awaited || (bits & SQCQ__CONTROL_ROOM) != 0)
    sqcq__lanes_room_given(engine, (bits & SQCQ__CONTROL_ROOM) != 0);
  sqcq__turn_control(engine, bits, removed);
  start(engine);
  SQCQ_POINT(TURN_STARTED);
  if (sqcq__ring_has_unsubmitted(engine->ring) || sqcq__ring_wants_enter(engine->ring) ||
      (sqcq__polls_device(engine) && io->requests.flying_count > 0))
    error = sqcq__turn_submit(engine, 0);
  sqcq__turn_reap(engine);
  SQCQ_POINT(TURN_REAPED);
  sqcq__router_publish(&io->router);
  finish(engine);
  io->hurry = left_over(engine);
  if (io->requests.cancels_missed > 0 && io->retry_at == 0)
    io->retry_at = sqcq__now() + RETRY_NS;
  sqcq__count(&engine->stats.turns, 1);
  if (io->router.pushed == 0)
    sqcq__count(&engine->stats.turns_idle, 1);
  else
    sqcq__count(&engine->stats.completed, io->router.pushed - io->reports);
  sqcq__store_relaxed(&engine->stats.inflight, io->requests.flying_count);
  sqcq__store_relaxed(&engine->stats.waiting, io->requests.waiting_count);
  sqcq__store_relaxed(&engine->stats.cq_overflow, sqcq__ring_overflow(engine->ring));
  SQCQ_POINT(TURN_PUBLISHED);
  sqcq__router_wake(&io->router);
  return io->router.pushed > 0 ? (int)io->router.pushed : error;
}

int sqcq__turn(struct sqcq_engine *engine)
{
  int delivered = sqcq__turn_once(engine);

  if (delivered == -EINTR)
    return 0;
  if (delivered == 0 && sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
    return -ESHUTDOWN;
  return delivered;
}
