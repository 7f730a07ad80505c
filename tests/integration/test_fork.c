/*
 * A child of a process with an engine: every call refuses there, and the parent goes on as if
 * nothing had been.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include "support/forked.h"

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

static void fork_and_call(sqcq_buffer buffer)
{
  int status;
  pid_t child = fork();

  assert_true(child >= 0);
  if (child == 0)
    _exit(forked_calls(&(struct forked_targets){.engine = rig.engine,
                                                .channel = rig.channel,
                                                .pool = rig.pool,
                                                .file = rig.file,
                                                .lane = lane,
                                                .buffer = buffer}));
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
