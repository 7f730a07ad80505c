/*
 * The list of features: what the ring's traits and the configuration make of it.
 */
#include "engine/features.h"

#include "engine/config.h"
#include "engine/ring.h"
#include "support/test.h"

#include <string.h>

static struct sqcq__features features;
static struct sqcq__config config;
static struct sqcq__ring_traits traits;
static struct sqcq_feature list[SQCQ__FEATURE_COUNT];

static int clear(void **state)
{
  (void)state;
  memset(&features, 0x5a, sizeof(features)); /* init must write them all */
  sqcq__store_relaxed(&features.needed, 0);
  sqcq__store_relaxed(&features.limit, 0);
  memset(&config, 0, sizeof(config));
  memset(&traits, 0, sizeof(traits));
  return 0;
}

static void init_and_list(void)
{
  sqcq__features_init(&features, &config, &traits);
  assert_int_equal(sqcq__features_list(&features, list, SQCQ__FEATURE_COUNT), SQCQ__FEATURE_COUNT);
}

static void assert_feature(enum sqcq__feature feature, enum sqcq_feature_state state, int error)
{
  const struct sqcq_feature *it = &list[feature];

  if (it->state != state || it->error != error)
    fail_msg("%s is %u, %d; should be %u, %d", it->name, it->state, it->error, (unsigned)state,
             error);
  assert_int_equal(it->instead[0] == '\0', state == SQCQ_FEATURE_ON);
}

static void features_init_of_nothing_is_all_off(void **state)
{
  init_and_list();
  for (uint32_t i = 0; i < SQCQ__FEATURE_COUNT; i++)
    if (i != SQCQ__FEATURE_TIMED_ENTER && (i < SQCQ__FEATURE_NOWAIT || i > SQCQ__FEATURE_FADVISE))
      assert_feature((enum sqcq__feature)i, SQCQ_FEATURE_OFF, 0);
  assert_feature(SQCQ__FEATURE_TIMED_ENTER, SQCQ_FEATURE_REFUSED, -EINVAL);
}

static void features_init_of_groups_in_force_is_on(void **state)
{
  for (uint32_t i = 0; i < SQCQ__GROUP_COUNT; i++)
    traits.group_on[i] = true;
  traits.timed_enter = true;
  init_and_list();
  assert_feature(SQCQ__FEATURE_SUBMIT_ALL, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_COOP_TASKRUN, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_SINGLE_ISSUER, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_DEFER_TASKRUN, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_TIMED_ENTER, SQCQ_FEATURE_ON, 0);
}

static void features_init_of_each_group_is_that_feature(void **state)
{
  static const struct {
    enum sqcq__ring_group group;
    enum sqcq__feature feature;
  } pairs[] = {
      {SQCQ__GROUP_DEFER_TASKRUN, SQCQ__FEATURE_DEFER_TASKRUN},
      {SQCQ__GROUP_SINGLE_ISSUER, SQCQ__FEATURE_SINGLE_ISSUER},
      {SQCQ__GROUP_COOP_TASKRUN, SQCQ__FEATURE_COOP_TASKRUN},
      {SQCQ__GROUP_SUBMIT_ALL, SQCQ__FEATURE_SUBMIT_ALL},
  };

  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    memset(&traits, 0, sizeof(traits));
    traits.group_error[pairs[i].group] = -EINVAL;
    init_and_list();
    for (size_t other = 0; other < sizeof(pairs) / sizeof(pairs[0]); other++)
      assert_feature(pairs[other].feature, other == i ? SQCQ_FEATURE_REFUSED : SQCQ_FEATURE_OFF,
                     other == i ? -EINVAL : 0);
  }
}

static void features_init_of_modes_asked_for_is_on(void **state)
{
  config.user.flags = SQCQ_ENGINE_SQPOLL;
  init_and_list();
  assert_feature(SQCQ__FEATURE_SQPOLL, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_IOPOLL, SQCQ_FEATURE_OFF, 0);
  config.user.flags = SQCQ_ENGINE_IOPOLL;
  init_and_list();
  assert_feature(SQCQ__FEATURE_SQPOLL, SQCQ_FEATURE_OFF, 0);
  assert_feature(SQCQ__FEATURE_IOPOLL, SQCQ_FEATURE_ON, 0);
}

static void features_init_of_hints_is_what_the_trials_said(void **state)
{
  init_and_list();
  assert_feature(SQCQ__FEATURE_NOWAIT, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_DONTCACHE, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_FADVISE, SQCQ_FEATURE_ON, 0);
  traits.dontcache_error = -EOPNOTSUPP;
  traits.fadvise_error = -EINVAL;
  init_and_list();
  assert_feature(SQCQ__FEATURE_NOWAIT, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_DONTCACHE, SQCQ_FEATURE_REFUSED, -EOPNOTSUPP);
  assert_feature(SQCQ__FEATURE_FADVISE, SQCQ_FEATURE_REFUSED, -EINVAL);
  config.user.flags = SQCQ_ENGINE_IOPOLL;
  init_and_list();
  assert_feature(SQCQ__FEATURE_FADVISE, SQCQ_FEATURE_OFF, 0);
}

