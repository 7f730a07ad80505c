/*
 * The request table: every request between its lane and its completion. Room: I.
 *
 * It has one slot for each credit there is, so a lane can always be drained: reads that never
 * answer keep their slots and nothing else. And `depth` more, for slots whose completion has been
 * taken while the CQE of their cancel is still to come. A slot is
 *
 *   FREE -> WAITING (in its channel's queue) -> FLYING (in the kernel) -> FREE
 *
 * and lives until its own CQE and, where it was cancelled, the cancel's CQE are both in. Its
 * generation, in the SQE's user_data, tells a late CQE of an earlier tenant.
 *
 * Depth, what the kernel holds at once, is a bound of its own. Each channel is sure of inflight_min
 * of it, and has at most inflight_max; channels with waiting requests are served in rotation, one
 * request each. So a channel full of silent reads slows down no other.
 */
#ifndef SQCQ_ENGINE_REQUESTS_H
#define SQCQ_ENGINE_REQUESTS_H

#include "dispatch/channel.h"
#include "mpsc/request.h"

#include <stdbool.h>
#include <stdint.h>

#define SQCQ__NO_SLOT UINT32_MAX

enum sqcq__slot_state {
  SQCQ__SLOT_FREE,
  SQCQ__SLOT_WAITING,
  SQCQ__SLOT_FLYING,
  SQCQ__SLOT_ANSWERED /* only the CQE of its cancel is still to come */
};

struct sqcq__slot {
  _Alignas(SQCQ_CACHELINE) struct sqcq__request request;
  unsigned char *data;  /* where the bytes go */
  int32_t fixed_buffer; /* registered buffer that data lies in, -1: none */
  uint32_t generation;
  int64_t started_ns; /* FLYING: when it was put into its SQE; 0: not timed */
  uint32_t next;      /* in its channel's queue */
  uint32_t place;     /* FLYING: where `flying` has it */
  uint32_t flags;     /* SQCQ_COMPLETION_*, of who is ending it */
  uint8_t state;
  bool cancel_wanted; /* a cancel is to be submitted */
  bool cancel_out;    /* its CQE is to come */
  bool cancel_missed; /* it came and had found nothing to cancel: to be tried again, later */
};

/* A channel's queue and its part of the depth. */
struct sqcq__lineup {
  uint32_t head, tail; /* waiting requests; head SQCQ__NO_SLOT: none */
  uint32_t waiting;
  uint32_t flying;
  uint32_t inflight_max, inflight_min;
  uint32_t next;    /* in the rotation */
  bool in_rotation; /* it has waiting requests and is below inflight_max */
};

struct sqcq__requests {
  struct sqcq__slot *slots;
  uint32_t *free; /* stack */
  uint32_t free_count;
  uint32_t capacity;
  struct sqcq__lineup *lineups; /* one a channel */
  uint32_t channel_count;
  uint32_t rotation_head, rotation_tail;
  uint32_t *flying; /* slots in the kernel, by place; SQCQ__NO_SLOT: none */
  uint32_t *places; /* free places, a stack */
  uint32_t place_count;
  uint32_t depth;
  uint32_t flying_count;
  uint32_t waiting_count;
  uint32_t reserved;       /* of the depth, for channels; set by the caller before start */
  uint32_t reserved_used;  /* the sum of min(flying, inflight_min) */
  uint32_t cancels_wanted; /* slots with cancel_wanted */
  uint32_t cancels_out;
  uint32_t cancels_missed; /* slots with cancel_missed */
};

/* Which requests are meant. {0}: all. */
struct sqcq__match {
  uint64_t file;      /* its handle; 0: of any */
  uint64_t user_data; /* with by_user_data */
  uint32_t channel;   /* index + 1; 0: of any */
  uint32_t flags;     /* only those that have one of these; 0: any */
  uint32_t epoch;     /* with older: accepted before the cancel of this number */
  bool older;
  bool by_user_data;
};

/* 0 or -ENOMEM. At first every channel is sure of one place. */
int sqcq__requests_init(struct sqcq__requests *requests, uint32_t credits, uint32_t channel_count,
                        uint32_t depth);
void sqcq__requests_fini(struct sqcq__requests *requests);

/* A free slot to copy a request into; it stays free until accept. NULL only while the lanes are
 * empty: there is a slot for each credit. */
struct sqcq__slot *sqcq__requests_blank(struct sqcq__requests *requests);

/* The blank one is a request now: it waits in its channel's queue. */
void sqcq__requests_accept(struct sqcq__requests *requests, const struct sqcq__channel *channels);

/* The slot that starts next, or NULL where none waits or may. It is FLYING now. */
struct sqcq__slot *sqcq__requests_start(struct sqcq__requests *requests);

/* The slot was not started after all (no SQE): first in its queue again. */
void sqcq__requests_unstart(struct sqcq__requests *requests, struct sqcq__slot *slot);

/* A FLYING slot's own CQE is in: it makes room, and is free unless its cancel is out. */
void sqcq__requests_land(struct sqcq__requests *requests, struct sqcq__slot *slot);

/* The CQE of its cancel is in; `missed`: the read goes on. */
void sqcq__requests_cancelled(struct sqcq__requests *requests, struct sqcq__slot *slot,
                              bool missed);

/* Ask again for the cancels that missed. */
void sqcq__requests_retry_missed(struct sqcq__requests *requests);

/* Ask for the cancel of all FLYING requests that match, and put `flags` on them: how many. Those
 * that are being cancelled already count, too. */
uint32_t sqcq__requests_want_cancel(struct sqcq__requests *requests,
                                    const struct sqcq__match *match, uint32_t flags);
/* Likewise of one, which is FLYING. */
void sqcq__requests_want_one(struct sqcq__requests *requests, struct sqcq__slot *slot,
                             uint32_t flags);

/* The next slot whose cancel is to be submitted, from *place on, which starts at 0; its cancel
 * counts as out. NULL: none, or as many cancels are out as the CQ has room for. */
struct sqcq__slot *sqcq__requests_next_cancel(struct sqcq__requests *requests, uint32_t *place);

/* That cancel was not submitted after all (no SQE). */
void sqcq__requests_uncancel(struct sqcq__requests *requests, struct sqcq__slot *slot);

/* Take all WAITING requests that match out of the queues; they are linked by `next` from the slot
 * returned on (SQCQ__NO_SLOT: the end). Each is to be given to drop once its completion has been
 * pushed. */
uint32_t sqcq__requests_unqueue(struct sqcq__requests *requests, const struct sqcq__match *match);
void sqcq__requests_drop(struct sqcq__requests *requests, struct sqcq__slot *slot);

/* The channel is gone: what was kept for it is anybody's, save the one place that every channel is
 * sure of. */
void sqcq__requests_forget(struct sqcq__requests *requests, uint32_t channel);

static inline uint32_t sqcq__requests_index(const struct sqcq__requests *requests,
                                            const struct sqcq__slot *slot)
{
  return (uint32_t)(slot - requests->slots);
}

/* Requests that have not been answered. */
static inline uint32_t sqcq__requests_unanswered(const struct sqcq__requests *requests)
{
  return requests->flying_count + requests->waiting_count;
}

static inline bool sqcq__requests_empty(const struct sqcq__requests *requests)
{
  return requests->flying_count == 0 && requests->waiting_count == 0 && requests->cancels_out == 0;
}

#endif
