/*
 * Where there is no io_uring to be had, or not all of it: seccomp filters, no descriptor left. Each
 * has an error and a reason of its own, in words. All in child processes, whose limits and filters
 * die with them; kernel.io_uring_disabled is not touched.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/child.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

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
  enum {
    ALL = 4
  };
  int held[ALL];

  allow_descriptors(ALL); /* an eventfd, a ring, and a pipe for a moment: just enough */
  for (int left = 0; left < ALL; left++) {
    struct sqcq_explanation why;

    for (int i = 0; i < ALL - left; i++)
      CHECK((held[i] = dup(0)) >= 0);
    memset(&why, 0xee, sizeof(why));
    int error = sqcq_engine_create(&engine, &config, &why);
    CHECK(error == -EMFILE);
    CHECK(why.error == -EMFILE);
    CHECK(why.reason == SQCQ_REASON_DESCRIPTORS);
    CHECK(strstr(why.text, "descriptor") != NULL);
    CHECK(engine == NULL);
    for (int i = 0; i < ALL - left; i++)
      close(held[i]);
  }
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(sqcq_engine_create(&engine, &config, NULL) == 0);
  CHECK(dup(0) >= 0); /* the other end of the pipe is the kernel's alone */
  CHECK(dup(0) == -1 && errno == EMFILE);
  CHECK(sqcq_engine_poll(engine) == 0);
  CHECK(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
  CHECK(sqcq_engine_run(engine) == 0);
  CHECK(sqcq_engine_destroy(engine, NULL) == 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHILD(setup_answers_eperm),    CHILD(setup_answers_eacces), CHILD(setup_answers_enosys),
      CHILD(register_answers_eperm), CHILD(enable_answers_eperm), CHILD(no_descriptor_is_left),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine_refused", tests, NULL, NULL);
}
