/*
 * The request table: queues, rotation, bounds of the depth, cancels. Plain single-threaded code; after each
 * step the whole table is gone through.
 */
#include "engine/requests.h"

#include "base/mem.h"
#include "support/rng.h"
#include "support/test.h"

#include <string.h>

#define TAG 0x123u
#define CHANNELS_MAX 8u

static struct sqcq__requests table;
static struct sqcq__channel *channels;

/* ------------------------------------------------------------------------- */
/* Whether the table is whole                                                */
/* ------------------------------------------------------------------------- */

static uint32_t count_state(enum sqcq__slot_state state)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < table.capacity; i++)
    count += table.slots[i].state == state;
  return count;
}

static void check_lineup(uint32_t channel)
{
  const struct sqcq__lineup *lineup = &table.lineups[channel];
  uint32_t waiting = 0, flying = 0, last = SQCQ__NO_SLOT;

  for (uint32_t i = lineup->head; i != SQCQ__NO_SLOT; i = table.slots[i].next) {
    assert_true(i < table.capacity);
    assert_int_equal(table.slots[i].state, SQCQ__SLOT_WAITING);
    assert_int_equal(sqcq__request_channel(&table.slots[i].request), channel);
    assert_true(++waiting <= table.capacity);
    last = i;
  }
  assert_int_equal(lineup->waiting, waiting);
  if (waiting > 0)
    assert_int_equal(lineup->tail, last);
  for (uint32_t i = 0; i < table.capacity; i++)
    flying += table.slots[i].state == SQCQ__SLOT_FLYING &&
              sqcq__request_channel(&table.slots[i].request) == channel;
  assert_int_equal(lineup->flying, flying);
  assert_true(flying <= lineup->inflight_max);
  if (waiting > 0 && flying < lineup->inflight_max)
    assert_true(lineup->in_rotation); /* else it would never be served */
}

static void check_rotation(void)
{
  uint32_t members = 0, last = UINT32_MAX;

  for (uint32_t i = 0; i < table.channel_count; i++)
    members += table.lineups[i].in_rotation;
  for (uint32_t i = table.rotation_head; i != UINT32_MAX; i = table.lineups[i].next) {
    assert_true(i < table.channel_count);
    assert_true(table.lineups[i].in_rotation);
    assert_true(members-- > 0);
    last = i;
  }
  assert_int_equal(members, 0);
  assert_int_equal(table.rotation_tail, last);
}

static void check(void)
{
  uint32_t reserved = 0, used = 0, wanted = 0, out = 0, missed = 0;

  for (uint32_t i = 0; i < table.channel_count; i++) {
    const struct sqcq__lineup *lineup = &table.lineups[i];

    check_lineup(i);
    reserved += lineup->inflight_min;
    used += lineup->flying < lineup->inflight_min ? lineup->flying : lineup->inflight_min;
  }
  check_rotation();
  table.reserved = reserved; /* the caller knows it; here it is what the lineups know */
  assert_int_equal(table.reserved_used, used);
  assert_true(reserved <= table.depth);
  for (uint32_t i = 0; i < table.capacity; i++) {
    const struct sqcq__slot *slot = &table.slots[i];

    wanted += slot->cancel_wanted;
    out += slot->cancel_out;
    missed += slot->cancel_missed;
    assert_true(slot->cancel_wanted + slot->cancel_out + slot->cancel_missed <= 1);
    if (slot->cancel_wanted || slot->cancel_missed)
      assert_int_equal(slot->state, SQCQ__SLOT_FLYING);
    if (slot->state == SQCQ__SLOT_ANSWERED)
      assert_true(slot->cancel_out);
    if (slot->state == SQCQ__SLOT_FLYING)
      assert_int_equal(table.flying[slot->place], i);
  }
  assert_int_equal(table.cancels_wanted, wanted);
  assert_int_equal(table.cancels_out, out);
  assert_int_equal(table.cancels_missed, missed);
  assert_int_equal(table.free_count, count_state(SQCQ__SLOT_FREE));
  assert_int_equal(table.flying_count, count_state(SQCQ__SLOT_FLYING));
  assert_int_equal(table.waiting_count, count_state(SQCQ__SLOT_WAITING));
  assert_true(table.flying_count <= table.depth);
  assert_int_equal(table.place_count, table.depth - table.flying_count);
}

/* ------------------------------------------------------------------------- */
/* Steps                                                                     */
/* ------------------------------------------------------------------------- */

static void make(uint32_t credits, uint32_t channel_count, uint32_t depth)
{
  assert_ok(sqcq__requests_init(&table, credits, channel_count, depth));
  channels = sqcq__mem_new(CHANNELS_MAX, sizeof(*channels));
  assert_non_null(channels);
  for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
    channels[i].inflight_min = 1;
    channels[i].inflight_max = depth;
  }
  check();
}

