/*
 * Planted: the I/O thread takes removed files without acquire, so it may not see how they are to be removed.
 * ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__swap_acquire
#define sqcq__swap_acquire sqcq__swap_relaxed
#endif

#include "tsan/removals.h"
