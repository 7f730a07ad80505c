/*
 * Cancels and deadlines on the real ring, of reads of pipes that nobody writes to; and refusals.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

struct scene {
  struct rig rig;
  sqcq_channel other;
  sqcq_file pipe, second;
  int ends[2], second_ends[2];
};

static struct scene scene;

static int setup(void **state)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = 8};

  memset(&scene, 0, sizeof(scene));
  rig_make(&scene.rig);
  assert_ok(sqcq_channel_create(scene.rig.engine, &channel, &scene.other));
  assert_int_equal(pipe2(scene.ends, O_CLOEXEC), 0);
  assert_int_equal(pipe2(scene.second_ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(scene.rig.engine, scene.ends[0], &scene.pipe));
  assert_ok(sqcq_file_add(scene.rig.engine, scene.second_ends[0], &scene.second));
  return 0;
}

static int teardown(void **state)
{
  struct rig *rig = &scene.rig;

  for (int i = 0; i < 2; i++) {
    close(scene.ends[i]);
    close(scene.second_ends[i]);
  }
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig->engine)); /* another thread's, perhaps, and over */
  rig_read_rest(rig, scene.other);
  rig_read_rest(rig, rig->channel);
  rig_destroy(rig);
  return 0;
}

/* user_data 1 and 2 on the rig's channel, of both pipes; 1 and 3 on the other. In the kernel. */
static void ask_pipes(void)
{
  struct rig *rig = &scene.rig;

  rig_request_stream(rig, rig->channel, scene.pipe, 1);
  rig_request_stream(rig, rig->channel, scene.second, 2);
  rig_request_stream(rig, scene.other, scene.pipe, 1);
  rig_request_stream(rig, scene.other, scene.second, 3);
  rig_expect_nothing(rig, rig->channel);
  assert_int_equal(rig_stats(rig).inflight, 4);
}

/* One completion of the channel, of a read that was ended by what `flags` say. */
static uint64_t take_ended(sqcq_channel channel, uint32_t flags)
{
  struct sqcq_completion completion;

  rig_take_from(&scene.rig, channel, &completion, 1);
  assert_true(completion.result == -ECANCELED || completion.result == -EINTR);
  assert_int_equal(completion.flags, flags);
  rig_release(&scene.rig, completion.buffer);
  return completion.user_data;
}

static void cancel_by_user_data_ends_that_read_alone(void **state)
{
  struct sqcq_cancel_target cancel = {
      .what = SQCQ_CANCEL_USER_DATA, .channel = scene.rig.channel, .user_data = 1};

  ask_pipes();
  assert_ok(sqcq_cancel(scene.rig.engine, &cancel));
  assert_int_equal(take_ended(scene.rig.channel, SQCQ_COMPLETION_CANCELLED), 1);
  rig_expect_nothing(&scene.rig, scene.rig.channel);
  rig_expect_nothing(&scene.rig, scene.other);
  assert_int_equal(rig_stats(&scene.rig).inflight, 3);
}

static void cancel_by_file_ends_its_reads_on_all_channels(void **state)
{
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_FILE, .file = scene.second};

  ask_pipes();
  assert_ok(sqcq_cancel(scene.rig.engine, &cancel));
  assert_int_equal(take_ended(scene.rig.channel, SQCQ_COMPLETION_CANCELLED), 2);
  assert_int_equal(take_ended(scene.other, SQCQ_COMPLETION_CANCELLED), 3);
  rig_expect_nothing(&scene.rig, scene.other);
  assert_int_equal(rig_stats(&scene.rig).inflight, 2);
  /* The file is as good as before. */
  rig_request_stream(&scene.rig, scene.other, scene.second, 7);
  struct sqcq_completion completion;
  assert_int_equal(write(scene.second_ends[1], "abc", 3), 3);
  rig_take_from(&scene.rig, scene.other, &completion, 1);
  assert_int_equal(completion.result, 3);
  assert_int_equal(completion.flags, 0);
  rig_release(&scene.rig, completion.buffer);
}

