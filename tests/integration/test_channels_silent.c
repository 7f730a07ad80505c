/*
 * A channel full of reads that never answer: it fills its own part of the depth and its own queue, and
 * another channel's reads go on as if it were not there.
 */
/* sqcq-test: timeout 90 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#define SILENT_MAX 256u

struct scene {
  struct rig rig;
  sqcq_channel silent;
  sqcq_pool pool; /* for the silent reads */
  sqcq_file pipe;
  int ends[2];
  uint32_t asked; /* of the silent channel */
};

/* All credits of the silent channel spent on a pipe that nobody writes to. */
static void make_scene(struct scene *scene, const struct sqcq_engine_config *config,
                       uint32_t capacity, uint32_t inflight_max, uint32_t inflight_min)
{
  struct sqcq_channel_config channel = {.size = sizeof(channel),
                                        .capacity = capacity,
                                        .inflight_max = inflight_max,
                                        .inflight_min = inflight_min};
  struct sqcq_pool_config pool = {.size = sizeof(pool), .count = capacity, .buffer_size = 64};
  struct rig *rig = &scene->rig;

  rig_make_with(rig, config, RIG_CAPACITY);
  assert_ok(sqcq_channel_create(rig->engine, &channel, &scene->silent));
  assert_ok(sqcq_pool_create(rig->engine, &pool, &scene->pool));
  assert_int_equal(pipe2(scene->ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig->engine, scene->ends[0], &scene->pipe));
  scene->asked = 0;
}

static void ask_silent(struct scene *scene)
{
  struct sqcq_read read = {
      .file = scene->pipe, .channel = scene->silent, .offset = SQCQ_OFFSET_CURRENT, .length = 1};

  while (sqcq_buffer_acquire(scene->rig.engine, scene->pool, &read.buffer, 1) == 1) {
    int error;

    while ((error = sqcq_request(scene->rig.engine, &read)) == -EAGAIN)
      sched_yield(); /* to the I/O thread */
    assert_ok(error);
    scene->asked++;
  }
}

static void end_scene(struct scene *scene)
{
  assert_int_equal(rig_read_rest(&scene->rig, scene->silent), scene->asked);
  rig_read_rest(&scene->rig, scene->rig.channel);
  close(scene->ends[0]);
  close(scene->ends[1]);
  rig_destroy(&scene->rig);
}

/* Thousands of reads by this thread, with an I/O thread beside it. */
static void read_beside(struct scene *scene, uint64_t count)
{
  struct rig *rig = &scene->rig;
  uint64_t asked = 0;
  uint64_t taken = 0;

  while (taken < count) {
    struct sqcq_completion completions[RIG_CAPACITY];
    struct sqcq_read read = {.file = rig->file, .channel = rig->channel, .length = STAMP_PAGE};

    while (asked < count && asked - taken < RIG_CAPACITY &&
           sqcq_buffer_acquire(rig->engine, rig->pool, &read.buffer, 1) == 1) {
      read.offset = asked % RIG_PAGES * STAMP_PAGE;
      int error = sqcq_request(rig->engine, &read);
      if (error != 0) { /* silent requests may just be on their way through the lanes */
        assert_error(error, -EAGAIN);
        rig_release(rig, read.buffer);
        break;
      }
      asked++;
    }
    if (asked == taken) {
      sched_yield();
      continue;
    }
    int n = sqcq_channel_wait(rig->engine, rig->channel, completions, RIG_CAPACITY, 1, 20000 * MS);
    assert_in_range(n, 1, RIG_CAPACITY); /* 0: it was held up */
    for (int i = 0; i < n; i++) {
      rig_check_page(&completions[i]);
      rig_release(rig, completions[i].buffer);
    }
    taken += (uint64_t)n;
  }
}

static const uint64_t many = SANITIZED ? 500 : 5000;

static struct sqcq_engine_config scene_config(uint32_t depth, uint32_t channels)
{
  struct sqcq_engine_config config = rig_config();

  config.depth = depth;
  config.channels_max = channels;
  config.requests_max = SILENT_MAX + RIG_CAPACITY;
  config.buffers_max = SILENT_MAX + RIG_BUFFERS;
  config.lane_slots = 16;
  return config;
}

