/*
 * The calls of a producer that is to be stopped, and what each comes to.
 */
#ifndef SQCQ_TESTS_STRESS_PARKED_CALLS_H
#define SQCQ_TESTS_STRESS_PARKED_CALLS_H

#include "stress/world_roles.h"

#define BIT(what) (1u << (what))

enum call {
  ONE,      /* sqcq_request() */
  MANY,     /* sqcq_request_many() of three */
  OWN_ONE,  /* sqcq_lane_request() */
  OWN_MANY, /* sqcq_lane_request_many() */
  HALF,     /* of two, the second one with the first one's buffer: one is accepted */
  VECTOR,   /* into a list of buffers */
  TWICE,    /* into a list that names one twice: refused */
  REMOVE,   /* sqcq_file_remove() */
  CANCEL,   /* sqcq_cancel(), with a report */
  CALLS
};

static const char *const call_names[] = {"one",    "many",  "own one", "own many", "half",
                                         "vector", "twice", "remove",  "cancel"};

/* Those that it takes a credit for. */
static inline uint32_t call_reads(enum call call)
{
  return call == MANY || call == OWN_MANY ? 3 : call == HALF ? 2 : call == REMOVE ? 0 : 1;
}

/* What it returns while nothing is in its way. */
static inline int call_result(enum call call)
{
  return call == MANY || call == OWN_MANY ? 3 : call == HALF ? 1 : call == TWICE ? -EBUSY : 0;
}

static inline int remove_a_file(struct crowd_member *me)
{
  sqcq_file file;

  crowd_check(me, sqcq_file_add(world.engine, ground.fds[0], &file) == 0);
  return sqcq_file_remove(world.engine, file, SQCQ_REMOVE_DEFAULT);
}

static atomic_uint reports_owed;

static inline int cancel_nothing(struct crowd_member *me)
{
  struct sqcq_cancel_target nothing = {.what = SQCQ_CANCEL_USER_DATA,
                                       .flags = SQCQ_CANCEL_REPORT,
                                       .channel = world.channels[0],
                                       .user_data = UINT64_MAX,
                                       .report = world.silent_channel};
  int error = sqcq_cancel(world.engine, &nothing);

  (void)me;
  if (error == 0)
    atomic_fetch_add(&reports_owed, 1);
  return error;
}

static inline int hand_over(struct producer *producer, enum call call, struct sqcq_read *reads)
{
  struct sqcq_engine *engine = world.engine;
  sqcq_buffer listed[2] = {reads[0].buffer, reads[0].buffer};

  switch (call) {
  case VECTOR:
  case TWICE:
    reads[0].buffers = listed;
    reads[0].buffer_count = call == TWICE ? 2 : 1;
    reads[0].flags = SQCQ_READ_VECTOR;
    return sqcq_request(engine, reads);
  case ONE:
    return sqcq_request(engine, reads);
  case OWN_ONE:
    return sqcq_lane_request(engine, producer->lane, reads);
  case OWN_MANY:
    return sqcq_lane_request_many(engine, producer->lane, reads, 3);
  default:
    return sqcq_request_many(engine, reads, call_reads(call));
  }
}

/* Its result; what it has asked for is in the records, and counted. */
static inline int make_call(struct crowd_member *me, uint32_t who, enum call call)
{
  struct producer *producer = &world.producers[who];
  struct sqcq_read reads[3];
  sqcq_buffer buffers[3];
  uint32_t count = call_reads(call);

  if (call == REMOVE)
    return remove_a_file(me);
  if (call == CANCEL)
    return cancel_nothing(me);
  crowd_check(me, sqcq_buffer_acquire(world.engine, world.pool, buffers, count) == (int)count);
  for (uint32_t i = 0; i < count; i++) {
    reads[i].buffer = call == HALF ? buffers[0] : buffers[i];
    prepare(me, who, producer->accepted + i,
            world.channels[rng_below(&me->rng, world.plan.channels)], &reads[i]);
  }
  int result = hand_over(producer, call, reads);
  uint32_t accepted = result > 0 ? (uint32_t)result : result == 0;
  producer->accepted += accepted;
  if (result < 0)
    producer->refused[kind_of(result)]++;
  for (uint32_t i = accepted; i < count; i++)
    release(me, buffers[i]);
  return result;
}

/* The reports that are owed. */
static inline void take_reports(struct crowd_member *me)
{
  while (atomic_load(&reports_owed) > 0 && crowd_good(me)) {
    struct sqcq_completion report;

    if (sqcq_channel_poll(world.engine, world.silent_channel, &report, 1) == 1) {
      crowd_check(me, report.flags == SQCQ_COMPLETION_REPORT && report.result == 0);
      atomic_fetch_sub(&reports_owed, 1);
    }
    test_sleep_ns(100000);
  }
}

#endif
