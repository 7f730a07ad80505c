/* See alloc_count.h. */
#include "alloc_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

static atomic_uint_fast64_t count;

uint64_t alloc_count(void)
{
  return atomic_load_explicit(&count, memory_order_relaxed); /* a statistic */
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__GLIBC__) && !defined(SANITIZED)

/* glibc's own names; free() stays its own. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t members, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *memalign(size_t alignment, size_t bytes);

static void add_one(void)
{
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); /* a statistic */
}

bool alloc_count_works(void)
{
  return true;
}

void *malloc(size_t bytes)
{
  add_one();
  return __libc_malloc(bytes);
}

void *calloc(size_t members, size_t bytes)
{
  add_one();
  return __libc_calloc(members, bytes);
}

void *realloc(void *memory, size_t bytes)
{
  add_one();
  return __libc_realloc(memory, bytes);
}

void *reallocarray(void *memory, size_t members, size_t bytes)
{
  size_t all;

  if (__builtin_mul_overflow(members, bytes, &all)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(memory, all);
}

void *memalign(size_t alignment, size_t bytes)
{
  add_one();
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
  add_one();
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
  void *got;

  if (alignment % sizeof(void *) || !alignment || alignment & (alignment - 1))
    return EINVAL;
  add_one();
  got = __libc_memalign(alignment, bytes);
  if (!got)
    return ENOMEM;
  *memory = got;
  return 0;
}

#else

bool alloc_count_works(void)
{
  return false;
}

#endif
