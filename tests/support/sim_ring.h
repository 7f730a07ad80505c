/*
 * A simulated io_uring behind the seam src/engine/ring.h: what tests may ask of it.
 *
 * A test whose source says it wants it (see tests/CMakeLists.txt) is linked with the simulation
 * instead of src/engine/ring.c. No io_uring system call is made. Everything is drawn from one
 * seed, so a single-threaded test replays exactly.
 *
 *   1. describe a kernel:           struct sim_config config = sim_kernel("6.1");
 *   2. say how it is to behave:     config.delay_max = 3; or sim_unruly(&config, seed);
 *   3. for rings made from now on:  sim_configure(&config);
 *   4. create the engine, run it, and look or interfere with the functions below.
 *
 * Without sim_configure() it is a "6.18" that does everything at once and in order.
 *
 * The functions below work on the ring made last, or the one chosen with sim_select(). They may be
 * called only while no other thread is inside the engine: from the I/O thread itself, or before it
 * starts and after it has been joined.
 *
 * What no kernel could forgive, and what breaks a bound that sqcq promises, ends the program at
 * once with a line that begins with "sim_ring:":
 *   - more operations in flight and completions unread than the CQ holds: it could overflow
 *   - an enter of a ring that was made disabled and never bound; a second bind
 *   - a call from a second thread on a SINGLE_ISSUER ring; two threads in any ring at once
 *   - an SQE not filled in wholly (they are handed out full of garbage), of an operation or with a
 *     flag unknown to the engine, of an empty slot of the file table, outside of its fixed buffer
 *   - iovecs that change while their read is in flight; a flag that this kernel does not have
 *   - two reads or two cancels in flight with the same user_data
 *   - a file closed or its slot emptied while reads of it are in flight
 *   - registrations after bind; a ring destroyed while its descriptor is registered
 *   - a wait that nothing could ever end
 *   - two timeouts at once; an eventfd watched that was not registered
 */
#ifndef SQCQ_TESTS_SUPPORT_SIM_RING_H
#define SQCQ_TESTS_SUPPORT_SIM_RING_H

#include <stdbool.h>
#include <stdint.h>

/* ------------------------------------------------------------------------- */
/* Configuration                                                             */
/* ------------------------------------------------------------------------- */

enum sim_kind {
  SIM_READ,
  SIM_POLL,
  SIM_CANCEL,
  SIM_CLOSE,
  SIM_NOP,
  SIM_ADVICE,  /* fadvise */
  SIM_TIMEOUT, /* answers -ETIME when its time has come */
  SIM_KINDS
};

/* For sim_config.hold: operations of this kind complete only when sim_complete*() says so. */
#define SIM_HOLD(kind) (1u << (kind))

/* Calls that can be made to fail. */
enum sim_call {
  SIM_CALL_CREATE, /* each attempt of the ladder; -EINVAL makes it go on with fewer flags */
  SIM_CALL_BIND,   /* enabling the ring */
  SIM_CALL_RING_FD,
  SIM_CALL_REGISTER_FILES,
  SIM_CALL_UPDATE_FILE,
  SIM_CALL_REGISTER_BUFFERS,
  SIM_CALL_BOUND_WORKERS,
  SIM_CALL_ENTER, /* nothing is submitted, nothing completes */
  SIM_CALL_REGISTER_EVENTFD,
  SIM_CALLS
};

/* How a race between a cancel and its target ends. */
enum sim_cancel {
  SIM_CANCEL_WINS,    /* the cancel says 0, the target -ECANCELED */
  SIM_CANCEL_LATE,    /* the target has just completed; the cancel says -ENOENT */
  SIM_CANCEL_ALREADY, /* it cannot be stopped: -EALREADY, and the target completes by itself */
  SIM_CANCEL_RANDOM   /* any of these, at once or some enters later */
};

enum sim_data {
  SIM_DATA_READ,   /* what the file holds */
  SIM_DATA_PATTERN /* regular files and block devices: sim_pattern() of file and offset */
};

struct sim_config {
  uint64_t seed;

