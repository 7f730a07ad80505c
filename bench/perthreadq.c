/*
 * bench-perthreadq: each producer has its own tuned ring, reaps it itself and hands the blocks
 * to the consumers through mutex/condvar queues.
 */
#include "tuned.h"

#include <errno.h>

static uint32_t reap(struct io_uring *ring, struct bench_router *router)
{
  struct io_uring_cqe *cqe;
  uint32_t head;
  uint32_t seen = 0;

  io_uring_for_each_cqe(ring, head, cqe)
  {
    struct bench_request *request = io_uring_cqe_get_data(cqe);

    request->result = cqe->res;
    bench_router_add(router, request);
    seen++;
  }
  io_uring_cq_advance(ring, seen);
  bench_router_flush(router);
  return seen;
}

/* The ring is made by the thread that submits to it. */
static void *produce(void *arg)
{
  struct bench_producer *producer = arg;
  struct bench_router router = {0};
  struct io_uring ring;
  uint64_t done = 0;

  tuned_open(&ring, producer->idx, bench.producers, 0);
  bench_ready();
  while (done < producer->stream.todo) {
    struct bench_list batch;
    int error;

    /* Wait for free requests only where the ring holds nothing to wait for. */
    bench_producer_next(producer, &batch, producer->stream.made == done);
    for (struct bench_request *request = batch.head; request; request = request->next)
      tuned_read(&ring, request, request->idx / bench.producers);
    error = io_uring_submit_and_wait(&ring, 1);
    if (error < 0 && error != -EINTR)
      bench_die("io_uring_submit_and_wait", error);
    done += reap(&ring, &router);
  }
  return NULL;
}

int main(int argc, char **argv)
{
  static struct bench_producer producers[BENCH_PRODUCERS_MAX];
  static struct bench_threads threads;

  bench_init(argc, argv, "perthreadq", NULL, 0);
  bench_buffers();
  bench_consumers_spawn();
  for (uint32_t p = 0; p < bench.producers; p++) {
    bench_producer_init(&producers[p], p);
    bench_spawn(&threads, produce, &producers[p]);
  }
  bench_start();
  bench_join(&threads);
  bench_consumers_join();
  bench_stop();
  return bench_finish("", NULL);
}
