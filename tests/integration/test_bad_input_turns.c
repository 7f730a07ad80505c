/*
 * Every argument of the functions of the I/O thread and of consumers, and of those that tell: wrong
 * in every way, the documented errno, and nothing has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <limits.h>

static struct rig rig;

static int setup(void **state)
{
  rig_make(&rig);
  return 0;
}

static int teardown(void **state)
{
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

static void turn_with_bad_argument_is_refused(void **state)
{
  for (int turned = 0; turned < 2; turned++) {
    assert_refused(&rig, sqcq_engine_poll(NULL), -EINVAL);
    assert_refused(&rig, sqcq_engine_run(NULL), -EINVAL);
    assert_refused(&rig, sqcq_engine_wait(NULL, 0), -EINVAL);
    assert_refused(&rig, sqcq_engine_wait(rig.engine, -2), -EINVAL);
    assert_refused(&rig, sqcq_engine_wait(rig.engine, INT64_MIN), -EINVAL);
    if (turned == 0)
      assert_count(sqcq_engine_poll(rig.engine), 0);
  }
}

static void stop_with_bad_argument_is_refused(void **state)
{
  assert_refused(&rig, sqcq_engine_stop(NULL, SQCQ_STOP_DRAIN, SQCQ_FOREVER), -EINVAL);
  assert_refused(&rig, sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL + 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_engine_stop(rig.engine, UINT32_MAX, 0), -EINVAL);
  assert_refused(&rig, sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, -2), -EINVAL);
  assert_refused(&rig, sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, INT64_MIN), -EINVAL);
}

/* A completion is there, and stays there through every refusal. */
static void taking_with_bad_argument_is_refused(void **state)
{
  struct sqcq_completion out[2];
  struct sqcq_completion same[2];
  struct sqcq_engine *other = NULL;
  struct sqcq_engine *e = rig.engine;
  sqcq_channel c = rig.channel;
  sqcq_channel foreign, gone;
  const sqcq_channel beyond = {c.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS};
  const sqcq_channel none = {0};
  struct sqcq_read read = rig_page(&rig, 0);

  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_channel_create(other, NULL, &foreign));
  assert_ok(sqcq_channel_create(e, NULL, &gone));
  assert_ok(sqcq_channel_destroy(e, gone));
  assert_ok(sqcq_request(e, &read));
  while (rig_stats(&rig).completed == 0)
    assert_true(sqcq_engine_poll(e) >= 0);
  memset(out, 0xee, sizeof(out));
  memcpy(same, out, sizeof(out));

  assert_refused(&rig, sqcq_channel_poll(NULL, c, out, 2), -EINVAL);
  assert_refused(&rig, sqcq_channel_poll(e, c, NULL, 2), -EINVAL);
  assert_refused(&rig, sqcq_channel_poll(e, c, out, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_poll(e, foreign, out, 2), -EINVAL);
  assert_refused(&rig, sqcq_channel_poll(e, beyond, out, 2), -EINVAL);
  assert_refused(&rig, sqcq_channel_poll(e, none, out, 2), -EPIPE);
  assert_refused(&rig, sqcq_channel_poll(e, gone, out, 2), -EPIPE);

  assert_refused(&rig, sqcq_channel_wait(NULL, c, out, 2, 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, NULL, 2, 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 0, 0, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 2, 0, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 2, 3, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 2, UINT32_MAX, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 2, 1, -2), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, c, out, 2, 1, INT64_MIN), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, foreign, out, 2, 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, beyond, out, 2, 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_channel_wait(e, none, out, 2, 1, SQCQ_FOREVER), -EPIPE);
  assert_refused(&rig, sqcq_channel_wait(e, gone, out, 2, 1, SQCQ_FOREVER), -EPIPE);
  assert_memory_equal(out, same, sizeof(out));

  assert_count(sqcq_channel_wait(e, c, out, 2, 1, SQCQ_FOREVER), 1);
  rig_check_page(&out[0]);
  assert_memory_equal(&out[1], &same[1], sizeof(out[1]));
  rig_release(&rig, out[0].buffer);
  assert_ok(sqcq_engine_destroy(other, NULL));
}

