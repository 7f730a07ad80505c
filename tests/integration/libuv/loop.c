/*
 * Producers, the I/O thread and consumers as callbacks of one libuv loop on one thread. The engine is
 * armed in a prepare callback, which libuv runs right before it sleeps; where there is work an idle
 * handle keeps it from sleeping.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <uv.h>

#define READS 600u
#define CHANNELS 2u

struct consumer {
  uv_poll_t poll;
  sqcq_channel channel;
  uint32_t asked, taken;
  bool over;
};

struct stage {
  struct rig rig;
  uv_loop_t loop;
  uv_poll_t engine;
  uv_prepare_t prepare; /* before the loop sleeps */
  uv_idle_t busy;       /* active: it does not sleep */
  uv_timer_t timer;     /* asks first */
  struct consumer consumers[CHANNELS];
  uint32_t sleeps;
  int stopped;
};

static struct stage stage;

static void ask(struct consumer *consumer, uint32_t count)
{
  while (count-- > 0 && consumer->asked < READS) {
    struct sqcq_read read = rig_page(&stage.rig, consumer->asked % RIG_PAGES);

    read.channel = consumer->channel;
    assert_ok(sqcq_request(stage.rig.engine, &read));
    consumer->asked++;
  }
}

/* ------------------------------------------------------------------------- */
/* Callbacks                                                                 */
/* ------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *handle)
{
  (void)handle;
}

static void turn(void)
{
  int n = sqcq_engine_poll(stage.rig.engine);

  assert_true(n >= 0 || n == -ESHUTDOWN);
  stage.stopped = n < 0;
}

static void on_engine(uv_poll_t *handle, int status, int events)
{
  (void)handle;
  assert_int_equal(status, 0);
  assert_int_equal(events, UV_READABLE);
  turn();
}

/* Take what is there, ask for as much again, and arm. */
static void consume(struct consumer *consumer)
{
  struct sqcq_completion out[4];

  do {
    int n = sqcq_channel_poll(stage.rig.engine, consumer->channel, out, 4);

    if (n == -ESHUTDOWN) {
      consumer->over = true;
      uv_poll_stop(&consumer->poll);
      return;
    }
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
      rig_check_page(&out[i]);
      rig_release(&stage.rig, out[i].buffer);
    }
    consumer->taken += (uint32_t)n;
    ask(consumer, (uint32_t)n);
  } while (sqcq_channel_arm(stage.rig.engine, consumer->channel, 1) > 0);
}

static void on_channel(uv_poll_t *handle, int status, int events)
{
  assert_int_equal(status, 0);
  assert_int_equal(events, UV_READABLE);
  consume(handle->data);
  for (uint32_t i = 0; i < CHANNELS; i++)
    if (stage.consumers[i].taken < READS)
      return;
  if (stage.stopped == 0)
    (void)sqcq_engine_stop(stage.rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
}

static void on_timer(uv_timer_t *timer)
{
  uv_timer_stop(timer);
  for (uint32_t i = 0; i < CHANNELS; i++)
    ask(&stage.consumers[i], 4);
}

static void on_prepare(uv_prepare_t *handle)
{
  int work = stage.stopped ? -ESHUTDOWN : sqcq_engine_arm(stage.rig.engine);

  if (work > 0) {
    turn();
    uv_idle_start(&stage.busy, on_idle);
    return;
  }
  uv_idle_stop(&stage.busy);
  if (work == 0) {
    if (stage.sleeps++ == 0) /* nothing was asked yet: the first sleep is a real one */
      assert_ok(uv_timer_start(&stage.timer, on_timer, 1, 0));
    return;
  }
  assert_error(work, -ESHUTDOWN);
  uv_poll_stop(&stage.engine);
  uv_prepare_stop(handle);
}

/* ------------------------------------------------------------------------- */

static void close_all(uv_handle_t *handle, void *argument)
{
  (void)argument;
  uv_close(handle, NULL);
}

static void make(uint32_t flags)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = 8};

  memset(&stage, 0, sizeof(stage));
  config.flags = SQCQ_ENGINE_EVENT_LOOP | flags;
  rig_make_with(&stage.rig, &config, 8);
  assert_ok(uv_loop_init(&stage.loop));
  assert_ok(uv_poll_init(&stage.loop, &stage.engine, sqcq_engine_fd(stage.rig.engine)));
  assert_ok(uv_poll_start(&stage.engine, UV_READABLE, on_engine));
  assert_ok(uv_prepare_init(&stage.loop, &stage.prepare));
  assert_ok(uv_prepare_start(&stage.prepare, on_prepare));
  assert_ok(uv_idle_init(&stage.loop, &stage.busy));
  assert_ok(uv_timer_init(&stage.loop, &stage.timer));
  for (uint32_t i = 0; i < CHANNELS; i++) {
    struct consumer *consumer = &stage.consumers[i];

    consumer->channel = stage.rig.channel;
    if (i > 0)
      assert_ok(sqcq_channel_create(stage.rig.engine, &channel, &consumer->channel));
    int fd = sqcq_channel_fd(stage.rig.engine, consumer->channel);
    assert_ok(uv_poll_init(&stage.loop, &consumer->poll, fd));
    consumer->poll.data = consumer;
    assert_ok(uv_poll_start(&consumer->poll, UV_READABLE, on_channel));
    assert_count(sqcq_channel_arm(stage.rig.engine, consumer->channel, 1), 0);
  }
}

static void play(uint32_t flags)
{
  make(flags);
  assert_ok(uv_run(&stage.loop, UV_RUN_DEFAULT)); /* until no handle is active */
  for (uint32_t i = 0; i < CHANNELS; i++) {
    assert_int_equal(stage.consumers[i].taken, READS);
    assert_true(stage.consumers[i].over);
  }
  assert_true(stage.sleeps > 0);
  assert_true(stage.stopped);
  uv_walk(&stage.loop, close_all, NULL);
  assert_ok(uv_run(&stage.loop, UV_RUN_DEFAULT));
  assert_ok(uv_loop_close(&stage.loop));
  rig_destroy(&stage.rig);
}

static void all_roles_on_one_libuv_loop(void **state)
{
  (void)state;
  play(0);
  play(SQCQ_ENGINE_NO_DEFER);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_roles_on_one_libuv_loop),
  };

  require_io_uring();
  /* libuv keeps descriptors of its own from the first loop on. */
  assert_ok(uv_loop_init(&stage.loop));
  assert_ok(uv_loop_close(&stage.loop));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
