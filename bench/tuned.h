/*
 * The ring that a careful user of liburing makes: SINGLE_ISSUER | DEFER_TASKRUN, registered
 * ring descriptor, file and buffers; with less, and saying so, on kernels before 6.1.
 * To be made and used by one thread.
 */
#ifndef BENCH_TUNED_H
#define BENCH_TUNED_H

#include "harness.h"

#include <liburing.h>

/* Registers the buffers of requests first, first + step, ..; the ring has room for all of them
 * and `more` entries. Ends the program where it cannot be made. */
void tuned_open(struct io_uring *ring, uint32_t first, uint32_t step, uint32_t more);

/* The next read. slot: which one of the registered buffers is the request's. */
static inline void tuned_read(struct io_uring *ring, struct bench_request *request, uint32_t slot)
{
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring); /* never NULL: room for all requests */

  io_uring_prep_read_fixed(sqe, 0, request->data, bench.bs, request->offset, (int)slot);
  sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data(sqe, request);
}

#endif
