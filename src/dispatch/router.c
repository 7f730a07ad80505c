#include "dispatch/router.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <stddef.h>

int sqcq__router_init(struct sqcq__router *router, struct sqcq__channel *channels, uint32_t count)
{
  router->channels = channels;
  router->channel_count = count;
  router->touched_count = 0;
  router->pushed = 0;
  router->touched = sqcq__mem_new(count, sizeof(*router->touched));
  router->is_touched = sqcq__mem_new(count, sizeof(*router->is_touched));
  return router->touched == NULL || router->is_touched == NULL ? -ENOMEM : 0;
}

void sqcq__router_fini(struct sqcq__router *router)
{
  sqcq__mem_free(router->touched);
  sqcq__mem_free(router->is_touched);
}

void sqcq__router_push(struct sqcq__router *router, uint32_t channel,
                       const struct sqcq_completion *completion)
{
  SQCQ_ASSERT(channel < router->channel_count);
  sqcq__channel_push(&router->channels[channel], completion);
  router->pushed++;
  if (!router->is_touched[channel]) {
    router->is_touched[channel] = true;
    router->touched[router->touched_count++] = channel;
  }
}

uint32_t sqcq__router_wake(struct sqcq__router *router)
{
  uint32_t wakes = 0;

  if (router->touched_count == 0)
    return 0;
  sqcq__waiters_fence(); /* pair(want): this turn's pushes, before the looks */
  for (uint32_t i = 0; i < router->touched_count; i++) {
    router->is_touched[router->touched[i]] = false;
    wakes += sqcq__channel_wake(&router->channels[router->touched[i]], false);
  }
  router->touched_count = 0;
  return wakes;
}

uint32_t sqcq__router_wake_all(struct sqcq__router *router)
{
  uint32_t wakes = 0;

  sqcq__waiters_fence();
  for (uint32_t i = 0; i < router->channel_count; i++)
    wakes += sqcq__channel_wake(&router->channels[i], true);
  return wakes;
}
