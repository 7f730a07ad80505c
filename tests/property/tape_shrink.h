/*
 * Runs in child processes, so that whatever ends one (a check, an assertion of the library or of
 * the simulated ring, a signal) is a failure that can be told and tried again; and a failing tape
 * made short.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_SHRINK_H
#define SQCQ_TESTS_PROPERTY_TAPE_SHRINK_H

#include "tape_file.h"
#include "tape_run.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define TAPE_TRIES_MAX 1500u
#define TAPE_HANGS_AFTER_S 20u

static inline struct tape_shared *tape_share(void)
{
  void *memory = mmap(NULL, sizeof(struct tape_shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return memory;
}

/* The child's end: 0 where all is well, else what wait says. */
static inline int tape_await(pid_t child)
{
  int status = 1;

  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  return status;
}

/* One tape in a child. Whether it fails. */
static inline bool tape_fails(struct tape_shared *shared, const struct temp_dir *dir, uint64_t seed,
                              const struct tape_step *steps, uint32_t count, bool verbose)
{
  fflush(NULL);
  shared->text[0] = '\0';
  pid_t child = fork();
  if (child == 0) {
    if (!verbose) {
      int null = open("/dev/null", O_WRONLY);

      (void)dup2(null, 1);
      (void)dup2(null, 2);
    }
    alarm(TAPE_HANGS_AFTER_S);
    tape_run(shared, dir, seed, steps, count, verbose);
    tape_actor_end();
    fflush(NULL);
    _exit(0);
  }
  return tape_await(child) != 0;
}

/* Drop parts of it, large ones first, as long as it fails without. Returns how many are left. */
static inline uint32_t tape_shrink(struct tape_shared *shared, const struct temp_dir *dir,
                                   uint64_t seed, struct tape_step *steps, uint32_t count)
{
  static struct tape_step tried[TAPE_STEPS_MAX];
  uint32_t tries = 0;

  for (uint32_t part = count / 2; part > 0 && tries < TAPE_TRIES_MAX;) {
    bool dropped = false;

    for (uint32_t at = 0; at + part <= count && tries < TAPE_TRIES_MAX; tries++) {
      memcpy(tried, steps, at * sizeof(*steps));
      memcpy(tried + at, steps + at + part, (count - at - part) * sizeof(*steps));
      if (tape_fails(shared, dir, seed, tried, count - part, false)) {
        count -= part;
        memcpy(steps, tried, count * sizeof(*steps));
        dropped = true;
      } else {
        at += part;
      }
    }
    if (!dropped || part > count)
      part = part > 1 ? part / 2 : 0;
  }
  return count;
}

/* A tape has failed: print what is needed to go on from here, and write what is left of it. */
static inline void tape_report(struct tape_shared *shared, const struct temp_dir *dir,
                               struct tape_step *steps, uint32_t count)
{
  uint64_t seed = shared->seed;
  char path[64];

  printf("tape %#llx, kernel %s, failed at step %u of %u: %s\n", (unsigned long long)seed,
         sim_kernel_version(shared->kernel), shared->step, count,
         shared->text[0] != '\0' ? shared->text : "see above");
  if (shared->step + 1 < count && tape_fails(shared, dir, seed, steps, shared->step + 1, false))
    count = shared->step + 1;
  count = tape_shrink(shared, dir, seed, steps, count);
  printf("%u steps of it are enough:\n", count);
  bool again = tape_fails(shared, dir, seed, steps, count, true);
  printf("%s\n", !again                    ? "(and now it does not fail: it does not replay)"
                 : shared->text[0] != '\0' ? shared->text
                                           : "see above");
  snprintf(path, sizeof(path), "%#llx.tape", (unsigned long long)seed);
  if (tape_write_file(path, seed, steps, count))
    printf("these are in %s, for fuzz.replay and tests/fuzz/corpus\n", path);
  fflush(stdout);
}

#endif
