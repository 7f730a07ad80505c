/*
 * Every argument of the functions on buffers, wrong in every way: the documented errno, and nothing
 * has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

static struct rig rig;
static struct sqcq_engine *other;
static sqcq_pool other_pool;
static sqcq_buffer foreign;
static sqcq_buffer wrapped;
static char memory[STAMP_PAGE];

static int setup(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 4, .buffer_size = 4096};

  rig_make(&rig);
  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_pool_create(other, &config, &other_pool));
  assert_count(sqcq_buffer_acquire(other, other_pool, &foreign, 1), 1);
  assert_ok(sqcq_buffer_wrap(rig.engine, memory, sizeof(memory), &wrapped));
  return 0;
}

static int teardown(void **state)
{
  assert_count(sqcq_buffer_release(other, &foreign, 1), 1);
  assert_ok(sqcq_engine_destroy(other, NULL));
  assert_ok(sqcq_buffer_unwrap(rig.engine, wrapped));
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

/* A request into it is accepted, and its completion not taken. */
static sqcq_buffer in_flight(void)
{
  struct sqcq_read read = rig_page(&rig, 1);

  assert_ok(sqcq_request(rig.engine, &read));
  return read.buffer;
}

static void land(void)
{
  struct sqcq_completion completion;

  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
  if (completion.buffer.id != wrapped.id)
    rig_release(&rig, completion.buffer);
}

static void acquire_with_bad_argument_is_refused(void **state)
{
  sqcq_buffer buffers[2] = {{7}, {8}};
  sqcq_pool beyond = {rig.pool.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS};

  assert_refused(&rig, sqcq_buffer_acquire(NULL, rig.pool, buffers, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, rig.pool, NULL, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, rig.pool, buffers, 0), -EINVAL);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, other_pool, buffers, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, beyond, buffers, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, (sqcq_pool){0}, buffers, 1), -ESTALE);
  assert_int_equal(buffers[0].id, 7);
  assert_int_equal(buffers[1].id, 8);
}

static void acquire_from_destroyed_pool_is_refused(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 1};
  sqcq_buffer buffer = {7};
  sqcq_pool pool, next;

  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), -ESTALE);
  assert_ok(sqcq_pool_create(rig.engine, &config, &next)); /* in the same place */
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), -ESTALE);
  assert_int_equal(buffer.id, 7);
  assert_ok(sqcq_pool_destroy(rig.engine, next));
}

static void acquire_from_empty_pool_is_refused_and_counted(void **state)
{
  sqcq_buffer buffers[RIG_BUFFERS];
  sqcq_buffer buffer = {7};
  uint64_t refused = rig_stats(&rig).refused_no_buffers;

  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers, RIG_BUFFERS), RIG_BUFFERS);
  assert_refused(&rig, sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1), -ENOBUFS);
  assert_int_equal(buffer.id, 7);
  assert_int_equal(rig_stats(&rig).refused_no_buffers, refused + 1);
  rig_release(&rig, buffers[0]);
  /* The place is the same, the handle is another one. */
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, UINT32_MAX), 1);
  assert_int_not_equal(buffer.id, buffers[0].id);
  buffers[0] = buffer;
  assert_count(sqcq_buffer_release(rig.engine, buffers, RIG_BUFFERS), RIG_BUFFERS);
}

static void release_with_bad_argument_is_refused(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  sqcq_buffer beyond = {buffer.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS};
  sqcq_buffer none = {0};

  assert_refused(&rig, sqcq_buffer_release(NULL, &buffer, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, NULL, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &buffer, 0), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &foreign, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &beyond, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &wrapped, 1), -EINVAL);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &none, 1), -ESTALE);
  rig_release(&rig, buffer);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &buffer, 1), -ESTALE);
}

static void release_in_flight_is_refused(void **state)
{
  sqcq_buffer buffer = in_flight();

  assert_refused(&rig, sqcq_buffer_release(rig.engine, &buffer, 1), -EBUSY);
  assert_true(sqcq_engine_poll(rig.engine) >= 0);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, &buffer, 1), -EBUSY);
  land();
}

static void release_of_several_ends_at_the_first_refused(void **state)
{
  sqcq_buffer buffers[5];

  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers, 3), 3);
  buffers[3] = buffers[1]; /* twice */
  buffers[4] = rig_buffer(&rig);
  assert_count(sqcq_buffer_release(rig.engine, buffers, 5), 3);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, buffers, 5), -ESTALE);
  assert_refused(&rig, sqcq_buffer_release(rig.engine, buffers + 3, 2), -ESTALE);
  assert_count(sqcq_buffer_release(rig.engine, buffers + 4, 1), 1);
}

