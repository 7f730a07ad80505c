/* sqcq-test: simulated */
/*
 * Planted: the last turn says STOPPED without release, so a consumer that finds the end may not see what the I/O
 * thread did before. ThreadSanitizer has to say so.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/probe.h"
#include "engine/prep.h"

#ifndef WITHOUT_FAULT
#undef sqcq__store_release
#define sqcq__store_release sqcq__store_relaxed
#endif

#include "engine/turn.c"

#include "tsan/pair.h"

#include <sched.h>

static struct sqcq_engine *engine;
static sqcq_channel channel;
static uint32_t before; /* plain: the end of the stream comes after it */

static void *turn(void *arg)
{
  if (sqcq_engine_poll(engine) != 0 || /* which says RUNNING, with release */
      sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER) != 0)
    abort();
  do
    before++;
  while (sqcq_engine_poll(engine) != -ESHUTDOWN);
  return arg;
}

static void *consume(void *arg)
{
  struct sqcq_completion completion;

  while (sqcq_channel_poll(engine, channel, &completion, 1) != -ESHUTDOWN)
    (void)sched_yield();
  if (before == 0)
    abort();
  return arg;
}

int main(void)
{
  if (sqcq_engine_create(&engine, NULL, NULL) != 0 ||
      sqcq_channel_create(engine, NULL, &channel) != 0)
    return 1;
  pair_run(turn, consume);
  return sqcq_engine_destroy(engine, NULL) != 0;
}
