/*
 * Planted: a buffer is released twice, past the step of its word that refuses it. Its next owner loses it to a
 * third one while it still writes. ThreadSanitizer has to say so, though all of it is on one thread.
 */
#include "engine/buffers.h"

#include "tsan/planted.h"

#include <stdio.h>

static struct sqcq__buffers buffers;

/* sqcq__buffers_release() without its step. */
static void release_unchecked(sqcq_buffer handle)
{
  struct sqcq__buffer *buffer = sqcq__buffer_at(&buffers, handle.id);
  uint32_t place = sqcq__handle_index(handle.id);

  sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
  sqcq__freelist_put(&buffers.pools[buffer->pool].free, &place, 1);
}

int main(void)
{
  struct sqcq_pool_config config = {.count = 1, .align = 4096, .buffer_size = 4096};
  sqcq_buffer first, second, third;
  uint32_t index;

  if (sqcq__buffers_init(&buffers, 4, 1, 1) != 0 || sqcq__pool_make(&buffers, &config, &index) != 0)
    return 1;
  uint64_t pool = sqcq__pool_open(&buffers, index);
  if (sqcq__buffers_acquire(&buffers, pool, &first, 1) != 1)
    return 1;
  release_unchecked(first);
  if (sqcq__buffers_acquire(&buffers, pool, &second, 1) != 1)
    return 1;
  PLANTED(release_unchecked(first), (void)0); /* again */
  unsigned char *memory = sqcq__buffer_at(&buffers, second.id)->memory;
  memory[7] = 1; /* by the second owner, who has not released it */
  if (sqcq__buffers_acquire(&buffers, pool, &third, 1) != PLANTED(1, -ENOBUFS))
    return 1;
  printf("%d\n", memory[7]);
  return 0;
}