static void data_and_size_of_what_is_not_yours_are_nothing(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  const sqcq_buffer beyond = {buffer.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS};
  const sqcq_buffer flying = in_flight();
  const sqcq_buffer bad[] = {{0}, foreign, beyond, flying};

  assert_null(sqcq_buffer_data(NULL, buffer));
  assert_int_equal(sqcq_buffer_size(NULL, buffer), 0);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_null(sqcq_buffer_data(rig.engine, bad[i]));
    assert_int_equal(sqcq_buffer_size(rig.engine, bad[i]), 0);
  }
  assert_non_null(sqcq_buffer_data(rig.engine, buffer));
  assert_int_equal(sqcq_buffer_size(rig.engine, buffer), STAMP_PAGE);
  assert_ptr_equal(sqcq_buffer_data(rig.engine, wrapped), memory);
  assert_int_equal(sqcq_buffer_size(rig.engine, wrapped), sizeof(memory));
  rig_release(&rig, buffer);
  assert_null(sqcq_buffer_data(rig.engine, buffer));
  assert_int_equal(sqcq_buffer_size(rig.engine, buffer), 0);
  land();
}

static void wrap_with_bad_argument_is_refused(void **state)
{
  sqcq_buffer buffer = {7};

  assert_refused(&rig, sqcq_buffer_wrap(NULL, memory, 1, &buffer), -EINVAL);
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, NULL, 1, &buffer), -EINVAL);
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, memory, 0, &buffer), -EINVAL);
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, memory, (size_t)SQCQ_LENGTH_MAX + 1, &buffer),
                 -EINVAL);
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, memory, SIZE_MAX, &buffer), -EINVAL);
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, memory, 1, NULL), -EINVAL);
  assert_int_equal(buffer.id, 7);
}

static void wrap_beyond_buffers_max_is_refused_until_one_is_unwrapped(void **state)
{
  sqcq_buffer buffers[43]; /* of 64; 20 are the pool's, and `wrapped` */
  sqcq_buffer buffer = {7};

  for (int i = 0; i < 43; i++)
    assert_ok(sqcq_buffer_wrap(rig.engine, memory, 1, &buffers[i]));
  assert_refused(&rig, sqcq_buffer_wrap(rig.engine, memory, 1, &buffer), -ENOSPC);
  assert_int_equal(buffer.id, 7);
  assert_ok(sqcq_buffer_unwrap(rig.engine, buffers[0]));
  assert_ok(sqcq_buffer_wrap(rig.engine, memory, 2, &buffer));
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, buffers[0]), -ESTALE);
  assert_int_equal(sqcq_buffer_size(rig.engine, buffer), 2);
  buffers[0] = buffer;
  for (int i = 0; i < 43; i++)
    assert_ok(sqcq_buffer_unwrap(rig.engine, buffers[i]));
}

static void unwrap_with_bad_argument_is_refused(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  sqcq_buffer gone;
  struct sqcq_read read = {
      .file = rig.file, .buffer = wrapped, .channel = rig.channel, .length = STAMP_PAGE};

  assert_refused(&rig, sqcq_buffer_unwrap(NULL, wrapped), -EINVAL);
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, foreign), -EINVAL);
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, buffer), -EINVAL);
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, (sqcq_buffer){0}), -ESTALE);
  assert_ok(sqcq_buffer_wrap(rig.engine, memory, 1, &gone));
  assert_ok(sqcq_buffer_unwrap(rig.engine, gone));
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, gone), -ESTALE);
  assert_ok(sqcq_request(rig.engine, &read));
  assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, wrapped), -EBUSY);
  land();
  rig_release(&rig, buffer);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(acquire_with_bad_argument_is_refused),
      CASE(acquire_from_destroyed_pool_is_refused),
      CASE(acquire_from_empty_pool_is_refused_and_counted),
      CASE(release_with_bad_argument_is_refused),
      CASE(release_in_flight_is_refused),
      CASE(release_of_several_ends_at_the_first_refused),
      CASE(data_and_size_of_what_is_not_yours_are_nothing),
      CASE(wrap_with_bad_argument_is_refused),
      CASE(wrap_beyond_buffers_max_is_refused_until_one_is_unwrapped),
      CASE(unwrap_with_bad_argument_is_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_buffers", tests, NULL, NULL);
}
