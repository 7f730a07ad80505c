/*
 * RLIMIT_MEMLOCK, to which registered buffers are charged, and by some kernels rings: what is
 * refused is explained, and what can go on without does.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/child.h"

#include <sys/mman.h>
#include <sys/resource.h>

/* Users whom nobody is: locked memory is counted by user, and given back a little late. */
#define USERS_FIRST 60000
#define USERS_COUNT 5000

/* An ordinary user who may lock this much. */
static void become_user(rlim_t locked)
{
  struct rlimit limit = {locked, locked};

  CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  if (geteuid() == 0)
    CHECK(setuid(USERS_FIRST + (uid_t)getpid() % USERS_COUNT) == 0);
}

static const struct sqcq_feature *feature_of(struct sqcq_engine *engine, const char *name)
{
  static struct sqcq_feature features[32];
  int count = sqcq_engine_features(engine, features, 32, sizeof(features[0]));

  for (int i = 0; i < count; i++)
    if (strcmp(features[i].name, name) == 0)
      return &features[i];
  _exit(1);
}

/* Reads through this pool bring what is in the file. */
static void read_through(struct sqcq_engine *engine, sqcq_pool pool)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = 1};
  struct sqcq_completion completion;
  struct sqcq_read read = {.length = 4096};
  int fd = memfd_create("zeros", MFD_CLOEXEC);
  int n;

  CHECK(fd >= 0 && ftruncate(fd, 4096) == 0 && pwrite(fd, "sqcq", 4, 0) == 4);
  CHECK(sqcq_channel_create(engine, &channel, &read.channel) == 0);
  CHECK(sqcq_file_add(engine, fd, &read.file) == 0);
  CHECK(sqcq_buffer_acquire(engine, pool, &read.buffer, 1) == 1);
  CHECK(sqcq_request(engine, &read) == 0);
  while ((n = sqcq_channel_poll(engine, read.channel, &completion, 1)) == 0)
    CHECK(sqcq_engine_wait(engine, SQCQ_FOREVER) >= 0);
  CHECK(n == 1 && completion.result == 4096 && memcmp(completion.data, "sqcq", 4) == 0);
  CHECK(sqcq_buffer_release(engine, &completion.buffer, 1) == 1);
  close(fd);
}

static struct sqcq_engine *engine_of_user(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine = NULL;
  struct sqcq_explanation why;

  if (sqcq_engine_create(&engine, &config, &why) != 0) {
    fprintf(stderr, "%s\n", why.text);
    _exit(1);
  }
  return engine;
}

