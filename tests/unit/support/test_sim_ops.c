/* sqcq-test: simulated */
/*
 * The simulated ring: operations that are held, watched and closed, and files that do not answer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/fds.h"
#include "support/sim_drive.h"
#include "support/temp.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TAG 3u

static struct temp_dir directory;
static int file = -1; /* stamped */

static int setup_file(void **state)
{
  (void)state;
  temp_dir_make(&directory);
  file = temp_file_stamped(&directory, "file", 4, TAG);
  return 0;
}

static int remove_file(void **state)
{
  (void)state;
  close(file);
  temp_dir_remove(&directory);
  return 0;
}

static struct sqcq__ring *open_ring(const char *version)
{
  struct sim_config config = sim_kernel(version);

  return drive_open(&config);
}

/* ------------------------------------------------------------------------- */
/* Held                                                                      */
/* ------------------------------------------------------------------------- */

static void held_reads_complete_as_and_when_told(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  struct sim_op ops[8];
  char data[5][64];

  (void)state;
  memset(data, 0, sizeof(data));
  sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint32_t i = 0; i < 5; i++)
    drive_read(ring, file, data[i], 64, i * 64, 100 + i);
  drive_enter(ring);
  drive_expect_nothing(ring);
  assert_int_equal(sim_reads(ops, 2), 5);
  assert_int_equal(ops[1].user_data, 101);
  assert_int_equal(ops[1].offset, 64);
  assert_ptr_equal(ops[1].data, data[1]);

  assert_true(sim_complete(3, SIM_RESULT_REAL)); /* 103 */
  assert_true(sim_complete_offset(64, -EIO));    /* 101 */
  assert_true(sim_complete_user_data(104, 10));  /* 104: ten bytes */
  assert_false(sim_complete_offset(64, -EIO));   /* decided before */
  assert_false(sim_complete_user_data(999, 0));
  assert_false(sim_complete(2, 0)); /* only 100 and 102 are left */
  assert_int_equal(sim_reads(ops, 8), 2);
  assert_int_equal(sim_inflight(ops, 8), 5);
  assert_true(ops[3].decided);
  assert_false(ops[3].done);
  assert_true(sqcq__ring_wants_enter(ring));
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 3);
  assert_int_equal(cqes[0].user_data, 103);
  assert_int_equal(cqes[0].result, 64);
  assert_int_equal(cqes[1].user_data, 101);
  assert_int_equal(cqes[1].result, -EIO);
  assert_int_equal(cqes[2].user_data, 104);
  assert_int_equal(cqes[2].result, 10);
  assert_true(stamp_matches(data[3], TAG, 3 * 64, 64));
  assert_true(stamp_matches(data[4], TAG, 4 * 64, 10));
  assert_int_equal(data[4][10], 0);

  assert_int_equal(sim_complete_all(), 2);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].user_data, 100);
  assert_int_equal(cqes[1].user_data, 102);
  drive_close(ring);
}

static void submitted_operations_are_remembered(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct sim_op op;
  char data[8];

  (void)state;
  assert_false(sim_submitted(0, &op));
  for (uint64_t i = 0; i < SIM_LOG + 10; i++) {
    drive_read(ring, file, data, 8, i, i);
    drive_enter(ring);
    drive_expect(ring, i, 8);
  }
  drive_cancel(ring, 77, 5000);
  drive_enter(ring);
  drive_expect(ring, 5000, -ENOENT);
  assert_int_equal(sim_submitted_count(), SIM_LOG + 11);
  assert_false(sim_submitted(10, &op)); /* too long ago */
  assert_true(sim_submitted(11, &op));
  assert_int_equal(op.offset, 11);
  assert_true(op.done);
  assert_true(sim_submitted_last(SIM_READ, &op));
  assert_int_equal(op.offset, SIM_LOG + 9);
  assert_int_equal(op.slot, -1);
  assert_int_equal(op.fixed_buffer, -1);
  assert_true(sim_submitted_last(SIM_CANCEL, &op));
  assert_int_equal(op.target, 77);
  assert_int_equal(op.result, -ENOENT);
  assert_false(sim_submitted_last(SIM_CLOSE, &op));
  drive_close(ring);
}