static void stats_with_bad_argument_are_refused(void **state)
{
  struct sqcq_stats stats;
  struct sqcq_stats same;
  struct {
    struct sqcq_stats stats;
    uint64_t beyond[2];
    uint64_t behind;
  } larger;

  memset(&stats, 0xee, sizeof(stats));
  same = stats;
  assert_refused(&rig, sqcq_engine_stats(NULL, &stats, sizeof(stats)), -EINVAL);
  assert_refused(&rig, sqcq_engine_stats(rig.engine, NULL, sizeof(stats)), -EINVAL);
  assert_refused(&rig, sqcq_engine_stats(rig.engine, &stats, 0), -EINVAL);
  assert_memory_equal(&stats, &same, sizeof(stats));

  /* A caller of before knows fewer, one of later more. */
  assert_ok(sqcq_engine_stats(rig.engine, &stats, sizeof(uint64_t)));
  assert_int_equal(stats.accepted, 0);
  assert_memory_equal(&stats.refused_again, &same.refused_again,
                      sizeof(stats) - sizeof(stats.accepted));
  memset(&larger, 0xee, sizeof(larger));
  assert_ok(
      sqcq_engine_stats(rig.engine, &larger.stats, sizeof(larger.stats) + sizeof(larger.beyond)));
  assert_int_equal(larger.beyond[0], 0);
  assert_int_equal(larger.beyond[1], 0);
  assert_true(larger.behind == UINT64_C(0xeeeeeeeeeeeeeeee));
}

static void features_with_bad_argument_are_refused(void **state)
{
  struct sqcq_feature features[64];
  struct sqcq_feature same;
  const size_t size = sizeof(features[0]);

  memset(features, 0xee, sizeof(features));
  same = features[0];
  assert_refused(&rig, sqcq_engine_features(NULL, features, 64, size), -EINVAL);
  assert_refused(&rig, sqcq_engine_features(rig.engine, NULL, 64, size), -EINVAL);
  assert_refused(&rig, sqcq_engine_features(rig.engine, features, 64, size - 1), -EINVAL);
  assert_refused(&rig, sqcq_engine_features(rig.engine, features, 64, size + 8), -EINVAL);
  assert_refused(&rig, sqcq_engine_features(rig.engine, features, 64, 0), -EINVAL);
  assert_memory_equal(&features[0], &same, size);
  int count = sqcq_engine_features(rig.engine, NULL, 0, size);
  assert_in_range(count, 1, 63);
  assert_count(sqcq_engine_features(rig.engine, features, 1, size), count);
  assert_memory_equal(&features[1], &same, size);
}

static void strerror_knows_every_number(void **state)
{
  static const int documented[] = {EAGAIN, EXFULL, EPIPE,   ENOBUFS,    ESHUTDOWN, EBADF,    ESTALE,
                                   EBUSY,  EINVAL, EDEADLK, EPERM,      ENOSPC,    ENOSYS,   ENOMEM,
                                   ENFILE, EMFILE, EISDIR,  EOPNOTSUPP, EINTR,     ECANCELED};

  for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
    const char *text = sqcq_strerror(-documented[i]);

    assert_non_null(text);
    assert_ptr_equal(text, sqcq_strerror(documented[i]));
    assert_null(strchr(text, '\n'));
    for (size_t j = 0; j < i; j++)
      assert_string_not_equal(text, sqcq_strerror(documented[j]));
  }
  for (int error = -5000; error < 5000; error++)
    assert_true(sqcq_strerror(error)[0] != '\0');
  assert_non_null(sqcq_strerror(INT_MIN));
  assert_non_null(sqcq_strerror(INT_MAX));
}

static void version_is_that_of_the_header(void **state)
{
  char version[64];

  snprintf(version, sizeof(version), "%d.%d.%d", SQCQ_VERSION_MAJOR, SQCQ_VERSION_MINOR,
           SQCQ_VERSION_PATCH);
  assert_string_equal(sqcq_version(), version);
}

/* errno itself is neither read nor set for the caller. */
static void refusals_leave_errno_alone(void **state)
{
  struct sqcq_read read = {0};

  errno = 12345;
  (void)!sqcq_request(rig.engine, &read);
  (void)!sqcq_channel_destroy(rig.engine, (sqcq_channel){0});
  (void)sqcq_engine_stop(rig.engine, 7, 0);
  assert_int_equal(errno, 12345);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(turn_with_bad_argument_is_refused),      CASE(stop_with_bad_argument_is_refused),
      CASE(taking_with_bad_argument_is_refused),    CASE(stats_with_bad_argument_are_refused),
      CASE(features_with_bad_argument_are_refused), CASE(strerror_knows_every_number),
      CASE(version_is_that_of_the_header),          CASE(refusals_leave_errno_alone),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_turns", tests, NULL, NULL);
}
