/*
 * sqcq: constants and types. sqcq.h includes it, and says what they are for.
 */
#ifndef SQCQ_TYPES_H
#define SQCQ_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define SQCQ_EXTENSION __extension__ /* unnamed unions, for C99 */
#else
#define SQCQ_EXTENSION
#endif

/* ------------------------------------------------------------------------- */
/* Constants                                                                 */
/* ------------------------------------------------------------------------- */

/* Limits of what a configuration may ask for. Index fields of handles have 20
 * bits, channel numbers 12: see struct sqcq__request in src/mpsc/request.h. */
#define SQCQ_DEPTH_MAX 16384u      /* the kernel's largest CQ, 65536, holds twice this and more */
#define SQCQ_REQUESTS_MAX 1048576u /* request table slots */
#define SQCQ_CHANNELS_MAX 4096u
#define SQCQ_LANES_SHARED_MAX 64u /* one bit each in the work word */
#define SQCQ_LANE_SLOTS_MAX 65536u
#define SQCQ_LANES_OWN_MAX 1024u
#define SQCQ_FILES_MAX 1048576u
#define SQCQ_FILES_FIXED_MAX 32768u /* the smallest limit of the kernels supported (5.10) */
#define SQCQ_POOLS_MAX 1024u
#define SQCQ_BUFFERS_MAX 1048576u
#define SQCQ_VECTOR_MAX 64u /* buffers of one vectored read */
#define SQCQ_CANCELS_MAX 65536u
#define SQCQ_NOTICES_MAX 4096u
#define SQCQ_LENGTH_MAX 0x7ffff000u /* the kernel's own limit of one read */

/* An offset: read at the descriptor's own position (pipes, sockets, eventfd, ...). */
#define SQCQ_OFFSET_CURRENT UINT64_MAX

/* A timeout: no limit. */
#define SQCQ_FOREVER (-1)

/* sqcq_engine_config.flags */
#define SQCQ_ENGINE_SQPOLL (1u << 0)         /* a kernel thread submits; not with IOPOLL */
#define SQCQ_ENGINE_IOPOLL (1u << 1)         /* busy-poll the device: only O_DIRECT storage */
#define SQCQ_ENGINE_NO_FIXED_FILES (1u << 2) /* read through descriptors only */
#define SQCQ_ENGINE_NO_DEFER (1u << 3)       /* do without SINGLE_ISSUER and DEFER_TASKRUN */
#define SQCQ_ENGINE_EVENT_LOOP (1u << 4)     /* an event loop may drive it: sqcq_engine_fd() */
#define SQCQ_ENGINE_HISTOGRAMS (1u << 5)     /* time every request: sqcq_engine_histogram() */

/* sqcq_engine_config.idle: what the I/O thread does in sqcq_engine_run() and
 * sqcq_engine_wait() while there is nothing to do. Looking again gives the CPU to others that want
 * it (sched_yield). Consumers: consumer_spin_ns. */
enum sqcq_idle {
  SQCQ_IDLE_SPIN_SLEEP = 0, /* look again for spin_ns, then sleep (default) */
  SQCQ_IDLE_SLEEP = 1,      /* sleep at once: least CPU while little is to be done */
  SQCQ_IDLE_BUSY = 2        /* never sleep: a CPU of its own, and nobody else on it */
};

/* sqcq_read.flags. What this kernel or engine does not have is refused with -EOPNOTSUPP, see
 * sqcq_engine_features(); to what the file does not have the kernel says so in the completion. Not
 * together: NOWAIT and ASYNC; WILLNEED and DONTNEED; one of these two and any other but ASYNC. */
#define SQCQ_READ_NOWAIT (1u << 0)    /* only what is there; else the kernel's -EAGAIN */
#define SQCQ_READ_DONTCACHE (1u << 1) /* leave nothing in the page cache (6.14; RWF_DONTCACHE) */
#define SQCQ_READ_ASYNC (1u << 2)     /* by a worker of the kernel from the start; not IOPOLL */
/* No reads, but posix_fadvise(2) of offset and length (0: to the end): result 0, no buffer ({0}),
 * no ioprio; not IOPOLL. */
#define SQCQ_READ_WILLNEED (1u << 3)
#define SQCQ_READ_DONTNEED (1u << 4)
#define SQCQ_READ_VECTOR (1u << 5) /* into all of `buffers`, one after the other; see vectors_max */

