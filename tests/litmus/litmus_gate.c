/*
 * pair(gate): the producer of an own lane says that it is inside, then looks whether the lane is closed; the
 * stopping I/O thread closes it, then looks whether somebody is inside. A round is lost where the producer has
 * gone in, and the lane counts as drained for good.
 */
#include "mpsc/own.h"

#include "litmus/litmus.h"

static struct sqcq__own own;
static uint64_t handle;
static bool inside;  /* sleeper only */
static bool stopped; /* waker only */

static void reset(void)
{
  own.lanes[0].taken = false;
  own.closed = false;
  own.taken = 0;
  sqcq__store_relaxed(&own.lanes[0].closed, 0);
}

static void look(void)
{
  (void)sqcq__load_acquire(&own.lanes[0].lane.claim);
}

static void enter(void)
{
  struct sqcq__own_lane *lane;

  inside = sqcq__own_enter(&own, handle, &lane) == 0;
}

static void stop(void)
{
  stopped = sqcq__own_stop(&own);
}

static bool lost(void)
{
  if (inside)
    sqcq__own_leave(&own.lanes[0]);
  return inside && stopped;
}

static void stop_against_a_producer_that_goes_in(void **state)
{
  assert_ok(sqcq__own_init(&own, 1, 2, 1));
  assert_ok(sqcq__own_open(&own, &handle));
  litmus_run(&(struct litmus){reset, look, stop, enter, lost});
  sqcq__own_fini(&own);
}

LITMUS_MAIN(cmocka_unit_test(stop_against_a_producer_that_goes_in))