static int unmake(void **state)
{
  (void)state;
  sqcq__requests_fini(&table);
  sqcq__mem_free(channels);
  return 0;
}

static uint64_t file(uint32_t index)
{
  return sqcq__handle(1, index, TAG);
}

/* All of this file, 0: all there are. */
static const struct sqcq__match *of(uint64_t handle)
{
  static struct sqcq__match match;

  match = (struct sqcq__match){.file = handle};
  return &match;
}

static struct sqcq__slot *accept_file(uint32_t channel, uint32_t index, uint64_t user_data)
{
  struct sqcq__slot *slot = sqcq__requests_blank(&table);

  assert_non_null(slot);
  slot->request = (struct sqcq__request){.file = sqcq__handle_retag(file(index), channel),
                                         .user_data = user_data};
  sqcq__requests_accept(&table, channels);
  check();
  return slot;
}

static struct sqcq__slot *accept(uint32_t channel, uint64_t user_data)
{
  return accept_file(channel, 0, user_data);
}

static struct sqcq__slot *start(void)
{
  struct sqcq__slot *slot = sqcq__requests_start(&table);

  check();
  return slot;
}

static struct sqcq__slot *start_of(uint32_t channel)
{
  struct sqcq__slot *slot = start();

  assert_non_null(slot);
  assert_int_equal(sqcq__request_channel(&slot->request), channel);
  return slot;
}

static void land(struct sqcq__slot *slot)
{
  sqcq__requests_land(&table, slot);
  check();
}

static void cancelled(struct sqcq__slot *slot)
{
  sqcq__requests_cancelled(&table, slot, false);
  check();
}

static struct sqcq__slot *next_cancel(uint32_t *place)
{
  struct sqcq__slot *slot = sqcq__requests_next_cancel(&table, place);

  check();
  return slot;
}

/* ------------------------------------------------------------------------- */
/* From a blank slot to its end                                              */
/* ------------------------------------------------------------------------- */

static void requests_init_has_a_slot_a_credit_and_depth_more(void **state)
{
  make(10, 3, 4);
  assert_int_equal(table.capacity, 14);
  assert_int_equal(table.free_count, 14);
  assert_true(sqcq__requests_empty(&table));
  assert_null(start());
}

static void requests_blank_stays_free_until_accepted(void **state)
{
  make(2, 1, 1);
  struct sqcq__slot *slot = sqcq__requests_blank(&table);

  assert_ptr_equal(sqcq__requests_blank(&table), slot);
  assert_int_equal(table.free_count, 3);
  accept(0, 1);
  assert_ptr_not_equal(sqcq__requests_blank(&table), slot);
}

static void requests_blank_of_a_full_table_is_null(void **state)
{
  make(2, 1, 1);
  for (uint32_t i = 0; i < 3; i++)
    accept(0, i);
  assert_null(sqcq__requests_blank(&table));
}

