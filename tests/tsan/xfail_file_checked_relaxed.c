/*
 * Planted: a handle is checked without acquire. Whoever goes on with it may see another file's descriptor.
 * ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__load_acquire
#define sqcq__load_acquire sqcq__load_relaxed
#endif

#include "tsan/handles.h"
