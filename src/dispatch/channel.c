#include "dispatch/channel.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <stddef.h>

CK_RING_PROTOTYPE(completion, sqcq_completion)

int sqcq__channel_fit(struct sqcq__channel *channel, uint32_t capacity)
{
  uint32_t size = channel->ring_size == 0 ? 2 : channel->ring_size;

  while (size < capacity + 1) /* a ring of N slots carries N - 1 */
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
    channel->ring_size = size;
    channel->slots = slots;
    ck_ring_init(&channel->ring, size);
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
}

void sqcq__channel_push(struct sqcq__channel *channel, const struct sqcq_completion *completion)
{
  struct sqcq_completion *slot =
      ck_ring_enqueue_reserve_spsc_completion(&channel->ring, channel->slots);

  SQCQ_ASSERT(slot != NULL); /* a credit means room */
  *slot = *completion;
  ck_ring_enqueue_commit_spsc(&channel->ring); /* pair(channel) release, by ck */
}

uint32_t sqcq__channel_pop(struct sqcq__channel *channel, struct sqcq_completion *out, uint32_t max)
{
  uint32_t n = 0;

  /* pair(channel) acquire, by ck */
  while (n < max && ck_ring_dequeue_spsc_completion(&channel->ring, channel->slots, &out[n]))
    n++;
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

bool sqcq__channel_wake(struct sqcq__channel *channel, bool last)
{
  uint32_t want = sqcq__waiter_want(&channel->waiter);

  if (want == 0 || !(last || sqcq__channel_ready(channel, want)))
    return false;
  return sqcq__waiter_wake(&channel->waiter);
}

void sqcq__channel_give_back(struct sqcq__channel *channel, uint32_t n)
{
  sqcq__credit_give(&channel->credit, n);
  sqcq__waiters_fence(); /* pair(want): the credit word is published as a push is */
  (void)sqcq__channel_wake(channel, false);
}
