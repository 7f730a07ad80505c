/*
 * A thread that opens one file after another, each in a place of its own, and one that checks the newest handle
 * and looks at what it means, by engine/files.c as it is, but for what a planted fault has redefined before.
 * Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_HANDLES_H
#define SQCQ_TESTS_TSAN_HANDLES_H

#include "engine/files.c"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TAG 7u
#define FILES 4096u

static struct sqcq__files files;
static _Atomic uint64_t newest; /* relaxed, both: so may an application pass a handle on */
static _Atomic uint32_t looks;
static int fd; /* one for all of them: nobody reads it */

static void *add(void *arg)
{
  uint64_t handle;

  for (uint32_t i = 0; i < FILES; i++) {
    if (sqcq__files_add(&files, fd, &handle) != 0)
      abort();
    sqcq__store_relaxed(&newest, handle);
    while (sqcq__load_relaxed(&looks) < i / 2) /* the other one sees some of them */
      (void)sched_yield();
  }
  return arg;
}

static void *look(void *arg)
{
  uint64_t handle, sum = 0;

  do {
    handle = sqcq__load_relaxed(&newest); /* 0 is none */
    if (sqcq__files_check(&files, handle) == 0)
      sum += (uint64_t)files.files[sqcq__handle_index(handle)].fd;
    sqcq__add_relaxed(&looks, 1);
  } while (handle != sqcq__handle(1, FILES - 1, TAG)); /* the last of the free list */
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0 || sqcq__files_init(&files, FILES, TAG, false) != 0)
    return 1;
  pair_run(add, look);
  for (uint32_t i = 0; i < FILES; i++) /* to be closed once */
    sqcq__store_relaxed(&files.files[i].word, 0);
  sqcq__files_fini(&files);
  return close(fd);
}

#endif
