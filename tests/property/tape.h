/*
 * A tape: random calls of the public functions, by all roles in turn on one thread, against a
 * simple model of what they must answer.
 *
 *   tape.h           steps, and what one run knows
 *   tape_model.h     the model, and what completions say
 *   tape_holds.h     what must hold after every step
 *   tape_produce.h   steps of producers: requests
 *   tape_lanes.h     and through own lanes
 *   tape_cancel.h    cancels
 *   tape_room.h      and that wait for room
 *   tape_own.h       and with what they have: files, buffers
 *   tape_hints.h     and those that are more than a plain read
 *   tape_engine.h    steps of set-up and of consumers
 *   tape_io.h        steps of the I/O thread, its end, and the next one's
 *   tape_actor.h     a thread that can end
 *   tape_look.h      steps of those who only look: features, statistics, a forked child
 *   tape_loop.h      steps of event loops
 *   tape_end.h       the simulated kernel's, and the end: stop, take the rest, destroy
 *   tape_outside.h   the clock and what else comes from outside
 *   tape_file.h      a tape as bytes
 *   tape_run.h       from a seed to a run
 *   tape_shrink.h    runs in child processes, and a failing tape made short
 *   test_tape.c      the test; ../fuzz: the same for bytes
 *
 * A step is an operation and four raw numbers, which are read modulo what there is at that moment:
 * so any part of a tape is a tape too. Nothing in a run comes from outside: the ring is simulated,
 * the clock and the CPU's number are the tape's own; save that the machine may have no huge pages,
 * and its file system no O_DIRECT.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_H
#define SQCQ_TESTS_PROPERTY_TAPE_H

#include "engine/engine.h"
#include "support/fds.h"
#include "support/rng.h"
#include "support/sim_ring.h"
#include "support/temp.h"

#include <sqcq/sqcq.h>

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TAPE_STEPS_MAX 800u
#define TAPE_CHANNELS 16u
#define TAPE_FILES 24u
#define TAPE_POOLS 12u
#define TAPE_BUFFERS 48u
#define TAPE_REQUESTS 64u
#define TAPE_WRAPS 4u
#define TAPE_LANES 6u
#define TAPE_NOTICES 4u
#define TAPE_LANES_OWN 3u /* the most that are configured */
#define TAPE_BUFFER_SIZE 96u
#define TAPE_MANY 40u  /* more than accept.c handles at once */
#define TAPE_VECTOR 4u /* buffers of a read */
#define TAPE_REPORTS 16u
#define TAPE_GUARD 0xeeu

enum tape_op {
  TAPE_REQUEST,
  TAPE_REQUEST_BAD,
  TAPE_REQUEST_MANY,
  TAPE_REQUEST_VECTOR,
  TAPE_REQUEST_ADVICE,
  TAPE_CANCEL,
  TAPE_ACQUIRE,
  TAPE_RELEASE,
  TAPE_WRAP,
  TAPE_UNWRAP,
  TAPE_POOL_CREATE,
  TAPE_POOL_DESTROY,
  TAPE_FILE_ADD,
  TAPE_FILE_OPEN,
  TAPE_FILE_REMOVE,
  TAPE_CHANNEL_CREATE,
  TAPE_CHANNEL_DESTROY,
  TAPE_CHANNEL_POLL,
  TAPE_CHANNEL_WAIT,
  TAPE_POLL,
  TAPE_WAIT,
  TAPE_STOP,
  TAPE_DESTROY,
  TAPE_PIPE_WRITE,
  TAPE_SILENCE,
  TAPE_COMPLETE,
  TAPE_HOLD,
  TAPE_FAIL,
  TAPE_MOOD,
  TAPE_TIME,
  TAPE_CPU,
  TAPE_LANE_OPEN,
  TAPE_LANE_CLOSE,
  TAPE_LANE_REQUEST,
  TAPE_LANE_REQUEST_MANY,
  TAPE_ROOM_WAIT,
  TAPE_NOTIFY,
  TAPE_UNNOTIFY,
  TAPE_ENGINE_ARM,
  TAPE_CHANNEL_FD,
  TAPE_CHANNEL_ARM,
  TAPE_RUN,
  TAPE_GIVE_UP,
  TAPE_LET_GO,
  TAPE_LOOK,
  TAPE_FORK,
  TAPE_OPS
};

struct tape_step {
  uint32_t op; /* enum tape_op */
  uint32_t r[4];
};