/* ------------------------------------------------------------------------- */
/* Files that have nothing to read                                           */
/* ------------------------------------------------------------------------- */

static void read_of_an_empty_pipe_waits_for_data_or_its_cancel(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  uint64_t syscalls = 0;
  char data[64];
  int ends[2];

  (void)state;
  assert_ok(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
  drive_read(ring, ends[0], data, 64, UINT64_MAX, 1);
  assert_error(sqcq__ring_enter(ring, 1, 1000000, &syscalls), -ETIME);
  assert_false(sqcq__ring_wants_enter(ring));
  assert_int_equal(write(ends[1], "abc", 3), 3);
  assert_true(sqcq__ring_wants_enter(ring));
  assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls));
  drive_expect(ring, 1, 3);
  assert_memory_equal(data, "abc", 3);

  sim_now()->cancel = SIM_CANCEL_ALREADY; /* cannot be: it would never end */
  drive_read(ring, ends[0], data, 64, UINT64_MAX, 2);
  drive_cancel(ring, 2, 3);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].result, -ECANCELED);

  sim_now()->nonblock_again = true; /* as on a genuine 5.10 */
  drive_read(ring, ends[0], data, 64, UINT64_MAX, 4);
  drive_enter(ring);
  drive_expect(ring, 4, -EAGAIN);
  close(ends[1]);
  drive_read(ring, ends[0], data, 64, UINT64_MAX, 5);
  drive_enter(ring);
  drive_expect(ring, 5, 0); /* end of file */
  close(ends[0]);
  drive_close(ring);
}

static void silenced_file_answers_only_a_cancel(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct drive_cqe cqes[64];
  uint64_t syscalls = 0;
  char data[8];
  int other = dup(file);

  (void)state;
  sim_configure(&config);
  struct sqcq__ring *ring = drive_open(&config);
  sim_silence(other, true); /* the same file, whatever the descriptor */
  close(other);
  drive_read(ring, file, data, 8, 0, 1);
  drive_enter(ring);
  drive_expect_nothing(ring);
  assert_int_equal(sim_complete_all(), 0);
  assert_error(sqcq__ring_enter(ring, 1, 0, &syscalls), -ETIME);
  sim_now()->cancel = SIM_CANCEL_LATE;
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].result, -ECANCELED);
  drive_read(ring, file, data, 8, 0, 3);
  drive_enter(ring);
  drive_expect_nothing(ring);
  sim_silence(file, false);
  drive_enter(ring);
  drive_expect(ring, 3, 8);
  drive_close(ring);
}

/* ------------------------------------------------------------------------- */
/* Polls                                                                     */
/* ------------------------------------------------------------------------- */

static void poll_answers_once_when_there_is_something(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  (void)state;
  sqcq__prep_poll(drive_sqe(ring), wake, false, 1);
  drive_enter(ring);
  drive_expect_nothing(ring);
  assert_ok(eventfd_write(wake, 1));
  assert_true(sqcq__ring_wants_enter(ring));
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 1);
  assert_int_equal(cqes[0].result, POLLIN);
  assert_int_equal(cqes[0].flags, 0);
  sqcq__prep_poll(drive_sqe(ring), wake, false, 2); /* readable already */
  drive_enter(ring);
  drive_expect(ring, 2, POLLIN);
  assert_int_equal(sim_inflight(NULL, 0), 0);
  close(wake);
  drive_close(ring);
}

