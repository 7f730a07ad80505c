/*
 * From sqcq_request() into a lane. Doorway P -> I; it holds nothing itself, and takes, in this
 * order, what may be refused: a channel's credit, a lane's claim, the buffer. Whatever is refused
 * later gives back what was taken before, so that a refusal leaves no trace; and what is committed
 * is accepted, for good.
 *
 * If a producer stops for ever (or for a time slice) in here, it holds: after the credits, these
 * credits; after the claim, also one lane, which others pass over. A request it has committed is in
 * the lane, and is seen with the next one that is published there.
 *
 * An own lane is entered first and left last: there is no claim, and all chunks go into that lane.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/point.h"
#include "base/probe.h"

#include <errno.h>

/* So many reads share one claim and one step on each credit word. */
#define CHUNK 32u

/* The credits of one channel within a chunk. */
struct credits {
  uint64_t channel;
  uint32_t wanted;
  uint32_t held;
  int error; /* why there are fewer held than wanted */
};

struct chunk {
  const struct sqcq_read *reads;
  uint32_t count;
  uint32_t channels;
  int64_t now;    /* of the chunk; 0: not timed */
  uint32_t epoch; /* of cancels: from within this call, and before anything is committed */
  struct credits credits[CHUNK];
  uint8_t credits_of[CHUNK]; /* by read */
};

/* What plain reads have none of: flags, a priority, several buffers, a deadline. */
static bool is_special(const struct sqcq_read *read)
{
  return (read->flags | read->ioprio | read->buffer_count | read->deadline_ns) != 0;
}

static __attribute__((noinline)) int check_special(const struct sqcq_engine *engine,
                                                   const struct sqcq_read *read)
{
  if (read->deadline_ns > INT64_MAX)
    return -EINVAL;
  int error = sqcq__hints_check(engine, read);
  if (error == 0 && read->deadline_ns != 0 && sqcq__polls_device(engine))
    error = -EOPNOTSUPP; /* once in the kernel it could not be ended */
  return error;
}

static int check_read(const struct sqcq_engine *engine, const struct sqcq_read *read)
{
  int error = 0;

  if ((read->length == 0 && (read->flags & SQCQ__READ_ADVICE) == 0) ||
      read->length > SQCQ_LENGTH_MAX ||
      (read->offset > INT64_MAX && read->offset != SQCQ_OFFSET_CURRENT))
    return -EINVAL;
  if (sqcq__unlikely(is_special(read)))
    error = check_special(engine, read);
  if (error == 0)
    error = sqcq__channel_check(engine, read->channel.id);
  if (error == 0)
    error = sqcq__files_check(&engine->files, read->file.id);
  if (error == 0 && sqcq__unlikely((read->flags & SQCQ__READ_BUFFERS) != 0))
    return (read->flags & SQCQ_READ_VECTOR) != 0 ? sqcq__vector_check(&engine->buffers, read) : 0;
  if (error == 0)
    error = sqcq__buffer_check(&engine->buffers, read->buffer.id);
  if (error < 0)
    return error;
  uint32_t size = sqcq__buffer_at(&engine->buffers, read->buffer.id)->size;
  if (read->buffer_offset > size || read->length > size - read->buffer_offset)
    return -EINVAL;
  return 0;
}

/* Which credits a read needs; a chunk names few channels. */
static uint8_t credits_for(struct chunk *chunk, uint64_t channel)
{
  uint32_t i = 0;

  while (i < chunk->channels && chunk->credits[i].channel != channel)
    i++;
  if (i == chunk->channels)
    chunk->credits[chunk->channels++] = (struct credits){.channel = channel};
  return (uint8_t)i;
}

static struct sqcq__channel *channel_of(const struct sqcq_engine *engine, uint64_t handle)
{
  return &engine->channels[sqcq__handle_index(handle)];
}

