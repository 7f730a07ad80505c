/* sqcq-test: simulated */
/* sqcq-test: timeout 300 */
/*
 * Random tapes of calls against a model, on random simulated kernels. See tape.h.
 *
 * SQCQ_SEED   the first tape; each further one has the next number
 * SQCQ_STEPS  how many steps in all, at least; the tape that is running then is played to its end
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tape_outside.h"
#include "tape_shrink.h"

#include "support/test.h"

/* Half a minute or less where nothing slows it down. Each of the presets that scripts/test runs has
 * tapes of its own, and all of them together more than ten million steps. */
#if defined(SQCQ__TSAN)
#define STEPS_DEFAULT 750000u
#define SEED_DEFAULT 0x35c9cu
#elif defined(SQCQ__ASAN)
#define STEPS_DEFAULT 1500000u
#define SEED_DEFAULT 0x25c9cu
#elif defined(__clang__)
#define STEPS_DEFAULT 4000000u
#define SEED_DEFAULT 0x15c9cu
#else
#define STEPS_DEFAULT 4000000u
#define SEED_DEFAULT 0x5c9cu
#endif

/* With so many tapes none of what follows can be missing by chance. */
#define STEPS_MANY 50000u

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
  tape_actor_end();
}

/* Every kernel and every kind of step was played. */
static void check_played(const struct tape_shared *shared)
{
  printf("%llu steps, last tape %#llx, %llu takeovers, %llu rings lost; tapes by kernel:",
         (unsigned long long)shared->steps, (unsigned long long)shared->seed,
         (unsigned long long)shared->takeovers, (unsigned long long)shared->lost);
  for (uint32_t i = 0; i < SIM_KERNELS; i++)
    printf(" %s: %llu", sim_kernel_version(i), (unsigned long long)shared->tapes[i]);
  putchar('\n');
  if (shared->steps < STEPS_MANY)
    return;
  for (uint32_t i = 0; i < SIM_KERNELS; i++)
    assert_true(shared->tapes[i] > 0);
  for (uint32_t op = 0; op < TAPE_OPS; op++)
    assert_true(shared->played[op] > 0);
  assert_true(shared->takeovers > 0);
  assert_true(shared->lost > 0);
}

static void random_tapes_agree_with_the_model(void **state)
{
  const struct temp_dir *dir = *state;
  uint64_t seed = rng_seed_from_env(SEED_DEFAULT);
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
  if (status != 0) {
    static struct tape_step steps[TAPE_STEPS_MAX];
    uint64_t failed = shared->seed;

    printf("run it again with SQCQ_SEED=%#llx SQCQ_STEPS=1\n", (unsigned long long)failed);
    tape_report(shared, dir, steps, tape_make(failed, steps));
    fail_msg("tape %#llx: status %#x", (unsigned long long)shared->seed, (unsigned)status);
  }
  check_played(shared);
  munmap(shared, sizeof(*shared));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(random_tapes_agree_with_the_model, temp_setup, temp_teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
