/*
 * Every argument of the functions that make and destroy an engine and channels, wrong in every
 * way: the documented errno, and nothing has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <stddef.h>

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

/* ------------------------------------------------------------------------- */
/* The engine                                                                */
/* ------------------------------------------------------------------------- */

/* Refused by the named field, with *engine untouched and no descriptor left. */
static void refuse_config(const struct sqcq_engine_config *config, const char *field)
{
  struct sqcq_engine *mark = (struct sqcq_engine *)(void *)&rig;
  struct sqcq_engine *engine = mark;
  struct sqcq_explanation why;

  memset(&why, 0xee, sizeof(why));
  assert_refused(&rig, sqcq_engine_create(&engine, config, &why), -EINVAL);
  assert_ptr_equal(engine, mark);
  assert_int_equal(why.error, -EINVAL);
  assert_int_equal(why.reason, SQCQ_REASON_CONFIG);
  assert_non_null(memchr(why.text, '\0', sizeof(why.text)));
  if (strstr(why.text, field) == NULL)
    fail_msg("%s is not named: %s", field, why.text);
  assert_refused(&rig, sqcq_engine_create(&engine, config, NULL), -EINVAL);
  assert_ptr_equal(engine, mark);
}

static void create_without_engine_is_refused(void **state)
{
  struct sqcq_explanation why;
  struct sqcq_engine_config config = rig_config();

  assert_refused(&rig, sqcq_engine_create(NULL, &config, &why), -EINVAL);
  assert_int_equal(why.error, -EINVAL);
  assert_refused(&rig, sqcq_engine_create(NULL, NULL, NULL), -EINVAL);
}

static void create_with_field_out_of_range_is_refused(void **state)
{
  static const struct {
    size_t offset;
    const char *name;
    uint32_t values[4]; /* up to a 0 behind the first */
  } cases[] = {
#define FIELD(field, ...)                                                                          \
  {                                                                                                \
    offsetof(struct sqcq_engine_config, field), #field,                                            \
    {                                                                                              \
      __VA_ARGS__                                                                                  \
    }                                                                                              \
  }
      FIELD(flags, 1u << 6, 1u << 31, UINT32_MAX),
      FIELD(depth, 0),
      FIELD(depth, 3, 33, UINT32_MAX),
      FIELD(depth, SQCQ_DEPTH_MAX + 1, SQCQ_DEPTH_MAX * 2, 1u << 31),
      FIELD(requests_max, SQCQ_REQUESTS_MAX + 1, UINT32_MAX),
      FIELD(channels_max, 33, SQCQ_CHANNELS_MAX, UINT32_MAX), /* depth is 32 */
      FIELD(lanes_shared, SQCQ_LANES_SHARED_MAX + 1, UINT32_MAX),
      FIELD(lanes_own, SQCQ_LANES_OWN_MAX + 1, UINT32_MAX),
      FIELD(lane_slots, 3, 255, SQCQ_LANE_SLOTS_MAX + 1, SQCQ_LANE_SLOTS_MAX * 2),
      FIELD(files_max, SQCQ_FILES_MAX + 1, UINT32_MAX),
      FIELD(files_fixed, SQCQ_FILES_FIXED_MAX + 1, UINT32_MAX),
      FIELD(pools_max, SQCQ_POOLS_MAX + 1, UINT32_MAX),
      FIELD(buffers_max, SQCQ_BUFFERS_MAX + 1, UINT32_MAX),
      FIELD(idle, SQCQ_IDLE_BUSY + 1, UINT32_MAX),
      FIELD(sqpoll_cpu, (uint32_t)-1, 1u << 31),
      FIELD(size, 0),
      FIELD(size, 8, 11, 4097, UINT32_MAX),
#undef FIELD
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (size_t v = 0; v < 4 && (v == 0 || cases[i].values[v] != 0); v++) {
      struct sqcq_engine_config config = rig_config();

      memcpy((char *)&config + cases[i].offset, &cases[i].values[v], sizeof(uint32_t));
      refuse_config(&config, cases[i].name);
    }
  }
}

static void create_with_depth_over_channels_limit_is_refused(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.depth = SQCQ_DEPTH_MAX;
  config.channels_max = SQCQ_CHANNELS_MAX + 1;
  refuse_config(&config, "channels_max");
}

static void create_with_sqpoll_and_iopoll_is_refused(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.flags = SQCQ_ENGINE_SQPOLL | SQCQ_ENGINE_IOPOLL;
  refuse_config(&config, "IOPOLL");
}

static void create_with_larger_config_is_judged_by_what_is_beyond(void **state)
{
  struct {
    struct sqcq_engine_config config;
    uint64_t beyond[4];
  } larger;
  struct sqcq_engine *engine = NULL;

  memset(&larger, 0, sizeof(larger)); /* what lies between them too */
  larger.config = rig_config();
  larger.config.size = sizeof(larger);
  larger.beyond[3] = 1;
  refuse_config(&larger.config, "size");
  larger.beyond[3] = 0;
  assert_ok(sqcq_engine_create(&engine, &larger.config, NULL));
  assert_ok(sqcq_engine_destroy(engine, NULL));
}

