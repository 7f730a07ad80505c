/*
 * Options: what is refused and in which words, what is put in for what was left out, and the sizes that
 * follow.
 */
#include "engine/config.h"

#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct sqcq_engine_config good(void)
{
  struct sqcq_engine_config config;

  sqcq_engine_config_init(&config);
  config.channels_max = 64;  /* a quarter of the depth */
  config.files_fixed = 1024; /* files_max */
  return config;
}

static struct sqcq__config resolve(const struct sqcq_engine_config *given)
{
  struct sqcq__config config;
  struct sqcq_explanation why;

  assert_ok(sqcq__config_resolve(given, &config, &why));
  return config;
}

/* It must be refused, and the text must begin with the field's name and value. */
static void assert_refused(const struct sqcq_engine_config *given, const char *field,
                           uint64_t value, uint64_t limit)
{
  struct sqcq__config config;
  struct sqcq_explanation why;
  char beginning[128];

  memset(&why, 0x5a, sizeof(why));
  assert_error(sqcq__config_resolve(given, &config, &why), -EINVAL);
  assert_int_equal(why.error, -EINVAL);
  assert_int_equal(why.reason, SQCQ_REASON_CONFIG);
  assert_int_equal(why.needed, value);
  assert_int_equal(why.limit, limit);
  (void)snprintf(beginning, sizeof(beginning), "config: %s is %llu, must be ", field,
                 (unsigned long long)value);
  assert_memory_equal(why.text, beginning, strlen(beginning));
  assert_true(strlen(why.text) > strlen(beginning)); /* and says what it must be */
  assert_null(strchr(why.text, '\n'));
}

/* ------------------------------------------------------------------------- */
/* Defaults                                                                  */
/* ------------------------------------------------------------------------- */

static void config_init_gives_the_documented_defaults(void **state)
{
  struct sqcq_engine_config config;
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);

  memset(&config, 0x5a, sizeof(config));
  sqcq_engine_config_init(&config);
  assert_int_equal(config.size, sizeof(config));
  assert_int_equal(config.flags, 0);
  assert_int_equal(config.depth, 256);
  assert_int_equal(config.requests_max, 4096);
  assert_int_equal(config.channels_max, 0); /* by the depth */
  assert_int_equal(config.lanes_shared, cpus < 2 ? 4 : cpus > 32 ? 64 : cpus * 2);
  assert_int_equal(config.lane_slots, 256);
  assert_int_equal(config.files_max, 1024);
  assert_int_equal(config.files_fixed, 0); /* by files_max */
  assert_int_equal(config.pools_max, 16);
  assert_int_equal(config.buffers_max, 4096);
  assert_int_equal(config.idle, SQCQ_IDLE_SPIN_SLEEP);
  assert_int_equal(config.spin_ns, 20000);
  assert_int_equal(config.sqpoll_idle_ms, 10);
  assert_int_equal(config.sqpoll_cpu, 0);
  assert_int_equal(config.cancels_max, 64);
  assert_int_equal(config.consumer_spin_ns, 0); /* consumers sleep at once */
  assert_int_equal(config.lanes_own, 0);
  assert_int_equal(config.notices_max, 64);
}

static void config_init_of_null_does_nothing(void **state)
{
  sqcq_engine_config_init(NULL);
}

static void config_resolve_of_null_is_the_defaults(void **state)
{
  struct sqcq_engine_config defaults = good();
  struct sqcq__config config = resolve(NULL);

  assert_memory_equal(&config.user, &defaults, sizeof(defaults));
}

static void config_resolve_of_the_defaults_keeps_them(void **state)
{
  struct sqcq_engine_config defaults = good();
  struct sqcq__config config = resolve(&defaults);

  assert_memory_equal(&config.user, &defaults, sizeof(defaults));
}

