/*
 * The tape's model: its entries, and what completions must say.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_MODEL_H
#define SQCQ_TESTS_PROPERTY_TAPE_MODEL_H

#include "tape.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* ------------------------------------------------------------------------- */
/* Entries                                                                   */
/* ------------------------------------------------------------------------- */

/* A place for one more, or -1. Stale ones are kept as long as there are others, to be tried. */
#define TAPE_PLACE(array, count, never, dead)                                                      \
  do {                                                                                             \
    for (uint32_t i = 0; i < (count); i++)                                                         \
      if (never)                                                                                   \
        return (int)i;                                                                             \
    for (uint32_t i = 0; i < (count); i++)                                                         \
      if (dead)                                                                                    \
        return (int)i;                                                                             \
    return -1;                                                                                     \
  } while (0)

static inline int tape_channel_place(const struct tape *tape)
{
  TAPE_PLACE(tape->channels, TAPE_CHANNELS, tape->channels[i].state == TAPE_NONE,
             tape->channels[i].state == TAPE_DEAD);
}

static inline int tape_file_place(const struct tape *tape)
{
  TAPE_PLACE(tape->files, TAPE_FILES, tape->files[i].state == TAPE_NONE,
             tape->files[i].state == TAPE_CLOSED && tape->files[i].refs == 0);
}

static inline int tape_pool_place(const struct tape *tape)
{
  TAPE_PLACE(tape->pools, TAPE_POOLS, tape->pools[i].state == TAPE_NONE,
             tape->pools[i].state == TAPE_DEAD);
}

static inline int tape_buffer_place(const struct tape *tape)
{
  TAPE_PLACE(tape->buffers, TAPE_BUFFERS, !tape->buffers[i].used,
             tape->buffers[i].owner == TAPE_STALE);
}

static inline struct tape_request *tape_request_place(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_REQUESTS; i++)
    if (!tape->requests[i].pending)
      return &tape->requests[i];
  tape_fail(tape, "the model has no room for one more request");
}

static inline bool tape_stopped(const struct tape *tape)
{
  return sqcq__phase(tape->engine) == SQCQ__PHASE_STOPPED;
}

static inline struct sqcq__channel *tape_inner_channel(const struct tape *tape,
                                                       const struct tape_channel *channel)
{
  return &tape->engine->channels[sqcq__handle_index(channel->handle.id)];
}

static inline uint32_t tape_unread(const struct tape *tape, const struct tape_channel *channel)
{
  return channel->state == TAPE_DEAD ? 0 : sqcq__channel_unread(tape_inner_channel(tape, channel));
}

static inline uint32_t tape_unread_all(const struct tape *tape)
{
  uint32_t sum = 0;

  for (uint32_t i = 0; i < TAPE_CHANNELS; i++)
    if (tape->channels[i].state != TAPE_NONE)
      sum += tape_unread(tape, &tape->channels[i]);
  return sum;
}

/* ------------------------------------------------------------------------- */
/* What a completion says                                                    */
/* ------------------------------------------------------------------------- */

static inline uint8_t tape_byte(const struct tape_source *source, uint64_t offset)
{
  return source->stamped ? stamp_byte(source->tag, offset) : 0;
}

/* Whether these bytes stand somewhere in what was written to the pipe. */
static inline bool tape_in_pipe(const struct tape_source *source, const unsigned char *data,
                                uint32_t length)
{
  for (uint64_t at = 0; at + length <= source->size; at++) {
    uint32_t same = 0;

    while (same < length && data[same] == tape_byte(source, at + same))
      same++;
    if (same == length)
      return true;
  }
  return false;
}

