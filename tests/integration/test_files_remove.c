/*
 * Files are taken out while reads of them wait, are in the kernel, or are just being asked for: each
 * accepted one has exactly one completion with the right flags, and then the descriptor is closed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <signal.h>

#define DEPTH 4u

static struct rig rig;

/* So little depth that most requests wait in the table. */
static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  signal(SIGPIPE, SIG_IGN);
  config.depth = DEPTH;
  config.channels_max = 1;
  config.files_max = 128;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  return 0;
}

static int teardown(void **state)
{
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

/* A silent pipe in the engine, and all credits spent on one-byte reads of it. */
static sqcq_file ask_silent_pipe(int ends[2])
{
  sqcq_buffer buffers[RIG_CAPACITY];
  sqcq_file file;

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  close(ends[0]);
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers, RIG_CAPACITY), RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    struct sqcq_read read = {.file = file,
                             .buffer = buffers[i],
                             .channel = rig.channel,
                             .offset = SQCQ_OFFSET_CURRENT,
                             .user_data = i,
                             .length = 1};

    assert_ok(sqcq_request(rig.engine, &read));
  }
  rig_expect_nothing(&rig, rig.channel);
  assert_int_equal(rig_stats(&rig).inflight, DEPTH);
  assert_int_equal(rig_stats(&rig).waiting, RIG_CAPACITY - DEPTH);
  return file;
}

static void expect_closed(int writer)
{
  rig_close_files(&rig);
  /* A worker may still be about to let go of it. */
  assert_soon(write(writer, "x", 1) == -1 && errno == EPIPE);
  assert_int_equal(rig_stats(&rig).files_retired, 1);
  close(writer);
}

static void refuse_dead(sqcq_file file)
{
  struct sqcq_read read = rig_page(&rig, 0);

  read.file = file;
  assert_refused(&rig, sqcq_request(rig.engine, &read), -EBADF);
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL), -EBADF);
  rig_release(&rig, read.buffer);
}

/* All are cancelled: those in the kernel by the kernel, those that wait by the engine. */
static void check_cancelled(uint32_t flags)
{
  struct sqcq_completion completions[RIG_CAPACITY];
  uint32_t seen = 0;
  uint32_t unsubmitted = 0;

  rig_take(&rig, completions, RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    assert_true(completions[i].result == -ECANCELED || completions[i].result == -EINTR);
    assert_int_equal(completions[i].flags & ~(uint32_t)SQCQ_COMPLETION_UNSUBMITTED, flags);
    unsubmitted += (completions[i].flags & SQCQ_COMPLETION_UNSUBMITTED) != 0;
    seen |= 1u << completions[i].user_data;
    rig_release(&rig, completions[i].buffer);
  }
  assert_int_equal(seen, (1u << RIG_CAPACITY) - 1);
  assert_int_equal(unsubmitted, RIG_CAPACITY - DEPTH);
  assert_int_equal(rig_stats(&rig).unsubmitted, unsubmitted);
  assert_int_equal(rig_stats(&rig).submitted, DEPTH);
  rig_expect_nothing(&rig, rig.channel);
}

static void remove_cancel_ends_reads_of_a_silent_pipe(void **state)
{
  int ends[2];
  sqcq_file file = ask_silent_pipe(ends);

  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL));
  refuse_dead(file);
  check_cancelled(SQCQ_COMPLETION_FILE_REMOVED);
  expect_closed(ends[1]);
}

static void remove_default_cancels_where_a_read_may_wait_for_ever(void **state)
{
  int ends[2];
  sqcq_file file = ask_silent_pipe(ends);

  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  check_cancelled(SQCQ_COMPLETION_FILE_REMOVED);
  expect_closed(ends[1]);
}

static void remove_drain_waits_for_every_read(void **state)
{
  struct sqcq_completion completion;
  int ends[2];
  sqcq_file file = ask_silent_pipe(ends);
  uint32_t seen = 0;

  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DRAIN));
  rig_expect_nothing(&rig, rig.channel);
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL), -EBADF);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    char byte = (char)('a' + i);

    assert_int_equal(rig_stats(&rig).files_retired, 0);
    assert_int_equal(write(ends[1], &byte, 1), 1);
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, 1);
    assert_int_equal(completion.flags, 0);
    assert_int_equal(*(char *)completion.data, byte);
    seen |= 1u << completion.user_data;
    rig_release(&rig, completion.buffer);
  }
  assert_int_equal(seen, (1u << RIG_CAPACITY) - 1);
  expect_closed(ends[1]);
}

