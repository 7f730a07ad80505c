/*
 * Two threads that run at once, for programs with a planted fault. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_PAIR_H
#define SQCQ_TESTS_TSAN_PAIR_H

#include <pthread.h>
#include <stdlib.h>

static inline void pair_run(void *(*one)(void *), void *(*other)(void *))
{
  pthread_t threads[2];

  if (pthread_create(&threads[0], NULL, one, NULL) != 0 ||
      pthread_create(&threads[1], NULL, other, NULL) != 0)
    abort();
  (void)pthread_join(threads[0], NULL);
  (void)pthread_join(threads[1], NULL);
}

#endif