static void take_credits(struct sqcq_engine *engine, struct chunk *chunk)
{
  for (uint32_t i = 0; i < chunk->count; i++) {
    chunk->credits_of[i] = credits_for(chunk, chunk->reads[i].channel.id);
    chunk->credits[chunk->credits_of[i]].wanted++;
  }
  for (uint32_t i = 0; i < chunk->channels; i++) {
    struct credits *credits = &chunk->credits[i];
    int held = sqcq__credit_take(&channel_of(engine, credits->channel)->credit,
                                 sqcq__handle_generation(credits->channel), credits->wanted);

    credits->held = held < 0 ? 0 : (uint32_t)held;
    credits->error = held < 0 ? held : -EXFULL;
  }
}

static void give_back_credits(struct sqcq_engine *engine, struct chunk *chunk)
{
  for (uint32_t i = 0; i < chunk->channels; i++)
    if (chunk->credits[i].held > 0) {
      struct sqcq__channel *channel = channel_of(engine, chunk->credits[i].channel);

      sqcq__channel_give_back(channel, chunk->credits[i].held);
      if (sqcq__room_awaited(&channel->room) != 0) /* a refusal gives room back, too */
        sqcq__channel_room_given(engine, channel, chunk->credits[i].held);
    }
}

/* The buffers of a vectored read, or none for advice. *handle: what stands for them. */
static int put_buffers(struct sqcq_engine *engine, const struct sqcq_read *read, uint64_t *handle,
                       enum sqcq__request_op *op)
{
  if ((read->flags & SQCQ_READ_VECTOR) == 0) {
    *op = SQCQ__REQUEST_ADVICE;
    *handle = 0;
    return 0;
  }
  *handle = sqcq__handle_retag(read->buffers[0].id,
                               sqcq__buffer_at(&engine->buffers, read->buffers[0].id)->pool);
  /* One buffer makes a plain read, with all that is good for it. */
  *op = read->buffer_count > 1 ? SQCQ__REQUEST_VECTOR : SQCQ__REQUEST_READ;
  return sqcq__vector_give(&engine->buffers, read);
}

/* One read into the slot reserved; its buffer is the engine's from here on. */
static int put(struct sqcq_engine *engine, const struct chunk *chunk, const struct sqcq_read *read,
               struct sqcq__request *slot)
{
  enum sqcq__request_op op = SQCQ__REQUEST_READ;
  uint64_t handle = read->buffer.id;

  if ((read->flags & SQCQ__READ_BUFFERS) == 0) {
    struct sqcq__buffer *buffer = sqcq__buffer_at(&engine->buffers, handle);

    if (!sqcq__buffer_step(buffer, handle, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT)) {
      int error = sqcq__buffer_check(&engine->buffers, handle);
      return error < 0 ? error : -EBUSY;
    }
    sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
    handle = sqcq__handle_retag(handle, buffer->pool);
    SQCQ_POINT(BUFFER_STEPPED);
  } else {
    int error = put_buffers(engine, read, &handle, &op);
    if (error < 0)
      return error;
  }
  *slot = (struct sqcq__request){
      .file = sqcq__handle_retag(read->file.id, sqcq__handle_index(read->channel.id)),
      .buffer = handle,
      .offset = read->offset,
      .user_data = read->user_data,
      .deadline_ns = read->deadline_ns,
      .accepted_ns = (uint64_t)chunk->now,
      .length = read->length,
      .buffer_offset = read->buffer_offset,
      .cancel_epoch = chunk->epoch,
      .ioprio = read->ioprio,
      .op = (uint8_t)op,
      .hints = (uint8_t)read->flags,
  };
  SQCQ_PROBE4(request, engine, sqcq__handle_index(read->channel.id), read->user_data, read->length);
  return 0;
}

/* As many of the chunk as this lane, the credits and the buffers take, from *done on. 0 where the
 * lane is full or all are in, else the error of the read at *done. */
