/*
 * Slots for open files. Doorway P <-> C.
 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

int slots_init(struct slots *slots, uint32_t count, struct sqcq_engine *engine, sqcq_pool pool)
{
  *slots = (struct slots){.count = count};
  pthread_mutex_init(&slots->lock, NULL);
  pthread_cond_init(&slots->room, NULL);
  slots->all = calloc(count, sizeof(struct slot));
  slots->free = calloc(count, sizeof(uint32_t));
  if (slots->all == NULL || slots->free == NULL)
    return -ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    struct slot *slot = &slots->all[i];
    int got = sqcq_buffer_acquire(engine, pool, &slot->own, 1);

    if (got < 0)
      return got;
    slot->index = i;
    slot->hash = XXH3_createState();
    if (slot->hash == NULL)
      return -ENOMEM;
    slots->free[i] = count - 1 - i; /* the first slots come first */
  }
  slots->free_count = count;
  return 0;
}

void slots_fini(struct slots *slots, struct sqcq_engine *engine)
{
  for (uint32_t i = 0; i < slots->count; i++) {
    (void)!sqcq_buffer_release(engine, &slots->all[i].own, 1);
    XXH3_freeState(slots->all[i].hash);
  }
  free(slots->all);
  free(slots->free);
}

uint32_t slots_take(struct slots *slots, struct slot **taken, uint32_t max)
{
  uint32_t n = 0;

  pthread_mutex_lock(&slots->lock);
  while (slots->free_count == 0 && !slots->stopping) {
    /* Woken for several, not for each one: a wake-up costs more than the file. */
    if (slots->enough < max)
      slots->enough = max;
    slots->waiting++;
    slots->sleeps++;
    pthread_cond_wait(&slots->room, &slots->lock);
    slots->waiting--;
    if (slots->waiting == 0)
      slots->enough = 0;
  }
  while (!slots->stopping && n < max && slots->free_count > 0)
    taken[n++] = &slots->all[slots->free[--slots->free_count]];
  pthread_mutex_unlock(&slots->lock);
  return n;
}

void slots_give(struct slots *slots, struct slot *const *given, uint32_t count, bool idle)
{
  bool wake;

  if (count == 0 && !idle)
    return;
  pthread_mutex_lock(&slots->lock);
  for (uint32_t i = 0; i < count; i++)
    slots->free[slots->free_count++] = given[i]->index;
  wake = slots->waiting > 0 && slots->free_count >= (idle ? 1 : slots->enough);
  pthread_mutex_unlock(&slots->lock);
  if (wake)
    pthread_cond_broadcast(&slots->room);
}

void slots_stop(struct slots *slots)
{
  pthread_mutex_lock(&slots->lock);
  slots->stopping = true;
  pthread_mutex_unlock(&slots->lock);
  pthread_cond_broadcast(&slots->room);
}

bool slots_idle(struct slots *slots)
{
  pthread_mutex_lock(&slots->lock);
  bool idle = slots->free_count == slots->count;
  pthread_mutex_unlock(&slots->lock);
  return idle;
}
