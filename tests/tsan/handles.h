/*
 * A thread that opens one file after another, each in a place of its own, and one that checks the newest handle
 * and looks at what it means, by engine/files.h as it is, but for what a planted fault has redefined before.
 * Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_HANDLES_H
#define SQCQ_TESTS_TSAN_HANDLES_H

#include "engine/files.h"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>

#define TAG 7u
#define FILES 4096u

#ifndef OPEN_FILE
#define OPEN_FILE sqcq__store_release
#endif

static struct sqcq__files files;
static _Atomic uint64_t newest; /* relaxed, both: so may an application pass a handle on */
static _Atomic uint32_t looks;

static void *add(void *arg)
{
  for (uint32_t i = 0; i < FILES; i++) {
    files.files[i].fd = (int32_t)i;
    files.files[i].flags = SQCQ__FILE_STORED;
    OPEN_FILE(&files.files[i].word, sqcq__word(1, SQCQ__FILE_OPEN)); /* as sqcq__files_add() */
    sqcq__store_relaxed(&newest, sqcq__handle(1, i, TAG));
    while (sqcq__load_relaxed(&looks) < i / 2) /* the other one sees some of them */
      (void)sched_yield();
  }
  return arg;
}

static void *look(void *arg)
{
  uint64_t handle, sum = 0;

  do {
    handle = sqcq__load_relaxed(&newest);
    if (sqcq__files_check(&files, handle) == 0)
      sum += (uint64_t)files.files[sqcq__handle_index(handle)].fd;
    sqcq__add_relaxed(&looks, 1);
  } while (handle != sqcq__handle(1, FILES - 1, TAG));
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  if (sqcq__files_init(&files, FILES, TAG, false) != 0)
    return 1;
  pair_run(add, look);
  for (uint32_t i = 0; i < FILES; i++) /* nothing to close */
    sqcq__store_relaxed(&files.files[i].word, 0);
  sqcq__files_fini(&files);
  return 0;
}

#endif
