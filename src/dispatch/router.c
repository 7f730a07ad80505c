#include "dispatch/router.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <stddef.h>

int sqcq__router_init(struct sqcq__router *router, struct sqcq__relay *relay,
                      struct sqcq__channel *channels, uint32_t count)
{
  router->relay = relay;
  router->channels = channels;
  router->channel_count = count;
  router->touched_count = 0;
  router->pushed = 0;
  sqcq__store_relaxed(&router->batches, 0); /* relaxed: nobody else is here */
  router->touched = sqcq__mem_new(count, sizeof(*router->touched));
  router->notes = sqcq__mem_new(count, sizeof(*router->notes));
  return router->touched == NULL || router->notes == NULL ? -ENOMEM : 0;
}

void sqcq__router_fini(struct sqcq__router *router)
{
  sqcq__mem_free(router->touched);
  sqcq__mem_free(router->notes);
}

void sqcq__router_push(struct sqcq__router *router, uint32_t channel,
                       const struct sqcq_completion *completion)
{
  SQCQ_ASSERT(channel < router->channel_count);
  sqcq__channel_push(&router->channels[channel], completion);
  router->pushed++;
  if (!router->notes[channel].touched) {
    sqcq__count(&router->batches, 1);
    router->notes[channel].touched = true;
    router->touched[router->touched_count++] = channel;
  }
}

void sqcq__router_publish(struct sqcq__router *router)
{
  for (uint32_t i = 0; i < router->touched_count; i++)
    sqcq__channel_publish(&router->channels[router->touched[i]]);
}

/* Those that sleep and have what they wait for come to the front of `touched`: how many. Those that
 * sleep on since they were passed on, a turn ago, are woken here. */
static uint32_t find_sleepers(struct sqcq__router *router)
{
  uint32_t sleepers = 0;

  for (uint32_t i = 0; i < router->touched_count; i++) {
    uint32_t index = router->touched[i];
    struct sqcq__router_note *note = &router->notes[index];
    struct sqcq__channel *channel = &router->channels[index];
    uint64_t passed_on = note->passed_on;

    *note = (struct sqcq__router_note){0};
    if (!sqcq__channel_sleeps(channel))
      continue;
    if (passed_on != 0 && passed_on == sqcq__waiter_number(&channel->waiter)) {
      (void)sqcq__channel_wake(channel, false);
    } else {
      note->touched = true;
      router->touched[sleepers++] = index;
    }
  }
  return sleepers;
}

void sqcq__router_wake(struct sqcq__router *router)
{
  if (router->touched_count == 0)
    return;
  sqcq__waiters_fence(); /* pair(want): this turn's pushes, before the looks */
  uint32_t sleepers = find_sleepers(router), woken = 0;

  if (sleepers > 1) {
    for (uint32_t i = 1; i < sleepers; i++)
      sqcq__relay_note(router->relay, router->touched[i]);
    sqcq__waiters_fence(); /* pair(relay) fence: before the look at the first one's `want` */
  }
  while (woken < sleepers) {
    uint32_t index = router->touched[woken++];

    router->notes[index].touched = false;
    if (sqcq__channel_wake(&router->channels[index], false))
      break; /* it passes the others on */
  }
  router->touched_count = 0;
  for (; woken < sleepers; woken++) {
    uint32_t index = router->touched[woken];

    router->notes[index].passed_on = sqcq__waiter_number(&router->channels[index].waiter);
    router->touched[router->touched_count++] = index;
  }
}

void sqcq__router_wake_all(struct sqcq__router *router)
{
  sqcq__waiters_fence();
  for (uint32_t i = 0; i < router->channel_count; i++) {
    SQCQ_ASSERT(!sqcq__channel_has_staged(&router->channels[i]));
    (void)sqcq__channel_wake(&router->channels[i], true);
  }
}
