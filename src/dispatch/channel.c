#include "dispatch/channel.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/point.h"

#include <errno.h>
#include <stddef.h>

int sqcq__channel_fit(struct sqcq__channel *channel, uint32_t capacity)
{
  uint32_t size = channel->ring_size == 0 ? 2 : channel->ring_size;

  while (size < capacity)
    size *= 2;
  if (size > channel->ring_size) {
    struct sqcq__channel_ring *ring = sqcq__mem_new(1, sizeof(*ring));
    struct sqcq_completion *slots = sqcq__mem_new(size, sizeof(*slots));

    if (ring == NULL || slots == NULL) {
      sqcq__mem_free(ring);
      sqcq__mem_free(slots);
      return -ENOMEM;
    }
    ring->slots = slots;
    ring->older = channel->rings;
    channel->rings = ring;
    channel->slots = slots;
    if (channel->ring_size == 0)
      sqcq__spsc_init(&channel->ring, size);
    else /* it is empty: indexes and high-water mark go on, under the eyes of whoever asks for them */
      channel->ring.mask = size - 1;
    channel->ring_size = size;
  }
  return 0;
}

void sqcq__channel_fini(struct sqcq__channel *channel)
{
  while (channel->rings != NULL) {
    struct sqcq__channel_ring *ring = channel->rings;

    channel->rings = ring->older;
    sqcq__mem_free(ring->slots);
    sqcq__mem_free(ring);
  }
  sqcq__waiter_fini(&channel->waiter);
}

void sqcq__channel_push(struct sqcq__channel *channel, const struct sqcq_completion *completion)
{
  struct sqcq__spsc *ring = &channel->ring;

  /* A credit means room, and says so to us too: no look at the consumer's line. */
  SQCQ_ASSERT(ring->next - sqcq__load_relaxed(&ring->head) <= ring->mask);
  channel->slots[ring->next++ & ring->mask] = *completion;
}

void sqcq__channel_publish(struct sqcq__channel *channel)
{
  sqcq__spsc_publish(&channel->ring);
}

uint32_t sqcq__channel_pop(struct sqcq__channel *channel, struct sqcq_completion *out, uint32_t max)
{
  uint32_t n = sqcq__spsc_ready(&channel->ring);

  sqcq__spsc_note(&channel->ring, n);
  if (n > max)
    n = max;
  for (uint32_t i = 0; i < n; i++)
    out[i] = channel->slots[sqcq__spsc_at(&channel->ring, i)];
  if (n > 0)
    sqcq__spsc_give_back(&channel->ring, n);
  return n;
}

bool sqcq__channel_ready(struct sqcq__channel *channel, uint32_t want)
{
  uint32_t unread = sqcq__channel_unread(channel);

  if (unread >= want)
    return true;
  /* In this order: one that is accepted and answered between the two looks is promised, but not
   * unread, and at worst hides that the waiting is over; whoever answered it looks after us. The
   * other way round it would pass for one that has not answered. */
  sqcq__looks_fence();
  uint64_t word = sqcq__load_acquire(&channel->credit.word);
  uint32_t taken = sqcq__credit_taken(word);
  if (unread > 0)
    return taken <= unread;
  return taken == 0 && (sqcq__word_state(word) & SQCQ__CREDIT_CLOSED) != 0;
}

bool sqcq__channel_sleeps(struct sqcq__channel *channel)
{
  uint32_t want = sqcq__waiter_want(&channel->waiter);

  return want != 0 && sqcq__channel_ready(channel, want);
}

bool sqcq__channel_wake(struct sqcq__channel *channel, bool last)
{
  bool sleeps = last ? sqcq__waiter_want(&channel->waiter) != 0 : sqcq__channel_sleeps(channel);

  return sleeps && sqcq__waiter_wake(&channel->waiter);
}

void sqcq__channel_give_back(struct sqcq__channel *channel, uint32_t n)
{
  sqcq__credit_give(&channel->credit, n);
  SQCQ_POINT(CREDITS_GIVEN);
  sqcq__waiters_fence(); /* pair(want): the credit word is published as a push is */
  (void)sqcq__channel_wake(channel, false);
}

void sqcq__channel_abandon(struct sqcq__channel *channel)
{
  struct sqcq__waiter *waiter = &channel->waiter;

  if (!waiter->armed)
    return;
  sqcq__waiters_fence(); /* pair(want): the credit word says that it is the end */
  (void)sqcq__channel_wake(channel, true);
  waiter->armed = false;
  sqcq__waiter_clear(waiter);
}
