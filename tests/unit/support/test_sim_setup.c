/* sqcq-test: simulated */
/*
 * The simulated ring: creation on old and new kernels, registrations, binding, who may call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/fds.h"
#include "support/sim_drive.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

/* ------------------------------------------------------------------------- */
/* Create                                                                    */
/* ------------------------------------------------------------------------- */

#define ON true
#define NO false

static void create_on_each_kernel_finds_its_groups(void **state)
{
  static const struct {
    const char *version;
    bool group_on[SQCQ__GROUP_COUNT]; /* DEFER_TASKRUN, SINGLE_ISSUER, COOP_TASKRUN, SUBMIT_ALL */
    bool ext_arg;
    uint32_t attempts;
  } kernels[] = {
      {"5.10", {NO, NO, NO, NO}, false, 5}, {"5.10.262", {NO, NO, NO, NO}, true, 5},
      {"5.15", {NO, NO, NO, NO}, true, 5},  {"5.19", {NO, NO, ON, ON}, true, 3},
      {"6.0", {NO, ON, ON, ON}, true, 2},   {"6.1", {ON, ON, ON, ON}, true, 1},
      {"6.12", {ON, ON, ON, ON}, true, 1},  {"6.18", {ON, ON, ON, ON}, true, 1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
    struct sqcq__ring_config config = {.sq_entries = 8, .cq_entries = 16, .sqpoll_cpu = -1};
    struct sim_config kernel = sim_kernel(kernels[i].version);
    struct sqcq__ring_traits traits;
    struct sqcq__ring *ring;

    sim_configure(&kernel);
    assert_ok(sqcq__ring_create(&ring, &config, &traits));
    for (int group = 0; group < SQCQ__GROUP_COUNT; group++) {
      assert_int_equal(traits.group_on[group], kernels[i].group_on[group]);
      assert_int_equal(traits.group_error[group], kernels[i].group_on[group] ? 0 : -EINVAL);
    }
    assert_int_equal((traits.features & IORING_FEAT_EXT_ARG) != 0, kernels[i].ext_arg);
    assert_int_equal(traits.setup_flags, sim_setup_flags());
    assert_int_equal((traits.setup_flags & IORING_SETUP_R_DISABLED) != 0,
                     kernels[i].group_on[SQCQ__GROUP_SINGLE_ISSUER]);
    assert_int_equal(sim_counts()->calls[SIM_CALL_CREATE], kernels[i].attempts);
    sqcq__ring_destroy(ring);
  }
}

static void create_without_defer_or_with_sqpoll_tries_fewer_groups(void **state)
{
  struct sqcq__ring_config config = {
      .sq_entries = 8, .cq_entries = 16, .no_defer = true, .sqpoll_cpu = -1};
  struct sim_config kernel = sim_kernel("6.1");
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring;

  (void)state;
  sim_configure(&kernel);
  assert_ok(sqcq__ring_create(&ring, &config, &traits));
  assert_int_equal(traits.setup_flags, IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                                           IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                                           IORING_SETUP_SUBMIT_ALL);
  sqcq__ring_destroy(ring);

  config.no_defer = false;
  config.sqpoll = true;
  assert_ok(sqcq__ring_create(&ring, &config, &traits));
  assert_int_equal(traits.setup_flags, IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                                           IORING_SETUP_SQPOLL | IORING_SETUP_SINGLE_ISSUER |
                                           IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL);
  assert_int_equal(traits.group_error[SQCQ__GROUP_DEFER_TASKRUN], 0);
  sqcq__ring_destroy(ring);
}

static void create_refused_for_good_gives_the_errno(void **state)
{
  struct sqcq__ring_config config = {.sq_entries = 8, .cq_entries = 16, .sqpoll_cpu = -1};
  struct sim_config kernel = sim_kernel("6.1");
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring = NULL;
  struct fds before;

  (void)state;
  fds_look(&before);
  kernel.error[SIM_CALL_CREATE] = -EPERM;
  sim_configure(&kernel);
  assert_error(sqcq__ring_create(&ring, &config, &traits), -EPERM);
  kernel.error[SIM_CALL_CREATE] = -EINVAL; /* to the last rung */
  sim_configure(&kernel);
  assert_error(sqcq__ring_create(&ring, &config, &traits), -EINVAL);
  kernel.error[SIM_CALL_CREATE] = 0;
  sim_configure(&kernel);
  sim_fail(SIM_CALL_CREATE, 0, 1, -ENOMEM);
  assert_error(sqcq__ring_create(&ring, &config, &traits), -ENOMEM);
  config.cq_entries = 1u << 17; /* more than the kernel gives */
  assert_error(sqcq__ring_create(&ring, &config, &traits), -EINVAL);
  assert_null(ring);
  assert_int_equal(sim_rings(), 0);
  assert_true(fds_same(&before));
}

static void registration_of_buffers_obeys_the_kernel(void **state)
{
  struct sim_config config = sim_kernel("5.10");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);
  static struct iovec many[1025];
  char byte;
  struct iovec one = {&byte, 1};
  struct iovec none = {NULL, 0};

  (void)state;
  for (size_t i = 0; i < 1025; i++)
    many[i] = one;
  assert_ok(sqcq__ring_register_buffers(ring, many, 1024));
  assert_error(sqcq__ring_register_buffers(ring, many, 1025), -EINVAL);
  assert_int_equal(sim_buffers(), 0); /* none are then */
  assert_error(sqcq__ring_register_buffers(ring, &none, 1), -EFAULT);
  sim_now()->no_null_buffers = false;
  assert_ok(sqcq__ring_register_buffers(ring, &none, 1));
  sim_fail(SIM_CALL_REGISTER_BUFFERS, 1, 1, -ENOMEM);
  assert_ok(sqcq__ring_register_buffers(ring, &one, 1));
  assert_error(sqcq__ring_register_buffers(ring, &one, 1), -ENOMEM);
  assert_ok(sqcq__ring_register_buffers(ring, NULL, 0));
  assert_int_equal(sim_buffers(), 0);
  sqcq__ring_destroy(ring);
}

