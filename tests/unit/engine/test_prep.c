/*
 * SQEs: every field that the kernel looks at is written, whatever was in the entry before; and what is packed into
 * user_data comes out again.
 */
#include "engine/prep.h"

#include "support/rng.h"
#include "support/test.h"

#include <liburing.h>

#include <fcntl.h>
#include <poll.h>
#include <sqcq/sqcq.h>
#include <string.h>
#include <sys/uio.h>

static struct io_uring_sqe sqe;

/* What an entry of an earlier lap may have left. */
static int dirty(void **state)
{
  (void)state;
  memset(&sqe, 0xa5, sizeof(sqe));
  return 0;
}

/* The fields that no operation of ours uses. */
static void assert_rest_is_zero(void)
{
  assert_int_equal(sqe.ioprio, 0);
  assert_int_equal(sqe.personality, 0);
  assert_int_equal(sqe.file_index, 0);
  assert_int_equal(sqe.__pad2[0], 0);
}

static void user_data_of_parts_gives_them_back(void **state)
{
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(2));
  for (int i = 0; i < 1000; i++) {
    enum sqcq__op op = (enum sqcq__op)rng_below(&rng, SQCQ__OP_UNTIMEOUT + 1);
    uint32_t slot = (uint32_t)rng_next(&rng);
    uint32_t generation = (uint32_t)rng_next(&rng);
    uint64_t user_data = sqcq__user_data(op, slot, generation);

    assert_int_equal(sqcq__user_data_op(user_data), op);
    assert_int_equal(sqcq__user_data_slot(user_data), slot);
    assert_int_equal(sqcq__user_data_generation(user_data), generation & 0x1fffffff);
  }
}

static void user_data_generation_wraps_inside_its_bits(void **state)
{
  uint64_t last = sqcq__user_data(SQCQ__OP_READ, 7, 0x1fffffff);
  uint64_t first = sqcq__user_data(SQCQ__OP_READ, 7, 0x20000000);

  assert_int_equal(first, sqcq__user_data(SQCQ__OP_READ, 7, 0));
  assert_int_not_equal(last, first);
  assert_int_equal(sqcq__user_data_slot(first), 7);
  assert_int_equal(sqcq__user_data_op(first), SQCQ__OP_READ);
  assert_true(SQCQ__OP_CLOSE < 1 << SQCQ__OP_BITS);
}

static void user_data_of_a_cancel_differs_from_its_targets(void **state)
{
  assert_int_not_equal(sqcq__user_data(SQCQ__OP_READ, 1, 2),
                       sqcq__user_data(SQCQ__OP_CANCEL, 1, 2));
  assert_int_not_equal(sqcq__user_data(SQCQ__OP_READ, 0, 0), sqcq__user_data(SQCQ__OP_WAKE, 0, 0));
}

static void prep_read_of_a_descriptor_fills_the_whole_sqe(void **state)
{
  char data[16];
  struct sqcq__read_target target = {.data = data,
                                     .offset = UINT64_C(0x123456789abc),
                                     .length = 0x7ffff000,
                                     .fd = 42,
                                     .fixed_buffer = -1};

  sqcq__prep_read(&sqe, &target, 0xfeed);
  assert_int_equal(sqe.opcode, IORING_OP_READ);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.fd, 42);
  assert_int_equal(sqe.off, UINT64_C(0x123456789abc));
  assert_int_equal(sqe.addr, (uintptr_t)data);
  assert_int_equal(sqe.len, 0x7ffff000);
  assert_int_equal(sqe.rw_flags, 0);
  assert_int_equal(sqe.buf_index, 0);
  assert_int_equal(sqe.user_data, 0xfeed);
  assert_rest_is_zero();
}

static void prep_read_at_the_current_position_is_offset_minus_one(void **state)
{
  struct sqcq__read_target target = {.offset = UINT64_MAX, .length = 1, .fixed_buffer = -1};

  sqcq__prep_read(&sqe, &target, 1);
  assert_int_equal(sqe.off, UINT64_MAX);
}

