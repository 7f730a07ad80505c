/*
 * Planted: a lane's claim is given back without release, so what the last holder did to the ring does not
 * come before what the next one does. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__store_release
#define sqcq__store_release sqcq__store_relaxed
#endif

#include "tsan/claims.h"