static void create_with_smaller_config_takes_defaults_for_the_rest(void **state)
{
  struct sqcq_engine_config config;
  struct sqcq_engine *engine = NULL;

  memset(&config, 0xff, sizeof(config)); /* what is beyond size must not be looked at */
  config.size = offsetof(struct sqcq_engine_config, requests_max);
  config.flags = 0;
  config.depth = 4;
  assert_ok(sqcq_engine_create(&engine, &config, NULL));
  assert_int_equal(engine->config.user.channels_max, 1); /* a quarter of the depth */
  assert_int_equal(engine->config.user.requests_max, 4096);
  assert_ok(sqcq_engine_destroy(engine, NULL));
}

static void create_with_each_limit_exactly_is_accepted(void **state)
{
  static const struct {
    size_t offset;
    uint32_t value;
  } cases[] = {
      {offsetof(struct sqcq_engine_config, depth), SQCQ_DEPTH_MAX},
      {offsetof(struct sqcq_engine_config, lanes_shared), SQCQ_LANES_SHARED_MAX},
      {offsetof(struct sqcq_engine_config, lanes_shared), 1},
      {offsetof(struct sqcq_engine_config, lanes_own), SQCQ_LANES_OWN_MAX},
      {offsetof(struct sqcq_engine_config, lane_slots), SQCQ_LANE_SLOTS_MAX},
      {offsetof(struct sqcq_engine_config, lane_slots), 1},
      {offsetof(struct sqcq_engine_config, requests_max), 1},
      {offsetof(struct sqcq_engine_config, files_fixed), SQCQ_FILES_FIXED_MAX},
      {offsetof(struct sqcq_engine_config, files_max), 1},
      {offsetof(struct sqcq_engine_config, pools_max), SQCQ_POOLS_MAX},
      {offsetof(struct sqcq_engine_config, buffers_max), 1},
      {offsetof(struct sqcq_engine_config, channels_max), 32},
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sqcq_engine_config config = rig_config();
    struct sqcq_explanation why = {.text = ""};
    struct sqcq_engine *engine = NULL;

    memcpy((char *)&config + cases[i].offset, &cases[i].value, sizeof(uint32_t));
    int error = sqcq_engine_create(&engine, &config, &why);
    if (error < 0)
      fail_msg("case %zu: %s", i, why.text);
    assert_ok(sqcq_engine_destroy(engine, NULL));
  }
}

static void config_init_and_destroy_of_nothing_do_nothing(void **state)
{
  struct sqcq_held held;
  struct sqcq_held same;

  memset(&held, 0xee, sizeof(held));
  same = held;
  sqcq_engine_config_init(NULL);
  assert_refused(&rig, sqcq_engine_destroy(NULL, &held), 0);
  assert_memory_equal(&held, &same, sizeof(held));
  assert_ok(sqcq_engine_destroy(NULL, NULL));
}