static void multishot_poll_answers_each_write_once(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  eventfd_t value;

  (void)state;
  assert_ok(eventfd_write(wake, 1));
  sqcq__prep_poll(drive_sqe(ring), wake, true, 1);
  for (int i = 0; i < 3; i++) { /* the first is readable when it is armed */
    assert_int_equal(sqcq__ring_wants_enter(ring), i > 0);
    drive_enter(ring);
    assert_int_equal(drive_reap(ring, cqes), 1);
    assert_int_equal(cqes[0].result, POLLIN);
    assert_int_equal(cqes[0].flags, IORING_CQE_F_MORE);
    drive_enter(ring); /* still readable, but no new write */
    drive_expect_nothing(ring);
    if (i == 1)
      assert_ok(eventfd_read(wake, &value));
    assert_ok(eventfd_write(wake, 1));
  }
  sim_now()->poll_end_percent = 100;
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 1);
  assert_int_equal(cqes[0].flags, 0);
  assert_int_equal(sim_inflight(NULL, 0), 0);
  sim_now()->poll_end_percent = 0;
  sqcq__prep_poll(drive_sqe(ring), wake, true, 2); /* and can be armed again */
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 1);
  assert_int_equal(cqes[0].flags, IORING_CQE_F_MORE);

  drive_cancel(ring, 2, 3);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].result, -ECANCELED);
  assert_int_equal(cqes[0].flags, 0);
  assert_int_equal(cqes[1].result, 0);
  assert_ok(eventfd_write(wake, 1));
  drive_enter(ring);
  drive_expect_nothing(ring);
  close(wake);
  drive_close(ring);
}

static void multishot_poll_is_refused_by_an_old_kernel(void **state)
{
  struct sqcq__ring *ring = open_ring("5.10");
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  (void)state;
  sqcq__prep_poll(drive_sqe(ring), wake, true, 1);
  drive_enter(ring);
  drive_expect(ring, 1, -EINVAL);
  sqcq__prep_poll(drive_sqe(ring), wake, false, 2);
  drive_enter(ring);
  drive_expect_nothing(ring);
  assert_ok(eventfd_write(wake, 1));
  drive_expect(ring, 2, POLLIN); /* comes by itself */
  close(wake);
  drive_close(ring);
}

/* ------------------------------------------------------------------------- */
/* Closing                                                                   */
/* ------------------------------------------------------------------------- */

static void close_closes(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct fds before;
  int fd;

  (void)state;
  fds_look(&before);
  fd = dup(file);
  sqcq__prep_close(drive_sqe(ring), fd, false, 1);
  drive_enter(ring);
  drive_expect(ring, 1, 0);
  assert_true(fds_same(&before));
  sqcq__prep_close(drive_sqe(ring), fd, false, 2);
  drive_enter(ring);
  drive_expect(ring, 2, -EBADF);

  sim_now()->hold = SIM_HOLD(SIM_CLOSE);
  fd = dup(file);
  sqcq__prep_close(drive_sqe(ring), fd, false, 3);
  drive_enter(ring);
  assert_false(fds_count() == before.count);
  assert_true(sim_complete_user_data(3, -EIO)); /* what it says does not matter */
  drive_enter(ring);
  drive_expect(ring, 3, -EIO);
  assert_true(fds_same(&before));

  fd = dup(file); /* under way when the ring goes */
  sqcq__prep_close(drive_sqe(ring), fd, false, 4);
  drive_enter(ring);
  drive_close(ring);
  assert_int_equal(fds_count(), before.count - 1);
}

static void close_in_flight(void *ring)
{
  sqcq__prep_close(drive_sqe(ring), file, false, 9);
  drive_enter(ring);
}

static void empty_slot_in_flight(void *ring)
{
  (void)sqcq__ring_update_file(ring, 0, -1);
}

static void file_taken_from_under_a_read_ends_the_program(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);
  char data[8];
  struct sqcq__read_target target = {
      .data = data, .length = 8, .fd = 0, .fixed_file = true, .fixed_buffer = -1};

  (void)state;
  assert_ok(sqcq__ring_register_files(ring, 2));
  drive_bind(ring);
  assert_ok(sqcq__ring_update_file(ring, 0, file));
  sim_now()->hold = SIM_HOLD(SIM_READ);
  drive_read(ring, file, data, 8, 0, 1);
  sqcq__prep_read(drive_sqe(ring), &target, 2);
  drive_enter(ring);
  assert_aborts(close_in_flight, ring, "a read in flight is on");
  assert_aborts(empty_slot_in_flight, ring, "while a read of it is in flight");
  sim_complete_all();
  drive_enter(ring);
  empty_slot_in_flight(ring);
  assert_int_equal(sim_slots_used(), 0);
  drive_close(ring);
}

/* ------------------------------------------------------------------------- */
/* Modes                                                                     */
/* ------------------------------------------------------------------------- */

