/*
 * pair(sleep): producers publish a request or a control word, then look whether the I/O thread has announced its
 * sleep; it announces it, then looks at all that can be published.
 */
#include "engine/engine.h"

#include "litmus/litmus.h"

static struct sqcq_engine engine;
static uint64_t handle;
static struct sqcq__lane *lane; /* waker only, both */
static struct sqcq__own_lane *own_lane;
static uint64_t wakes_before; /* sleeper only, both */
static bool sleeps;

static void reset(void)
{
  sqcq__sleeper_clear(&engine.sleeper);
  sqcq__sleeper_reset(&engine.sleeper);
  (void)sqcq__control_take(&engine.control);
  (void)sqcq__lanes_take_work(&engine.lanes);
  (void)sqcq__own_take_work(&engine.own);
  sqcq__lane_give_back(&engine.lanes.lanes[0], sqcq__lane_ready(&engine.lanes.lanes[0]));
  sqcq__lane_give_back(&engine.own.lanes[0].lane, sqcq__lane_ready(&engine.own.lanes[0].lane));
  wakes_before = sqcq__load_relaxed(&engine.sleeper.wakes);
}

static void announce_and_look(void)
{
  sqcq__sleeper_announce(&engine.sleeper);
  sleeps = !sqcq__published(&engine);
}

static bool lost(void)
{
  return sleeps && sqcq__load_relaxed(&engine.sleeper.wakes) == wakes_before;
}

static void look(void)
{
  (void)sqcq__load_acquire(&engine.sleeper.asleep);
}

static void claim_lane(void)
{
  uint32_t tried = 0;

  lane = sqcq__lanes_claim(&engine.lanes, &tried);
  sqcq__lane_reserve(lane)->user_data = 1;
  sqcq__lane_fill(lane);
  look();
}

static void request(void)
{
  sqcq__lanes_publish(&engine.lanes, lane);
  sqcq__sleeper_wake(&engine.sleeper);
}

static void enter_own_lane(void)
{
  if (sqcq__own_enter(&engine.own, handle, &own_lane) < 0)
    crowd_fail(crowd_me, "no own lane");
  sqcq__lane_reserve(&own_lane->lane)->user_data = 1;
  sqcq__lane_fill(&own_lane->lane);
  look();
}

static void request_on_own_lane(void)
{
  sqcq__own_publish(&engine.own, own_lane);
  sqcq__own_leave(own_lane);
  sqcq__sleeper_wake(&engine.sleeper);
}

static void post(void)
{
  sqcq__control_post(&engine.control, SQCQ__CONTROL_REMOVE);
  sqcq__sleeper_wake(&engine.sleeper);
}

static void run(void (*prepare)(void), void (*waker)(void))
{
  memset(&engine, 0, sizeof(engine));
  assert_ok(sqcq__lanes_init(&engine.lanes, 1, 2));
  assert_ok(sqcq__own_init(&engine.own, 1, 2, 1));
  assert_ok(sqcq__own_open(&engine.own, &handle));
  assert_ok(sqcq__sleeper_init(&engine.sleeper));
  litmus_run(&(struct litmus){reset, prepare, waker, announce_and_look, lost});
  sqcq__sleeper_fini(&engine.sleeper);
  sqcq__own_fini(&engine.own);
  sqcq__lanes_fini(&engine.lanes);
}

static void request_against_the_io_threads_sleep(void **state)
{
  run(claim_lane, request);
}

static void request_on_own_lane_against_the_io_threads_sleep(void **state)
{
  run(enter_own_lane, request_on_own_lane);
}

static void control_word_against_the_io_threads_sleep(void **state)
{
  run(look, post);
}

LITMUS_MAIN(cmocka_unit_test(request_against_the_io_threads_sleep),
            cmocka_unit_test(request_on_own_lane_against_the_io_threads_sleep),
            cmocka_unit_test(control_word_against_the_io_threads_sleep))