static void cancel_of_a_closed_channel_gives_it_back(void **state)
{
  struct rig *rig = &scene.rig;
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_CHANNEL,
                                      .flags = SQCQ_CANCEL_REPORT,
                                      .channel = scene.other,
                                      .report = rig->channel,
                                      .report_user_data = 99};
  struct sqcq_completion report;

  ask_pipes();
  assert_error(sqcq_channel_destroy(rig->engine, scene.other), -EBUSY);
  assert_ok(sqcq_cancel(rig->engine, &cancel));
  rig_take(rig, &report, 1);
  assert_int_equal(report.flags, SQCQ_COMPLETION_REPORT);
  assert_int_equal(report.result, 2);
  assert_int_equal(report.user_data, 99);
  assert_int_equal(report.buffer.id, 0);
  (void)take_ended(scene.other, SQCQ_COMPLETION_CANCELLED);
  (void)take_ended(scene.other, SQCQ_COMPLETION_CANCELLED);
  assert_error(sqcq_channel_poll(rig->engine, scene.other, &report, 1), -EPIPE);
  assert_ok(sqcq_channel_destroy(rig->engine, scene.other));
}

/* The I/O thread sleeps for ever, and is woken. */
static void cancel_of_all_wakes_the_io_thread(void **state)
{
  struct rig *rig = &scene.rig;
  struct sqcq_cancel_target cancel = {
      .what = SQCQ_CANCEL_ALL, .flags = SQCQ_CANCEL_REPORT, .report = rig->channel};
  struct sqcq_completion taken[3];
  struct io_thread io;
  int n = 0;

  rig_request_stream(rig, rig->channel, scene.pipe, 1);
  rig_request_stream(rig, rig->channel, scene.second, 2);
  io_thread_start(&io, rig->engine);
  while (rig_stats(rig).sleeps == 0)
    sched_yield();
  assert_ok(sqcq_cancel(rig->engine, &cancel));
  while (n < 3)
    n += sqcq_channel_wait(rig->engine, rig->channel, taken + n, 3 - (uint32_t)n, 1, SQCQ_FOREVER);
  for (int i = 0; i < 3; i++) {
    if ((taken[i].flags & SQCQ_COMPLETION_REPORT) != 0) {
      assert_int_equal(taken[i].result, 2);
      continue;
    }
    assert_int_equal(taken[i].flags, SQCQ_COMPLETION_CANCELLED);
    rig_release(rig, taken[i].buffer);
  }
  assert_ok(sqcq_engine_stop(rig->engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  assert_error(sqcq_cancel(rig->engine, &cancel), -ESHUTDOWN);
}

/* ------------------------------------------------------------------------- */
/* Deadlines                                                                 */
/* ------------------------------------------------------------------------- */

static struct sqcq_read read_by(sqcq_file file, uint64_t user_data, int64_t deadline_ns)
{
  return (struct sqcq_read){.file = file,
                            .buffer = rig_buffer(&scene.rig),
                            .channel = scene.rig.channel,
                            .offset = SQCQ_OFFSET_CURRENT,
                            .user_data = user_data,
                            .length = 8,
                            .deadline_ns = (uint64_t)deadline_ns};
}

static void deadline_ends_a_read_that_nobody_answers(void **state)
{
  struct rig *rig = &scene.rig;
  int64_t deadline = sqcq__now() + 4 * MS;
  struct sqcq_read read = read_by(scene.pipe, 1, deadline);

  assert_ok(sqcq_request(rig->engine, &read));
  read = read_by(scene.pipe, 2, deadline + 3600 * 1000 * MS);
  assert_ok(sqcq_request(rig->engine, &read));
  /* Nothing else ends this sleep. */
  int n = 0;
  while (n == 0)
    n = sqcq_engine_wait(rig->engine, SQCQ_FOREVER);
  assert_int_equal(n, 1);
  assert_true(sqcq__now() >= deadline);
  assert_int_equal(take_ended(rig->channel, SQCQ_COMPLETION_DEADLINE), 1);
}

static void deadline_that_is_kept_is_not_heard_of(void **state)
{
  struct rig *rig = &scene.rig;
  struct sqcq_read read = read_by(scene.pipe, 1, sqcq__now() + 3600 * 1000 * MS);
  struct sqcq_completion completion;

  assert_ok(sqcq_request(rig->engine, &read));
  rig_expect_nothing(rig, rig->channel);
  assert_int_equal(write(scene.ends[1], "abc", 3), 3);
  rig_take(rig, &completion, 1);
  assert_int_equal(completion.result, 3);
  assert_int_equal(completion.flags, 0);
  rig_release(rig, completion.buffer);
}

static void deadline_that_has_passed_ends_a_read_unsubmitted(void **state)
{
  struct rig *rig = &scene.rig;
  struct sqcq_read read = read_by(scene.rig.file, 1, 1);

  assert_ok(sqcq_request(rig->engine, &read));
  assert_int_equal(take_ended(rig->channel, SQCQ_COMPLETION_DEADLINE | SQCQ_COMPLETION_UNSUBMITTED),
                   1);
  assert_int_equal(rig_stats(rig).submitted, 0);
}

/* ------------------------------------------------------------------------- */
/* Refusals                                                                  */
/* ------------------------------------------------------------------------- */

static void refuse(struct sqcq_cancel_target cancel, int error)
{
  uint32_t epoch = sqcq__load_relaxed(&scene.rig.engine->control.cancel_epoch);

  assert_refused(&scene.rig, sqcq_cancel(scene.rig.engine, &cancel), error);
  assert_int_equal(sqcq__load_relaxed(&scene.rig.engine->control.cancel_epoch), epoch);
  assert_int_equal(sqcq__load_relaxed(&scene.rig.engine->cancels.posted), 0);
}

static void cancel_with_bad_fields_is_refused(void **state)
{
  struct sqcq_engine *engine = scene.rig.engine;
  sqcq_channel channel = scene.rig.channel;
  sqcq_file file = scene.pipe;
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_ALL};

  assert_error(sqcq_cancel(NULL, &all), -EINVAL);
  assert_error(sqcq_cancel(engine, NULL), -EINVAL);
  refuse((struct sqcq_cancel_target){0}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = 5}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = UINT32_MAX}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .flags = 2}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .reserved = 1}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .channel = channel}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .file = file}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .user_data = 1}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .report = channel}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL, .report_user_data = 1}, -EINVAL);
  refuse(
      (struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = channel, .user_data = 1},
      -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = channel, .file = file},
         -EINVAL);
  refuse(
      (struct sqcq_cancel_target){.what = SQCQ_CANCEL_USER_DATA, .channel = channel, .file = file},
      -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_FILE, .file = file, .channel = channel},
         -EINVAL);
}