/* What a parent process learns of its child, and the child of itself. */
struct tape_shared {
  uint64_t seed;
  uint32_t step;               /* of this tape; beyond the last one: its end */
  uint64_t steps;              /* of all tapes */
  uint32_t kernel;             /* that it runs on: sim_kernel_version() */
  uint64_t tapes[SIM_KERNELS]; /* by kernel */
  uint64_t played[TAPE_OPS];   /* steps by operation */
  bool aborts;                 /* where a check fails: for a fuzzer */
  uint64_t takeovers, lost; /* I/O threads that another one followed; rings that went with theirs */
  char text[400];
};

/* ------------------------------------------------------------------------- */
/* The model                                                                 */
/* ------------------------------------------------------------------------- */

enum tape_state {
  TAPE_NONE, /* the entry was never used */
  TAPE_OPEN,
  TAPE_CLOSED, /* channels: no more requests; files: removed */
  TAPE_DEAD    /* its handle is stale */
};

struct tape_channel {
  enum tape_state state;
  sqcq_channel handle;
  uint32_t capacity, inflight_max, inflight_min;
  uint32_t pending; /* accepted and not taken */
  int fd;           /* -1: nobody has asked for it */
  uint32_t armed;   /* how many it waits for; 0: not armed */
};

struct tape_file {
  enum tape_state state;
  sqcq_file handle;
  uint32_t source;
  uint32_t refs; /* accepted and not taken */
  bool cancels;  /* removed so */
};

struct tape_pool {
  enum tape_state state;
  sqcq_pool handle;
  uint32_t count, size, align, out;
};

enum tape_owner {
  TAPE_STALE,
  TAPE_OWNED,
  TAPE_IN_FLIGHT
};

struct tape_buffer {
  bool used;
  enum tape_owner owner;
  sqcq_buffer handle;
  int pool; /* -1: wrapped */
  uint32_t wrap;
  unsigned char *memory;
  uint32_t size;
};

struct tape_notice {
  bool made, armed; /* it has an eventfd; and is registered with it */
  bool alone;       /* nobody else has waited for the same */
  unsigned bound;
  int at; /* channel or pool */
  int eventfd;
  sqcq_notice handle;
};

struct tape_lane {
  enum tape_state state;
  sqcq_lane handle;
};

struct tape_request {
  bool pending;
  uint64_t user_data, offset;
  uint32_t channel, file;
  uint32_t buffers[TAPE_VECTOR], buffer_count; /* 0: advice */
  uint32_t length, buffer_offset;
  int64_t deadline_ns; /* 0: none */
  bool late;           /* it had passed when the request was accepted */
  uint32_t flags;      /* SQCQ_READ_* */
  uint16_t ioprio;
  bool drained;   /* a turn has been made since */
  bool cancelled; /* a cancel was called that means it, */
  bool ended;     /* and acted upon */
};

/* A cancel whose report is to come. */
struct tape_report {
  bool pending;
  uint64_t user_data;
  uint32_t channel;
  uint32_t found; /* what it must say, */
  bool exact;     /* or at the most: others were acted upon in the same turn */
};

/* What a file is made of. */
struct tape_source {
  int fd;
  int writer; /* of a pipe; -1: closed, or none */
  bool pipe, stamped;
  bool silent;
  uint64_t tag, size; /* size of a pipe: bytes written */
  uint64_t got;       /* bytes read of a pipe */
};

/* Who turns the engine. Threads have numbers: 1 is the one that plays the tape, the others are
 * actors. */
#define TAPE_MAIN 1u
#define TAPE_CLOSING 8u

struct tape_io {
  bool acted;                /* by actors, save now and then */
  uint64_t owner;            /* who has made the first turn, or taken over; 0: nobody */
  bool orphaned;             /* it has ended, and nobody has come since */
  int fatal;                 /* what enter may say from now on, so that the ring is lost */
  int lost;                  /* it is, by this */
  bool held;                 /* the kernel does not let go of what a lost ring held */
  int closing[TAPE_CLOSING]; /* descriptors whose close may go with the ring */
  uint32_t closing_count;
};

#define TAPE_SOURCES 6u
#define TAPE_PIPES 2u /* the last ones */

struct tape {
  struct tape_shared *shared;
  bool verbose;
  uint64_t seed;
  const struct temp_dir *dir;
  struct sqcq_engine_config config;
  struct sim_config kernel;
  const char *version;
  bool unruly, in_order;
  struct sqcq_engine *engine;
  struct fds fds;
  uint64_t allocations; /* that set-up has made; all there may be */

