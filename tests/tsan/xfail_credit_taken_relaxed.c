/*
 * Planted: a producer takes a credit without acquire, so it may write what the consumer that gave it back still
 * reads. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__load_acquire
#define sqcq__load_acquire sqcq__load_relaxed
#undef sqcq__cas_acq_rel
#define sqcq__cas_acq_rel sqcq__cas_release
#endif

#include "tsan/credits.h"
