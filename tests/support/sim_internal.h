/*
 * What the parts of the simulated ring share.
 *
 *   sim_setup.c    the seam: create and destroy, bind, registrations
 *   sim_ring.c     the seam: SQ, enter, CQ
 *   sim_start.c    an SQE becomes an operation in flight
 *   sim_ops.c      doing what it asks for
 *   sim_time.c     when operations complete, and in which order
 *   sim_control.c  what tests may ask for (sim_ring.h)
 *   sim_kernels.c  ready-made kernels
 */
#ifndef SQCQ_TESTS_SUPPORT_SIM_INTERNAL_H
#define SQCQ_TESTS_SUPPORT_SIM_INTERNAL_H

#include "support/rng.h"
#include "support/sim_ring.h"

#include "engine/ring.h"

#include <liburing.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SIM_SILENT_MAX 16u
#define SIM_FILES_MAX 32768u /* the kernel's IORING_MAX_FIXED_FILES, 5.10 */
#define SIM_VECTORS_MAX 64u  /* of one read */
#define SIM_EVENTS_MAX 8     /* polls reported by one look at the epoll descriptor */

struct sim_fault {
  uint32_t skip;
  uint32_t times;
  int32_t error;
};

struct sim_file_id {
  dev_t device;
  ino_t inode;
};

/* How a ring behaves; each has its own copy. */
struct sim_plan {
  struct sim_config config;
  struct sim_fault faults[SIM_CALLS];
  struct sim_file_id silent[SIM_SILENT_MAX];
  uint32_t silent_count;
};

/* An operation in flight. */
struct sim_request {
  struct sim_request *older; /* list in order of submission, or of the free ones by `newer` */
  struct sim_request *newer;
  struct sim_op op;
  bool used;
  bool stream;             /* not a regular file or block device: may have nothing to read */
  uint64_t due;            /* may complete from this tick on */
  uint64_t told;           /* place in the order of decisions; 0: undecided */
  int32_t fault;           /* error it is to answer, 0: none */
  uint32_t trim;           /* read only so many bytes; 0: all */
  enum sim_cancel outcome; /* CANCEL */
  short events;            /* POLL */
  struct iovec iovecs[SIM_VECTORS_MAX]; /* READ: as they were when it started */
};

struct sqcq__ring {
  struct sqcq__ring *self; /* to be written through where the seam says const */
  struct sim_plan plan;
  struct sim_counts counts;
  struct rng rng;
  uint32_t setup_flags;
  bool timed; /* waits with a timeout in one system call (EXT_ARG) */

  bool bound;
  bool fd_registered;
  uint32_t workers[2];
  uint64_t thread;    /* that bound it: sqcq__thread_self(), since pthread_t is used again */
  atomic_bool inside; /* relaxed: a guard against two threads, orders nothing */

  struct io_uring_sqe *sqes;
  uint32_t sq_head, sq_tail, sq_mask;
  struct io_uring_cqe *cqes;
  uint32_t cq_head, cq_tail, cq_mask;

  int *files; /* own duplicates, -1: empty */
  uint32_t file_count;
  int eventfd;  /* registered; the engine's own; -1: none */
  bool watched; /* not IORING_CQ_EVENTFD_DISABLED */
  struct iovec *buffers;
  uint32_t buffer_count;

  struct sim_request *requests; /* cq_entries of them */
  struct sim_request *free;
  struct sim_request *oldest, *newest;
  struct sim_request **candidates; /* scratch, as many */
  struct pollfd *sleepers;         /* scratch, one more */
  uint32_t inflight;
  uint64_t tick;    /* raised by each enter and look: time */
  uint64_t decided; /* decisions so far */
  int epoll;        /* watches multishot polls, edge-triggered */
  uint32_t multishots;

  struct sim_op *log; /* by number, the last SIM_LOG */
  uint64_t submitted;
};

/* sim_control.c */
void sim__abort(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void sim__adopt(struct sqcq__ring *ring);  /* a new ring: gets its plan and seed */
void sim__add(struct sqcq__ring *ring);    /* it is complete */
void sim__remove(struct sqcq__ring *ring); /* and gone */
struct sqcq__ring *sim__chosen(void);      /* that a test means; ends the program without one */
int32_t sim__fault_of_create(void);        /* for one attempt; before there is a ring */
int32_t sim__fault(struct sqcq__ring *ring, enum sim_call call);
bool sim__is_silent(const struct sqcq__ring *ring, int fd);
bool sim__file_id(int fd, struct sim_file_id *id);

/* sim_ring.c: CLOCK_MONOTONIC; a write to the eventfd, if it is watched */
int64_t sim__now_ns(void);
void sim__signal(struct sqcq__ring *ring);

/* sim_ring.c: who may call; around everything that the seam does */
void sim__come_in(struct sqcq__ring *ring, const char *call);
void sim__go_out(struct sqcq__ring *ring);
bool sim__is_disabled(const struct sqcq__ring *ring);

/* sim_start.c */
bool sim__start(struct sqcq__ring *ring, const struct io_uring_sqe *sqe); /* false: refused */
void sim__tell(struct sqcq__ring *ring, struct sim_request *request, int32_t result,
               uint64_t delay);
void sim__post(struct sqcq__ring *ring, struct sim_request *request, int32_t result,
               uint32_t flags); /* without IORING_CQE_F_MORE the operation is gone then */

/* sim_ops.c: false where it would have to wait */
bool sim__complete(struct sqcq__ring *ring, struct sim_request *request); /* as it asks for */
bool sim__complete_told(struct sqcq__ring *ring, struct sim_request *request);
bool sim__has_something(const struct sim_request *request); /* to read */

/* sim_time.c */
void sim__progress(struct sqcq__ring *ring); /* post what is due */
bool sim__force(struct sqcq__ring *ring);    /* post one more, due or not; false: none can */
bool sim__could_progress(struct sqcq__ring *ring);
bool sim__is_coming(struct sqcq__ring *ring); /* something completes by itself, sooner or later */
int64_t sim__next_timeout(const struct sqcq__ring *ring); /* CLOCK_MONOTONIC ns; -1: none */
uint32_t sim__watch(struct sqcq__ring *ring);             /* fills sleepers; how many */
void sim__abandon(struct sqcq__ring *ring); /* the ring goes: close what was to be closed */

static inline uint32_t sim__unread(const struct sqcq__ring *ring)
{
  return ring->cq_tail - ring->cq_head;
}

#endif
