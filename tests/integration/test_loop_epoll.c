/*
 * Event loops on epoll: consumers, the I/O thread, and all roles on one loop; level- and
 * edge-triggered. Nothing here waits longer than until what it waits for is there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <poll.h>
#include <sys/epoll.h>

#define READS 400u
#define LIMIT_MS ((int)(TEST_SOON_NS / 1000000))

struct stage {
  struct rig rig;
  int epoll;
};

static struct stage stage;

static void make(uint32_t flags)
{
  struct sqcq_engine_config config = rig_config();

  config.flags = flags;
  rig_make_with(&stage.rig, &config, RIG_CAPACITY);
  stage.epoll = epoll_create1(EPOLL_CLOEXEC);
  assert_true(stage.epoll >= 0);
}

static void unmake(void)
{
  close(stage.epoll);
  rig_end(&stage.rig);
}

static int add(int epoll, int fd, uint32_t events)
{
  struct epoll_event event = {.events = EPOLLIN | events, .data = {.fd = fd}};

  return fd < 0 ? fd : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Sleep in the loop; which descriptor: -1 where the time has passed. A sleep that a completion of
 * the kernel's interrupts (before 6.1) counts as one for `otherwise`. */
static int sleep_in_loop(int epoll, int otherwise)
{
  struct epoll_event event = {.data = {.fd = -1}};
  int n = epoll_wait(epoll, &event, 1, LIMIT_MS);

  return n < 0 && errno == EINTR ? otherwise : n == 1 ? event.data.fd : -1;
}

static bool readable(int fd)
{
  struct pollfd watch = {.fd = fd, .events = POLLIN};

  return poll(&watch, 1, 0) == 1;
}

/* ------------------------------------------------------------------------- */
/* A consumer in a loop, the I/O thread in sqcq_engine_run()                 */
/* ------------------------------------------------------------------------- */

/* Take until it is armed. Returns how many, or the end of the stream. */
static int take_until_armed(uint32_t min)
{
  struct sqcq_completion out[4];
  int taken = 0, n, more;

  do {
    n = sqcq_channel_poll(stage.rig.engine, stage.rig.channel, out, 4);
    if (n < 0)
      return n;
    for (int i = 0; i < n; i++) {
      rig_check_page(&out[i]);
      rig_release(&stage.rig, out[i].buffer);
    }
    taken += n;
    more = sqcq_channel_arm(stage.rig.engine, stage.rig.channel, min);
    assert_true(more >= 0);
  } while (more > 0);
  return taken;
}

static void ask_pages(uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    struct sqcq_read read = rig_page(&stage.rig, i % RIG_PAGES);

    assert_ok(sqcq_request(stage.rig.engine, &read));
  }
}