/* sqcq_engine_stop(): what becomes of accepted requests. */
enum sqcq_stop_mode {
  SQCQ_STOP_DRAIN = 0, /* read them all */
  SQCQ_STOP_CANCEL = 1 /* cancel those that have not completed */
};

/* sqcq_file_remove(): what becomes of reads accepted before it. */
enum sqcq_remove_mode {
  SQCQ_REMOVE_DEFAULT = 0, /* DRAIN; CANCEL where a read may wait for ever (pipes, sockets, ...) */
  SQCQ_REMOVE_DRAIN = 1,   /* they are read */
  SQCQ_REMOVE_CANCEL = 2   /* they are cancelled */
};

/* sqcq_pool_config.flags */
#define SQCQ_POOL_FIXED (1u << 0)  /* register with the kernel; worth it for O_DIRECT */
#define SQCQ_POOL_STRICT (1u << 1) /* refuse instead of going on without FIXED or HUGE */
#define SQCQ_POOL_HUGE (1u << 2)   /* huge pages: reserved ones, else transparent ones */

/* sqcq_completion.flags: who ended a request that was ended. The result beside it is the
 * kernel's own (-ECANCELED, on a genuine 5.10 -EINTR), or, with UNSUBMITTED, -ECANCELED for one
 * that never reached the kernel. Where several wanted to end it, more than one of their flags may be
 * there. A read that was faster than its cancel has its bytes, no flag. */
#define SQCQ_COMPLETION_UNSUBMITTED (1u << 0)  /* never reached the kernel */
#define SQCQ_COMPLETION_STOPPED (1u << 1)      /* by sqcq_engine_stop() */
#define SQCQ_COMPLETION_FILE_REMOVED (1u << 2) /* by sqcq_file_remove() */
#define SQCQ_COMPLETION_CANCELLED (1u << 3)    /* by sqcq_cancel() */
#define SQCQ_COMPLETION_DEADLINE (1u << 4)     /* by its deadline */
/* And one that is no request's: the report of a cancel, sqcq_cancel_target.report. Without a buffer. */
#define SQCQ_COMPLETION_REPORT (1u << 5)

/* sqcq_cancel_target.what: which requests. */
enum sqcq_cancel_what {
  SQCQ_CANCEL_ALL = 1,
  SQCQ_CANCEL_CHANNEL = 2,  /* all of `channel` */
  SQCQ_CANCEL_FILE = 3,     /* all of `file` */
  SQCQ_CANCEL_USER_DATA = 4 /* all of `channel` with this `user_data` */
};

/* sqcq_cancel_target.flags */
#define SQCQ_CANCEL_REPORT (1u << 0) /* say on `report` how many were found */

/* sqcq_request_wait(), sqcq_request_notify(): which bound has refused, and what its `id` is. */
enum sqcq_bound {
  SQCQ_BOUND_LANES = 1,   /* -EAGAIN of sqcq_request(), not of own lanes: 0 */
  SQCQ_BOUND_CHANNEL = 2, /* -EXFULL: the channel's id */
  SQCQ_BOUND_POOL = 3,    /* -ENOBUFS of sqcq_buffer_acquire(): the pool's id */
  SQCQ_BOUND_LANE = 4     /* -EAGAIN of sqcq_lane_request(): the lane's id */
};

/* sqcq_engine_histogram(): the stages of a request. */
enum sqcq_stage {
  SQCQ_STAGE_QUEUE = 0,   /* from its acceptance until it goes to the kernel */
  SQCQ_STAGE_DEVICE = 1,  /* from there until the I/O thread has its CQE */
  SQCQ_STAGE_DELIVERY = 2 /* from there until a consumer has taken its completion */
};

/* Eight for each power of two, up to 2^41 ns (37 minutes); the last takes all beyond. */
#define SQCQ_HISTOGRAM_BUCKETS 312u

/* sqcq_completion.flags: what it was. */
#define SQCQ_COMPLETION_VECTOR (1u << 6) /* several buffers: see sqcq_completion_buffers() */
#define SQCQ_COMPLETION_ADVICE (1u << 7) /* WILLNEED or DONTNEED: no buffer, data NULL */

/* ------------------------------------------------------------------------- */
/* Types                                                                     */
/* ------------------------------------------------------------------------- */

struct sqcq_engine; /* opaque */

/* Handles: values, copied freely. They carry an index, a generation and the
 * engine's tag, so that a stale one, or another engine's, is refused and never
 * followed. {0} is never valid. */
typedef struct sqcq_file {
  uint64_t id;
} sqcq_file;

