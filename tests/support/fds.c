/*
 * See fds.h.
 */
#include "support/fds.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fds_look(struct fds *fds)
{
  DIR *directory = opendir("/proc/self/fd");

  if (directory == NULL) {
    fprintf(stderr, "fds: /proc/self/fd: %s\n", strerror(errno));
    exit(1);
  }
  memset(fds, 0, sizeof(*fds));
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char *end;
    long fd = strtol(entry->d_name, &end, 10);

    if (end == entry->d_name || *end != '\0' || fd == dirfd(directory))
      continue;
    if (fd >= FDS_MAX) {
      fprintf(stderr, "fds: descriptor %ld is beyond what can be looked at\n", fd);
      exit(1);
    }
    fds->open[fd / 64] |= UINT64_C(1) << (fd % 64);
    fds->count++;
  }
  closedir(directory);
}

uint32_t fds_count(void)
{
  struct fds fds;

  fds_look(&fds);
  return fds.count;
}

static void print_fd(long fd, bool more)
{
  char path[64];
  char target[256] = "";

  snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
  ssize_t length = more ? readlink(path, target, sizeof(target) - 1) : 0;
  if (length < 0)
    length = 0;
  target[length] = '\0';
  fprintf(stderr, "fds: %ld %s %s\n", fd, more ? "has been left open:" : "has been closed", target);
}

bool fds_same(const struct fds *before)
{
  struct fds now;

  fds_look(&now);
  bool same = memcmp(before->open, now.open, sizeof(now.open)) == 0;
  for (long fd = 0; fd < FDS_MAX && !same; fd++) {
    bool was = (before->open[fd / 64] >> (fd % 64) & 1) != 0;
    bool is = (now.open[fd / 64] >> (fd % 64) & 1) != 0;

    if (was != is)
      print_fd(fd, is);
  }
  return same;
}
