/*
 * Where there is no io_uring to be had, or not all of it: seccomp filters, no descriptor left, locked
 * memory. Each has an error and a reason of its own, in words. All in child processes, whose limits
 * and filters die with them; kernel.io_uring_disabled is not touched.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SKIPPED 77
/* Users whom nobody is: locked memory is counted by user, and given back a little late. */
#define USERS_FIRST 60000
#define USERS_COUNT 5000

/* In a child: cmocka's assertions belong to the parent. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                      \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (0)

/* Run it in a child; whether it ran at all (it may _exit(SKIPPED)). */
static bool in_child(void (*function)(void))
{
  int status = 0;

  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    function();
    _exit(0);
  }
  while (waitpid(child, &status, 0) < 0)
    assert_int_equal(errno, EINTR);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == SKIPPED)
    return false;
  assert_int_equal(WEXITSTATUS(status), 0);
  return true;
}

static void run_in_child(void **state)
{
  void (*function)(void);

  memcpy(&function, state, sizeof(function));
  if (!in_child(function))
    skip();
}

/* Refused, with this error and reason, in words; nothing is left open. */
static void expect_refused(const struct sqcq_engine_config *config, int error, uint32_t reason,
                           struct sqcq_explanation *why)
{
  static struct fds before;
  struct sqcq_engine *engine = NULL;

  fds_look(&before);
  memset(why, 0xee, sizeof(*why));
  int got = sqcq_engine_create(&engine, config, why);
  if (got != error || why->reason != reason)
    fprintf(stderr, "%d (%s), reason %u: %s\n", got, sqcq_strerror(got), why->reason, why->text);
  CHECK(got == error);
  CHECK(why->error == error);
  CHECK(why->reason == reason);
  CHECK(memchr(why->text, '\0', sizeof(why->text)) != NULL);
  CHECK(strlen(why->text) > 10);
  CHECK(strchr(why->text, '\n') == NULL);
  CHECK(engine == NULL);
  CHECK(sqcq_engine_create(&engine, config, NULL) == error);
  CHECK(engine == NULL);
  CHECK(fds_same(&before));
}

/* ------------------------------------------------------------------------- */
/* seccomp                                                                   */
/* ------------------------------------------------------------------------- */

/* One system call answers with this error from now on. */
static void forbid(unsigned number, int error)
{
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    fprintf(stderr, "no seccomp here: %s\n", strerror(errno));
    _exit(SKIPPED);
  }
}

static void setup_answers_eperm(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_explanation why;

  forbid(SYS_io_uring_setup, EPERM);
  expect_refused(&config, -EPERM, SQCQ_REASON_SECCOMP, &why);
  CHECK(strstr(why.text, "seccomp") != NULL);
  config.flags = SQCQ_ENGINE_NO_DEFER | SQCQ_ENGINE_NO_FIXED_FILES;
  expect_refused(&config, -EPERM, SQCQ_REASON_SECCOMP, &why);
  config.flags = SQCQ_ENGINE_IOPOLL;
  expect_refused(&config, -EPERM, SQCQ_REASON_SECCOMP, &why);
}

static void setup_answers_eacces(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_explanation why;

  forbid(SYS_io_uring_setup, EACCES); /* as a security module might */
  expect_refused(&config, -EACCES, SQCQ_REASON_SECCOMP, &why);
}

static void setup_answers_enosys(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_explanation why;

  forbid(SYS_io_uring_setup, ENOSYS);
  expect_refused(&config, -ENOSYS, SQCQ_REASON_NO_IO_URING, &why);
  CHECK(strstr(why.text, "seccomp") != NULL);
}

