#include "engine/requests.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <stddef.h>

#define NO_CHANNEL UINT32_MAX

int sqcq__requests_init(struct sqcq__requests *requests, uint32_t credits, uint32_t channel_count,
                        uint32_t depth)
{
  uint32_t capacity = credits + depth;

  *requests = (struct sqcq__requests){.capacity = capacity,
                                      .channel_count = channel_count,
                                      .depth = depth,
                                      .rotation_head = NO_CHANNEL,
                                      .rotation_tail = NO_CHANNEL};
  requests->slots = sqcq__mem_new(capacity, sizeof(*requests->slots));
  requests->free = sqcq__mem_new(capacity, sizeof(*requests->free));
  requests->lineups = sqcq__mem_new(channel_count, sizeof(*requests->lineups));
  requests->flying = sqcq__mem_new(depth, sizeof(*requests->flying));
  requests->places = sqcq__mem_new(depth, sizeof(*requests->places));
  if (requests->slots == NULL || requests->free == NULL || requests->lineups == NULL ||
      requests->flying == NULL || requests->places == NULL)
    return -ENOMEM;
  for (uint32_t i = capacity; i-- > 0;)
    requests->free[requests->free_count++] = i;
  for (uint32_t i = depth; i-- > 0;) {
    requests->places[requests->place_count++] = i;
    requests->flying[i] = SQCQ__NO_SLOT;
  }
  for (uint32_t i = 0; i < channel_count; i++)
    requests->lineups[i] = (struct sqcq__lineup){
        .head = SQCQ__NO_SLOT, .tail = SQCQ__NO_SLOT, .inflight_min = 1, .inflight_max = depth};
  return 0;
}

void sqcq__requests_fini(struct sqcq__requests *requests)
{
  sqcq__mem_free(requests->slots);
  sqcq__mem_free(requests->free);
  sqcq__mem_free(requests->lineups);
  sqcq__mem_free(requests->flying);
  sqcq__mem_free(requests->places);
}

static uint32_t channel_of(const struct sqcq__slot *slot)
{
  return sqcq__request_channel(&slot->request);
}

static void rotate_in(struct sqcq__requests *requests, uint32_t channel)
{
  struct sqcq__lineup *lineup = &requests->lineups[channel];

  SQCQ_ASSERT(!lineup->in_rotation);
  lineup->in_rotation = true;
  lineup->next = NO_CHANNEL;
  if (requests->rotation_head == NO_CHANNEL)
    requests->rotation_head = requests->rotation_tail = channel;
  else {
    requests->lineups[requests->rotation_tail].next = channel;
    requests->rotation_tail = channel;
  }
}

static void rotate_out_head(struct sqcq__requests *requests)
{
  struct sqcq__lineup *lineup = &requests->lineups[requests->rotation_head];

  lineup->in_rotation = false;
  requests->rotation_head = lineup->next;
  if (requests->rotation_head == NO_CHANNEL)
    requests->rotation_tail = NO_CHANNEL;
}

/* Into the rotation, where it belongs there and is not yet. */
static void rotate(struct sqcq__requests *requests, uint32_t channel)
{
  struct sqcq__lineup *lineup = &requests->lineups[channel];

  if (!lineup->in_rotation && lineup->waiting > 0 && lineup->flying < lineup->inflight_max)
    rotate_in(requests, channel);
}

struct sqcq__slot *sqcq__requests_blank(struct sqcq__requests *requests)
{
  if (requests->free_count == 0)
    return NULL;
  return &requests->slots[requests->free[requests->free_count - 1]];
}

void sqcq__requests_accept(struct sqcq__requests *requests, const struct sqcq__channel *channels)
{
  uint32_t index = requests->free[--requests->free_count];
  struct sqcq__slot *slot = &requests->slots[index];
  uint32_t channel = channel_of(slot);
  struct sqcq__lineup *lineup = &requests->lineups[channel];

  SQCQ_ASSERT(slot->state == SQCQ__SLOT_FREE && channel < requests->channel_count);
  if (lineup->waiting == 0 && lineup->flying == 0) {
    /* Perhaps the first request of a new channel here. Its bounds came with the credit. */
    lineup->inflight_min = channels[channel].inflight_min;
    lineup->inflight_max = channels[channel].inflight_max;
  }
  slot->state = SQCQ__SLOT_WAITING;
  slot->flags = 0;
  slot->next = SQCQ__NO_SLOT;
  if (lineup->head == SQCQ__NO_SLOT)
    lineup->head = index;
  else
    requests->slots[lineup->tail].next = index;
  lineup->tail = index;
  lineup->waiting++;
  requests->waiting_count++;
  rotate(requests, channel);
}

