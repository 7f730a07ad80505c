/*
 * Producers wait for room while another thread brings it: for each bound, for a time or for ever, with
 * the end coming meanwhile; and event loops that have an eventfd written instead.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <poll.h>
#include <sys/eventfd.h>

#define LONG (60000 * MS) /* never reached where all is well */
#define NOTICES 3u
#define WAITERS 100u

static struct rig rig;

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  config.lanes_shared = 1;
  config.lane_slots = 4;
  config.lanes_own = 2;
  config.notices_max = NOTICES;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  return 0;
}

/* The test has stopped it where that belongs to it, and holds nothing. */
static int teardown(void **state)
{
  rig_end(&rig);
  return 0;
}

/* ------------------------------------------------------------------------- */
/* Bounds, filled and emptied                                                */
/* ------------------------------------------------------------------------- */

static sqcq_buffer held[RIG_BUFFERS];
static uint32_t held_count;

static void empty_pool(void)
{
  int n = sqcq_buffer_acquire(rig.engine, rig.pool, held, RIG_BUFFERS);

  assert_true(n > 0);
  held_count = (uint32_t)n;
}

static void give_back(uint32_t count)
{
  while (count-- > 0)
    rig_release(&rig, held[--held_count]);
}

/* Answered and unread: the consumer alone brings room. */
static void fill_channel(void)
{
  for (uint32_t i = 0; i < RIG_CAPACITY; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    while (sqcq_request(rig.engine, &read) == -EAGAIN)
      assert_true(sqcq_engine_poll(rig.engine) >= 0);
  }
  assert_soon(sqcq_engine_poll(rig.engine) >= 0 && rig_stats(&rig).completed >= RIG_CAPACITY &&
              rig_stats(&rig).inflight == 0);
}

static void take_one(void)
{
  struct sqcq_completion completion;

  assert_count(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 1);
  rig_release(&rig, completion.buffer);
}

static void take_all(void)
{
  struct sqcq_completion completion;

  while (sqcq_channel_poll(rig.engine, rig.channel, &completion, 1) == 1)
    rig_release(&rig, completion.buffer);
}

/* No turn: only the I/O thread brings room. */
static void fill_lanes(void)
{
  for (uint32_t i = 0; i < 4; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    assert_ok(sqcq_request(rig.engine, &read));
  }
}

static void end_lanes(void)
{
  struct sqcq_completion completions[4];

  rig_take(&rig, completions, 4);
  for (int i = 0; i < 4; i++)
    rig_release(&rig, completions[i].buffer);
}

/* ------------------------------------------------------------------------- */
/* Another thread that waits                                                 */
/* ------------------------------------------------------------------------- */

struct producer {
  unsigned bound;
  uint64_t id;
  int64_t timeout_ns;
  int result;
  _Atomic bool done;
  pthread_t thread;
};

static void *produce(void *argument)
{
  struct producer *producer = argument;

  producer->result =
      sqcq_request_wait(rig.engine, producer->bound, producer->id, producer->timeout_ns);
  atomic_store(&producer->done, true);
  return NULL;
}

static void start(struct producer *producer, unsigned bound, uint64_t id, int64_t timeout_ns)
{
  producer->bound = bound;
  producer->id = id;
  producer->timeout_ns = timeout_ns;
  atomic_store(&producer->done, false);
  assert_int_equal(pthread_create(&producer->thread, NULL, produce, producer), 0);
}

/* And it sleeps. */
static void start_asleep(struct producer *producer, unsigned bound, uint64_t id, int64_t timeout_ns)
{
  uint64_t sleeps = rig_stats(&rig).producer_sleeps;

  start(producer, bound, id, timeout_ns);
  assert_soon(rig_stats(&rig).producer_sleeps > sleeps);
}

static int finish(struct producer *producer)
{
  assert_int_equal(pthread_join(producer->thread, NULL), 0);
  return producer->result;
}

/* ------------------------------------------------------------------------- */
/* request_wait                                                              */
/* ------------------------------------------------------------------------- */

static void wait_with_room_returns_at_once(void **state)
{
  uint64_t sleeps = rig_stats(&rig).producer_sleeps;

  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANES, 0, SQCQ_FOREVER));
  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER));
  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, 0));
  assert_int_equal(rig_stats(&rig).producer_sleeps, sleeps);
}

