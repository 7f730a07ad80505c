/*
 * What the other tests stand on: random numbers, stamped files, descriptors, checks.
 */
#include "support/fds.h"
#include "support/kernel.h"
#include "support/rng.h"
#include "support/temp.h"
#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void rng_gives_the_same_numbers_for_the_same_seed(void **state)
{
  struct rng a, b, split;
  uint32_t percent = 0;

  (void)state;
  rng_seed(&a, 5);
  rng_seed(&b, 5);
  for (int i = 0; i < 1000; i++) {
    assert_int_equal(rng_next(&a), rng_next(&b));
    assert_in_range(rng_between(&a, 3, 5), 3, 5);
    rng_next(&b);
    percent += rng_percent(&a, 30);
    rng_next(&b);
    assert_false(rng_percent(&a, 0));
    assert_true(rng_percent(&a, 100));
    rng_next(&b);
    rng_next(&b);
  }
  assert_in_range(percent, 230, 370);
  rng_split(&a, &split);
  assert_int_not_equal(rng_next(&a), rng_next(&split));
  assert_int_equal(rng_below(&a, 0), 0);
  /* The reference sequence of splitmix64 for seed 0. */
  uint64_t seed = 0;
  assert_int_equal(rng_mix(&seed), UINT64_C(0xe220a8397b1dcdaf));
}

static void rng_takes_its_seed_from_the_environment(void **state)
{
  const char *set = getenv("SQCQ_SEED");
  char *kept = set != NULL ? strdup(set) : NULL;

  (void)state;
  unsetenv("SQCQ_SEED");
  assert_int_equal(rng_seed_from_env(9), 9);
  setenv("SQCQ_SEED", "0x1f", 1);
  assert_int_equal(rng_seed_from_env(9), 31);
  unsetenv("SQCQ_SEED");
  if (kept != NULL)
    setenv("SQCQ_SEED", kept, 1);
  free(kept);
}

static void stamped_file_tells_where_its_bytes_belong(void **state)
{
  struct temp_dir *dir = *state;
  unsigned char data[2 * STAMP_PAGE];
  int fd = temp_file_stamped(dir, "stamped", 300, 6);

  assert_int_equal(lseek(fd, 0, SEEK_END), 300 * (off_t)STAMP_PAGE);
  assert_int_equal(pread(fd, data, sizeof(data), 257 * (off_t)STAMP_PAGE), sizeof(data));
  assert_int_equal(stamp_index(data), 257);
  assert_int_equal(stamp_index(data + STAMP_PAGE), 258);
  assert_true(stamp_matches(data, 6, 257 * (uint64_t)STAMP_PAGE, sizeof(data)));
  assert_true(stamp_matches(data + 13, 6, 257 * (uint64_t)STAMP_PAGE + 13, 4090));
  for (uint64_t i = 0; i < sizeof(data); i += 7)
    assert_int_equal(stamp_byte(6, 257 * (uint64_t)STAMP_PAGE + i), data[i]);
  assert_false(stamp_matches(data + 13, 6, 257 * (uint64_t)STAMP_PAGE + 14, 4090));
  assert_false(stamp_matches(data + 13, 7, 257 * (uint64_t)STAMP_PAGE + 13, 4090));
  assert_false(stamp_matches(data, 6, 256 * (uint64_t)STAMP_PAGE, 8));
  data[sizeof(data) - 1] ^= 1;
  assert_false(stamp_matches(data, 6, 257 * (uint64_t)STAMP_PAGE, sizeof(data)));
  close(fd);
}

static void temp_dir_goes_with_all_that_is_in_it(void **state)
{
  struct temp_dir dir;

  (void)state;
  temp_dir_make(&dir);
  char *path = temp_path(&dir, "file");
  int fd = temp_file(&dir, "file", "abc", 3);
  char data[4] = "";
  assert_int_equal(read(fd, data, 4), 3);
  assert_string_equal(data, "abc");
  close(fd);
  assert_int_equal(access(path, F_OK), 0);
  temp_dir_remove(&dir);
  assert_int_not_equal(access(path, F_OK), 0);
  free(path);
}

static void fds_sees_what_is_open(void **state)
{
  struct fds before;

  (void)state;
  fds_look(&before);
  assert_true(fds_same(&before));
  int fd = dup(STDOUT_FILENO);
  assert_true(fd >= 0);
  assert_int_equal(fds_count(), before.count + 1);
  assert_false(fds_same(&before)); /* says which on stderr */
  close(fd);
  assert_true(fds_same(&before));
}

static void *find_fault(void *verdict)
{
  verdict_check((struct verdict *)verdict, 1 + 1 == 2);
  verdict_check((struct verdict *)verdict, 1 + 1 == 3);
  verdict_check((struct verdict *)verdict, 1 + 1 == 4);
  return NULL;
}

static void verdict_keeps_the_first_fault(void **state)
{
  struct verdict verdict = {0};
  pthread_t thread;

  (void)state;
  assert_verdict(&verdict);
  assert_ok(pthread_create(&thread, NULL, find_fault, &verdict));
  assert_soon(verdict_is_bad(&verdict));
  assert_ok(pthread_join(thread, NULL));
  assert_non_null(strstr(verdict.text, "1 + 1 == 3"));
}

static void say_and_abort(void *text)
{
  fputs(text, stderr);
  abort();
}

static void aborts_are_seen(void **state)
{
  char text[] = "something is not so\n";

  (void)state;
  assert_aborts(say_and_abort, text, "not so");
}

static void kernel_is_known(void **state)
{
  (void)state;
  assert_true(kernel_version() >= 5010);
  assert_int_not_equal(kernel_try_setup(1u << 31), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rng_gives_the_same_numbers_for_the_same_seed),
      cmocka_unit_test(rng_takes_its_seed_from_the_environment),
      cmocka_unit_test_setup_teardown(stamped_file_tells_where_its_bytes_belong, temp_setup,
                                      temp_teardown),
      cmocka_unit_test(temp_dir_goes_with_all_that_is_in_it),
      cmocka_unit_test(fds_sees_what_is_open),
      cmocka_unit_test(verdict_keeps_the_first_fault),
      cmocka_unit_test(aborts_are_seen),
      cmocka_unit_test(kernel_is_known),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
