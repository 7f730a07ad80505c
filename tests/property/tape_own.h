/*
 * Steps with what producers have: files and buffers.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_OWN_H
#define SQCQ_TESTS_PROPERTY_TAPE_OWN_H

#include "tape_cancel.h"

#include <fcntl.h>

extern unsigned char tape_wrap_memory[TAPE_WRAPS][TAPE_BUFFER_SIZE];

/* ------------------------------------------------------------------------- */
/* Files                                                                     */
/* ------------------------------------------------------------------------- */

static inline uint32_t tape_free_files(const struct tape *tape)
{
  const struct sqcq__files *files = &tape->engine->files;
  uint32_t count = 0;

  for (uint32_t i = 0; i < files->count; i++)
    count += sqcq__word_state(sqcq__load_relaxed(&files->files[i].word)) == SQCQ__FILE_FREE;
  return count;
}

static inline void tape_file_added(struct tape *tape, int place, sqcq_file file, uint32_t source)
{
  tape->files[place] = (struct tape_file){.state = TAPE_OPEN, .handle = file, .source = source};
}

static inline void tape_file_add(struct tape *tape, const uint32_t r[4])
{
  uint32_t source = r[0] % TAPE_SOURCES;
  uint32_t fault = r[1] % 24; /* 0 to 2: one of them */
  int place = tape_file_place(tape), fd = tape->sources[source].fd, other = -1;
  struct tape_errors errors = {.count = 0};
  sqcq_file file = {.id = 77};

  if (place < 0)
    return;
  if (fault == 0)
    fd = -1;
  else if (fault <= 2)
    fd = other = open(tape->dir->path, fault == 1 ? O_DIRECTORY | O_RDONLY : O_PATH);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors, tape_free_files(tape) == 0, -ENOSPC);
  tape_allow(&errors, fault == 0 || fault == 2, -EBADF);
  tape_allow(&errors, fault == 1, -EISDIR);
  tape_allow(&errors, tape_polls(tape), -EOPNOTSUPP);
  int result = sqcq_file_add(tape->engine, fd, &file);
  if (other >= 0)
    close(other);
  tape_say(tape, "file_add of source %u -> %d, file %d", source, result, place);
  if (tape_worked(tape, &errors, result, "file_add"))
    tape_file_added(tape, place, file, source);
  else
    tape_check(tape, file.id == 77, "refused, and *file has changed");
}

static inline void tape_file_open(struct tape *tape, const uint32_t r[4])
{
  uint32_t source = r[0] % (TAPE_SOURCES - TAPE_PIPES);
  uint32_t fault = r[1] % 24; /* 0 to 3: one of them */
  int place = tape_file_place(tape);
  int flags = fault == 0 ? O_RDWR : fault == 1 ? O_RDONLY | O_CREAT : O_RDONLY;
  bool direct = tape_polls(tape) && r[2] % 4 > 0;
  struct tape_errors errors = {.count = 0};
  sqcq_file file = {.id = 77};
  char path[PATH_MAX + 16];

  if (place < 0)
    return;
  tape_allow(&errors, fault < 2, -EINVAL);
  tape_allow(&errors, fault == 2, -ENOENT);
  tape_allow(&errors, fault == 3, -EISDIR);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  tape_allow(&errors, tape_free_files(tape) == 0, -ENOSPC);
  snprintf(path, sizeof(path), "%s/%s%u", tape->dir->path, fault == 2 ? "missing" : "file", source);
  tape_allow(&errors, tape_polls(tape) && !direct, -EOPNOTSUPP);
  int result = sqcq_file_open(tape->engine, AT_FDCWD, fault == 3 ? tape->dir->path : path,
                              flags | (direct ? O_DIRECT : 0), &file);
  tape_allow(&errors, direct && result == -EINVAL, -EINVAL); /* a file system without */
  tape_say(tape, "file_open of source %u -> %d, file %d", source, result, place);
  if (tape_worked(tape, &errors, result, "file_open"))
    tape_file_added(tape, place, file, source);
  else
    tape_check(tape, file.id == 77, "refused, and *file has changed");
}

