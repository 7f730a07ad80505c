/*
 * See kernel.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/kernel.h"

#include <liburing.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SKIPPED 77

void test_skip(const char *why, ...)
{
  va_list arguments;

  fputs("SKIP: ", stdout);
  va_start(arguments, why);
  vprintf(why, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(NULL);
  exit(SKIPPED);
}

static void *end_with_it(void *mutex)
{
  (void)pthread_mutex_lock(mutex);
  return NULL;
}

void require_robust_mutexes(void)
{
  pthread_mutexattr_t attributes;
  pthread_mutex_t mutex;
  pthread_t thread;

  (void)pthread_mutexattr_init(&attributes);
  (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  (void)pthread_mutex_init(&mutex, &attributes);
  if (pthread_create(&thread, NULL, end_with_it, &mutex) == 0)
    (void)pthread_join(thread, NULL);
  if (pthread_mutex_trylock(&mutex) != EOWNERDEAD)
    test_skip("nobody tells of a mutex whose owner has ended");
  (void)pthread_mutex_consistent(&mutex);
  (void)pthread_mutex_unlock(&mutex);
  (void)pthread_mutex_destroy(&mutex);
}

int kernel_try_setup(uint32_t setup_flags)
{
  struct io_uring_params params;

  memset(&params, 0, sizeof(params));
  params.flags = setup_flags;
  long fd = syscall(__NR_io_uring_setup, 1, &params);
  if (fd < 0)
    return -errno;
  close((int)fd);
  return 0;
}

void require_io_uring(void)
{
  int error = kernel_try_setup(0);

  switch (error) {
  case 0:
    return;
  case -ENOSYS:
    test_skip("no io_uring here: this kernel has none, or a seccomp filter hides it (ENOSYS)");
  case -EPERM:
    test_skip(
        "no io_uring here: forbidden by kernel.io_uring_disabled or a seccomp filter (EPERM)");
  default:
    test_skip("no io_uring here: %s", strerror(-error));
  }
}

void require_root(void)
{
  if (geteuid() != 0)
    test_skip("only for root");
}

void require_setup(uint32_t setup_flags, const char *name)
{
  require_io_uring();
  int error = kernel_try_setup(setup_flags);
  if (error != 0)
    test_skip("this kernel has no %s: %s", name, strerror(-error));
}

unsigned kernel_version(void)
{
  struct utsname names;
  unsigned major = 0;
  unsigned minor = 0;

  if (uname(&names) != 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2)
    return 0;
  return major * 1000 + minor;
}
