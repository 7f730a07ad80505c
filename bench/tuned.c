/* See tuned.h. */
#include "tuned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef IORING_SETUP_DEFER_TASKRUN /* liburing 2.2 */
#define IORING_SETUP_DEFER_TASKRUN (1u << 13)
#endif

static void open_ring(struct io_uring *ring, uint32_t entries)
{
  static const struct {
    uint32_t flags;
    const char *lacks;
  } tries[] = {{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, NULL},
               {IORING_SETUP_COOP_TASKRUN, "DEFER_TASKRUN"},
               {0, "DEFER_TASKRUN and COOP_TASKRUN"}};
  int error = -EINVAL;

  for (size_t i = 0; i < sizeof tries / sizeof *tries && error == -EINVAL; i++) {
    struct io_uring_params params = {.flags = tries[i].flags};

    error = io_uring_queue_init_params(entries, ring, &params);
    if (!error && tries[i].lacks)
      fprintf(stderr, "%s: no %s here\n", bench_name, tries[i].lacks);
  }
  if (error < 0)
    bench_die_setup("io_uring_queue_init_params", error);
}

void tuned_open(struct io_uring *ring, uint32_t first, uint32_t step, uint32_t more)
{
  uint32_t count = (bench.qd - first + step - 1) / step;
  struct iovec *buffers = calloc(count, sizeof *buffers);
  int error;

  if (!buffers)
    bench_die("buffer table", ENOMEM);
  for (uint32_t i = 0; i < count; i++)
    buffers[i] = (struct iovec){bench.requests[first + i * step].data, bench.bs};
  open_ring(ring, count + more);
  error = io_uring_register_buffers(ring, buffers, count);
  if (error < 0)
    bench_die("io_uring_register_buffers (see ulimit -l)", error);
  error = io_uring_register_files(ring, &bench.fd, 1);
  if (error < 0)
    bench_die("io_uring_register_files", error);
  error = io_uring_register_ring_fd(ring);
  if (error < 0 && error != -EINVAL) /* before 5.18 there is none */
    bench_die("io_uring_register_ring_fd", error);
  free(buffers);
}
