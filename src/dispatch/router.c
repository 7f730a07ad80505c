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
  if (router->notes[channel] == SQCQ__ROUTER_NONE) {
    router->notes[channel] = SQCQ__ROUTER_TOUCHED;
    router->touched[router->touched_count++] = channel;
  }
}

void sqcq__router_publish(struct sqcq__router *router)
{
  for (uint32_t i = 0; i < router->touched_count; i++)
    sqcq__channel_publish(&router->channels[router->touched[i]]);
}

/* Those of this turn that sleep and have what they wait for come to the front of `touched`: how
 * many. Those of the last one that nobody woke are woken here. */
static uint32_t find_sleepers(struct sqcq__router *router)
{
  uint32_t sleepers = 0;

  for (uint32_t i = 0; i < router->touched_count; i++) {
    uint32_t index = router->touched[i];
    struct sqcq__channel *channel = &router->channels[index];

    if (router->notes[index] == SQCQ__ROUTER_PASSED_ON) {
      router->notes[index] = SQCQ__ROUTER_NONE;
      (void)sqcq__channel_wake(channel, false);
    } else if (sqcq__channel_sleeps(channel)) {
      router->touched[sleepers++] = index;
    } else {
      router->notes[index] = SQCQ__ROUTER_NONE;
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

    router->notes[index] = SQCQ__ROUTER_NONE;
    if (sqcq__channel_wake(&router->channels[index], false))
      break; /* it passes the others on */
  }
  router->touched_count = 0;
  for (; woken < sleepers; woken++) {
    uint32_t index = router->touched[woken];

    router->notes[index] = SQCQ__ROUTER_PASSED_ON;
    router->touched[router->touched_count++] = index;
  }
}

void sqcq__router_wake_all(struct sqcq__router *router)
{
  sqcq__waiters_fence();
  for (uint32_t i = 0; i < router->channel_count; i++)
    (void)sqcq__channel_wake(&router->channels[i], true);
}