static void fixed_pool_over_the_limit_is_a_plain_one(void)
{
  struct sqcq_pool_config config = {
      .size = sizeof(config), .flags = SQCQ_POOL_FIXED, .count = 32, .buffer_size = 65536};
  sqcq_pool pool = {7};

  become_user(128 * 1024);
  struct sqcq_engine *engine = engine_of_user();
  CHECK(sqcq_pool_create(engine, &config, &pool) == 0);
  const struct sqcq_feature *feature = feature_of(engine, "FIXED_BUFFERS");
  CHECK(feature->state == SQCQ_FEATURE_REFUSED);
  CHECK(feature->error == -ENOMEM);
  CHECK(feature->limit == 128 * 1024);
  CHECK(feature->needed >= 32 * 65536);
  CHECK(feature->instead[0] != '\0');
  read_through(engine, pool);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

static void strict_fixed_pool_over_the_limit_is_refused(void)
{
  struct sqcq_pool_config config = {.size = sizeof(config),
                                    .flags = SQCQ_POOL_FIXED | SQCQ_POOL_STRICT,
                                    .count = 32,
                                    .buffer_size = 65536};
  sqcq_pool pool = {7};

  become_user(128 * 1024);
  struct sqcq_engine *engine = engine_of_user();
  for (int i = 0; i < 20; i++) { /* and no place is lost by it */
    CHECK(sqcq_pool_create(engine, &config, &pool) == -ENOMEM);
    CHECK(pool.id == 7);
  }
  const struct sqcq_feature *feature = feature_of(engine, "FIXED_BUFFERS");
  CHECK(feature->state == SQCQ_FEATURE_REFUSED);
  CHECK(feature->needed >= 32 * 65536 && feature->limit == 128 * 1024);
  config.count = 4;
  config.buffer_size = 4096; /* this one fits */
  CHECK(sqcq_pool_create(engine, &config, &pool) == 0);
  CHECK(feature_of(engine, "FIXED_BUFFERS")->state == SQCQ_FEATURE_ON);
  CHECK(feature_of(engine, "FIXED_BUFFERS")->needed == 0);
  read_through(engine, pool);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

/* A pool that is fixed stays so when the next one is refused. */
static void refused_fixed_pool_leaves_the_others_fixed(void)
{
  struct sqcq_pool_config config = {
      .size = sizeof(config), .flags = SQCQ_POOL_FIXED, .count = 2, .buffer_size = 4096};
  sqcq_pool pools[3];

  become_user(256 * 1024);
  struct sqcq_engine *engine = engine_of_user();
  CHECK(sqcq_pool_create(engine, &config, &pools[0]) == 0);
  if (feature_of(engine, "FIXED_BUFFERS")->state != SQCQ_FEATURE_ON)
    _exit(SKIPPED); /* others use up the user's share */
  config.count = 16;
  config.buffer_size = 65536;
  CHECK(sqcq_pool_create(engine, &config, &pools[1]) == 0);
  CHECK(feature_of(engine, "FIXED_BUFFERS")->state == SQCQ_FEATURE_REFUSED);
  CHECK(engine->buffers.pools[sqcq__handle_index(pools[0].id)].fixed == 0);
  CHECK(engine->buffers.pools[sqcq__handle_index(pools[1].id)].fixed == -1);
  config.count = 2;
  config.buffer_size = 4096;
  CHECK(sqcq_pool_create(engine, &config, &pools[2]) == 0);
  CHECK(engine->buffers.pools[sqcq__handle_index(pools[2].id)].fixed == 1);
  for (int i = 0; i < 3; i++)
    read_through(engine, pools[i]);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

/* Some kernels charge the ring itself: what is missing is explained, and enough when it is
 * there. */
static void ring_over_the_limit_says_what_it_needs(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine = NULL;
  struct sqcq_explanation why;
  struct rlimit limit;

  CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  limit.rlim_cur = 0;
  CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  if (geteuid() == 0)
    CHECK(setuid(USERS_FIRST + (uid_t)getpid() % USERS_COUNT) == 0);
  if (sqcq_engine_create(&engine, &config, NULL) == 0)
    _exit(SKIPPED); /* this one charges no rings */
  for (config.depth = 4; config.depth <= 1024; config.depth *= 2) {
    limit.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    expect_refused(&config, -ENOMEM, SQCQ_REASON_MEMLOCK, &why);
    CHECK(strstr(why.text, "RLIMIT_MEMLOCK") != NULL);
    CHECK(why.limit == 0);
    limit.rlim_cur = (why.needed + 4095) / 4096 * 4096; /* the kernel counts pages */
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    /* Rings of before are given back a little late. */
    int64_t soon = test_now_ns() + TEST_SOON_NS;
    int error;
    while ((error = sqcq_engine_create(&engine, &config, &why)) == -ENOMEM && test_now_ns() < soon)
      test_sleep_ns(MS);
    CHECK(error == 0);
    CHECK(sqcq_engine_destroy(engine, NULL) == 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHILD(fixed_pool_over_the_limit_is_a_plain_one),
      CHILD(strict_fixed_pool_over_the_limit_is_refused),
      CHILD(refused_fixed_pool_leaves_the_others_fixed),
      CHILD(ring_over_the_limit_says_what_it_needs),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine_memlock", tests, NULL, NULL);
}
