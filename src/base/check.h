/*
 * Assertions for our own mistakes, never for events that can happen. Compiled in where SQCQ_DEBUG
 * is defined (debug builds and every test); nothing otherwise.
 */
#ifndef SQCQ_BASE_CHECK_H
#define SQCQ_BASE_CHECK_H

#ifdef SQCQ_DEBUG
#include <stdio.h>
#include <stdlib.h>

#define SQCQ_ASSERT(condition)                                                                     \
  ((condition) ? (void)0                                                                           \
               : (fprintf(stderr, "sqcq: %s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__,   \
                          #condition),                                                             \
                  abort()))
#else
#define SQCQ_ASSERT(condition) ((void)sizeof(condition))
#endif

#define sqcq__likely(condition) __builtin_expect(!!(condition), 1)
#define sqcq__unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
