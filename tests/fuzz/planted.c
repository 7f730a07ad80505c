/*
 * A planted fault, which the corpus must find: what has been a buffer may be given back once more.
 * The linker puts it before the library's own function.
 */
#include "engine/buffers.h"

int __real_sqcq__buffers_release(struct sqcq__buffers *buffers, const sqcq_buffer *in,
                                 uint32_t count);
int __wrap_sqcq__buffers_release(struct sqcq__buffers *buffers, const sqcq_buffer *in,
                                 uint32_t count);

int __wrap_sqcq__buffers_release(struct sqcq__buffers *buffers, const sqcq_buffer *in,
                                 uint32_t count)
{
  int result = __real_sqcq__buffers_release(buffers, in, count);

  return result == -ESTALE && in[0].id != 0 ? 1 : result;
}
