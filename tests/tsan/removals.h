/*
 * A thread that removes files, and the I/O thread that takes them, by engine/files.c as it is, but for what a
 * planted fault has redefined before. Without the control bit, which would order the two by itself: the bit of one
 * remover may bring another one's file along. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_REMOVALS_H
#define SQCQ_TESTS_TSAN_REMOVALS_H

#include "engine/files.c"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define FILES 200u

static struct sqcq__files files;
static uint64_t handles[FILES];

static void *remove_all(void *arg)
{
  for (uint32_t i = 0; i < FILES; i++) {
    if (sqcq__files_remove(&files, handles[i], SQCQ_REMOVE_CANCEL) != 0)
      abort();
    (void)sched_yield();
  }
  return arg;
}

static void *take_all(void *arg)
{
  uint64_t sum = 0;

  for (uint32_t taken = 0; taken < FILES; (void)sched_yield()) {
    uint32_t top = sqcq__files_take_removed(&files);

    for (; top != 0; top = sqcq__files_removed_next(&files, top - 1), taken++)
      sum += files.files[top - 1].remove_mode;
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  if (sqcq__files_init(&files, FILES, 1, false) != 0)
    return 1;
  for (uint32_t i = 0; i < FILES; i++)
    if (sqcq__files_add(&files, eventfd(0, EFD_CLOEXEC), &handles[i]) != 0)
      return 1;
  pair_run(remove_all, take_all);
  sqcq__files_fini(&files);
  return 0;
}

#endif
