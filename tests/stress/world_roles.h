/*
 * What each thread of a world does; see world.h.
 */
#ifndef SQCQ_TESTS_STRESS_WORLD_ROLES_H
#define SQCQ_TESTS_STRESS_WORLD_ROLES_H

#include "stress/world.h"

static inline void stop_all(struct crowd_member *me)
{
  static const struct {
    unsigned mode;
    int64_t limit;
  } how[] = {
      [END_DRAIN] = {SQCQ_STOP_DRAIN, SQCQ_FOREVER},
      [END_CANCEL] = {SQCQ_STOP_CANCEL, SQCQ_FOREVER},
      [STOP_DRAIN] = {SQCQ_STOP_DRAIN, SQCQ_FOREVER},
      [STOP_CANCEL] = {SQCQ_STOP_CANCEL, SQCQ_FOREVER},
      [STOP_LIMIT] = {SQCQ_STOP_DRAIN, 1000000},
  };

  crowd_check(me, sqcq_engine_stop(world.engine, how[world.plan.ending].mode,
                                   how[world.plan.ending].limit) == 0);
  atomic_store(&world.stopping, true);
}

/* Hand a batch in, as far as it goes. False: the engine is stopping. */
static inline bool hand_in(struct crowd_member *me, uint32_t who, const struct sqcq_read *reads,
                           uint32_t count, uint32_t *accepted)
{
  struct producer *producer = &world.producers[who];
  bool one = count == 1 && rng_percent(&me->rng, 50);
  int n;

  if (producer->lane.id != 0)
    n = one ? sqcq_lane_request(world.engine, producer->lane, reads)
            : sqcq_lane_request_many(world.engine, producer->lane, reads, count);
  else
    n = one ? sqcq_request(world.engine, reads) : sqcq_request_many(world.engine, reads, count);

  *accepted = 0;
  if (n >= 0) {
    *accepted = n == 0 ? 1 : (uint32_t)n;
    crowd_check(me, *accepted <= count);
    producer->accepted += *accepted;
    atomic_fetch_add_explicit(&world.accepted, *accepted, memory_order_relaxed);
    crowd_progress(me);
    return true;
  }
  producer->refused[kind_of(n)]++;
  crowd_check(me, kind_of(n) < 6);
  if (n == -ESHUTDOWN)
    return false;
  (void)sched_yield();
  return true;
}

static inline void leave_lane(struct crowd_member *me, struct producer *producer)
{
  if (producer->lane.id == 0)
    return;
  crowd_check(me, sqcq_lane_close(world.engine, producer->lane) == 0);
  crowd_check(me, sqcq_lane_close(world.engine, producer->lane) == -EBADFD);
  producer->lane.id = 0;
}

/* Out of its lane, with requests in it, and into another one; or to the shared ones. */
static inline void change_lane(struct crowd_member *me, struct producer *producer)
{
  leave_lane(me, producer);
  if (rng_percent(&me->rng, 20))
    return;
  int error = sqcq_lane_open(world.engine, &producer->lane);
  crowd_check(me, error == 0 || error == -ENOSPC || error == -ESHUTDOWN);
}

/* Reads, until `most` of this producer's are accepted or the engine stops (false). */
static inline bool ask_up_to(struct crowd_member *me, uint32_t who, uint64_t most)
{
  struct producer *producer = &world.producers[who];
  struct sqcq_read reads[BATCH_MAX];
  uint32_t held = 0;
  bool going = true;

  while (going && producer->accepted < most && may_ask(me, who)) {
    uint32_t count = (uint32_t)rng_between(&me->rng, 1, world.plan.batch);
    uint32_t accepted;

    if (count > most - producer->accepted)
      count = (uint32_t)(most - producer->accepted);
    while (held < count) {
      int n = sqcq_buffer_acquire(world.engine, world.pool, &reads[held].buffer, 1);

      if (n != 1) {
        crowd_check(me, n == -ENOBUFS);
        producer->refused[kind_of(n)]++;
        (void)sched_yield();
        break;
      }
      held++;
    }
    count = least(count, held);
    if (count == 0)
      continue;
    for (uint32_t i = 0; i < count; i++)
      prepare(me, who, producer->accepted + i,
              world.channels[rng_below(&me->rng, world.plan.channels)], &reads[i]);
    if (world.plan.own && rng_percent(&me->rng, 10))
      change_lane(me, producer);
    if (world.plan.churn && rng_percent(&me->rng, 20))
      (void)sched_yield(); /* what was chosen may be gone */
    going = hand_in(me, who, reads, count, &accepted);
    memmove(reads, reads + accepted, (held - accepted) * sizeof(reads[0]));
    held -= accepted;
    crowd_jitter(&me->rng);
  }
  for (uint32_t i = 0; i < held; i++)
    release(me, reads[i].buffer);
  leave_lane(me, producer);
  return going;
}

/* One producer less; the last one stops the engine, where that is the plan. */
static inline void leave_producers(struct crowd_member *me)
{
  if (atomic_fetch_sub(&world.producing, 1) == 1 && world.plan.ending <= END_CANCEL)
    stop_all(me);
}

static inline void ask_and_leave(struct crowd_member *me, uint32_t who, uint64_t most)
{
  (void)ask_up_to(me, who, most);
  leave_producers(me);
}

