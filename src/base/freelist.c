#include "base/freelist.h"

#include "base/check.h"

static _Atomic uint32_t *link_of(const struct sqcq__freelist *list, uint32_t index)
{
  return (_Atomic uint32_t *)(void *)(list->links + list->stride * index);
}

/* The head that follows `seen` and whose top is `top` (index + 1, or 0). */
static uint64_t head_after(uint64_t seen, uint32_t top)
{
  return ((seen >> 32) + 1) << 32 | top;
}

void sqcq__freelist_init(struct sqcq__freelist *list, _Atomic uint32_t *first_link, size_t stride)
{
  list->links = (unsigned char *)first_link;
  list->stride = stride;
  sqcq__store_relaxed(&list->head, 0); /* relaxed: nobody else knows the list yet */
}

uint32_t sqcq__freelist_take(struct sqcq__freelist *list, uint32_t *out, uint32_t count)
{
  /* pair(freelist) acquire: what the putter did to the entries, and the links, come before. */
  uint64_t seen = sqcq__load_acquire(&list->head);

  for (;;) {
    uint32_t taken = 0;
    uint32_t top = (uint32_t)seen;

    /* relaxed: a link read here counts only if the head has not changed, and then its
     * putter's release of the head came before our acquire of it. */
    for (; top != 0 && taken < count; taken++) {
      out[taken] = top - 1;
      top = sqcq__load_relaxed(link_of(list, top - 1));
    }
    if (taken == 0)
      return 0;
    if (sqcq__cas_acq_rel(&list->head, &seen, head_after(seen, top)))
      return taken;
  }
}

void sqcq__freelist_put(struct sqcq__freelist *list, const uint32_t *indexes, uint32_t count)
{
  SQCQ_ASSERT(count > 0);
  for (uint32_t i = 0; i + 1 < count; i++)
    sqcq__store_relaxed(link_of(list, indexes[i]), indexes[i + 1] + 1); /* relaxed: see below */
  uint64_t seen = sqcq__load_relaxed(&list->head);
  do
    sqcq__store_relaxed(link_of(list, indexes[count - 1]), (uint32_t)seen);
  /* pair(freelist) release: links and entries are written before the head shows them; pair(room)
   * publish */
  while (!sqcq__cas_seq(&list->head, &seen, head_after(seen, indexes[0] + 1)));
}

uint32_t sqcq__freelist_count(const struct sqcq__freelist *list, uint32_t max)
{
  uint32_t count = 0;

  /* pair(room) look again. relaxed, below: a stale link is one of some list's, or its end, as in take
   */
  for (uint32_t top = (uint32_t)sqcq__load_seq(&list->head); top != 0 && count < max; count++)
    top = sqcq__load_relaxed(link_of(list, top - 1));
  return count;
}
