/*
 * Planted: a buffer of a real pool is read after it was released and acquired again by somebody else.
 * ThreadSanitizer has to say so, though all of it is on one thread.
 */
#include "engine/buffers.h"

#include "tsan/planted.h"

#include <stdio.h>

int main(void)
{
  struct sqcq__buffers buffers = {0};
  struct sqcq_pool_config config = {.count = 1, .align = 4096, .buffer_size = 4096};
  sqcq_buffer buffer;
  uint32_t index;

  if (sqcq__buffers_init(&buffers, 4, 1, 1) != 0 || sqcq__pool_make(&buffers, &config, &index) != 0)
    return 1;
  uint64_t pool = sqcq__pool_open(&buffers, index);
  if (sqcq__buffers_acquire(&buffers, pool, &buffer, 1) != 1)
    return 1;
  unsigned char *data = sqcq__buffer_at(&buffers, buffer.id)->memory;
  data[7] = 1;
  if (sqcq__buffers_release(&buffers, &buffer, 1) != 1)
    return 1;
  int late = PLANTED(data[7], 0);
  if (sqcq__buffers_acquire(&buffers, pool, &buffer, 1) != 1)
    return 1;
  printf("%d\n", late);
  return 0;
}
