/* sqcq-test: simulated */
/* sqcq-test: timeout 120 */
/*
 * All roles on threads of their own, on an unruly simulated kernel: producers, the I/O thread,
 * consumers, and one that adds and removes files; then a stop. Every accepted request must be
 * answered exactly once, on its channel, with the bytes of its file.
 *
 * SQCQ_SEED and SQCQ_STEPS: the first round, and how many requests each producer tries in a round.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/ownership.h"
#include "support/fds.h"
#include "support/rng.h"
#include "support/sim_ring.h"
#include "support/temp.h"
#include "support/test.h"

#include <sqcq/sqcq.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRODUCERS 3u
#define CONSUMERS 2u
#define FILES 3u
#define BUFFERS 12u
#define PAGES 4u
#define LENGTH 128u
#define STEPS_MAX 100000u

#if defined(SQCQ__TSAN) || defined(SQCQ__ASAN)
#define ROUNDS 16u
#define STEPS_DEFAULT 1200u
#else
#define ROUNDS 32u
#define STEPS_DEFAULT 4000u
#endif

struct scene {
  struct sqcq_engine *engine;
  sqcq_channel channels[CONSUMERS];
  sqcq_pool pool;
  _Atomic uint64_t files[FILES]; /* handles; relaxed: a stale one is refused */
  int fds[FILES];
  uint32_t steps;
  struct verdict verdict;
  /* By user_data: 1 accepted, 2 answered; relaxed: looked at after joining. */
  atomic_uchar *state;
  atomic_uint accepted, taken;
  atomic_bool over; /* relaxed */
};

struct part {
  struct scene *scene;
  uint32_t number;
  struct rng rng;
  pthread_t thread;
  uint32_t step; /* of a producer */
};

static uint64_t tag_of(uint32_t file)
{
  return 100 + file;
}

/* user_data: producer, step, file and channel. */
static uint64_t compose(const struct part *part, uint32_t step, uint32_t file, uint32_t channel)
{
  return ((uint64_t)part->number * STEPS_MAX + step) << 8 | file << 4 | channel;
}

static bool is_refusal(int error)
{
  return error == -EAGAIN || error == -EXFULL || error == -EBADF || error == -ESHUTDOWN;
}

static bool produce_one(struct part *part, uint32_t step)
{
  struct scene *scene = part->scene;
  uint32_t file = (uint32_t)rng_below(&part->rng, FILES);
  uint32_t channel = (uint32_t)rng_below(&part->rng, CONSUMERS);
  struct sqcq_read read = {.user_data = compose(part, step, file, channel),
                           .channel = scene->channels[channel],
                           .offset = rng_below(&part->rng, PAGES * STAMP_PAGE - LENGTH),
                           .length = LENGTH};

  read.file.id = atomic_load_explicit(&scene->files[file], memory_order_relaxed);
  int n = sqcq_buffer_acquire(scene->engine, scene->pool, &read.buffer, 1);
  if (n != 1) {
    verdict_check(&scene->verdict, n == -ENOBUFS);
    return true;
  }
  memset(sqcq_buffer_data(scene->engine, read.buffer), 0xee, LENGTH);
  atomic_fetch_add_explicit(&scene->state[read.user_data >> 8], 1, memory_order_relaxed);
  int error = sqcq_request(scene->engine, &read);
  if (error == 0) {
    atomic_fetch_add_explicit(&scene->accepted, 1, memory_order_relaxed);
    return true;
  }
  verdict_check(&scene->verdict, is_refusal(error));
  atomic_fetch_sub_explicit(&scene->state[read.user_data >> 8], 1, memory_order_relaxed);
  verdict_check(&scene->verdict, sqcq_buffer_release(scene->engine, &read.buffer, 1) == 1);
  return error != -ESHUTDOWN;
}

static void *produce(void *argument)
{
  struct part *part = argument;

  for (; part->step < part->scene->steps && produce_one(part, part->step); part->step++)
    if (rng_percent(&part->rng, 30))
      sched_yield();
  return NULL;
}

