/* sqcq-test: timeout 400 */
/*
 * Producers that all want the same few buffers, for vectored reads. That is not how the library is to be used, and it is
 * what its refusals are for: of those who race for a buffer one gets it, whoever fails half way leaves what it has stepped
 * as it was, every read accepted has one completion with all its buffers, and in the end none is lost.
 */
#include "engine/engine.h"

#include "stress/crowd.h"
#include "support/temp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PRODUCERS 4u
#define BUFFERS 12u
#define MOST 5u
#define BYTES 64u
#define READS 3000u

static struct {
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_file file;
  sqcq_buffer buffers[BUFFERS];
  atomic_uint accepted, refused, taken, left;
} world;
static struct crowd crowd;

static void produce(struct crowd_member *me)
{
  for (uint32_t i = 0; i < crowd_scaled(READS) && crowd_good(me); i++) {
    sqcq_buffer buffers[MOST];
    uint32_t count = (uint32_t)rng_between(&me->rng, 1, MOST);

    for (uint32_t j = 0; j < count; j++)
      buffers[j] = world.buffers[rng_below(&me->rng, BUFFERS)];
    struct sqcq_read read = {.file = world.file,
                             .buffers = buffers,
                             .buffer_count = (uint16_t)count,
                             .channel = world.channel,
                             .user_data = count,
                             .length = count * BYTES,
                             .flags = SQCQ_READ_VECTOR};
    int error = sqcq_request(world.engine, &read);
    crowd_check(me, error == 0 || error == -EBUSY || error == -EXFULL || error == -EAGAIN);
    atomic_fetch_add_explicit(error == 0 ? &world.accepted : &world.refused, 1,
                              memory_order_relaxed);
    crowd_jitter(&me->rng);
    crowd_progress(me);
  }
  /* The last one out stops the engine, which then answers what there is. */
  if (atomic_fetch_sub(&world.left, 1) == 1)
    crowd_check(me, sqcq_engine_stop(world.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER) == 0);
}

static void consume(struct crowd_member *me)
{
  struct sqcq_completion completions[4];
  int n;

  while ((n = sqcq_channel_wait(world.engine, world.channel, completions, 4, 1, SQCQ_FOREVER)) >
         0) {
    for (int i = 0; i < n; i++) {
      sqcq_buffer listed[MOST];

      crowd_check(me, completions[i].result == (int32_t)completions[i].length ||
                          crowd_interrupted(me, completions[i].result,
                                            completions[i].flags & ~SQCQ_COMPLETION_VECTOR));
      crowd_check(me, ((completions[i].flags & SQCQ_COMPLETION_VECTOR) != 0) ==
                          (completions[i].user_data > 1));
      /* Others may have them already, and have linked them otherwise: any answer, but an answer. */
      int count = sqcq_completion_buffers(world.engine, &completions[i], listed, MOST);
      crowd_check(me, count == -EBUSY || (count >= 1 && count <= (int)BUFFERS));
      atomic_fetch_add_explicit(&world.taken, 1, memory_order_relaxed);
    }
    crowd_progress(me);
  }
  crowd_check(me, n == -ESHUTDOWN);
}

static void play(struct crowd_member *me)
{
  if (me->index == PRODUCERS)
    crowd_check(me, sqcq_engine_run(world.engine) == 0);
  else if (me->index == PRODUCERS + 1)
    consume(me);
  else
    produce(me);
}

static void make(int fd)
{
  struct sqcq_pool_config pool = {.size = sizeof(pool), .count = BUFFERS, .buffer_size = BYTES};
  struct sqcq_engine_config config;
  sqcq_pool handle;

  memset(&world, 0, sizeof(world));
  atomic_store(&world.left, PRODUCERS);
  sqcq_engine_config_init(&config);
  config.depth = 8;
  config.channels_max = 1;
  config.vectors_max = MOST;
  assert_ok(sqcq_engine_create(&world.engine, &config, NULL));
  assert_ok(sqcq_channel_create(world.engine, NULL, &world.channel));
  assert_ok(sqcq_pool_create(world.engine, &pool, &handle));
  assert_count(sqcq_buffer_acquire(world.engine, handle, world.buffers, BUFFERS), BUFFERS);
  assert_ok(sqcq_file_add(world.engine, fd, &world.file));
}

static void producers_that_race_for_buffers_lose_none(void **state)
{
  struct rng rng;
  struct crowd_soak soak = crowd_soak(4);
  struct temp_dir dir;

  temp_dir_make(&dir);
  int fd = temp_file_stamped(&dir, "file", 1, 1);
  rng_seed(&rng, rng_seed_from_env(0x7ec7));
  while (crowd_next_round(&soak)) {
    make(fd);
    crowd_start(&crowd, PRODUCERS + 2, soak.done % 2 == 0 ? CROWD_JOSTLED : CROWD_LEFT_ALONE, &rng,
                play);
    crowd_join(&crowd);
    assert_int_equal(atomic_load(&world.taken), atomic_load(&world.accepted));
    assert_true(atomic_load(&world.accepted) > 0);
    /* Every buffer is somebody's to release, once. */
    assert_count(sqcq_buffer_release(world.engine, world.buffers, BUFFERS), BUFFERS);
    assert_ok(sqcq_engine_destroy(world.engine, NULL));
  }
  printf("last round: %u accepted, %u refused\n", atomic_load(&world.accepted),
         atomic_load(&world.refused));
  close(fd);
  temp_dir_remove(&dir);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(producers_that_race_for_buffers_lose_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
