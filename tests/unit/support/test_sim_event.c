/* sqcq-test: simulated */
/*
 * The simulated ring's eventfd and timeouts.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_drive.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static struct sqcq__ring *open_watched(const char *version, int *event)
{
  struct sim_config config = sim_kernel(version);
  struct sqcq__ring *ring = drive_create(&config, 16, 64);

  *event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  assert_ok(sqcq__ring_register_eventfd(ring, *event));
  drive_bind(ring);
  return ring;
}

static uint64_t take(int event)
{
  uint64_t count = 0;

  return read(event, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void eventfd_is_written_only_while_watched(void **state)
{
  static const char *const versions[] = {"5.10", "6.18"};

  for (size_t i = 0; i < 2; i++) {
    int event, ends[2];
    char byte;
    struct sqcq__ring *ring = open_watched(versions[i], &event);

    assert_ok(pipe(ends));
    drive_read(ring, ends[0], &byte, 1, UINT64_MAX, 1);
    drive_enter(ring);
    sqcq__ring_watch(ring, true);
    assert_int_equal(take(event), 0); /* nothing is on its way */
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(take(event), 0); /* until time passes */
    sim_pass();
    assert_true(take(event) > 0);
    sqcq__ring_watch(ring, false);
    drive_enter(ring);
    drive_expect(ring, 1, 1);
    assert_int_equal(take(event), 0);
    drive_read(ring, ends[0], &byte, 1, UINT64_MAX, 2);
    drive_enter(ring);
    assert_int_equal(write(ends[1], "x", 1), 1);
    sim_pass();
    assert_int_equal(take(event), 0);
    sqcq__ring_watch(ring, true); /* it is on its way, or, on an old kernel, there */
    assert_true(take(event) > 0 || i == 0);
    drive_enter(ring);
    drive_expect(ring, 2, 1);
    close(ends[0]);
    close(ends[1]);
    drive_close(ring);
    close(event);
  }
}

static void timeout_answers_at_its_time_or_its_cancel(void **state)
{
  int64_t now = test_now_ns();
  struct sqcq__ring_time later = {.seconds = now / 1000000000 + 3600};
  struct sqcq__ring_time soon = {.seconds = (now + MS) / 1000000000,
                                 .nanoseconds = (now + MS) % 1000000000};
  int event;
  struct sqcq__ring *ring = open_watched("6.18", &event);

  sqcq__prep_timeout(drive_sqe(ring), &later, 1);
  drive_enter(ring);
  drive_expect_nothing(ring);
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  struct drive_cqe cqes[64];
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].user_data, 1);
  assert_int_equal(cqes[0].result, -ECANCELED);
  assert_int_equal(cqes[1].result, 0);
  sqcq__prep_timeout(drive_sqe(ring), &soon, 3);
  uint64_t syscalls = 0;
  assert_ok(sqcq__ring_enter(ring, 1, -1, &syscalls)); /* its time ends the wait */
  drive_expect(ring, 3, -ETIME);
  drive_close(ring);
  close(event);
}

static void two_timeouts(void *ring)
{
  static const struct sqcq__ring_time later = {.seconds = INT32_MAX};

  sqcq__prep_timeout(drive_sqe(ring), &later, 1);
  sqcq__prep_timeout(drive_sqe(ring), &later, 2);
  drive_enter(ring);
}

static void watch_without_an_eventfd(void *ring)
{
  sqcq__ring_watch(ring, true);
}

static void what_no_kernel_could_forgive_ends_the_program(void **state)
{
  struct sim_config config = sim_kernel("6.18");
  struct sqcq__ring *ring = drive_open(&config);

  assert_aborts(two_timeouts, ring, "a second timeout");
  assert_aborts(watch_without_an_eventfd, ring, "no eventfd is registered");
  drive_close(ring);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eventfd_is_written_only_while_watched),
      cmocka_unit_test(timeout_answers_at_its_time_or_its_cancel),
      cmocka_unit_test(what_no_kernel_could_forgive_ends_the_program),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