static void check_completion(struct scene *scene, uint32_t channel,
                             const struct sqcq_completion *completion)
{
  uint32_t file = completion->user_data >> 4 & 15;
  int32_t result = completion->result;
  bool ended = result == -ECANCELED || result == -EINTR;

  verdict_check(&scene->verdict, (completion->user_data & 15) == channel);
  verdict_check(&scene->verdict,
                atomic_fetch_add_explicit(&scene->state[completion->user_data >> 8], 1,
                                          memory_order_relaxed) == 1);
  verdict_check(&scene->verdict, ended == (completion->flags != 0));
  verdict_check(&scene->verdict, result > 0 || ended || result == -EIO || result == -EAGAIN);
  if (result > 0)
    verdict_check(&scene->verdict, stamp_matches(completion->data, tag_of(file), completion->offset,
                                                 (size_t)result));
  verdict_check(&scene->verdict, sqcq_buffer_release(scene->engine, &completion->buffer, 1) == 1);
  atomic_fetch_add_explicit(&scene->taken, 1, memory_order_relaxed);
}

static void *consume(void *argument)
{
  struct part *part = argument;
  struct scene *scene = part->scene;
  struct sqcq_completion completions[4];

  for (;;) {
    uint32_t min = (uint32_t)rng_between(&part->rng, 1, 4);
    int n = sqcq_channel_wait(scene->engine, scene->channels[part->number], completions, 4, min,
                              rng_percent(&part->rng, 50) ? SQCQ_FOREVER : 100000);

    if (n == -ESHUTDOWN)
      return NULL;
    verdict_check(&scene->verdict, n >= 0);
    for (int i = 0; i < n; i++)
      check_completion(scene, part->number, &completions[i]);
    if (verdict_is_bad(&scene->verdict))
      return NULL;
  }
}

static void *change_files(void *argument)
{
  struct part *part = argument;
  struct scene *scene = part->scene;

  while (!atomic_load_explicit(&scene->over, memory_order_relaxed)) {
    uint32_t file = (uint32_t)rng_below(&part->rng, FILES);
    sqcq_file next;
    int error = sqcq_file_add(scene->engine, scene->fds[file], &next);

    if (error == 0) {
      struct sqcq_file old = {
          .id = atomic_exchange_explicit(&scene->files[file], next.id, memory_order_relaxed)};
      error = sqcq_file_remove(scene->engine, old, (unsigned)rng_below(&part->rng, 3));
      verdict_check(&scene->verdict, error == 0);
    } else {
      verdict_check(&scene->verdict, error == -ENOSPC || error == -ESHUTDOWN);
    }
    test_sleep_ns((int64_t)rng_below(&part->rng, 200000));
  }
  return NULL;
}

static void *run_engine(void *argument)
{
  struct part *part = argument;
  int error = sqcq_engine_run(part->scene->engine);

  verdict_check(&part->scene->verdict, error == 0);
  return NULL;
}

/* ------------------------------------------------------------------------- */
/* A round                                                                   */
/* ------------------------------------------------------------------------- */

static void set_up(struct scene *scene, const struct temp_dir *dir, struct rng *rng, uint64_t seed)
{
  static const char *const versions[] = {"5.10", "5.15", "6.0", "6.18"};
  struct sim_config kernel = sim_kernel(versions[rng_below(rng, 4)]);
  struct sqcq_engine_config config;
  struct sqcq_channel_config channel = {.size = sizeof(channel)};
  struct sqcq_pool_config pool = {
      .size = sizeof(pool), .count = BUFFERS, .buffer_size = LENGTH, .align = 64};
  char path[PATH_MAX + 16];

  sim_unruly(&kernel, seed);
  kernel.poll_end_percent = 10;
  sim_configure(&kernel);
  sqcq_engine_config_init(&config);
  config.depth = 4;
  config.requests_max = 8;
  config.channels_max = CONSUMERS;
  config.lanes_shared = (uint32_t)rng_between(rng, 1, 3);
  config.lane_slots = 4;
  config.files_max = FILES + 3;
  config.idle = (uint32_t)rng_below(rng, 2);
  config.consumer_spin_ns = rng_percent(rng, 50) ? 0 : 20000;
  if (rng_percent(rng, 25))
    config.flags |= SQCQ_ENGINE_HISTOGRAMS;
  assert_ok(sqcq_engine_create(&scene->engine, &config, NULL));
  for (uint32_t i = 0; i < CONSUMERS; i++) {
    channel.capacity = (uint32_t)rng_between(rng, 1, 4);
    assert_ok(sqcq_channel_create(scene->engine, &channel, &scene->channels[i]));
  }
  assert_ok(sqcq_pool_create(scene->engine, &pool, &scene->pool));
  for (uint32_t i = 0; i < FILES; i++) {
    sqcq_file file;

    snprintf(path, sizeof(path), "%s/file%u", dir->path, i);
    scene->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(scene->fds[i] >= 0);
    assert_ok(sqcq_file_add(scene->engine, scene->fds[i], &file));
    atomic_store_explicit(&scene->files[i], file.id, memory_order_relaxed);
  }
}

