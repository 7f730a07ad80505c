/*
 * See temp.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/temp.h"

#include "support/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void give_up(const char *what, const char *name)
{
  fprintf(stderr, "temp: %s %s: %s\n", what, name, strerror(errno));
  exit(1);
}

void temp_dir_make(struct temp_dir *dir)
{
  const char *parent = getenv("TMPDIR");

  if (parent == NULL || *parent == '\0')
    parent = "/tmp";
  int length = snprintf(dir->path, sizeof(dir->path), "%s/sqcq-XXXXXX", parent);
  if (length < 0 || (size_t)length >= sizeof(dir->path)) {
    errno = ENAMETOOLONG;
    give_up("TMPDIR", parent);
  }
  if (mkdtemp(dir->path) == NULL)
    give_up("mkdtemp", dir->path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
  (void)status;
  (void)type;
  (void)ftw;
  if (remove(path) != 0)
    give_up("remove", path);
  return 0;
}

void temp_dir_remove(struct temp_dir *dir)
{
  if (nftw(dir->path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
    give_up("remove", dir->path);
  dir->path[0] = '\0';
}

int temp_setup(void **state)
{
  struct temp_dir *dir = malloc(sizeof(*dir));

  if (dir == NULL)
    return -1;
  temp_dir_make(dir);
  *state = dir;
  return 0;
}

int temp_teardown(void **state)
{
  struct temp_dir *dir = *state;

  temp_dir_remove(dir);
  free(dir);
  *state = NULL;
  return 0;
}

char *temp_path(const struct temp_dir *dir, const char *name)
{
  size_t size = strlen(dir->path) + strlen(name) + 2;
  char *path = malloc(size);

  if (path == NULL)
    give_up("malloc", name);
  snprintf(path, size, "%s/%s", dir->path, name);
  return path;
}

static int create_file(const struct temp_dir *dir, const char *name)
{
  char *path = temp_path(dir, name);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    give_up("create", path);
  free(path);
  return fd;
}

static void write_all(int fd, const void *data, size_t size, const char *name)
{
  const char *at = data;

  while (size > 0) {
    ssize_t n = write(fd, at, size);

    if (n < 0 && errno != EINTR)
      give_up("write", name);
    if (n > 0) {
      at += n;
      size -= (size_t)n;
    }
  }
}

int temp_file(const struct temp_dir *dir, const char *name, const void *data, size_t size)
{
  int fd = create_file(dir, name);

  if (data == NULL) {
    if (ftruncate(fd, (off_t)size) != 0)
      give_up("ftruncate", name);
  } else {
    write_all(fd, data, size, name);
    if (lseek(fd, 0, SEEK_SET) != 0)
      give_up("lseek", name);
  }
  return fd;
}

/* ------------------------------------------------------------------------- */
/* Stamped files                                                             */
/* ------------------------------------------------------------------------- */

/* The eight bytes that begin at `word` x 8. */
static uint64_t stamp_word(uint64_t tag, uint64_t word)
{
  uint64_t state = tag * UINT64_C(0xd1342543de82ef95) + word;

  return word % (STAMP_PAGE / 8) == 0 ? word / (STAMP_PAGE / 8) : rng_mix(&state);
}

uint8_t stamp_byte(uint64_t tag, uint64_t offset)
{
  uint64_t word = stamp_word(tag, offset / 8);
  uint8_t bytes[8];

  memcpy(bytes, &word, sizeof(bytes));
  return bytes[offset % 8];
}

uint64_t stamp_index(const void *page)
{
  uint64_t index;

  memcpy(&index, page, sizeof(index));
  return index;
}

int temp_file_stamped(const struct temp_dir *dir, const char *name, uint64_t pages, uint64_t tag)
{
  int fd = create_file(dir, name);
  uint64_t words[STAMP_PAGE / 8];

  for (uint64_t page = 0; page < pages; page++) {
    for (uint64_t i = 0; i < STAMP_PAGE / 8; i++)
      words[i] = stamp_word(tag, page * (STAMP_PAGE / 8) + i);
    write_all(fd, words, sizeof(words), name);
  }
  close(fd);
  char *path = temp_path(dir, name);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    give_up("open", path);
  free(path);
  return fd;
}

bool stamp_matches(const void *data, uint64_t tag, uint64_t offset, size_t length)
{
  const uint8_t *bytes = data;

  for (size_t i = 0; i < length;) {
    uint64_t word = stamp_word(tag, (offset + i) / 8);
    uint64_t from = (offset + i) % 8;
    size_t n = 8 - from < length - i ? 8 - from : length - i;

    if (memcmp(bytes + i, (const char *)&word + from, n) != 0)
      return false;
    i += n;
  }
  return true;
}