typedef struct sqcq_buffer {
  uint64_t id;
} sqcq_buffer;

typedef struct sqcq_channel {
  uint64_t id;
} sqcq_channel;

typedef struct sqcq_pool {
  uint64_t id;
} sqcq_pool;

typedef struct sqcq_lane {
  uint64_t id;
} sqcq_lane;

typedef struct sqcq_notice {
  uint64_t id;
} sqcq_notice;

/* Fill in with sqcq_engine_config_init(), then change what you need. Zero means
 * the default in every field but depth. A field beyond `size` takes its default. */
struct sqcq_engine_config {
  uint32_t size;           /* sizeof(struct sqcq_engine_config) as you were compiled */
  uint32_t flags;          /* SQCQ_ENGINE_* */
  uint32_t depth;          /* reads in the kernel at once: a power of two to SQCQ_DEPTH_MAX. 256 */
  uint32_t requests_max;   /* accepted and not yet taken, of all channels together. 4096 */
  uint32_t channels_max;   /* open at once, up to depth: each keeps one of it. 64, or depth / 4 */
  uint32_t lanes_shared;   /* for sqcq_request(), to SQCQ_LANES_SHARED_MAX. 2 x CPUs, 4 or more */
  uint32_t lane_slots;     /* requests that a lane holds, a power of two. 256 */
  uint32_t files_max;      /* files at once. 1024 */
  uint32_t files_fixed;    /* slots of the kernel's file table. files_max, or the most there are */
  uint32_t pools_max;      /* pools at once. 16 */
  uint32_t buffers_max;    /* buffers of all pools, and wrapped ones. 4096 */
  uint32_t idle;           /* enum sqcq_idle. SPIN_SLEEP */
  uint32_t spin_ns;        /* how long to look again before a sleep, nanoseconds. 20000 */
  uint32_t sqpoll_idle_ms; /* SQPOLL: the kernel thread sleeps after this. 10 */
  int32_t sqpoll_cpu;      /* SQPOLL: its CPU + 1; 0: any */
  /* How long a consumer in sqcq_channel_wait() looks again before it sleeps, nanoseconds, to
   * UINT32_MAX. Worth it where each consumer has a CPU to itself: with fewer CPUs than threads it
   * takes them from the I/O thread (measured: docs/decisions/0007). 0: sleep at once. */
  uint32_t consumer_spin_ns;
  /* Own lanes open at once, to SQCQ_LANES_OWN_MAX; see sqcq_lane_open(). Each is of lane_slots
   * requests, 64 bytes a request, taken at creation. 0: none */
  uint32_t lanes_own;
  uint32_t cancels_max; /* sqcq_cancel() calls not yet acted upon, to SQCQ_CANCELS_MAX. 64 */
  uint32_t notices_max; /* of sqcq_request_notify() at once, to SQCQ_NOTICES_MAX. 64 */
  /* Buffers that one SQCQ_READ_VECTOR may have, to SQCQ_VECTOR_MAX; 16 bytes each for each place of
   * the depth. 0: there are no such reads. */
  uint32_t vectors_max;
  /* Threads that the kernel may start for what it cannot do at once: for regular files and block
   * devices, and for all else. They hold for all rings of the I/O thread, also later ones, and on
   * some kernels for each NUMA node. Before 5.15 there is no such bound, and
   * sqcq_engine_features() says so. To INT32_MAX. 0: as the kernel likes. */
  uint32_t io_workers_bounded;
  uint32_t io_workers_unbounded;
};

/* Why sqcq_engine_create() refused, in words for a log. */
struct sqcq_explanation {
  int32_t error;   /* the errno, negative */
  uint32_t reason; /* enum sqcq_reason */
  uint64_t needed; /* for REASON_CONFIG the value, for REASON_MEMLOCK the bytes needed */
  uint64_t limit;  /* the limit it met */
  char text[232];  /* one line, ends with a NUL */
};

enum sqcq_reason {
  SQCQ_REASON_NONE = 0,
  SQCQ_REASON_CONFIG = 1,      /* -EINVAL: the named field is out of range */
  SQCQ_REASON_NO_IO_URING = 2, /* -ENOSYS: kernel without it, or hidden by a seccomp filter */
  SQCQ_REASON_SYSCTL = 3,      /* -EPERM: kernel.io_uring_disabled */
  SQCQ_REASON_SECCOMP = 4,     /* -EPERM: a seccomp filter, as containers have one, or an LSM */
  SQCQ_REASON_MEMLOCK = 5,     /* -ENOMEM: RLIMIT_MEMLOCK; see needed and limit */
  SQCQ_REASON_MEMORY = 6,      /* -ENOMEM: memory itself */
  SQCQ_REASON_DESCRIPTORS = 7, /* -EMFILE, -ENFILE */
  SQCQ_REASON_MODE = 8,        /* -EOPNOTSUPP: SQPOLL, IOPOLL or EVENT_LOOP cannot work here */
  SQCQ_REASON_OTHER = 9        /* what the kernel said */
};

