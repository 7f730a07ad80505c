/*
 * Buffers: pools of every kind, where the bytes go, and what a forked child sees.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#define TMPFS_MAGIC 0x01021994
#define COUNT 4u

/* gcc's ThreadSanitizer takes its time for each buffer. */
#if defined(SQCQ__TSAN) && !defined(__clang__)
#define SLOW 1
#else
#define SLOW 0
#endif

static struct rig rig;

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.pools_max = 16;
  config.buffers_max = 256;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  return 0;
}

static int teardown(void **state)
{
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

static const struct sqcq_feature *feature_of(const char *name)
{
  static struct sqcq_feature features[32];
  int count = sqcq_engine_features(rig.engine, features, 32, sizeof(features[0]));

  for (int i = 0; i < count; i++)
    if (strcmp(features[i].name, name) == 0)
      return &features[i];
  fail_msg("no %s in the list", name);
  return NULL;
}

/* ------------------------------------------------------------------------- */
/* Pools                                                                     */
/* ------------------------------------------------------------------------- */

/* All buffers are aligned, apart from each other, writable to the last byte, and read into. */
static void check_pool(sqcq_pool pool, const struct sqcq_pool_config *config)
{
  uint32_t align = config->align == 0 ? 4096 : config->align;
  uint32_t length = config->buffer_size < 5000 ? (uint32_t)config->buffer_size : 5000;
  sqcq_buffer buffers[COUNT + 1];

  assert_count(sqcq_buffer_acquire(rig.engine, pool, buffers, COUNT + 1), COUNT);
  for (uint32_t i = 0; i < COUNT; i++) {
    char *data = sqcq_buffer_data(rig.engine, buffers[i]);

    assert_non_null(data);
    assert_int_equal((uintptr_t)data % align, 0);
    assert_int_equal(sqcq_buffer_size(rig.engine, buffers[i]), config->buffer_size);
    memset(data, (int)('a' + i), config->buffer_size);
  }
  for (uint32_t i = 0; i < COUNT; i++) {
    const char *data = sqcq_buffer_data(rig.engine, buffers[i]);

    assert_int_equal(data[0], 'a' + i);
    assert_int_equal(data[config->buffer_size - 1], 'a' + i);
  }
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t at = (uint32_t)config->buffer_size - length; /* the last bytes */
    struct sqcq_completion completion =
        rig_read_into(&rig, rig.file, buffers[i], at, i * STAMP_PAGE + 3, length);

    assert_int_equal(completion.result, length);
    assert_true(stamp_matches(completion.data, RIG_TAG, i * STAMP_PAGE + 3, length));
    if (at > 0)
      assert_int_equal(((char *)completion.data)[-1], 'a' + i);
  }
  assert_count(sqcq_buffer_release(rig.engine, buffers, COUNT), COUNT);
}

static void pools_of_every_size_and_alignment_are_read_into(void **state)
{
  static const uint64_t sizes[] = {1, 100, 4096, 5000, 65536, 1u << 20};
  static const uint32_t aligns[] = {0, 1, 64, 4096, 65536, 2u << 20};
  static const uint32_t flags[] = {0, SQCQ_POOL_FIXED, SQCQ_POOL_HUGE,
                                   SQCQ_POOL_FIXED | SQCQ_POOL_HUGE};

  const size_t step = SLOW ? 3 : 1;

  for (size_t f = 0; f < 4; f++)
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s += step)
      for (size_t a = 0; a < sizeof(aligns) / sizeof(aligns[0]); a += step) {
        struct sqcq_pool_config config = {.size = sizeof(config),
                                          .flags = flags[f],
                                          .count = COUNT,
                                          .align = aligns[a],
                                          .buffer_size = sizes[s]};
        sqcq_pool pool;

        assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
        if ((flags[f] & SQCQ_POOL_FIXED) != 0)
          assert_int_equal(rig.engine->buffers.pools[sqcq__handle_index(pool.id)].fixed >= 0,
                           feature_of("FIXED_BUFFERS")->state == SQCQ_FEATURE_ON);
        check_pool(pool, &config);
        assert_ok(sqcq_pool_destroy(rig.engine, pool));
        if ((flags[f] & SQCQ_POOL_FIXED) != 0) { /* only before the first turn: a new engine */
          rig_end(&rig);
          setup(state);
        }
      }
}