static void destroy_while_running_is_refused_and_says_what_is_held(void **state)
{
  struct sqcq_held held;
  sqcq_buffer buffer = rig_buffer(&rig);

  assert_true(sqcq_engine_poll(rig.engine) >= 0);
  memset(&held, 0xee, sizeof(held));
  assert_refused(&rig, sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_int_equal(held.inflight, 0);
  assert_int_equal(held.unread, 0);
  assert_int_equal(held.buffers, 1);
  assert_int_equal(held.wrapped, 0);
  assert_int_equal(held.reserved, 0);
  assert_refused(&rig, sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  rig_release(&rig, buffer);
}

/* ------------------------------------------------------------------------- */
/* Channels                                                                  */
/* ------------------------------------------------------------------------- */

static void refuse_channel(const struct sqcq_channel_config *config, int error)
{
  sqcq_channel mark = {UINT64_C(0xfeedfeedfeedfeed)};
  sqcq_channel channel = mark;
  uint32_t credits = sqcq__load_relaxed(&rig.engine->credits_left);
  uint32_t depth = sqcq__load_relaxed(&rig.engine->depth_left);

  assert_refused(&rig, sqcq_channel_create(rig.engine, config, &channel), error);
  assert_int_equal(channel.id, mark.id);
  assert_int_equal(sqcq__load_relaxed(&rig.engine->credits_left), credits);
  assert_int_equal(sqcq__load_relaxed(&rig.engine->depth_left), depth);
}

static void channel_create_with_bad_argument_is_refused(void **state)
{
  static const struct sqcq_channel_config bad[] = {
      {.size = 0},
      {.size = 4},
      {.size = 4097},
      {.size = UINT32_MAX},
      {.size = sizeof(bad[0]), .capacity = 65}, /* requests_max is 64 */
      {.size = sizeof(bad[0]), .capacity = UINT32_MAX},
      {.size = sizeof(bad[0]), .capacity = 1, .inflight_max = 33}, /* depth is 32 */
      {.size = sizeof(bad[0]), .capacity = 1, .inflight_max = UINT32_MAX},
      {.size = sizeof(bad[0]), .capacity = 1, .inflight_min = 33},
      {.size = sizeof(bad[0]), .capacity = 1, .inflight_min = UINT32_MAX},
      {.size = sizeof(bad[0]), .capacity = 1, .inflight_max = 2, .inflight_min = 3},
  };
  struct {
    struct sqcq_channel_config config;
    uint32_t beyond;
  } larger;
  sqcq_channel channel;

  memset(&larger, 0, sizeof(larger));
  larger.config.size = sizeof(larger);
  larger.config.capacity = 1;
  larger.beyond = 1;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    refuse_channel(&bad[i], -EINVAL);
  refuse_channel(&larger.config, -EINVAL);
  assert_refused(&rig, sqcq_channel_create(NULL, NULL, &channel), -EINVAL);
  assert_refused(&rig, sqcq_channel_create(rig.engine, NULL, NULL), -EINVAL);
}

static void channel_create_beyond_what_is_left_is_refused(void **state)
{
  /* The rig's channel has 16 of 64 credits; each of 4 channels is sure of one place of 32. */
  refuse_channel(&(struct sqcq_channel_config){.size = 16, .capacity = 49}, -ENOSPC);
  refuse_channel(
      &(struct sqcq_channel_config){
          .size = 16, .capacity = 1, .inflight_max = 32, .inflight_min = 30},
      -ENOSPC);
}

static void channel_destroy_with_bad_argument_is_refused(void **state)
{
  struct sqcq_engine *other = NULL;
  sqcq_channel foreign, channel, beyond;

  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_channel_create(other, NULL, &foreign));
  assert_ok(sqcq_channel_create(rig.engine, NULL, &channel));
  beyond.id = rig.channel.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  assert_refused(&rig, sqcq_channel_destroy(NULL, rig.channel), -EINVAL);
  assert_refused(&rig, sqcq_channel_destroy(rig.engine, foreign), -EINVAL);
  assert_refused(&rig, sqcq_channel_destroy(rig.engine, beyond), -EINVAL);
  assert_refused(&rig, sqcq_channel_destroy(rig.engine, (sqcq_channel){0}), -EPIPE);
  assert_ok(sqcq_channel_destroy(rig.engine, channel));
  assert_refused(&rig, sqcq_channel_destroy(rig.engine, channel), -EPIPE);
  assert_count(sqcq_engine_poll(rig.engine), 0);
  assert_refused(&rig, sqcq_channel_destroy(rig.engine, channel), -EPIPE);
  assert_ok(sqcq_engine_destroy(other, NULL));
}

/* ------------------------------------------------------------------------- */
/* After a stop                                                              */
/* ------------------------------------------------------------------------- */

static void nothing_new_is_made_while_stopping(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 1};
  struct rig stopping;
  sqcq_channel channel = {7};
  sqcq_pool pool = {7};
  sqcq_file file = {7};
  sqcq_buffer buffer = {7};
  char memory[8];

  rig_make(&stopping);
  struct sqcq_read read = rig_page(&stopping, 0);
  assert_ok(sqcq_engine_stop(stopping.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  for (int stopped = 0; stopped < 2; stopped++) {
    struct sqcq_engine *engine = stopping.engine;

    assert_refused(&stopping, sqcq_channel_create(engine, NULL, &channel), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_pool_create(engine, &config, &pool), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_file_add(engine, stopping.fd, &file), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_file_open(engine, AT_FDCWD, "/dev/null", 0, &file), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_buffer_wrap(engine, memory, 8, &buffer), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_request(engine, &read), -ESHUTDOWN);
    assert_refused(&stopping, sqcq_request_many(engine, &read, 1), -ESHUTDOWN);
    if (stopped == 0)
      assert_ok(sqcq_engine_run(engine));
  }
  assert_true(channel.id == 7 && pool.id == 7 && file.id == 7 && buffer.id == 7);
  rig_release(&stopping, read.buffer);
  rig_destroy(&stopping);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(create_without_engine_is_refused),
      CASE(create_with_field_out_of_range_is_refused),
      CASE(create_with_depth_over_channels_limit_is_refused),
      CASE(create_with_sqpoll_and_iopoll_is_refused),
      CASE(create_with_larger_config_is_judged_by_what_is_beyond),
      CASE(create_with_smaller_config_takes_defaults_for_the_rest),
      CASE(create_with_each_limit_exactly_is_accepted),
      CASE(config_init_and_destroy_of_nothing_do_nothing),
      CASE(destroy_while_running_is_refused_and_says_what_is_held),
      CASE(channel_create_with_bad_argument_is_refused),
      CASE(channel_create_beyond_what_is_left_is_refused),
      CASE(channel_destroy_with_bad_argument_is_refused),
      CASE(nothing_new_is_made_while_stopping),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_create", tests, NULL, NULL);
}