struct sqcq_channel_config {
  uint32_t size;         /* sizeof(struct sqcq_channel_config) */
  uint32_t capacity;     /* requests accepted and not yet taken. 0: 256, or what is left */
  uint32_t inflight_max; /* in the kernel at once. 0: depth, 3/4 of it where channels_max > 1 */
  uint32_t inflight_min; /* of the depth, kept for it whatever others do. 0: 1 */
};

struct sqcq_pool_config {
  uint32_t size;  /* sizeof(struct sqcq_pool_config) */
  uint32_t flags; /* SQCQ_POOL_* */
  uint32_t count; /* buffers, at least 1 */
  uint32_t align; /* of each buffer, a power of two up to 2 MiB. 0: 4096, enough for O_DIRECT */
  uint64_t buffer_size; /* bytes of each, 1 to SQCQ_LENGTH_MAX */
};

/* One read. Copied by sqcq_request(), with what `buffers` points to. */
struct sqcq_read {
  sqcq_file file;
  SQCQ_EXTENSION union {
    sqcq_buffer buffer; /* yours; the engine's from acceptance until its completion is taken */
    const sqcq_buffer *buffers; /* SQCQ_READ_VECTOR: buffer_count of them, of any pools, wrapped */
  };
  sqcq_channel channel;   /* where the completion goes */
  uint64_t offset;        /* bytes from the file's start, to INT64_MAX, or SQCQ_OFFSET_CURRENT */
  uint64_t user_data;     /* yours */
  uint32_t length;        /* bytes, from 1; buffer_offset + length <= size of the buffer(s) */
  uint32_t buffer_offset; /* where in the (first) buffer the bytes go */
  uint32_t flags;         /* SQCQ_READ_* */
  /* As ioprio_set(2) has it, class << 13 | level; 0: the I/O thread's own. To class 1, real time,
   * without CAP_SYS_ADMIN or CAP_SYS_NICE, the completion says -EPERM. */
  uint16_t ioprio;
  uint16_t buffer_count; /* SQCQ_READ_VECTOR: 1 (a plain read) to vectors_max; else 0 */
  uint64_t deadline_ns;  /* CLOCK_MONOTONIC, nanoseconds, to INT64_MAX: ended then with
                            SQCQ_COMPLETION_DEADLINE, if it has not completed; never before, and
                            by the next turn, for which sqcq_engine_wait(), _run() and an armed
                            event loop wake up. 0: none */
};

/* Which requests to cancel, and whom to tell. Copied by sqcq_cancel(). Fields that `what` and
 * `flags` make no use of are 0. */
struct sqcq_cancel_target {
  uint32_t what;             /* enum sqcq_cancel_what */
  uint32_t flags;            /* SQCQ_CANCEL_* */
  sqcq_channel channel;      /* for CHANNEL and USER_DATA */
  sqcq_file file;            /* for FILE */
  uint64_t user_data;        /* for USER_DATA */
  sqcq_channel report;       /* with REPORT: where the report goes, */
  uint64_t report_user_data; /* and its user_data */
  uint64_t reserved;         /* 0 */
};

/* One answer: a cache line. Everything but result, flags and data is the request's. */
struct sqcq_completion {
  uint64_t user_data;
  int32_t result;  /* the kernel's: bytes read (0: end of file; may be fewer), or -errno */
  uint32_t flags;  /* SQCQ_COMPLETION_* */
  uint64_t offset; /* as requested */
  sqcq_file file;
  sqcq_buffer buffer; /* owned by whoever took this completion */
  void *data;         /* where the bytes are: the buffer's memory + buffer_offset */
  uint32_t length;    /* as requested */
  uint32_t buffer_offset;
  uint64_t reserved; /* 0 */
};