static void requests_slot_goes_its_way_and_gets_a_new_generation(void **state)
{
  make(1, 1, 1);
  struct sqcq__slot *slot = accept(0, 7);
  uint32_t generation = slot->generation;

  assert_int_equal(slot->state, SQCQ__SLOT_WAITING);
  assert_false(sqcq__requests_empty(&table));
  assert_ptr_equal(start(), slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FLYING);
  assert_int_equal(slot->request.user_data, 7);
  assert_false(sqcq__requests_empty(&table));
  land(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_int_equal(slot->generation, generation + 1);
  assert_true(sqcq__requests_empty(&table));
}

static void requests_of_one_channel_start_in_order(void **state)
{
  make(20, 2, 20);
  for (uint32_t i = 0; i < 15; i++)
    accept(1, i);
  for (uint32_t i = 0; i < 15; i++)
    assert_int_equal(start_of(1)->request.user_data, i);
  assert_null(start());
}

static void requests_start_stops_at_the_depth(void **state)
{
  struct sqcq__slot *slots[4];

  make(8, 1, 4);
  for (uint32_t i = 0; i < 8; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 4; i++)
    slots[i] = start_of(0);
  assert_null(start());
  land(slots[2]);
  assert_int_equal(start_of(0)->request.user_data, 4);
  assert_null(start());
}

static void requests_unstart_is_first_again(void **state)
{
  make(4, 1, 4);
  for (uint32_t i = 0; i < 3; i++)
    accept(0, i);
  struct sqcq__slot *first = start_of(0);
  struct sqcq__slot *second = start_of(0);
  sqcq__requests_unstart(&table, second);
  check();
  assert_int_equal(second->state, SQCQ__SLOT_WAITING);
  assert_ptr_equal(start(), second);
  assert_int_equal(start_of(0)->request.user_data, 2);

  /* Where it was the only one. */
  accept(0, 3);
  struct sqcq__slot *last = start_of(0);
  sqcq__requests_unstart(&table, last);
  check();
  assert_int_equal(table.lineups[0].waiting, 1);
  accept(0, 4);
  land(first);
  assert_ptr_equal(start(), last);
}

/* ------------------------------------------------------------------------- */
/* Several channels                                                          */
/* ------------------------------------------------------------------------- */

static void requests_of_several_channels_start_in_rotation(void **state)
{
  static const uint32_t order[] = {0, 2, 3, 0, 2, 3, 0, 2, 0, 0};

  make(20, 4, 20);
  for (uint32_t i = 0; i < 5; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 3; i++)
    accept(2, i);
  for (uint32_t i = 0; i < 2; i++)
    accept(3, i);
  for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
    (void)start_of(order[i]);
  assert_null(start());
}

static void requests_of_a_late_channel_do_not_wait_for_a_long_queue(void **state)
{
  make(200, 2, 4);
  for (uint32_t i = 0; i < 100; i++)
    accept(0, i);
  struct sqcq__slot *slot = start_of(0);
  accept(1, 1000);
  /* At most one of the others comes before it. */
  struct sqcq__slot *next = start();
  if (sqcq__request_channel(&next->request) == 0)
    (void)start_of(1);
  land(slot);
}

static void requests_inflight_max_bounds_a_channel(void **state)
{
  struct sqcq__slot *slots[3];

  make(20, 2, 8);
  channels[0].inflight_max = 3;
  for (uint32_t i = 0; i < 6; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 3; i++)
    slots[i] = start_of(0);
  assert_null(start());
  assert_false(table.lineups[0].in_rotation); /* nothing to ask it for */
  accept(1, 0);
  (void)start_of(1); /* the other one has room */
  assert_null(start());
  land(slots[0]);
  (void)start_of(0);
  assert_null(start());
}

static void requests_never_ending_leave_every_other_channel_a_place(void **state)
{
  make(100, 4, 8);
  for (uint32_t i = 0; i < 50; i++)
    accept(0, i);
  uint32_t flying = 0;
  while (start() != NULL)
    flying++;
  assert_int_equal(flying, 8 - 3); /* one place each for those who are not here yet */
  for (uint32_t channel = 1; channel < 4; channel++) {
    accept(channel, 0);
    accept(channel, 1);
    struct sqcq__slot *slot = start_of(channel);
    assert_null(start()); /* and no more than that */
    land(slot);
    (void)start_of(channel); /* again and again, whatever channel 0 does */
    assert_null(start());
  }
}

static void requests_inflight_min_is_kept_for_its_channel(void **state)
{
  struct sqcq__slot *slots[4];

  make(100, 3, 8);
  channels[1].inflight_min = 4;
  for (uint32_t i = 0; i < 4; i++)
    accept(1, i);
  for (uint32_t i = 0; i < 4; i++)
    slots[i] = start_of(1);
  for (uint32_t i = 0; i < 50; i++)
    accept(0, i);
  uint32_t flying = 0;
  while (start() != NULL)
    flying++;
  assert_int_equal(flying, 8 - 4 - 1);
  /* As channel 1 comes down from its share, the room stays its own. */
  for (uint32_t i = 0; i < 4; i++) {
    land(slots[i]);
    assert_null(start());
  }
  for (uint32_t i = 0; i < 10; i++)
    accept(1, i);
  for (uint32_t i = 0; i < 4; i++)
    (void)start_of(1);
  assert_null(start());
}

static void requests_beyond_inflight_min_come_out_of_what_is_common(void **state)
{
  struct sqcq__slot *slots[6];

  make(100, 2, 8);
  channels[0].inflight_min = 2;
  for (uint32_t i = 0; i < 20; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 6; i++)
    slots[i] = start_of(0);
  (void)start_of(0);
  assert_null(start()); /* 7 of 8: one is channel 1's */
  for (uint32_t i = 0; i < 20; i++)
    accept(1, i);
  (void)start_of(1);
  assert_null(start());
  land(slots[0]);
  assert_non_null(start()); /* a common place: either may have it */
  land(slots[1]);
  assert_non_null(start());
  assert_null(start());
}

static void requests_forget_gives_the_share_back(void **state)
{
  make(100, 2, 8);
  channels[1].inflight_min = 5;
  accept(1, 0);
  struct sqcq__slot *slot = start_of(1);
  assert_int_equal(table.reserved, 6);
  land(slot);
  sqcq__requests_forget(&table, 1);
  check();
  assert_int_equal(table.reserved, 2);
  for (uint32_t i = 0; i < 20; i++)
    accept(0, i);
  uint32_t flying = 0;
  while (start() != NULL)
    flying++;
  assert_int_equal(flying, 7);
}

static void requests_forget_of_one_never_used_changes_nothing(void **state)
{
  make(100, 3, 8);
  sqcq__requests_forget(&table, 2);
  check();
  assert_int_equal(table.reserved, 3);
}

static void requests_of_a_new_channel_bring_its_bounds(void **state)
{
  make(100, 2, 8);
  channels[0].inflight_max = 2;
  accept(0, 0);
  land(start_of(0));
  sqcq__requests_forget(&table, 0);
  channels[0].inflight_max = 4; /* another one in the same place */
  channels[0].inflight_min = 3;
  for (uint32_t i = 0; i < 10; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 4; i++)
    (void)start_of(0);
  assert_null(start());
  assert_int_equal(table.reserved, 4);
}

/* ------------------------------------------------------------------------- */
/* Cancels                                                                   */
/* ------------------------------------------------------------------------- */

static void requests_want_cancel_of_all_reaches_what_flies(void **state)
{
  uint32_t place = 0;
  struct sqcq__slot *flying[3];

  make(10, 2, 4);
  for (uint32_t i = 0; i < 5; i++)
    accept(0, i);
  for (uint32_t i = 0; i < 3; i++)
    flying[i] = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_STOPPED);
  check();
  assert_int_equal(table.cancels_wanted, 3);
  uint32_t seen = 0;
  for (struct sqcq__slot *slot; (slot = next_cancel(&place)) != NULL;) {
    assert_true(slot->cancel_out);
    assert_false(slot->cancel_wanted);
    assert_int_equal(slot->flags, SQCQ_COMPLETION_STOPPED);
    for (uint32_t i = 0; i < 3; i++)
      if (slot == flying[i])
        seen |= 1u << i;
  }
  assert_int_equal(seen, 7);
  assert_int_equal(table.cancels_out, 3);
  assert_int_equal(table.cancels_wanted, 0);
}

