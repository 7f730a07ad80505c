/* sqcq-test: simulated */
/*
 * The simulated ring, through the seam: reads, SQ and CQ, enter, and what ends the program. How it
 * is made and bound is in test_sim_setup.c, how operations are held, cancelled and watched in
 * test_sim_ops.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/fds.h"
#include "support/rng.h"
#include "support/sim_drive.h"
#include "support/temp.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGES 16u
#define TAG 7u
#define MS INT64_C(1000000)

static struct temp_dir directory;
static int file = -1; /* stamped */

static int setup_file(void **state)
{
  (void)state;
  temp_dir_make(&directory);
  file = temp_file_stamped(&directory, "file", PAGES, TAG);
  return 0;
}

static int remove_file(void **state)
{
  (void)state;
  close(file);
  temp_dir_remove(&directory);
  return 0;
}

/* ------------------------------------------------------------------------- */
/* Reads                                                                     */
/* ------------------------------------------------------------------------- */

static void read_brings_the_bytes_of_the_file(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  char data[STAMP_PAGE + 100];
  char zeros[100] = {0};

  (void)state;
  memset(data, 0, sizeof(data));
  drive_read(ring, file, data, STAMP_PAGE, 3 * STAMP_PAGE, 11);
  assert_true(sqcq__ring_has_unsubmitted(ring));
  drive_expect_nothing(ring);
  drive_enter(ring);
  assert_false(sqcq__ring_has_unsubmitted(ring));
  drive_expect(ring, 11, STAMP_PAGE);
  assert_true(stamp_matches(data, TAG, 3 * STAMP_PAGE, STAMP_PAGE));
  assert_int_equal(stamp_index(data), 3);
  assert_memory_equal(data + STAMP_PAGE, zeros, sizeof(zeros));

  /* The last 100 bytes, then the end. */
  drive_read(ring, file, data, 200, (uint64_t)PAGES * STAMP_PAGE - 100, 12);
  drive_enter(ring);
  drive_expect(ring, 12, 100);
  drive_read(ring, file, data, 200, (uint64_t)PAGES * STAMP_PAGE, 13);
  drive_enter(ring);
  drive_expect(ring, 13, 0);

  /* At the descriptor's own position. */
  assert_int_equal(lseek(file, 50, SEEK_SET), 50);
  drive_read(ring, file, data, 100, UINT64_MAX, 14);
  drive_enter(ring);
  drive_expect(ring, 14, 100);
  assert_true(stamp_matches(data, TAG, 50, 100));
  assert_int_equal(lseek(file, 0, SEEK_CUR), 150);
  drive_close(ring);
}

static void read_by_fixed_file_and_buffer_is_told_apart(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);
  char data[2][STAMP_PAGE];
  struct iovec iovecs[2] = {{data[0], STAMP_PAGE}, {data[1], STAMP_PAGE}};
  struct sqcq__read_target target = {.data = data[1] + 96,
                                     .offset = 5,
                                     .length = 4000,
                                     .fd = 2,
                                     .fixed_file = true,
                                     .fixed_buffer = 1};
  struct sim_op op;
  struct fds before;

  (void)state;
  fds_look(&before);
  assert_error(sqcq__ring_update_file(ring, 0, file), -ENXIO);
  assert_ok(sqcq__ring_register_files(ring, 4));
  assert_error(sqcq__ring_register_files(ring, 4), -EBUSY);
  assert_ok(sqcq__ring_register_buffers(ring, iovecs, 2));
  assert_int_equal(sim_buffers(), 2);
  drive_bind(ring);
  assert_error(sqcq__ring_update_file(ring, 4, file), -EINVAL);
  assert_error(sqcq__ring_update_file(ring, 2, 1 << 20), -EBADF);
  int other = dup(file);
  assert_ok(sqcq__ring_update_file(ring, 2, other));
  close(other); /* the table holds the file, not the number */
  assert_int_equal(sim_slots_used(), 1);

  sqcq__prep_read(drive_sqe(ring), &target, 21);
  drive_enter(ring);
  drive_expect(ring, 21, 4000);
  assert_true(stamp_matches(data[1] + 96, TAG, 5, 4000));
  assert_true(sim_submitted_last(SIM_READ, &op));
  assert_int_equal(op.slot, 2);
  assert_int_equal(op.fixed_buffer, 1);
  assert_int_equal(op.fd, sim_slot_fd(2));
  assert_true(op.done);
  assert_int_equal(op.result, 4000);

  assert_ok(sqcq__ring_update_file(ring, 2, -1));
  assert_int_equal(sim_slots_used(), 0);
  assert_true(fds_same(&before));
  drive_close(ring);
}

