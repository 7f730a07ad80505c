/*
 * A whole engine on the real ring with more threads than cores, and what each of them does: the I/O
 * thread, producers, consumers, and those who take files out, make channels, ask pipes that never
 * answer, and stop it all.
 *
 * Every read carries its round, producer and sequence in user_data, and has a record; producers write
 * records before they ask and consumers read them after they are answered, as plain memory: the
 * library's own ordering must carry them. So loss, doubling, mixing and stale reuse are told apart.
 */
#ifndef SQCQ_TESTS_STRESS_WORLD_H
#define SQCQ_TESTS_STRESS_WORLD_H

#include "engine/engine.h"
#include "stress/crowd.h"
#include "support/alloc.h"
#include "support/fds.h"
#include "support/temp.h"

#include <fcntl.h>
#include <string.h>

#define FILES 4u
#define PAGES 32u
#define BUFFER_SIZE (STAMP_PAGE + 64u)
#define CHANNELS_MAX 4u
#define PRODUCERS_MAX 10u
#define BATCH_MAX 4u
#define CANARY 0xa5
#define CANARY_SIZE 8u

enum ending {
  END_DRAIN,  /* when all producers have done their part */
  END_CANCEL, /* likewise */
  STOP_DRAIN, /* in the middle, while producers hammer */
  STOP_CANCEL,
  STOP_LIMIT, /* a drain that becomes a cancel */
};

/* One round. */
struct plan {
  struct sqcq_engine_config config;
  uint32_t channels; /* each with a consumer */
  uint32_t capacity; /* of each */
  uint32_t producers;
  uint32_t buffers;
  uint32_t quota; /* of each producer, at the most */
  uint32_t batch; /* reads a call, up to */
  enum ending ending;
  bool pauses; /* consumers stop and resume */
  bool churn;  /* files are taken out and put in */
  bool guest;  /* channels are made and destroyed */
  bool own;    /* some producers have lanes of their own, and others get them after them */
  bool silent; /* a channel full of reads that never answer */
  bool orphan; /* I/O threads end before the engine does: the kernel ends some of their reads */
  void (*after)(void); /* when all threads have left, before the accounts are closed */
};

/* A read, as asked for. Plain memory: see above. */
struct record {
  uint64_t file;
  uint64_t offset;
  uint32_t length;
  uint32_t buffer_offset;
  uint32_t tag; /* of the stamped file; 0: a silent pipe */
  uint16_t asked;
  uint16_t seen;
};

struct producer {
  _Alignas(128) struct record *records;
  sqcq_lane lane; /* {0}: shared ones */
  uint64_t accepted;
  uint64_t refused[8]; /* by kind_of() */
};

struct world {
  struct plan plan;
  uint64_t round;
  struct sqcq_engine *engine;
  sqcq_channel channels[CHANNELS_MAX];
  sqcq_channel silent_channel;
  sqcq_pool pool;
  _Atomic uint64_t files[FILES]; /* handles */
  sqcq_file pipe;
  struct producer producers[PRODUCERS_MAX];
  uint64_t taken[CROWD_MAX]; /* completions, by thread */
  uint64_t cancelled[CROWD_MAX];
  int io_result;
  atomic_uint producing;
  _Atomic uint64_t accepted; /* about, for whoever stops in the middle */
  _Atomic bool stopping;
  int64_t until; /* producers end by then: a busy machine gets less done */
};

/* The same for all rounds. */
struct ground {
  struct temp_dir dir;
  int fds[FILES];
  int pipe[2];
};

static struct world world;
static struct ground ground;
static struct crowd crowd;

static inline bool may_cancel(void)
{
  return world.plan.churn || world.plan.orphan || world.plan.ending == END_CANCEL ||
         world.plan.ending >= STOP_CANCEL;
}

static inline int kind_of(int error)
{
  switch (error) {
  case -EAGAIN:
    return 0;
  case -EXFULL:
    return 1;
  case -EPIPE:
    return 2;
  case -ESHUTDOWN:
    return 3;
  case -EBADF:
    return 4;
  case -ENOBUFS:
    return 5;
  case -EBUSY:
    return 7;
  default:
    return 6; /* none of ours is malformed */
  }
}

/* ------------------------------------------------------------------------- */
/* A read and its answer                                                     */
/* ------------------------------------------------------------------------- */

static inline bool time_is_left(struct crowd_member *me)
{
  return crowd_good(me) && test_now_ns() < world.until;
}

/* Whether a producer may go on. Where the stop comes in the middle, only that ends it. */
static inline bool may_ask(struct crowd_member *me, uint32_t who)
{
  return world.producers[who].accepted < world.plan.quota &&
         (world.plan.ending >= STOP_DRAIN ? crowd_good(me) : time_is_left(me));
}

static inline uint32_t least(uint32_t a, uint32_t b)
{
  return a < b ? a : b;
}