static inline void produce(struct crowd_member *me, uint32_t who)
{
  ask_and_leave(me, who, world.plan.quota);
}

static inline void consume(struct crowd_member *me, sqcq_channel channel)
{
  static const int64_t timeouts[] = {SQCQ_FOREVER, SQCQ_FOREVER, 0, 1000, 1000000};

  while (crowd_good(me)) {
    struct sqcq_completion completions[4];
    uint32_t max = (uint32_t)rng_between(&me->rng, 1, 4);
    int n = rng_percent(&me->rng, 20) ? sqcq_channel_poll(world.engine, channel, completions, max)
                                      : sqcq_channel_wait(world.engine, channel, completions, max,
                                                          (uint32_t)rng_between(&me->rng, 1, max),
                                                          timeouts[rng_below(&me->rng, 5)]);

    if (n == -ESHUTDOWN)
      return;
    crowd_check(me, n >= 0 && n <= (int)max);
    for (int i = 0; i < n; i++) {
      check_completion(me, &completions[i]);
      release(me, completions[i].buffer);
    }
    if (n == 0)
      (void)sched_yield();
    if (world.plan.pauses && rng_percent(&me->rng, 2))
      for (uint64_t i = rng_below(&me->rng, 100); i > 0; i--)
        (void)sched_yield();
    crowd_jitter(&me->rng);
  }
}

/* Files are taken out, by every mode, and put in again while they are read. */
static inline void churn(struct crowd_member *me)
{
  while (!atomic_load(&world.stopping) && crowd_good(me)) {
    uint32_t index = (uint32_t)rng_below(&me->rng, FILES);
    sqcq_file file;
    int error = sqcq_file_add(world.engine, ground.fds[index], &file);

    if (error == 0) {
      uint64_t old = atomic_exchange(&world.files[index], file.id);

      crowd_check(me, sqcq_file_remove(world.engine, (sqcq_file){old},
                                       (unsigned)rng_below(&me->rng, 3)) == 0);
      crowd_check(me, sqcq_file_remove(world.engine, (sqcq_file){old}, 0) == -EBADF);
      crowd_progress(me);
    } else {
      crowd_check(me, error == -ENOSPC || error == -ESHUTDOWN);
    }
    for (uint64_t i = rng_below(&me->rng, 20); i > 0; i--)
      (void)sched_yield();
  }
}

/* Close a channel and take what is left of it. */
static inline void leave(struct crowd_member *me, sqcq_channel channel)
{
  while (crowd_good(me)) {
    struct sqcq_completion completions[2];
    int error = sqcq_channel_destroy(world.engine, channel);

    if (error == 0)
      return;
    crowd_check(me, error == -EBUSY);
    int n = sqcq_channel_wait(world.engine, channel, completions, 2, 1, SQCQ_FOREVER);
    crowd_check(me, n > 0 || n == -EPIPE || n == -ESHUTDOWN);
    for (int i = 0; i < n; i++) {
      check_completion(me, &completions[i]);
      release(me, completions[i].buffer);
    }
  }
}

/* A producer and consumer of channels that come and go. */
static inline void visit(struct crowd_member *me, uint32_t who)
{
  struct producer *producer = &world.producers[who];
  struct sqcq_channel_config config = {.size = sizeof(config), .capacity = world.plan.capacity};

  while (may_ask(me, who)) {
    sqcq_channel channel;
    int error = sqcq_channel_create(world.engine, &config, &channel);

    if (error == -ESHUTDOWN)
      return;
    crowd_check(me, error == 0 || error == -ENOSPC); /* the last one is not given back yet */
    if (error < 0) {
      (void)sched_yield();
      continue;
    }
    for (uint64_t i = rng_below(&me->rng, 6); i > 0 && producer->accepted < world.plan.quota; i--) {
      struct sqcq_read read;
      uint32_t accepted;
      int n = sqcq_buffer_acquire(world.engine, world.pool, &read.buffer, 1);

      if (n != 1) {
        producer->refused[kind_of(n)]++;
        continue;
      }
      prepare(me, who, producer->accepted, channel, &read);
      (void)hand_in(me, who, &read, 1, &accepted);
      if (accepted == 0)
        release(me, read.buffer);
    }
    leave(me, channel);
    crowd_progress(me);
  }
}

/* All credits of a channel for pipes that never answer; then wait for the end with it. */
static inline void ask_silence(struct crowd_member *me, uint32_t who)
{
  struct producer *producer = &world.producers[who];

  while (producer->accepted < world.plan.capacity && crowd_good(me)) {
    struct sqcq_read read;
    uint32_t accepted = 0;

    if (sqcq_buffer_acquire(world.engine, world.pool, &read.buffer, 1) != 1) {
      producer->refused[kind_of(-ENOBUFS)]++;
      (void)sched_yield();
      continue;
    }
    prepare(me, who, producer->accepted, world.silent_channel, &read);
    struct record *record = &producer->records[producer->accepted];
    record->tag = 0;
    record->file = read.file.id = world.pipe.id;
    record->offset = read.offset = SQCQ_OFFSET_CURRENT;
    bool going = hand_in(me, who, &read, 1, &accepted);
    if (accepted == 0)
      release(me, read.buffer);
    if (!going)
      break;
  }
  consume(me, world.silent_channel);
}

#endif