static void requests_want_cancel_of_a_file_leaves_the_others(void **state)
{
  uint32_t place = 0;

  make(10, 2, 8);
  (void)accept_file(0, 5, 0);
  (void)accept_file(1, 6, 1);
  (void)accept_file(1, 5, 2);
  for (int i = 0; i < 3; i++)
    (void)start();
  (void)sqcq__requests_want_cancel(&table, of(file(5)), SQCQ_COMPLETION_FILE_REMOVED);
  check();
  assert_int_equal(table.cancels_wanted, 2);
  for (struct sqcq__slot *slot; (slot = next_cancel(&place)) != NULL;)
    assert_int_not_equal(slot->request.user_data, 1);
  /* Another generation of the same index is another file. */
  (void)sqcq__requests_want_cancel(&table, of(sqcq__handle(2, 6, TAG)), 0);
  check();
  assert_int_equal(table.cancels_wanted, 0);
}

static void requests_want_cancel_twice_is_one_cancel(void **state)
{
  uint32_t place = 0;

  make(2, 1, 2);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_FILE_REMOVED);
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_STOPPED);
  check();
  assert_int_equal(table.cancels_wanted, 1);
  assert_ptr_equal(next_cancel(&place), slot);
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_STOPPED); /* it is out already */
  check();
  assert_int_equal(table.cancels_wanted, 0);
  assert_int_equal(slot->flags, SQCQ_COMPLETION_FILE_REMOVED | SQCQ_COMPLETION_STOPPED);
}

static void requests_landed_keep_their_slot_while_the_cancel_is_out(void **state)
{
  uint32_t place = 0;

  make(1, 1, 1);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  uint32_t generation = slot->generation;
  (void)sqcq__requests_want_cancel(&table, of(0), 0);
  assert_ptr_equal(next_cancel(&place), slot);
  land(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_ANSWERED);
  assert_int_equal(slot->generation, generation); /* the cancel's CQE still finds it */
  assert_false(sqcq__requests_empty(&table));
  assert_int_equal(table.flying_count, 0); /* but not its part of the depth */
  struct sqcq__slot *other = accept(0, 1); /* its credit may be in use again: there is room */
  assert_ptr_not_equal(other, slot);
  assert_ptr_equal(start(), other);
  cancelled(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_int_equal(slot->generation, generation + 1);
  assert_int_equal(table.cancels_out, 0);
}

static void requests_cancelled_before_it_lands_flies_on(void **state)
{
  uint32_t place = 0;

  make(1, 1, 1);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 0);
  assert_ptr_equal(next_cancel(&place), slot);
  cancelled(slot); /* the cancel's CQE came first */
  assert_int_equal(slot->state, SQCQ__SLOT_FLYING);
  land(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_true(sqcq__requests_empty(&table));
}

static void requests_landed_before_the_cancel_went_out_need_none(void **state)
{
  uint32_t place = 0;

  make(2, 1, 2);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_STOPPED);
  land(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_int_equal(table.cancels_wanted, 0);
  assert_null(next_cancel(&place));
  /* The next tenant of the slot is not cancelled for it, and has its own flags. */
  assert_ptr_equal(accept(0, 1), slot);
  assert_ptr_equal(start(), slot);
  assert_int_equal(slot->flags, 0);
  assert_false(slot->cancel_wanted);
}

static void requests_cancel_that_missed_is_tried_again_when_told(void **state)
{
  uint32_t place = 0;
  struct sqcq__slot *slots[3];

  make(3, 1, 4);
  for (uint32_t i = 0; i < 3; i++) {
    accept(0, i);
    slots[i] = start_of(0);
  }
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_STOPPED);
  for (int i = 0; i < 3; i++)
    assert_non_null(next_cancel(&place));
  sqcq__requests_cancelled(&table, slots[0], true);
  sqcq__requests_cancelled(&table, slots[2], true);
  cancelled(slots[1]); /* this one hit; its own CQE is on its way */
  assert_int_equal(table.cancels_missed, 2);
  assert_int_equal(table.cancels_wanted, 0);
  /* Whoever wants them cancelled again meanwhile does not bring that about earlier. */
  (void)sqcq__requests_want_cancel(&table, of(0), SQCQ_COMPLETION_FILE_REMOVED);
  check();
  assert_int_equal(table.cancels_wanted, 1); /* of the one that is not noted as missed */
  assert_int_equal(slots[0]->flags, SQCQ_COMPLETION_STOPPED | SQCQ_COMPLETION_FILE_REMOVED);
  sqcq__requests_retry_missed(&table);
  check();
  assert_int_equal(table.cancels_missed, 0);
  assert_int_equal(table.cancels_wanted, 3);
  place = 0;
  for (int i = 0; i < 3; i++)
    assert_non_null(next_cancel(&place));
  assert_null(next_cancel(&place));
  sqcq__requests_retry_missed(&table); /* nothing left */
  check();
  assert_int_equal(table.cancels_wanted, 0);
}

