/*
 * Producers wait for room: which bound, whether there is room, and who brings it. Doorway: P, C, I -> P;
 * the protocol is dispatch/room.h's.
 *
 *   channel  room is a credit: the consumer's give-back, a refused request's, and the end of the channel
 *   pool     a free buffer: its release, a destroy that was refused, and the end of the pool
 *   lanes    a slot of any lane. The I/O thread gives lanes back by plain stores and looks at nobody, so
 *            whoever waits asks it to: an announced one posts SQCQ__CONTROL_ROOM. A turn that finds the bit
 *            wakes one sleeper if there is room: the turn before may have taken its bits, then the waiter
 *            posted and saw the lanes full, and then that turn drained them. From then on, until nobody
 *            waits, turns that have drained something wake one, who passes the baton on: the I/O
 *            thread makes one system call a turn for all of them. So what a waiter saw full after its post
 *            is drained before the turn that takes the bit looks, or by a later one. A lane that others
 *            hold is no reason to sleep: a claim is held for some instructions, so nobody tells when it is
 *            given back.
 *   lane     a slot of an own lane: as the lanes, with a room for each
 */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to look again, and then to sleep, where all lanes with room are held: whoever holds one
 * may have been preempted, or be of lower priority. */
#define HELD_SPIN_NS INT64_C(20000)
#define HELD_NAP_NS INT64_C(100000)

static struct sqcq__channel *channel_of(struct sqcq_engine *engine, uint64_t id)
{
  return &engine->channels[sqcq__handle_index(id)];
}

static struct sqcq__room *room_of(struct sqcq_engine *engine, unsigned bound, uint64_t id)
{
  if (bound == SQCQ_BOUND_CHANNEL)
    return &channel_of(engine, id)->room;
  if (bound == SQCQ_BOUND_POOL)
    return &engine->buffers.pools[sqcq__handle_index(id)].room;
  if (bound == SQCQ_BOUND_LANE)
    return &engine->own_rooms[sqcq__handle_index(id)];
  return &engine->lanes_room;
}

static uint32_t lane_free(const struct sqcq_engine *engine, const struct sqcq__lane *lane)
{
  uint32_t count = sqcq__spsc_count(&lane->ring);

  return count < engine->lanes.slots ? engine->lanes.slots - count : 0;
}

/* Free slots of all shared lanes. */
static uint32_t lanes_free(struct sqcq_engine *engine)
{
  uint32_t sum = 0;

  for (uint32_t i = 0; i < engine->lanes.count; i++)
    sum += lane_free(engine, &engine->lanes.lanes[i]);
  return sum;
}

/* Whether every lane with room is somebody's just now. */
static bool lanes_held(struct sqcq_engine *engine)
{
  for (uint32_t i = 0; i < engine->lanes.count; i++) {
    struct sqcq__lane *lane = &engine->lanes.lanes[i];

    /* relaxed: advice */
    if (sqcq__load_relaxed(&lane->claim) == SQCQ__CLAIM_FREE &&
        sqcq__spsc_count(&lane->ring) < engine->lanes.slots)
      return false;
  }
  return true;
}

static uint32_t channel_free(struct sqcq__channel *channel, uint64_t word)
{
  uint32_t taken = sqcq__credit_taken(word);
  uint32_t capacity =
      sqcq__load_relaxed(&channel->credit.capacity); /* relaxed: came with the word */

  return taken < capacity ? capacity - taken : 0;
}

static int channel_room(struct sqcq__channel *channel, uint64_t id)
{
  uint64_t word = sqcq__load_seq(&channel->credit.word); /* pair(room) look again */

  if (sqcq__word_generation(word) != sqcq__handle_generation(id) ||
      (sqcq__word_state(word) & (SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE)) != 0)
    return -EPIPE;
  return channel_free(channel, word) > 0;
}

