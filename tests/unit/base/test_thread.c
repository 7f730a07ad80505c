/*
 * Numbers of threads: each its own, for good.
 */
#include "base/thread.h"

#include "support/test.h"

#include <pthread.h>

static void *number(void *arg)
{
  uint64_t *numbers = arg;

  numbers[0] = sqcq__thread_self();
  numbers[1] = sqcq__thread_self();
  return NULL;
}

static void self_is_the_same_each_time_and_nobody_elses_ever(void **state)
{
  uint64_t seen[20][2];

  for (int i = 0; i < 20; i++) { /* one after the other: they have the same stack */
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, number, seen[i]), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_not_equal(seen[i][0], 0);
    assert_int_equal(seen[i][0], seen[i][1]);
    assert_int_not_equal(seen[i][0], sqcq__thread_self());
    for (int j = 0; j < i; j++)
      assert_int_not_equal(seen[i][0], seen[j][0]);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(self_is_the_same_each_time_and_nobody_elses_ever),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
