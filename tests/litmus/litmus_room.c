/*
 * pair(room): whoever gives room back publishes it, then looks whether somebody waits for it; who waits
 * announces itself, by a count and a notice by its own word too, then looks again for room. All of the waiting of
 * sqcq_request_wait() and sqcq_room_notify(), but for the sleeper's system call: see litmus.h. A stop counts
 * as room.
 */
#include "engine/engine.h"

#include "litmus/litmus.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define EVER INT64_MAX

static struct sqcq_engine engine;
static struct sqcq__channel channel;
static struct sqcq__pool pool;
static _Atomic uint32_t pool_link;
static uint64_t handle; /* of either */
static unsigned bound;  /* of the case */
static int event;
static uint32_t generation; /* of the notice; sleeper only, all */
static int notice, fd;
static bool found;
static uint32_t here = 1; /* of engine.here: not a forked child */

static void reset(void)
{
  uint32_t place;

  sqcq__store_relaxed(&channel.credit.word, sqcq__word(1, 1));
  (void)sqcq__freelist_take(&pool.free, &place, 1);
}

static void reset_notice(void)
{
  reset();
  notice = sqcq__notice_make(&engine.rooms, &generation);
  fd = dup(event);
  if (notice < 0 || fd < 0)
    crowd_fail(crowd_me, "no notice");
}

static void reset_engine(void)
{
  reset();
  sqcq__store_relaxed(&engine.control.stopping, SQCQ__STOPPING_NOT);
}

static void look_at_credit(void)
{
  (void)sqcq__room_awaited(&channel.room);
}

static void look_at_pool(void)
{
  (void)sqcq__room_awaited(&pool.room);
}

static void give_credit(void)
{
  sqcq__credit_give(&channel.credit, 1);
  if (sqcq__room_awaited(&channel.room) != 0)
    sqcq__channel_room_given(&engine, &channel, 1);
}

static void give_buffer(void)
{
  uint32_t place = 0;

  sqcq__freelist_put(&pool.free, &place, 1);
  if (sqcq__room_awaited(&pool.room) != 0)
    sqcq__room_given(&engine.rooms, &pool.room, 1, 1, 1);
}

static void stop(void)
{
  (void)sqcq_engine_stop(&engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
}

static void wait_for_room(void)
{
  (void)sqcq__room_wait(&engine, bound, handle, EVER);
}

static bool lost_sleeper(void)
{
  return litmus_field.slept_on;
}

/* As sqcq_room_notify(), which spends most of its time on the descriptor before. */
static void arm_notice(void)
{
  sqcq__notice_arm(&engine.rooms, (uint32_t)notice, &pool.room, fd);
  found = sqcq__pool_room(&engine.buffers, handle, 1) != 0;
}

/* One that has fired cannot be taken back. */
static bool lost_notice(void)
{
  return sqcq__notice_disarm(&engine.rooms, (uint32_t)notice, generation) && !found;
}

static int set_up(void **state)
{
  (void)state;
  memset(&engine, 0, sizeof(engine));
  memset(&channel, 0, sizeof(channel));
  memset(&pool, 0, sizeof(pool));
  engine.tag = 1;
  engine.here = &here;
  engine.channels = &channel;
  engine.config.user.channels_max = 1;
  engine.buffers.pools = &pool;
  engine.buffers.pool_max = 1;
  engine.buffers.rooms = &engine.rooms;
  sqcq__store_relaxed(&channel.credit.capacity, 1);
  sqcq__store_relaxed(&pool.word, sqcq__word(1, SQCQ__POOL_OPEN));
  sqcq__freelist_init(&pool.free, &pool_link, sizeof(pool_link));
  handle = sqcq__handle(1, 0, engine.tag);
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return sqcq__rooms_init(&engine.rooms, 1) != 0 || event < 0;
}

static int tear_down(void **state)
{
  (void)state;
  sqcq__rooms_fini(&engine.rooms);
  (void)close(event);
  return 0;
}

static void credit_against_a_sleeping_producer(void **state)
{
  bound = SQCQ_BOUND_CHANNEL;
  litmus_run(&(struct litmus){reset, look_at_credit, give_credit, wait_for_room, lost_sleeper});
}

static void buffer_against_a_sleeping_producer(void **state)
{
  bound = SQCQ_BOUND_POOL;
  litmus_run(&(struct litmus){reset, look_at_pool, give_buffer, wait_for_room, lost_sleeper});
}

static void stop_against_a_sleeping_producer(void **state)
{
  bound = SQCQ_BOUND_CHANNEL;
  litmus_run(&(struct litmus){reset_engine, look_at_credit, stop, wait_for_room, lost_sleeper});
}

static void buffer_against_a_notice(void **state)
{
  litmus_run(&(struct litmus){reset_notice, look_at_pool, give_buffer, arm_notice, lost_notice});
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

LITMUS_MAIN(CASE(credit_against_a_sleeping_producer), CASE(buffer_against_a_sleeping_producer),
            CASE(stop_against_a_sleeping_producer), CASE(buffer_against_a_notice))
