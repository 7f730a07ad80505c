/*
 * A child of a process with an engine: every call refuses there, and the parent goes on as if
 * nothing had been.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <sys/eventfd.h>
#include <sys/wait.h>

static struct rig rig;
static sqcq_lane lane;
static int pipes[2];
static sqcq_file silent;

static void make(void)
{
  struct sqcq_engine_config config = rig_config();

  config.lanes_own = 1;
  config.flags = SQCQ_ENGINE_EVENT_LOOP | SQCQ_ENGINE_HISTOGRAMS;
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  rig_make_with(&rig, &config, RIG_CAPACITY);
  assert_ok(sqcq_lane_open(rig.engine, &lane));
  assert_ok(sqcq_file_add(rig.engine, pipes[0], &silent));
}

/* In the child: the number of the first call that did not refuse, 0: all did. */
static int call_everything(sqcq_buffer buffer)
{
  struct sqcq_engine *engine = rig.engine;
  struct sqcq_channel_config channel_config = {.size = sizeof(channel_config)};
  struct sqcq_pool_config pool_config = {
      .size = sizeof(pool_config), .count = 1, .buffer_size = 64};
  struct sqcq_cancel_target all = {.what = SQCQ_CANCEL_ALL};
  struct sqcq_read read = {.file = rig.file, .buffer = buffer, .channel = rig.channel, .length = 1};
  struct sqcq_completion done = {.buffer = buffer};
  struct sqcq_channel_counters counters;
  struct sqcq_histogram histogram;
  struct sqcq_feature feature;
  struct sqcq_stats stats;
  struct sqcq_held held;
  sqcq_channel channel;
  sqcq_notice notice = {0};
  sqcq_buffer other;
  sqcq_lane opened;
  sqcq_file file;
  sqcq_pool pool;
  char memory[8];
  const int results[] = {
      sqcq_engine_destroy(engine, &held),
      sqcq_engine_poll(engine),
      sqcq_engine_wait(engine, SQCQ_FOREVER),
      sqcq_engine_run(engine),
      sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER),
      sqcq_engine_fd(engine),
      sqcq_engine_arm(engine),
      sqcq_engine_stats(engine, &stats, sizeof(stats)),
      sqcq_engine_features(engine, &feature, 1, sizeof(feature)),
      sqcq_engine_histogram(engine, SQCQ_STAGE_QUEUE, &histogram, sizeof(histogram)),
      sqcq_channel_create(engine, &channel_config, &channel),
      sqcq_channel_destroy(engine, rig.channel),
      sqcq_channel_poll(engine, rig.channel, &done, 1),
      sqcq_channel_wait(engine, rig.channel, &done, 1, 1, SQCQ_FOREVER),
      sqcq_channel_fd(engine, rig.channel),
      sqcq_channel_arm(engine, rig.channel, 1),
      sqcq_channel_stats(engine, rig.channel, &counters, sizeof(counters)),
      sqcq_pool_create(engine, &pool_config, &pool),
      sqcq_pool_destroy(engine, rig.pool),
      sqcq_file_add(engine, 0, &file),
      sqcq_file_open(engine, AT_FDCWD, "/dev/null", 0, &file),
      sqcq_file_remove(engine, rig.file, SQCQ_REMOVE_DEFAULT),
      sqcq_buffer_acquire(engine, rig.pool, &other, 1),
      sqcq_buffer_release(engine, &buffer, 1),
      sqcq_buffer_wrap(engine, memory, sizeof(memory), &other),
      sqcq_buffer_unwrap(engine, buffer),
      sqcq_completion_buffers(engine, &done, &other, 1),
      sqcq_request(engine, &read),
      sqcq_request_many(engine, &read, 1),
      sqcq_request_wait(engine, SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER),
      sqcq_request_notify(engine, SQCQ_BOUND_CHANNEL, rig.channel.id, 0, &notice),
      sqcq_request_unnotify(engine, notice),
      sqcq_lane_open(engine, &opened),
      sqcq_lane_close(engine, lane),
      sqcq_lane_request(engine, lane, &read),
      sqcq_lane_request_many(engine, lane, &read, 1),
      sqcq_cancel(engine, &all),
  };

  for (int i = 0; i < (int)(sizeof(results) / sizeof(results[0])); i++)
    if (results[i] != -EPERM)
      return i + 1;
  return sqcq_buffer_data(engine, buffer) == NULL && sqcq_buffer_size(engine, buffer) == 0 ? 0
                                                                                           : 100;
}

static void fork_and_call(sqcq_buffer buffer)
{
  int status;
  pid_t child = fork();

  assert_true(child >= 0);
  if (child == 0)
    _exit(call_everything(buffer));
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void calls_in_a_child_refuse_and_the_parent_goes_on(void **state)
{
  struct sqcq_completion done;
  sqcq_buffer mine, given;

  make();
  fork_and_call((sqcq_buffer){1}); /* before the first turn */
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &mine, 1), 1);
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &given, 1), 1);
  struct sqcq_read read = {.file = silent,
                           .buffer = given,
                           .channel = rig.channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .length = 5};
  assert_ok(sqcq_request(rig.engine, &read));
  assert_int_equal(sqcq_engine_poll(rig.engine), 0);
  assert_true(sqcq_engine_arm(rig.engine) >= 0);
  fork_and_call(mine); /* while a read is out, and the I/O thread is armed */
  assert_int_equal(write(pipes[1], "hello", 5), 5);
  while (sqcq_channel_poll(rig.engine, rig.channel, &done, 1) == 0)
    assert_true(sqcq_engine_wait(rig.engine, SQCQ_FOREVER) >= 0);
  assert_int_equal(done.result, 5);
  assert_memory_equal(done.data, "hello", 5);
  assert_count(sqcq_buffer_release(rig.engine, &given, 1), 1);
  assert_count(sqcq_buffer_release(rig.engine, &mine, 1), 1);
  assert_ok(sqcq_file_remove(rig.engine, silent, SQCQ_REMOVE_DEFAULT));
  rig_prove(&rig);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig.engine));
  fork_and_call((sqcq_buffer){1}); /* after the last one */
  rig_destroy(&rig);
  close(pipes[0]);
  close(pipes[1]);
}

/* A child may have engines of its own. */
static void child_makes_its_own_engine(void **state)
{
  int status;

#ifdef SQCQ__ASAN
  skip(); /* it would find the parent's buffers, which it has not, poisoned in its own new memory */
#endif
  make();
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct sqcq_engine_config config = rig_config();
    struct sqcq_engine *engine;

    if (sqcq_engine_create(&engine, &config, NULL) != 0)
      _exit(1);
    if (sqcq_engine_poll(engine) != 0)
      _exit(2);
    if (sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) != 0)
      _exit(3);
    if (sqcq_engine_run(engine) != 0)
      _exit(4);
    _exit(sqcq_engine_destroy(engine, NULL) == 0 ? 0 : 5);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_ok(sqcq_file_remove(rig.engine, silent, SQCQ_REMOVE_DEFAULT));
  rig_end(&rig);
  close(pipes[0]);
  close(pipes[1]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_in_a_child_refuse_and_the_parent_goes_on),
      cmocka_unit_test(child_makes_its_own_engine),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