/* Before the first turn, while the kernel still takes them: some are destroyed again in between. */
static void fixed_pools_side_by_side_are_read_into(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config),
                                    .flags = SQCQ_POOL_FIXED | SQCQ_POOL_STRICT,
                                    .count = COUNT,
                                    .buffer_size = 16384};
  sqcq_pool pools[5];

  int error = sqcq_pool_create(rig.engine, &config, &pools[0]);
  if (error == -ENOMEM)
    skip(); /* RLIMIT_MEMLOCK */
  assert_ok(error);
  for (int i = 1; i < 4; i++)
    assert_ok(sqcq_pool_create(rig.engine, &config, &pools[i]));
  assert_ok(sqcq_pool_destroy(rig.engine, pools[1]));
  assert_ok(sqcq_pool_destroy(rig.engine, pools[0]));
  config.count = COUNT + 1; /* another place than theirs */
  assert_ok(sqcq_pool_create(rig.engine, &config, &pools[4]));
  assert_int_equal(feature_of("FIXED_BUFFERS")->state, SQCQ_FEATURE_ON);
  config.count = COUNT;
  assert_ok(sqcq_pool_create(rig.engine, &config, &pools[0]));
  for (int i = 0; i < 4; i++) {
    sqcq_pool pool = pools[(i + 2) % 4];

    if (i == 3)
      continue; /* pools[1] is gone */
    check_pool(pool, &config);
    assert_true(rig.engine->buffers.pools[sqcq__handle_index(pool.id)].fixed >= 0);
  }
  assert_int_equal(feature_of("FIXED_BUFFERS")->state, SQCQ_FEATURE_ON);
  check_pool(pools[2], &config); /* again, after the first turn */
}

static void fixed_pool_after_the_first_turn_is_a_plain_one(void **state)
{
  struct sqcq_pool_config config = {
      .size = sizeof(config), .flags = SQCQ_POOL_FIXED, .count = COUNT, .buffer_size = 4096};
  sqcq_pool pool;

  assert_count(sqcq_engine_poll(rig.engine), 0);
  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  assert_int_equal(rig.engine->buffers.pools[sqcq__handle_index(pool.id)].fixed, -1);
  check_pool(pool, &config);
}

static void huge_pool_is_huge_or_says_why_not(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config),
                                    .flags = SQCQ_POOL_HUGE | SQCQ_POOL_STRICT,
                                    .count = COUNT,
                                    .buffer_size = 65536};
  sqcq_pool pool = {7};
  int error = sqcq_pool_create(rig.engine, &config, &pool);
  const struct sqcq_feature *feature = feature_of("HUGE_PAGES");

  if (error == 0) {
    assert_int_equal(feature->state, SQCQ_FEATURE_ON);
    check_pool(pool, &config);
    return;
  }
  assert_error(error, -ENOMEM); /* none are reserved */
  assert_int_equal(pool.id, 7);
  assert_int_equal(feature->state, SQCQ_FEATURE_REFUSED);
  assert_int_equal(feature->error, -ENOMEM);
  config.flags = SQCQ_POOL_HUGE;
  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  check_pool(pool, &config);
}

/* Places come back: as many pools, one after the other, as one likes. */
static void pools_come_and_go(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 200, .buffer_size = 64};

  for (uint32_t i = 0; i < (SLOW ? 30 : 300); i++) {
    sqcq_buffer buffer;
    sqcq_pool pool;

    config.count = 200 - i % 150;
    assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
    assert_count(sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), 1);
    assert_error(sqcq_pool_destroy(rig.engine, pool), -EBUSY);
    rig_release(&rig, buffer);
    assert_ok(sqcq_pool_destroy(rig.engine, pool));
    assert_error(sqcq_buffer_release(rig.engine, &buffer, 1), -ESTALE);
  }
  config.count = 1;
  for (; config.count < (SLOW ? 30 : 200); config.count += 9) { /* each larger than the last */
    sqcq_pool pool;

    assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
    assert_ok(sqcq_pool_destroy(rig.engine, pool));
  }
}

/* ------------------------------------------------------------------------- */
/* Beside the page cache                                                     */
/* ------------------------------------------------------------------------- */

