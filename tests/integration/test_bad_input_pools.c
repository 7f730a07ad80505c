/*
 * Every argument of the functions that make and destroy pools, wrong in every way: the documented
 * errno, and nothing has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

static struct rig rig;

static int setup(void **state)
{
  rig_make(&rig);
  return 0;
}

static int teardown(void **state)
{
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

static void pool_create_with_bad_argument_is_refused(void **state)
{
  const struct sqcq_pool_config good = {.size = sizeof(good), .count = 1, .buffer_size = 1};
  const struct sqcq_pool_config bad[] = {
      {.size = 0, .count = 1, .buffer_size = 1},
      {.size = 4, .count = 1, .buffer_size = 1},
      {.size = 8, .count = 1, .buffer_size = 1},  /* so no count */
      {.size = 16, .count = 1, .buffer_size = 1}, /* so no buffer_size */
      {.size = 4097, .count = 1, .buffer_size = 1},
      {.size = sizeof(good), .count = 0, .buffer_size = 1},
      {.size = sizeof(good), .count = 1, .buffer_size = 0},
      {.size = sizeof(good), .count = 1, .buffer_size = (uint64_t)SQCQ_LENGTH_MAX + 1},
      {.size = sizeof(good), .count = 1, .buffer_size = UINT64_MAX},
      {.size = sizeof(good), .count = 1, .buffer_size = 1, .align = 3},
      {.size = sizeof(good), .count = 1, .buffer_size = 1, .align = 4u << 20},
      {.size = sizeof(good), .count = 1, .buffer_size = 1, .align = UINT32_MAX},
      {.size = sizeof(good), .count = 1, .buffer_size = 1, .flags = 1u << 3},
      {.size = sizeof(good), .count = 1, .buffer_size = 1, .flags = UINT32_MAX},
  };
  struct {
    struct sqcq_pool_config config;
    uint64_t beyond;
  } larger;
  const sqcq_pool mark = {UINT64_C(0xfeedfeedfeedfeed)};
  sqcq_pool pool = mark;

  memset(&larger, 0, sizeof(larger));
  larger.config = good;
  larger.config.size = sizeof(larger);
  larger.beyond = 1;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    assert_refused(&rig, sqcq_pool_create(rig.engine, &bad[i], &pool), -EINVAL);
  assert_refused(&rig, sqcq_pool_create(rig.engine, &larger.config, &pool), -EINVAL);
  assert_refused(&rig, sqcq_pool_create(NULL, &good, &pool), -EINVAL);
  assert_refused(&rig, sqcq_pool_create(rig.engine, NULL, &pool), -EINVAL);
  assert_refused(&rig, sqcq_pool_create(rig.engine, &good, NULL), -EINVAL);
  assert_int_equal(pool.id, mark.id);
}

static void pool_create_beyond_the_bounds_is_refused(void **state)
{
  /* 20 of 64 buffers are the rig's pool's, and 1 of 4 pools. */
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 45, .buffer_size = 1};
  const sqcq_pool mark = {UINT64_C(0xfeedfeedfeedfeed)};
  sqcq_pool pool = mark;
  sqcq_pool pools[3];

  assert_refused(&rig, sqcq_pool_create(rig.engine, &config, &pool), -ENOSPC);
  config.count = UINT32_MAX;
  assert_refused(&rig, sqcq_pool_create(rig.engine, &config, &pool), -ENOSPC);
  config.count = 1;
  for (int i = 0; i < 3; i++)
    assert_ok(sqcq_pool_create(rig.engine, &config, &pools[i]));
  assert_refused(&rig, sqcq_pool_create(rig.engine, &config, &pool), -ENOSPC);
  assert_int_equal(pool.id, mark.id);
  for (int i = 0; i < 3; i++)
    assert_ok(sqcq_pool_destroy(rig.engine, pools[i]));
}

static void pool_create_strict_fixed_after_the_first_turn_is_refused(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config),
                                    .count = 1,
                                    .buffer_size = 4096,
                                    .flags = SQCQ_POOL_FIXED | SQCQ_POOL_STRICT};
  sqcq_pool pool = {7};

  assert_count(sqcq_engine_poll(rig.engine), 0);
  assert_refused(&rig, sqcq_pool_create(rig.engine, &config, &pool), -EBUSY);
  assert_int_equal(pool.id, 7);
  config.flags = SQCQ_POOL_FIXED;
  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
}

static void pool_destroy_with_bad_argument_is_refused(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 1};
  struct sqcq_engine *other = NULL;
  sqcq_pool foreign, pool;
  sqcq_buffer buffer = rig_buffer(&rig);

  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_pool_create(other, &config, &foreign));
  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  assert_refused(&rig, sqcq_pool_destroy(NULL, rig.pool), -EINVAL);
  assert_refused(&rig, sqcq_pool_destroy(rig.engine, foreign), -EINVAL);
  assert_refused(&rig, sqcq_pool_destroy(rig.engine, (sqcq_pool){0}), -ESTALE);
  assert_refused(&rig, sqcq_pool_destroy(rig.engine, rig.pool), -EBUSY);
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
  assert_refused(&rig, sqcq_pool_destroy(rig.engine, pool), -ESTALE);
  rig_release(&rig, buffer);
  assert_ok(sqcq_engine_destroy(other, NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(pool_create_with_bad_argument_is_refused),
      CASE(pool_create_beyond_the_bounds_is_refused),
      CASE(pool_create_strict_fixed_after_the_first_turn_is_refused),
      CASE(pool_destroy_with_bad_argument_is_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_pools", tests, NULL, NULL);
}
