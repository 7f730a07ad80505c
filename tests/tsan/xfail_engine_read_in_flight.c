/*
 * Planted: an application looks into a buffer whose read is in flight, by the public functions and on a real ring.
 * The read answers only after the look, and all of it is on one thread. ThreadSanitizer has to say so.
 */
#include <sqcq/sqcq.h>

#include "support/kernel.h"

#include "tsan/planted.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void must(int result)
{
  if (result >= 0)
    return;
  fprintf(stderr, "%s\n", sqcq_strerror(result));
  exit(1);
}

int main(void)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 4096};
  struct sqcq_read read = {.offset = SQCQ_OFFSET_CURRENT, .length = 8};
  struct sqcq_completion completion;
  struct sqcq_engine *engine;
  sqcq_pool pool;
  uint64_t one = 1;
  int fd = eventfd(0, EFD_CLOEXEC), taken = 0;

  require_io_uring();
  must(sqcq_engine_create(&engine, NULL, NULL));
  must(sqcq_channel_create(engine, NULL, &read.channel));
  must(sqcq_pool_create(engine, &config, &pool));
  must(sqcq_file_add(engine, fd, &read.file));
  must(sqcq_buffer_acquire(engine, pool, &read.buffer, 1));
  const unsigned char *data = sqcq_buffer_data(engine, read.buffer);
  must(sqcq_request(engine, &read));
  must(sqcq_engine_poll(engine));
  int early = PLANTED(data[0], 0);
  if (write(fd, &one, sizeof(one)) != sizeof(one))
    return 1;
  while (taken == 0) {
    must(sqcq_engine_wait(engine, 10000000));
    must(taken = sqcq_channel_poll(engine, read.channel, &completion, 1));
  }
  printf("%d, then %d\n", early, data[0]);
  return 0;
}
