/*
 * The seam between the engine and the kernel. Room: I, save create, the registrations
 * before the first turn, and destroy, which are role S.
 *
 * ring.c implements it on io_uring and is the only file that makes io_uring system calls.
 * tests/support/sim_ring.c implements it in memory. Nothing behind this header knows
 * of requests, files or channels; it must never allocate after create.
 */
#ifndef SQCQ_ENGINE_RING_H
#define SQCQ_ENGINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_uring_cqe;
struct io_uring_sqe;
struct iovec;
struct sqcq__ring;

/* Not in all headers that we build with. */
#define SQCQ__RWF_DONTCACHE 0x80

/* A time as the kernel reads it. */
struct sqcq__ring_time {
  int64_t seconds;
  int64_t nanoseconds;
};

struct sqcq__ring_config {
  uint32_t sq_entries; /* powers of two */
  uint32_t cq_entries;
  bool sqpoll;
  bool iopoll;
  bool no_defer; /* without SINGLE_ISSUER and DEFER_TASKRUN */
  uint32_t sqpoll_idle_ms;
  int32_t sqpoll_cpu; /* -1: any */
};

/* The groups of set-up flags that are tried together, newest kernel first. */
enum sqcq__ring_group {
  SQCQ__GROUP_DEFER_TASKRUN, /* 6.1 */
  SQCQ__GROUP_SINGLE_ISSUER, /* 6.0 */
  SQCQ__GROUP_COOP_TASKRUN,  /* 5.19, with TASKRUN_FLAG */
  SQCQ__GROUP_SUBMIT_ALL,    /* 5.18 */
  SQCQ__GROUP_COUNT
};

/* What came of creation. Constant after create. */
struct sqcq__ring_traits {
  uint32_t setup_flags;             /* IORING_SETUP_* in force */
  uint32_t features;                /* IORING_FEAT_* */
  bool timed_enter;                 /* a timeout can be an argument of enter (EXT_ARG, 5.11) */
  bool unregistered_sqpoll;         /* SQPOLL takes descriptors outside the file table (5.11) */
  bool group_on[SQCQ__GROUP_COUNT]; /* in force */
  int32_t group_error[SQCQ__GROUP_COUNT]; /* tried and refused: -errno; else 0 */
  int32_t fadvise_error;                  /* IORING_OP_FADVISE: 0, or why not */
  int32_t dontcache_error;                /* RWF_DONTCACHE (6.14): 0, or why not */
};

/* Make a ring, disabled where SINGLE_ISSUER is in force (a genuine 5.10 takes R_DISABLED alone,
 * and then refuses every enter). 0, or the -errno that ended the ladder. */
int sqcq__ring_create(struct sqcq__ring **ring, const struct sqcq__ring_config *config,
                      struct sqcq__ring_traits *traits);

/* Tear it down; NULL is allowed. What is in flight is cancelled by the kernel, later. */
void sqcq__ring_destroy(struct sqcq__ring *ring);

/* The first turn: enable where it was made disabled, which binds the caller; then register the
 * ring's own descriptor. *fd_error: 0 or why the latter is not so. Returns 0 or -errno. */
int sqcq__ring_bind(struct sqcq__ring *ring, int *fd_error);

/* The last turn: give the registered descriptor back. By the thread that called bind. */
void sqcq__ring_unbind(struct sqcq__ring *ring);

/* Bound the kernel workers of the caller, which has called bind: for regular files and block
 * devices, and for all else; 0: as it is. 0 or -errno (5.15). */
int sqcq__ring_bound_workers(struct sqcq__ring *ring, uint32_t bounded, uint32_t unbounded);

/* By another thread, once the one that called bind has ended: what that had registered has gone with
 * it. bind may follow. */
void sqcq__ring_abandon(struct sqcq__ring *ring);

/* A table of `count` empty file slots. 0 or -errno. Before the first turn. */
int sqcq__ring_register_files(struct sqcq__ring *ring, uint32_t count);

/* Put fd into a slot, or empty it (-1). 0 or -errno. */
int sqcq__ring_update_file(struct sqcq__ring *ring, uint32_t slot, int fd);

/* Register these buffers instead of those registered before. 0 or -errno: none are then. Only
 * before the first turn, while nothing is in flight: works on every kernel alike. */
int sqcq__ring_register_buffers(struct sqcq__ring *ring, const struct iovec *iovecs,
                                uint32_t count);

/* From now on the kernel writes to this eventfd for each completion, while it is watched, which it is
 * not at first. 0 or -errno. Before the first turn: with an operation in flight a 5.10 hangs. */
int sqcq__ring_register_eventfd(struct sqcq__ring *ring, int fd);

/* Whether it does. No system call; a full fence must come before the look at what was there before. */
void sqcq__ring_watch(struct sqcq__ring *ring, bool on);

/* The next free SQE, to be filled in wholly, or NULL while the SQ is full. */
struct io_uring_sqe *sqcq__ring_sqe(struct sqcq__ring *ring);

/* Whether SQEs wait to be submitted. */
bool sqcq__ring_has_unsubmitted(const struct sqcq__ring *ring);

/* Whether the kernel says that an enter would bring completions (task work, overflow). A ring that
 * has been abandoned may say so for ever, for work of the thread that has ended. */
bool sqcq__ring_wants_enter(const struct sqcq__ring *ring);

/* Whether it says so and can be believed: a reason not to sleep. An enter that waits brings them too. */
bool sqcq__ring_keeps_awake(const struct sqcq__ring *ring);

/* Submit what there is and, wait_nr > 0, wait until that many completions are there or timeout_ns
 * nanoseconds have passed (negative: no limit). 0; -ETIME: time passed; or -errno of the kernel.
 * *syscalls is raised by the system calls made. */
int sqcq__ring_enter(struct sqcq__ring *ring, uint32_t wait_nr, int64_t timeout_ns,
                     uint64_t *syscalls);

/* Up to max completions that are there, without a system call. They stay until advance. */
uint32_t sqcq__ring_peek(struct sqcq__ring *ring, struct io_uring_cqe **cqes, uint32_t max);
void sqcq__ring_advance(struct sqcq__ring *ring, uint32_t count);

/* Completions that the kernel had no room for: 0 by construction. */
uint64_t sqcq__ring_overflow(const struct sqcq__ring *ring);

#endif