/* Its part of the depth is 3/4 where more than one channel may be open; the rest of its requests wait. */
static void silent_channel_holds_its_part_of_the_depth_only(void **state)
{
  static const struct {
    uint32_t depth, channels, max, min, expected;
  } cases[] = {
      {16, 2, 0, 0, 12},  /* the default: three quarters */
      {16, 2, 16, 0, 15}, /* all but the place that the other one is sure of */
      {16, 4, 16, 0, 13}, /* and those of channels that may still come */
      {16, 2, 1, 0, 1},   {2, 2, 0, 0, 1}, {4, 2, 2, 2, 2},
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sqcq_engine_config config = scene_config(cases[i].depth, cases[i].channels);
    struct scene scene;
    struct io_thread io;

    make_scene(&scene, &config, SILENT_MAX, cases[i].max, cases[i].min);
    io_thread_start(&io, scene.rig.engine);
    ask_silent(&scene);
    assert_int_equal(scene.asked, SILENT_MAX);
    assert_soon(rig_stats(&scene.rig).inflight + rig_stats(&scene.rig).waiting == SILENT_MAX);
    assert_int_equal(rig_stats(&scene.rig).inflight, cases[i].expected);
    read_beside(&scene, many / 5);
    assert_int_equal(rig_stats(&scene.rig).completed, many / 5);
    assert_ok(sqcq_engine_stop(scene.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    io_thread_join(&io);
    end_scene(&scene);
  }
}

/* Whatever the depth, the defaults of the rest leave the one busy channel most of it. */
static void busy_channel_of_a_default_engine_has_most_of_the_depth(void **state)
{
  for (uint32_t depth = 8; depth <= 256; depth *= 2) {
    struct sqcq_engine_config config = {.size = sizeof(config), .depth = depth};
    struct scene scene;

    make_scene(&scene, &config, SILENT_MAX, 0, 0);
    ask_silent(&scene);
    assert_true(sqcq_engine_poll(scene.rig.engine) >= 0);
    assert_true(rig_stats(&scene.rig).inflight * 4 >= depth * 2);
    rig_prove(&scene.rig);
    assert_ok(sqcq_engine_stop(scene.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    assert_ok(sqcq_engine_run(scene.rig.engine));
    end_scene(&scene);
  }
}

/* The same, turned by whoever reads: every role in one thread. */
static void silent_channel_does_not_starve_another_in_one_thread(void **state)
{
  struct sqcq_engine_config config = scene_config(4, 2);
  struct scene scene;

  config.lane_slots = 512; /* there is nobody else to empty it meanwhile */
  make_scene(&scene, &config, SILENT_MAX, 0, 0);
  ask_silent(&scene);
  for (uint64_t i = 0; i < many / 16; i++)
    rig_prove(&scene.rig);
  assert_int_equal(rig_stats(&scene.rig).inflight, 3);
  assert_int_equal(rig_stats(&scene.rig).waiting, SILENT_MAX - 3);
  assert_ok(sqcq_engine_stop(scene.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(scene.rig.engine));
  end_scene(&scene);
}

/* A channel that is made when the depth is already taken has its place all the same. */
static void channel_made_beside_a_silent_one_has_its_place(void **state)
{
  struct sqcq_engine_config config = scene_config(8, 3);
  struct sqcq_channel_config late = {.size = sizeof(late), .capacity = 0};
  struct scene scene;
  struct io_thread io;

  config.requests_max += 4;
  make_scene(&scene, &config, SILENT_MAX, 8, 0);
  io_thread_start(&io, scene.rig.engine);
  ask_silent(&scene);
  assert_soon(rig_stats(&scene.rig).inflight == 6);
  for (int i = 0; i < 20; i++) {
    struct sqcq_completion completion;
    struct sqcq_read read = rig_page(&scene.rig, 5);

    assert_soon(sqcq_channel_create(scene.rig.engine, &late, &read.channel) == 0);
    /* The silent ones' last requests may fill the lanes until the next turn. */
    assert_soon(sqcq_request(scene.rig.engine, &read) == 0);
    assert_count(sqcq_channel_wait(scene.rig.engine, read.channel, &completion, 1, 1, 20000 * MS),
                 1);
    rig_check_page(&completion);
    rig_release(&scene.rig, completion.buffer);
    assert_ok(sqcq_channel_destroy(scene.rig.engine, read.channel));
  }
  read_beside(&scene, many / 5);
  assert_ok(sqcq_engine_stop(scene.rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  io_thread_join(&io);
  end_scene(&scene);
}

/* When the silent pipe speaks, every one of its reads is answered, while the other goes on. */
static void silent_reads_are_answered_when_their_time_comes(void **state)
{
  struct sqcq_engine_config config = scene_config(4, 2);
  struct scene scene;
  struct io_thread io;
  uint32_t taken = 0;

  make_scene(&scene, &config, SILENT_MAX, 0, 0);
  io_thread_start(&io, scene.rig.engine);
  ask_silent(&scene);
  while (taken < SILENT_MAX) {
    struct sqcq_completion completions[8];

    assert_int_equal(write(scene.ends[1], "12345678", 8), 8);
    read_beside(&scene, 10);
    int n = sqcq_channel_wait(scene.rig.engine, scene.silent, completions, 8, 8, 20000 * MS);
    assert_int_equal(n, 8);
    for (int i = 0; i < n; i++) {
      assert_int_equal(completions[i].result, 1);
      assert_int_equal(completions[i].flags, 0);
      rig_release(&scene.rig, completions[i].buffer);
    }
    taken += (uint32_t)n;
  }
  scene.asked = 0;
  assert_ok(sqcq_engine_stop(scene.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  io_thread_join(&io);
  end_scene(&scene);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(silent_channel_holds_its_part_of_the_depth_only),
      cmocka_unit_test(busy_channel_of_a_default_engine_has_most_of_the_depth),
      cmocka_unit_test(silent_channel_does_not_starve_another_in_one_thread),
      cmocka_unit_test(channel_made_beside_a_silent_one_has_its_place),
      cmocka_unit_test(silent_reads_are_answered_when_their_time_comes),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("channels_silent", tests, NULL, NULL);
}
