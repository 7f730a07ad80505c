/*
 * Planted: a consumer leaves its channel without release, so the one that destroys it may look at its fields
 * while it still writes them. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__sub_acq_rel
#define sqcq__sub_acq_rel(p, v) sqcq__add_relaxed((p), 0u - (v))
#endif

#include "engine/channels.c"

#include "tsan/pair.h"

#include <sched.h>

static struct sqcq_engine engine;
static struct sqcq__channel channel;
static _Atomic uint32_t inside; /* relaxed, both: orders nothing */

static void *consume(void *arg)
{
  struct sqcq__channel *mine = sqcq__channel_enter(&engine, sqcq__handle(1, 0, 1));

  if (mine == NULL)
    abort();
  sqcq__store_relaxed(&inside, 1);
  mine->waiter.armed = false; /* the consumer's own */
  sqcq__channel_leave(mine);
  return arg;
}

static void *destroy(void *arg)
{
  while (sqcq__load_relaxed(&inside) == 0 ||
         begin_retiring(&channel, sqcq__handle(1, 0, 1)) == -EBUSY)
    (void)sched_yield();
  return arg;
}

int main(void)
{
  engine.channels = &channel;
  sqcq__store_relaxed(&channel.credit.word, sqcq__word(1, SQCQ__CREDIT_CLOSED));
  pair_run(consume, destroy);
  return 0;
}
