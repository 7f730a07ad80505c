/*
 * Steps of producers: requests.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_PRODUCE_H
#define SQCQ_TESTS_PROPERTY_TAPE_PRODUCE_H

#include "tape_holds.h"

/* ------------------------------------------------------------------------- */
/* Choosing                                                                  */
/* ------------------------------------------------------------------------- */

/* One that `good` says is good; any other now and then, and where there is no good one; -1: none
 * was ever there. */
#define TAPE_PICK(r, count, used, good)                                                            \
  do {                                                                                             \
    bool any_ = ((r) >> 16) % 16 == 0;                                                             \
    for (int pass = any_ ? 1 : 0; pass < 2; pass++)                                                \
      for (uint32_t k = 0; k < (count); k++) {                                                     \
        uint32_t i = ((r) + k) % (count);                                                          \
        if ((used) && (pass == 1 || (good)))                                                       \
          return (int)i;                                                                           \
      }                                                                                            \
    return -1;                                                                                     \
  } while (0)

/* Added to an index, one that is good from there on. */
#define TAPE_GOOD (3u << 16)
static_assert(TAPE_GOOD % TAPE_BUFFERS == 0, "it changes no index");

static inline int tape_pick_channel(const struct tape *tape, uint32_t r)
{
  TAPE_PICK(r, TAPE_CHANNELS, tape->channels[i].state != TAPE_NONE,
            tape->channels[i].state == TAPE_OPEN);
}

static inline int tape_pick_file(const struct tape *tape, uint32_t r)
{
  TAPE_PICK(r, TAPE_FILES, tape->files[i].state != TAPE_NONE, tape->files[i].state == TAPE_OPEN);
}

static inline int tape_pick_pool(const struct tape *tape, uint32_t r)
{
  TAPE_PICK(r, TAPE_POOLS, tape->pools[i].state != TAPE_NONE, tape->pools[i].state == TAPE_OPEN);
}

static inline int tape_pick_buffer(const struct tape *tape, uint32_t r)
{
  TAPE_PICK(r, TAPE_BUFFERS, tape->buffers[i].used, tape->buffers[i].owner == TAPE_OWNED);
}

static inline int tape_pick_lane(const struct tape *tape, uint32_t r)
{
  TAPE_PICK(r, TAPE_LANES, tape->lanes[i].state != TAPE_NONE, tape->lanes[i].state == TAPE_OPEN);
}

/* A handle that is another engine's. */
static inline uint64_t tape_foreign(const struct tape *tape, uint64_t id)
{
  return (id == 0 ? sqcq__handle(1, 0, tape->engine->tag) : id) ^ 0x800; /* a bit of the tag */
}

/* ------------------------------------------------------------------------- */
/* Requests                                                                  */
/* ------------------------------------------------------------------------- */

struct tape_try {
  int channel, file, buffer; /* of the model; -1: a handle that never was one */
  int more[TAPE_VECTOR - 1]; /* buffers of a vectored read beside the first */
  uint32_t more_count;
  bool advice;
  int error; /* what is wrong besides, 0: nothing */
  bool own;  /* through an own lane */
  int lane;  /* that one; -1: likewise */
};

static inline uint64_t tape_offset(const struct tape *tape, int file, uint32_t r)
{
  const struct tape_source *source = file < 0 ? NULL : &tape->sources[tape->files[file].source];

  if (source == NULL || source->pipe || r % 64 == 0)
    return SQCQ_OFFSET_CURRENT;
  if (r % 64 == 1)
    return INT64_MAX;
  return (r >> 6) % (source->size + 100);
}

/* A read that is good as far as the model's entries are. */
static inline void tape_make_read(struct tape *tape, const uint32_t r[4], struct sqcq_read *read,
                                  struct tape_try *try)
{
  *try = (struct tape_try){.channel = tape_pick_channel(tape, r[0]),
                           .file = tape_pick_file(tape, r[1]),
                           .buffer = tape_pick_buffer(tape, r[2])};
  uint32_t size = try->buffer < 0 ? 8 : tape->buffers[try->buffer].size;
  uint32_t from = r[3] % size;
  *read = (struct sqcq_read){.offset = tape_offset(tape, try->file, r[3] >> 8),
                             .user_data = ++tape->user_data,
                             .length = 1 + (r[2] >> 8) % (size - from),
                             .buffer_offset = from};
  /* What makes no difference here: hints of the kernel's. */
  if (r[0] % 8 == 0)
    read->flags |= SQCQ_READ_ASYNC;
  if (r[0] % 8 == 1)
    read->ioprio = (uint16_t)((2 + r[1] % 2) << 13 | r[2] % 8);
  if (r[0] % 32 == 2) {
    read->flags |= SQCQ_READ_DONTCACHE;
    try->error = tape->kernel.dontcache_error == 0 ? 0 : -EOPNOTSUPP;
  }
  if (r[0] % 8 == 3)
    read->flags |= SQCQ_READ_NOWAIT;
  if ((r[1] >> 8) % 8 == 0)
    read->deadline_ns = (uint64_t)(tape_clock_ns + ((int64_t)(r[1] >> 12) % 40 - 3) * 1000000);
  if (tape_polls(tape) && ((read->flags & SQCQ_READ_ASYNC) != 0 || read->deadline_ns != 0))
    try->error = -EOPNOTSUPP;
  if (try->channel >= 0)
    read->channel = tape->channels[try->channel].handle;
  if (try->file >= 0)
    read->file = tape->files[try->file].handle;
  if (try->buffer >= 0)
    read->buffer = tape->buffers[try->buffer].handle;
}

