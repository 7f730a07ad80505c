/*
 * See alloc.h. The linker turns each call of malloc into one of __wrap_malloc, and __real_malloc
 * into malloc.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* Weak, so that a program links without the options too, and then is told so. */
#pragma weak __real_malloc
#pragma weak __real_calloc
#pragma weak __real_realloc
#pragma weak __real_aligned_alloc
#pragma weak __real_posix_memalign
#pragma weak __real_strdup
#pragma weak __real_free
#pragma weak __real_mmap
#pragma weak __real_mmap64
#pragma weak __real_munmap

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd,
                    off64_t offset);
int __real_munmap(void *address, size_t length);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd,
                    off64_t offset);
int __wrap_munmap(void *address, size_t length);

/* All relaxed: statistics, and a countdown that orders nothing. */
static atomic_uint_fast64_t calls;
static atomic_int_fast64_t live;
static atomic_int_fast64_t mapped;
static atomic_uint_fast64_t fail_at; /* in terms of `calls`; 0: none */
static atomic_bool fail_on;          /* and all that follow */
static atomic_bool has_failed;
static _Thread_local bool ignored;

bool alloc_works(void)
{
  return __real_malloc != NULL && __real_calloc != NULL && __real_realloc != NULL &&
         __real_aligned_alloc != NULL && __real_posix_memalign != NULL && __real_strdup != NULL &&
         __real_free != NULL && __real_mmap != NULL && __real_mmap64 != NULL &&
         __real_munmap != NULL;
}

/* A count of nothing would make every test pass. */
static void need_options(void)
{
  if (alloc_works())
    return;
  fputs("alloc: this program is linked without the options that support/alloc.h names\n", stderr);
  abort();
}

uint64_t alloc_calls(void)
{
  need_options();
  return atomic_load_explicit(&calls, memory_order_relaxed);
}

int64_t alloc_live(void)
{
  need_options();
  return atomic_load_explicit(&live, memory_order_relaxed);
}

int64_t alloc_mapped(void)
{
  need_options();
  return atomic_load_explicit(&mapped, memory_order_relaxed);
}

static void set_failure(uint64_t n, bool on)
{
  atomic_store_explicit(&has_failed, false, memory_order_relaxed);
  atomic_store_explicit(&fail_on, on, memory_order_relaxed);
  atomic_store_explicit(&fail_at, n == 0 ? 0 : alloc_calls() + n, memory_order_relaxed);
}

void alloc_fail_at(uint64_t n)
{
  set_failure(n, false);
}

void alloc_fail_from(uint64_t n)
{
  set_failure(n, true);
}

bool alloc_fail_off(void)
{
  atomic_store_explicit(&fail_at, 0, memory_order_relaxed);
  return atomic_exchange_explicit(&has_failed, false, memory_order_relaxed);
}

void alloc_ignore_me(bool ignore)
{
  ignored = ignore;
}

/* Count one call; whether it is to fail. */
static bool count(void)
{
  if (ignored)
    return false;
  uint64_t number = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
  uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
  if (at == 0 || number < at ||
      (number > at && !atomic_load_explicit(&fail_on, memory_order_relaxed)))
    return false;
  atomic_store_explicit(&has_failed, true, memory_order_relaxed);
  errno = ENOMEM;
  return true;
}

/* A block is counted whoever takes it: another thread may free it. */
static void *note(void *memory)
{
  if (memory != NULL)
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
  return memory;
}

void *__wrap_malloc(size_t size)
{
  return count() ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size)
{
  return count() ? NULL : note(__real_calloc(number, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
  if (count())
    return NULL;
  void *moved = __real_realloc(memory, size);
  if (memory == NULL)
    note(moved);
  else if (moved == NULL && size == 0)
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
  return moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
  return count() ? NULL : note(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
  if (count())
    return ENOMEM;
  int error = __real_posix_memalign(memory, alignment, size);
  if (error == 0)
    note(*memory);
  return error;
}

char *__wrap_strdup(const char *text)
{
  return count() ? NULL : note(__real_strdup(text));
}

void __wrap_free(void *memory)
{
  if (memory != NULL)
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
  __real_free(memory);
}

/* In whole pages, so that unmapping a part and then the rest comes out even. */
static int64_t in_pages(size_t length)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);

  return (int64_t)((length + page - 1) / page * page);
}

static void *note_mapping(void *memory, size_t length)
{
  if (memory != MAP_FAILED)
    atomic_fetch_add_explicit(&mapped, in_pages(length), memory_order_relaxed);
  return memory;
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
  if (count())
    return MAP_FAILED;
  return note_mapping(__real_mmap(address, length, protection, flags, fd, offset), length);
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
  if (count())
    return MAP_FAILED;
  return note_mapping(__real_mmap64(address, length, protection, flags, fd, offset), length);
}

int __wrap_munmap(void *address, size_t length)
{
  int error = __real_munmap(address, length);

  if (error == 0)
    atomic_fetch_sub_explicit(&mapped, in_pages(length), memory_order_relaxed);
  return error;
}
