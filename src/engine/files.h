/*
 * Files: handles, descriptors, and the kernel's file table. Doorway P -> I.
 *
 * The shared half of a file is written when it is added and read by everybody; the I/O thread's
 * half lies in another array, so that counting reads does not take the line away from producers.
 * Only the I/O thread counts reads in flight: reads of one file by many producers share no atomic.
 *
 *   pair(file)    the adder's store of the word (release: fd and flags are written) before a
 *   reader's
 *                 load of it (acquire).
 *   pair(remove)  the remover's push to the stack (release) before the I/O thread's taking of the
 *   stack (acquire).
 *                 A request accepted before the removal is in a lane by then, and the I/O thread
 *                 drains the lanes between taking the stack and acting on it.
 *
 *   FREE -> OPEN (add) -> REMOVING (remove) -> FREE (I/O thread: last read done, descriptor closed)
 */
#ifndef SQCQ_ENGINE_FILES_H
#define SQCQ_ENGINE_FILES_H

#include "base/atomics.h"
#include "base/freelist.h"
#include "base/handle.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum sqcq__file_state {
  SQCQ__FILE_FREE,
  SQCQ__FILE_OPEN,
  SQCQ__FILE_REMOVING
};

#define SQCQ__FILE_STORED (1u << 0) /* regular or block device: may go into the kernel's table */
#define SQCQ__FILE_SMALL (1u << 1)  /* regular, and so small when added that closing it is quick */

struct sqcq__file {
  _Atomic uint64_t word; /* W: P, I; generation | enum sqcq__file_state; pair(file) */
  int32_t fd;            /* W: the adder; pair(file) */
  uint32_t flags;        /* W: the adder; SQCQ__FILE_*; pair(file) */
  _Atomic uint32_t link; /* of the free list, or of the remove stack: never in both */
  uint32_t remove_mode;  /* W: the remover; R: I; pair(remove) */
};

/* The I/O thread's half. */
struct sqcq__file_io {
  uint32_t refs;  /* requests in the table that name it */
  uint32_t reads; /* since it was added, up to when it got a slot */
  int32_t slot;   /* of the kernel's table; -1: none; -2: refused, not tried again */
  uint32_t next;  /* in the list of descriptors to close: index + 1 */
  bool retiring;  /* its removal has been acted upon */
  bool closing;   /* the close of its descriptor is in the kernel */
};

struct sqcq__files {
  struct sqcq__file *files; /* constant */
  uint32_t count;           /* constant */
  uint32_t tag;             /* constant */
  bool direct_only;         /* constant: an IOPOLL engine */
  _Alignas(SQCQ_CACHELINE) struct sqcq__freelist free;
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t removed; /* top of the remove stack: index + 1 */
  /* I from here on. */
  _Alignas(SQCQ_CACHELINE) struct sqcq__file_io *io;
  int32_t *slots; /* free slots of the kernel's table, a stack */
  uint32_t slot_count;
  uint32_t to_close; /* list of files to close: index + 1 */
};

int sqcq__files_init(struct sqcq__files *files, uint32_t count, uint32_t tag, bool direct_only);
/* Closes what is still open. */
void sqcq__files_fini(struct sqcq__files *files);
/* S: the kernel has a table of this many slots. 0 or -ENOMEM. */
int sqcq__files_set_slots(struct sqcq__files *files, uint32_t slots);

/* P: add a descriptor that is ours from now on, also where this refuses (then it is closed). */
int sqcq__files_add(struct sqcq__files *files, int fd, uint64_t *handle);
/* P: 0, -EBADF or -EINVAL. Post the control bit afterwards. */
int sqcq__files_remove(struct sqcq__files *files, uint64_t handle, uint32_t mode);

/* P: early advice whether a handle is good: 0, -EBADF or -EINVAL. */
static inline int sqcq__files_check(const struct sqcq__files *files, uint64_t handle)
{
  int error = sqcq__handle_check(handle, files->tag, files->count, -EBADF);
  if (error < 0)
    return error;
  /* pair(file) acquire */
  return sqcq__load_acquire(&files->files[sqcq__handle_index(handle)].word) ==
                 sqcq__word(sqcq__handle_generation(handle), SQCQ__FILE_OPEN)
             ? 0
             : -EBADF;
}

/* I: the decision: whether a request that names this file may still be read. */
static inline bool sqcq__files_readable(const struct sqcq__files *files, uint64_t handle)
{
  uint32_t index = sqcq__handle_index(handle);
  uint64_t word = sqcq__load_acquire(&files->files[index].word); /* pair(file) acquire */

  return sqcq__word_generation(word) == sqcq__handle_generation(handle) &&
         sqcq__word_state(word) != SQCQ__FILE_FREE && !files->io[index].retiring;
}

/* I: the whole remove stack: index + 1 of its top; follow with sqcq__files_removed_next. */
static inline uint32_t sqcq__files_take_removed(struct sqcq__files *files)
{
  return sqcq__swap_acquire(&files->removed, 0); /* pair(remove) acquire */
}

static inline uint32_t sqcq__files_removed_next(const struct sqcq__files *files, uint32_t index)
{
  return sqcq__load_relaxed(&files->files[index].link); /* relaxed: written before the push */
}

/* I: the descriptor is closed: the index is free again. */
void sqcq__files_recycle(struct sqcq__files *files, uint32_t index);

#endif
