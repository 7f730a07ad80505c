/*
 * The engine: all parts in one place. Stays inside src/engine/.
 *
 *   S  sets the parts up and takes them down (engine.c, pools.c)
 *   P  accept.c (requests), cancels.c, control.h (stop, remove, retire)
 *   I  turn.c and what it calls: everything under `io`
 *   C  consume.c
 */
#ifndef SQCQ_ENGINE_ENGINE_H
#define SQCQ_ENGINE_ENGINE_H

#include "base/atomics.h"
#include "dispatch/channel.h"
#include "dispatch/relay.h"
#include "dispatch/room.h"
#include "dispatch/router.h"
#include "dispatch/wake.h"
#include "engine/buffers.h"
#include "engine/cancels.h"
#include "engine/config.h"
#include "engine/control.h"
#include "engine/features.h"
#include "engine/files.h"
#include "engine/hints.h"
#include "engine/histogram.h"
#include "engine/iothread.h"
#include "engine/requests.h"
#include "engine/ring.h"
#include "engine/stats.h"
#include "engine/timers.h"
#include "mpsc/lanes.h"
#include "mpsc/own.h"

#include <sqcq/sqcq.h>

#include <stdbool.h>
#include <stdint.h>

enum sqcq__phase {
  SQCQ__PHASE_CREATED,
  SQCQ__PHASE_REGISTERING, /* a fixed pool is being made */
  SQCQ__PHASE_RUNNING,     /* the first turn has been made, by `owner` */
  SQCQ__PHASE_STOPPED      /* the last one, too: the ring will not be entered again */
};

/* The timeout in the ring that ends a sleep outside, for what has to be done at a certain time. */
struct sqcq__alarm {
  struct sqcq__ring_time time; /* what the kernel is given; it may look until the timeout is over */
  int64_t at;                  /* CLOCK_MONOTONIC ns */
  bool out;                    /* it is in the kernel, or in an SQE */
  bool cancel_out;             /* so is its cancel */
};

/* What only the I/O thread touches. */
struct sqcq__io {
  struct sqcq__requests requests;
  struct sqcq__router router;
  struct sqcq__timers timers;
  uint32_t reports;    /* of cancels, among what was pushed since the turn began */
  uint32_t closes_out; /* close SQEs in the kernel */
  int64_t now;         /* what time it is in this turn, where histograms ask for it; else 0 */
  bool wake_armed;     /* the poll on the eventfd is in the kernel, or in an SQE */
  bool wake_multishot; /* this kernel has it, as far as we know */
  bool unwake_out;     /* the cancel of that poll is */
  bool armed;          /* announced, and asleep outside, as far as we know: loop.c */
  struct sqcq__alarm alarm;
  bool sealed;          /* stop has every lane, and they are drained */
  int64_t retry_at;     /* when cancels that missed are tried again; 0: there are none */
  bool nap;             /* something can only be tried again, and no event will tell when */
  struct iovec *iovecs; /* vectors_max for each place of the depth */
  bool hurry;           /* another turn has something to do, whatever comes in */
  bool lanes_awaited;   /* producers wait for room in the lanes, as far as we know */
  uint32_t drained;     /* requests taken out of shared lanes in this turn */
};

struct sqcq_engine {
  /* Constant after create. */
  struct sqcq__config config;
  struct sqcq__ring_traits traits;
  struct sqcq__ring *ring;
  const uint32_t *here; /* in a page of its own, which is zeroed in a forked child */
  struct sqcq__channel *channels;
  struct sqcq__histogram *histograms; /* SQCQ__STAGES of them, or NULL: nothing is timed */
  uint32_t tag;
  uint32_t read_flags; /* SQCQ_READ_* that work here */
  struct sqcq__features features;

  /* W: S, I; pair(phase): STOPPED (release) after the last completion is pushed, before a
   * consumer's look (acquire). owner: its sqcq__thread_self(); W: I, before RUNNING, or taking over. */
  _Alignas(SQCQ_CACHELINE) _Atomic uint32_t phase;
  _Atomic uint64_t owner;
  /* W: any; what channels to come may have of requests_max and depth. relaxed: numbers */
  _Atomic uint32_t credits_left;
  _Atomic uint32_t depth_left;