static void config_resolve_of_zeros_is_the_defaults_save_for_depth(void **state)
{
  struct sqcq_engine_config defaults = good();
  struct sqcq_engine_config given = {.size = sizeof(given), .depth = 256};
  struct sqcq__config config = resolve(&given);

  assert_memory_equal(&config.user, &defaults, sizeof(defaults));
  given.depth = 0;
  assert_refused(&given, "depth", 0, SQCQ_DEPTH_MAX);
}

static void config_resolve_fits_channels_to_a_small_depth(void **state)
{
  struct sqcq_engine_config given = {.size = sizeof(given), .depth = 8};

  /* Each keeps a place of the depth: a quarter of it, at least one channel, and no more than 64. */
  assert_int_equal(resolve(&given).user.channels_max, 2);
  given.depth = 2;
  assert_int_equal(resolve(&given).user.channels_max, 1);
  given.depth = 64;
  assert_int_equal(resolve(&given).user.channels_max, 16);
  given.depth = 512;
  assert_int_equal(resolve(&given).user.channels_max, 64);
}

static void config_resolve_gives_each_file_a_slot_as_far_as_there_are_any(void **state)
{
  struct sqcq_engine_config given = {.size = sizeof(given), .depth = 8, .files_max = 5};

  assert_int_equal(resolve(&given).user.files_fixed, 5);
  given.files_max = SQCQ_FILES_FIXED_MAX + 1;
  assert_int_equal(resolve(&given).user.files_fixed, SQCQ_FILES_FIXED_MAX);
}

static void config_resolve_keeps_what_is_given(void **state)
{
  struct sqcq_engine_config given = {
      .size = sizeof(given),
      .flags = SQCQ_ENGINE_SQPOLL | SQCQ_ENGINE_NO_FIXED_FILES | SQCQ_ENGINE_NO_DEFER,
      .depth = 32,
      .requests_max = 100,
      .channels_max = 7,
      .lanes_shared = 3,
      .lane_slots = 2,
      .files_max = 11,
      .files_fixed = 9,
      .pools_max = 2,
      .buffers_max = 13,
      .idle = SQCQ_IDLE_BUSY,
      .spin_ns = 1,
      .sqpoll_idle_ms = 77,
      .sqpoll_cpu = 2,
      .consumer_spin_ns = UINT32_MAX,
      .lanes_own = 5,
      .notices_max = 5,
      .vectors_max = SQCQ_VECTOR_MAX,
      .io_workers_bounded = 1,
      .io_workers_unbounded = INT32_MAX,
      .cancels_max = 14,
  };
  struct sqcq__config config = resolve(&given);

  assert_memory_equal(&config.user, &given, sizeof(given));
}

/* ------------------------------------------------------------------------- */
/* Refusals                                                                  */
/* ------------------------------------------------------------------------- */

static void config_resolve_refuses_a_depth_that_is_no_power_of_two(void **state)
{
  static const uint32_t depths[] = {0, 3, 255, 257, 16383, 16385, 32768, 1u << 31, UINT32_MAX};
  struct sqcq_engine_config config = good();

  for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
    config.depth = depths[i];
    assert_refused(&config, "depth", depths[i], SQCQ_DEPTH_MAX);
  }
}

static void config_resolve_takes_every_power_of_two_as_depth(void **state)
{
  struct sqcq_engine_config config = good();

  config.channels_max = 0;
  for (config.depth = 1; config.depth <= SQCQ_DEPTH_MAX; config.depth *= 2)
    assert_int_equal(resolve(&config).user.depth, config.depth);
}

