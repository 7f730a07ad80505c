/*
 * Planted: a file's word is published without release. Whoever checks a handle may see another file's
 * descriptor. ThreadSanitizer has to say so.
 */
#ifndef WITHOUT_FAULT
#define OPEN_FILE sqcq__store_relaxed
#endif

#include "tsan/handles.h"