static inline void tape_check_data(struct tape *tape, const struct tape_request *request,
                                   int32_t result)
{
  uint32_t n = result > 0 ? (uint32_t)result : 0, size = 0;
  struct tape_source *source = &tape->sources[tape->files[request->file].source];
  unsigned char bytes[TAPE_VECTOR * TAPE_BUFFER_SIZE];
  const unsigned char *data = bytes + request->buffer_offset;

  if (request->buffer_count == 0) {
    tape_check(tape, n == 0 && (result != 0 || !source->pipe), "advice said %d", result);
    return;
  }
  for (uint32_t i = 0; i < request->buffer_count; i++) {
    const struct tape_buffer *buffer = &tape->buffers[request->buffers[i]];

    memcpy(bytes + size, buffer->memory, buffer->size);
    size += buffer->size;
  }
  tape_check(tape, n <= request->length, "%u bytes of %u", n, request->length);
  for (uint32_t i = 0; i < size; i++)
    if (i < request->buffer_offset || i >= request->buffer_offset + n)
      tape_check(tape, bytes[i] == TAPE_GUARD, "byte %u beside a read was written", i);
  if (result < 0)
    return;
  if (source->pipe) {
    source->got += n;
    tape_check(tape, source->got <= source->size, "more was read than written");
    tape_check(tape, n > 0 || source->writer < 0, "end of a pipe that is open");
    tape_check(tape, tape_in_pipe(source, data, n), "bytes that were never in the pipe");
    return;
  }
  if (request->offset == SQCQ_OFFSET_CURRENT)
    return;
  uint64_t left = request->offset < source->size ? source->size - request->offset : 0;
  uint64_t all = left < request->length ? left : request->length;
  tape_check(tape, n <= all && (n > 0 || all == 0), "%u bytes of %u", n, (uint32_t)all);
  tape_check(tape, tape->unruly || n == all, "a short read by an orderly kernel");
  for (uint32_t i = 0; i < n; i++)
    tape_check(tape, data[i] == tape_byte(source, request->offset + i), "byte %u is wrong", i);
}

static inline void tape_check_failure(struct tape *tape, const struct sqcq_completion *completion,
                                      const struct tape_request *request)
{
  const struct tape_file *file = &tape->files[request->file];
  uint32_t what = request->buffer_count == 0  ? SQCQ_COMPLETION_ADVICE
                  : request->buffer_count > 1 ? SQCQ_COMPLETION_VECTOR
                                              : 0;
  uint32_t flags = completion->flags ^ what;
  int result = completion->result;

  tape_check(tape, (flags & ~0x1fu) == 0, "flags %#x", flags);
  tape_check(tape, !request->late || (result == -ECANCELED && (flags & 1) != 0),
             "submitted past its deadline: %d, flags %#x", result, flags);
  if (result != -ECANCELED && result != -EINTR) {
    bool odd = request->offset > (uint64_t)INT64_MAX - SQCQ_LENGTH_MAX;

    tape_check(tape, flags == 0, "flags %#x with %d", flags, result);
    if (what == SQCQ_COMPLETION_ADVICE && result == -ESPIPE)
      return; /* of a pipe */
    tape_check(tape,
               result >= 0 || odd || (tape->unruly && (result == -EIO || result == -EAGAIN)) ||
                   ((request->flags & SQCQ_READ_NOWAIT) != 0 && result == -EAGAIN) ||
                   (tape_polls(tape) && result == -EINVAL), /* not aligned */
               "result %d", result);
    return;
  }
  tape_check(tape, result == -ECANCELED || tape->kernel.cancel_interrupts, "-EINTR");
  tape_check(tape, (flags & SQCQ_COMPLETION_UNSUBMITTED) == 0 || result == -ECANCELED, "-EINTR");
  tape_check(tape, (flags & ~SQCQ_COMPLETION_UNSUBMITTED) != 0, "nobody ended it");
  tape_check(tape,
             (flags & SQCQ_COMPLETION_FILE_REMOVED) == 0 ||
                 (file->state == TAPE_CLOSED && file->cancels),
             "FILE_REMOVED, but it was not, or is to be read to its end");
  tape_check(tape, (flags & SQCQ_COMPLETION_CANCELLED) == 0 || request->cancelled,
             "CANCELLED, but no cancel means it");
  tape_check(tape,
             (flags & SQCQ_COMPLETION_DEADLINE) == 0 ||
                 (request->deadline_ns != 0 && tape_clock_ns >= request->deadline_ns),
             "DEADLINE, but it has not passed");
  tape_check(tape,
             (flags & SQCQ_COMPLETION_STOPPED) == 0 ||
                 (tape->stopping && (tape->cancelling || tape_clock_ns >= tape->stop_limit)),
             "STOPPED, but it was not, or everything is to be read");
}