static void read_of_a_closed_descriptor_says_ebadf(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  int fd = dup(file);
  char data[8];

  (void)state;
  close(fd);
  drive_read(ring, fd, data, 8, 0, 1);
  drive_enter(ring);
  drive_expect(ring, 1, -EBADF);
  drive_close(ring);
}

static void reads_fail_and_fall_short_as_configured(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  struct drive_cqe cqes[64];
  char data[16][64];

  (void)state;
  sim_now()->error_percent = 100;
  drive_read(ring, file, data[0], 64, 0, 1);
  drive_enter(ring);
  drive_expect(ring, 1, -EIO);
  sim_now()->read_error = -ENODATA;
  drive_read(ring, file, data[0], 64, 0, 2);
  drive_enter(ring);
  drive_expect(ring, 2, -ENODATA);
  sim_now()->error_percent = 0;
  sim_now()->again_percent = 100;
  drive_read(ring, file, data[0], 64, 0, 3);
  drive_enter(ring);
  drive_expect(ring, 3, -EAGAIN);
  sim_now()->again_percent = 0;
  sim_now()->short_percent = 100;
  for (uint32_t i = 0; i < 16; i++)
    drive_read(ring, file, data[i], 64, i * 64, i);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 16);
  for (uint32_t i = 0; i < 16; i++) {
    assert_in_range(cqes[i].result, 1, 63);
    assert_true(stamp_matches(data[i], TAG, i * 64, (size_t)cqes[i].result));
  }
  assert_int_equal(sim_counts()->failed_reads, 2);
  assert_int_equal(sim_counts()->again_reads, 1);
  assert_int_equal(sim_counts()->short_reads, 16);
  drive_close(ring);
}

/* ------------------------------------------------------------------------- */
/* SQ and CQ                                                                 */
/* ------------------------------------------------------------------------- */

static void sqe_is_null_while_the_queue_is_full(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 2, 8);
  char data[8];

  (void)state;
  drive_bind(ring);
  drive_read(ring, file, data, 8, 0, 1);
  drive_read(ring, file, data, 8, 0, 2);
  assert_null(sqcq__ring_sqe(ring));
  sim_now()->submit_max = 1;
  drive_enter(ring);
  assert_true(sqcq__ring_has_unsubmitted(ring));
  drive_expect(ring, 1, 8);
  assert_non_null(sqcq__ring_sqe(ring));
  assert_int_equal(sim_unread(), 0);
  drive_close(ring);
}

enum wrong {
  WRONG_NOTHING_SET,
  WRONG_NO_USER_DATA,
  WRONG_OPERATION,
  WRONG_SLOT,
  WRONG_BUFFER,
  WRONG_FLAGS,
  WRONG_TWICE
};

static struct sqcq__ring *wrong_ring;
static char wrong_data[64];

