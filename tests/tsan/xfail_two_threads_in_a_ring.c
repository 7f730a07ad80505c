/*
 * Planted: two threads are in one ring, which is the I/O thread's room. liburing's own accesses are not seen by
 * ThreadSanitizer everywhere; the token that each call writes is. It has to say so.
 */
#include "engine/ring.h"

#include "support/kernel.h"
#include "tsan/pair.h"
#include "tsan/planted.h"

static struct sqcq__ring *ring;

static void *enter(void *arg)
{
  uint64_t syscalls = 0;

  for (int i = 0; i < 100; i++)
    (void)sqcq__ring_enter(ring, 0, 0, &syscalls);
  return arg;
}

int main(void)
{
  struct sqcq__ring_config config = {
      .sq_entries = 8, .cq_entries = 16, .no_defer = true, .sqpoll_cpu = -1};
  struct sqcq__ring_traits traits;

  require_io_uring();
  if (sqcq__ring_create(&ring, &config, &traits) != 0)
    return 1;
  PLANTED(pair_run(enter, enter), enter(NULL)); /* one alone may */
  sqcq__ring_destroy(ring);
  return 0;
}