  struct tape_channel channels[TAPE_CHANNELS];
  struct tape_file files[TAPE_FILES];
  struct tape_pool pools[TAPE_POOLS];
  struct tape_buffer buffers[TAPE_BUFFERS];
  struct tape_request requests[TAPE_REQUESTS];
  struct tape_source sources[TAPE_SOURCES];
  struct tape_lane lanes[TAPE_LANES];
  struct tape_notice notices[TAPE_NOTICES];
  bool wraps[TAPE_WRAPS]; /* memory in use */
  uint64_t user_data;     /* of the last one accepted */

  struct tape_report reports[TAPE_REPORTS];
  uint32_t cancels;     /* since the last turn */
  uint32_t reports_due; /* of these, with a report */
  uint32_t reports_out; /* delivered and not taken */
  int64_t turned_at;    /* before the last turn */

  uint32_t credits_left, depth_left, channels_left;
  uint32_t credits_coming, depth_coming, channels_coming; /* after the next turn */
  uint32_t undrained;                     /* requests accepted since the last turn */
  uint32_t undrained_own[TAPE_LANES_OWN]; /* of these, by own lane, whoever had it */
  uint32_t pending;                       /* accepted and not taken */
  uint64_t accepted, completed;
  uint64_t refused[SQCQ__REFUSED_KINDS];
  uint32_t files_late; /* removed after the last turn: nobody closes them but destroy */
  bool fresh;          /* no pool and no wrap yet */
  bool stopping, cancelling;
  int64_t stop_limit;
  struct tape_io io;
  uint32_t forks;
};

/* ------------------------------------------------------------------------- */
/* The tape's own time and place                                             */
/* ------------------------------------------------------------------------- */

extern int64_t tape_clock_ns;
extern int tape_cpu;

/* ------------------------------------------------------------------------- */
/* Saying what happens                                                       */
/* ------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static inline void tape_say(struct tape *tape,
                                                                  const char *format, ...)
{
  va_list arguments;

  if (!tape->verbose)
    return;
  printf("  %3u ", tape->shared->step);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

/* A run is a process of its own, so a failure ends it. */
__attribute__((format(printf, 3, 4), noreturn)) static inline void
tape_fail_check(struct tape *tape, const char *condition, const char *format, ...)
{
  size_t size = sizeof(tape->shared->text);
  va_list arguments;
  int n = snprintf(tape->shared->text, size, "%s%s", condition, *condition == '\0' ? "" : ": ");

  va_start(arguments, format);
  if (n >= 0 && (size_t)n < size)
    vsnprintf(tape->shared->text + n, size - (size_t)n, format, arguments);
  va_end(arguments);
  if (tape->shared->aborts) {
    fprintf(stderr, "step %u: %s\n", tape->shared->step, tape->shared->text);
    abort();
  }
  fflush(NULL);
  _exit(1);
}

#define tape_fail(tape, ...) tape_fail_check((tape), "", __VA_ARGS__)
#define tape_check(tape, condition, ...)                                                           \
  ((condition) ? (void)0 : tape_fail_check((tape), #condition, __VA_ARGS__))

/* The errors that a call may answer: none where it must work. */
struct tape_errors {
  int list[12];
  uint32_t count;
};

/* A ring that polls the device takes O_DIRECT files, and nothing but plain reads, without an end. */
static inline bool tape_polls(const struct tape *tape)
{
  return (tape->config.flags & SQCQ_ENGINE_IOPOLL) != 0;
}

static inline bool tape_allows(const struct tape_errors *errors, int error)
{
  for (uint32_t i = 0; i < errors->count; i++)
    if (errors->list[i] == error)
      return true;
  return false;
}

static inline void tape_allow(struct tape_errors *errors, bool condition, int error)
{
  if (condition && !tape_allows(errors, error) && errors->count < 12)
    errors->list[errors->count++] = error;
}

/* True where the call has worked; ends the run where it should have and has not, or the other way
 * round. */
static inline bool tape_worked(struct tape *tape, const struct tape_errors *errors, int result,
                               const char *call)
{
  if (result >= 0 && errors->count > 0)
    tape_fail(tape, "%s worked (%d), should be refused: %s", call, result,
              sqcq_strerror(errors->list[0]));
  if (result < 0 && !tape_allows(errors, result))
    tape_fail(tape, "%s refused: %d %s; expected %s", call, result, sqcq_strerror(result),
              errors->count > 0 ? sqcq_strerror(errors->list[0]) : "success");
  return result >= 0;
}

#endif