static void start(struct part *part, struct scene *scene, struct rng *rng, uint32_t number,
                  void *(*function)(void *))
{
  part->step = 0;
  part->scene = scene;
  part->number = number;
  rng_split(rng, &part->rng);
  assert_ok(pthread_create(&part->thread, NULL, function, part));
}

static void tear_down(struct scene *scene)
{
  struct sqcq_stats stats;
  unsigned accepted = atomic_load_explicit(&scene->accepted, memory_order_relaxed);

  assert_verdict(&scene->verdict);
  assert_int_equal(atomic_load_explicit(&scene->taken, memory_order_relaxed), accepted);
  for (uint32_t i = 0; i < PRODUCERS * STEPS_MAX; i++)
    assert_int_not_equal(atomic_load_explicit(&scene->state[i], memory_order_relaxed), 1);
  assert_ok(sqcq_engine_stats(scene->engine, &stats, sizeof(stats)));
  assert_int_equal(stats.accepted, accepted);
  assert_int_equal(stats.completed, accepted);
  assert_ok(sqcq_engine_destroy(scene->engine, NULL));
  assert_int_equal(sim_counts()->left_inflight, 0);
  for (uint32_t i = 0; i < FILES; i++)
    close(scene->fds[i]);
}

/* How many steps producers have made. */
static uint64_t play_round(const struct temp_dir *dir, uint64_t seed, uint32_t steps)
{
  uint64_t made = 0;
  struct scene scene = {.steps = steps};
  struct part producers[PRODUCERS], consumers[CONSUMERS], files, io;
  struct rng rng;
  struct fds fds;

  rng_seed(&rng, seed);
  fds_look(&fds);
  scene.state = calloc(PRODUCERS * STEPS_MAX, sizeof(*scene.state));
  assert_non_null(scene.state);
  set_up(&scene, dir, &rng, seed);
  start(&io, &scene, &rng, 0, run_engine);
  for (uint32_t i = 0; i < CONSUMERS; i++)
    start(&consumers[i], &scene, &rng, i, consume);
  for (uint32_t i = 0; i < PRODUCERS; i++)
    start(&producers[i], &scene, &rng, i, produce);
  start(&files, &scene, &rng, 0, change_files);

  bool early = rng_percent(&rng, 50); /* stop in the middle of it all */
  unsigned mode = (unsigned)rng_below(&rng, 2);
  test_sleep_ns((int64_t)rng_below(&rng, 3000000));
  if (early)
    assert_ok(sqcq_engine_stop(scene.engine, mode, SQCQ_FOREVER));
  for (uint32_t i = 0; i < PRODUCERS; i++)
    assert_ok(pthread_join(producers[i].thread, NULL));
  for (uint32_t i = 0; i < PRODUCERS; i++)
    made += producers[i].step;
  atomic_store_explicit(&scene.over, true, memory_order_relaxed);
  assert_ok(pthread_join(files.thread, NULL));
  assert_ok(sqcq_engine_stop(scene.engine, mode, rng_percent(&rng, 50) ? SQCQ_FOREVER : 2000000));
  assert_ok(pthread_join(io.thread, NULL));
  for (uint32_t i = 0; i < CONSUMERS; i++)
    assert_ok(pthread_join(consumers[i].thread, NULL));
  tear_down(&scene);
  free(scene.state);
  assert_true(fds_same(&fds));
  return made;
}

static void roles_on_threads_answer_each_request_once(void **state)
{
  const struct temp_dir *dir = *state;
  const char *text = getenv("SQCQ_STEPS");
  uint32_t steps = text == NULL ? STEPS_DEFAULT : (uint32_t)strtoul(text, NULL, 0);
  uint64_t seed = rng_seed_from_env(0x7a9e);
  uint64_t made = 0;
  char name[16];

  for (uint32_t i = 0; i < FILES; i++) {
    snprintf(name, sizeof(name), "file%u", i);
    close(temp_file_stamped(dir, name, PAGES, tag_of(i)));
  }
  for (uint64_t round = 0; round < ROUNDS; round++)
    made += play_round(dir, seed + round, steps < STEPS_MAX ? steps : STEPS_MAX);
  printf("%" PRIu64 " steps\n", made);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(roles_on_threads_answer_each_request_once, temp_setup,
                                      temp_teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
