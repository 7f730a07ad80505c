/*
 * Who may touch a buffer's memory, told to the checkers. A buffer is given away when a request for
 * it is accepted and when it is released, and taken back when its completion is taken and when it
 * is acquired; in between it belongs to the kernel or to nobody, whatever thread looks.
 *
 *   ThreadSanitizer  a fiber for each buffer stands for the kernel: any access between give and
 *                    take is a race with it, by the owner's own thread too
 *   AddressSanitizer the memory is poisoned between give and take
 *   valgrind         the memory is defined after take (memcheck cannot see the kernel write)
 *   otherwise        nothing
 */
#ifndef SQCQ_BASE_OWNERSHIP_H
#define SQCQ_BASE_OWNERSHIP_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SQCQ__TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define SQCQ__ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(SQCQ__TSAN)
#define SQCQ__TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(SQCQ__ASAN)
#define SQCQ__ASAN 1
#endif

#if defined(SQCQ__TSAN)

#include "base/atomics.h"

#include <stdbool.h>

struct sqcq__owner {
  void *fiber; /* NULL: none left, the buffer goes unwatched */
  char given_edge;
  char taken_edge;
  _Atomic bool given; /* relaxed: a guard against double steps, orders nothing */
};

void sqcq__owner_init(struct sqcq__owner *owner);
void sqcq__owner_fini(struct sqcq__owner *owner);
void sqcq__owner_give(struct sqcq__owner *owner, void *memory, size_t size);
void sqcq__owner_take(struct sqcq__owner *owner, void *memory, size_t size);

#else

struct sqcq__owner {
  char unused;
};

#if defined(SQCQ__ASAN)
#include <sanitizer/asan_interface.h>
#elif defined(SQCQ_VALGRIND)
#include <valgrind/memcheck.h>
#endif

static inline void sqcq__owner_init(struct sqcq__owner *owner)
{
  (void)owner;
}

static inline void sqcq__owner_fini(struct sqcq__owner *owner)
{
  (void)owner;
}

static inline void sqcq__owner_give(struct sqcq__owner *owner, void *memory, size_t size)
{
  (void)owner;
#if defined(SQCQ__ASAN)
  ASAN_POISON_MEMORY_REGION(memory, size);
#else
  (void)memory;
  (void)size;
#endif
}

static inline void sqcq__owner_take(struct sqcq__owner *owner, void *memory, size_t size)
{
  (void)owner;
#if defined(SQCQ__ASAN)
  ASAN_UNPOISON_MEMORY_REGION(memory, size);
#elif defined(SQCQ_VALGRIND)
  (void)VALGRIND_MAKE_MEM_DEFINED(memory, size);
#else
  (void)memory;
  (void)size;
#endif
}

#endif

#endif
