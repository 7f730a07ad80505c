/*
 * Planted: whoever has fired a notice lets go of it without release, so its next owner may write the descriptor
 * that it still closes. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__store_seq
#define sqcq__store_seq sqcq__store_relaxed
#endif

#include "dispatch/room.c"

#include "tsan/pair.h"

#include <sched.h>
#include <stdlib.h>

#define NOTICES 500u

static struct sqcq__rooms rooms;
static struct sqcq__room room;
static _Atomic uint32_t armed; /* relaxed, both: orders nothing */

static void *arm(void *arg)
{
  uint32_t generation;

  for (uint32_t i = 1; i <= NOTICES; i++) {
    int index = sqcq__notice_make(&rooms, &generation);

    if (index < 0) {
      i--;
      (void)sched_yield();
      continue;
    }
    sqcq__notice_arm(&rooms, (uint32_t)index, &room, -1); /* nothing to write to or to close */
    sqcq__store_relaxed(&armed, i);
  }
  return arg;
}

static void *give(void *arg)
{
  while (sqcq__load_relaxed(&rooms.fired) < NOTICES) {
    if (sqcq__load_relaxed(&armed) > sqcq__load_relaxed(&rooms.fired))
      sqcq__room_given(&rooms, &room, 1, 1, 8);
    (void)sched_yield();
  }
  return arg;
}

int main(void)
{
  if (sqcq__rooms_init(&rooms, 1) != 0)
    return 1;
  pair_run(arm, give);
  sqcq__rooms_fini(&rooms);
  return 0;
}
