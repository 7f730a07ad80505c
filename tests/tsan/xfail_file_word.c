/*
 * Planted: a file's word is published without release. Whoever checks a handle may see another file's
 * descriptor. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__store_release
#define sqcq__store_release sqcq__store_relaxed
#endif

#include "tsan/handles.h"
