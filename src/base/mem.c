#include "base/mem.h"

#include "base/atomics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *sqcq__mem_new(size_t count, size_t size)
{
  if (size != 0 && count > (SIZE_MAX - SQCQ_CACHELINE) / size)
    return NULL;
  size_t bytes = (count * size + SQCQ_CACHELINE - 1) / SQCQ_CACHELINE * SQCQ_CACHELINE;
  if (bytes == 0)
    bytes = SQCQ_CACHELINE;
  void *memory = aligned_alloc(SQCQ_CACHELINE, bytes);
  if (memory != NULL)
    memset(memory, 0, bytes);
  return memory;
}

void sqcq__mem_free(void *memory)
{
  free(memory);
}
