/*
 * bench-preadpool: producers put requests on one mutex/condvar queue, --workers threads call
 * pread(2), consumers get the buffers through queues. A worker takes its share of what waits,
 * so it locks once for several requests where every worker has plenty.
 */
#include "harness.h"

#include <errno.h>
#include <unistd.h>

static struct bench_queue work;

static void produce(struct bench_producer *producer)
{
  struct bench_list batch;

  while (bench_producer_next(producer, &batch, true))
    bench_queue_push(&work, &batch);
}

static void *work_off(void *arg)
{
  struct bench_router router = {0};
  struct bench_request *request;
  struct bench_request *next;

  (void)arg;
  bench_ready();
  while ((request = bench_queue_wait_share(&work, bench.workers))) {
    for (; request; request = next) {
      ssize_t result = pread(bench.fd, request->data, bench.bs, (off_t)request->offset);

      next = request->next;
      request->result = result < 0 ? -errno : (int32_t)result;
      bench_router_add(&router, request);
    }
    bench_router_flush(&router);
  }
  return NULL;
}

int main(int argc, char **argv)
{
  static struct bench_threads workers;

  bench_init(argc, argv, "preadpool", NULL, 0);
  bench_buffers();
  bench_queue_init(&work);
  bench_consumers_spawn();
  for (uint32_t w = 0; w < bench.workers; w++)
    bench_spawn(&workers, work_off, NULL);
  bench_producers_spawn(produce);
  bench_start();
  bench_producers_join();
  bench_queue_close(&work);
  bench_join(&workers);
  bench_consumers_join();
  bench_stop();
  return bench_finish("", NULL);
}