  /* The kernel. */
  uint32_t setup_refused;   /* IORING_SETUP_*: create answers -EINVAL to these */
  uint32_t features;        /* IORING_FEAT_*; without EXT_ARG timed waits take two system calls */
  bool no_multishot_poll;   /* answers -EINVAL to it (before 5.13) */
  bool cancel_interrupts;   /* a cancelled read says -EINTR and its cancel -EALREADY (5.10) */
  bool nonblock_again;      /* a read of an empty O_NONBLOCK pipe says -EAGAIN (5.10) */
  bool no_null_buffers;     /* registering an empty iovec answers -EFAULT (5.10) */
  int32_t fadvise_error;    /* what probing for the operation says, */
  int32_t dontcache_error;  /* and for the flag (6.14); 0: it is there */
  uint32_t buffers_max;     /* more registered buffers than this: -EINVAL */
  int32_t error[SIM_CALLS]; /* what these calls always answer, 0: they work */

  /* What becomes of operations. Percentages are of reads, of enters, and of events. */
  bool holds_on;             /* a destroyed ring's files stay open until sim_let_go() */
  bool in_order;             /* complete in order of submission; a target before its cancel */
  bool cancel_first;         /* with in_order: a cancel's CQE before its target's */
  uint32_t hold;             /* SIM_HOLD(kind) | ... */
  uint32_t delay_max;        /* complete up to this many enters (or looks at the CQ) later */
  uint32_t completions_max;  /* at most so many an enter, unless it waits for more; 0: no limit */
  uint32_t submit_max;       /* at most so many SQEs an enter takes; 0: no limit */
  uint32_t short_percent;    /* short reads, of 1 byte to all but one */
  uint32_t error_percent;    /* reads that say read_error, */
  int32_t read_error;        /* -EIO where it is 0 */
  uint32_t again_percent;    /* reads that say -EAGAIN */
  uint32_t poll_end_percent; /* multishot polls that end with an event, without F_MORE */
  enum sim_cancel cancel;
  enum sim_data data;
  uint64_t pattern_size; /* size of each file with SIM_DATA_PATTERN; 0: endless */

  /* What enter answers. */
  uint32_t eintr_percent;  /* waits interrupted by a signal */
  uint32_t eagain_percent; /* submissions refused for lack of memory */
  uint32_t ebusy_percent;  /* submissions refused until completions are reaped */
};

/* A kernel that does everything at once and in order: "5.10" (the genuine one), "5.10.262" (a late
 * 5.10, which is 5.15's io_uring), "5.15", "5.19", "6.0", "6.1", "6.12", "6.18". */
struct sim_config sim_kernel(const char *version);

/* The versions, oldest first; NULL beyond the last one. */
#define SIM_KERNELS 8u
const char *sim_kernel_version(uint32_t number);

/* Let it do all the things a kernel may do, each now and then: any order, late, short, failing,
 * interrupted, refused, cancels that race. */
void sim_unruly(struct sim_config *config, uint64_t seed);

/* For the rings made from now on. Forgets what sim_fail() and sim_silence() have set for them. */
void sim_configure(const struct sim_config *config);

/* ------------------------------------------------------------------------- */
/* Which ring                                                                */
/* ------------------------------------------------------------------------- */

uint32_t sim_rings(void);         /* how many there are */
void sim_select(uint32_t number); /* in order of creation among these, from 0 */

/* ------------------------------------------------------------------------- */
/* Interfering. Without a ring: for the next one                             */
/* ------------------------------------------------------------------------- */

/* The configuration in force, to be changed as the test goes on (not: what create looks at). */
struct sim_config *sim_now(void);

/* Let `skip` more such calls work, then `times` of them fail. CREATE: of the next rings. */
void sim_fail(enum sim_call call, uint32_t skip, uint32_t times, int32_t error);

/* Reads of this file (known by device and inode) never complete until they are cancelled. */
void sim_silence(int fd, bool silent);

/* Do what the operation asks for: read, close, cancel. */
#define SIM_RESULT_REAL INT32_MIN

/* Complete one operation: the CQE is there after the next enter (on a ring without TASKRUN_FLAG
 * also at the next peek), in the order of these calls. By the index in sim_reads(); by offset, the
 * oldest such read; by user_data, any kind. A result > 0 of a read reads so many bytes. Returns
 * false, and does nothing, where there is no such operation in flight. */
bool sim_complete(uint32_t index, int32_t result);
bool sim_complete_offset(uint64_t offset, int32_t result);
bool sim_complete_user_data(uint64_t user_data, int32_t result);
uint32_t sim_complete_all(void); /* all reads but those silenced, really; how many */

/* See sim_config.holds_on. */
void sim_let_go(void);

