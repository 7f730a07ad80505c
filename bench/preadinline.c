/* bench-preadinline: each producer calls pread(2) and consumes what it read. */
#include "harness.h"

#include <errno.h>
#include <unistd.h>

static void produce(struct bench_producer *producer)
{
  struct bench_stream *stream = &producer->stream;
  struct bench_request *request = bench_pools[producer->idx].head;
  struct bench_taker taker;

  bench_taker_init(&taker);
  while (stream->made < stream->todo) {
    ssize_t result;

    request->start_ns = bench_is_timed(stream->made) ? bench_now() : 0;
    request->offset = bench_stream_next(stream);
    result = pread(bench.fd, request->data, bench.bs, (off_t)request->offset);
    request->result = result < 0 ? -errno : (int32_t)result;
    bench_consume(&taker, request);
  }
  bench_taker_end(&taker);
}

int main(int argc, char **argv)
{
  bench_init(argc, argv, "preadinline", NULL, 0);
  bench_buffers();
  bench_producers_spawn(produce);
  bench_start();
  bench_producers_join();
  bench_stop();
  return bench_finish("", NULL);
}
