/*
 * Every field of a read, and every argument of the functions that hand reads in, wrong in every way:
 * the documented errno, the right counter, and nothing has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <stddef.h>

static struct rig rig;
static struct sqcq_engine *other;
static sqcq_file other_file;
static sqcq_channel other_channel;
static sqcq_pool other_pool;
static sqcq_buffer other_buffer;
static struct sqcq_read good; /* its buffer is ours */

static int setup(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 4, .buffer_size = 4096};

  rig_make(&rig);
  good = rig_page(&rig, 3);
  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_file_add(other, rig.fd, &other_file));
  assert_ok(sqcq_channel_create(other, NULL, &other_channel));
  assert_ok(sqcq_pool_create(other, &config, &other_pool));
  assert_count(sqcq_buffer_acquire(other, other_pool, &other_buffer, 1), 1);
  return 0;
}

static int teardown(void **state)
{
  struct sqcq_completion completion;

  /* The same read, with nothing wrong in it. */
  assert_ok(sqcq_request(rig.engine, &good));
  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
  rig_release(&rig, completion.buffer);
  assert_count(sqcq_buffer_release(other, &other_buffer, 1), 1);
  assert_ok(sqcq_engine_destroy(other, NULL));
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

static uint64_t *refusals(struct sqcq_stats *stats, int error)
{
  switch (error) {
  case -EAGAIN:
    return &stats->refused_again;
  case -EXFULL:
    return &stats->refused_full;
  case -EPIPE:
    return &stats->refused_closed;
  case -EBADF:
    return &stats->refused_file;
  case -ESTALE:
  case -EBUSY:
    return &stats->refused_buffer;
  case -ESHUTDOWN:
    return &stats->refused_stopping;
  default:
    return &stats->refused_invalid;
  }
}

/* Refused alone, at the head of a batch, and behind a good one, which alone is accepted. */
static void refuse(const struct sqcq_read *read, int error)
{
  struct sqcq_stats before = rig_stats(&rig);
  struct sqcq_stats after;
  struct sqcq_completion completion;
  struct sqcq_read batch[3] = {*read, good, *read};

  assert_refused(&rig, sqcq_request(rig.engine, read), error);
  assert_refused(&rig, sqcq_request_many(rig.engine, batch, 3), error);
  after = rig_stats(&rig);
  assert_int_equal(*refusals(&after, error), *refusals(&before, error) + 2);
  if (read->buffer.id == good.buffer.id)
    return; /* it would be refused for that */
  assert_count(sqcq_request_many(rig.engine, batch + 1, 2), 1);
  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
  rig_expect_nothing(&rig, rig.channel);
  assert_int_equal(completion.buffer.id, good.buffer.id);
}

static void request_null_is_refused(void **state)
{
  uint64_t invalid = rig_stats(&rig).refused_invalid;

  assert_refused(&rig, sqcq_request(NULL, &good), -EINVAL);
  assert_refused(&rig, sqcq_request(rig.engine, NULL), -EINVAL);
  assert_refused(&rig, sqcq_request_many(NULL, &good, 1), -EINVAL);
  assert_refused(&rig, sqcq_request_many(rig.engine, NULL, 1), -EINVAL);
  assert_refused(&rig, sqcq_request_many(rig.engine, &good, 0), -EINVAL);
  assert_int_equal(rig_stats(&rig).refused_invalid, invalid + 3);
}

static void request_with_bad_length_is_refused(void **state)
{
  static const struct {
    uint32_t length, offset;
  } bad[] = {
      {0, 0},          {0, STAMP_PAGE},      {STAMP_PAGE + 1, 0},
      {STAMP_PAGE, 1}, {1, STAMP_PAGE},      {1, STAMP_PAGE + 1},
      {1, UINT32_MAX}, {UINT32_MAX, 0},      {UINT32_MAX, 1}, /* their sum wraps around */
      {2, UINT32_MAX}, {SQCQ_LENGTH_MAX, 0}, {SQCQ_LENGTH_MAX + 1, 0},
  };

  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct sqcq_read read = good;

    read.length = bad[i].length;
    read.buffer_offset = bad[i].offset;
    refuse(&read, -EINVAL);
  }
}