/* The kernel writes to the ring's eventfd, while it is watched: when a completion is posted; when
 * sim_complete*() tells of one; when watching begins and something is on its way that will complete
 * by itself, since time stands still while nobody calls. What comes from outside, bytes in a pipe or
 * the time of a timeout, it sees when this is called: time passes, and nobody is in the ring. */
void sim_pass(void);

/* ------------------------------------------------------------------------- */
/* Looking                                                                   */
/* ------------------------------------------------------------------------- */

/* An operation that the engine has submitted. */
struct sim_op {
  uint64_t number; /* 0, 1, 2, ... in order of submission */
  uint64_t user_data;
  uint64_t offset;      /* UINT64_MAX: the file's own position; TIMEOUT: CLOCK_MONOTONIC ns */
  uint64_t target;      /* CANCEL: the user_data it looks for */
  void *data;           /* where the bytes go */
  uint32_t length;      /* bytes */
  int32_t fd;           /* of a fixed file: the simulation's own duplicate */
  int32_t slot;         /* of the file table; -1: not a fixed file */
  int32_t fixed_buffer; /* index; -1: none */
  enum sim_kind kind;
  uint32_t vectors;  /* READ: iovecs, which `data` points to then; 0: a plain one */
  uint32_t rw_flags; /* READ: RWF_*; ADVICE: POSIX_FADV_* */
  uint16_t ioprio;
  bool async;     /* IOSQE_ASYNC */
  bool multishot; /* POLL */
  bool decided;   /* told what to say, or said it */
  bool done;      /* its CQE, or its last one, has been posted, */
  int32_t result; /* with this */
};

/* Copy up to max operations, oldest first; how many there are. */
uint32_t sim_inflight(struct sim_op *ops, uint32_t max); /* all without their last CQE */
uint32_t sim_reads(struct sim_op *ops, uint32_t max);    /* of these the reads yet undecided */

/* The operation with this number, in flight or not; only the last SIM_LOG are remembered. */
#define SIM_LOG 1024u
bool sim_submitted(uint64_t number, struct sim_op *op);
uint64_t sim_submitted_count(void);
/* The last one of this kind. */
bool sim_submitted_last(enum sim_kind kind, struct sim_op *op);

uint32_t sim_unread(void);           /* completions posted and not yet advanced over */
int sim_slot_fd(uint32_t slot);      /* the simulation's duplicate in this slot; -1: empty */
uint32_t sim_slots_used(void);       /* of the file table */
uint32_t sim_buffers(void);          /* registered */
uint32_t sim_setup_flags(void);      /* IORING_SETUP_* in force */
uint32_t sim_workers(uint32_t kind); /* 0: bounded, 1: unbounded; 0: not set */

struct sim_counts {
  uint64_t calls[SIM_CALLS]; /* those that failed included */
  uint64_t failed[SIM_CALLS];
  uint64_t submitted[SIM_KINDS];
  uint64_t completed[SIM_KINDS]; /* CQEs: of a multishot poll more than one */
  uint64_t waits;                /* enters with wait_nr > 0 */
  uint64_t sleeps;               /* times one of these had to sleep */
  uint64_t timeouts;             /* and times it answered -ETIME */
  uint64_t interrupts;           /* waits that ended early: injected, or a signal */
  uint64_t short_reads;          /* injected, as are the next two */
  uint64_t failed_reads;
  uint64_t again_reads;
  uint64_t cancels_won;     /* what cancels have said: 0, */
  uint64_t cancels_late;    /* -ENOENT, */
  uint64_t cancels_already; /* -EALREADY */
  uint64_t events;          /* writes to the eventfd */
  uint32_t inflight_max;
  uint32_t occupied_max; /* in flight + unread: never more than the CQ holds */
  uint32_t sq_entries;
  uint32_t cq_entries;
  /* Once it has been destroyed: what it left behind. */
  uint32_t left_inflight;
  uint32_t left_unread;
  uint32_t left_slots;
};

/* Of the ring; where there is none, of the one destroyed last. */
const struct sim_counts *sim_counts(void);

/* With SIM_DATA_PATTERN: the byte at this offset, and whether all these bytes are right. fd may be
 * any descriptor of the file. */
uint64_t sim_file_key(int fd);
uint8_t sim_pattern(uint64_t file_key, uint64_t offset);
bool sim_pattern_matches(const void *data, int fd, uint64_t offset, uint32_t length);

#endif