/* Bytes around those that are asked for, which nobody may write to. */
static inline void canaries(unsigned char *buffer, const struct record *record, bool check,
                            struct crowd_member *me)
{
  uint32_t before = least(record->buffer_offset, CANARY_SIZE);
  uint32_t end = record->buffer_offset + record->length;
  uint32_t after = least(BUFFER_SIZE - end, CANARY_SIZE);

  if (!check) {
    memset(buffer + record->buffer_offset - before, CANARY, before);
    memset(buffer + end, CANARY, after);
    return;
  }
  for (uint32_t i = 0; i < before; i++)
    crowd_check(me, buffer[record->buffer_offset - 1 - i] == CANARY);
  for (uint32_t i = 0; i < after; i++)
    crowd_check(me, buffer[end + i] == CANARY);
}

/* A read of some file, for some channel, with its record; the buffer stays the same. */
static inline void prepare(struct crowd_member *me, uint32_t who, uint64_t sequence,
                           sqcq_channel channel, struct sqcq_read *read)
{
  struct record *record = &world.producers[who].records[sequence];
  uint32_t file = (uint32_t)rng_below(&me->rng, FILES);
  uint32_t length = (uint32_t)rng_between(&me->rng, 1, STAMP_PAGE);

  *record = (struct record){
      .file = atomic_load(&world.files[file]),
      .offset = rng_below(&me->rng, (PAGES + 1) * STAMP_PAGE),
      .length = length,
      .buffer_offset = (uint32_t)rng_below(&me->rng, BUFFER_SIZE - length + 1),
      .tag = file + 1,
      .asked = 1,
  };
  *read = (struct sqcq_read){
      .file = {record->file},
      .buffer = read->buffer,
      .channel = channel,
      .offset = record->offset,
      .user_data = world.round << 48 | (uint64_t)who << 40 | sequence,
      .length = length,
      .buffer_offset = record->buffer_offset,
  };
  canaries(sqcq_buffer_data(world.engine, read->buffer), record, false, me);
}

static inline void check_result(struct crowd_member *me, const struct sqcq_completion *completion,
                                const struct record *record)
{
  const uint64_t size = PAGES * STAMP_PAGE;
  uint32_t expected =
      record->offset >= size ? 0 : least(record->length, (uint32_t)(size - record->offset));

  if (crowd_interrupted(me, completion->result, completion->flags)) {
    world.cancelled[me->index]++;
    return;
  }
  if (completion->result < 0) {
    crowd_check(me, completion->result == -ECANCELED || completion->result == -EINTR);
    crowd_check(me, may_cancel());
    crowd_check(me, world.plan.orphan || (completion->flags & (SQCQ_COMPLETION_STOPPED |
                                                               SQCQ_COMPLETION_FILE_REMOVED)) != 0);
    world.cancelled[me->index]++;
    return;
  }
  crowd_check(me, completion->flags == 0);
  crowd_check(me, record->tag != 0); /* a silent pipe has no bytes */
  /* The kernel may read less, but not nothing. */
  crowd_check(me, (uint32_t)completion->result <= expected);
  crowd_check(me, (completion->result == 0) == (expected == 0));
  crowd_check(
      me, stamp_matches(completion->data, record->tag, record->offset, (size_t)completion->result));
}

/* Exactly once, of this round, with the fields and the bytes that were asked for. */
static inline void check_completion(struct crowd_member *me,
                                    const struct sqcq_completion *completion)
{
  uint64_t who = completion->user_data >> 40 & 0xff;
  uint64_t sequence = completion->user_data & ((UINT64_C(1) << 40) - 1);

  world.taken[me->index]++;
  crowd_progress(me);
  if (completion->user_data >> 48 != world.round || who >= PRODUCERS_MAX ||
      sequence > world.plan.quota) {
    verdict_fail(&me->crowd->verdict, "user_data %#llx is not of this round, %llu",
                 (unsigned long long)completion->user_data, (unsigned long long)world.round);
    return;
  }
  struct record *record = &world.producers[who].records[sequence];
  crowd_check(me, record->asked == 1);
  crowd_check(me, record->seen == 0);
  record->seen++;
  crowd_check(me, completion->file.id == record->file);
  crowd_check(me, completion->offset == record->offset);
  crowd_check(me, completion->length == record->length);
  crowd_check(me, completion->buffer_offset == record->buffer_offset);
  crowd_check(me, completion->reserved == 0);
  unsigned char *buffer = sqcq_buffer_data(world.engine, completion->buffer);
  crowd_check(me, buffer != NULL);
  if (buffer == NULL)
    return;
  crowd_check(me, completion->data == buffer + record->buffer_offset);
  check_result(me, completion, record);
  if (record->tag != 0)
    canaries(buffer, record, true, me);
}

static inline void release(struct crowd_member *me, sqcq_buffer buffer)
{
  crowd_check(me, sqcq_buffer_release(world.engine, &buffer, 1) == 1);
}

#endif