static inline void tape_file_remove(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_file(tape, r[0]);
  uint32_t mode = r[1] % 16 == 0 ? 3 : r[2] % 3;
  struct tape_errors errors = {.count = 0};
  sqcq_file handle = {.id = at < 0 ? 0 : tape->files[at].handle.id};

  tape_allow(&errors, mode == 3, -EINVAL);
  tape_allow(&errors, at < 0 || tape->files[at].state != TAPE_OPEN, -EBADF);
  if (r[1] % 16 == 1 && at >= 0) {
    handle.id = tape_foreign(tape, handle.id);
    tape_allow(&errors, true, -EINVAL);
  }
  int result = sqcq_file_remove(tape->engine, handle, mode);
  tape_say(tape, "file_remove %d, mode %u -> %d", at, mode, result);
  if (!tape_worked(tape, &errors, result, "file_remove"))
    return;
  tape->files[at].state = TAPE_CLOSED;
  tape->files_late += tape_stopped(tape);
  tape->files[at].cancels =
      mode == SQCQ_REMOVE_CANCEL ||
      (mode == SQCQ_REMOVE_DEFAULT && tape->sources[tape->files[at].source].pipe);
}

/* ------------------------------------------------------------------------- */
/* Buffers and pools                                                         */
/* ------------------------------------------------------------------------- */

static inline void tape_new_buffer(struct tape *tape, sqcq_buffer handle, int pool, uint32_t wrap)
{
  int place = tape_buffer_place(tape);
  unsigned char *memory = sqcq_buffer_data(tape->engine, handle);
  uint32_t size = (uint32_t)sqcq_buffer_size(tape->engine, handle);

  tape_check(tape, place >= 0, "the model has no room for one more buffer");
  tape_check(tape, memory != NULL, "a new buffer has no memory");
  for (uint32_t i = 0; i < TAPE_BUFFERS; i++) {
    const struct tape_buffer *other = &tape->buffers[i];

    if (other->used && other->owner != TAPE_STALE)
      tape_check(tape, memory + size <= other->memory || other->memory + other->size <= memory,
                 "buffers %d and %u overlap", place, i);
  }
  tape->buffers[place] = (struct tape_buffer){.used = true,
                                              .owner = TAPE_OWNED,
                                              .handle = handle,
                                              .pool = pool,
                                              .wrap = wrap,
                                              .memory = memory,
                                              .size = size};
}

static inline void tape_acquire(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_pool(tape, r[0]);
  const struct tape_pool *pool = at < 0 ? NULL : &tape->pools[at];
  bool open = pool != NULL && pool->state == TAPE_OPEN;
  uint32_t count = r[1] % 4, room = open ? pool->count - pool->out : 0;
  sqcq_buffer got[4];
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, count == 0, -EINVAL);
  tape_allow(&errors, !open, -ESTALE);
  tape_allow(&errors, open && room == 0, -ENOBUFS);
  int n =
      sqcq_buffer_acquire(tape->engine, pool == NULL ? (sqcq_pool){0} : pool->handle, got, count);
  tape_say(tape, "acquire %u of pool %d -> %d", count, at, n);
  if (!tape_worked(tape, &errors, n, "acquire")) {
    tape->refused[SQCQ__REFUSED_NO_BUFFERS] += n == -ENOBUFS;
    return;
  }
  tape_check(tape, n == (int)(count < room ? count : room), "%d of %u acquired, %u are free", n,
             count, room);
  tape->pools[at].out += (uint32_t)n;
  for (int i = 0; i < n; i++) {
    tape_new_buffer(tape, got[i], at, 0);
    tape_check(tape, sqcq_buffer_size(tape->engine, got[i]) == pool->size, "size");
    tape_check(tape,
               (uintptr_t)sqcq_buffer_data(tape->engine, got[i]) %
                       (pool->align == 0 ? 4096 : pool->align) ==
                   0,
               "alignment");
  }
}

/* A buffer goes back, or out of the engine. */
static inline void tape_buffer_gone(struct tape *tape, int at)
{
  struct tape_buffer *buffer = &tape->buffers[at];

  buffer->owner = TAPE_STALE;
  if (buffer->pool < 0)
    tape->wraps[buffer->wrap] = false;
  else
    tape->pools[buffer->pool].out--;
}

