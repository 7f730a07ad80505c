/*
 * Planted: a consumer gives its credit back without release, so the producer that gets it may write what the
 * consumer still reads. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__sub_seq
#define sqcq__sub_seq(p, v) sqcq__add_relaxed((p), UINT64_C(0) - (v))
#endif

#include "tsan/credits.h"
