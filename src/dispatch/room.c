#include "dispatch/room.h"

#include "base/check.h"
#include "base/handle.h"
#include "base/mem.h"
#include "dispatch/wake.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <unistd.h>

enum {
  NOTICE_FREE,
  NOTICE_MAKING, /* its owner's alone */
  NOTICE_ARMED,
  NOTICE_FIRING /* the waker's alone */
};

int sqcq__rooms_init(struct sqcq__rooms *rooms, uint32_t notices)
{
  rooms->notices = sqcq__mem_new(notices, sizeof(*rooms->notices));
  rooms->count = rooms->notices == NULL ? 0 : notices;
  return rooms->notices == NULL ? -ENOMEM : 0;
}

void sqcq__rooms_fini(struct sqcq__rooms *rooms)
{
  for (uint32_t i = 0; i < rooms->count; i++) {
    /* relaxed: nobody else is here any more */
    uint64_t word = sqcq__load_relaxed(&rooms->notices[i].word);

    if (sqcq__word_state(word) == NOTICE_ARMED)
      (void)close(rooms->notices[i].fd);
  }
  sqcq__mem_free(rooms->notices);
  rooms->notices = NULL;
  rooms->count = 0;
}

/* ------------------------------------------------------------------------- */
/* Sleepers                                                                  */
/* ------------------------------------------------------------------------- */

static void wake_sleepers(struct sqcq__rooms *rooms, struct sqcq__room *room, uint32_t count)
{
  sqcq__add_acq_rel(&room->sequence, 1); /* pair(room-sequence) release */
  uint32_t woken = sqcq__futex_wake(&room->sequence, count);

  if (woken > 0)
    sqcq__add_relaxed(&rooms->wakes, woken);
}

void sqcq__room_sleep(struct sqcq__rooms *rooms, struct sqcq__room *room, uint32_t prepared,
                      int64_t deadline_ns)
{
  sqcq__add_relaxed(&rooms->sleeps, 1);
  sqcq__futex_wait(&room->sequence, prepared, deadline_ns);
}

void sqcq__room_leave(struct sqcq__rooms *rooms, struct sqcq__room *room, bool found)
{
  uint64_t before = sqcq__sub_seq(&room->awaited, SQCQ__ROOM_SLEEPER);

  SQCQ_ASSERT(sqcq__room_sleepers(before) > 0);
  if (found && sqcq__room_sleepers(before) > 1)
    wake_sleepers(rooms, room, 1); /* the baton */
}

/* ------------------------------------------------------------------------- */
/* Notices                                                                   */
/* ------------------------------------------------------------------------- */

int sqcq__notice_make(struct sqcq__rooms *rooms, uint32_t *generation)
{
  uint32_t start = sqcq__load_relaxed(&rooms->turn); /* relaxed: where to begin */

  for (uint32_t i = 0; i < rooms->count; i++) {
    uint32_t index = (start + i) % rooms->count;
    struct sqcq__notice *notice = &rooms->notices[index];
    uint64_t word = sqcq__load_relaxed(&notice->word); /* relaxed: the CAS checks it */

    if (sqcq__word_state(word) != NOTICE_FREE)
      continue;
    *generation = sqcq__generation_after(sqcq__word_generation(word));
    /* pair(notice) acquire: the last one's descriptor was read before */
    if (sqcq__cas_acq_rel(&notice->word, &word, sqcq__word(*generation, NOTICE_MAKING)))
      return (int)index;
  }
  return -ENOSPC;
}

/* By whoever has it alone. */
static void set_state(struct sqcq__notice *notice, uint32_t state)
{
  uint64_t word = sqcq__load_relaxed(&notice->word); /* relaxed: ours alone */

  /* pair(notice) release: what was done with it comes before; pair(room) announce: where it is ARMED
   */
  sqcq__store_seq(&notice->word, sqcq__word(sqcq__word_generation(word), state));
}

void sqcq__notice_drop(struct sqcq__rooms *rooms, uint32_t index)
{
  set_state(&rooms->notices[index], NOTICE_FREE);
}

void sqcq__notice_arm(struct sqcq__rooms *rooms, uint32_t index, struct sqcq__room *room, int fd)
{
  struct sqcq__notice *notice = &rooms->notices[index];

  notice->fd = fd;
  sqcq__store_relaxed(&notice->room, room); /* relaxed: see its field */
  /* First counted, then armed: who finds it armed finds it counted. */
  sqcq__add_seq(&room->awaited, SQCQ__ROOM_NOTICE); /* pair(room) announce */
  set_state(notice, NOTICE_ARMED);
}

/* From ARMED to a state of the caller's own; `word` as it was seen. False: somebody else was faster. */
static bool claim(struct sqcq__notice *notice, uint64_t word, uint32_t state)
{
  /* pair(notice) acquire: its descriptor and its room */
  if (!sqcq__cas_acq_rel(&notice->word, &word, sqcq__word(sqcq__word_generation(word), state)))
    return false;
  struct sqcq__room *room = sqcq__load_relaxed(&notice->room);
  uint64_t before = sqcq__sub_seq(&room->awaited, SQCQ__ROOM_NOTICE);
  SQCQ_ASSERT(sqcq__room_notices(before) > 0);
  (void)before;
  return true;
}

bool sqcq__notice_disarm(struct sqcq__rooms *rooms, uint32_t index, uint32_t generation)
{
  struct sqcq__notice *notice = &rooms->notices[index];

  if (!claim(notice, sqcq__word(generation, NOTICE_ARMED), NOTICE_MAKING))
    return false;
  (void)close(notice->fd);
  set_state(notice, NOTICE_FREE);
  return true;
}

/* Up to `count` notices of this room, each with its own turn. */
static void fire(struct sqcq__rooms *rooms, const struct sqcq__room *room, uint32_t count)
{
  uint32_t start = sqcq__load_relaxed(&rooms->turn); /* relaxed: where to begin */

  for (uint32_t i = 0; i < rooms->count && count > 0; i++) {
    uint32_t index = (start + i) % rooms->count;
    struct sqcq__notice *notice = &rooms->notices[index];
    /* pair(room) look: one that is not armed yet sees the room; pair(notice) acquire */
    uint64_t word = sqcq__load_seq(&notice->word);

    if (sqcq__word_state(word) != NOTICE_ARMED || sqcq__load_relaxed(&notice->room) != room ||
        !claim(notice, word, NOTICE_FIRING))
      continue;
    sqcq__eventfd_write(notice->fd);
    (void)close(notice->fd);
    set_state(notice, NOTICE_FREE);
    sqcq__add_relaxed(&rooms->fired, 1);
    sqcq__store_relaxed(&rooms->turn, index + 1);
    count--;
  }
}

void sqcq__room_given(struct sqcq__rooms *rooms, struct sqcq__room *room, uint32_t given,
                      uint32_t free, uint32_t size)
{
  uint64_t awaited = sqcq__room_awaited(room);
  uint32_t notices = sqcq__room_notices(awaited);

  if (sqcq__room_sleepers(awaited) > 0)
    wake_sleepers(rooms, room, given);
  if (notices > 0)
    fire(rooms, room, free >= size || free >= notices ? UINT32_MAX : given);
}

void sqcq__room_end(struct sqcq__rooms *rooms, struct sqcq__room *room)
{
  uint64_t awaited = sqcq__room_awaited(room);

  if (sqcq__room_sleepers(awaited) > 0)
    wake_sleepers(rooms, room, INT_MAX);
  if (sqcq__room_notices(awaited) > 0)
    fire(rooms, room, UINT32_MAX);
}
