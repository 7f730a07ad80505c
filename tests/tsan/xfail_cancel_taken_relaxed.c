/*
 * Planted: the I/O thread takes cancels without acquire, so it may read what their entries were before.
 * ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__swap_acquire
#define sqcq__swap_acquire sqcq__swap_relaxed
#endif

#include "tsan/cancels.h"