static void prep_read_of_a_fixed_file_says_so(void **state)
{
  struct sqcq__read_target target = {.length = 1, .fd = 3, .fixed_file = true, .fixed_buffer = -1};

  sqcq__prep_read(&sqe, &target, 1);
  assert_int_equal(sqe.opcode, IORING_OP_READ);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
  assert_int_equal(sqe.fd, 3);
}

static void prep_read_into_a_fixed_buffer_names_it(void **state)
{
  char data[16];
  struct sqcq__read_target target = {
      .data = data, .offset = 4096, .length = 16, .fd = 3, .fixed_buffer = 0};

  sqcq__prep_read(&sqe, &target, 9);
  assert_int_equal(sqe.opcode, IORING_OP_READ_FIXED);
  assert_int_equal(sqe.buf_index, 0);
  assert_int_equal(sqe.flags, 0);
  target.fixed_buffer = 1234;
  target.fixed_file = true;
  dirty(NULL);
  sqcq__prep_read(&sqe, &target, 9);
  assert_int_equal(sqe.opcode, IORING_OP_READ_FIXED);
  assert_int_equal(sqe.buf_index, 1234);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
  assert_int_equal(sqe.addr, (uintptr_t)data);
  assert_int_equal(sqe.off, 4096);
  assert_int_equal(sqe.len, 16);
  assert_int_equal(sqe.rw_flags, 0);
  assert_int_equal(sqe.user_data, 9);
  assert_rest_is_zero();
}

static void prep_vector_names_iovecs_and_how_many(void **state)
{
  struct iovec iovecs[3];
  struct sqcq__read_target target = {
      .data = iovecs, .offset = 512, .length = 3, .fd = 4, .fixed_buffer = -1};

  sqcq__prep_vector(&sqe, &target, 11);
  assert_int_equal(sqe.opcode, IORING_OP_READV);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.fd, 4);
  assert_int_equal(sqe.addr, (uintptr_t)iovecs);
  assert_int_equal(sqe.len, 3);
  assert_int_equal(sqe.off, 512);
  assert_int_equal(sqe.rw_flags, 0);
  assert_int_equal(sqe.buf_index, 0);
  assert_int_equal(sqe.user_data, 11);
  assert_rest_is_zero();
  target.fixed_file = true;
  sqcq__prep_vector(&sqe, &target, 11);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
}

static void prep_advice_names_what_the_file_is_to_expect(void **state)
{
  struct sqcq__read_target target = {.offset = 4096, .length = 0, .fd = 5, .fixed_buffer = -1};

  sqcq__prep_advice(&sqe, &target, true, 12);
  assert_int_equal(sqe.opcode, IORING_OP_FADVISE);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.fd, 5);
  assert_int_equal(sqe.off, 4096);
  assert_int_equal(sqe.len, 0);
  assert_int_equal(sqe.addr, 0); /* a length of 64 bits since 6.10 */
  assert_int_equal(sqe.fadvise_advice, POSIX_FADV_WILLNEED);
  assert_int_equal(sqe.buf_index, 0);
  assert_int_equal(sqe.user_data, 12);
  assert_rest_is_zero();
  target.fixed_file = true;
  target.length = 99;
  sqcq__prep_advice(&sqe, &target, false, 12);
  assert_int_equal(sqe.fadvise_advice, POSIX_FADV_DONTNEED);
  assert_int_equal(sqe.len, 99);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
}

static void prep_hints_put_each_flag_in_its_place(void **state)
{
  struct sqcq__read_target target = {.length = 1, .fd = 3, .fixed_file = true, .fixed_buffer = -1};

  sqcq__prep_read(&sqe, &target, 1);
  sqcq__prep_hints(&sqe, 0, 0);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
  assert_int_equal(sqe.rw_flags, 0);
  assert_rest_is_zero();
  sqcq__prep_hints(&sqe, SQCQ_READ_NOWAIT, 0);
  assert_int_equal(sqe.rw_flags, RWF_NOWAIT);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE);
  sqcq__prep_hints(&sqe, SQCQ_READ_DONTCACHE, 0);
  assert_int_equal(sqe.rw_flags, RWF_NOWAIT | 0x80);
  sqcq__prep_read(&sqe, &target, 1);
  sqcq__prep_hints(&sqe, SQCQ_READ_ASYNC, 0x4007);
  assert_int_equal(sqe.flags, IOSQE_FIXED_FILE | IOSQE_ASYNC);
  assert_int_equal(sqe.rw_flags, 0);
  assert_int_equal(sqe.ioprio, 0x4007);
}