static void submit_wrong(void *wrong)
{
  struct io_uring_sqe *sqe = sqcq__ring_sqe(wrong_ring);
  struct sqcq__read_target target = {
      .data = wrong_data, .length = 64, .fd = file, .fixed_buffer = -1};

  switch (*(enum wrong *)wrong) {
  case WRONG_NOTHING_SET:
    break;
  case WRONG_NO_USER_DATA:
    io_uring_prep_read(sqe, file, wrong_data, 8, 0);
    break;
  case WRONG_OPERATION:
    io_uring_prep_fsync(sqe, file, 0);
    sqe->user_data = 1;
    break;
  case WRONG_SLOT:
    target.fd = 0;
    target.fixed_file = true;
    sqcq__prep_read(sqe, &target, 1);
    break;
  case WRONG_BUFFER:
    target.fixed_buffer = 0;
    target.data = wrong_data + 1;
    sqcq__prep_read(sqe, &target, 1);
    break;
  case WRONG_FLAGS:
    sqcq__prep_read(sqe, &target, 1);
    sqe->flags |= IOSQE_IO_LINK;
    break;
  case WRONG_TWICE:
    sim_now()->hold = SIM_HOLD(SIM_READ);
    sqcq__prep_read(sqe, &target, 1);
    sqcq__prep_read(sqcq__ring_sqe(wrong_ring), &target, 1);
    break;
  default:
    break;
  }
  drive_enter(wrong_ring);
}

static void sqe_that_is_wrong_ends_the_program(void **state)
{
  static const char *const saying[] = {[WRONG_NOTHING_SET] = "no user_data",
                                       [WRONG_NO_USER_DATA] = "no user_data",
                                       [WRONG_OPERATION] = "unknown operation",
                                       [WRONG_SLOT] = "empty slot",
                                       [WRONG_BUFFER] = "outside of its fixed buffer",
                                       [WRONG_FLAGS] = "unknown flags",
                                       [WRONG_TWICE] = "another one with this user_data"};
  struct sim_config config = sim_kernel("6.1");
  struct iovec buffer = {wrong_data, sizeof(wrong_data)};

  (void)state;
  wrong_ring = drive_create(&config, 8, 16);
  assert_ok(sqcq__ring_register_files(wrong_ring, 2));
  assert_ok(sqcq__ring_register_buffers(wrong_ring, &buffer, 1));
  drive_bind(wrong_ring);
  for (enum wrong wrong = WRONG_NOTHING_SET; wrong <= WRONG_TWICE; wrong++)
    assert_aborts(submit_wrong, &wrong, saying[wrong]);
  drive_close(wrong_ring);
}

static void fill_beyond_the_cq(void *ring)
{
  static char data[8];

  for (uint64_t i = 0; i < 5; i++) {
    drive_read(ring, file, data, 8, 0, i);
    drive_enter(ring);
  }
}

static void cq_that_could_overflow_ends_the_program(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 4, 4);

  (void)state;
  drive_bind(ring);
  assert_aborts(fill_beyond_the_cq, ring, "could overflow"); /* all unread */
  sim_now()->hold = SIM_HOLD(SIM_READ);
  assert_aborts(fill_beyond_the_cq, ring, "could overflow"); /* all in flight */
  assert_int_equal(sqcq__ring_overflow(ring), 0);
  drive_close(ring);
}

static void refused_sqe_ends_the_batch_before_submit_all(void **state)
{
  static const char *const versions[] = {"5.10", "6.1"};

  (void)state;
  for (int i = 0; i < 2; i++) {
    struct sim_config config = sim_kernel(versions[i]);
    struct sqcq__ring *ring = drive_open(&config);
    struct drive_cqe cqes[64];
    char data[8];

    drive_read(ring, 1 << 20, data, 8, 0, 1);
    drive_read(ring, file, data, 8, 0, 2);
    drive_enter(ring);
    assert_int_equal(sqcq__ring_has_unsubmitted(ring), i == 0);
    drive_enter(ring);
    assert_int_equal(drive_reap(ring, cqes), 2);
    assert_int_equal(cqes[0].result, -EBADF);
    assert_int_equal(cqes[1].result, 8);
    drive_close(ring);
  }
}

/* ------------------------------------------------------------------------- */
/* Enter: errors, time, order                                                */
/* ------------------------------------------------------------------------- */

