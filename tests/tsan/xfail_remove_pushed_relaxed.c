/*
 * Planted: a removed file is pushed without release, so the I/O thread may not see how it is to be removed.
 * ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__cas_release
#define sqcq__cas_release sqcq__cas_relaxed
#endif

#include "tsan/removals.h"
