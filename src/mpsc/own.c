#include "mpsc/own.h"

#include "base/mem.h"

#include <stddef.h>

int sqcq__own_init(struct sqcq__own *own, uint32_t count, uint32_t slots, uint32_t tag)
{
  own->lanes = NULL;
  own->count = 0;
  own->tag = tag;
  own->closed = false;
  own->taken = 0;
  sqcq__store_relaxed(&own->work, 0); /* relaxed: nobody else is here yet */
  sqcq__freelist_init(&own->free, NULL, 0);
  if (count == 0)
    return 0;
  own->lanes = sqcq__mem_new(count, sizeof(*own->lanes));
  if (own->lanes == NULL)
    return -ENOMEM;
  for (; own->count < count; own->count++) {
    struct sqcq__lane *lane = &own->lanes[own->count].lane;

    lane->slots = sqcq__mem_new(slots, sizeof(*lane->slots));
    if (lane->slots == NULL)
      return -ENOMEM;
    sqcq__spsc_init(&lane->ring, slots);
  }
  sqcq__freelist_init(&own->free, &own->lanes[0].link, sizeof(own->lanes[0]));
  for (uint32_t i = count; i-- > 0;) /* the first ones on top: a bit of `work` for each of 64 */
    sqcq__freelist_put(&own->free, &i, 1);
  return 0;
}

void sqcq__own_fini(struct sqcq__own *own)
{
  for (uint32_t i = 0; i < own->count; i++)
    sqcq__mem_free(own->lanes[i].lane.slots);
  sqcq__mem_free(own->lanes);
  own->lanes = NULL;
  own->count = 0;
}

int sqcq__own_open(struct sqcq__own *own, uint64_t *handle)
{
  uint32_t index;

  if (sqcq__freelist_take(&own->free, &index, 1) == 0)
    return -ENOSPC;
  struct sqcq__own_lane *lane = &own->lanes[index];
  /* relaxed: ours alone, and it came with the index */
  uint32_t generation =
      sqcq__generation_after(sqcq__word_generation(sqcq__load_relaxed(&lane->word)));
  sqcq__store_release(&lane->word, sqcq__word(generation, SQCQ__OWN_OPEN)); /* pair(own) release */
  *handle = sqcq__handle(generation, index, own->tag);
  return 0;
}

int sqcq__own_close(struct sqcq__own *own, uint64_t handle)
{
  uint32_t generation = sqcq__handle_generation(handle);
  uint64_t expected = sqcq__word(generation, SQCQ__OWN_OPEN);
  struct sqcq__own_lane *lane;
  int error = sqcq__own_find(own, handle, &lane);

  if (error < 0)
    return error;
  /* By CAS: of two closers one is the first. pair(own) acq_rel */
  if (!sqcq__cas_acq_rel(&lane->word, &expected, sqcq__word(generation, SQCQ__OWN_FREE)))
    return -EBADFD;
  /* relaxed: a request at the same time is the caller's mistake, as are two */
  SQCQ_ASSERT(sqcq__load_relaxed(&lane->lane.claim) == SQCQ__CLAIM_FREE);
  uint32_t index = sqcq__handle_index(handle);
  sqcq__freelist_put(&own->free, &index, 1); /* pair(freelist): the ring goes with it */
  return 0;
}

bool sqcq__own_stop(struct sqcq__own *own)
{
  for (uint32_t i = 0; i < own->count && !own->closed; i++)
    sqcq__store_seq(&own->lanes[i].closed, 1); /* pair(gate) announce */
  own->closed = true;
  for (uint32_t i = 0; i < own->count && own->taken < own->count; i++) {
    struct sqcq__own_lane *lane = &own->lanes[i];

    /* pair(gate) look again; pair(gate-left) acquire */
    if (lane->taken || sqcq__load_seq(&lane->lane.claim) != SQCQ__CLAIM_FREE)
      continue;
    lane->taken = true; /* what is in it has its bit: that is set inside */
    own->taken++;
  }
  return own->taken == own->count;
}

uint64_t sqcq__own_accepted(const struct sqcq__own *own)
{
  uint64_t sum = 0;

  for (uint32_t i = 0; i < own->count; i++)
    sum += sqcq__load_relaxed(&own->lanes[i].lane.accepted); /* relaxed: a statistic */
  return sum;
}
