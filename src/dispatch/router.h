/*
 * From completions to channels, and whom to wake at the end of a turn. Room: I.
 *
 * Completions are staged while a turn lasts, and published and waked for once, at its end. Only
 * consumers that sleep and have what they wait for are woken: the first by the I/O thread, the
 * others by those woken before them (relay.h). Those that are still in that same sleep a turn
 * later, which is at once where the I/O thread has nothing else to do, it wakes itself: so nobody's
 * wake depends on another consumer for longer than a turn.
 */
#ifndef SQCQ_DISPATCH_ROUTER_H
#define SQCQ_DISPATCH_ROUTER_H

#include "dispatch/channel.h"
#include "dispatch/relay.h"

#include <stdbool.h>
#include <stdint.h>

struct sqcq__router_note {
  bool touched; /* it is in the list */
  uint64_t
      passed_on; /* the sleep that was left to the relay at the end of the last turn; 0: none */
};

struct sqcq__router {
  struct sqcq__channel *channels; /* the engine's array */
  struct sqcq__relay *relay;
  uint32_t *touched; /* channels pushed to in this turn, or passed on at the end of the last one */
  struct sqcq__router_note *notes; /* by channel */
  uint32_t touched_count;
  uint32_t pushed; /* completions since the turn began */
  uint32_t channel_count;
  _Atomic uint64_t batches; /* W: I; R: any; channels touched, turn by turn; relaxed: a statistic */
};

int sqcq__router_init(struct sqcq__router *router, struct sqcq__relay *relay,
                      struct sqcq__channel *channels, uint32_t count);
void sqcq__router_fini(struct sqcq__router *router);

void sqcq__router_push(struct sqcq__router *router, uint32_t channel,
                       const struct sqcq_completion *completion);

/* What has been pushed can be popped. */
void sqcq__router_publish(struct sqcq__router *router);

/* End of the turn, after the publishing. */
void sqcq__router_wake(struct sqcq__router *router);

/* Nothing more will come, and all is published: wake every consumer. */
void sqcq__router_wake_all(struct sqcq__router *router);

#endif