/* Counters since creation. Each is exact by itself; together they are no snapshot. */
struct sqcq_stats {
  uint64_t accepted;           /* requests */
  uint64_t refused_again;      /* -EAGAIN: lanes */
  uint64_t refused_full;       /* -EXFULL: channel without a free slot */
  uint64_t refused_closed;     /* -EPIPE */
  uint64_t refused_stopping;   /* -ESHUTDOWN */
  uint64_t refused_file;       /* -EBADF */
  uint64_t refused_buffer;     /* -ESTALE and -EBUSY */
  uint64_t refused_invalid;    /* -EINVAL, -EOPNOTSUPP, and -EBADFD of sqcq_lane_request() */
  uint64_t refused_no_buffers; /* -ENOBUFS of sqcq_buffer_acquire() */
  uint64_t submitted;          /* reads handed to the kernel */
  uint64_t completed;          /* completions put into channels, without reports of cancels */
  uint64_t unsubmitted;        /* of these, with SQCQ_COMPLETION_UNSUBMITTED */
  uint64_t failed;             /* answered by the kernel with an error; unsubmitted are not */
  uint64_t bytes;              /* read */
  uint64_t turns;
  uint64_t turns_idle;       /* of these, without a completion to deliver */
  uint64_t enters;           /* io_uring_enter calls of the I/O thread */
  uint64_t sleeps;           /* times the I/O thread announced itself asleep */
  uint64_t io_wakes;         /* eventfd writes to wake it */
  uint64_t consumer_wakes;   /* futex wakes of consumers, and writes to their eventfds */
  uint64_t consumer_sleeps;  /* futex waits of consumers, and times they armed */
  uint64_t files_retired;    /* descriptors closed */
  uint64_t syscalls_control; /* other calls of the I/O thread: file table updates, close, eventfd */
  uint64_t inflight;         /* reads in the kernel now */
  uint64_t waiting;          /* requests in the table that wait for depth, now */
  uint64_t cq_overflow;      /* 0 by construction */
  uint64_t batches_in;       /* into lanes; what io_wakes is less, needed no wake */
  uint64_t batches_out;      /* into channels, turn by turn; what consumer_wakes is less, too */
  uint64_t lane_high_water;  /* the most requests that a turn has found in one lane */
  uint64_t channel_high_water; /* the most completions that were unread in one channel */
  uint64_t producer_sleeps;    /* futex waits in sqcq_request_wait() */
  uint64_t producer_wakes;     /* of these, ended by a futex wake */
  uint64_t notices_fired;      /* eventfds written for sqcq_request_notify() */
};

/* Of one channel; likewise. */
struct sqcq_channel_counters {
  uint64_t capacity;   /* its completion slots */
  uint64_t taken;      /* of these: requests accepted and not yet taken as completions, now */
  uint64_t unread;     /* of these: completions to be taken, now */
  uint64_t high_water; /* the most unread that a look of its consumer has found, or one now would;
                          of all channels that this place has had */
  uint64_t sleeps;     /* futex waits of its consumers, and times they armed; of all channels that
                          this place has had */
  uint64_t wakes;      /* futex wakes of them, and writes to their eventfd, likewise */
};

/* How long requests took. */
struct sqcq_histogram {
  uint64_t count;
  uint64_t sum_ns;
  uint64_t max_ns;
  uint64_t buckets[SQCQ_HISTOGRAM_BUCKETS]; /* bucket i: from sqcq_histogram_bound(i) */
};

enum sqcq_feature_state {
  SQCQ_FEATURE_ON = 0,
  SQCQ_FEATURE_OFF = 1,    /* not asked for, or switched off by the configuration */
  SQCQ_FEATURE_REFUSED = 2 /* tried; `error` is the kernel's answer */
};

struct sqcq_feature {
  const char *name;    /* e.g. "DEFER_TASKRUN"; static */
  const char *instead; /* what is used while it is not on; static, "" where it is on */
  uint32_t state;      /* enum sqcq_feature_state */
  int32_t error;       /* for REFUSED: negative errno */
  uint64_t needed;     /* for a refused registration: bytes of locked memory needed, else 0 */
  uint64_t limit;      /* and RLIMIT_MEMLOCK */
};

/* What is still out when sqcq_engine_destroy() answers -EBUSY. */
struct sqcq_held {
  uint32_t running;  /* 1: not stopped, or its stop is not finished */
  uint32_t inflight; /* reads in the kernel or waiting for it */
  uint32_t unread;   /* completions that nobody has taken */
  uint32_t buffers;  /* pool buffers acquired and not released */
  uint32_t wrapped;  /* user memory not unwrapped */
  uint32_t reserved;
};

#endif
