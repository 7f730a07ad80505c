/*
 * Plays tapes that are files, each in a child process: the corpus in every build, and what a fuzzer
 * or test_tape.c has left. The first one that fails is made short and printed, and what is left of
 * it is written to a file. Exit status 1 where any fails.
 *
 *   fuzz.replay FILE-OR-DIR...
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "property/tape_outside.h"
#include "property/tape_shrink.h"

#include <dirent.h>

struct replay {
  struct tape_shared *shared;
  struct temp_dir dir;
  uint32_t files, failed;
};

static void play_file(struct replay *replay, const char *path)
{
  static struct tape_step steps[TAPE_STEPS_MAX];
  uint64_t seed;
  uint32_t count;

  replay->files++;
  if (!tape_read_file(path, &seed, steps, &count)) {
    printf("%s: cannot be read\n", path);
    replay->failed++;
    return;
  }
  if (!tape_fails(replay->shared, &replay->dir, seed, steps, count, false))
    return;
  printf("%s: fails\n", path);
  if (replay->failed++ == 0)
    tape_report(replay->shared, &replay->dir, steps, count);
}

static void play_all(struct replay *replay, const char *path)
{
  struct dirent **entries;
  char name[PATH_MAX];
  int count = scandir(path, &entries, NULL, alphasort);

  if (count < 0) { /* no directory */
    play_file(replay, path);
    return;
  }
  for (int i = 0; i < count; i++) {
    if (entries[i]->d_name[0] != '.') {
      snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
      play_file(replay, name);
    }
    free(entries[i]);
  }
  free(entries);
}

int main(int argc, char **argv)
{
  struct replay replay = {.shared = tape_share()};

  temp_dir_make(&replay.dir);
  tape_make_files(&replay.dir);
  for (int i = 1; i < argc; i++)
    play_all(&replay, argv[i]);
  printf("%u tapes, %llu steps, %u failed\n", replay.files,
         (unsigned long long)replay.shared->steps, replay.failed);
  temp_dir_remove(&replay.dir);
  return replay.failed == 0 && replay.files > 0 ? 0 : 1;
}
