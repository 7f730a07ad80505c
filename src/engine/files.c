#include "engine/files.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/point.h"

#include <sqcq/sqcq.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

int sqcq__files_init(struct sqcq__files *files, uint32_t count, uint32_t tag, bool direct_only)
{
  files->count = count;
  files->tag = tag;
  files->direct_only = direct_only;
  files->files = sqcq__mem_new(count, sizeof(*files->files));
  files->io = sqcq__mem_new(count, sizeof(*files->io));
  if (files->files == NULL || files->io == NULL)
    return -ENOMEM;
  sqcq__freelist_init(&files->free, &files->files[0].link, sizeof(files->files[0]));
  for (uint32_t i = count; i-- > 0;) {
    files->io[i].slot = -1;
    sqcq__freelist_put(&files->free, &i, 1);
  }
  return 0;
}

void sqcq__files_fini(struct sqcq__files *files)
{
  /* relaxed: role S, alone */
  for (uint32_t i = 0; files->files != NULL && i < files->count; i++)
    if (sqcq__word_state(sqcq__load_relaxed(&files->files[i].word)) != SQCQ__FILE_FREE)
      (void)close(files->files[i].fd);
  sqcq__mem_free(files->files);
  sqcq__mem_free(files->io);
  sqcq__mem_free(files->slots);
}

int sqcq__files_set_slots(struct sqcq__files *files, uint32_t slots)
{
  files->slots = sqcq__mem_new(slots, sizeof(*files->slots));
  if (files->slots == NULL)
    return -ENOMEM;
  for (uint32_t i = 0; i < slots; i++)
    files->slots[i] = (int32_t)(slots - 1 - i);
  files->slot_count = slots;
  return 0;
}

/* Freeing so much of a deleted file takes no longer than handing that to another thread. */
#define SMALL_BYTES (1 << 20)

/* What kind of descriptor this is: 0 with *flags, or why it cannot be read here. */
static int classify(const struct sqcq__files *files, int fd, uint32_t *flags)
{
  struct stat status;
  int mode = fcntl(fd, F_GETFL);

  if (mode < 0)
    return -errno;
  if ((mode & O_PATH) != 0 || (mode & O_ACCMODE) == O_WRONLY)
    return -EBADF;
  /* Not fstat: ThreadSanitizer would note it, and not see the ring close the descriptor. The next
   * one with its number, another thread's, would seem to be the same, and its close a race. */
  if (fstatat(fd, "", &status, AT_EMPTY_PATH) < 0)
    return -errno;
  if (S_ISDIR(status.st_mode))
    return -EISDIR;
  *flags = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ? SQCQ__FILE_STORED : 0;
  if (S_ISREG(status.st_mode) && status.st_size <= SMALL_BYTES)
    *flags |= SQCQ__FILE_SMALL;
  if (files->direct_only && (*flags == 0 || (mode & O_DIRECT) == 0))
    return -EOPNOTSUPP;
  return 0;
}

int sqcq__files_add(struct sqcq__files *files, int fd, uint64_t *handle)
{
  uint32_t flags = 0, index = 0;
  int error = classify(files, fd, &flags);

  if (error == 0 && sqcq__freelist_take(&files->free, &index, 1) == 0)
    error = -ENOSPC;
  if (error < 0) {
    (void)close(fd);
    return error;
  }
  struct sqcq__file *file = &files->files[index];
  file->fd = fd;
  file->flags = flags;
  /* relaxed: the index is ours alone since the free list gave it */
  uint32_t generation =
      sqcq__generation_after(sqcq__word_generation(sqcq__load_relaxed(&file->word)));
  sqcq__store_release(&file->word,
                      sqcq__word(generation, SQCQ__FILE_OPEN)); /* pair(file) release */
  *handle = sqcq__handle(generation, index, files->tag);
  return 0;
}

int sqcq__files_remove(struct sqcq__files *files, uint64_t handle, uint32_t mode)
{
  int error = sqcq__files_check(files, handle);

  if (error < 0)
    return error;
  uint32_t index = sqcq__handle_index(handle);
  struct sqcq__file *file = &files->files[index];
  uint64_t open = sqcq__word(sqcq__handle_generation(handle), SQCQ__FILE_OPEN);
  /* Whoever wins this step is the one remover. */
  if (!sqcq__cas_acq_rel(&file->word, &open,
                         sqcq__word(sqcq__handle_generation(handle), SQCQ__FILE_REMOVING)))
    return -EBADF;
  SQCQ_POINT(FILE_REMOVING);
  if (mode == SQCQ_REMOVE_DEFAULT)
    mode = (file->flags & SQCQ__FILE_STORED) != 0 ? SQCQ_REMOVE_DRAIN : SQCQ_REMOVE_CANCEL;
  file->remove_mode = mode;
  uint32_t top = sqcq__load_relaxed(&files->removed); /* relaxed: the CAS checks it */
  do
    sqcq__store_relaxed(&file->link, top);                      /* relaxed: published by the CAS */
  while (!sqcq__cas_release(&files->removed, &top, index + 1)); /* pair(remove) release */
  return 0;
}

void sqcq__files_recycle(struct sqcq__files *files, uint32_t index)
{
  struct sqcq__file *file = &files->files[index];
  uint64_t word = sqcq__load_relaxed(&file->word); /* relaxed: only we write it now */

  SQCQ_ASSERT(sqcq__word_state(word) == SQCQ__FILE_REMOVING && files->io[index].refs == 0);
  files->io[index] = (struct sqcq__file_io){.slot = -1};
  file->fd = -1;
  sqcq__store_release(&file->word, sqcq__word(sqcq__word_generation(word), SQCQ__FILE_FREE));
  sqcq__freelist_put(&files->free, &index, 1);
}