static int lane_room(struct sqcq_engine *engine, uint64_t id)
{
  struct sqcq__own_lane *lane = &engine->own.lanes[sqcq__handle_index(id)];

  if (!sqcq__own_is_open(lane, id))
    return -EBADFD;
  return lane_free(engine, &lane->lane) > 0;
}

/* 1: there is room, 0: there is none, or why there never will be. */
static int look(struct sqcq_engine *engine, unsigned bound, uint64_t id)
{
  /* pair(room) look again: a stop ends them all */
  if (sqcq__load_seq(&engine->control.stopping) != SQCQ__STOPPING_NOT)
    return -ESHUTDOWN;
  if (bound == SQCQ_BOUND_CHANNEL)
    return channel_room(channel_of(engine, id), id);
  if (bound == SQCQ_BOUND_POOL)
    return sqcq__pool_room(&engine->buffers, id, 1);
  if (bound == SQCQ_BOUND_LANE)
    return lane_room(engine, id);
  return lanes_free(engine) > 0;
}

/* Announced: the I/O thread has to know. */
static void ask_for(struct sqcq_engine *engine, unsigned bound)
{
  if (bound != SQCQ_BOUND_LANES && bound != SQCQ_BOUND_LANE)
    return;
  sqcq__control_post(&engine->control, SQCQ__CONTROL_ROOM);
  sqcq__sleeper_wake(&engine->sleeper);
}

/* ------------------------------------------------------------------------- */
/* Room comes back                                                           */
/* ------------------------------------------------------------------------- */

void sqcq__channel_room_given(struct sqcq_engine *engine, struct sqcq__channel *channel, uint32_t n)
{
  uint64_t word = sqcq__load_acquire(&channel->credit.word);

  sqcq__room_given(&engine->rooms, &channel->room, n, channel_free(channel, word),
                   sqcq__load_relaxed(&channel->credit.capacity)); /* relaxed: as above */
}

void sqcq__lanes_room_given(struct sqcq_engine *engine, bool asked)
{
  bool awaited = sqcq__room_awaited(&engine->lanes_room) != 0;

  if (awaited && (engine->io.drained > 0 || asked)) {
    uint32_t free = lanes_free(engine);

    if (engine->io.drained > 0 || free > 0)
      sqcq__room_given(&engine->rooms, &engine->lanes_room, 1, free,
                       engine->lanes.count * engine->lanes.slots);
  }
  for (uint32_t i = 0; i < engine->own.count; i++) {
    struct sqcq__room *room = &engine->own_rooms[i];

    if (sqcq__room_awaited(room) == 0)
      continue;
    awaited = true;
    uint32_t free = lane_free(engine, &engine->own.lanes[i].lane);
    if (free > 0)
      sqcq__room_given(&engine->rooms, room, free, free, engine->lanes.slots);
  }
  engine->io.lanes_awaited = awaited; /* whoever comes now posts the bit anew */
}

void sqcq__rooms_end(struct sqcq_engine *engine)
{
  for (uint32_t i = 0; i < engine->config.user.channels_max; i++)
    sqcq__room_end(&engine->rooms, &engine->channels[i].room);
  for (uint32_t i = 0; i < engine->buffers.pool_max; i++)
    sqcq__room_end(&engine->rooms, &engine->buffers.pools[i].room);
  sqcq__room_end(&engine->rooms, &engine->lanes_room);
  for (uint32_t i = 0; i < engine->own.count; i++)
    sqcq__room_end(&engine->rooms, &engine->own_rooms[i]);
}

/* ------------------------------------------------------------------------- */
/* Waiting                                                                   */
/* ------------------------------------------------------------------------- */

/* All lanes with room are held: give whoever holds them a moment. */
static void await_claims(struct sqcq_engine *engine, int64_t deadline)
{
  int64_t now = sqcq__now();
  int64_t until = now + HELD_NAP_NS;
  struct sqcq__spin spin = {.until = now + HELD_SPIN_NS};

  while (lanes_held(engine) && sqcq__spin(&spin))
    continue;
  if (lanes_held(engine))
    sqcq__room_sleep(&engine->rooms, &engine->lanes_room, sqcq__room_prepare(&engine->lanes_room),
                     deadline >= 0 && deadline < until ? deadline : until);
}