static void wait_without_room_ends_with_the_time(void **state)
{
  empty_pool();
  assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, 0), -ETIMEDOUT);
  int64_t before = test_now_ns();
  assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, 5 * MS), -ETIMEDOUT);
  assert_true(test_now_ns() - before >= 5 * MS);
  give_back(1);
  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, 5 * MS));
  give_back(held_count);
}

static void wait_for_a_pool_ends_with_a_release(void **state)
{
  struct producer producer;

  empty_pool();
  for (int i = 0; i < 4; i++) {
    start_asleep(&producer, SQCQ_BOUND_POOL, rig.pool.id, i % 2 == 0 ? SQCQ_FOREVER : LONG);
    assert_false(atomic_load(&producer.done));
    give_back(1);
    assert_ok(finish(&producer));
    sqcq_buffer again = rig_buffer(&rig);
    held[held_count++] = again;
  }
  give_back(held_count);
}

static void wait_for_a_channel_ends_with_a_completion_taken(void **state)
{
  struct producer producer;

  fill_channel();
  start_asleep(&producer, SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER);
  assert_count(sqcq_engine_poll(rig.engine), 0); /* a turn alone brings none */
  assert_false(atomic_load(&producer.done));
  take_one();
  assert_ok(finish(&producer));
  take_all();
}

/* A credit that was taken for a request which is refused later: its give-back is one as any other. */
static void wait_for_a_channel_ends_with_a_refusal_of_another(void **state)
{
  struct sqcq__channel *channel = &rig.engine->channels[sqcq__handle_index(rig.channel.id)];
  uint32_t generation = sqcq__handle_generation(rig.channel.id);
  struct sqcq_read read = rig_page(&rig, 0);
  struct producer producer;

  fill_lanes();
  assert_count(sqcq__credit_take(&channel->credit, generation, RIG_CAPACITY), RIG_CAPACITY - 4);
  start_asleep(&producer, SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER);
  sqcq__credit_give(&channel->credit, 1); /* by one who is stopped before its look */
  assert_error(sqcq_request(rig.engine, &read), -EAGAIN);
  assert_ok(finish(&producer));
  sqcq__credit_give(&channel->credit, RIG_CAPACITY - 5);
  rig_release(&rig, read.buffer);
  end_lanes();
}

static void wait_for_lanes_ends_with_a_turn(void **state)
{
  struct producer producer;
  struct sqcq_read read = rig_page(&rig, 0);

  assert_count(sqcq_engine_poll(rig.engine), 0);
  fill_lanes();
  assert_error(sqcq_request(rig.engine, &read), -EAGAIN);
  start_asleep(&producer, SQCQ_BOUND_LANES, 0, SQCQ_FOREVER);
  assert_false(atomic_load(&producer.done));
  assert_true(sqcq_engine_poll(rig.engine) >= 0);
  assert_ok(finish(&producer));
  rig_release(&rig, read.buffer);
  end_lanes();
}

/* A claim that is held for long is waited for a moment, and tried again. */
static void wait_for_lanes_that_are_held_lasts_a_moment(void **state)
{
  assert_true(sqcq__lane_claim(&rig.engine->lanes.lanes[0], SQCQ__CLAIM_HELD));
  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANES, 0, 0));
  assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANES, 0, SQCQ_FOREVER));
  assert_int_equal(rig_stats(&rig).producer_sleeps, 1);
  sqcq__lane_unclaim(&rig.engine->lanes.lanes[0]);
}

static void wait_by_the_io_thread_is_refused(void **state)
{
  assert_count(sqcq_engine_poll(rig.engine), 0);
  empty_pool();
  assert_refused(&rig, sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, LONG), -EDEADLK);
  assert_refused(&rig, sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, SQCQ_FOREVER),
                 -EDEADLK);
  assert_refused(&rig, sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, 0), -ETIMEDOUT);
  give_back(held_count);
  fill_lanes();
  assert_refused(&rig, sqcq_request_wait(rig.engine, SQCQ_BOUND_LANES, 0, SQCQ_FOREVER), -EDEADLK);
  end_lanes();
  fill_channel();
  assert_refused(&rig,
                 sqcq_request_wait(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER),
                 -EDEADLK);
  take_all();
}

