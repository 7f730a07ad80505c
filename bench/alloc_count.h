/*
 * Counts the heap allocations of the whole process, those inside shared libraries too, by
 * standing in front of glibc's allocator. Not under sanitizers, which do the same.
 */
#ifndef BENCH_ALLOC_COUNT_H
#define BENCH_ALLOC_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Whether anything is counted in this build. */
bool alloc_count_works(void);

/* malloc, calloc, realloc, aligned_alloc, posix_memalign, memalign and reallocarray so far. */
uint64_t alloc_count(void);

#endif
