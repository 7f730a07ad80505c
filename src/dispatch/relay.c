#include "dispatch/relay.h"

#include "base/mem.h"
#include "base/point.h"

#include <errno.h>
#include <stddef.h>

int sqcq__relay_init(struct sqcq__relay *relay, struct sqcq__channel *channels, uint32_t count)
{
  relay->channels = channels;
  relay->words = (count + 63) / 64;
  relay->notes = sqcq__mem_new(relay->words, sizeof(*relay->notes));
  return relay->notes == NULL ? -ENOMEM : 0;
}

void sqcq__relay_fini(struct sqcq__relay *relay)
{
  sqcq__mem_free((void *)relay->notes);
  relay->notes = NULL;
}

void sqcq__relay_note(struct sqcq__relay *relay, uint32_t channel)
{
  (void)sqcq__or_acq_rel(&relay->notes[channel / 64], UINT64_C(1) << channel % 64);
}

void sqcq__relay_leave(struct sqcq__relay *relay, struct sqcq__waiter *waiter)
{
  sqcq__waiter_clear(waiter);
  sqcq__waiters_fence(); /* pair(relay) fence: before the look at the notes */
  for (uint32_t i = 0; i < relay->words; i++) {
    uint64_t notes;

    /* relaxed look: ordered by the fence. */
    while ((notes = sqcq__load_relaxed(&relay->notes[i])) != 0) {
      uint64_t bit = notes & (~notes + 1);

      if ((sqcq__and_acq_rel(&relay->notes[i], ~bit) & bit) == 0)
        continue; /* somebody else has this one */
      SQCQ_POINT(NOTE_TAKEN);
      sqcq__waiters_fence(); /* pair(relay) fence: before the look at that one's `want` */
      if (sqcq__channel_wake(&relay->channels[64 * i + (uint32_t)__builtin_ctzll(bit)], false))
        return; /* it does the same */
    }
  }
}
