/*
 * See test.h.
 */
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static void describe(char *text, size_t size, int64_t result)
{
  if (result < 0 && result > -4096)
    snprintf(text, size, "%lld (%s)", (long long)result, strerror((int)-result));
  else
    snprintf(text, size, "%lld", (long long)result);
}

void test_result(int64_t got, int64_t wanted, const char *call, const char *file, int line)
{
  char got_text[128];
  char wanted_text[128];

  if (got == wanted)
    return;
  describe(got_text, sizeof(got_text), got);
  describe(wanted_text, sizeof(wanted_text), wanted);
  print_error("%s\n  is %s\n  should be %s\n", call, got_text, wanted_text);
  _fail(file, line);
}

/* ------------------------------------------------------------------------- */
/* Programs that end                                                         */
/* ------------------------------------------------------------------------- */

/* Read all that the child says. */
static void collect(int fd, char *text, size_t size)
{
  size_t length = 0;
  char rest[256];
  ssize_t n;

  do {
    bool full = length + 1 >= size;

    n = read(fd, full ? rest : text + length, full ? sizeof(rest) : size - 1 - length);
    if (n > 0 && !full)
      length += (size_t)n;
  } while (n > 0 || (n < 0 && errno == EINTR));
  text[length] = '\0';
}

void test_aborts(void (*function)(void *), void *argument, const char *saying, const char *name,
                 const char *file, int line)
{
  char text[4096];
  int ends[2];
  int status;

  fflush(NULL);
  if (pipe(ends) != 0)
    fail_msg("pipe: %s", strerror(errno));
  pid_t child = fork();
  if (child < 0)
    fail_msg("fork: %s", strerror(errno));
  if (child == 0) {
    struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    function(argument);
    _exit(0);
  }
  close(ends[1]);
  collect(ends[0], text, sizeof(text));
  close(ends[0]);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
    print_error("%s: should abort, ended with status %#x and said:\n%s\n", name, (unsigned)status,
                text);
    _fail(file, line);
  }
  if (strstr(text, saying) == NULL) {
    print_error("%s: aborted, should have said \"%s\", but said:\n%s\n", name, saying, text);
    _fail(file, line);
  }
}

/* ------------------------------------------------------------------------- */
/* Other threads                                                             */
/* ------------------------------------------------------------------------- */

void verdict_fail(struct verdict *verdict, const char *format, ...)
{
  int good = 0;
  va_list arguments;

  if (!atomic_compare_exchange_strong(&verdict->state, &good, 1))
    return;
  va_start(arguments, format);
  vsnprintf(verdict->text, sizeof(verdict->text), format, arguments);
  va_end(arguments);
  atomic_store(&verdict->state, 2);
}

bool verdict_is_bad(struct verdict *verdict)
{
  return atomic_load(&verdict->state) != 0;
}

void test_verdict(struct verdict *verdict, const char *file, int line)
{
  int state = atomic_load(&verdict->state);

  if (state == 0)
    return;
  print_error("another thread: %s\n", state == 2 ? verdict->text : "(still writing)");
  _fail(file, line);
}

int64_t test_now_ns(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

void test_sleep_ns(int64_t ns)
{
  struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

  while (nanosleep(&left, &left) != 0 && errno == EINTR)
    ;
}