/* ------------------------------------------------------------------------- */
/* The end                                                                   */
/* ------------------------------------------------------------------------- */

static void closed_channel_wakes_every_producer(void **state)
{
  struct producer producers[4];

  fill_channel();
  for (int i = 0; i < 4; i++)
    start_asleep(&producers[i], SQCQ_BOUND_CHANNEL, rig.channel.id, SQCQ_FOREVER);
  assert_error(sqcq_channel_destroy(rig.engine, rig.channel), -EBUSY);
  for (int i = 0; i < 4; i++)
    assert_error(finish(&producers[i]), -EPIPE);
  assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, 0), -EPIPE);
  take_all();
}

static void destroyed_pool_wakes_every_producer(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 64};
  struct sqcq__pool *place;
  struct producer producers[3];
  sqcq_buffer buffer;
  sqcq_pool pool;

  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  place = &rig.engine->buffers.pools[sqcq__handle_index(pool.id)];
  assert_count(sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), 1);
  for (int i = 0; i < 3; i++)
    start_asleep(&producers[i], SQCQ_BOUND_POOL, pool.id, SQCQ_FOREVER);
  assert_error(sqcq_pool_destroy(rig.engine, pool), -EBUSY); /* brings no room */
  assert_int_equal(sqcq__room_sleepers(sqcq__room_awaited(&place->room)), 3);
  assert_count(sqcq_buffer_release(rig.engine, &buffer, 1), 1);
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
  for (int i = 0; i < 3; i++) {
    int result = finish(&producers[i]);
    assert_true(result == -ESTALE || result == 0); /* by the release, or by the destroy */
  }
  assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, pool.id, 0), -ESTALE);
}

static void stop_wakes_every_producer_without_a_turn(void **state)
{
  struct producer producers[3];
  struct sqcq_read read;

  empty_pool();
  give_back(4);
  for (uint32_t i = 0; i < 4; i++) {
    read = rig_page(&rig, i);
    assert_ok(sqcq_request(rig.engine, &read));
  }
  struct sqcq__channel *channel = &rig.engine->channels[sqcq__handle_index(rig.channel.id)];
  uint32_t generation = sqcq__handle_generation(rig.channel.id);
  assert_count(sqcq__credit_take(&channel->credit, generation, RIG_CAPACITY), RIG_CAPACITY - 4);
  start_asleep(&producers[0], SQCQ_BOUND_LANES, 0, SQCQ_FOREVER);
  start_asleep(&producers[1], SQCQ_BOUND_CHANNEL, rig.channel.id, LONG);
  start_asleep(&producers[2], SQCQ_BOUND_POOL, rig.pool.id, SQCQ_FOREVER);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  for (int i = 0; i < 3; i++)
    assert_error(finish(&producers[i]), -ESHUTDOWN);
  sqcq__credit_give(&channel->credit, RIG_CAPACITY - 4);
  give_back(held_count);
}

/* ------------------------------------------------------------------------- */
/* Many                                                                      */
/* ------------------------------------------------------------------------- */

/* One slot at a time, a hundred that sleep for it: each wake is counted. */
static struct {
  atomic_uint got;
  sqcq_buffer buffer; /* the one that goes round; W: who got it, before it counts */
} line;

static void *stand_in_line(void *argument)
{
  sqcq_buffer buffer;
  int n;

  while ((n = sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1)) == -ENOBUFS)
    if (sqcq_request_wait(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, LONG) != 0)
      return &line; /* as it should not be */
  if (n != 1)
    return &line; /* as it should not be */
  line.buffer = buffer;
  atomic_fetch_add(&line.got, 1);
  return NULL;
}