  /* The doorways, each with its own rules. */
  struct sqcq__control control;
  struct sqcq__cancels cancels;
  struct sqcq__sleeper sleeper;
  struct sqcq__relay relay;
  struct sqcq__lanes lanes;
  struct sqcq__own own;
  struct sqcq__files files;
  struct sqcq__buffers buffers;
  struct sqcq__stats stats;
  struct sqcq__rooms rooms;
  _Alignas(SQCQ_CACHELINE) struct sqcq__room lanes_room;
  struct sqcq__room *own_rooms; /* constant; one for each own lane, NULL: there are none */

  _Alignas(SQCQ_CACHELINE) struct sqcq__io io;
  struct sqcq__iothread iothread;
  bool ends_here; /* W, R: S: destroy makes its turns */
};

/* Any: a channel's handle as such, whatever has become of the channel: 0, -EPIPE: none, or -EINVAL. */
static inline int sqcq__channel_check(const struct sqcq_engine *engine, uint64_t handle)
{
  return sqcq__handle_check(handle, engine->tag, engine->config.user.channels_max, -EPIPE);
}

/* C: the open or closing channel that a handle means, or NULL where it is stale. It stays that
 * channel until leave. */
struct sqcq__channel *sqcq__channel_enter(struct sqcq_engine *engine, uint64_t handle);
void sqcq__channel_leave(struct sqcq__channel *channel);

/* Behind the public functions, for arguments that api.c has checked. */
int sqcq__engine_create(struct sqcq_engine **engine, const struct sqcq__config *config,
                        struct sqcq_explanation *why);
int sqcq__engine_destroy(struct sqcq_engine *engine, struct sqcq_held *held);

int sqcq__pool_create(struct sqcq_engine *engine, const struct sqcq_pool_config *config,
                      uint64_t *handle);

int sqcq__channel_create(struct sqcq_engine *engine, const struct sqcq_channel_config *config,
                         uint64_t *handle);
int sqcq__channel_destroy(struct sqcq_engine *engine, uint64_t handle);
/* By whoever may be the last to touch it: a destroyed channel's place is free for another one. */
void sqcq__channel_recycle(struct sqcq_engine *engine, struct sqcq__channel *channel);

int sqcq__cancel(struct sqcq_engine *engine, const struct sqcq_cancel_target *cancel);

/* own_lane: the handle of the producer's own lane, or NULL: shared ones. */
int sqcq__accept(struct sqcq_engine *engine, const uint64_t *own_lane,
                 const struct sqcq_read *reads, uint32_t count);

int sqcq__consume(struct sqcq_engine *engine, uint64_t channel, struct sqcq_completion *out,
                  uint32_t max);
int sqcq__consume_wait(struct sqcq_engine *engine, uint64_t channel, struct sqcq_completion *out,
                       uint32_t max, uint32_t min, int64_t timeout_ns);
int sqcq__consume_arm(struct sqcq_engine *engine, uint64_t channel, uint32_t min);
int sqcq__consume_fd(struct sqcq_engine *engine, uint64_t channel);

/* One turn that does not sleep, or one that does; see sqcq_engine_poll and _wait. */
int sqcq__turn(struct sqcq_engine *engine);
int sqcq__turn_wait(struct sqcq_engine *engine, int64_t timeout_ns);
/* One turn: completions delivered, or what io_uring_enter said where the turn must end with it. */
int sqcq__turn_once(struct sqcq_engine *engine);

/* The steps of a turn that are files of their own. */
void sqcq__turn_control(struct sqcq_engine *engine, uint32_t bits, uint32_t removed);
void sqcq__turn_reap(struct sqcq_engine *engine);
/* Answer a request that never reached the kernel. */
void sqcq__turn_answer(struct sqcq_engine *engine, const struct sqcq__slot *slot, int32_t result,
                       uint32_t flags);
/* Answer all requests that wait and match, ended by `flags`: how many. */
uint32_t sqcq__turn_answer_waiting(struct sqcq_engine *engine, const struct sqcq__match *match,
                                   uint32_t flags);