static void requests_landed_after_a_missed_cancel_forget_it(void **state)
{
  uint32_t place = 0;

  make(2, 1, 2);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 1);
  assert_ptr_equal(next_cancel(&place), slot);
  sqcq__requests_cancelled(&table, slot, true);
  check();
  land(slot);
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_int_equal(table.cancels_missed, 0);
  assert_true(sqcq__requests_empty(&table));
  assert_ptr_equal(accept(0, 1), slot); /* the next tenant is not cancelled for it */
  assert_ptr_equal(start(), slot);
  sqcq__requests_retry_missed(&table);
  check();
  assert_int_equal(table.cancels_wanted, 0);
}

static void requests_missed_cancel_of_one_that_has_landed_is_no_matter(void **state)
{
  uint32_t place = 0;

  make(2, 1, 2);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 1);
  assert_ptr_equal(next_cancel(&place), slot);
  land(slot);
  sqcq__requests_cancelled(&table, slot, true); /* -ENOENT: it was faster */
  check();
  assert_int_equal(slot->state, SQCQ__SLOT_FREE);
  assert_int_equal(table.cancels_missed, 0);
}

static void requests_uncancel_is_wanted_again(void **state)
{
  uint32_t place = 0;

  make(2, 1, 2);
  accept(0, 0);
  struct sqcq__slot *slot = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 0);
  assert_ptr_equal(next_cancel(&place), slot);
  sqcq__requests_uncancel(&table, slot);
  check();
  assert_int_equal(table.cancels_wanted, 1);
  assert_int_equal(table.cancels_out, 0);
  place = 0;
  assert_ptr_equal(next_cancel(&place), slot);
}

static void requests_next_cancel_stops_at_as_many_as_the_cq_holds(void **state)
{
  struct sqcq__slot *slots[2];
  uint32_t place = 0;

  make(10, 1, 2);
  for (uint32_t i = 0; i < 4; i++)
    accept(0, i);
  slots[0] = start_of(0);
  slots[1] = start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 0);
  assert_non_null(next_cancel(&place));
  assert_non_null(next_cancel(&place));
  land(slots[0]);
  land(slots[1]); /* both cancels' CQEs are still to come */
  (void)start_of(0);
  (void)start_of(0);
  (void)sqcq__requests_want_cancel(&table, of(0), 0);
  check();
  assert_int_equal(table.cancels_wanted, 2);
  place = 0;
  assert_null(next_cancel(&place));
  cancelled(slots[0]);
  assert_non_null(next_cancel(&place));
  assert_null(next_cancel(&place));
  cancelled(slots[1]);
  assert_non_null(next_cancel(&place));
}

/* ------------------------------------------------------------------------- */
/* Out of the queues                                                         */
/* ------------------------------------------------------------------------- */

/* Drop all that unqueue gave; the sum of 1 << user_data says which they were. */
static uint32_t drop_all(uint32_t index)
{
  uint32_t seen = 0;

  while (index != SQCQ__NO_SLOT) {
    struct sqcq__slot *slot = &table.slots[index];

    index = slot->next;
    assert_int_equal(seen & 1u << slot->request.user_data, 0);
    seen |= 1u << slot->request.user_data;
    sqcq__requests_drop(&table, slot);
  }
  check();
  return seen;
}

