/*
 * The only place that takes memory from the heap. Role S (and channel_create).
 */
#ifndef SQCQ_BASE_MEM_H
#define SQCQ_BASE_MEM_H

#include <stddef.h>

/* count x size bytes, zeroed, aligned to a cache line; NULL without memory or on overflow. */
void *sqcq__mem_new(size_t count, size_t size);
void sqcq__mem_free(void *memory);

#endif