/* Act on the cancels taken; end the requests whose deadline has passed. */
void sqcq__turn_cancel(struct sqcq_engine *engine);
void sqcq__turn_expire(struct sqcq_engine *engine);
/* One request less names this file; where it was the last of a removed one, close it. */
void sqcq__turn_unref(struct sqcq_engine *engine, uint64_t file);
/* Whether the engine's own operations are all done. */
bool sqcq__turn_quiet(const struct sqcq_engine *engine);
void sqcq__turn_drain(struct sqcq_engine *engine);
/* Submit, and wait where wait_ns is not 0. 0, or an error that ends the turn. */
int sqcq__turn_submit(struct sqcq_engine *engine, int64_t wait_ns);
/* Whether a turn would find something to do. Plain looks: it may be a little late. */
bool sqcq__turn_has_work(struct sqcq_engine *engine);
/* Nanoseconds until something has to be done whatever comes in; negative: no limit. `deadline`: the
 * caller's own, CLOCK_MONOTONIC ns. */
int64_t sqcq__turn_time_left(struct sqcq_engine *engine, int64_t now, int64_t deadline);

/* loop.c: sleeps outside of the ring. */
/* As sqcq_engine_arm(), by the I/O thread. */
int sqcq__turn_arm(struct sqcq_engine *engine);
/* The announcement is taken back: the I/O thread is awake. */
void sqcq__turn_disarm(struct sqcq_engine *engine);
/* Announce, look again, sleep on the eventfd. 0, -EINTR, or an error that ends the turn. */
int sqcq__turn_sleep_outside(struct sqcq_engine *engine, int64_t timeout_ns);
/* In the last turn: take the alarm back. False while something of it is out. */
bool sqcq__turn_silence(struct sqcq_engine *engine);

/* room.c: P waits; P, C and I bring room, and call these where somebody waits. */
int sqcq__room_wait(struct sqcq_engine *engine, unsigned bound, uint64_t id, int64_t timeout_ns);
int sqcq__room_notify(struct sqcq_engine *engine, unsigned bound, uint64_t id, int eventfd,
                      uint64_t *handle);
int sqcq__room_unnotify(struct sqcq_engine *engine, uint64_t handle);
void sqcq__channel_room_given(struct sqcq_engine *engine, struct sqcq__channel *channel,
                              uint32_t n);
/* I: after the drain of a turn; asked: the turn has found SQCQ__CONTROL_ROOM. */
void sqcq__lanes_room_given(struct sqcq_engine *engine, bool asked);
/* Any: nobody has anything to wait for any more. Async-signal-safe. */
void sqcq__rooms_end(struct sqcq_engine *engine);

/* Any: whether this is a child of the process that made the engine: there the page is wiped. One
 * load of a line that nobody ever writes. */
static inline bool sqcq__forked(const struct sqcq_engine *engine)
{
  return sqcq__unlikely(*engine->here == 0);
}

/* An IOPOLL ring: it has neither polls nor cancels nor timeouts, and completes only while entered. */
static inline bool sqcq__polls_device(const struct sqcq_engine *engine)
{
  return (engine->config.user.flags & SQCQ_ENGINE_IOPOLL) != 0;
}

/* I, after the announcement: whether anybody has published what we would sleep on. */
static inline bool sqcq__published(struct sqcq_engine *engine)
{
  /* pair(sleep) look again */
  return sqcq__lanes_have_work(&engine->lanes) || sqcq__own_have_work(&engine->own) ||
         sqcq__control_posted(&engine->control);
}

/* I: a call that has made turns is over. Where the ring is lost the mutex is free from here on: whoever
 * comes next brings the engine to its end. */
static inline int sqcq__iothread_done(struct sqcq_engine *engine, int result)
{
  if (sqcq__unlikely(engine->iothread.lost != 0))
    sqcq__iothread_leave(engine);
  return result;
}

/* The time where anybody wants to know it, that is where there are histograms; else 0. */
static inline int64_t sqcq__time(const struct sqcq_engine *engine)
{
  return engine->histograms == NULL ? 0 : sqcq__now();
}

/* Whether an event loop may drive the turns: the eventfd is the ring's own, and no poll watches it. */
static inline bool sqcq__is_looped(const struct sqcq_engine *engine)
{
  return (engine->config.user.flags & SQCQ_ENGINE_EVENT_LOOP) != 0;
}

static inline uint32_t sqcq__phase(const struct sqcq_engine *engine)
{
  return sqcq__load_acquire(&engine->phase); /* pair(phase) acquire */
}

#endif