/* Whether one more of this channel may go to the kernel: within its own part, or where what is free
 * is more than what is kept for others. */
static bool may_start(const struct sqcq__requests *requests, const struct sqcq__lineup *lineup)
{
  uint32_t room = requests->depth - requests->flying_count;

  return room > 0 && (lineup->flying < lineup->inflight_min ||
                      room > requests->reserved - requests->reserved_used);
}

struct sqcq__slot *sqcq__requests_start(struct sqcq__requests *requests)
{
  uint32_t stop = requests->rotation_tail;

  if (requests->flying_count == requests->depth)
    return NULL;
  while (requests->rotation_head != NO_CHANNEL) {
    uint32_t channel = requests->rotation_head;
    struct sqcq__lineup *lineup = &requests->lineups[channel];

    rotate_out_head(requests);
    if (lineup->waiting == 0 || !may_start(requests, lineup)) {
      rotate(requests, channel);
      if (channel == stop)
        return NULL; /* once round: none may */
      continue;
    }
    struct sqcq__slot *slot = &requests->slots[lineup->head];
    lineup->head = slot->next;
    lineup->waiting--;
    requests->waiting_count--;
    if (lineup->flying < lineup->inflight_min)
      requests->reserved_used++;
    lineup->flying++;
    requests->flying_count++;
    slot->state = SQCQ__SLOT_FLYING;
    slot->place = requests->places[--requests->place_count];
    requests->flying[slot->place] = sqcq__requests_index(requests, slot);
    rotate(requests, channel);
    return slot;
  }
  return NULL;
}

/* What FLYING took: a place, and a part of the depth. */
static void leave_flight(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  struct sqcq__lineup *lineup = &requests->lineups[channel_of(slot)];

  SQCQ_ASSERT(slot->state == SQCQ__SLOT_FLYING && lineup->flying > 0);
  requests->flying[slot->place] = SQCQ__NO_SLOT;
  requests->places[requests->place_count++] = slot->place;
  requests->flying_count--;
  lineup->flying--;
  if (lineup->flying < lineup->inflight_min)
    requests->reserved_used--;
}

void sqcq__requests_unstart(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  uint32_t channel = channel_of(slot);
  struct sqcq__lineup *lineup = &requests->lineups[channel];

  leave_flight(requests, slot);
  slot->state = SQCQ__SLOT_WAITING;
  slot->next = lineup->head;
  if (lineup->waiting == 0)
    lineup->tail = sqcq__requests_index(requests, slot);
  lineup->head = sqcq__requests_index(requests, slot);
  lineup->waiting++;
  requests->waiting_count++;
  rotate(requests, channel);
}

static void free_slot(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  slot->state = SQCQ__SLOT_FREE;
  slot->generation++;
  requests->free[requests->free_count++] = sqcq__requests_index(requests, slot);
}

void sqcq__requests_land(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  uint32_t channel = channel_of(slot);

  leave_flight(requests, slot);
  if (slot->cancel_wanted) {
    slot->cancel_wanted = false; /* too late, and not needed */
    requests->cancels_wanted--;
  }
  if (slot->cancel_missed) {
    slot->cancel_missed = false;
    requests->cancels_missed--;
  }
  if (slot->cancel_out)
    slot->state = SQCQ__SLOT_ANSWERED;
  else
    free_slot(requests, slot);
  rotate(requests, channel);
}

void sqcq__requests_cancelled(struct sqcq__requests *requests, struct sqcq__slot *slot, bool missed)
{
  SQCQ_ASSERT(slot->cancel_out);
  slot->cancel_out = false;
  requests->cancels_out--;
  if (slot->state == SQCQ__SLOT_ANSWERED) {
    free_slot(requests, slot);
  } else if (missed) {
    slot->cancel_missed = true;
    requests->cancels_missed++;
  }
}

void sqcq__requests_retry_missed(struct sqcq__requests *requests)
{
  for (uint32_t place = 0; place < requests->depth && requests->cancels_missed > 0; place++) {
    struct sqcq__slot *slot;

    if (requests->flying[place] == SQCQ__NO_SLOT)
      continue;
    slot = &requests->slots[requests->flying[place]];
    if (!slot->cancel_missed)
      continue;
    slot->cancel_missed = false;
    slot->cancel_wanted = true;
    requests->cancels_missed--;
    requests->cancels_wanted++;
  }
}

