/*
 * What must hold after every step.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_HOLDS_H
#define SQCQ_TESTS_PROPERTY_TAPE_HOLDS_H

#include "tape_model.h"

#include "engine/ring.h"

static inline void tape_check_channels(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_CHANNELS; i++) {
    const struct tape_channel *channel = &tape->channels[i];
    uint64_t word;

    if (channel->state != TAPE_OPEN && channel->state != TAPE_CLOSED)
      continue;
    word = sqcq__load_relaxed(&tape_inner_channel(tape, channel)->credit.word);
    tape_check(tape, sqcq__credit_taken(word) == channel->pending, "channel %u: %u taken", i,
               sqcq__credit_taken(word));
    tape_check(tape, tape_unread(tape, channel) <= channel->pending, "channel %u", i);
  }
}

static inline void tape_check_buffers(struct tape *tape)
{
  static const int errors[] = {-ESTALE, 0, -EBUSY};

  for (uint32_t i = 0; i < TAPE_BUFFERS; i++) {
    const struct tape_buffer *buffer = &tape->buffers[i];

    if (!buffer->used)
      continue;
    tape_check(tape,
               sqcq__buffer_check(&tape->engine->buffers, buffer->handle.id) ==
                   errors[buffer->owner],
               "buffer %u", i);
    bool mine = buffer->owner == TAPE_OWNED;
    tape_check(tape,
               sqcq_buffer_data(tape->engine, buffer->handle) == (mine ? buffer->memory : NULL),
               "buffer %u", i);
    tape_check(tape, sqcq_buffer_size(tape->engine, buffer->handle) == (mine ? buffer->size : 0),
               "buffer %u", i);
  }
}

/* It asks for what was asked for. */
static inline void tape_check_hints(struct tape *tape, const struct sim_op *op,
                                    const struct tape_request *request)
{
  uint32_t flags = request->flags;
  uint32_t rw_flags = ((flags & SQCQ_READ_NOWAIT) != 0 ? RWF_NOWAIT : 0) |
                      ((flags & SQCQ_READ_DONTCACHE) != 0 ? SQCQ__RWF_DONTCACHE : 0);

  tape_check(tape, op->rw_flags == rw_flags, "flags %#x for %#x", op->rw_flags, flags);
  tape_check(tape, op->async == ((flags & SQCQ_READ_ASYNC) != 0), "ASYNC");
  tape_check(tape, op->ioprio == request->ioprio, "ioprio %u", op->ioprio);
}

/* Each read in the kernel is one that was accepted and is not answered, and on its file. */
static inline void tape_check_kernel(struct tape *tape)
{
  struct sim_op ops[64];
  uint32_t count = sim_rings() == 0 ? 0 : sim_inflight(ops, 64), reads = 0; /* 0: it is lost */
  uint32_t flying[TAPE_CHANNELS] = {0};

  tape_check(tape, count <= 64, "%u operations in flight", count);
  for (uint32_t i = 0; i < count; i++) {
    const struct tape_request *request = NULL;

    if (ops[i].kind != SIM_READ)
      continue;
    reads++;
    const void *data =
        ops[i].vectors > 0 ? ((const struct iovec *)ops[i].data)->iov_base : ops[i].data;
    for (uint32_t j = 0; j < TAPE_REQUESTS && request == NULL; j++)
      if (tape->requests[j].pending && tape->requests[j].buffer_count > 0 &&
          tape->buffers[tape->requests[j].buffers[0]].memory + tape->requests[j].buffer_offset ==
              data)
        request = &tape->requests[j];
    tape_check(tape, request != NULL, "a read of nothing that is pending");
    tape_check(tape, ops[i].length == request->length && ops[i].offset == request->offset, "read");
    tape_check_hints(tape, &ops[i], request);
    struct stat is, should;
    tape_check(tape, fstat(ops[i].fd, &is) == 0, "a read of descriptor %d: closed", ops[i].fd);
    (void)fstat(tape->sources[tape->files[request->file].source].fd, &should);
    tape_check(tape, is.st_ino == should.st_ino && is.st_dev == should.st_dev, "another file");
    flying[request->channel]++;
    tape_check(tape, flying[request->channel] <= tape->channels[request->channel].inflight_max,
               "channel %u has more in flight", request->channel);
  }
  tape_check(tape, reads <= tape->config.depth, "%u reads in flight", reads);
}

/* The slot that a request has in the table, or NULL. */
static inline const struct sqcq__slot *tape_slot(const struct tape *tape,
                                                 const struct tape_request *request)
{
  const struct sqcq__requests *table = &tape->engine->io.requests;

  for (uint32_t i = 0; i < table->capacity; i++)
    if ((table->slots[i].state == SQCQ__SLOT_WAITING ||
         table->slots[i].state == SQCQ__SLOT_FLYING) &&
        table->slots[i].request.user_data == request->user_data)
      return &table->slots[i];
  return NULL;
}

