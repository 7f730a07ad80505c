#include "engine/timers.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>

int sqcq__timers_init(struct sqcq__timers *timers, uint32_t slots)
{
  *timers = (struct sqcq__timers){.capacity = slots};
  timers->heap = sqcq__mem_new(slots, sizeof(*timers->heap));
  timers->places = sqcq__mem_new(slots, sizeof(*timers->places));
  return timers->heap == NULL || timers->places == NULL ? -ENOMEM : 0;
}

void sqcq__timers_fini(struct sqcq__timers *timers)
{
  sqcq__mem_free(timers->heap);
  sqcq__mem_free(timers->places);
}

static void put(struct sqcq__timers *timers, uint32_t at, struct sqcq__timer timer)
{
  timers->heap[at] = timer;
  timers->places[timer.slot] = at + 1;
}

/* The place `at` is to be filled with this one: towards the top, where it is earlier than what is
 * there. */
static void rise(struct sqcq__timers *timers, uint32_t at, struct sqcq__timer timer)
{
  while (at > 0) {
    uint32_t above = (at - 1) / 2;

    if (timers->heap[above].deadline_ns <= timer.deadline_ns)
      break;
    put(timers, at, timers->heap[above]);
    at = above;
  }
  put(timers, at, timer);
}

/* Likewise, away from the top. */
static void sink(struct sqcq__timers *timers, uint32_t at, struct sqcq__timer timer)
{
  for (;;) {
    uint32_t below = 2 * at + 1;

    if (below >= timers->count)
      break;
    if (below + 1 < timers->count &&
        timers->heap[below + 1].deadline_ns < timers->heap[below].deadline_ns)
      below++;
    if (timers->heap[below].deadline_ns >= timer.deadline_ns)
      break;
    put(timers, at, timers->heap[below]);
    at = below;
  }
  put(timers, at, timer);
}

void sqcq__timers_add(struct sqcq__timers *timers, uint32_t slot, int64_t deadline_ns)
{
  SQCQ_ASSERT(slot < timers->capacity && timers->places[slot] == 0);
  rise(timers, timers->count++, (struct sqcq__timer){.deadline_ns = deadline_ns, .slot = slot});
}

void sqcq__timers_remove(struct sqcq__timers *timers, uint32_t slot)
{
  SQCQ_ASSERT(slot < timers->capacity);
  if (timers->places[slot] == 0)
    return;
  uint32_t at = timers->places[slot] - 1;
  struct sqcq__timer last = timers->heap[--timers->count];

  timers->places[slot] = 0;
  if (at == timers->count)
    return;
  if (at > 0 && timers->heap[(at - 1) / 2].deadline_ns > last.deadline_ns)
    rise(timers, at, last);
  else
    sink(timers, at, last);
}

bool sqcq__timers_expire(struct sqcq__timers *timers, int64_t now, uint32_t *slot)
{
  if (sqcq__timers_next(timers, now) != 0)
    return false;
  *slot = timers->heap[0].slot;
  sqcq__timers_remove(timers, *slot);
  return true;
}