static void one_slot_at_a_time_wakes_few_of_a_hundred(void **state)
{
  pthread_t threads[WAITERS];
  struct sqcq__room *room = &rig.engine->buffers.pools[sqcq__handle_index(rig.pool.id)].room;
  void *result;

  atomic_store(&line.got, 0);
  empty_pool();
  for (uint32_t i = 0; i < WAITERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, stand_in_line, NULL), 0);
  assert_soon(sqcq__room_sleepers(sqcq__room_awaited(room)) == WAITERS);
  assert_soon(rig_stats(&rig).producer_sleeps >= WAITERS);
  test_sleep_ns(20 *
                MS); /* all in the kernel: only to count wakes of sleepers, nothing hangs on it */
  uint64_t wakes = rig_stats(&rig).producer_wakes;
  for (uint32_t i = 0; i < WAITERS; i++) {
    rig_release(&rig, i == 0 ? held[--held_count] : line.buffer);
    assert_soon(atomic_load(&line.got) == i + 1);
  }
  for (uint32_t i = 0; i < WAITERS; i++) {
    assert_int_equal(pthread_join(threads[i], &result), 0);
    assert_null(result);
  }
  wakes = rig_stats(&rig).producer_wakes - wakes;
  printf("%u slots, one at a time, for %u producers: %u wakes\n", WAITERS, WAITERS,
         (unsigned)wakes);
  assert_true(wakes <= 3 * WAITERS);
  rig_release(&rig, line.buffer);
  give_back(held_count);
}

/* All at once for all: the baton goes through them, whatever the give-back itself has woken. */
static void room_for_all_reaches_all(void **state)
{
  struct producer producers[8];

  for (int round = 0; round < 20; round++) {
    empty_pool();
    for (int i = 0; i < 8; i++)
      start_asleep(&producers[i], SQCQ_BOUND_POOL, rig.pool.id, SQCQ_FOREVER);
    if (round % 2 == 0)
      give_back(1); /* nobody takes it: everybody must hear of it nevertheless */
    else
      give_back(held_count);
    for (int i = 0; i < 8; i++)
      assert_ok(finish(&producers[i]));
    give_back(held_count);
  }
}

static void room_in_lanes_reaches_all(void **state)
{
  struct producer producers[8];

  assert_count(sqcq_engine_poll(rig.engine), 0);
  for (int round = 0; round < 10; round++) {
    fill_lanes();
    for (int i = 0; i < 8; i++)
      start_asleep(&producers[i], SQCQ_BOUND_LANES, 0, SQCQ_FOREVER);
    uint64_t wakes = rig_stats(&rig).producer_wakes;
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
    for (int i = 0; i < 8; i++)
      assert_ok(finish(&producers[i]));
    assert_true(rig_stats(&rig).producer_wakes - wakes <= 8);
    end_lanes();
    assert_count(sqcq_engine_poll(rig.engine), 0);
    assert_false(rig.engine->io.lanes_awaited);
  }
}

/* ------------------------------------------------------------------------- */
/* Notices                                                                   */
/* ------------------------------------------------------------------------- */

static int make_eventfd(void)
{
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  assert_true(fd >= 0);
  return fd;
}

/* How often it was written since the last look. */
static uint64_t written(int fd)
{
  struct pollfd watch = {.fd = fd, .events = POLLIN};
  uint64_t count = 0;

  if (poll(&watch, 1, 0) == 1)
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
  return count;
}

static void notify_with_room_registers_nothing(void **state)
{
  sqcq_notice notice = {77};
  int fd = make_eventfd();

  assert_refused(&rig, sqcq_request_notify(rig.engine, SQCQ_BOUND_LANES, 0, fd, &notice), 1);
  assert_refused(
      &rig, sqcq_request_notify(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, fd, &notice), 1);
  assert_refused(&rig, sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice),
                 1);
  assert_int_equal(notice.id, 77);
  assert_int_equal(written(fd), 0);
  close(fd);
}

/* Fill an own lane to the last slot. */
static sqcq_lane full_lane(void)
{
  sqcq_lane lane;

  assert_ok(sqcq_lane_open(rig.engine, &lane));
  for (uint32_t i = 0; i < rig.engine->lanes.slots; i++) {
    struct sqcq_read read = rig_page(&rig, i);

    assert_ok(sqcq_lane_request(rig.engine, lane, &read));
  }
  return lane;
}

static void end_lane(sqcq_lane lane)
{
  struct sqcq_completion completion;

  for (uint32_t i = 0; i < rig.engine->lanes.slots; i++) {
    rig_take(&rig, &completion, 1);
    rig_release(&rig, completion.buffer);
  }
  assert_ok(sqcq_lane_close(rig.engine, lane));
}