static inline void tape_spoil_read(struct tape *tape, uint32_t r, struct sqcq_read *read,
                                   struct tape_try *try)
{
  uint32_t size = try->buffer < 0 ? 8 : tape->buffers[try->buffer].size;

  try->error = -EINVAL;
  read->flags = 0;
  read->ioprio = 0;
  if (tape_polls(tape))
    read->deadline_ns = 0; /* an offence of its own */
  switch (r % 16) {
  case 0:
    read->length = 0;
    break;
  case 1:
    read->length = SQCQ_LENGTH_MAX + 1;
    break;
  case 2:
    read->length = size - read->buffer_offset + 1; /* what is wrong here is the buffer, if it is */
    try->error = try->buffer >= 0 && tape->buffers[try->buffer].owner == TAPE_OWNED ? -EINVAL : 0;
    break;
  case 3:
    read->buffer_offset = size + 1 + (r >> 8) % 4;
    try->error = try->buffer >= 0 && tape->buffers[try->buffer].owner == TAPE_OWNED ? -EINVAL : 0;
    break;
  case 4:
    read->offset = (uint64_t)INT64_MAX + 1;
    break;
  case 5:
    read->flags = 1u << 31;
    break;
  case 6:
    read->ioprio = 1; /* class 0 has no levels */
    break;
  case 7:
    read->buffer_count = 1;
    break;
  case 8:
    read->deadline_ns = (uint64_t)INT64_MAX + 1;
    break;
  case 9:
    read->channel.id = tape_foreign(tape, read->channel.id);
    break;
  case 10:
    read->file.id = tape_foreign(tape, read->file.id);
    break;
  case 11:
    read->buffer.id = tape_foreign(tape, read->buffer.id);
    break;
  case 12:
    read->file.id = 0;
    try->error = -EBADF;
    break;
  case 13:
    read->flags = SQCQ_READ_ASYNC | SQCQ_READ_NOWAIT;
    break;
  case 14:
    read->flags = SQCQ_READ_WILLNEED | SQCQ_READ_DONTNEED;
    break;
  default:
    read->channel.id = 0;
    try->error = -EPIPE;
    break;
  }
}

/* Of the lane, or of all shared ones. */
static inline uint32_t tape_lane_room(const struct tape *tape, const struct tape_try *try)
{
  uint32_t room = tape->config.lanes_shared * tape->config.lane_slots - tape->undrained;

  if (try->own && try->lane >= 0)
    return tape->config.lane_slots -
           tape->undrained_own[sqcq__handle_index(tape->lanes[try->lane].handle.id)];
  for (uint32_t i = 0; i < TAPE_LANES_OWN; i++)
    room += tape->undrained_own[i];
  return room;
}

/* A turn has taken them all in. */
static inline void tape_drained(struct tape *tape)
{
  tape->undrained = 0;
  memset(tape->undrained_own, 0, sizeof(tape->undrained_own));
}

/* What may be answered to it just now. */
static inline struct tape_errors tape_expect(const struct tape *tape, const struct tape_try *try)
{
  const struct tape_channel *channel = try->channel < 0 ? NULL : &tape->channels[try->channel];
  const struct tape_file *file = try->file < 0 ? NULL : &tape->files[try->file];
  const struct tape_buffer *buffer = try->buffer < 0 ? NULL : &tape->buffers[try->buffer];
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, try->error != 0, try->error);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors, channel == NULL || channel->state != TAPE_OPEN, -EPIPE);
  tape_allow(&errors, channel != NULL && channel->pending == channel->capacity, -EXFULL);
  tape_allow(&errors, file == NULL || file->state != TAPE_OPEN, -EBADF);
  tape_allow(&errors, !try->advice && (buffer == NULL || buffer->owner == TAPE_STALE), -ESTALE);
  tape_allow(&errors, buffer != NULL && buffer->owner == TAPE_IN_FLIGHT, -EBUSY);
  for (uint32_t i = 0; i < try->more_count; i++) {
    const struct tape_buffer *other = &tape->buffers[try->more[i]];

    tape_allow(&errors, other->owner == TAPE_STALE, -ESTALE);
    tape_allow(&errors, other->owner == TAPE_IN_FLIGHT || try->more[i] == try->buffer, -EBUSY);
    for (uint32_t j = 0; j < i; j++)
      tape_allow(&errors, try->more[i] == try->more[j], -EBUSY);
  }
  tape_allow(&errors, try->own && (try->lane < 0 || tape->lanes[try->lane].state != TAPE_OPEN),
             -EBADFD);
  tape_allow(&errors, tape_lane_room(tape, try) == 0, -EAGAIN);
  return errors;
}

