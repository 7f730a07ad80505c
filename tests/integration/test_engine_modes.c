/*
 * Engines with every set of flags and every idle strategy: they read alike, or say why they cannot be.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

static void read_all_day(struct rig *rig)
{
  for (int i = 0; i < 20; i++)
    rig_prove(rig);
}

static void every_set_of_flags_reads(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    for (int i = 0; i < 4; i++) {
      struct sqcq_engine_config config = rig_config();
      struct rig rig;

      config.flags = (i & 1 ? SQCQ_ENGINE_NO_DEFER : 0) | (i & 2 ? SQCQ_ENGINE_NO_FIXED_FILES : 0);
      config.idle = idle;
      config.spin_ns = i & 1 ? 1 : 100000;
      config.consumer_spin_ns = i & 2 ? 0 : 100000;
      rig_make_with(&rig, &config, RIG_CAPACITY);
      read_all_day(&rig);
      rig_end(&rig);
    }
  }
}

/* The smallest of everything: each bound is hit all the time. */
static void smallest_engine_reads(void **state)
{
  struct sqcq_engine_config config = {.size = sizeof(config),
                                      .depth = 1,
                                      .requests_max = RIG_CAPACITY,
                                      .channels_max = 1,
                                      .lanes_shared = 1,
                                      .lane_slots = 1,
                                      .files_max = 1,
                                      .files_fixed = 1,
                                      .pools_max = 1,
                                      .buffers_max = RIG_BUFFERS};
  struct sqcq_completion completion;
  struct rig rig;

  rig_make_with(&rig, &config, RIG_CAPACITY);
  struct sqcq_read reads[2] = {rig_page(&rig, 0), rig_page(&rig, 1)};
  for (int round = 0; round < 100; round++) {
    assert_count(sqcq_request_many(rig.engine, reads, 2), 1);
    assert_refused(&rig, sqcq_request(rig.engine, &reads[1]), -EAGAIN);
    assert_refused(&rig, sqcq_request_many(rig.engine, &reads[1], 1), -EAGAIN);
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
    assert_ok(sqcq_request(rig.engine, &reads[1]));
    for (int i = 0; i < 2; i++) {
      rig_take(&rig, &completion, 1);
      rig_check_page(&completion);
    }
  }
  assert_int_equal(rig_stats(&rig).refused_again, 200);
  rig_release(&rig, reads[0].buffer);
  rig_release(&rig, reads[1].buffer);
  rig_end(&rig);
}

/* Two threads hand reads in while each kind of I/O thread turns. */
struct client {
  struct rig *rig;
  struct verdict *verdict;
  uint32_t count;
};

static void *produce(void *argument)
{
  struct client *client = argument;
  struct sqcq_engine *engine = client->rig->engine;

  for (uint32_t i = 0; i < client->count;) {
    struct sqcq_read read = {.file = client->rig->file,
                             .channel = client->rig->channel,
                             .offset = (uint64_t)(i % RIG_PAGES) * STAMP_PAGE,
                             .length = STAMP_PAGE};

    if (sqcq_buffer_acquire(engine, client->rig->pool, &read.buffer, 1) == 1) {
      int error = sqcq_request(engine, &read);

      if (error == 0) {
        i++;
        continue;
      }
      verdict_check(client->verdict, error == -EXFULL || error == -EAGAIN);
      verdict_check(client->verdict, sqcq_buffer_release(engine, &read.buffer, 1) == 1);
    }
    sched_yield();
  }
  return NULL;
}

static void run_with_threads(const struct sqcq_engine_config *config)
{
  struct verdict verdict = {0};
  struct io_thread io;
  struct rig rig;
  pthread_t producers[2];
  uint32_t count = SANITIZED ? 100 : 600;

  rig_make_with(&rig, config, RIG_CAPACITY);
  io_thread_start(&io, rig.engine);
  struct client client = {&rig, &verdict, count};
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&producers[i], NULL, produce, &client), 0);
  for (uint32_t taken = 0; taken < 2 * count;) {
    struct sqcq_completion completions[4];
    int n = sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 2, SQCQ_FOREVER);

    assert_in_range(n, 1, 4);
    for (int i = 0; i < n; i++) {
      rig_check_page(&completions[i]);
      rig_release(&rig, completions[i].buffer);
    }
    taken += (uint32_t)n;
  }
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_join(producers[i], NULL), 0);
  assert_verdict(&verdict);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  assert_int_equal(rig_stats(&rig).accepted, 2 * count);
  assert_int_equal(rig_stats(&rig).bytes, 2 * count * (uint64_t)STAMP_PAGE);
  rig_destroy(&rig);
}

