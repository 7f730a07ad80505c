/*
 * Planted: a file's word is published without release. Whoever checks a handle may see another file's
 * descriptor.
 * ThreadSanitizer has to say so.
 */
#include "engine/files.h"

#include "tsan/pair.h"

#include <sched.h>
#include <stdio.h>

#define TAG 7u
#define LOOKS 200u

static struct sqcq__files files;
static _Atomic uint64_t newest; /* relaxed, both: so may an application pass a handle on */
static _Atomic uint32_t looks;

static void *add(void *arg)
{
  for (uint32_t generation = 1; sqcq__load_relaxed(&looks) < LOOKS; generation++) {
    struct sqcq__file *file = &files.files[0];

    file->fd = (int32_t)generation;
    file->flags = SQCQ__FILE_STORED;
    /* should be release */
    sqcq__store_relaxed(&file->word, sqcq__word(generation, SQCQ__FILE_OPEN));
    sqcq__store_relaxed(&newest, sqcq__handle(generation, 0, TAG));
    (void)sched_yield();
  }
  return arg;
}

static void *look(void *arg)
{
  uint64_t sum = 0;

  while (sqcq__load_relaxed(&looks) < LOOKS) {
    if (sqcq__files_check(&files, sqcq__load_relaxed(&newest)) == 0) {
      sum += (uint64_t)files.files[0].fd;
      sqcq__add_relaxed(&looks, 1);
    }
    (void)sched_yield();
  }
  printf("%llu\n", (unsigned long long)sum);
  return arg;
}

int main(void)
{
  if (sqcq__files_init(&files, 1, TAG, false) != 0)
    return 1;
  pair_run(add, look);
  sqcq__store_relaxed(&files.files[0].word, 0); /* nothing to close */
  sqcq__files_fini(&files);
  return 0;
}