/* Nothing can be registered: an engine that does without, and says so. */
static void register_answers_eperm(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_feature features[32];
  struct sqcq_engine *engine = NULL;
  struct sqcq_explanation why;
  sqcq_channel channel;
  bool refused = false;

  config.flags = SQCQ_ENGINE_NO_DEFER; /* a ring that is made disabled could not be enabled */
  forbid(SYS_io_uring_register, EPERM);
  CHECK(sqcq_engine_create(&engine, &config, &why) == 0);
  CHECK(sqcq_channel_create(engine, NULL, &channel) == 0);
  CHECK(sqcq_engine_poll(engine) == 0);
  int count = sqcq_engine_features(engine, features, 32, sizeof(features[0]));
  for (int i = 0; i < count; i++)
    if (strcmp(features[i].name, "FIXED_FILES") == 0 ||
        strcmp(features[i].name, "REGISTERED_RING_FD") == 0) {
      CHECK(features[i].state == SQCQ_FEATURE_REFUSED);
      CHECK(features[i].error == -EPERM);
      refused = true;
    }
  CHECK(refused);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

/* A ring made disabled cannot be enabled: the first turn says so, and the engine can be destroyed. */
static void enable_answers_eperm(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine = NULL;
  static struct fds before;

  fds_look(&before);
  forbid(SYS_io_uring_register, EPERM);
  CHECK(sqcq_engine_create(&engine, &config, NULL) == 0);
  int error = sqcq_engine_poll(engine);
  if (error == 0) /* no SINGLE_ISSUER in this kernel: there was nothing to enable */
    _exit(SKIPPED);
  CHECK(error == -EPERM);
  CHECK(sqcq_engine_run(engine) == -EPERM);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
  CHECK(fds_same(&before));
}

/* ------------------------------------------------------------------------- */
/* Descriptors                                                               */
/* ------------------------------------------------------------------------- */

/* Only so many more descriptors than are open now. */
static void allow_descriptors(uint32_t more)
{
  struct rlimit limit;
  int lowest = dup(0);

  CHECK(lowest >= 0);
  close(lowest);
  for (int fd = lowest; fd < lowest + 64; fd++)
    close(fd);
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = (rlim_t)lowest + more;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void no_descriptor_is_left(void)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine = NULL;
  struct rlimit limit;
  int held[2] = {-1, -1};

  allow_descriptors(2); /* an eventfd and a ring: just enough */
  for (int left = 0; left < 2; left++) {
    struct sqcq_explanation why;

    for (int i = 0; i < 2 - left; i++)
      CHECK((held[i] = dup(0)) >= 0);
    memset(&why, 0xee, sizeof(why));
    int error = sqcq_engine_create(&engine, &config, &why);
    CHECK(error == -EMFILE);
    CHECK(why.error == -EMFILE);
    CHECK(why.reason == SQCQ_REASON_DESCRIPTORS);
    CHECK(strstr(why.text, "descriptor") != NULL);
    CHECK(engine == NULL);
    for (int i = 0; i < 2 - left; i++)
      close(held[i]);
  }
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(sqcq_engine_create(&engine, &config, NULL) == 0);
  CHECK(dup(0) == -1 && errno == EMFILE);
  CHECK(sqcq_engine_poll(engine) == 0);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

/* ------------------------------------------------------------------------- */
/* Locked memory                                                             */
/* ------------------------------------------------------------------------- */

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

/* Some kernels charge the ring itself: what is missing is explained, and enough when it is there. */
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

#define CHILD(function)                                                                            \
  {                                                                                                \
#function, run_in_child, NULL, NULL, (void *)(function)                                        \
  }

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHILD(setup_answers_eperm),
      CHILD(setup_answers_eacces),
      CHILD(setup_answers_enosys),
      CHILD(register_answers_eperm),
      CHILD(enable_answers_eperm),
      CHILD(no_descriptor_is_left),
      CHILD(fixed_pool_over_the_limit_is_a_plain_one),
      CHILD(strict_fixed_pool_over_the_limit_is_refused),
      CHILD(refused_fixed_pool_leaves_the_others_fixed),
      CHILD(ring_over_the_limit_says_what_it_needs),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine_refused", tests, NULL, NULL);
}
