/*
 * A watchdog for a world: a round that takes too long is a hang, and ends the program with all that
 * can be said about it.
 */
#ifndef SQCQ_TESTS_STRESS_WORLD_WATCH_H
#define SQCQ_TESTS_STRESS_WORLD_WATCH_H

#include "stress/world.h"

#include <stdio.h>

#define WATCH_SECONDS (CROWD_SHRINK == 1 ? 60u : 240u)

static inline void say_state(void)
{
  struct sqcq_engine *engine = world.engine;
  struct sqcq_stats s;

  if (engine == NULL || sqcq_engine_stats(engine, &s, sizeof(s)) != 0)
    return;
#define SAY(field) dprintf(2, "  %s %llu\n", #field, (unsigned long long)s.field)
  SAY(accepted);
  SAY(submitted);
  SAY(completed);
  SAY(unsubmitted);
  SAY(inflight);
  SAY(waiting);
  SAY(turns);
  SAY(enters);
  SAY(sleeps);
  SAY(io_wakes);
  SAY(consumer_sleeps);
  SAY(consumer_wakes);
  SAY(files_retired);
  SAY(cq_overflow);
#undef SAY
  dprintf(2, "  asleep %llu woken %llu work %#llx control %#x stopping %u phase %u\n",
          (unsigned long long)sqcq__load_relaxed(&engine->sleeper.asleep),
          (unsigned long long)sqcq__load_relaxed(&engine->sleeper.woken),
          (unsigned long long)sqcq__load_relaxed(&engine->lanes.work),
          sqcq__load_relaxed(&engine->control.bits), sqcq__load_relaxed(&engine->control.stopping),
          sqcq__load_relaxed(&engine->phase));
  for (uint32_t i = 0; i < engine->config.user.channels_max; i++)
    dprintf(2, "  channel %u: word %#llx, %u unread, wants %u\n", i,
            (unsigned long long)sqcq__load_relaxed(&engine->channels[i].credit.word),
            sqcq__channel_unread(&engine->channels[i]),
            sqcq__load_relaxed(&engine->channels[i].waiter.want));
  for (uint32_t i = 0; i < crowd.count; i++)
    dprintf(2, "  thread %u: progress %u%s\n", i, atomic_load(&crowd.members[i].progress),
            atomic_load(&crowd.members[i].finished) ? ", finished" : "");
}

static inline void on_alarm(int number)
{
  (void)number;
  dprintf(2, "stress: round %llu hangs\n", (unsigned long long)world.round);
  say_state();
  abort();
}

/* Begin to watch; again for each round. */
static inline void watch(void)
{
  (void)signal(SIGALRM, on_alarm);
  (void)alarm(WATCH_SECONDS);
}

#endif