static bool in_cache(int fd, size_t size)
{
  unsigned char pages[RIG_PAGES];
  void *mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  bool any = false;

  assert_ptr_not_equal(mapping, MAP_FAILED);
  assert_int_equal(mincore(mapping, size, pages), 0);
  for (size_t i = 0; i < size / STAMP_PAGE; i++)
    any = any || (pages[i] & 1) != 0;
  munmap(mapping, size);
  return any;
}

static void o_direct_reads_past_the_page_cache(void **state)
{
  static const uint32_t flags[] = {0, SQCQ_POOL_FIXED, SQCQ_POOL_HUGE};
  const size_t size = RIG_PAGES * STAMP_PAGE;
  char *path = temp_path(&rig.dir, "stamped");
  sqcq_pool pools[3];
  struct statfs status;
  sqcq_file file;

  assert_int_equal(fstatfs(rig.fd, &status), 0);
  int error = sqcq_file_open(rig.engine, AT_FDCWD, path, O_DIRECT, &file);
  free(path);
  if (error == -EINVAL || status.f_type == TMPFS_MAGIC)
    skip(); /* no O_DIRECT, or nothing but the cache */
  assert_ok(error);
  assert_int_equal(fsync(rig.fd), 0);
  assert_int_equal(posix_fadvise(rig.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  bool was_cached = in_cache(rig.fd, size);
  for (int i = 0; i < 3; i++) {
    struct sqcq_pool_config config = {
        .size = sizeof(config), .flags = flags[i], .count = 1, .buffer_size = size};

    assert_ok(sqcq_pool_create(rig.engine, &config, &pools[i]));
  }
  for (int i = 0; i < 3; i++) {
    struct sqcq_completion completion;
    sqcq_buffer buffer;

    assert_count(sqcq_buffer_acquire(rig.engine, pools[i], &buffer, 1), 1);
    completion = rig_read_into(&rig, file, buffer, 0, 0, (uint32_t)size);
    assert_int_equal(completion.result, size);
    assert_true(stamp_matches(completion.data, RIG_TAG, 0, size));
    completion = rig_read_into(&rig, file, buffer, STAMP_PAGE, STAMP_PAGE, STAMP_PAGE);
    assert_int_equal(completion.result, STAMP_PAGE);
    assert_true(stamp_matches(completion.data, RIG_TAG, STAMP_PAGE, STAMP_PAGE));
    rig_release(&rig, buffer);
    assert_ok(sqcq_pool_destroy(rig.engine, pools[i]));
  }
  if (was_cached)
    print_message("the cache would not let go of the file: not looked at\n");
  else
    assert_false(in_cache(rig.fd, size));
  sqcq_buffer buffer = rig_buffer(&rig);
  (void)rig_read_into(&rig, rig.file, buffer, 0, 0, STAMP_PAGE); /* the same, buffered */
  assert_true(in_cache(rig.fd, size));
  rig_release(&rig, buffer);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
}

/* ------------------------------------------------------------------------- */
/* fork                                                                      */
/* ------------------------------------------------------------------------- */

static void pool_memory_is_not_in_a_forked_child(void **state)
{
  static const uint32_t flags[] = {0, SQCQ_POOL_FIXED, SQCQ_POOL_HUGE};

  for (int i = 0; i < 3; i++) {
    struct sqcq_pool_config config = {
        .size = sizeof(config), .flags = flags[i], .count = 1, .buffer_size = 4096};
    sqcq_buffer buffer;
    sqcq_pool pool;
    int status = 0;

    assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
    assert_count(sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), 1);
    volatile char *data = sqcq_buffer_data(rig.engine, buffer);
    data[0] = 'x';
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      signal(SIGSEGV, SIG_DFL);
      _exit(data[0] == 'x' ? 1 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_int_equal(data[0], 'x');
    rig_release(&rig, buffer);
    assert_ok(sqcq_pool_destroy(rig.engine, pool));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(pools_of_every_size_and_alignment_are_read_into),
      CASE(fixed_pools_side_by_side_are_read_into),
      CASE(fixed_pool_after_the_first_turn_is_a_plain_one),
      CASE(huge_pool_is_huge_or_says_why_not),
      CASE(pools_come_and_go),
      CASE(o_direct_reads_past_the_page_cache),
      CASE(pool_memory_is_not_in_a_forked_child),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("buffers", tests, NULL, NULL);
}