static void pattern_is_the_same_for_every_descriptor_of_a_file(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  unsigned char data[2][1000];
  int other = temp_file(&directory, "other", NULL, 1);

  (void)state;
  sim_now()->data = SIM_DATA_PATTERN;
  sim_now()->pattern_size = UINT64_C(1) << 40;
  drive_read(ring, file, data[0], 1000, 12345678901, 1);
  drive_read(ring, other, data[1], 1000, (UINT64_C(1) << 40) - 10, 2);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].result, 1000);
  assert_int_equal(cqes[1].result, 10);
  int duplicate = dup(file);
  assert_true(sim_pattern_matches(data[0], duplicate, 12345678901, 1000));
  assert_false(sim_pattern_matches(data[0], duplicate, 12345678902, 999));
  assert_false(sim_pattern_matches(data[0], other, 12345678901, 1000));
  assert_int_equal(data[0][3], sim_pattern(sim_file_key(file), 12345678904));
  close(duplicate);
  drive_read(ring, other, data[1], 10, UINT64_C(1) << 40, 3);
  drive_enter(ring);
  drive_expect(ring, 3, 0);
  close(other);
  drive_close(ring);
}

static void iopoll_and_sqpoll_rings_refuse_what_they_cannot_do(void **state)
{
  struct sqcq__ring_config ring_config = {
      .sq_entries = 8, .cq_entries = 16, .iopoll = true, .sqpoll_cpu = -1};
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring;
  uint64_t syscalls = 0;
  char data[8];

  (void)state;
  sim_configure(&config);
  assert_ok(sqcq__ring_create(&ring, &ring_config, &traits));
  drive_bind(ring);
  assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls)); /* nothing in flight: does not sleep */
  sqcq__prep_poll(drive_sqe(ring), file, false, 1);
  drive_enter(ring);
  drive_expect(ring, 1, -EINVAL);
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  drive_expect(ring, 2, -EINVAL);
  drive_read(ring, file, data, 8, 0, 3);
  assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls));
  drive_expect(ring, 3, 8);
  drive_close(ring);

  config = sim_kernel("5.10"); /* only files of the table there */
  ring_config.iopoll = false;
  ring_config.sqpoll = true;
  sim_configure(&config);
  assert_ok(sqcq__ring_create(&ring, &ring_config, &traits));
  drive_bind(ring);
  drive_read(ring, file, data, 8, 0, 1);
  drive_enter(ring);
  drive_expect(ring, 1, -EBADF);
  drive_close(ring);
}

static void two_rings_are_told_apart(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *first = drive_open(&config);
  struct sqcq__ring *second = drive_open(&config);
  char data[8];

  (void)state;
  assert_int_equal(sim_rings(), 2);
  sim_now()->hold = SIM_HOLD(SIM_READ); /* of the second */
  drive_read(first, file, data, 8, 0, 1);
  drive_read(second, file, data, 8, 0, 2);
  drive_enter(first);
  drive_enter(second);
  drive_expect(first, 1, 8);
  drive_expect_nothing(second);
  assert_int_equal(sim_reads(NULL, 0), 1);
  sim_select(0);
  assert_int_equal(sim_reads(NULL, 0), 0);
  drive_close(first);
  assert_int_equal(sim_reads(NULL, 0), 1); /* the one that is left */
  drive_close(second);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(held_reads_complete_as_and_when_told),
      cmocka_unit_test(submitted_operations_are_remembered),
      cmocka_unit_test(read_of_an_empty_pipe_waits_for_data_or_its_cancel),
      cmocka_unit_test(silenced_file_answers_only_a_cancel),
      cmocka_unit_test(poll_answers_once_when_there_is_something),
      cmocka_unit_test(multishot_poll_answers_each_write_once),
      cmocka_unit_test(multishot_poll_is_refused_by_an_old_kernel),
      cmocka_unit_test(close_closes),
      cmocka_unit_test(file_taken_from_under_a_read_ends_the_program),
      cmocka_unit_test(pattern_is_the_same_for_every_descriptor_of_a_file),
      cmocka_unit_test(iopoll_and_sqpoll_rings_refuse_what_they_cannot_do),
      cmocka_unit_test(two_rings_are_told_apart),
  };

  return cmocka_run_group_tests(tests, setup_file, remove_file);
}