static void wait_for_an_own_lane_ends_with_a_turn(void **state)
{
  struct producer producer;

  assert_count(sqcq_engine_poll(rig.engine), 0);
  for (int round = 0; round < 10; round++) {
    sqcq_lane lane = full_lane();
    struct sqcq_read read = rig_page(&rig, 0);

    assert_error(sqcq_lane_request(rig.engine, lane, &read), -EAGAIN);
    assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANE, lane.id, 0), -ETIMEDOUT);
    start_asleep(&producer, SQCQ_BOUND_LANE, lane.id, SQCQ_FOREVER);
    assert_false(atomic_load(&producer.done));
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
    assert_ok(finish(&producer));
    assert_ok(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANE, lane.id, 0));
    rig_release(&rig, read.buffer);
    end_lane(lane);
    assert_count(sqcq_engine_poll(rig.engine), 0);
    assert_false(rig.engine->io.lanes_awaited);
    assert_error(sqcq_request_wait(rig.engine, SQCQ_BOUND_LANE, lane.id, 0), -EBADFD);
  }
}

static void wait_for_an_own_lane_ends_with_a_stop(void **state)
{
  struct producer producer;
  sqcq_lane lane = full_lane();

  start_asleep(&producer, SQCQ_BOUND_LANE, lane.id, SQCQ_FOREVER);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_error(finish(&producer), -ESHUTDOWN);
}

static void notice_of_an_own_lane_fires_when_it_is_closed(void **state)
{
  int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct pollfd watch = {.fd = event, .events = POLLIN};
  sqcq_lane lane = full_lane();
  sqcq_notice notice;

  assert_count(sqcq_request_notify(rig.engine, SQCQ_BOUND_LANE, lane.id, event, &notice), 0);
  assert_int_equal(poll(&watch, 1, 0), 0);
  assert_ok(sqcq_lane_close(rig.engine, lane));
  assert_int_equal(poll(&watch, 1, 0), 1);
  assert_error(sqcq_request_unnotify(rig.engine, notice), -ESTALE);
  for (uint32_t i = 0; i < rig.engine->lanes.slots; i++) {
    struct sqcq_completion completion;

    rig_take(&rig, &completion, 1);
    rig_release(&rig, completion.buffer);
  }
  close(event);
}

static void notice_of_each_bound_fires_once(void **state)
{
  sqcq_notice notice;
  int fd = make_eventfd();

  assert_count(sqcq_engine_poll(rig.engine), 0);
  empty_pool();
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice));
  assert_int_equal(written(fd), 0);
  give_back(1);
  assert_int_equal(written(fd), 1);
  give_back(held_count);
  assert_int_equal(written(fd), 0);
  assert_error(sqcq_request_unnotify(rig.engine, notice), -ESTALE);

  fill_channel();
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, fd, &notice));
  assert_int_equal(written(fd), 0);
  take_one();
  assert_int_equal(written(fd), 1);
  take_all();
  assert_int_equal(written(fd), 0);

  fill_lanes();
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_LANES, 0, fd, &notice));
  assert_int_equal(written(fd), 0);
  assert_true(sqcq_engine_poll(rig.engine) >= 0);
  assert_int_equal(written(fd), 1);
  end_lanes();
  assert_int_equal(written(fd), 0);
  assert_int_equal(rig_stats(&rig).notices_fired, 3);
  close(fd);
}

static void notices_take_turns_and_all_are_told_of_room_for_all(void **state)
{
  sqcq_notice notices[NOTICES];
  int fds[NOTICES];
  uint64_t told = 0;

  empty_pool();
  for (uint32_t i = 0; i < NOTICES; i++) {
    fds[i] = make_eventfd();
    assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fds[i], &notices[i]));
  }
  give_back(1);
  for (uint32_t i = 0; i < NOTICES; i++)
    told += written(fds[i]);
  assert_int_equal(told, 1); /* one for one buffer */
  give_back(1);              /* room for both that are left: the first has not come for its own */
  for (uint32_t i = 0; i < NOTICES; i++) {
    told += written(fds[i]);
    assert_error(sqcq_request_unnotify(rig.engine, notices[i]), -ESTALE);
    close(fds[i]);
  }
  assert_int_equal(told, NOTICES);
  give_back(held_count);
}

