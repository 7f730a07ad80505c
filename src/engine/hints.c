#include "engine/hints.h"

#include "base/check.h"
#include "base/point.h"
#include "engine/engine.h"

#include <errno.h>

/* ioprio_set(2): class (3 bits) | hints of the kernel's, or 0 (10) | level (3) */
#define CLASS_SHIFT 13
#define CLASS_LAST 3u /* 0 none, 1 real time, 2 best effort, 3 idle */

static bool priority_is_good(uint16_t ioprio)
{
  unsigned class = (unsigned)ioprio >> CLASS_SHIFT;

  return class == 0 ? ioprio == 0 : class <= CLASS_LAST;
}

int sqcq__hints_check(const struct sqcq_engine *engine, const struct sqcq_read *read)
{
  uint32_t flags = read->flags;
  uint32_t advice = flags & SQCQ__READ_ADVICE;
  bool vector = (flags & SQCQ_READ_VECTOR) != 0;

  if ((flags & ~(uint32_t)SQCQ__READ_FLAGS) != 0 || !priority_is_good(read->ioprio) ||
      vector != (read->buffer_count != 0) || read->buffer_count > SQCQ_VECTOR_MAX)
    return -EINVAL;
  /* A worker waits: that is what it is for. */
  if ((flags & SQCQ_READ_ASYNC) != 0 && (flags & SQCQ_READ_NOWAIT) != 0)
    return -EINVAL;
  if (advice != 0 && (advice == SQCQ__READ_ADVICE || (flags & ~(advice | SQCQ_READ_ASYNC)) != 0 ||
                      read->ioprio != 0 || read->buffer.id != 0 || read->buffer_offset != 0 ||
                      read->offset == SQCQ_OFFSET_CURRENT))
    return -EINVAL;
  if ((flags & ~engine->read_flags) != 0)
    return -EOPNOTSUPP;
  return vector && read->buffer_count > engine->config.user.vectors_max ? -EINVAL : 0;
}

int sqcq__vector_check(const struct sqcq__buffers *buffers, const struct sqcq_read *read)
{
  uint64_t room = 0;

  if (read->buffers == NULL)
    return -EINVAL;
  for (uint32_t i = 0; i < read->buffer_count; i++) {
    uint64_t handle = read->buffers[i].id;
    int error = sqcq__buffer_check(buffers, handle);

    if (error < 0)
      return error;
    uint32_t size = sqcq__buffer_at(buffers, handle)->size;
    if (i == 0 && read->buffer_offset >= size)
      return -EINVAL;
    room += size;
  }
  return read->length > room - read->buffer_offset ? -EINVAL : 0;
}

int sqcq__vector_give(const struct sqcq__buffers *buffers, const struct sqcq_read *read)
{
  uint32_t given = 0;
  int error = 0;

  /* One by one: of a buffer that is named twice the second step fails. */
  for (; given < read->buffer_count; given++) {
    uint64_t handle = read->buffers[given].id;
    struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);

    if (!sqcq__buffer_step(buffer, handle, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT)) {
      error = sqcq__buffer_check(buffers, handle);
      error = error < 0 ? error : -EBUSY;
      break;
    }
    sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
    SQCQ_POINT(VECTOR_STEPPED);
  }
  for (uint32_t i = 0; i < given; i++) {
    uint64_t handle = read->buffers[i].id;
    struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);

    if (error < 0) {
      sqcq__owner_take(&buffer->owner, buffer->memory, buffer->size);
      bool mine = sqcq__buffer_step(buffer, handle, SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_OWNED);
      SQCQ_ASSERT(mine);
      (void)mine;
      continue;
    }
    /* relaxed: ours alone while IN_FLIGHT; pair(spsc) takes it along */
    sqcq__store_relaxed(&buffer->next, i + 1 < given ? read->buffers[i + 1].id : 0);
  }
  return error;
}

static uint64_t next_of(const struct sqcq__buffers *buffers, uint64_t handle)
{
  /* relaxed: written before the request was published; pair(spsc) */
  return sqcq__load_relaxed(&sqcq__buffer_at(buffers, handle)->next);
}

uint32_t sqcq__vector_fill(const struct sqcq__buffers *buffers, const struct sqcq__request *request,
                           struct iovec *iovecs, uint32_t max)
{
  uint64_t handle = request->buffer;
  uint32_t skip = request->buffer_offset, left = request->length, count = 0;

  while (left > 0) {
    const struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);
    uint32_t room = buffer->size - skip;

    SQCQ_ASSERT(handle != 0 && count < max);
    (void)max;
    iovecs[count].iov_base = buffer->memory + skip;
    iovecs[count].iov_len = room < left ? room : left;
    left -= (uint32_t)iovecs[count].iov_len;
    count++;
    skip = 0;
    handle = next_of(buffers, handle);
  }
  return count;
}

void sqcq__vector_take(const struct sqcq__buffers *buffers, uint64_t first)
{
  uint64_t handle = first;

  while (handle != 0) {
    struct sqcq__buffer *buffer = sqcq__buffer_at(buffers, handle);
    uint64_t next = next_of(buffers, handle); /* before the step: then it may be another's */

    sqcq__owner_take(&buffer->owner, buffer->memory, buffer->size);
    bool mine = sqcq__buffer_step(buffer, handle, SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_OWNED);
    SQCQ_ASSERT(mine);
    (void)mine;
    handle = next;
  }
}

int sqcq__vector_list(const struct sqcq__buffers *buffers, uint64_t first, sqcq_buffer *out,
                      uint32_t max)
{
  sqcq_buffer found[SQCQ_VECTOR_MAX];
  uint64_t handle = first;
  uint32_t count = 0;

  /* Bounded whatever a caller has made of buffers that it requested anew. */
  while (handle != 0 && count < SQCQ_VECTOR_MAX) {
    int error = sqcq__buffer_check(buffers, handle);

    if (error < 0)
      return error;
    found[count++].id = handle;
    handle = next_of(buffers, handle);
  }
  for (uint32_t i = 0; i < count && i < max; i++)
    out[i] = found[i];
  return (int)count;
}