static int fill_lane(struct sqcq_engine *engine, struct chunk *chunk, struct sqcq__lane *lane,
                     uint32_t *done)
{
  for (; *done < chunk->count; ++*done) {
    struct credits *credits = &chunk->credits[chunk->credits_of[*done]];
    struct sqcq__request *slot;

    if (credits->held == 0)
      return credits->error;
    slot = sqcq__lane_reserve(lane);
    if (slot == NULL)
      return 0;
    int error = put(engine, chunk, &chunk->reads[*done], slot);
    if (error < 0)
      return error;
    sqcq__lane_fill(lane);
    SQCQ_POINT(SLOT_FILLED);
    credits->held--;
  }
  return 0;
}

/* Check the reads and take their credits. What is left of the chunk: fewer where *error says why. */
static uint32_t prepare(struct sqcq_engine *engine, struct chunk *chunk, int *error)
{
  int checked = 0;

  for (uint32_t i = 0; i < chunk->count && checked == 0; i++) {
    checked = check_read(engine, &chunk->reads[i]);
    if (checked < 0)
      chunk->count = i;
  }
  *error = checked;
  if (chunk->count > 0) {
    take_credits(engine, chunk);
    SQCQ_POINT(CREDITS_TAKEN);
    chunk->now = sqcq__time(engine);
    chunk->epoch = sqcq__load_relaxed(&engine->control.cancel_epoch); /* relaxed: see cancels.h */
  }
  return chunk->count;
}

/* Into the producer's own lane, or where that is NULL into shared ones. Returns how many of the first
 * reads are accepted; fewer than count: *error says why. */
static uint32_t accept_chunk(struct sqcq_engine *engine, struct chunk *chunk,
                             struct sqcq__own_lane *own, int *error)
{
  uint32_t done = 0, tried = 0;

  if (prepare(engine, chunk, error) == 0)
    return 0;
  while (done < chunk->count) {
    struct sqcq__lane *lane = own != NULL ? &own->lane : sqcq__lanes_claim(&engine->lanes, &tried);
    uint32_t before = done;

    if (lane == NULL) {
      *error = sqcq__control_stopping(&engine->control) ? -ESHUTDOWN : -EAGAIN;
      break;
    }
    int refused = fill_lane(engine, chunk, lane, &done);
    if (own == NULL && done > before) {
      sqcq__lanes_publish(&engine->lanes, lane);
    } else if (own == NULL) {
      sqcq__lane_unclaim(lane);
    } else {
      if (done > before)
        sqcq__own_publish(&engine->own, own);
      if (refused == 0 && done < chunk->count)
        refused = -EAGAIN; /* there is no other lane to try */
    }
    if (refused < 0) {
      *error = refused;
      break;
    }
  }
  give_back_credits(engine, chunk);
  return done;
}

/* Returns how many were accepted, or the error of the first. */
static int accept_all(struct sqcq_engine *engine, struct sqcq__own_lane *own,
                      const struct sqcq_read *reads, uint32_t count)
{
  uint32_t accepted = 0;
  int error = 0;

  while (accepted < count && error == 0) {
    struct chunk chunk;

    chunk.reads = reads + accepted;
    chunk.count = count - accepted < CHUNK ? count - accepted : CHUNK;
    chunk.channels = 0;
    accepted += accept_chunk(engine, &chunk, own, &error);
  }
  return accepted > 0 ? (int)accepted : error;
}

int sqcq__accept(struct sqcq_engine *engine, const uint64_t *own_lane,
                 const struct sqcq_read *reads, uint32_t count)
{
  struct sqcq__own_lane *own = NULL;

  if (count > INT32_MAX)
    count = INT32_MAX;
  if (sqcq__control_stopping(&engine->control))
    return -ESHUTDOWN;
  SQCQ_POINT(REQUEST_BEGUN);
  if (own_lane != NULL) {
    int error = sqcq__own_enter(&engine->own, *own_lane, &own);
    if (error < 0)
      return error;
  }
  int accepted = accept_all(engine, own, reads, count);
  if (own != NULL) {
    sqcq__own_leave(own);
    SQCQ_POINT(OWN_LEFT);
  }
  if (accepted > 0)
    sqcq__sleeper_wake(&engine->sleeper); /* pair(sleep) look: the work bits are set */
  return accepted;
}
