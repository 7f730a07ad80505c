/*
 * A number for each thread. pthread_self() and gettid() are given to others once their thread has
 * ended; these never are, so that a thread that comes later is not taken for one that is gone.
 */
#ifndef SQCQ_BASE_THREAD_H
#define SQCQ_BASE_THREAD_H

#include <stdint.h>

/* The caller's; never 0. No system call. */
uint64_t sqcq__thread_self(void);

#endif