/* Numbers of cancels wrap. A request that has been here for so many of them gets a later number,
 * which is still older than all cancels to come: it does not become a new one by staying. Every
 * cancel passes every request, so none is overlooked. */
#define EPOCHS_MAX (INT32_MAX / 2)

static bool is_older(struct sqcq__slot *slot, uint32_t epoch)
{
  int32_t age = (int32_t)(epoch - slot->request.cancel_epoch);

  if (age > EPOCHS_MAX)
    slot->request.cancel_epoch = epoch - EPOCHS_MAX;
  return age > 0;
}

static bool matches(struct sqcq__slot *slot, const struct sqcq__match *match)
{
  const struct sqcq__request *request = &slot->request;

  return (!match->older || is_older(slot, match->epoch)) &&
         (match->file == 0 || (request->file ^ match->file) >> SQCQ__TAG_BITS == 0) &&
         (match->channel == 0 || match->channel - 1 == channel_of(slot)) &&
         (!match->by_user_data || match->user_data == request->user_data) &&
         (match->flags == 0 || (match->flags & slot->flags) != 0);
}

void sqcq__requests_want_one(struct sqcq__requests *requests, struct sqcq__slot *slot,
                             uint32_t flags)
{
  SQCQ_ASSERT(slot->state == SQCQ__SLOT_FLYING);
  slot->flags |= flags;
  if (!slot->cancel_wanted && !slot->cancel_out && !slot->cancel_missed) {
    slot->cancel_wanted = true;
    requests->cancels_wanted++;
  }
}

uint32_t sqcq__requests_want_cancel(struct sqcq__requests *requests,
                                    const struct sqcq__match *match, uint32_t flags)
{
  uint32_t matched = 0;

  for (uint32_t place = 0; place < requests->depth; place++) {
    if (requests->flying[place] == SQCQ__NO_SLOT)
      continue;
    struct sqcq__slot *slot = &requests->slots[requests->flying[place]];

    if (!matches(slot, match))
      continue;
    sqcq__requests_want_one(requests, slot, flags);
    matched++;
  }
  return matched;
}

struct sqcq__slot *sqcq__requests_next_cancel(struct sqcq__requests *requests, uint32_t *place)
{
  if (requests->cancels_wanted == 0 || requests->cancels_out == requests->depth)
    return NULL;
  for (; *place < requests->depth; ++*place) {
    if (requests->flying[*place] == SQCQ__NO_SLOT)
      continue;
    struct sqcq__slot *slot = &requests->slots[requests->flying[*place]];

    if (slot->cancel_wanted) {
      slot->cancel_wanted = false;
      slot->cancel_out = true;
      requests->cancels_wanted--;
      requests->cancels_out++;
      return slot;
    }
  }
  return NULL;
}

void sqcq__requests_uncancel(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  slot->cancel_wanted = true;
  slot->cancel_out = false;
  requests->cancels_wanted++;
  requests->cancels_out--;
}

uint32_t sqcq__requests_unqueue(struct sqcq__requests *requests, const struct sqcq__match *match)
{
  uint32_t first = SQCQ__NO_SLOT;

  for (uint32_t channel = 0; channel < requests->channel_count && requests->waiting_count > 0;
       channel++) {
    struct sqcq__lineup *lineup = &requests->lineups[channel];
    uint32_t *link = &lineup->head;
    uint32_t last = SQCQ__NO_SLOT;

    while (*link != SQCQ__NO_SLOT) {
      uint32_t index = *link;
      struct sqcq__slot *slot = &requests->slots[index];

      if (!matches(slot, match)) {
        last = index;
        link = &slot->next;
        continue;
      }
      *link = slot->next;
      slot->next = first;
      first = index;
      lineup->waiting--;
      requests->waiting_count--;
    }
    lineup->tail = last;
  }
  return first;
}

void sqcq__requests_drop(struct sqcq__requests *requests, struct sqcq__slot *slot)
{
  SQCQ_ASSERT(slot->state == SQCQ__SLOT_WAITING);
  free_slot(requests, slot);
}

void sqcq__requests_forget(struct sqcq__requests *requests, uint32_t channel)
{
  struct sqcq__lineup *lineup = &requests->lineups[channel];

  SQCQ_ASSERT(lineup->waiting == 0 && lineup->flying == 0);
  lineup->inflight_min = 1;
}