static void consume_in_a_loop(uint32_t events, uint32_t min)
{
  struct io_thread io;
  uint32_t asked = 0, taken = 0;

  make(0);
  int fd = sqcq_channel_fd(stage.rig.engine, stage.rig.channel);
  assert_ok(add(stage.epoll, fd, events));
  io_thread_start(&io, stage.rig.engine);
  assert_count(take_until_armed(min), 0);
  while (taken < READS) {
    uint32_t count = asked - taken < 4 && asked < READS ? 4 : 0;

    ask_pages(count);
    asked += count;
    int woken = sleep_in_loop(stage.epoll, fd);
    assert_int_equal(woken, fd);
    int n = take_until_armed(min);
    assert_true(n >= 0);
    taken += (uint32_t)n;
  }
  assert_ok(sqcq_engine_stop(stage.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  while (sleep_in_loop(stage.epoll, fd) == fd) {
    int n = take_until_armed(min);

    if (n == -ESHUTDOWN)
      break;
    assert_count(n, 0);
  }
  assert_error(take_until_armed(min), -ESHUTDOWN);
  io_thread_join(&io);
  close(stage.epoll);
  rig_destroy(&stage.rig);
}

static void consumer_in_a_level_triggered_loop(void **state)
{
  consume_in_a_loop(0, 1);
  consume_in_a_loop(0, 3);
}

static void consumer_in_an_edge_triggered_loop(void **state)
{
  consume_in_a_loop(EPOLLET, 1);
  consume_in_a_loop(EPOLLET, 3);
}

/* ------------------------------------------------------------------------- */
/* The I/O thread in a loop                                                  */
/* ------------------------------------------------------------------------- */

struct looper {
  pthread_t thread;
  struct verdict verdict;
  int result;
};

static void *turn_in_a_loop(void *argument)
{
  struct looper *looper = argument;
  int fd = sqcq_engine_fd(stage.rig.engine);
  int n = 0;

  /* Armed before the first turn. */
  while (n >= 0) {
    int work = sqcq_engine_arm(stage.rig.engine);

    verdict_check(&looper->verdict, work >= 0 || work == -ESHUTDOWN);
    if (work == 0)
      verdict_check(&looper->verdict, sleep_in_loop(stage.epoll, fd) == fd);
    n = work < 0 ? work : sqcq_engine_poll(stage.rig.engine);
    if (verdict_is_bad(&looper->verdict))
      break;
  }
  looper->result = n;
  return NULL;
}

static void turn_while_others_ask(uint32_t flags, uint32_t events)
{
  struct sqcq_completion out;
  struct looper looper = {.result = 0};

  make(SQCQ_ENGINE_EVENT_LOOP | flags);
  /* Watched before the first turn, and before the first arm. */
  assert_ok(add(stage.epoll, sqcq_engine_fd(stage.rig.engine), events));
  assert_int_equal(pthread_create(&looper.thread, NULL, turn_in_a_loop, &looper), 0);
  for (uint32_t i = 0; i < READS; i++) {
    ask_pages(1);
    assert_count(sqcq_channel_wait(stage.rig.engine, stage.rig.channel, &out, 1, 1, TEST_SOON_NS),
                 1);
    rig_check_page(&out);
    rig_release(&stage.rig, out.buffer);
  }
  assert_ok(sqcq_engine_stop(stage.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_int_equal(pthread_join(looper.thread, NULL), 0);
  assert_verdict(&looper.verdict);
  assert_error(looper.result, -ESHUTDOWN);
  close(stage.epoll);
  rig_read_rest(&stage.rig, stage.rig.channel);
  rig_destroy(&stage.rig);
}

static void io_thread_in_a_loop(void **state)
{
  turn_while_others_ask(0, 0);
  turn_while_others_ask(0, EPOLLET);
}

static void io_thread_in_a_loop_on_other_rings(void **state)
{
  turn_while_others_ask(SQCQ_ENGINE_NO_DEFER, 0);
  turn_while_others_ask(SQCQ_ENGINE_NO_DEFER, EPOLLET);
  turn_while_others_ask(SQCQ_ENGINE_SQPOLL, 0);
}

/* ------------------------------------------------------------------------- */
/* All roles on one loop                                                     */
/* ------------------------------------------------------------------------- */

static void turn_until_armed(void)
{
  int n, work = 1;

  while (work > 0 && (n = sqcq_engine_poll(stage.rig.engine)) >= 0) {
    work = sqcq_engine_arm(stage.rig.engine);
    assert_true(work >= 0 || work == -ESHUTDOWN);
  }
}

static void play_all_roles(uint32_t flags, uint32_t events)
{
  uint32_t asked = 0, taken = 0;
  struct sqcq_completion out;
  sqcq_file pipe;
  int ends[2];

  make(SQCQ_ENGINE_EVENT_LOOP | flags);
  assert_ok(pipe2(ends, O_CLOEXEC));
  assert_ok(sqcq_file_add(stage.rig.engine, ends[0], &pipe));
  sqcq_channel lines = {0};
  struct sqcq_channel_config small = {.size = sizeof(small), .capacity = 2};
  assert_ok(sqcq_channel_create(stage.rig.engine, &small, &lines));
  int engine_fd = sqcq_engine_fd(stage.rig.engine);
  int channel_fd = sqcq_channel_fd(stage.rig.engine, stage.rig.channel);
  int lines_fd = sqcq_channel_fd(stage.rig.engine, lines);
  assert_ok(add(stage.epoll, engine_fd, events));
  assert_ok(add(stage.epoll, channel_fd, events));
  assert_ok(add(stage.epoll, lines_fd, events));
  rig_request_stream(&stage.rig, lines, pipe, 1);
  assert_count(sqcq_channel_arm(stage.rig.engine, lines, 1), 0);
  assert_count(take_until_armed(1), 0);
  turn_until_armed();
  assert_false(readable(lines_fd));
  while (taken < READS) {
    if (asked - taken < 4 && asked < READS) {
      ask_pages(4);
      asked += 4;
    }
    int woken = sleep_in_loop(stage.epoll, engine_fd);
    assert_true(woken == engine_fd || woken == channel_fd);
    if (woken == channel_fd)
      taken += (uint32_t)take_until_armed(1);
    turn_until_armed(); /* before each sleep */
  }
  /* The kernel alone wakes the loop: for a byte in the pipe. */
  assert_int_equal(write(ends[1], "x", 1), 1);
  while (!readable(lines_fd)) {
    int woken = sleep_in_loop(stage.epoll, engine_fd);

    assert_true(woken >= 0);
    turn_until_armed();
  }
  assert_count(sqcq_channel_poll(stage.rig.engine, lines, &out, 1), 1);
  assert_int_equal(out.result, 1);
  rig_release(&stage.rig, out.buffer);
  assert_ok(sqcq_channel_destroy(stage.rig.engine, lines));
  turn_until_armed();
  close(ends[0]);
  close(ends[1]);
  unmake();
}

static void all_roles_on_one_loop(void **state)
{
  play_all_roles(0, 0);
  play_all_roles(0, EPOLLET);
  play_all_roles(SQCQ_ENGINE_NO_DEFER, 0);
  play_all_roles(SQCQ_ENGINE_NO_DEFER, EPOLLET);
}

/* ------------------------------------------------------------------------- */
/* Times, and silence                                                        */
/* ------------------------------------------------------------------------- */

static void stop_with_a_limit_ends_the_sleep(void **state)
{
  static const uint32_t flags[] = {0, SQCQ_ENGINE_NO_DEFER, SQCQ_ENGINE_SQPOLL};

  for (size_t i = 0; i < 3; i++) {
    struct sqcq_completion out;
    sqcq_file pipe;
    int ends[2];

    make(SQCQ_ENGINE_EVENT_LOOP | flags[i]);
    assert_ok(pipe2(ends, O_CLOEXEC));
    assert_ok(sqcq_file_add(stage.rig.engine, ends[0], &pipe));
    int fd = sqcq_engine_fd(stage.rig.engine);
    assert_ok(add(stage.epoll, fd, 0));
    rig_request_stream(&stage.rig, stage.rig.channel, pipe, 1);
    turn_until_armed();
    assert_ok(sqcq_engine_stop(stage.rig.engine, SQCQ_STOP_DRAIN, 20 * MS));
    while (sqcq__phase(stage.rig.engine) != SQCQ__PHASE_STOPPED) {
      assert_int_equal(sleep_in_loop(stage.epoll, fd), fd);
      turn_until_armed();
    }
    assert_count(sqcq_channel_poll(stage.rig.engine, stage.rig.channel, &out, 1), 1);
    assert_true(out.result == -ECANCELED || out.result == -EINTR);
    assert_int_equal(out.flags, SQCQ_COMPLETION_STOPPED);
    rig_release(&stage.rig, out.buffer);
    close(ends[0]);
    close(ends[1]);
    unmake();
  }
}

static void nothing_is_written_while_not_armed(void **state)
{
  struct sqcq_completion out[4];

  make(SQCQ_ENGINE_EVENT_LOOP);
  int fd = sqcq_engine_fd(stage.rig.engine);
  int channel_fd = sqcq_channel_fd(stage.rig.engine, stage.rig.channel);
  turn_until_armed();
  assert_count(sqcq_channel_arm(stage.rig.engine, stage.rig.channel, 1), 0);
  assert_count(sqcq_engine_poll(stage.rig.engine), 0); /* both are taken back */
  assert_count(sqcq_channel_poll(stage.rig.engine, stage.rig.channel, out, 4), 0);
  for (int i = 0; i < 20; i++) {
    uint32_t taken = 0;

    ask_pages(4);
    while (taken < 4) {
      assert_true(sqcq_engine_poll(stage.rig.engine) >= 0);
      int n = sqcq_channel_poll(stage.rig.engine, stage.rig.channel, out + taken, 4 - taken);
      assert_true(n >= 0);
      taken += (uint32_t)n;
    }
    for (int j = 0; j < 4; j++)
      rig_release(&stage.rig, out[j].buffer);
    assert_false(readable(fd) || readable(channel_fd));
  }
  assert_int_equal(rig_stats(&stage.rig).io_wakes, 0);
  assert_int_equal(rig_stats(&stage.rig).consumer_wakes, 0);
  unmake();
}

static void engine_never_turned_is_destroyed(void **state)
{
  make(SQCQ_ENGINE_EVENT_LOOP);
  assert_ok(add(stage.epoll, sqcq_engine_fd(stage.rig.engine), 0));
  close(stage.epoll);
  rig_destroy(&stage.rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(consumer_in_a_level_triggered_loop),
      cmocka_unit_test(consumer_in_an_edge_triggered_loop),
      cmocka_unit_test(io_thread_in_a_loop),
      cmocka_unit_test(io_thread_in_a_loop_on_other_rings),
      cmocka_unit_test(all_roles_on_one_loop),
      cmocka_unit_test(stop_with_a_limit_ends_the_sleep),
      cmocka_unit_test(nothing_is_written_while_not_armed),
      cmocka_unit_test(engine_never_turned_is_destroyed),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
