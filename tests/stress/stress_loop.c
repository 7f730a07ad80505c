/* sqcq-test: timeout 120 */
/*
 * Engines made, turned or not, stopped or not, and destroyed, by several threads at once: nothing is left
 * behind, neither a read nor memory nor a descriptor.
 *
 *   SQCQ_SEED, SQCQ_SOAK_SECONDS    see crowd.h
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress/world_round.h"

#define LOOPERS 5u

static _Atomic uint64_t loop_reads, loop_engines;
static int64_t loop_until;

/* What there is, and its buffers back. */
static uint32_t take_back(struct crowd_member *me, struct sqcq_engine *engine, sqcq_channel channel)
{
  struct sqcq_completion completion;
  uint32_t count = 0;

  for (; sqcq_channel_poll(engine, channel, &completion, 1) == 1; count++) {
    crowd_check(me, completion.result < 0 || stamp_matches(completion.data, 1, completion.offset,
                                                           (size_t)completion.result));
    crowd_check(me, sqcq_buffer_release(engine, &completion.buffer, 1) == 1);
  }
  return count;
}

/* Made, perhaps turned, perhaps stopped, and destroyed: by itself where it can be. */
static void one_engine(struct crowd_member *me)
{
  struct sqcq_engine_config config;
  struct sqcq_channel_config channel_config = {.size = sizeof(channel_config), .capacity = 4};
  struct sqcq_pool_config pool_config = {
      .size = sizeof(pool_config), .count = 4, .buffer_size = 512};
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_file file;
  sqcq_pool pool;
  uint32_t asked = (uint32_t)rng_below(&me->rng, 5), taken = 0;
  int error;

  sqcq_engine_config_init(&config);
  config.depth = 4;
  config.flags = rng_percent(&me->rng, 50) ? SQCQ_ENGINE_NO_DEFER : 0;
  crowd_check(me, sqcq_engine_create(&engine, &config, NULL) == 0);
  crowd_check(me, sqcq_channel_create(engine, &channel_config, &channel) == 0);
  crowd_check(me, sqcq_pool_create(engine, &pool_config, &pool) == 0);
  crowd_check(me, sqcq_file_add(engine, ground.fds[0], &file) == 0);
  for (uint32_t i = 0; i < asked && crowd_good(me); i++) {
    struct sqcq_read read = {.file = file, .channel = channel, .length = 512, .offset = i * 512};

    crowd_check(me, sqcq_buffer_acquire(engine, pool, &read.buffer, 1) == 1);
    crowd_check(me, sqcq_request(engine, &read) == 0);
  }
  uint64_t turns = rng_below(&me->rng, 4);
  for (uint64_t i = 0; i < turns; i++)
    crowd_check(me, sqcq_engine_poll(engine) >= 0);
  if (turns > 0 || rng_percent(&me->rng, 50)) {
    crowd_check(me, sqcq_engine_stop(engine, (unsigned)rng_below(&me->rng, 2), SQCQ_FOREVER) == 0);
    while ((error = sqcq_engine_wait(engine, SQCQ_FOREVER)) >= 0 && crowd_good(me))
      taken += take_back(me, engine, channel);
    crowd_check(me, error == -ESHUTDOWN);
  }
  taken += take_back(me, engine, channel);
  /* One that nobody has turned is turned to its end by the first call. */
  error = sqcq_engine_destroy(engine, NULL);
  if (error == -EBUSY) {
    taken += take_back(me, engine, channel);
    error = sqcq_engine_destroy(engine, NULL);
  }
  crowd_check(me, error == 0);
  crowd_check(me, taken == asked);
  atomic_fetch_add(&loop_reads, asked);
  atomic_fetch_add(&loop_engines, 1);
}

static void loop(struct crowd_member *me)
{
  do {
    one_engine(me);
    crowd_progress(me);
  } while (test_now_ns() < loop_until && crowd_good(me));
}

static void engines_in_a_loop_leave_nothing_behind(void **state)
{
  struct fds before;
  int64_t live_before = alloc_live();

  loop_until = test_now_ns() + (int64_t)crowd_number_from_env("SQCQ_SOAK_SECONDS", 1) * 1000 * MS;
  (void)crowd_soak_of(NULL, 1); /* its watchdog */
  fds_look(&before);
  crowd_start(&crowd, LOOPERS, CROWD_LEFT_ALONE, &seeded, loop);
  crowd_join(&crowd);
  assert_true(fds_same(&before));
  if (alloc_works())
    assert_int_equal(alloc_live(), live_before);
  alarm(0);
  crowd_report(__func__, atomic_load(&loop_reads), atomic_load(&loop_engines));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engines_in_a_loop_leave_nothing_behind),
  };

  require_io_uring();
  rng_seed(&seeded, rng_seed_from_env((uint64_t)test_now_ns()));
  return cmocka_run_group_tests_name("loop", tests, make_ground, unmake_ground);
}
