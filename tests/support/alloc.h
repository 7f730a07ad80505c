/*
 * Counting allocations, and making them fail.
 *
 * The linker puts it between a test program with the library inside and the C library:
 *
 *   -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=aligned_alloc
 *   -Wl,--wrap=posix_memalign -Wl,--wrap=strdup -Wl,--wrap=free
 *   -Wl,--wrap=mmap -Wl,--wrap=mmap64 -Wl,--wrap=munmap
 *
 * all of them; without, a program that calls these functions ends with a message. Only what is
 * linked in statically is seen: the library under test, the test, the simulated ring; not what
 * cmocka, liburing or the C library take for themselves. Works under the sanitizers and valgrind.
 * A block that the test takes itself and does nothing with, the compiler may leave out.
 *
 * No allocation after set-up:
 *
 *   uint64_t before = alloc_calls();
 *   ...
 *   assert_int_equal(alloc_calls(), before);
 *
 * The 1st, 2nd, 3rd ... allocation fails, until all is well, and nothing is left behind:
 *
 *   for (uint64_t n = 1;; n++) {
 *     int64_t live = alloc_live();
 *     alloc_fail_at(n);
 *     int error = sqcq_engine_create(&engine, NULL, NULL);
 *     if (!alloc_fail_off())
 *       break;                          and error must be 0
 *     assert_error(error, -ENOMEM);
 *     assert_int_equal(alloc_live(), live);
 *   }
 */
#ifndef SQCQ_TESTS_SUPPORT_ALLOC_H
#define SQCQ_TESTS_SUPPORT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the program is linked with the options. */
bool alloc_works(void);

/* Calls that take memory, by all threads that are not ignored, those that failed included. */
uint64_t alloc_calls(void);

/* Blocks of the heap taken and not given back, and bytes mapped and not unmapped. Blocks that one
 * side takes and the other frees (getline, asprintf, cmocka's) upset the count. */
int64_t alloc_live(void);
int64_t alloc_mapped(void);

/* The n-th call from now fails (1: the next one), or that and all that follow; 0: none. */
void alloc_fail_at(uint64_t n);
void alloc_fail_from(uint64_t n);

/* Stop failing. Whether one has failed since. */
bool alloc_fail_off(void);

/* Whether the calling thread's own calls count and may fail. They do until told otherwise. */
void alloc_ignore_me(bool ignore);

#endif