static void enter_that_fails_leaves_everything_as_it_is(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  uint64_t syscalls = 0;
  char data[8];

  (void)state;
  drive_read(ring, file, data, 8, 0, 1);
  sim_fail(SIM_CALL_ENTER, 0, 2, -ENOMEM);
  assert_error(sqcq__ring_enter(ring, 0, 0, &syscalls), -ENOMEM);
  assert_error(sqcq__ring_enter(ring, 1, -1, &syscalls), -ENOMEM);
  sim_now()->ebusy_percent = 100;
  assert_error(sqcq__ring_enter(ring, 0, 0, &syscalls), -EBUSY);
  sim_now()->ebusy_percent = 0;
  sim_now()->eagain_percent = 100;
  assert_error(sqcq__ring_enter(ring, 1, 0, &syscalls), -EAGAIN);
  assert_int_equal(syscalls, 4);
  assert_true(sqcq__ring_has_unsubmitted(ring));
  drive_expect_nothing(ring);
  sim_now()->eagain_percent = 0;
  drive_enter(ring);
  drive_expect(ring, 1, 8);
  assert_int_equal(sim_counts()->calls[SIM_CALL_ENTER], 5);
  assert_int_equal(sim_counts()->failed[SIM_CALL_ENTER], 4);
  drive_close(ring);
}

static void wait_sleeps_until_its_time_has_passed(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  uint64_t syscalls = 0;
  char data[8];

  (void)state;
  errno = 4321;
  int64_t start = test_now_ns();
  assert_error(sqcq__ring_enter(ring, 1, 20 * MS, &syscalls), -ETIME);
  assert_true(test_now_ns() - start >= 20 * MS);
  assert_error(sqcq__ring_enter(ring, 1, 0, &syscalls), -ETIME);
  sim_now()->hold = SIM_HOLD(SIM_READ); /* with something in flight that is held, likewise */
  drive_read(ring, file, data, 8, 0, 1);
  assert_error(sqcq__ring_enter(ring, 1, MS, &syscalls), -ETIME);
  assert_false(sqcq__ring_has_unsubmitted(ring));
  sim_now()->eintr_percent = 100;
  assert_error(sqcq__ring_enter(ring, 1, -1, &syscalls), -EINTR);
  sim_now()->eintr_percent = 0;
  sim_now()->hold = 0; /* what can complete is waited for, and interrupts nothing */
  assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls));
  drive_expect(ring, 1, 8);
  assert_int_equal(syscalls, 5);
  assert_int_equal(errno, 4321);
  drive_close(ring);
}

static void wait_without_ext_arg_takes_two_system_calls(void **state)
{
  struct sim_config config = sim_kernel("5.10");
  struct sqcq__ring *ring = drive_open(&config);
  uint64_t syscalls = 0;
  char data[8];

  (void)state;
  assert_error(sqcq__ring_enter(ring, 1, MS, &syscalls), -ETIME);
  assert_int_equal(syscalls, 2);
  drive_read(ring, file, data, 8, 0, 1);
  assert_ok(sqcq__ring_enter(ring, 1, MS, &syscalls)); /* there already: no need to sleep */
  assert_int_equal(syscalls, 3);
  drive_expect(ring, 1, 8);
  drive_close(ring);
}

static void *write_later(void *eventfd)
{
  test_sleep_ns(10 * MS);
  eventfd_write(*(int *)eventfd, 1);
  return NULL;
}

static void wait_ends_when_another_thread_writes_to_the_eventfd(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  uint64_t syscalls = 0;
  pthread_t thread;

  (void)state;
  for (int multishot = 0; multishot < 2; multishot++) {
    sqcq__prep_poll(drive_sqe(ring), wake, multishot != 0, 90);
    drive_enter(ring);
    drive_expect_nothing(ring);
    pthread_create(&thread, NULL, write_later, &wake);
    assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls));
    pthread_join(thread, NULL);
    drive_expect(ring, 90, 1);
    eventfd_t value;
    assert_ok(eventfd_read(wake, &value));
  }
  assert_true(sim_counts()->sleeps >= 2);
  close(wake);
  drive_close(ring);
}