static void every_idle_strategy_serves_other_threads(void **state)
{
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    for (int i = 0; i < 2; i++) {
      struct sqcq_engine_config config = rig_config();

      config.idle = idle;
      config.flags = i == 1 ? SQCQ_ENGINE_NO_DEFER : 0;
      run_with_threads(&config);
    }
  }
}

/* ------------------------------------------------------------------------- */
/* SQPOLL and IOPOLL                                                         */
/* ------------------------------------------------------------------------- */

static uint32_t state_of(struct sqcq_engine *engine, const char *name)
{
  struct sqcq_feature features[32];
  int count = sqcq_engine_features(engine, features, 32, sizeof(features[0]));

  for (int i = 0; i < count; i++)
    if (strcmp(features[i].name, name) == 0)
      return features[i].state;
  fail_msg("no %s in the list", name);
  return 0;
}

/* Whether the mode is to be had; where not, it was refused with a reason. */
static bool mode_works(const struct sqcq_engine_config *config)
{
  struct sqcq_explanation why;
  struct sqcq_engine *engine = NULL;
  int error = sqcq_engine_create(&engine, config, &why);

  if (error == 0) {
    assert_ok(sqcq_engine_destroy(engine, NULL));
    return true;
  }
  assert_null(engine);
  assert_int_equal(why.error, error);
  assert_int_equal(why.reason, SQCQ_REASON_MODE);
  print_message("refused: %s\n", why.text);
  return false;
}

static void sqpoll_engine_reads_or_is_refused_with_a_reason(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct rig rig;

  config.flags = SQCQ_ENGINE_SQPOLL;
  if (!mode_works(&config))
    return;
  for (uint32_t idle = SQCQ_IDLE_SPIN_SLEEP; idle <= SQCQ_IDLE_BUSY; idle++) {
    config.idle = idle;
    config.sqpoll_idle_ms = 1; /* the kernel thread sleeps now and then */
    rig_make_with(&rig, &config, RIG_CAPACITY);
    assert_int_equal(state_of(rig.engine, "SQPOLL"), SQCQ_FEATURE_ON);
    assert_int_equal(state_of(rig.engine, "DEFER_TASKRUN"), SQCQ_FEATURE_OFF);
    for (int i = 0; i < 5; i++) {
      rig_prove(&rig);
      assert_count(sqcq_engine_wait(rig.engine, 3 * MS), 0);
    }
    rig_end(&rig);
  }
  config.idle = SQCQ_IDLE_SLEEP;
  run_with_threads(&config);
  config.sqpoll_cpu = 1;
  config.flags |= SQCQ_ENGINE_NO_FIXED_FILES;
  run_with_threads(&config);
}

static void sqpoll_on_a_cpu_that_is_not_there_is_refused_with_a_reason(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.flags = SQCQ_ENGINE_SQPOLL;
  config.sqpoll_cpu = 100000;
  assert_false(mode_works(&config));
}

static void sqpoll_stop_cancels_reads_of_a_silent_pipe(void **state)
{
  struct sqcq_engine_config config = rig_config();
  sqcq_file file;
  int ends[2];

  config.flags = SQCQ_ENGINE_SQPOLL;
  config.idle = SQCQ_IDLE_SLEEP;
  if (!mode_works(&config))
    return;
  for (int round = 0; round < 20; round++) {
    struct rig rig;
    struct io_thread io;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    rig_make_with(&rig, &config, RIG_CAPACITY);
    assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
    io_thread_start(&io, rig.engine);
    for (uint64_t i = 0; i < RIG_CAPACITY; i++)
      rig_request_stream(&rig, rig.channel, file, i);
    if (round % 2 == 0)
      assert_soon(rig_stats(&rig).inflight == RIG_CAPACITY);
    if (round % 4 == 1)
      assert_int_equal(write(ends[1], "abcdef", 6), 6); /* answers race with the cancel */
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    io_thread_join(&io);
    assert_int_equal(rig_read_rest(&rig, rig.channel), RIG_CAPACITY);
    rig_destroy(&rig);
    close(ends[0]);
    close(ends[1]);
  }
}

