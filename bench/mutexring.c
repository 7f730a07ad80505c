/*
 * bench-mutexring: all producers share one ring under a mutex; one thread waits for completions
 * and hands them to the consumers through mutex/condvar queues. A batch of requests costs one
 * lock and one submit.
 */
#include "harness.h"

#include <errno.h>
#include <liburing.h>

static struct io_uring ring;
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;

static void produce(struct bench_producer *producer)
{
  struct bench_list batch;

  while (bench_producer_next(producer, &batch, true)) {
    struct bench_request *next;
    int error;

    pthread_mutex_lock(&ring_lock);
    for (struct bench_request *request = batch.head; request; request = next) {
      struct io_uring_sqe *sqe = io_uring_get_sqe(&ring); /* never NULL: room for all requests */

      io_uring_prep_read(sqe, bench.fd, request->data, bench.bs, request->offset);
      io_uring_sqe_set_data(sqe, request);
      next = request->next;
      /* The kernel orders this thread's writes before the reaper's reads; C11 knows it by this. */
      atomic_store_explicit(&request->handed, 1, memory_order_release);
    }
    error = io_uring_submit(&ring);
    pthread_mutex_unlock(&ring_lock);
    if (error < 0)
      bench_die("io_uring_submit", error);
  }
}

static void *reap(void *arg)
{
  struct bench_router router = {0};
  uint64_t done = 0;

  (void)arg;
  bench_ready();
  while (done < bench.ops) {
    struct io_uring_cqe *cqe;
    uint32_t head;
    uint32_t seen = 0;
    int error = io_uring_wait_cqe(&ring, &cqe);

    if (error == -EINTR)
      continue;
    if (error)
      bench_die("io_uring_wait_cqe", error);
    io_uring_for_each_cqe(&ring, head, cqe)
    {
      struct bench_request *request = io_uring_cqe_get_data(cqe);

      (void)atomic_load_explicit(&request->handed, memory_order_acquire);
      request->result = cqe->res;
      bench_router_add(&router, request);
      seen++;
    }
    io_uring_cq_advance(&ring, seen);
    bench_router_flush(&router);
    done += seen;
  }
  return NULL;
}

int main(int argc, char **argv)
{
  static struct bench_threads reaper;
  int error;

  bench_init(argc, argv, "mutexring", NULL, 0);
  bench_buffers();
  error = io_uring_queue_init(bench.qd, &ring, 0);
  if (error < 0)
    bench_die_setup("io_uring_queue_init", error);
  bench_consumers_spawn();
  bench_producers_spawn(produce);
  bench_spawn(&reaper, reap, NULL);
  bench_start();
  bench_producers_join();
  bench_join(&reaper);
  bench_consumers_join();
  bench_stop();
  return bench_finish("", NULL);
}