static void requests_unqueue_of_a_file_takes_it_out_of_every_channel(void **state)
{
  make(20, 3, 8);
  (void)accept_file(0, 5, 0);
  (void)accept_file(0, 6, 1);
  (void)accept_file(0, 5, 2);
  (void)accept_file(1, 5, 3); /* all of this one's */
  (void)accept_file(2, 6, 4);
  (void)accept_file(2, 6, 5);
  (void)accept_file(2, 5, 6); /* the last */
  assert_int_equal(drop_all(sqcq__requests_unqueue(&table, of(file(5)))),
                   1u << 0 | 1u << 2 | 1u << 3 | 1u << 6);
  assert_int_equal(table.waiting_count, 3);
  /* What is left is whole, and takes more at its end. */
  (void)accept_file(0, 7, 7);
  (void)accept_file(1, 7, 8);
  (void)accept_file(2, 7, 9);
  uint32_t order[3] = {0, 0, 0};
  uint64_t last[3] = {0, 0, 0};
  for (struct sqcq__slot *slot; (slot = start()) != NULL;) {
    uint32_t channel = sqcq__request_channel(&slot->request);

    assert_true(slot->request.user_data > last[channel]);
    last[channel] = slot->request.user_data;
    order[channel]++;
  }
  assert_int_equal(order[0], 2);
  assert_int_equal(order[1], 1);
  assert_int_equal(order[2], 3);
}

static void requests_unqueue_of_all_leaves_those_that_fly(void **state)
{
  make(20, 3, 8);
  accept(0, 0);
  struct sqcq__slot *flying = start_of(0);
  for (uint32_t i = 1; i < 10; i++)
    accept(i % 3, i);
  assert_int_equal(drop_all(sqcq__requests_unqueue(&table, of(0))), 0x3fe);
  assert_int_equal(table.waiting_count, 0);
  assert_int_equal(table.flying_count, 1);
  assert_null(start()); /* nobody is left in the rotation */
  assert_int_equal(sqcq__requests_unqueue(&table, of(0)), SQCQ__NO_SLOT);
  land(flying);
  assert_true(sqcq__requests_empty(&table));
  accept(1, 0);
  (void)start_of(1);
}

static void requests_unqueue_of_a_file_nobody_waits_for_is_nothing(void **state)
{
  make(20, 3, 8);
  (void)accept_file(0, 5, 0);
  assert_int_equal(sqcq__requests_unqueue(&table, of(file(6))), SQCQ__NO_SLOT);
  assert_int_equal(sqcq__requests_unqueue(&table, of(sqcq__handle(2, 5, TAG))), SQCQ__NO_SLOT);
  check();
  (void)start_of(0);
}

/* How many of the table are meant, where flying and where waiting: one is in the table. */
static uint32_t meant(struct sqcq__match match)
{
  uint32_t flying = sqcq__requests_want_cancel(&table, &match, 0);

  if (flying > 0)
    return flying;
  uint32_t index = sqcq__requests_unqueue(&table, &match), count = 0;
  for (; index != SQCQ__NO_SLOT; count++) {
    struct sqcq__slot *slot = &table.slots[index];
    struct sqcq__request request = slot->request;
    uint32_t flags = slot->flags;

    index = slot->next;
    sqcq__requests_drop(&table, slot);
    slot = sqcq__requests_blank(&table); /* back again */
    slot->request = request;
    sqcq__requests_accept(&table, channels);
    slot->flags = flags;
  }
  return count;
}

static void match_means_a_file_a_channel_a_number_or_a_flag(void **state)
{
  for (int flies = 0; flies < 2; flies++) {
    make(4, 3, 4);
    struct sqcq__slot *slot = sqcq__requests_blank(&table);

    slot->request = (struct sqcq__request){.file = sqcq__handle(3, 9, 2), .user_data = 5};
    sqcq__requests_accept(&table, channels);
    if (flies)
      assert_ptr_equal(sqcq__requests_start(&table), slot);
    slot->flags = SQCQ_COMPLETION_DEADLINE;

    assert_int_equal(meant((struct sqcq__match){0}), 1);
    assert_int_equal(meant((struct sqcq__match){.file = sqcq__handle(3, 9, TAG)}), 1);
    assert_int_equal(meant((struct sqcq__match){.file = sqcq__handle(4, 9, TAG)}), 0);
    assert_int_equal(meant((struct sqcq__match){.file = sqcq__handle(3, 8, TAG)}), 0);
    assert_int_equal(meant((struct sqcq__match){.channel = 3}), 1);
    assert_int_equal(meant((struct sqcq__match){.channel = 2}), 0);
    assert_int_equal(meant((struct sqcq__match){.channel = 1}), 0);
    assert_int_equal(meant((struct sqcq__match){.by_user_data = true, .user_data = 5}), 1);
    assert_int_equal(meant((struct sqcq__match){.by_user_data = true}), 0);
    assert_int_equal(
        meant((struct sqcq__match){.channel = 3, .by_user_data = true, .user_data = 5}), 1);
    assert_int_equal(
        meant((struct sqcq__match){.channel = 2, .by_user_data = true, .user_data = 5}), 0);
    assert_int_equal(meant((struct sqcq__match){.flags = SQCQ_COMPLETION_DEADLINE}), 1);
    assert_int_equal(meant((struct sqcq__match){.flags = SQCQ_COMPLETION_CANCELLED}), 0);
    unmake(NULL);
  }
}