static void features_set_says_on_or_refused(void **state)
{
  init_and_list();
  sqcq__features_set(&features, SQCQ__FEATURE_RING_FD, 0);
  sqcq__features_set(&features, SQCQ__FEATURE_FIXED_FILES, -EMFILE);
  (void)sqcq__features_list(&features, list, SQCQ__FEATURE_COUNT);
  assert_feature(SQCQ__FEATURE_RING_FD, SQCQ_FEATURE_ON, 0);
  assert_feature(SQCQ__FEATURE_FIXED_FILES, SQCQ_FEATURE_REFUSED, -EMFILE);
  sqcq__features_set(&features, SQCQ__FEATURE_RING_FD, -EINVAL);
  sqcq__features_set(&features, SQCQ__FEATURE_FIXED_FILES, 0);
  (void)sqcq__features_list(&features, list, SQCQ__FEATURE_COUNT);
  assert_feature(SQCQ__FEATURE_RING_FD, SQCQ_FEATURE_REFUSED, -EINVAL);
  assert_feature(SQCQ__FEATURE_FIXED_FILES, SQCQ_FEATURE_ON, 0);
}

static void features_list_tells_memory_of_refused_buffers_only(void **state)
{
  init_and_list();
  sqcq__store_relaxed(&features.needed, 1 << 20);
  sqcq__store_relaxed(&features.limit, 65536);
  sqcq__features_set(&features, SQCQ__FEATURE_FIXED_BUFFERS, -ENOMEM);
  sqcq__features_set(&features, SQCQ__FEATURE_FIXED_FILES, -ENOMEM);
  (void)sqcq__features_list(&features, list, SQCQ__FEATURE_COUNT);
  assert_int_equal(list[SQCQ__FEATURE_FIXED_BUFFERS].needed, 1 << 20);
  assert_int_equal(list[SQCQ__FEATURE_FIXED_BUFFERS].limit, 65536);
  assert_int_equal(list[SQCQ__FEATURE_FIXED_FILES].needed, 0);
  assert_int_equal(list[SQCQ__FEATURE_FIXED_FILES].limit, 0);
  sqcq__features_set(&features, SQCQ__FEATURE_FIXED_BUFFERS, 0);
  (void)sqcq__features_list(&features, list, SQCQ__FEATURE_COUNT);
  assert_int_equal(list[SQCQ__FEATURE_FIXED_BUFFERS].needed, 0);
}

static void features_list_writes_no_more_than_asked(void **state)
{
  struct sqcq_feature untouched;

  sqcq__features_init(&features, &config, &traits);
  memset(&untouched, 0x77, sizeof(untouched));
  for (uint32_t max = 0; max < SQCQ__FEATURE_COUNT; max++) {
    memset(list, 0x77, sizeof(list));
    assert_int_equal(sqcq__features_list(&features, list, max), SQCQ__FEATURE_COUNT);
    for (uint32_t i = max; i < SQCQ__FEATURE_COUNT; i++)
      assert_memory_equal(&list[i], &untouched, sizeof(untouched));
  }
  assert_int_equal(sqcq__features_list(&features, NULL, 0), SQCQ__FEATURE_COUNT);
}

static void features_have_different_names(void **state)
{
  init_and_list();
  for (uint32_t i = 0; i < SQCQ__FEATURE_COUNT; i++) {
    assert_true(strlen(list[i].name) > 0);
    for (uint32_t other = 0; other < i; other++)
      assert_string_not_equal(list[i].name, list[other].name);
  }
  assert_string_equal(list[SQCQ__FEATURE_DEFER_TASKRUN].name, "DEFER_TASKRUN");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(features_init_of_nothing_is_all_off, clear),
      cmocka_unit_test_setup(features_init_of_groups_in_force_is_on, clear),
      cmocka_unit_test_setup(features_init_of_each_group_is_that_feature, clear),
      cmocka_unit_test_setup(features_init_of_modes_asked_for_is_on, clear),
      cmocka_unit_test_setup(features_init_of_hints_is_what_the_trials_said, clear),
      cmocka_unit_test_setup(features_set_says_on_or_refused, clear),
      cmocka_unit_test_setup(features_list_tells_memory_of_refused_buffers_only, clear),
      cmocka_unit_test_setup(features_list_writes_no_more_than_asked, clear),
      cmocka_unit_test_setup(features_have_different_names, clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
