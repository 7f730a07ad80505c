/*
 * Driving a ring by hand, for tests of the seam itself: without an engine in between.
 */
#ifndef SQCQ_TESTS_SUPPORT_SIM_DRIVE_H
#define SQCQ_TESTS_SUPPORT_SIM_DRIVE_H

#include "support/sim_ring.h"
#include "support/test.h"

#include "engine/prep.h"
#include "engine/ring.h"

#include <liburing.h>

/* What a completion said. */
struct drive_cqe {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};

/* A ring as this configuration makes it, not yet bound. */
static inline struct sqcq__ring *drive_create(const struct sim_config *config, uint32_t sq_entries,
                                              uint32_t cq_entries)
{
  struct sqcq__ring_config ring_config = {
      .sq_entries = sq_entries, .cq_entries = cq_entries, .sqpoll_cpu = -1};
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring = NULL;

  sim_configure(config);
  assert_ok(sqcq__ring_create(&ring, &ring_config, &traits));
  return ring;
}

static inline void drive_bind(struct sqcq__ring *ring)
{
  int fd_error = 1;

  assert_ok(sqcq__ring_bind(ring, &fd_error));
  assert_int_equal(fd_error, sim_now()->error[SIM_CALL_RING_FD]);
}

static inline struct sqcq__ring *drive_open(const struct sim_config *config)
{
  struct sqcq__ring *ring = drive_create(config, 16, 64);

  drive_bind(ring);
  return ring;
}

static inline void drive_close(struct sqcq__ring *ring)
{
  sqcq__ring_unbind(ring);
  sqcq__ring_destroy(ring);
}

static inline struct io_uring_sqe *drive_sqe(struct sqcq__ring *ring)
{
  struct io_uring_sqe *sqe = sqcq__ring_sqe(ring);

  assert_non_null(sqe);
  return sqe;
}

static inline void drive_read(struct sqcq__ring *ring, int fd, void *data, uint32_t length,
                              uint64_t offset, uint64_t user_data)
{
  struct sqcq__read_target target = {
      .data = data, .offset = offset, .length = length, .fd = fd, .fixed_buffer = -1};

  sqcq__prep_read(drive_sqe(ring), &target, user_data);
}

static inline void drive_cancel(struct sqcq__ring *ring, uint64_t target, uint64_t user_data)
{
  sqcq__prep_cancel(drive_sqe(ring), target, user_data);
}

static inline void drive_enter(struct sqcq__ring *ring)
{
  uint64_t syscalls = 0;

  assert_ok(sqcq__ring_enter(ring, 0, 0, &syscalls));
  assert_int_equal(syscalls, 1);
}

/* Take what is there, up to 64; how many. */
static inline uint32_t drive_reap(struct sqcq__ring *ring, struct drive_cqe *into)
{
  struct io_uring_cqe *cqes[64];
  uint32_t count = sqcq__ring_peek(ring, cqes, 64);

  for (uint32_t i = 0; i < count; i++) {
    into[i].user_data = cqes[i]->user_data;
    into[i].result = cqes[i]->res;
    into[i].flags = cqes[i]->flags;
  }
  sqcq__ring_advance(ring, count);
  return count;
}

/* Exactly one completion is there, with this user_data and result. */
#define drive_expect(ring, user_data_, result_)                                                    \
  do {                                                                                             \
    struct drive_cqe expect_[64];                                                                  \
    assert_int_equal(drive_reap((ring), expect_), 1);                                              \
    assert_int_equal(expect_[0].user_data, (user_data_));                                          \
    assert_count(expect_[0].result, (result_));                                                    \
  } while (0)

#define drive_expect_nothing(ring)                                                                 \
  do {                                                                                             \
    struct drive_cqe expect_[64];                                                                  \
    assert_int_equal(drive_reap((ring), expect_), 0);                                              \
  } while (0)

#endif