static inline void tape_take_report(struct tape *tape, uint32_t channel,
                                    const struct sqcq_completion *completion)
{
  struct tape_report *report = NULL;

  for (uint32_t i = 0; i < TAPE_REPORTS; i++)
    if (tape->reports[i].pending && tape->reports[i].user_data == completion->user_data)
      report = &tape->reports[i];
  tape_check(tape, report != NULL, "a report that nobody asked for, or a second one");
  tape_check(tape, report->channel == channel, "on another channel");
  struct sqcq_completion expected = {.user_data = completion->user_data,
                                     .result = completion->result,
                                     .flags = SQCQ_COMPLETION_REPORT};
  tape_check(tape, memcmp(completion, &expected, sizeof(expected)) == 0, "a field is not 0");
  tape_check(tape, completion->result >= 0 && completion->result <= (int)report->found,
             "%d found of %u", completion->result, report->found);
  tape_check(tape, !report->exact || completion->result == (int)report->found, "%d found of %u",
             completion->result, report->found);
  report->pending = false;
  tape->reports_out--;
  tape->channels[channel].pending--;
}

static inline void tape_take(struct tape *tape, uint32_t channel,
                             const struct sqcq_completion *completion)
{
  struct tape_request *request = NULL;

  if ((completion->flags & SQCQ_COMPLETION_REPORT) != 0) {
    tape_take_report(tape, channel, completion);
    return;
  }
  for (uint32_t i = 0; i < TAPE_REQUESTS; i++)
    if (tape->requests[i].pending && tape->requests[i].user_data == completion->user_data)
      request = &tape->requests[i];
  tape_check(tape, request != NULL, "a completion for nothing accepted, or a second one");
  uint32_t count = request->buffer_count;
  sqcq_buffer listed[TAPE_VECTOR];
  tape_check(tape, request->channel == channel, "on another channel");
  tape_check(tape, completion->offset == request->offset, "offset");
  tape_check(tape, completion->length == request->length, "length");
  tape_check(tape, completion->buffer_offset == request->buffer_offset, "buffer_offset");
  tape_check(tape, completion->file.id == tape->files[request->file].handle.id, "file");
  if (count == 0) {
    tape_check(tape, completion->buffer.id == 0 && completion->data == NULL, "buffer of advice");
  } else {
    const struct tape_buffer *buffer = &tape->buffers[request->buffers[0]];

    tape_check(tape, completion->buffer.id == buffer->handle.id, "buffer");
    tape_check(tape, completion->data == buffer->memory + request->buffer_offset, "data");
  }
  tape_check(tape,
             sqcq_completion_buffers(tape->engine, completion, listed, TAPE_VECTOR) == (int)count,
             "not all buffers are listed");
  for (uint32_t i = 0; i < count; i++)
    tape_check(tape, listed[i].id == tape->buffers[request->buffers[i]].handle.id, "buffer %u", i);
  tape_check(tape, completion->reserved == 0, "reserved");
  tape_check_failure(tape, completion, request);
  tape_check_data(tape, request, completion->result);
  request->pending = false;
  for (uint32_t i = 0; i < count; i++)
    tape->buffers[request->buffers[i]].owner = TAPE_OWNED;
  tape->files[request->file].refs--;
  tape->channels[channel].pending--;
  tape->pending--;
}

/* A refused request is counted by its error. */
static inline void tape_count_refusal(struct tape *tape, int error)
{
  static const struct {
    int error;
    enum sqcq__refusal kind;
  } kinds[] = {
      {-EAGAIN, SQCQ__REFUSED_AGAIN},   {-EXFULL, SQCQ__REFUSED_FULL},
      {-EPIPE, SQCQ__REFUSED_CLOSED},   {-ESHUTDOWN, SQCQ__REFUSED_STOPPING},
      {-EBADF, SQCQ__REFUSED_FILE},     {-ESTALE, SQCQ__REFUSED_BUFFER},
      {-EBUSY, SQCQ__REFUSED_BUFFER},   {-EINVAL, SQCQ__REFUSED_INVALID},
      {-EBADFD, SQCQ__REFUSED_INVALID}, {-EOPNOTSUPP, SQCQ__REFUSED_INVALID},
  };

  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
    if (kinds[i].error == error)
      tape->refused[kinds[i].kind]++;
}

#endif