static void prep_cancel_names_its_target_exactly(void **state)
{
  sqcq__prep_cancel(&sqe, UINT64_C(0xaabbccdd11223344), 5);
  assert_int_equal(sqe.opcode, IORING_OP_ASYNC_CANCEL);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.addr, UINT64_C(0xaabbccdd11223344));
  assert_int_equal(sqe.cancel_flags, 0); /* by user_data: works from 5.5 on */
  assert_int_equal(sqe.off, 0);
  assert_int_equal(sqe.len, 0);
  assert_int_equal(sqe.user_data, 5);
  assert_rest_is_zero();
}

static void prep_close_names_the_descriptor(void **state)
{
  sqcq__prep_close(&sqe, 17, false, 6);
  assert_int_equal(sqe.opcode, IORING_OP_CLOSE);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.fd, 17);
  assert_int_equal(sqe.addr, 0);
  assert_int_equal(sqe.off, 0);
  assert_int_equal(sqe.len, 0);
  assert_int_equal(sqe.rw_flags, 0);
  assert_int_equal(sqe.buf_index, 0);
  assert_int_equal(sqe.user_data, 6);
  assert_rest_is_zero(); /* file_index 0: no slot of the table */
}

static void prep_poll_once_or_for_good(void **state)
{
  sqcq__prep_poll(&sqe, 9, false, 7);
  assert_int_equal(sqe.opcode, IORING_OP_POLL_ADD);
  assert_int_equal(sqe.fd, 9);
  assert_int_equal(sqe.len, 0);
  assert_int_equal(sqe.poll32_events & 0xffff, POLLIN);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.addr, 0);
  assert_int_equal(sqe.user_data, 7);
  assert_rest_is_zero();
  dirty(NULL);
  sqcq__prep_poll(&sqe, 9, true, 7);
  assert_int_equal(sqe.opcode, IORING_OP_POLL_ADD);
  assert_int_equal(sqe.len, IORING_POLL_ADD_MULTI);
  assert_int_equal(sqe.user_data, 7);
}

static void prep_timeout_is_absolute(void **state)
{
  static const struct sqcq__ring_time at = {.seconds = 1};

  sqcq__prep_timeout(&sqe, &at, 7);
  assert_int_equal(sqe.opcode, IORING_OP_TIMEOUT);
  assert_int_equal(sqe.fd, -1);
  assert_int_equal(sqe.addr, (uintptr_t)&at);
  assert_int_equal(sqe.len, 1);
  assert_int_equal(sqe.off, 0);
  assert_int_equal(sqe.timeout_flags, IORING_TIMEOUT_ABS);
  assert_int_equal(sqe.flags, 0);
  assert_int_equal(sqe.user_data, 7);
  assert_rest_is_zero();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(user_data_of_parts_gives_them_back),
      cmocka_unit_test(user_data_generation_wraps_inside_its_bits),
      cmocka_unit_test(user_data_of_a_cancel_differs_from_its_targets),
      cmocka_unit_test_setup(prep_read_of_a_descriptor_fills_the_whole_sqe, dirty),
      cmocka_unit_test_setup(prep_read_at_the_current_position_is_offset_minus_one, dirty),
      cmocka_unit_test_setup(prep_read_of_a_fixed_file_says_so, dirty),
      cmocka_unit_test_setup(prep_read_into_a_fixed_buffer_names_it, dirty),
      cmocka_unit_test_setup(prep_vector_names_iovecs_and_how_many, dirty),
      cmocka_unit_test_setup(prep_advice_names_what_the_file_is_to_expect, dirty),
      cmocka_unit_test_setup(prep_hints_put_each_flag_in_its_place, dirty),
      cmocka_unit_test_setup(prep_cancel_names_its_target_exactly, dirty),
      cmocka_unit_test_setup(prep_close_names_the_descriptor, dirty),
      cmocka_unit_test_setup(prep_poll_once_or_for_good, dirty),
      cmocka_unit_test_setup(prep_timeout_is_absolute, dirty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