static void match_of_epochs_means_older_requests_also_where_they_wrap(void **state)
{
  static const struct {
    uint32_t request, cancel;
    uint32_t meant;
  } cases[] = {
      {0, 0, 0},
      {0, 1, 1},
      {1, 1, 0},
      {2, 1, 0},
      {7, 9, 1},
      {UINT32_MAX, 0, 1},
      {UINT32_MAX, 5, 1},
      {0, UINT32_MAX, 0},
      {5, UINT32_MAX - 5, 0},
      {1u << 31, (1u << 31) + 1, 1},
      {(1u << 31) + 1, 1u << 31, 0},
      {(1u << 31) - 1, 1u << 31, 1},
      {3, 3 + (uint32_t)INT32_MAX, 1},
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    make(4, 3, 4);
    struct sqcq__slot *slot = sqcq__requests_blank(&table);

    slot->request = (struct sqcq__request){.file = file(5), .cancel_epoch = cases[i].request};
    slot->request.file = sqcq__handle_retag(slot->request.file, 0);
    sqcq__requests_accept(&table, channels);
    assert_int_equal(meant((struct sqcq__match){.older = true, .epoch = cases[i].cancel}),
                     cases[i].meant);
    unmake(NULL);
  }
}

/* A silent read that has seen more cancels than a number can count. */
static void match_means_a_request_that_stays_however_many_cancels_pass(void **state)
{
  struct sqcq__match match = {.older = true, .channel = 3}; /* of another channel */

  make(4, 3, 4);
  (void)accept_file(0, 5, 0);
  (void)start_of(0);
  for (uint64_t epoch = 1; epoch < UINT64_C(10) << 32; epoch += 1u << 28) {
    match.epoch = (uint32_t)epoch;
    assert_int_equal(sqcq__requests_want_cancel(&table, &match, 0), 0);
  }
  match.channel = 1;
  assert_int_equal(sqcq__requests_want_cancel(&table, &match, 0), 1);
}

/* ------------------------------------------------------------------------- */
/* Anything, in any order                                                    */
/* ------------------------------------------------------------------------- */

static struct sqcq__slot *any_slot(struct rng *rng, enum sqcq__slot_state state)
{
  uint32_t count = count_state(state), skip;

  if (count == 0)
    return NULL;
  skip = (uint32_t)rng_below(rng, count);
  for (uint32_t i = 0; i < table.capacity; i++)
    if (table.slots[i].state == state && skip-- == 0)
      return &table.slots[i];
  return NULL;
}

static struct sqcq__slot *any_cancel_out(struct rng *rng)
{
  uint32_t skip = (uint32_t)rng_below(rng, table.capacity);

  for (uint32_t i = 0; i < table.capacity; i++) {
    struct sqcq__slot *slot = &table.slots[(i + skip) % table.capacity];

    if (slot->cancel_out)
      return slot;
  }
  return NULL;
}

static void random_step(struct rng *rng, uint32_t credits)
{
  struct sqcq__slot *slot;
  uint32_t place = 0;

  switch (rng_below(rng, 10)) {
  case 0:
  case 1:
  case 2: /* a credit is a request that waits or flies */
    if (table.waiting_count + table.flying_count < credits)
      (void)accept_file((uint32_t)rng_below(rng, table.channel_count), (uint32_t)rng_below(rng, 3),
                        rng_next(rng));
    break;
  case 3:
  case 4:
    slot = start();
    if (slot != NULL && rng_percent(rng, 10))
      sqcq__requests_unstart(&table, slot);
    break;
  case 5:
  case 6:
    slot = any_slot(rng, SQCQ__SLOT_FLYING);
    if (slot != NULL)
      land(slot);
    break;
  case 7:
    (void)sqcq__requests_want_cancel(
        &table, of(rng_percent(rng, 20) ? 0 : file((uint32_t)rng_below(rng, 3))), 1);
    while ((slot = next_cancel(&place)) != NULL)
      if (rng_percent(rng, 10)) {
        sqcq__requests_uncancel(&table, slot);
        break;
      }
    break;
  case 8:
    slot = any_cancel_out(rng);
    if (slot != NULL)
      sqcq__requests_cancelled(&table, slot, rng_percent(rng, 50));
    if (rng_percent(rng, 20))
      sqcq__requests_retry_missed(&table);
    break;
  default:
    if (rng_percent(rng, 20)) {
      uint32_t index = sqcq__requests_unqueue(&table, of(file((uint32_t)rng_below(rng, 3))));

      while (index != SQCQ__NO_SLOT) {
        slot = &table.slots[index];
        index = slot->next;
        sqcq__requests_drop(&table, slot);
      }
    }
    break;
  }
  check();
}

