/*
 * What every test includes: cmocka with the headers it wants before it, and checks that say what an
 * errno means.
 *
 * Only the main thread may call cmocka's assertions, and all assert_*() here. Another thread notes
 * what it finds in a struct verdict, and the main thread asks for it after joining.
 */
#ifndef SQCQ_TESTS_SUPPORT_TEST_H
#define SQCQ_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>

/* A call that returns 0, an exact count, or an exact negative errno. */
#define assert_ok(call) test_result((call), 0, #call, __FILE__, __LINE__)
#define assert_count(call, count) test_result((call), (count), #call, __FILE__, __LINE__)
#define assert_error(call, error) test_result((call), (error), #call, __FILE__, __LINE__)

/* A condition that other threads bring about, within a time that is long even under sanitizers. */
#define assert_soon(condition)                                                                     \
  do {                                                                                             \
    int64_t soon_ = test_now_ns() + TEST_SOON_NS;                                                  \
    while (!(condition)) {                                                                         \
      if (test_now_ns() > soon_)                                                                   \
        fail_msg("not within %d s: %s", (int)(TEST_SOON_NS / 1000000000), #condition);             \
      test_sleep_ns(200000);                                                                       \
    }                                                                                              \
  } while (0)
#define TEST_SOON_NS INT64_C(20000000000)

/* function(argument) must end a child process with abort(), and have said `saying` on stderr. */
#define assert_aborts(function, argument, saying)                                                  \
  test_aborts((function), (argument), (saying), #function, __FILE__, __LINE__)

/* The first thing that went wrong in any of the threads that share it. {0} is a good one. */
struct verdict {
  atomic_int state; /* 0: good, 1: being written, 2: bad */
  char text[240];
};

void verdict_fail(struct verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool verdict_is_bad(struct verdict *verdict);

#define verdict_check(verdict, condition)                                                          \
  ((condition) ? (void)0 : verdict_fail((verdict), "%s:%d: %s", __FILE__, __LINE__, #condition))

#define assert_verdict(verdict) test_verdict((verdict), __FILE__, __LINE__)

int64_t test_now_ns(void); /* CLOCK_MONOTONIC */
/* A pause in a loop that waits for something, or that spreads threads over time. No test relies on
 * how long it takes. */
void test_sleep_ns(int64_t ns);

/* Behind the macros. */
void test_result(int64_t got, int64_t wanted, const char *call, const char *file, int line);
void test_aborts(void (*function)(void *), void *argument, const char *saying, const char *name,
                 const char *file, int line);
void test_verdict(struct verdict *verdict, const char *file, int line);

#endif