/* A buffer as large as can be, so that the length alone is wrong. */
static void request_over_the_longest_read_is_refused(void **state)
{
  static char memory[1];
  struct sqcq_read read = good;

  assert_ok(sqcq_buffer_wrap(rig.engine, memory, SQCQ_LENGTH_MAX, &read.buffer));
  read.length = SQCQ_LENGTH_MAX + 1;
  refuse(&read, -EINVAL);
  assert_ok(sqcq_buffer_unwrap(rig.engine, read.buffer));
}

static void request_with_bad_offset_is_refused(void **state)
{
  static const uint64_t bad[] = {(uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_C(1) << 63};

  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct sqcq_read read = good;

    read.offset = bad[i];
    refuse(&read, -EINVAL);
  }
}

static void request_with_field_that_must_be_zero_is_refused(void **state)
{
  for (int i = 0; i < 4; i++) {
    struct sqcq_read read = good;

    read.flags = i == 0 ? 1u << 6 : i == 1 ? 1u << 31 : 0;
    read.ioprio = i == 2 ? 1 : 0;
    read.buffer_count = i == 3 ? UINT16_MAX : 0;
    refuse(&read, -EINVAL);
  }
}

static void request_with_deadline_beyond_the_clock_is_refused(void **state)
{
  struct sqcq_read read = good;

  read.deadline_ns = (uint64_t)INT64_MAX + 1;
  refuse(&read, -EINVAL);
  read.deadline_ns = UINT64_MAX;
  refuse(&read, -EINVAL);
}

static void request_with_bad_file_is_refused(void **state)
{
  struct sqcq_read read = good;

  read.file = other_file;
  refuse(&read, -EINVAL);
  read.file.id = rig.file.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  refuse(&read, -EINVAL);
  read.file.id = 0;
  refuse(&read, -EBADF);
  read.file.id = rig.file.id + (UINT64_C(1) << 32); /* of a generation to come */
  refuse(&read, -EBADF);

  assert_ok(sqcq_file_add(rig.engine, rig.fd, &read.file));
  assert_ok(sqcq_file_remove(rig.engine, read.file, SQCQ_REMOVE_DEFAULT));
  refuse(&read, -EBADF); /* removed */
  rig_expect_nothing(&rig, rig.channel);
  refuse(&read, -EBADF); /* closed */
  sqcq_file next;
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &next));
  assert_int_equal(sqcq__handle_index(next.id), sqcq__handle_index(read.file.id));
  refuse(&read, -EBADF); /* another one has its place */
  assert_ok(sqcq_file_remove(rig.engine, next, SQCQ_REMOVE_DEFAULT));
}

static void request_with_bad_channel_is_refused(void **state)
{
  struct sqcq_read read = good;
  sqcq_channel next;

  read.channel = other_channel;
  refuse(&read, -EINVAL);
  read.channel.id = rig.channel.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  refuse(&read, -EINVAL);
  read.channel.id = 0;
  refuse(&read, -EPIPE);
  read.channel.id = rig.channel.id + (UINT64_C(1) << 32);
  refuse(&read, -EPIPE);

  assert_ok(sqcq_channel_create(rig.engine, NULL, &read.channel));
  assert_ok(sqcq_channel_destroy(rig.engine, read.channel));
  refuse(&read, -EPIPE);
  rig_expect_nothing(&rig, rig.channel);
  refuse(&read, -EPIPE);
  assert_ok(sqcq_channel_create(rig.engine, NULL, &next));
  assert_int_equal(sqcq__handle_index(next.id), sqcq__handle_index(read.channel.id));
  refuse(&read, -EPIPE);
  assert_ok(sqcq_channel_destroy(rig.engine, next));
}

static void request_with_bad_buffer_is_refused(void **state)
{
  struct sqcq_read read = good;
  sqcq_buffer released = rig_buffer(&rig);

  rig_release(&rig, released);
  read.buffer = other_buffer;
  refuse(&read, -EINVAL);
  read.buffer.id = good.buffer.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  refuse(&read, -EINVAL);
  read.buffer.id = 0;
  refuse(&read, -ESTALE);
  read.buffer = released;
  refuse(&read, -ESTALE);
  read.buffer.id = good.buffer.id + (UINT64_C(1) << 32);
  refuse(&read, -ESTALE);
}

static void request_with_buffer_in_flight_is_refused(void **state)
{
  struct sqcq_completion completion;
  struct sqcq_read twice[2] = {good, good};

  assert_count(sqcq_request_many(rig.engine, twice, 2), 1);
  assert_refused(&rig, sqcq_request(rig.engine, &good), -EBUSY);
  while (rig_stats(&rig).completed == 0)
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
  assert_refused(&rig, sqcq_request(rig.engine, &good), -EBUSY); /* its completion is not taken */
  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
}