static void cancel_with_bad_handles_is_refused(void **state)
{
  struct rig *rig = &scene.rig;
  sqcq_channel channel = rig->channel;
  sqcq_file file = scene.pipe;
  struct sqcq_cancel_target to = {.what = SQCQ_CANCEL_ALL, .flags = SQCQ_CANCEL_REPORT};

  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL}, -EPIPE);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_USER_DATA}, -EPIPE);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_FILE}, -EBADF);
  refuse(to, -EPIPE);
  channel.id ^= 0x800; /* another engine's */
  file.id ^= 0x800;
  to.report = channel;
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = channel}, -EINVAL);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_FILE, .file = file}, -EINVAL);
  refuse(to, -EINVAL);
  channel.id = rig->channel.id + (UINT64_C(1) << 32); /* of a generation to come */
  file.id = scene.pipe.id + (UINT64_C(1) << 32);
  to.report = channel;
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = channel}, -EPIPE);
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_FILE, .file = file}, -EBADF);
  refuse(to, -EPIPE);
  channel.id = rig->channel.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = channel}, -EINVAL);
  assert_ok(sqcq_file_remove(rig->engine, scene.second, SQCQ_REMOVE_DRAIN));
  refuse((struct sqcq_cancel_target){.what = SQCQ_CANCEL_FILE, .file = scene.second}, -EBADF);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(cancel_by_user_data_ends_that_read_alone),
      CASE(cancel_by_file_ends_its_reads_on_all_channels),
      CASE(cancel_of_a_closed_channel_gives_it_back),
      CASE(cancel_of_all_wakes_the_io_thread),
      CASE(deadline_ends_a_read_that_nobody_answers),
      CASE(deadline_that_is_kept_is_not_heard_of),
      CASE(deadline_that_has_passed_ends_a_read_unsubmitted),
      CASE(cancel_with_bad_fields_is_refused),
      CASE(cancel_with_bad_handles_is_refused),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