static inline void tape_accept(struct tape *tape, const struct sqcq_read *read,
                               const struct tape_try *try)
{
  struct tape_request *request = tape_request_place(tape);

  *request = (struct tape_request){.pending = true,
                                   .user_data = read->user_data,
                                   .offset = read->offset,
                                   .channel = (uint32_t)try->channel,
                                   .file = (uint32_t)try->file,
                                   .buffers = {(uint32_t)try->buffer},
                                   .buffer_count = try->advice ? 0 : 1 + try->more_count,
                                   .length = read->length,
                                   .buffer_offset = read->buffer_offset,
                                   .deadline_ns = (int64_t)read->deadline_ns,
                                   .flags = read->flags,
                                   .ioprio = read->ioprio,
                                   .late = read->deadline_ns != 0 &&
                                           (int64_t)read->deadline_ns <= tape_clock_ns};
  for (uint32_t i = 0; i < try->more_count; i++)
    request->buffers[i + 1] = (uint32_t)try->more[i];
  for (uint32_t i = 0; i < request->buffer_count; i++)
    tape->buffers[request->buffers[i]].owner = TAPE_IN_FLIGHT;
  tape->files[try->file].refs++;
  tape->channels[try->channel].pending++;
  tape->pending++;
  tape->undrained++;
  if (try->own)
    tape->undrained_own[sqcq__handle_index(tape->lanes[try->lane].handle.id)]++;
  tape->accepted++;
}

/* Bytes that no read leaves, so that each that is written can be told. */
static inline void tape_guard(struct tape *tape, int buffer)
{
  if (buffer >= 0 && tape->buffers[buffer].owner == TAPE_OWNED)
    memset(tape->buffers[buffer].memory, TAPE_GUARD, tape->buffers[buffer].size);
}

/* One read, through a lane of its own or not. */
static inline void tape_hand_in(struct tape *tape, const struct sqcq_read *read,
                                const struct tape_try *try, sqcq_lane lane,
                                const struct tape_errors *errors, const char *what)
{
  int result =
      try->own ? sqcq_lane_request(tape->engine, lane, read) : sqcq_request(tape->engine, read);

  tape_say(
      tape,
      "%s %d: lane %d, channel %d, file %d, buffer %d, offset %lld, length %u at %u, flags %#x, "
      "deadline %lld -> %d",
      what, (int)read->user_data, try->own ? try->lane : -1, try->channel, try->file, try->buffer,
      (long long)read->offset, read->length, read->buffer_offset, read->flags,
      (long long)read->deadline_ns, result);
  if (tape_worked(tape, errors, result, what))
    tape_accept(tape, read, try);
  else
    tape_count_refusal(tape, result);
}

/* Through which lane, now and then one of its own. */
static inline sqcq_lane tape_own_lane(const struct tape *tape, uint32_t r, struct tape_try *try)
{
  int lane = tape_pick_lane(tape, r >> 4);

  try->own = r % 4 == 0 && (lane >= 0 || r % 32 == 0);
  try->lane = try->own ? lane : -1;
  return try->lane < 0 ? (sqcq_lane){0} : tape->lanes[try->lane].handle;
}

static inline void tape_request(struct tape *tape, const uint32_t r[4], bool bad)
{
  struct sqcq_read read;
  struct tape_try try;

  tape_make_read(tape, r, &read, &try);
  if (bad)
    tape_spoil_read(tape, r[0] >> 20, &read, &try);
  tape_guard(tape, try.buffer);
  struct tape_errors errors = tape_expect(tape, &try);
  tape_hand_in(tape, &read, &try, (sqcq_lane){0}, &errors, "request");
}

static inline void tape_request_many(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_read reads[TAPE_MANY] = {0};
  struct tape_try tries[TAPE_MANY];
  uint32_t count = (r[0] >> 4) % 8 == 0 ? r[0] % TAPE_MANY : r[0] % 6;
  uint32_t good = 0;
  struct tape_errors errors = {.count = 0};

  for (uint32_t i = 0; i < count; i++) {
    uint32_t own[4] = {r[0] >> 8, r[1] + i / 3, r[2] + i * 0x101u, r[3] + i * 0x4000u};

    tape_make_read(tape, own, &reads[i], &tries[i]);
    if ((r[3] >> 24) % 16 == i)
      tape_spoil_read(tape, r[1] >> 8, &reads[i], &tries[i]);
    tape_guard(tape, tries[i].buffer);
  }
  /* Accepted one by one by the model; the real one has to agree. */
  tape_allow(&errors, count == 0, -EINVAL);
  for (; good < count; good++) {
    errors = tape_expect(tape, &tries[good]);
    if (errors.count > 0)
      break;
    tape_accept(tape, &reads[good], &tries[good]);
  }
  int result = sqcq_request_many(tape->engine, reads, count);
  tape_say(tape, "request_many %u -> %d, model %u", count, result, good);
  if (good > 0) {
    tape_check(tape, result == (int)good, "%d of %u accepted, model %u", result, count, good);
    return;
  }
  (void)tape_worked(tape, &errors, result, "request_many");
  tape_count_refusal(tape, result);
}

#endif