static void iopoll_engine_takes_only_direct_files(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_pool_config pool_config = {
      .size = sizeof(pool_config), .count = 4, .buffer_size = STAMP_PAGE};
  struct sqcq_engine *engine = NULL;
  struct sqcq_completion completion;
  struct temp_dir dir;
  struct fds before;
  sqcq_channel channel;
  sqcq_pool pool;
  sqcq_file file = {7};
  int ends[2];

  config.flags = SQCQ_ENGINE_IOPOLL;
  if (!mode_works(&config))
    return;
  temp_dir_make(&dir);
  int fd = temp_file_stamped(&dir, "direct", RIG_PAGES, RIG_TAG);
  char *path = temp_path(&dir, "direct");
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  fds_look(&before);
  assert_ok(sqcq_engine_create(&engine, &config, NULL));
  assert_int_equal(state_of(engine, "IOPOLL"), SQCQ_FEATURE_ON);
  assert_ok(sqcq_channel_create(engine, NULL, &channel));
  assert_ok(sqcq_pool_create(engine, &pool_config, &pool));
  uint32_t open_before = fds_count();
  assert_error(sqcq_file_add(engine, fd, &file), -EOPNOTSUPP); /* buffered */
  assert_error(sqcq_file_add(engine, ends[0], &file), -EOPNOTSUPP);
  assert_error(sqcq_file_open(engine, AT_FDCWD, path, O_RDONLY, &file), -EOPNOTSUPP);
  assert_error(sqcq_file_open(engine, AT_FDCWD, dir.path, O_DIRECTORY, &file), -EISDIR);
  assert_int_equal(file.id, 7);
  assert_int_equal(fds_count(), open_before);
  int opened = sqcq_file_open(engine, AT_FDCWD, path, O_DIRECT, &file);
  for (uint64_t page = 0; opened == 0 && page < RIG_PAGES; page++) {
    struct sqcq_read read = {
        .file = file, .channel = channel, .offset = page * STAMP_PAGE, .length = STAMP_PAGE};
    int n;

    assert_count(sqcq_buffer_acquire(engine, pool, &read.buffer, 1), 1);
    assert_ok(sqcq_request(engine, &read));
    while ((n = sqcq_channel_poll(engine, channel, &completion, 1)) == 0)
      assert_true(sqcq_engine_wait(engine, SQCQ_FOREVER) >= 0);
    assert_int_equal(n, 1);
    if (completion.result == -EOPNOTSUPP) {
      if (page == 0)
        print_message("the device has no polling: -EOPNOTSUPP\n");
    } else {
      rig_check_page(&completion);
    }
    assert_count(sqcq_buffer_release(engine, &completion.buffer, 1), 1);
  }
  if (opened == 0)
    assert_ok(sqcq_file_remove(engine, file, SQCQ_REMOVE_CANCEL));
  else
    assert_error(opened, -EINVAL); /* a file system without O_DIRECT */
  assert_count(sqcq_engine_wait(engine, MS), 0);
  assert_int_equal(fds_count(), open_before);
  assert_ok(sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(engine));
  assert_ok(sqcq_engine_destroy(engine, NULL));
  assert_true(fds_same(&before));
  close(fd);
  close(ends[0]);
  close(ends[1]);
  free(path);
  temp_dir_remove(&dir);
}

/* Asleep outside the ring: a stop from elsewhere must wake it there too. */
static void iopoll_engine_is_woken_to_stop(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *engine = NULL;
  struct sqcq_stats stats;
  struct io_thread io;

  config.flags = SQCQ_ENGINE_IOPOLL;
  config.idle = SQCQ_IDLE_SLEEP;
  if (!mode_works(&config))
    return;
  assert_ok(sqcq_engine_create(&engine, &config, NULL));
  io_thread_start(&io, engine);
  assert_soon(sqcq_engine_stats(engine, &stats, sizeof(stats)) == 0 && stats.sleeps > 0);
  assert_ok(sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  assert_ok(sqcq_engine_destroy(engine, NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_set_of_flags_reads),
      cmocka_unit_test(smallest_engine_reads),
      cmocka_unit_test(every_idle_strategy_serves_other_threads),
      cmocka_unit_test(sqpoll_engine_reads_or_is_refused_with_a_reason),
      cmocka_unit_test(sqpoll_on_a_cpu_that_is_not_there_is_refused_with_a_reason),
      cmocka_unit_test(sqpoll_stop_cancels_reads_of_a_silent_pipe),
      cmocka_unit_test(iopoll_engine_takes_only_direct_files),
      cmocka_unit_test(iopoll_engine_is_woken_to_stop),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("engine_modes", tests, NULL, NULL);
}