static void requests_in_any_order_stay_whole_and_all_end(void **state)
{
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(3));
  for (int round = 0; round < 40; round++) {
    uint32_t channel_count = (uint32_t)rng_between(&rng, 1, 4);
    uint32_t depth = (uint32_t)rng_between(&rng, channel_count, 8);
    uint32_t credits = (uint32_t)rng_between(&rng, 1, 12);
    uint32_t spare = depth - channel_count;

    make(credits, channel_count, depth);
    for (uint32_t i = 0; i < channel_count; i++) {
      uint32_t more = (uint32_t)rng_below(&rng, spare + 1);

      spare -= more;
      channels[i].inflight_min = 1 + more;
      channels[i].inflight_max = (uint32_t)rng_between(&rng, 1 + more, depth);
    }
    for (int step = 0; step < 300; step++)
      random_step(&rng, credits);
    /* With an answer to everything, everything ends. */
    for (uint32_t turns = 0; !sqcq__requests_empty(&table); turns++) {
      struct sqcq__slot *slot = start();

      assert_true(turns < 1000);
      if (slot == NULL && (slot = any_slot(&rng, SQCQ__SLOT_FLYING)) != NULL)
        land(slot);
      if ((slot = any_cancel_out(&rng)) != NULL)
        cancelled(slot);
    }
    assert_int_equal(table.free_count, table.capacity);
    unmake(NULL);
  }
}

#define REQUESTS_TEST(name) cmocka_unit_test_teardown(name, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      REQUESTS_TEST(requests_init_has_a_slot_a_credit_and_depth_more),
      REQUESTS_TEST(requests_blank_stays_free_until_accepted),
      REQUESTS_TEST(requests_blank_of_a_full_table_is_null),
      REQUESTS_TEST(requests_slot_goes_its_way_and_gets_a_new_generation),
      REQUESTS_TEST(requests_of_one_channel_start_in_order),
      REQUESTS_TEST(requests_start_stops_at_the_depth),
      REQUESTS_TEST(requests_unstart_is_first_again),
      REQUESTS_TEST(requests_of_several_channels_start_in_rotation),
      REQUESTS_TEST(requests_of_a_late_channel_do_not_wait_for_a_long_queue),
      REQUESTS_TEST(requests_inflight_max_bounds_a_channel),
      REQUESTS_TEST(requests_never_ending_leave_every_other_channel_a_place),
      REQUESTS_TEST(requests_inflight_min_is_kept_for_its_channel),
      REQUESTS_TEST(requests_beyond_inflight_min_come_out_of_what_is_common),
      REQUESTS_TEST(requests_forget_gives_the_share_back),
      REQUESTS_TEST(requests_forget_of_one_never_used_changes_nothing),
      REQUESTS_TEST(requests_of_a_new_channel_bring_its_bounds),
      REQUESTS_TEST(requests_want_cancel_of_all_reaches_what_flies),
      REQUESTS_TEST(requests_want_cancel_of_a_file_leaves_the_others),
      REQUESTS_TEST(requests_want_cancel_twice_is_one_cancel),
      REQUESTS_TEST(requests_landed_keep_their_slot_while_the_cancel_is_out),
      REQUESTS_TEST(requests_cancelled_before_it_lands_flies_on),
      REQUESTS_TEST(requests_landed_before_the_cancel_went_out_need_none),
      REQUESTS_TEST(requests_cancel_that_missed_is_tried_again_when_told),
      REQUESTS_TEST(requests_landed_after_a_missed_cancel_forget_it),
      REQUESTS_TEST(requests_missed_cancel_of_one_that_has_landed_is_no_matter),
      REQUESTS_TEST(requests_uncancel_is_wanted_again),
      REQUESTS_TEST(requests_next_cancel_stops_at_as_many_as_the_cq_holds),
      REQUESTS_TEST(requests_unqueue_of_a_file_takes_it_out_of_every_channel),
      REQUESTS_TEST(requests_unqueue_of_all_leaves_those_that_fly),
      REQUESTS_TEST(requests_unqueue_of_a_file_nobody_waits_for_is_nothing),
      cmocka_unit_test(match_means_a_file_a_channel_a_number_or_a_flag),
      cmocka_unit_test(match_of_epochs_means_older_requests_also_where_they_wrap),
      REQUESTS_TEST(match_means_a_request_that_stays_however_many_cancels_pass),
      cmocka_unit_test(requests_in_any_order_stay_whole_and_all_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
