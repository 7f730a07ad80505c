/*
 * bench-raw: the mark that the others are measured by. One thread issues, reaps and consumes
 * all producers' streams on one tuned ring; nothing is handed to anybody.
 */
#include "tuned.h"

static struct bench_streams streams;

static void run(struct io_uring *ring, struct bench_taker *taker)
{
  static struct bench_request *idle[BENCH_REQUESTS_MAX];
  uint32_t idle_count = 0;
  uint64_t issued = 0;

  while (idle_count < bench.qd) {
    idle[idle_count] = &bench.requests[idle_count];
    idle_count++;
  }
  while (taker->count < bench.ops) {
    struct io_uring_cqe *cqe;
    uint32_t head;
    uint32_t seen = 0;
    int error;

    for (; idle_count && issued < bench.ops; issued++) {
      struct bench_request *request = idle[--idle_count];

      request->offset = bench_streams_next(&streams);
      request->start_ns = bench_is_timed(issued) ? bench_now() : 0;
      tuned_read(ring, request, request->idx);
    }
    error = io_uring_submit_and_wait(ring, 1);
    if (error < 0 && error != -EINTR)
      bench_die("io_uring_submit_and_wait", error);
    io_uring_for_each_cqe(ring, head, cqe)
    {
      struct bench_request *request = io_uring_cqe_get_data(cqe);

      request->result = cqe->res;
      bench_consume(taker, request);
      idle[idle_count++] = request;
      seen++;
    }
    io_uring_cq_advance(ring, seen);
  }
}

int main(int argc, char **argv)
{
  struct io_uring ring;
  struct bench_taker taker;

  bench_init(argc, argv, "raw", NULL, 0);
  bench_buffers();
  bench_streams_init(&streams);
  bench_taker_init(&taker);
  tuned_open(&ring, 0, 1, 0);
  bench_start();
  run(&ring, &taker);
  bench_taker_end(&taker);
  bench_stop();
  io_uring_queue_exit(&ring);
  return bench_finish("", NULL);
}