static void config_resolve_refuses_each_field_over_its_bound(void **state)
{
#define CHECK_BOUND(field, bound)                                                                  \
  do {                                                                                             \
    struct sqcq_engine_config config = good();                                                     \
    config.depth = SQCQ_DEPTH_MAX;                                                                 \
    config.field = (bound);                                                                        \
    assert_int_equal(resolve(&config).user.field, (bound));                                        \
    config.field = (bound) + 1;                                                                    \
    assert_refused(&config, #field, (bound) + 1, (bound));                                         \
    config.field = UINT32_MAX;                                                                     \
    assert_refused(&config, #field, UINT32_MAX, (bound));                                          \
  } while (0)
  CHECK_BOUND(requests_max, SQCQ_REQUESTS_MAX);
  CHECK_BOUND(channels_max, SQCQ_CHANNELS_MAX);
  CHECK_BOUND(lanes_shared, SQCQ_LANES_SHARED_MAX);
  CHECK_BOUND(lanes_own, SQCQ_LANES_OWN_MAX);
  CHECK_BOUND(files_max, SQCQ_FILES_MAX);
  CHECK_BOUND(files_fixed, SQCQ_FILES_FIXED_MAX);
  CHECK_BOUND(pools_max, SQCQ_POOLS_MAX);
  CHECK_BOUND(buffers_max, SQCQ_BUFFERS_MAX);
  CHECK_BOUND(cancels_max, SQCQ_CANCELS_MAX);
  CHECK_BOUND(notices_max, SQCQ_NOTICES_MAX);
  CHECK_BOUND(lane_slots, SQCQ_LANE_SLOTS_MAX);
  CHECK_BOUND(idle, SQCQ_IDLE_BUSY);
#undef CHECK_BOUND
}

static void config_resolve_refuses_more_channels_than_depth(void **state)
{
  struct sqcq_engine_config config = good();

  config.depth = 16;
  config.channels_max = 16;
  assert_int_equal(resolve(&config).user.channels_max, 16);
  config.channels_max = 17;
  assert_refused(&config, "channels_max", 17, 16);
}

static void config_resolve_refuses_lane_slots_that_are_no_power_of_two(void **state)
{
  static const uint32_t counts[] = {3, 255, 65535};
  struct sqcq_engine_config config = good();

  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    config.lane_slots = counts[i];
    assert_refused(&config, "lane_slots", counts[i], SQCQ_LANE_SLOTS_MAX);
  }
}

static void config_resolve_refuses_unknown_flags(void **state)
{
  struct sqcq_engine_config config = good();

  for (uint32_t bit = 6; bit < 32; bit++) {
    config.flags = 1u << bit;
    assert_refused(&config, "flags", 1u << bit, 0x3f);
  }
}

static void config_resolve_refuses_both_polling_modes(void **state)
{
  struct sqcq_engine_config config = good();

  config.flags = SQCQ_ENGINE_SQPOLL | SQCQ_ENGINE_IOPOLL;
  assert_refused(&config, "flags", config.flags, 0x3f);
  config.flags = SQCQ_ENGINE_IOPOLL;
  assert_int_equal(resolve(&config).user.flags, SQCQ_ENGINE_IOPOLL);
}

static void config_resolve_refuses_a_negative_cpu(void **state)
{
  struct sqcq_engine_config config = good();

  config.sqpoll_cpu = -1;
  assert_refused(&config, "sqpoll_cpu", UINT64_MAX, 0);
}

static void config_resolve_refuses_vectors_and_workers_out_of_range(void **state)
{
  struct sqcq_engine_config config = good();

  config.vectors_max = SQCQ_VECTOR_MAX + 1;
  assert_refused(&config, "vectors_max", SQCQ_VECTOR_MAX + 1, SQCQ_VECTOR_MAX);
  config = good();
  config.io_workers_bounded = (uint32_t)INT32_MAX + 1;
  assert_refused(&config, "io_workers_bounded", (uint32_t)INT32_MAX + 1, INT32_MAX);
  config = good();
  config.io_workers_unbounded = UINT32_MAX;
  assert_refused(&config, "io_workers_unbounded", UINT32_MAX, INT32_MAX);
}

/* ------------------------------------------------------------------------- */
/* Other versions of the struct                                              */
/* ------------------------------------------------------------------------- */

static void config_resolve_of_a_smaller_struct_defaults_the_rest(void **state)
{
  struct sqcq_engine_config defaults = good();
  /* An older caller: everything behind what it knows is not its own. */
  struct sqcq_engine_config given;

  memset(&given, 0xff, sizeof(given));
  given.size = offsetof(struct sqcq_engine_config, requests_max);
  given.flags = SQCQ_ENGINE_NO_DEFER;
  given.depth = 256;
  struct sqcq__config config = resolve(&given);
  defaults.flags = SQCQ_ENGINE_NO_DEFER;
  assert_memory_equal(&config.user, &defaults, sizeof(defaults));

  given.size = offsetof(struct sqcq_engine_config, channels_max);
  given.requests_max = 99;
  assert_int_equal(resolve(&given).user.requests_max, 99);
  assert_int_equal(resolve(&given).user.size, sizeof(given));
}

static void config_resolve_of_a_size_too_small_is_refused(void **state)
{
  struct sqcq_engine_config config = good();

  for (config.size = 0; config.size < offsetof(struct sqcq_engine_config, requests_max);
       config.size++)
    assert_refused(&config, "size", config.size, sizeof(config));
}

struct larger {
  struct sqcq_engine_config known;
  unsigned char tail[16];
};

static void config_resolve_of_a_larger_struct_with_zero_tail_is_good(void **state)
{
  struct sqcq_engine_config defaults = good();
  struct larger given = {.known = defaults};

  given.known.size = sizeof(given);
  struct sqcq__config config = resolve(&given.known);
  assert_memory_equal(&config.user, &defaults, sizeof(defaults));
}

static void config_resolve_of_a_larger_struct_with_unknown_fields_is_refused(void **state)
{
  for (size_t i = 0; i < sizeof(((struct larger *)NULL)->tail); i++) {
    struct larger given = {.known = good()};

    given.known.size = sizeof(given);
    given.tail[i] = 1;
    assert_refused(&given.known, "size", sizeof(given), sizeof(struct sqcq_engine_config));
    /* The same byte beyond what the caller says is its own is nobody's business. */
    given.known.size = (uint32_t)(sizeof(given.known) + i);
    (void)resolve(&given.known);
  }
}

static void config_resolve_of_the_largest_size_is_good(void **state)
{
  static union {
    struct sqcq_engine_config known;
    unsigned char bytes[4096];
  } given;

  given.known = good();
  given.known.size = sizeof(given);
  assert_int_equal(resolve(&given.known).user.size, sizeof(given.known));
}

static void config_resolve_of_an_absurd_size_is_refused(void **state)
{
  struct sqcq_engine_config config = good();

  config.size = 4097; /* nothing behind it is read */
  assert_refused(&config, "size", 4097, sizeof(config));
  config.size = UINT32_MAX;
  assert_refused(&config, "size", UINT32_MAX, sizeof(config));
}

/* ------------------------------------------------------------------------- */
/* Derived sizes                                                             */
/* ------------------------------------------------------------------------- */

static void config_resolve_derives_a_cq_that_cannot_overflow(void **state)
{
  struct sqcq_engine_config given = {.size = sizeof(given)};

  for (given.depth = 1; given.depth <= SQCQ_DEPTH_MAX; given.depth *= 2) {
    struct sqcq__config config = resolve(&given);

    assert_int_equal(config.sq_entries & (config.sq_entries - 1), 0);
    assert_int_equal(config.cq_entries & (config.cq_entries - 1), 0);
    assert_true(config.cq_entries >= 2 * given.depth + SQCQ__OWN_OPS_MAX);
    assert_true(config.sq_entries >= given.depth + SQCQ__OWN_OPS_MAX);
    assert_true(config.sq_entries <= 32768); /* the kernel's bounds */
    assert_true(config.cq_entries <= 65536);
    assert_true(config.cq_entries >= config.sq_entries);
  }
}

static void config_own_operations_are_all_counted(void **state)
{
  /* The wake poll, its cancel, and the closes. */
  assert_true(SQCQ__OWN_OPS_MAX >= SQCQ__CLOSES_MAX + 2);
}

static void config_resolve_leaves_other_channels_a_part_of_the_depth(void **state)
{
  struct sqcq_engine_config given = {.size = sizeof(given), .depth = 256, .channels_max = 2};

  assert_int_equal(resolve(&given).inflight_max, 192);
  given.channels_max = 1;
  assert_int_equal(resolve(&given).inflight_max, 256);
  given.channels_max = 2;
  given.depth = 4;
  assert_int_equal(resolve(&given).inflight_max, 3);
  for (given.depth = 1; given.depth <= SQCQ_DEPTH_MAX; given.depth *= 2) {
    given.channels_max = 1;
    assert_true(resolve(&given).inflight_max >= 1);
  }
}

static void pow2_ceil_is_the_smallest_not_below(void **state)
{
  assert_int_equal(sqcq__pow2_ceil(0), 1);
  assert_int_equal(sqcq__pow2_ceil(1), 1);
  assert_int_equal(sqcq__pow2_ceil(2), 2);
  assert_int_equal(sqcq__pow2_ceil(3), 4);
  for (uint32_t power = 4; power <= 1u << 30; power *= 2) {
    assert_int_equal(sqcq__pow2_ceil(power - 1), power);
    assert_int_equal(sqcq__pow2_ceil(power), power);
    assert_int_equal(sqcq__pow2_ceil(power + 1), power * 2);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(config_init_gives_the_documented_defaults),
      cmocka_unit_test(config_init_of_null_does_nothing),
      cmocka_unit_test(config_resolve_of_null_is_the_defaults),
      cmocka_unit_test(config_resolve_of_the_defaults_keeps_them),
      cmocka_unit_test(config_resolve_of_zeros_is_the_defaults_save_for_depth),
      cmocka_unit_test(config_resolve_fits_channels_to_a_small_depth),
      cmocka_unit_test(config_resolve_gives_each_file_a_slot_as_far_as_there_are_any),
      cmocka_unit_test(config_resolve_keeps_what_is_given),
      cmocka_unit_test(config_resolve_refuses_a_depth_that_is_no_power_of_two),
      cmocka_unit_test(config_resolve_takes_every_power_of_two_as_depth),
      cmocka_unit_test(config_resolve_refuses_each_field_over_its_bound),
      cmocka_unit_test(config_resolve_refuses_more_channels_than_depth),
      cmocka_unit_test(config_resolve_refuses_lane_slots_that_are_no_power_of_two),
      cmocka_unit_test(config_resolve_refuses_unknown_flags),
      cmocka_unit_test(config_resolve_refuses_both_polling_modes),
      cmocka_unit_test(config_resolve_refuses_a_negative_cpu),
      cmocka_unit_test(config_resolve_refuses_vectors_and_workers_out_of_range),
      cmocka_unit_test(config_resolve_of_a_smaller_struct_defaults_the_rest),
      cmocka_unit_test(config_resolve_of_a_size_too_small_is_refused),
      cmocka_unit_test(config_resolve_of_a_larger_struct_with_zero_tail_is_good),
      cmocka_unit_test(config_resolve_of_a_larger_struct_with_unknown_fields_is_refused),
      cmocka_unit_test(config_resolve_of_the_largest_size_is_good),
      cmocka_unit_test(config_resolve_of_an_absurd_size_is_refused),
      cmocka_unit_test(config_resolve_derives_a_cq_that_cannot_overflow),
      cmocka_unit_test(config_own_operations_are_all_counted),
      cmocka_unit_test(config_resolve_leaves_other_channels_a_part_of_the_depth),
      cmocka_unit_test(pow2_ceil_is_the_smallest_not_below),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
