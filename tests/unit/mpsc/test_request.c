/*
 * The layout of a request: one cache line, every field where the others leave room for it.
 */
#include "mpsc/request.h"

#include "support/test.h"

#include <sqcq/sqcq.h>

#include <stddef.h>

#define FIELD(name) (sizeof(((struct sqcq__request *)NULL)->name))
#define assert_place(name, offset, size)                                                           \
  do {                                                                                             \
    assert_int_equal(offsetof(struct sqcq__request, name), (offset));                              \
    assert_int_equal(FIELD(name), (size));                                                         \
  } while (0)

static void request_fields_fill_one_line_without_gaps(void **state)
{
  assert_int_equal(sizeof(struct sqcq__request), 64);
  assert_place(file, 0, 8);
  assert_place(buffer, 8, 8);
  assert_place(offset, 16, 8);
  assert_place(user_data, 24, 8);
  assert_place(deadline_ns, 32, 8);
  assert_place(accepted_ns, 40, 8);
  assert_place(length, 48, 4);
  assert_place(buffer_offset, 52, 4);
  assert_place(cancel_epoch, 56, 4);
  assert_place(ioprio, 60, 2);
  assert_place(op, 62, 1);
  assert_place(hints, 63, 1);
}

static void request_channel_and_pool_are_the_tags_of_its_handles(void **state)
{
  uint64_t file = sqcq__handle(7, 0x12345, 0x001);
  uint64_t buffer = sqcq__handle(9, 0x54321, 0x001);
  struct sqcq__request request = {.file = sqcq__handle_retag(file, 0xfff),
                                  .buffer = sqcq__handle_retag(buffer, 0x7ff)};

  assert_int_equal(sqcq__request_channel(&request), 0xfff);
  assert_int_equal(sqcq__request_pool(&request), 0x7ff);
  assert_int_equal(sqcq__handle_retag(request.file, 0x001), file);
  assert_int_equal(sqcq__handle_retag(request.buffer, 0x001), buffer);
}

static void request_bounds_of_the_api_fit_the_fields(void **state)
{
  assert_true(SQCQ_CHANNELS_MAX - 1 <= SQCQ__TAG_MASK);
  assert_true(SQCQ_POOLS_MAX - 1 < SQCQ__POOL_WRAPPED); /* no pool is taken for wrapped memory */
  assert_true(SQCQ_FILES_MAX - 1 <= SQCQ__INDEX_MASK);
  assert_true(SQCQ_BUFFERS_MAX - 1 <= SQCQ__INDEX_MASK);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(request_fields_fill_one_line_without_gaps),
      cmocka_unit_test(request_channel_and_pool_are_the_tags_of_its_handles),
      cmocka_unit_test(request_bounds_of_the_api_fit_the_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