static void completions_announce_themselves_by_a_flag_or_just_come(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_open(&config);
  char data[8];

  (void)state;
  sim_now()->hold = SIM_HOLD(SIM_READ);
  drive_read(ring, file, data, 8, 0, 1);
  drive_enter(ring);
  assert_false(sqcq__ring_wants_enter(ring));
  sim_now()->hold = 0;
  assert_true(sqcq__ring_wants_enter(ring));
  drive_expect_nothing(ring); /* only an enter brings it */
  drive_enter(ring);
  drive_expect(ring, 1, 8);
  assert_false(sqcq__ring_wants_enter(ring));
  drive_close(ring);

  config = sim_kernel("5.10");
  ring = drive_open(&config);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  drive_read(ring, file, data, 8, 0, 1);
  drive_enter(ring);
  sim_now()->hold = 0;
  assert_false(sqcq__ring_wants_enter(ring));
  drive_expect(ring, 1, 8);
  drive_close(ring);
}

/* Order and results of 64 reads under this seed, as one number. */
static uint64_t run_tape(uint64_t seed)
{
  struct sim_config config = sim_kernel("6.1");
  bool seen[64] = {false};
  char data[64][64];
  uint64_t hash = 0;
  uint32_t sent = 0;
  uint32_t got = 0;

  sim_unruly(&config, seed);
  struct sqcq__ring *ring = drive_open(&config);
  while (got < 64) {
    struct drive_cqe cqes[64];
    uint64_t syscalls = 0;

    for (; sent < 64 && sent - got < 16 && sqcq__ring_has_unsubmitted(ring) == false; sent++)
      drive_read(ring, file, data[sent], 64, sent * 64, sent);
    (void)sqcq__ring_enter(ring, sent % 3 == 0, 0, &syscalls);
    uint32_t count = drive_reap(ring, cqes);
    for (uint32_t i = 0; i < count; i++) {
      assert_in_range(cqes[i].user_data, 0, 63);
      assert_false(seen[cqes[i].user_data]);
      seen[cqes[i].user_data] = true;
      if (cqes[i].result > 0)
        assert_true(stamp_matches(data[cqes[i].user_data], TAG, cqes[i].user_data * 64,
                                  (size_t)cqes[i].result));
      hash ^= cqes[i].user_data << 32 ^ (uint32_t)cqes[i].result;
      hash = rng_mix(&hash);
      got++;
    }
  }
  assert_int_equal(sim_inflight(NULL, 0), 0);
  drive_close(ring);
  return hash;
}

static void unruly_ring_completes_everything_once_and_replays(void **state)
{
  uint64_t seed = rng_seed_from_env(20);
  uint32_t alike = 0;

  (void)state;
  for (uint64_t i = 0; i < 50; i++) {
    uint64_t hash = run_tape(seed + i);

    assert_int_equal(run_tape(seed + i), hash);
    alike += run_tape(seed + i + 1000) == hash;
  }
  assert_int_equal(alike, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(read_brings_the_bytes_of_the_file),
      cmocka_unit_test(read_by_fixed_file_and_buffer_is_told_apart),
      cmocka_unit_test(read_of_a_closed_descriptor_says_ebadf),
      cmocka_unit_test(reads_fail_and_fall_short_as_configured),
      cmocka_unit_test(sqe_is_null_while_the_queue_is_full),
      cmocka_unit_test(sqe_that_is_wrong_ends_the_program),
      cmocka_unit_test(cq_that_could_overflow_ends_the_program),
      cmocka_unit_test(refused_sqe_ends_the_batch_before_submit_all),
      cmocka_unit_test(enter_that_fails_leaves_everything_as_it_is),
      cmocka_unit_test(wait_sleeps_until_its_time_has_passed),
      cmocka_unit_test(wait_without_ext_arg_takes_two_system_calls),
      cmocka_unit_test(wait_ends_when_another_thread_writes_to_the_eventfd),
      cmocka_unit_test(completions_announce_themselves_by_a_flag_or_just_come),
      cmocka_unit_test(unruly_ring_completes_everything_once_and_replays),
  };

  return cmocka_run_group_tests(tests, setup_file, remove_file);
}