/* ------------------------------------------------------------------------- */
/* Bind, and who may call                                                    */
/* ------------------------------------------------------------------------- */

static void bind_that_fails_can_be_tried_again(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);
  int fd_error = 1;

  (void)state;
  sim_fail(SIM_CALL_BIND, 0, 1, -EBADFD);
  assert_error(sqcq__ring_bind(ring, &fd_error), -EBADFD);
  sim_fail(SIM_CALL_RING_FD, 0, 1, -ENOMEM);
  assert_ok(sqcq__ring_bind(ring, &fd_error));
  assert_int_equal(fd_error, -ENOMEM);
  sqcq__ring_destroy(ring); /* nothing registered: no unbind needed */
}

static void enter_now(void *ring)
{
  uint64_t syscalls = 0;

  (void)sqcq__ring_enter(ring, 0, 0, &syscalls);
}

static void *enter_in_thread(void *ring)
{
  enter_now(ring);
  return NULL;
}

static void enter_in_another_thread(void *ring)
{
  pthread_t thread;

  pthread_create(&thread, NULL, enter_in_thread, ring);
  pthread_join(thread, NULL);
}

static void bind_now(void *ring)
{
  int fd_error;

  (void)sqcq__ring_bind(ring, &fd_error);
}

static void destroy_now(void *ring)
{
  sqcq__ring_destroy(ring);
}

static void wait_for_ever(void *ring)
{
  uint64_t syscalls = 0;

  (void)sqcq__ring_enter(ring, 1, -1, &syscalls);
}

static void register_now(void *ring)
{
  (void)sqcq__ring_register_files(ring, 4);
}

static void misuse_of_the_ring_ends_the_program(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);

  (void)state;
  assert_aborts(enter_now, ring, "disabled");
  drive_bind(ring);
  assert_aborts(bind_now, ring, "bound before");
  assert_aborts(enter_in_another_thread, ring, "second thread");
  assert_aborts(destroy_now, ring, "still registered");
  assert_aborts(register_now, ring, "after the first turn");
  assert_aborts(wait_for_ever, ring, "waits for ever");
  drive_close(ring);
}

static void enter_before_bind_is_good_where_no_issuer_is_bound(void **state)
{
  struct sim_config config = sim_kernel("5.10");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);

  (void)state;
  drive_enter(ring);
  drive_bind(ring);
  enter_in_another_thread(ring);
  drive_close(ring);
}

static void counts_outlive_the_ring(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  struct sqcq__ring *ring = drive_create(&config, 8, 16);
  char data[8];
  struct fds before;
  int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

  (void)state;
  assert_true(file >= 0);
  fds_look(&before);
  assert_ok(sqcq__ring_register_files(ring, 4));
  drive_bind(ring);
  assert_ok(sqcq__ring_update_file(ring, 1, file));
  sim_now()->completions_max = 1;
  drive_read(ring, file, data, 8, 0, 1);
  drive_read(ring, file, data, 8, 0, 2);
  drive_enter(ring);
  drive_close(ring);
  assert_int_equal(sim_counts()->left_inflight, 1);
  assert_int_equal(sim_counts()->left_unread, 1);
  assert_int_equal(sim_counts()->left_slots, 1);
  assert_int_equal(sim_counts()->submitted[SIM_READ], 2);
  assert_int_equal(sim_counts()->completed[SIM_READ], 1);
  assert_int_equal(sim_counts()->occupied_max, 2);
  close(file);
  assert_int_equal(fds_count(), before.count - 2); /* the ring's own and that one */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(create_on_each_kernel_finds_its_groups),
      cmocka_unit_test(create_without_defer_or_with_sqpoll_tries_fewer_groups),
      cmocka_unit_test(create_refused_for_good_gives_the_errno),
      cmocka_unit_test(registration_of_buffers_obeys_the_kernel),
      cmocka_unit_test(bind_that_fails_can_be_tried_again),
      cmocka_unit_test(misuse_of_the_ring_ends_the_program),
      cmocka_unit_test(enter_before_bind_is_good_where_no_issuer_is_bound),
      cmocka_unit_test(counts_outlive_the_ring),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