/* A stop (CANCEL) ends a drain that would never. */
static void stop_ends_a_drain_of_a_silent_pipe(void **state)
{
  struct rig stopping;
  struct sqcq_completion completion;
  sqcq_file file;
  int ends[2];

  rig_make(&stopping);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(stopping.engine, ends[0], &file));
  rig_request_stream(&stopping, stopping.channel, file, 1);
  rig_expect_nothing(&stopping, stopping.channel);
  assert_ok(sqcq_file_remove(stopping.engine, file, SQCQ_REMOVE_DRAIN));
  rig_expect_nothing(&stopping, stopping.channel);
  assert_ok(sqcq_engine_stop(stopping.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(stopping.engine));
  assert_count(sqcq_channel_poll(stopping.engine, stopping.channel, &completion, 1), 1);
  assert_int_equal(completion.flags, SQCQ_COMPLETION_STOPPED);
  rig_release(&stopping, completion.buffer);
  close(ends[0]);
  close(ends[1]);
  rig_destroy(&stopping);
}

/* What was accepted before a removal and has not even left its lane. */
static void ask_pages(sqcq_file file)
{
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    read.file = file;
    assert_ok(sqcq_request(rig.engine, &read));
  }
}

static void remove_default_reads_a_regular_file_to_the_end(void **state)
{
  struct sqcq_completion completions[RIG_CAPACITY];
  sqcq_file file;

  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  ask_pages(file);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  refuse_dead(file);
  rig_take(&rig, completions, RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    rig_check_page(&completions[i]);
    rig_release(&rig, completions[i].buffer);
  }
}

static void remove_cancel_answers_what_never_reached_the_kernel(void **state)
{
  struct sqcq_completion completions[RIG_CAPACITY];
  sqcq_file file;
  uint32_t seen = 0;

  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  ask_pages(file);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL));
  rig_take(&rig, completions, RIG_CAPACITY);
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    assert_int_equal(completions[i].result, -ECANCELED);
    assert_int_equal(completions[i].flags,
                     SQCQ_COMPLETION_UNSUBMITTED | SQCQ_COMPLETION_FILE_REMOVED);
    assert_int_equal(completions[i].file.id, file.id);
    assert_ptr_equal(completions[i].data, sqcq_buffer_data(rig.engine, completions[i].buffer));
    seen |= 1u << completions[i].user_data;
    rig_release(&rig, completions[i].buffer);
  }
  assert_int_equal(seen, (1u << RIG_CAPACITY) - 1);
  assert_int_equal(rig_stats(&rig).submitted, 0);
}

/* Of two files, the reads of one are cancelled, and those of the other are not touched. */
static void remove_cancel_leaves_other_files_alone(void **state)
{
  struct sqcq_completion completions[2];
  int silent[2];
  int other[2];
  sqcq_file files[2];

  assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
  assert_int_equal(pipe2(other, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, silent[0], &files[0]));
  assert_ok(sqcq_file_add(rig.engine, other[0], &files[1]));
  for (uint64_t i = 0; i < 8; i++) /* four in the kernel, four waiting */
    rig_request_stream(&rig, rig.channel, files[i % 2], i);
  rig_expect_nothing(&rig, rig.channel);
  assert_ok(sqcq_file_remove(rig.engine, files[0], SQCQ_REMOVE_CANCEL));
  for (int i = 0; i < 4; i++) {
    rig_take(&rig, completions, 1);
    assert_int_equal(completions[0].user_data % 2, 0);
    assert_true((completions[0].flags & SQCQ_COMPLETION_FILE_REMOVED) != 0);
    rig_release(&rig, completions[0].buffer);
  }
  rig_expect_nothing(&rig, rig.channel);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(write(other[1], "x", 1), 1);
    rig_take(&rig, completions, 1);
    assert_int_equal(completions[0].user_data % 2, 1);
    assert_int_equal(completions[0].result, 1);
    assert_int_equal(completions[0].flags, 0);
    rig_release(&rig, completions[0].buffer);
  }
  assert_ok(sqcq_file_remove(rig.engine, files[1], SQCQ_REMOVE_DEFAULT));
  for (int i = 0; i < 2; i++) {
    close(silent[i]);
    close(other[i]);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(remove_cancel_ends_reads_of_a_silent_pipe),
      CASE(remove_default_cancels_where_a_read_may_wait_for_ever),
      CASE(remove_drain_waits_for_every_read),
      cmocka_unit_test(stop_ends_a_drain_of_a_silent_pipe),
      CASE(remove_default_reads_a_regular_file_to_the_end),
      CASE(remove_cancel_answers_what_never_reached_the_kernel),
      CASE(remove_cancel_leaves_other_files_alone),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("files_remove", tests, NULL, NULL);
}
