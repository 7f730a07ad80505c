/*
 * Steps of producers: requests that are more than a plain read, through lanes of both kinds.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_HINTS_H
#define SQCQ_TESTS_PROPERTY_TAPE_HINTS_H

#include "tape_produce.h"

static inline void tape_request_vector(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_read read;
  sqcq_buffer handles[TAPE_VECTOR];
  struct tape_try try;
  uint32_t most = r[0] / 64 % 16 == 0 ? TAPE_VECTOR : tape->config.vectors_max;
  uint32_t count = most == 0 ? 1 : 1 + r[0] / 8 % most, size = 0, last = 0;

  tape_make_read(tape, r, &read, &try);
  if (try.buffer < 0)
    return;
  for (uint32_t i = 0; i < count; i++) {
    /* The next one that is there; now and then any, which may be there already. */
    int at = i == 0 ? try.buffer
                    : tape_pick_buffer(tape, (r[1] >> i) % 8 == 0 ? r[2] + i * 0x3001u
                                                                  : TAPE_GOOD + last + 1);

    last = (uint32_t)at;
    if (i > 0)
      try.more[try.more_count++] = at;
    handles[i] = tape->buffers[at].handle;
    size += tape->buffers[at].size;
    tape_guard(tape, at);
  }
  read.flags |= SQCQ_READ_VECTOR;
  read.buffers = handles;
  read.buffer_count = (uint16_t)count;
  read.length = 1 + (r[2] >> 8) % (size - read.buffer_offset);
  sqcq_lane lane = tape_own_lane(tape, r[1] >> 24, &try);
  struct tape_errors errors = tape_expect(tape, &try);
  tape_allow(&errors, tape->config.vectors_max == 0, -EOPNOTSUPP);
  tape_allow(&errors, tape->config.vectors_max > 0 && count > tape->config.vectors_max, -EINVAL);
  tape_hand_in(tape, &read, &try, lane, &errors, "vector");
  memset(handles, 0x33, sizeof(handles)); /* they were copied */
}

static inline void tape_request_advice(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_read read;
  struct tape_try try;

  tape_make_read(tape, r, &read, &try);
  try.buffer = -1;
  try.error = 0;
  try.advice = true;
  read.buffer.id = 0;
  read.buffer_offset = 0;
  read.ioprio = 0;
  read.flags = r[3] % 2 == 0 ? SQCQ_READ_WILLNEED : SQCQ_READ_DONTNEED;
  read.flags |= r[3] % 3 == 0 ? SQCQ_READ_ASYNC : 0;
  read.length = r[3] % 5 == 0 ? 0 : read.length;
  read.offset = read.offset > INT32_MAX ? 0 : read.offset;
  sqcq_lane lane = tape_own_lane(tape, r[1] >> 24, &try);
  struct tape_errors errors = tape_expect(tape, &try);
  tape_allow(&errors, tape_polls(tape), -EOPNOTSUPP);
  tape_hand_in(tape, &read, &try, lane, &errors, "advice");
}

#endif
