/*
 * Tests in child processes, whose limits and filters die with them. CHILD(function) in the list of
 * tests runs it; it says what is wrong with CHECK(), and skips by _exit(SKIPPED).
 */
#ifndef SQCQ_TESTS_INTEGRATION_CHILD_H
#define SQCQ_TESTS_INTEGRATION_CHILD_H

#include "integration/fixture.h"

#include <stdio.h>
#include <sys/wait.h>

#define SKIPPED 77

/* In a child: cmocka's assertions belong to the parent. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                      \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (0)

/* Run it in a child; whether it ran at all (it may _exit(SKIPPED)). */
static inline bool in_child(void (*function)(void))
{
  int status = 0;

  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    function();
    _exit(0);
  }
  while (waitpid(child, &status, 0) < 0)
    assert_int_equal(errno, EINTR);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == SKIPPED)
    return false;
  assert_int_equal(WEXITSTATUS(status), 0);
  return true;
}

static inline void run_in_child(void **state)
{
  void (*function)(void);

  memcpy(&function, state, sizeof(function));
  if (!in_child(function))
    skip();
}

#define CHILD(function)                                                                            \
  {                                                                                                \
#function, run_in_child, NULL, NULL, (void *)(function)                                        \
  }

/* Refused, with this error and reason, in words; nothing is left open. */
static inline void expect_refused(const struct sqcq_engine_config *config, int error,
                                  uint32_t reason, struct sqcq_explanation *why)
{
  static struct fds before;
  struct sqcq_engine *engine = NULL;

  fds_look(&before);
  memset(why, 0xee, sizeof(*why));
  int got = sqcq_engine_create(&engine, config, why);
  if (got != error || why->reason != reason)
    fprintf(stderr, "%d (%s), reason %u: %s\n", got, sqcq_strerror(got), why->reason, why->text);
  CHECK(got == error);
  CHECK(why->error == error);
  CHECK(why->reason == reason);
  CHECK(memchr(why->text, '\0', sizeof(why->text)) != NULL);
  CHECK(strlen(why->text) > 10);
  CHECK(strchr(why->text, '\n') == NULL);
  CHECK(engine == NULL);
  CHECK(sqcq_engine_create(&engine, config, NULL) == error);
  CHECK(engine == NULL);
  CHECK(fds_same(&before));
}

#endif
