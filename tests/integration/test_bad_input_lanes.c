/*
 * Every argument of the functions of own lanes, wrong in every way: the documented errno, the right
 * counter, and nothing has changed. Two threads at once in one lane are an assertion.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/child.h"

#include <signal.h>
#include <sys/resource.h>

#define LANES 3u

static struct rig rig;
static struct sqcq_engine *other;
static sqcq_lane lane, other_lane;
static struct sqcq_read good; /* its buffer is ours */

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.lanes_own = LANES;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  good = rig_page(&rig, 3);
  assert_ok(sqcq_engine_create(&other, &config, NULL));
  assert_ok(sqcq_lane_open(rig.engine, &lane));
  assert_ok(sqcq_lane_open(other, &other_lane));
  return 0;
}

static int teardown(void **state)
{
  struct sqcq_completion completion;

  /* The same read in the same lane, with nothing wrong. */
  assert_ok(sqcq_lane_request(rig.engine, lane, &good));
  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
  rig_release(&rig, completion.buffer);
  assert_ok(sqcq_engine_destroy(other, NULL));
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

/* Both ways to request, by this handle. */
static void refuse(sqcq_lane handle, int error)
{
  uint64_t invalid = rig_stats(&rig).refused_invalid;

  assert_refused(&rig, sqcq_lane_request(rig.engine, handle, &good), error);
  assert_refused(&rig, sqcq_lane_request_many(rig.engine, handle, &good, 1), error);
  assert_int_equal(rig_stats(&rig).refused_invalid, invalid + 2);
}

static void lane_call_with_null_is_refused(void **state)
{
  uint64_t invalid = rig_stats(&rig).refused_invalid;
  sqcq_lane untouched = {42};

  assert_refused(&rig, sqcq_lane_open(NULL, &untouched), -EINVAL);
  assert_refused(&rig, sqcq_lane_open(rig.engine, NULL), -EINVAL);
  assert_refused(&rig, sqcq_lane_close(NULL, lane), -EINVAL);
  assert_refused(&rig, sqcq_lane_request(NULL, lane, &good), -EINVAL);
  assert_refused(&rig, sqcq_lane_request_many(NULL, lane, &good, 1), -EINVAL);
  assert_int_equal(untouched.id, 42);
  assert_int_equal(rig_stats(&rig).refused_invalid, invalid);
  assert_refused(&rig, sqcq_lane_request(rig.engine, lane, NULL), -EINVAL);
  assert_refused(&rig, sqcq_lane_request_many(rig.engine, lane, NULL, 1), -EINVAL);
  assert_refused(&rig, sqcq_lane_request_many(rig.engine, lane, &good, 0), -EINVAL);
  assert_int_equal(rig_stats(&rig).refused_invalid, invalid + 3);
}

static void lane_handle_of_nobody_is_refused(void **state)
{
  refuse((sqcq_lane){0}, -EBADFD);
  assert_refused(&rig, sqcq_lane_close(rig.engine, (sqcq_lane){0}), -EBADFD);
  const uint64_t foreign[] = {other_lane.id, lane.id ^ 0x800, good.file.id + (LANES << 12), 1,
                              UINT64_MAX};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
    refuse((sqcq_lane){foreign[i]}, -EINVAL);
    assert_refused(&rig, sqcq_lane_close(rig.engine, (sqcq_lane){foreign[i]}), -EINVAL);
  }
}

static void lane_never_opened_is_refused(void **state)
{
  sqcq_lane next = {lane.id + (1u << 12)};

  refuse(next, -EBADFD);
  assert_refused(&rig, sqcq_lane_close(rig.engine, next), -EBADFD);
}

static void lane_closed_is_refused_also_when_opened_again(void **state)
{
  sqcq_lane gone = lane;

  assert_ok(sqcq_lane_close(rig.engine, gone));
  for (int again = 0; again < 2; again++) {
    refuse(gone, -EBADFD);
    assert_refused(&rig, sqcq_lane_close(rig.engine, gone), -EBADFD);
    if (again == 0)
      assert_ok(sqcq_lane_open(rig.engine, &lane)); /* the same one */
  }
  assert_int_equal(sqcq__handle_index(lane.id), sqcq__handle_index(gone.id));
}

