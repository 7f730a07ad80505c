/*
 * The doorways as functions of their own, for tests/aarch64/orders to look at what a compiler makes of them.
 * Never run. What each must have, in this order, stands above it.
 */
#include "dispatch/room.h"
#include "dispatch/wake.h"
#include "mpsc/credit.h"
#include "mpsc/lane.h"
#include "mpsc/lanes.h"
#include "mpsc/own.h"

/* The loads from a slot are done before the producer may fill it anew: a barrier for stores alone
 * (dmb ishst), which is what ck 0.7.1's ring has there, would not do. */
/* orders: ldr stlr */
uint64_t consume(struct sqcq__spsc *ring, const uint64_t *slots);
uint64_t consume(struct sqcq__spsc *ring, const uint64_t *slots)
{
  uint64_t value = slots[sqcq__spsc_at(ring, 0)];

  sqcq__spsc_give_back(ring, 1);
  return value;
}

/* orders: str stlr */
void publish(struct sqcq__spsc *ring, uint64_t *slots, uint64_t value);
void publish(struct sqcq__spsc *ring, uint64_t *slots, uint64_t value)
{
  slots[ring->next++ & ring->mask] = value;
  sqcq__spsc_publish(ring);
}

/* orders: ldar ldr */
uint64_t look(struct sqcq__spsc *ring, const uint64_t *slots);
uint64_t look(struct sqcq__spsc *ring, const uint64_t *slots)
{
  return sqcq__spsc_ready(ring) > 0 ? slots[sqcq__spsc_at(ring, 0)] : 0;
}

/* orders: ldar str */
bool reserve(struct sqcq__spsc *ring, uint64_t *slots);
bool reserve(struct sqcq__spsc *ring, uint64_t *slots)
{
  ring->head_seen = ring->next - ring->mask - 1; /* full, as far as is known */
  if (!sqcq__spsc_has_room(ring))
    return false;
  slots[0] = 1;
  return true;
}

/* orders: str stlr */
void unclaim(struct sqcq__lane *lane, uint64_t *slots);
void unclaim(struct sqcq__lane *lane, uint64_t *slots)
{
  slots[0] = 1;
  sqcq__lane_unclaim(lane);
}

/* Its own claim, and no later load before it: a store and a load that are both sequentially consistent. */
/* orders: stlr ldar */
int gate(struct sqcq__own_lane *lane);
int gate(struct sqcq__own_lane *lane)
{
  sqcq__store_seq(&lane->lane.claim, SQCQ__CLAIM_HELD);
  return sqcq__load_seq(&lane->closed) != 0;
}

/* The I/O thread's sleep: announced, then the lanes looked at. */
/* orders: stlr ldar */
bool announce(struct sqcq__sleeper *sleeper, struct sqcq__lanes *lanes);
bool announce(struct sqcq__sleeper *sleeper, struct sqcq__lanes *lanes)
{
  sqcq__sleeper_announce(sleeper);
  return sqcq__lanes_have_work(lanes);
}

/* A producer's commit: the work bit by a sequentially consistent RMW, then the look at the sleep. */
/* orders: ldaxr stlxr ldar */
uint64_t mark(struct sqcq__lanes *lanes, struct sqcq__sleeper *sleeper);
uint64_t mark(struct sqcq__lanes *lanes, struct sqcq__sleeper *sleeper)
{
  (void)sqcq__or_seq(&lanes->work, 1);
  return sqcq__load_seq(&sleeper->asleep);
}

/* orders: ldaxr stlxr */
void give_credits(struct sqcq__credit *credit);
void give_credits(struct sqcq__credit *credit)
{
  sqcq__credit_give(credit, 1);
}

/* A producer's claim of a lane: what its last holder has done comes before. */
/* orders: ldaxr str */
bool claim(struct sqcq__lane *lane, uint64_t *slots);
bool claim(struct sqcq__lane *lane, uint64_t *slots)
{
  bool ours = sqcq__lane_claim(lane, SQCQ__CLAIM_HELD);

  if (ours)
    slots[0] = 1;
  return ours;
}

/* orders: ldar ldaxr stlxr */
int take_credits(struct sqcq__credit *credit);
int take_credits(struct sqcq__credit *credit)
{
  return sqcq__credit_take(credit, 1, 1);
}

/* Room that has come, then who waits for it; who waits, then the room. */
/* orders: ldaxr stlxr ldar */
uint64_t give_room(struct sqcq__credit *credit, struct sqcq__room *room);
uint64_t give_room(struct sqcq__credit *credit, struct sqcq__room *room)
{
  sqcq__credit_give(credit, 1);
  return sqcq__room_awaited(room);
}

/* orders: ldaxr stlxr ldar */
uint64_t await_room(struct sqcq__room *room, struct sqcq__credit *credit);
uint64_t await_room(struct sqcq__room *room, struct sqcq__credit *credit)
{
  sqcq__room_announce(room);
  return sqcq__load_seq(&credit->word);
}

/* In the library itself. */
/* orders sqcq__channel_pop: ldar ldr stlr */
/* orders sqcq__channel_publish: stlr */
/* orders sqcq__channel_ready: ldar ldar */
/* orders sqcq__own_stop: stlr ldar */
/* orders sqcq__waiters_fence: dmb:ish */
/* orders sqcq__looks_fence: dmb:ishld */
/* orders sqcq__waiter_announce: stlr dmb:ish */
/* A consumer woken, then its sleep noted as ended. ck's event count adds behind a barrier for stores alone. That
 * will do: what it tells of was published before waiters_fence, and whether it adds hangs on the looks
 * before it. */
/* orders sqcq__waiter_wake: ldar dmb:ishst stlr */