/* Each sleeper and each notice is told, whatever the other kind does. */
static void notice_takes_no_wake_from_a_sleeper(void **state)
{
  struct producer producer;
  sqcq_notice notice;
  int fd = make_eventfd();

  empty_pool();
  for (int i = 0; i < 10; i++) {
    assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice));
    start_asleep(&producer, SQCQ_BOUND_POOL, rig.pool.id, SQCQ_FOREVER);
    give_back(1);
    assert_ok(finish(&producer));
    assert_int_equal(written(fd), 1);
    held[held_count++] = rig_buffer(&rig);
  }
  give_back(held_count);
  close(fd);
}

static void notice_taken_back_writes_nothing(void **state)
{
  sqcq_notice notice, second;
  int fd = make_eventfd();

  empty_pool();
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice));
  assert_ok(sqcq_request_unnotify(rig.engine, notice));
  assert_refused(&rig, sqcq_request_unnotify(rig.engine, notice), -ESTALE);
  /* The next one in its place is another one. */
  for (uint32_t i = 0; i < 2 * NOTICES; i++) {
    assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &second));
    assert_error(sqcq_request_unnotify(rig.engine, notice), -ESTALE);
    assert_ok(sqcq_request_unnotify(rig.engine, second));
  }
  give_back(held_count);
  assert_int_equal(written(fd), 0);
  assert_int_equal(rig_stats(&rig).notices_fired, 0);
  close(fd);
}

static void notice_outlives_the_descriptor_it_was_given(void **state)
{
  sqcq_notice notice;
  int fd = make_eventfd();
  int same = dup(fd);

  empty_pool();
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice));
  close(fd);
  int other = make_eventfd(); /* mostly by the same number */
  give_back(held_count);
  assert_int_equal(written(same), 1);
  assert_int_equal(written(other), 0);
  close(same);
  close(other);
}

static void notices_are_bounded(void **state)
{
  sqcq_notice notices[NOTICES], more = {77};
  int fd = make_eventfd();

  empty_pool();
  for (uint32_t i = 0; i < NOTICES; i++)
    assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notices[i]));
  assert_refused(&rig, sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &more),
                 -ENOSPC);
  assert_int_equal(more.id, 77);
  assert_ok(sqcq_request_unnotify(rig.engine, notices[1]));
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fd, &notices[1]));
  for (uint32_t i = 0; i < NOTICES; i++)
    assert_ok(sqcq_request_unnotify(rig.engine, notices[i]));
  give_back(held_count);
  close(fd);
}

static void notices_fire_at_the_end(void **state)
{
  struct sqcq_pool_config config = {.size = sizeof(config), .count = 1, .buffer_size = 64};
  sqcq_notice notices[2];
  sqcq_buffer buffer;
  sqcq_pool pool;
  int fds[2] = {make_eventfd(), make_eventfd()};

  assert_ok(sqcq_pool_create(rig.engine, &config, &pool));
  assert_count(sqcq_buffer_acquire(rig.engine, pool, &buffer, 1), 1);
  assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, pool.id, fds[0], &notices[0]));
  assert_count(sqcq_buffer_release(rig.engine, &buffer, 1), 1);
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
  assert_int_equal(written(fds[0]), 1);
  assert_error(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, pool.id, fds[0], &notices[0]),
               -ESTALE);

  fill_channel();
  for (int i = 0; i < 2; i++)
    assert_ok(
        sqcq_request_notify(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, fds[i], &notices[i]));
  assert_error(sqcq_channel_destroy(rig.engine, rig.channel), -EBUSY);
  assert_int_equal(written(fds[0]) + written(fds[1]), 2);
  assert_error(
      sqcq_request_notify(rig.engine, SQCQ_BOUND_CHANNEL, rig.channel.id, fds[0], &notices[0]),
      -EPIPE);
  take_all();

  empty_pool();
  for (int i = 0; i < 2; i++)
    assert_ok(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fds[i], &notices[i]));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_int_equal(written(fds[0]) + written(fds[1]), 2);
  assert_error(sqcq_request_notify(rig.engine, SQCQ_BOUND_POOL, rig.pool.id, fds[0], &notices[0]),
               -ESHUTDOWN);
  give_back(held_count);
  close(fds[0]);
  close(fds[1]);
}

/* ------------------------------------------------------------------------- */
/* Bad input                                                                 */
/* ------------------------------------------------------------------------- */