/* Nothing that a cancel means, or whose deadline has passed, was overlooked by the last turn. */
static inline void tape_check_ended(struct tape *tape)
{
  uint32_t timers = 0;

  for (uint32_t i = 0; i < TAPE_REQUESTS; i++) {
    const struct tape_request *request = &tape->requests[i];
    bool expired = request->deadline_ns != 0 && request->deadline_ns <= tape->turned_at;
    const struct sqcq__slot *slot;

    if (!request->pending || !request->drained || (request->deadline_ns == 0 && !request->ended))
      continue;
    slot = tape_slot(tape, request);
    if (slot == NULL)
      continue;
    timers += request->deadline_ns != 0 && (slot->flags & SQCQ_COMPLETION_DEADLINE) == 0;
    tape_check(tape,
               !request->ended || (slot->state == SQCQ__SLOT_FLYING &&
                                   (slot->flags & SQCQ_COMPLETION_CANCELLED) != 0),
               "a cancel has overlooked a request");
    tape_check(tape,
               !expired || (slot->state == SQCQ__SLOT_FLYING &&
                            (slot->flags & SQCQ_COMPLETION_DEADLINE) != 0),
               "a deadline was overlooked");
  }
  tape_check(tape, tape->engine->io.timers.count == timers, "%u timers, %u deadlines",
             tape->engine->io.timers.count, timers);
}

static inline uint64_t tape_timed(struct tape *tape, unsigned stage)
{
  struct sqcq_histogram histogram;
  int error = sqcq_engine_histogram(tape->engine, stage, &histogram, sizeof(histogram));

  tape_check(tape, error == 0, "histogram %u: %d", stage, error);
  return histogram.count;
}

static inline void tape_check_stats(struct tape *tape)
{
  struct sqcq_stats stats;
  uint32_t unread = tape_unread_all(tape) - tape->reports_out;

  (void)sqcq_engine_stats(tape->engine, &stats, sizeof(stats));
  tape_check(tape, stats.accepted == tape->accepted, "stats");
  tape_check(tape, stats.completed + tape->pending == tape->accepted + unread, "stats");
  tape_check(tape, stats.inflight + stats.waiting + unread + tape->undrained == tape->pending,
             "inflight %u, waiting %u, unread %u, in lanes %u, pending %u",
             (uint32_t)stats.inflight, (uint32_t)stats.waiting, unread, tape->undrained,
             tape->pending);
  tape_check(tape, stats.refused_again == tape->refused[SQCQ__REFUSED_AGAIN], "stats");
  tape_check(tape, stats.refused_full == tape->refused[SQCQ__REFUSED_FULL], "stats");
  tape_check(tape, stats.refused_closed == tape->refused[SQCQ__REFUSED_CLOSED], "stats");
  tape_check(tape, stats.refused_stopping == tape->refused[SQCQ__REFUSED_STOPPING], "stats");
  tape_check(tape, stats.refused_file == tape->refused[SQCQ__REFUSED_FILE], "stats");
  tape_check(tape, stats.refused_buffer == tape->refused[SQCQ__REFUSED_BUFFER], "stats");
  tape_check(tape, stats.refused_invalid == tape->refused[SQCQ__REFUSED_INVALID], "stats");
  tape_check(tape, stats.refused_no_buffers == tape->refused[SQCQ__REFUSED_NO_BUFFERS], "stats");
  tape_check(tape, stats.cq_overflow == 0, "overflow");
  /* Some hundred numbers each: not after every step. */
  if ((tape->config.flags & SQCQ_ENGINE_HISTOGRAMS) == 0 || tape->shared->step % 16 != 0)
    return;
  tape_check(tape, tape_timed(tape, SQCQ_STAGE_QUEUE) == stats.submitted, "queue times");
  uint64_t answered = stats.submitted - stats.inflight,
           device = tape_timed(tape, SQCQ_STAGE_DEVICE);
  tape_check(tape, device == answered || (tape->io.lost != 0 && device < answered), "device times");
  tape_check(tape, tape_timed(tape, SQCQ_STAGE_DELIVERY) == tape->accepted - tape->pending,
             "delivery times");
}

static inline void tape_check_all(struct tape *tape)
{
  tape_check_channels(tape);
  tape_check_buffers(tape);
  tape_check_kernel(tape);
  tape_check_ended(tape);
  tape_check_stats(tape);
}

#endif