/* What only the kernel can judge arrives as the completion's result. */
static void request_that_only_the_kernel_can_judge_is_accepted(void **state)
{
  static const struct {
    uint64_t offset;
    int32_t result;
  } cases[] = {
      {INT64_MAX, -EINVAL}, /* pread's: offset and length wrap around */
      {INT64_MAX - STAMP_PAGE, 0},
      {(uint64_t)RIG_PAGES * STAMP_PAGE, 0},
      {(uint64_t)RIG_PAGES * STAMP_PAGE - 1, 1},
  };
  char *byte = malloc(STAMP_PAGE);
  struct sqcq_completion completion;
  struct sqcq_read read = good;

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    ssize_t said = pread(rig.fd, byte, STAMP_PAGE, (off_t)cases[i].offset);

    assert_int_equal(said < 0 ? -errno : said, cases[i].result);
    read.offset = cases[i].offset;
    assert_ok(sqcq_request(rig.engine, &read));
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, cases[i].result);
    assert_int_equal(completion.flags, 0);
  }
  free(byte);
}

/* The descriptor's own position is an offset like others: a second read goes on where one ended. */
static void request_at_the_current_offset_is_accepted_for_any_file(void **state)
{
  struct sqcq_completion completion;
  struct sqcq_read read = good;

  assert_int_equal(lseek(rig.fd, 2 * STAMP_PAGE, SEEK_SET), 2 * STAMP_PAGE);
  read.offset = SQCQ_OFFSET_CURRENT;
  for (uint64_t page = 2; page < 4; page++) {
    assert_ok(sqcq_request(rig.engine, &read));
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, STAMP_PAGE);
    assert_true(completion.offset == SQCQ_OFFSET_CURRENT);
    assert_true(stamp_matches(completion.data, RIG_TAG, page * STAMP_PAGE, STAMP_PAGE));
  }
  assert_int_equal(lseek(rig.fd, 0, SEEK_CUR), 4 * STAMP_PAGE);
}

static void request_unaligned_with_o_direct_gets_the_kernels_answer(void **state)
{
  static const struct {
    uint32_t length, buffer_offset;
    uint64_t offset;
  } cases[] = {{STAMP_PAGE, 0, 1}, {100, 0, 0}, {512, 1, 0}};
  char *path = temp_path(&rig.dir, "stamped");
  struct sqcq_completion completion;
  struct sqcq_read read = good;
  void *memory = NULL;
  int fd = open(path, O_RDONLY | O_DIRECT);

  if (fd < 0) {
    print_message("no O_DIRECT in this file system: not looked at\n");
    free(path);
    return;
  }
  assert_int_equal(posix_memalign(&memory, STAMP_PAGE, 2 * STAMP_PAGE), 0);
  assert_ok(sqcq_file_add(rig.engine, fd, &read.file));
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    ssize_t said =
        pread(fd, (char *)memory + cases[i].buffer_offset, cases[i].length, (off_t)cases[i].offset);
    int32_t expected = said < 0 ? -errno : (int32_t)said;

    read.length = cases[i].length;
    read.buffer_offset = cases[i].buffer_offset;
    read.offset = cases[i].offset;
    assert_ok(sqcq_request(rig.engine, &read));
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, expected);
    if (i == 0)
      assert_int_equal(completion.result, -EINVAL);
  }
  assert_ok(sqcq_file_remove(rig.engine, read.file, SQCQ_REMOVE_DEFAULT));
  free(memory);
  free(path);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(request_null_is_refused),
      CASE(request_with_bad_length_is_refused),
      CASE(request_over_the_longest_read_is_refused),
      CASE(request_with_bad_offset_is_refused),
      CASE(request_with_field_that_must_be_zero_is_refused),
      CASE(request_with_deadline_beyond_the_clock_is_refused),
      CASE(request_with_bad_file_is_refused),
      CASE(request_with_bad_channel_is_refused),
      CASE(request_with_bad_buffer_is_refused),
      CASE(request_with_buffer_in_flight_is_refused),
      CASE(request_that_only_the_kernel_can_judge_is_accepted),
      CASE(request_at_the_current_offset_is_accepted_for_any_file),
      CASE(request_unaligned_with_o_direct_gets_the_kernels_answer),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_requests", tests, NULL, NULL);
}