static void lane_open_over_the_limit_is_refused(void **state)
{
  sqcq_lane lanes[LANES] = {lane};
  sqcq_lane untouched = {42};

  for (uint32_t i = 1; i < LANES; i++)
    assert_ok(sqcq_lane_open(rig.engine, &lanes[i]));
  assert_refused(&rig, sqcq_lane_open(rig.engine, &untouched), -ENOSPC);
  assert_int_equal(untouched.id, 42);
  for (uint32_t i = 0; i < LANES; i++)
    assert_ok(sqcq_lane_close(rig.engine, lanes[i]));
  for (uint32_t i = 0; i < LANES; i++)
    assert_ok(sqcq_lane_open(rig.engine, &lanes[i]));
  assert_refused(&rig, sqcq_lane_open(rig.engine, &untouched), -ENOSPC);
  lane = lanes[0];
}

static void lane_open_of_an_engine_without_own_lanes_is_refused(void **state)
{
  struct sqcq_engine *none;
  sqcq_lane untouched = {42};

  assert_ok(sqcq_engine_create(&none, NULL, NULL));
  assert_error(sqcq_lane_open(none, &untouched), -ENOSPC);
  assert_int_equal(untouched.id, 42);
  assert_error(sqcq_lane_request(none, lane, &good), -EINVAL);
  assert_error(sqcq_lane_close(none, lane), -EINVAL);
  assert_ok(sqcq_engine_destroy(none, NULL));
}

/* What is wrong with the read is told apart from what is wrong with the lane. */
static void lane_request_with_a_bad_read_is_refused_as_by_sqcq_request(void **state)
{
  struct sqcq_read bad[7];
  sqcq_buffer gone = rig_buffer(&rig);

  rig_release(&rig, gone);
  for (size_t i = 0; i < 7; i++)
    bad[i] = good;
  bad[0].length = 0;
  bad[1].buffer = gone;
  bad[2].file.id = 0;
  bad[3].channel.id = 0;
  bad[4].buffer_offset = STAMP_PAGE + 1;
  bad[5].flags = 1u << 31;
  bad[6].file.id ^= 0x800;
  for (size_t i = 0; i < 7; i++) {
    int error = sqcq_request(rig.engine, &bad[i]);

    assert_true(error < 0 && (i != 1 || error == -ESTALE));
    assert_refused(&rig, sqcq_lane_request(rig.engine, lane, &bad[i]), error);
  }
  assert_ok(sqcq_lane_request(rig.engine, lane, &good));
  assert_refused(&rig, sqcq_lane_request(rig.engine, lane, &good), -EBUSY);
  struct sqcq_completion completion;
  rig_take(&rig, &completion, 1);
  rig_check_page(&completion);
}

/* The child ends by an assertion, and by nothing else. */
static void expect_abort(void (*function)(void))
{
  int status = 0;

  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct rlimit none = {0, 0};
    struct sigaction end = {.sa_handler = SIG_DFL};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)sigaction(SIGABRT, &end, NULL);
    (void)freopen("/dev/null", "w", stderr);
    (void)setup(NULL); /* an engine of its own: the parent's is none of its business */
    function();
    _exit(0);
  }
  while (waitpid(child, &status, 0) < 0)
    assert_int_equal(errno, EINTR);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Somebody else is in the middle of a request in this lane. */
static void be_inside(void)
{
  struct sqcq__own_lane *inside;

  if (sqcq__own_enter(&rig.engine->own, lane.id, &inside) != 0)
    _exit(1);
}

static void request_too(void)
{
  be_inside();
  (void)!sqcq_lane_request(rig.engine, lane, &good);
}

static void close_it(void)
{
  be_inside();
  (void)sqcq_lane_close(rig.engine, lane);
}

static void two_threads_at_once_in_a_lane_are_an_assertion(void **state)
{
  expect_abort(request_too);
  expect_abort(close_it);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(lane_call_with_null_is_refused),
      CASE(lane_handle_of_nobody_is_refused),
      CASE(lane_never_opened_is_refused),
      CASE(lane_closed_is_refused_also_when_opened_again),
      CASE(lane_open_over_the_limit_is_refused),
      CASE(lane_open_of_an_engine_without_own_lanes_is_refused),
      CASE(lane_request_with_a_bad_read_is_refused_as_by_sqcq_request),
      cmocka_unit_test(two_threads_at_once_in_a_lane_are_an_assertion),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
