/*
 * bench-mkfile PATH MIB   make the file: each 4 KiB page begins with its index (8 bytes, in the
 *                         machine's byte order), the rest is noise. Left alone where it is
 *                         there already with that size and the right last stamp.
 * bench-mkfile -w PATH    read it all into the page cache, say how much of it is there
 * bench-mkfile -d PATH    drop it from the page cache, say how much of it is left there
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u
#define CHUNK (1u << 20)
#define MIB_MAX (1u << 24)

static uint64_t chunk[CHUNK / sizeof(uint64_t)];

static int fail(const char *what)
{
  fprintf(stderr, "bench-mkfile: %s: %s\n", what, strerror(errno));
  return 1;
}

static int usage(void)
{
  fprintf(stderr, "use: bench-mkfile PATH MIB | -w PATH | -d PATH\n");
  return 2;
}

static int say_resident(int fd, size_t bytes)
{
  size_t pages = (bytes + PAGE - 1) / PAGE;
  size_t count = 0;
  unsigned char *resident = malloc(pages);
  void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
  int result = 0;

  if (!resident || memory == MAP_FAILED || mincore(memory, bytes, resident)) {
    result = fail("mincore");
  } else {
    for (size_t i = 0; i < pages; i++)
      count += resident[i] & 1u;
    fprintf(stderr, "bench-mkfile: %zu of %zu pages in the page cache\n", count, pages);
  }
  if (memory != MAP_FAILED)
    munmap(memory, bytes);
  free(resident);
  return result;
}

static int warm(int fd, off_t bytes)
{
  for (int pass = 0; pass < 2; pass++) /* the second one marks the pages as used */
    for (off_t at = 0; at < bytes; at += CHUNK)
      if (pread(fd, chunk, CHUNK, at) < 0)
        return fail("pread");
  return 0;
}

static int warm_or_drop(const char *flag, const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  int error;

  if (fd < 0 || fstat(fd, &st))
    return fail(path);
  if (!strcmp(flag, "-w")) {
    if (warm(fd, st.st_size))
      return 1;
  } else {
    error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (error) {
      errno = error;
      return fail("posix_fadvise");
    }
  }
  return say_resident(fd, (size_t)st.st_size);
}

static int write_chunk(int fd)
{
  const char *at = (const char *)chunk;
  size_t left = CHUNK;

  while (left) {
    ssize_t count = write(fd, at, left);

    if (count < 0)
      return -1;
    at += count;
    left -= (size_t)count;
  }
  return 0;
}

static int make(const char *path, uint64_t bytes)
{
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  uint64_t noise = 88172645463325252u; /* xorshift64 */
  uint64_t page = 0;
  struct stat st;

  if (fd < 0 || fstat(fd, &st))
    return fail(path);
  if ((uint64_t)st.st_size == bytes &&
      pread(fd, chunk, sizeof *chunk, (off_t)(bytes - PAGE)) == sizeof *chunk &&
      chunk[0] == bytes / PAGE - 1)
    return 0;
  if (ftruncate(fd, 0))
    return fail("ftruncate");
  for (uint64_t at = 0; at < bytes; at += CHUNK) {
    for (size_t i = 0; i < CHUNK / sizeof *chunk; i++) {
      noise ^= noise << 13;
      noise ^= noise >> 7;
      noise ^= noise << 17;
      chunk[i] = i % (PAGE / sizeof *chunk) ? noise : page++;
    }
    if (write_chunk(fd))
      return fail("write");
  }
  if (fsync(fd) || close(fd))
    return fail("fsync");
  return 0;
}

int main(int argc, char **argv)
{
  unsigned long long mib;
  char *end;

  if (argc != 3)
    return usage();
  if (!strcmp(argv[1], "-w") || !strcmp(argv[1], "-d"))
    return warm_or_drop(argv[1], argv[2]);
  mib = strtoull(argv[2], &end, 10);
  if (argv[1][0] == '-' || *end || end == argv[2] || !mib || mib > MIB_MAX)
    return usage();
  return make(argv[1], (uint64_t)mib << 20);
}