static void bad_input_is_refused(void **state)
{
  struct sqcq_engine *e = rig.engine;
  sqcq_notice notice = {77};
  int fd = make_eventfd(), ends[2];
  uint64_t foreign = rig.channel.id ^ 0x800, beyond = rig.channel.id | (uint64_t)0xfffff << 12;

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  empty_pool();
  assert_error(sqcq_request_wait(NULL, SQCQ_BOUND_LANES, 0, 0), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, 0, 0, 0), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, 99, 0, 0), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_LANES, 1, 0), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_LANES, 0, -2), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_CHANNEL, 0, 0), -EPIPE);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_CHANNEL, foreign, 0), -EINVAL);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_CHANNEL, beyond, 0), -EINVAL);
  assert_refused(&rig,
                 sqcq_request_wait(e, SQCQ_BOUND_CHANNEL, rig.channel.id + (UINT64_C(1) << 32), 0),
                 -EPIPE);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_POOL, 0, 0), -ESTALE);
  assert_refused(&rig, sqcq_request_wait(e, SQCQ_BOUND_POOL, rig.pool.id ^ 0x800, 0), -EINVAL);
  assert_refused(&rig,
                 sqcq_request_wait(e, SQCQ_BOUND_POOL, rig.pool.id + (UINT64_C(1) << 32), LONG),
                 -ESTALE);

  assert_error(sqcq_request_notify(NULL, SQCQ_BOUND_LANES, 0, fd, &notice), -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, 0, 0, fd, &notice), -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_POOL, rig.pool.id, fd, NULL), -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_POOL, rig.pool.id, -1, &notice), -EBADF);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_POOL, rig.pool.id, ends[1], &notice),
                 -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_POOL, rig.pool.id, rig.fd, &notice),
                 -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_CHANNEL, foreign, fd, &notice), -EINVAL);
  assert_refused(&rig, sqcq_request_notify(e, SQCQ_BOUND_CHANNEL, 0, fd, &notice), -EPIPE);
  assert_int_equal(notice.id, 77);
  assert_ok(sqcq_request_notify(e, SQCQ_BOUND_POOL, rig.pool.id, fd, &notice));
  assert_error(sqcq_request_unnotify(NULL, notice), -EINVAL);
  assert_refused(&rig, sqcq_request_unnotify(e, (sqcq_notice){0}), -ESTALE);
  assert_refused(&rig, sqcq_request_unnotify(e, (sqcq_notice){notice.id ^ 0x800}), -EINVAL);
  assert_refused(&rig, sqcq_request_unnotify(e, (sqcq_notice){notice.id | (uint64_t)0xfffff << 12}),
                 -EINVAL);
  assert_ok(sqcq_request_unnotify(e, notice));
  give_back(held_count);
  close(fd);
  close(ends[0]);
  close(ends[1]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(wait_with_room_returns_at_once),
      CASE(wait_without_room_ends_with_the_time),
      CASE(wait_for_a_pool_ends_with_a_release),
      CASE(wait_for_a_channel_ends_with_a_completion_taken),
      CASE(wait_for_a_channel_ends_with_a_refusal_of_another),
      CASE(wait_for_lanes_ends_with_a_turn),
      CASE(wait_for_lanes_that_are_held_lasts_a_moment),
      CASE(wait_by_the_io_thread_is_refused),
      CASE(closed_channel_wakes_every_producer),
      CASE(destroyed_pool_wakes_every_producer),
      CASE(stop_wakes_every_producer_without_a_turn),
      CASE(one_slot_at_a_time_wakes_few_of_a_hundred),
      CASE(room_for_all_reaches_all),
      CASE(room_in_lanes_reaches_all),
      CASE(wait_for_an_own_lane_ends_with_a_turn),
      CASE(wait_for_an_own_lane_ends_with_a_stop),
      CASE(notice_of_an_own_lane_fires_when_it_is_closed),
      CASE(notify_with_room_registers_nothing),
      CASE(notice_of_each_bound_fires_once),
      CASE(notices_take_turns_and_all_are_told_of_room_for_all),
      CASE(notice_takes_no_wake_from_a_sleeper),
      CASE(notice_taken_back_writes_nothing),
      CASE(notice_outlives_the_descriptor_it_was_given),
      CASE(notices_are_bounded),
      CASE(notices_fire_at_the_end),
      CASE(bad_input_is_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