/* Announce, and look and sleep until there is room, the end or the deadline. */
static int sleep_for(struct sqcq_engine *engine, unsigned bound, uint64_t id, int64_t deadline)
{
  struct sqcq__room *room = room_of(engine, bound, id);
  int found;

  sqcq__room_announce(room);
  ask_for(engine, bound);
  for (;;) {
    uint32_t prepared = sqcq__room_prepare(room);

    /* First this look, then one at the time: whatever ended the sleep, a wake may have come with it. */
    found = look(engine, bound, id);
    if (found != 0)
      break;
    if (deadline >= 0 && sqcq__now() >= deadline) {
      found = -ETIMEDOUT;
      break;
    }
    sqcq__room_sleep(&engine->rooms, room, prepared, deadline);
  }
  sqcq__room_leave(&engine->rooms, room, found > 0);
  return found;
}

int sqcq__room_wait(struct sqcq_engine *engine, unsigned bound, uint64_t id, int64_t timeout_ns)
{
  int64_t deadline = -1;
  int found = look(engine, bound, id);

  if (timeout_ns > 0) {
    int64_t now = sqcq__now();
    deadline = timeout_ns > INT64_MAX - now ? -1 : now + timeout_ns;
  }
  if (found == 0) {
    if (timeout_ns == 0)
      return -ETIMEDOUT;
    if (sqcq__iothread_is_self(engine))
      return -EDEADLK;
    found = sleep_for(engine, bound, id, deadline);
  }
  if (found > 0 && bound == SQCQ_BOUND_LANES && timeout_ns != 0 && lanes_held(engine))
    await_claims(engine, deadline);
  return found > 0 ? 0 : found;
}

/* A descriptor of our own for the caller's eventfd: whatever becomes of theirs, a write that is late
 * reaches that eventfd or nothing. */
static int duplicate(int eventfd)
{
  struct stat about;
  int fd = fcntl(eventfd, F_DUPFD_CLOEXEC, 0);

  if (fd < 0)
    return -errno;
  /* An eventfd has no type; pipes, sockets and files do, and a write to them might block. */
  if (fstat(fd, &about) == 0 && (about.st_mode & S_IFMT) == 0)
    return fd;
  (void)close(fd);
  return -EINVAL;
}

int sqcq__room_notify(struct sqcq_engine *engine, unsigned bound, uint64_t id, int eventfd,
                      uint64_t *handle)
{
  uint32_t generation;
  int found = look(engine, bound, id);

  if (found != 0)
    return found;
  int index = sqcq__notice_make(&engine->rooms, &generation);
  if (index < 0)
    return index;
  int fd = duplicate(eventfd);
  if (fd < 0) {
    sqcq__notice_drop(&engine->rooms, (uint32_t)index);
    return fd;
  }
  sqcq__notice_arm(&engine->rooms, (uint32_t)index, room_of(engine, bound, id), fd);
  ask_for(engine, bound);
  found = look(engine, bound, id);
  /* Where it cannot be taken back any more it has been registered, and has fired. */
  if (found != 0 && sqcq__notice_disarm(&engine->rooms, (uint32_t)index, generation))
    return found;
  *handle = sqcq__handle(generation, (uint32_t)index, engine->tag);
  return 0;
}

int sqcq__room_unnotify(struct sqcq_engine *engine, uint64_t handle)
{
  int error = sqcq__handle_check(handle, engine->tag, engine->rooms.count, -ESTALE);

  if (error < 0)
    return error;
  bool taken = sqcq__notice_disarm(&engine->rooms, sqcq__handle_index(handle),
                                   sqcq__handle_generation(handle));
  return taken ? 0 : -ESTALE;
}
