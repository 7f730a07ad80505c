/*
 * From completions to channels, and whom to wake at the end of a turn. Room: I.
 *
 * Consumers are woken once a turn, not once a completion, and only those that sleep and have
 * what they wait for.
 */
#ifndef SQCQ_DISPATCH_ROUTER_H
#define SQCQ_DISPATCH_ROUTER_H

#include "dispatch/channel.h"

#include <stdbool.h>
#include <stdint.h>

struct sqcq__router {
  struct sqcq__channel *channels; /* the engine's array */
  uint32_t *touched;              /* indexes of channels pushed to in this turn */
  bool *is_touched;
  uint32_t touched_count;
  uint32_t pushed; /* completions since the turn began */
  uint32_t channel_count;
};

int sqcq__router_init(struct sqcq__router *router, struct sqcq__channel *channels, uint32_t count);
void sqcq__router_fini(struct sqcq__router *router);

void sqcq__router_push(struct sqcq__router *router, uint32_t channel,
                       const struct sqcq_completion *completion);

/* End of the turn: returns how many wakes were sent. */
uint32_t sqcq__router_wake(struct sqcq__router *router);

/* Nothing more will come: wake every consumer. */
uint32_t sqcq__router_wake_all(struct sqcq__router *router);

#endif
