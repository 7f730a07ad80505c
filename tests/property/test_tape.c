/* sqcq-test: simulated */
/* sqcq-test: timeout 120 */
/*
 * Random tapes of calls against a model, on random simulated kernels. See tape.h.
 *
 * SQCQ_SEED   the first tape; each further one has the next number
 * SQCQ_STEPS  how many steps in all, at least; the tape that is running then is played to its end
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tape_shrink.h"

#include "support/test.h"

#include <sched.h>
#include <time.h>

/* About ten seconds where nothing slows it down. */
#if defined(SQCQ__TSAN) || defined(SQCQ__ASAN)
#define STEPS_DEFAULT 100000u
#else
#define STEPS_DEFAULT 1000000u
#endif

int64_t tape_clock_ns;
int tape_cpu;
unsigned char tape_wrap_memory[TAPE_WRAPS][TAPE_BUFFER_SIZE];

/* The program's own in place of the C library's, for the library under test too: nothing that a
 * tape does depends on when and where it is played. A look at the clock takes a microsecond. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
  (void)clock;
  tape_clock_ns += 1000;
  now->tv_sec = (time_t)(tape_clock_ns / 1000000000);
  now->tv_nsec = (long)(tape_clock_ns % 1000000000);
  return 0;
}

int sched_getcpu(void)
{
  return tape_cpu;
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
  const char *text = getenv(name);

  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static void play_many(struct tape_shared *shared, const struct temp_dir *dir, uint64_t seed,
                      uint64_t steps_max)
{
  static struct tape_step steps[TAPE_STEPS_MAX];

  do {
    uint32_t count = tape_make(seed, steps);

    alarm(TAPE_HANGS_AFTER_S); /* a tape takes milliseconds */
    tape_run(shared, dir, seed, steps, count, false);
    seed++;
  } while (shared->steps < steps_max);
}

static void random_tapes_agree_with_the_model(void **state)
{
  const struct temp_dir *dir = *state;
  uint64_t seed = rng_seed_from_env(0x5c9c);
  uint64_t steps_max = number_from_env("SQCQ_STEPS", STEPS_DEFAULT);
  struct tape_shared *shared = tape_share();

  tape_make_files(dir);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    play_many(shared, dir, seed, steps_max);
    exit(0);
  }
  int status = tape_await(child);
  printf("%llu steps, last tape %#llx\n", (unsigned long long)shared->steps,
         (unsigned long long)shared->seed);
  if (status != 0) {
    tape_report(shared, dir);
    fail_msg("tape %#llx: status %#x", (unsigned long long)shared->seed, (unsigned)status);
  }
  munmap(shared, sizeof(*shared));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(random_tapes_agree_with_the_model, temp_setup, temp_teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
