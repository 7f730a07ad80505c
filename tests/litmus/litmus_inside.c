/*
 * pair(inside): a consumer counts itself in, then looks whether its channel is still there; who destroys the
 * channel says so, then looks whether somebody is inside. A round is lost where the consumer has gone in and
 * the channel goes to the next one.
 */
#include "engine/engine.h"

#include "litmus/litmus.h"

static struct sqcq_engine engine;
static struct sqcq__channel channel;
static uint64_t handle;
static bool inside;    /* sleeper only */
static bool destroyed; /* waker only */

static void reset(void)
{
  sqcq__store_relaxed(&channel.credit.word, sqcq__word(1, 0));
  sqcq__store_relaxed(&engine.control.retired, 0);
  (void)sqcq__control_take(&engine.control);
}

static void look(void)
{
  (void)sqcq__load_acquire(&channel.waiter.inside);
}

static void enter(void)
{
  inside = sqcq__channel_enter(&engine, handle) != NULL;
}

static void destroy(void)
{
  destroyed = sqcq__channel_destroy(&engine, handle) == 0;
}

static bool lost(void)
{
  if (inside)
    sqcq__channel_leave(&channel);
  return inside && destroyed;
}

static void destroy_against_a_consumer_that_goes_in(void **state)
{
  engine.channels = &channel;
  engine.tag = 1;
  sqcq__store_relaxed(&engine.phase, SQCQ__PHASE_RUNNING);
  handle = sqcq__handle(1, 0, engine.tag);
  litmus_run(&(struct litmus){reset, look, destroy, enter, lost});
}

LITMUS_MAIN(cmocka_unit_test(destroy_against_a_consumer_that_goes_in))
