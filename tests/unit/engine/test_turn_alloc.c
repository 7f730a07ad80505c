/* sqcq-test: simulated */
/*
 * Memory: each allocation of set-up fails in its turn and nothing is left behind; and after set-up
 * there is none, whatever is called.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#include "support/alloc.h"
#include "support/kernel.h"

#include <sys/resource.h>

/* Call it until no allocation fails any more; how many there are. */
static uint64_t walk(int (*make)(struct rig *rig), struct rig *rig)
{
  for (uint64_t n = 1;; n++) {
    int64_t live = alloc_live(), mapped = alloc_mapped();
    uint32_t fds = fds_count();

    assert_true(n < 1000);
    alloc_fail_at(n);
    int error = make(rig);
    if (!alloc_fail_off()) {
      assert_ok(error);
      return n - 1;
    }
    if (error != -ENOMEM)
      fail_msg("allocation %u fails: %d", (unsigned)n, error);
    assert_int_equal(alloc_live(), live);
    assert_int_equal(alloc_mapped(), mapped);
    assert_int_equal(fds_count(), fds);
  }
}

static int make_engine(struct rig *rig)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_explanation why = {.error = 1};

  config.lanes_own = 3;
  int error = sqcq_engine_create(&rig->engine, &config, &why);

  if (error < 0) {
    assert_int_equal(why.error, error);
    assert_true(why.reason == SQCQ_REASON_MEMORY || why.reason == SQCQ_REASON_MEMLOCK);
    assert_true(why.text[0] != '\0');
    assert_null(rig->engine);
  }
  return error;
}

static int make_channel(struct rig *rig)
{
  struct sqcq_channel_config config = {.size = sizeof(config), .capacity = 32, .inflight_min = 2};

  return sqcq_channel_create(rig->engine, &config, &rig->channel);
}

static int make_pool(struct rig *rig)
{
  struct sqcq_pool_config config = {.size = sizeof(config),
                                    .count = RIG_BUFFERS,
                                    .buffer_size = RIG_LENGTH,
                                    .flags = SQCQ_POOL_FIXED | SQCQ_POOL_STRICT};

  return sqcq_pool_create(rig->engine, &config, &rig->pool);
}

static void create_without_the_nth_allocation_leaves_nothing_behind(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct rig rig;

  rig_prepare(&rig);
  sim_configure(&kernel);
  assert_true(walk(make_engine, &rig) > 15);
  assert_int_equal(walk(make_channel, &rig), 2);
  assert_int_equal(walk(make_pool, &rig), 2); /* the mapping, and the list for the kernel */
  /* The stock is as it was before each failure: all of it can still be had. */
  (void)rig_channel(&rig, 32, 5, 0);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &rig.file));
  assert_ok(sqcq_file_add(rig.engine, rig.pipe[0], &rig.silent));
  rig_ask(&rig, 1);
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void pool_that_is_not_strict_goes_on_without_the_list_for_the_kernel(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct sqcq_engine_config config = rig_config();
  struct sqcq_pool_config pool = {.size = sizeof(pool),
                                  .count = RIG_BUFFERS,
                                  .buffer_size = RIG_LENGTH,
                                  .flags = SQCQ_POOL_FIXED};
  struct rig rig;

  rig_start_with(&rig, &kernel, &config);
  sqcq_pool plain;
  alloc_fail_at(2);
  assert_ok(sqcq_pool_create(rig.engine, &pool, &plain));
  assert_true(alloc_fail_off());
  rig_assert_feature(&rig, SQCQ__FEATURE_FIXED_BUFFERS, SQCQ_FEATURE_REFUSED, -ENOMEM);
  rig_end(&rig);
}

static void create_without_a_descriptor_leaves_nothing_behind(void **state)
{
  struct sim_config kernel = sim_kernel("6.18");
  struct rlimit before, none;
  struct rig rig;
  int64_t live = alloc_live();

  rig_prepare(&rig);
  sim_configure(&kernel);
  assert_ok(getrlimit(RLIMIT_NOFILE, &before));
  none = before;
  none.rlim_cur = 3;
  assert_ok(setrlimit(RLIMIT_NOFILE, &none));
  struct sqcq_explanation why;
  int error = sqcq_engine_create(&rig.engine, NULL, &why);
  assert_ok(setrlimit(RLIMIT_NOFILE, &before));
  assert_error(error, -EMFILE);
  assert_int_equal(why.reason, SQCQ_REASON_DESCRIPTORS);
  assert_int_equal(alloc_live(), live);
  assert_true(fds_same(&rig.fds));
  rig_clear(&rig);
}

/* Everything that is not set-up, on this kernel. */
static void use(struct rig *rig)
{
  static unsigned char memory[64];
  uint64_t calls = alloc_calls();
  sqcq_buffer wrapped;
  struct sqcq_completion completion;

  for (uint64_t round = 0; round < 40; round++) {
    sqcq_file file;
    struct sqcq_stats stats;

    assert_ok(sqcq_file_add(rig->engine, rig->fd, &file));
    assert_ok(sqcq_buffer_wrap(rig->engine, memory, sizeof(memory), &wrapped));
    for (uint64_t i = 0; i < 20; i++)
      (void)rig_try(rig, rig->channel,
                    i % 4 == 0   ? rig->silent
                    : i % 3 == 0 ? file
                                 : rig->file,
                    i % 4 == 0 ? SQCQ_OFFSET_CURRENT : i, i);
    (void)rig_turns(rig, 5);
    assert_true(sqcq_engine_wait(rig->engine, 1000) >= -EINTR);
    assert_ok(sqcq_file_remove(rig->engine, rig->silent, SQCQ_REMOVE_DEFAULT));
    assert_ok(sqcq_file_remove(rig->engine, file, SQCQ_REMOVE_DRAIN));
    (void)rig_turns(rig, 40);
    while (sqcq_channel_wait(rig->engine, rig->channel, &completion, 1, 1, 0) == 1)
      assert_count(sqcq_buffer_release(rig->engine, &completion.buffer, 1), 1);
    assert_ok(sqcq_buffer_unwrap(rig->engine, wrapped));
    assert_ok(sqcq_engine_stats(rig->engine, &stats, sizeof(stats)));
    assert_ok(sqcq_file_add(rig->engine, rig->pipe[0], &rig->silent));
  }
  rig_ask_silent(rig, 1);
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_DRAIN, 0));
  rig_run(rig);
  while (rig_take_from(rig, rig->channel, &completion))
    continue;
  assert_int_equal(alloc_calls(), calls);
}

static void calls_after_set_up_allocate_nothing(void **state)
{
  static const char *const versions[] = {"5.10", "5.15", "6.0", "6.18"};

  for (size_t i = 0; i < 4; i++) {
    struct sim_config kernel = sim_kernel(versions[i]);
    struct sqcq_engine_config config = rig_config();
    struct rig rig;

    if (i % 2 != 0)
      sim_unruly(&kernel, i);
    rig_start_with(&rig, &kernel, &config);
    use(&rig);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(create_without_the_nth_allocation_leaves_nothing_behind),
      cmocka_unit_test(pool_that_is_not_strict_goes_on_without_the_list_for_the_kernel),
      cmocka_unit_test(create_without_a_descriptor_leaves_nothing_behind),
      cmocka_unit_test(calls_after_set_up_allocate_nothing),
  };

  if (!alloc_works())
    test_skip("linked without the --wrap options of support/alloc.h");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
