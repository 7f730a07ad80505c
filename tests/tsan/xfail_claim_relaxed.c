/*
 * Planted: a lane is claimed without acquire, so what the last holder did to the ring does not come before what
 * this one does. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__cas_acquire
#define sqcq__cas_acquire sqcq__cas_relaxed
#endif

#include "tsan/claims.h"