static inline void tape_release(struct tape *tape, const uint32_t r[4])
{
  uint32_t count = r[0] % 4, good = 0;
  int at[4];
  sqcq_buffer handles[4] = {{0}};
  struct tape_errors errors = {.count = 0};

  for (uint32_t i = 0; i < count; i++) {
    at[i] = tape_pick_buffer(tape, (r[1] + i * (r[2] % 3)) | (r[3] << i & 0xff0000u));
    handles[i].id = at[i] < 0 ? 0 : tape->buffers[at[i]].handle.id;
  }
  tape_allow(&errors, count == 0, -EINVAL);
  for (; good < count; good++) {
    const struct tape_buffer *buffer = at[good] < 0 ? NULL : &tape->buffers[at[good]];

    errors.count = 0;
    tape_allow(&errors, buffer == NULL || buffer->owner == TAPE_STALE, -ESTALE);
    tape_allow(&errors, buffer != NULL && buffer->owner == TAPE_IN_FLIGHT, -EBUSY);
    tape_allow(&errors, buffer != NULL && buffer->pool < 0, -EINVAL);
    if (errors.count > 0)
      break;
    tape_buffer_gone(tape, at[good]);
  }
  int result = sqcq_buffer_release(tape->engine, handles, count);
  tape_say(tape, "release %u, from buffer %d -> %d", count, count > 0 ? at[0] : -1, result);
  if (good > 0)
    tape_check(tape, result == (int)good, "%d of %u released, model %u", result, count, good);
  else
    (void)tape_worked(tape, &errors, result, "release");
}

static inline void tape_wrap(struct tape *tape, const uint32_t r[4])
{
  uint32_t wrap = r[0] % TAPE_WRAPS;
  size_t size = r[1] % 20 == 0   ? 0
                : r[1] % 20 == 1 ? (size_t)SQCQ_LENGTH_MAX + 1
                                 : 1 + r[2] % TAPE_BUFFER_SIZE;
  sqcq_buffer handle = {.id = 77};
  struct tape_errors errors = {.count = 0};

  if (tape->wraps[wrap])
    return;
  tape_allow(&errors, size == 0 || size > SQCQ_LENGTH_MAX, -EINVAL);
  tape_allow(&errors, tape->stopping, -ESHUTDOWN);
  int result = sqcq_buffer_wrap(tape->engine, tape_wrap_memory[wrap], size, &handle);
  tape_say(tape, "wrap %u, %u bytes -> %d", wrap, (unsigned)size, result);
  /* Which places are left depends on what pools have kept. */
  tape_allow(&errors, result == -ENOSPC && !tape->fresh, -ENOSPC);
  if (!tape_worked(tape, &errors, result, "wrap")) {
    tape_check(tape, handle.id == 77, "refused, and *buffer has changed");
    return;
  }
  tape->fresh = false;
  tape->wraps[wrap] = true;
  tape_new_buffer(tape, handle, -1, wrap);
  tape_check(tape, sqcq_buffer_data(tape->engine, handle) == tape_wrap_memory[wrap], "memory");
  tape_check(tape, sqcq_buffer_size(tape->engine, handle) == size, "size");
}

static inline void tape_unwrap(struct tape *tape, const uint32_t r[4])
{
  int at = tape_pick_buffer(tape, r[0]);
  const struct tape_buffer *buffer = at < 0 ? NULL : &tape->buffers[at];
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, buffer == NULL || buffer->owner == TAPE_STALE, -ESTALE);
  tape_allow(&errors, buffer != NULL && buffer->owner == TAPE_IN_FLIGHT, -EBUSY);
  tape_allow(&errors, buffer != NULL && buffer->pool >= 0, -EINVAL);
  int result = sqcq_buffer_unwrap(tape->engine, buffer == NULL ? (sqcq_buffer){0} : buffer->handle);
  tape_say(tape, "unwrap %d -> %d", at, result);
  if (tape_worked(tape, &errors, result, "unwrap"))
    tape_buffer_gone(tape, at);
}

#endif
