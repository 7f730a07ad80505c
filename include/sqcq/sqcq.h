/*
 * sqcq: one io_uring behind a lock-free multi-producer front end, for reading
 * files from many threads.
 *
 *   producers            any thread     sqcq_request() into bounded lanes
 *   the I/O thread       one, yours     sqcq_engine_run() drains, submits, reaps
 *   consumers            one a channel  sqcq_channel_wait() takes completions
 *
 * ROLES. Every function below says which role may call it:
 *   S  set-up      one thread, nobody else inside any call on the engine
 *   P  producer    any thread, any number at once
 *   I  I/O thread  the one thread that made the engine's first turn
 *   C  consumer    one thread at a time for each channel
 * One thread may play all roles. The library starts no thread.
 *
 * LIMITS.
 *   Kernel    Linux 5.10 and later, x86_64 and aarch64. Newer features are found
 *             by trying them, listed by sqcq_engine_features(), never needed.
 *   fork      an engine belongs to the process that made it. In a child every call on it answers
 *             -EPERM (sqcq_buffer_data() NULL, sqcq_buffer_size() 0) and touches nothing; pool
 *             memory is not there (MADV_DONTFORK). The child may make engines of its own.
 *   Signals   only sqcq_engine_stop() may be called from a signal handler. A
 *             thread must not end (pthread_cancel, longjmp) inside a call.
 *   Bounded   every queue has a size fixed at creation. A full one refuses at
 *             once with its own error, and the refusal leaves nothing behind. For
 *             a moment a bound may refuse although another thread is just giving
 *             room back.
 *   Lock-free some producer always makes progress: one that is stopped inside
 *             sqcq_request() holds at most one lane and the credits of its batch.
 *             No call spins waiting for another thread.
 *   Kernel's  a file system that blocks inside io_uring_enter (FUSE with direct I/O) stops the I/O
 *   part      thread: read it with SQCQ_READ_ASYNC. To ask which file system it is (statfs) may
 *             itself block there, so sqcq does not. Reads that need a kernel worker wait for one
 *             that is free.
 *             A signal to the I/O thread while the kernel starts such a worker can end a read with
 *             -ECANCELED, though nobody has cancelled it (no flag beside it): block signals there.
 *   Order     none is promised, not even between two requests of one thread. Keep
 *             one read in flight for a stream whose order matters.
 *   Memory    after set-up (create, pool_create, channel_create) no call allocates.
 *
 * ERRORS. Functions return 0 or a count, or a negative errno; errno itself is no part
 * of the interface and may change, save in sqcq_engine_stop(). On an error nothing has
 * changed and out parameters are as they were, unless a function says otherwise. A refused request
 * gets no completion. An accepted one gets exactly one, whose result is the kernel's number,
 * unaltered. -EPERM in a forked child is not listed again with each function.
 */
#ifndef SQCQ_H
#define SQCQ_H

#ifndef __linux__
#error "sqcq is built on io_uring and works on Linux only"
#endif

#include <stddef.h>
#include <stdint.h>

#include <sqcq/types.h>
#include <sqcq/version.h>

#if defined(__GNUC__) || defined(__clang__)
#define SQCQ_EXPORT __attribute__((visibility("default")))
#define SQCQ_MUST_USE __attribute__((warn_unused_result))
#else
#define SQCQ_EXPORT
#define SQCQ_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------- */
/* Set-up                                                                    */
/* ------------------------------------------------------------------------- */

/*
 * Fill *config with the defaults; fields whose default depends on others stay 0.
 * Thread:   any.   Blocks: never.   Syscalls: those of sysconf(_SC_NPROCESSORS_ONLN).
 */
SQCQ_EXPORT void sqcq_engine_config_init(struct sqcq_engine_config *config);

/*
 * Make an engine: its io_uring, lanes, tables, and an eventfd. All memory but pools
 * and channels is taken here. The thread that makes the first turn becomes the
 * engine's I/O thread; it need not be the caller. config may be NULL (defaults), why
 * may be NULL.
 * Thread:   any.
 * Blocks:   never.   Syscalls: io_uring_setup (again with fewer flags where the kernel
 *           refuses some), io_uring_register, eventfd2, pipe2, close, mmap, madvise, getrlimit, and
 *           malloc's; preadv2 of another eventfd, to try a flag; those of
 *           sqcq_engine_config_init(); where it fails it reads
 *           /proc/sys/kernel/io_uring_disabled.
 * Owns:     *engine is yours until sqcq_engine_destroy().
 * Returns:  0
 *           -EINVAL      engine is NULL, or a field of config is out of range (why->text names it)
 *           -ENOSYS      no io_uring in this kernel, or hidden by a seccomp filter
 *           -EPERM       forbidden: kernel.io_uring_disabled, or a seccomp filter (why->reason)
 *           -ENOMEM      memory, or RLIMIT_MEMLOCK, to which some kernels charge rings
 *           -EMFILE      -ENFILE    no descriptor left
 *           -EOPNOTSUPP  SQPOLL, IOPOLL or EVENT_LOOP cannot work on this kernel (why->text says
 *                        why)
 *           On an error *engine is untouched and *why, where given, is filled in.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_create(struct sqcq_engine **engine,
                                                 const struct sqcq_engine_config *config,
                                                 struct sqcq_explanation *why);

/*
 * Free an engine whose stop has finished and which nobody uses any more: pools, files,
 * channels, rings. An engine that no thread ever turned is stopped (CANCEL) and
 * turned here to its end; one whose I/O thread has ended early is brought to its end as
 * sqcq_engine_poll() says under -EOWNERDEAD. NULL is allowed and does nothing.
 * Thread:   S. No other thread may be inside, or later make, a call on this engine.
 * Blocks:   never; but after an I/O thread that ended early up to 5 s, until the kernel lets go.
 * Syscalls: close, munmap, and those of the turns that are left to it; poll. The kernel tears the
 *           ring down later.
 * Returns:  0
 *           -EBUSY       not stopped yet, or completions unread, or buffers out; *held, where
 *                        given, says what. The engine stays as it is (one that was never turned
 *                        is stopped by then): read the rest, give back, and call again.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_destroy(struct sqcq_engine *engine,
                                                  struct sqcq_held *held);

/*
 * Make a channel: a bounded ring of completions for one consumer, and the credits that
 * bound what may be requested for it. Channels may be made while the engine runs.
 * config may be NULL (defaults). Its memory is kept for a later channel once destroyed.
 * Thread:   any.   Blocks: never.   Allocates: its ring.   Syscalls: none but malloc's.
 * Owns:     until sqcq_channel_destroy() or the engine's end.
 * Returns:  0
 *           -EINVAL      NULL; capacity or in-flight bounds beyond the engine's
 *           -ENOSPC      channels_max are open, or requests_max or depth is given away
 *           -ENOMEM
 *           -ESHUTDOWN   engine stopping
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_create(struct sqcq_engine *engine,
                                                  const struct sqcq_channel_config *config,
                                                  sqcq_channel *channel);

/*
 * Close a channel: from now on requests for it are refused with -EPIPE. When nothing is
 * outstanding on it the handle is dead, and its place and credits are free for another
 * channel after the I/O thread's next turn. Otherwise the consumer takes what is left,
 * until sqcq_channel_poll() says -EPIPE, and calls this again.
 * Thread:   any one.   Blocks: never.
 * Syscalls: write(eventfd), only while the I/O thread sleeps; futex(WAKE), only for a consumer
 *           that does.
 * Returns:  0            closed and given back
 *           -EBUSY       closed, but completions are still to be taken or to come, or a consumer is
 *                        inside a call on it (one that waits is woken, to find -EPIPE)
 *           -EPIPE       stale, or destroyed before
 *           -EINVAL      NULL engine, or another engine's handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_destroy(struct sqcq_engine *engine,
                                                   sqcq_channel channel);

/*
 * Make a pool of buffers of one size, in one mapping that a forked child does not get.
 * FIXED registers it with the kernel (saves pinning at each O_DIRECT read): only before the
 * engine's first turn; a later FIXED pool is a plain one. If the kernel refuses (often
 * RLIMIT_MEMLOCK) the pool is a plain one too; sqcq_engine_features() says so.
 * Thread:   S for a FIXED pool, else any.   Blocks: never.
 * Syscalls: mmap, madvise; for FIXED io_uring_register.
 * Owns:     the pool, until sqcq_pool_destroy() or the engine's end.
 * Returns:  0
 *           -EINVAL      NULL, or a field out of range
 *           -ENOSPC      pools_max pools, or fewer than count places in a row left of buffers_max
 *           -ENOMEM      memory; with STRICT: RLIMIT_MEMLOCK, or no huge pages
 *           -EBUSY       with STRICT | FIXED: the engine has made its first turn, or just does
 *           -ESHUTDOWN   engine stopping
 *           or, with STRICT | FIXED, what the kernel answered to the registration
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_pool_create(struct sqcq_engine *engine,
                                               const struct sqcq_pool_config *config,
                                               sqcq_pool *pool);

/*
 * Unmap a pool whose buffers are all back. The memory of a FIXED pool stays pinned
 * until the engine's end, and so does its share of RLIMIT_MEMLOCK.
 * Thread:   any one.   Blocks: never.   Syscalls: munmap.
 * Returns:  0
 *           -EBUSY       buffers are out, or it is just being destroyed; nothing has changed (an
 *                        acquire made meanwhile may have seen an empty pool)
 *           -ESTALE      destroyed before
 *           -EINVAL      NULL engine, or another engine's handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_pool_destroy(struct sqcq_engine *engine, sqcq_pool pool);

/* ------------------------------------------------------------------------- */
/* Producers: files                                                          */
/* ------------------------------------------------------------------------- */

/*
 * Make a file known to the engine. It takes its own duplicate, so you may close fd at once; the
 * file position and O_NONBLOCK stay shared with fd, as dup(2) does. Any readable
 * descriptor: regular files, block devices, pipes, FIFOs, sockets, eventfd, inotify, ...
 * Thread:   P.   Blocks: never.   Syscalls: fcntl (twice), fstat; close where it refuses.
 * Owns:     *file until sqcq_file_remove() or the engine's end.
 * Returns:  0
 *           -EINVAL      NULL
 *           -EBADF       fd is not open, not open for reading, or O_PATH
 *           -EISDIR      a directory
 *           -EOPNOTSUPP  IOPOLL engine, and not an O_DIRECT regular file or block device
 *           -ENOSPC      files_max files
 *           -EMFILE      no descriptor left
 *           -ESHUTDOWN   engine stopping
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_file_add(struct sqcq_engine *engine, int fd, sqcq_file *file);

/*
 * Open a file for reading and make it known. flags are open(2)'s, e.g. O_DIRECT, O_NOFOLLOW,
 * O_NOATIME, O_NONBLOCK (for FIFOs); O_RDONLY, O_CLOEXEC and O_NOCTTY are added. path is
 * relative to dirfd (AT_FDCWD: the working directory).
 * Thread:   P.   Blocks: as open(2) does (FIFOs without O_NONBLOCK, network file systems).
 * Syscalls: openat, fcntl, fstat.
 * Returns:  as sqcq_file_add() and openat(2); -EINVAL for flags that open for writing or create.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_file_open(struct sqcq_engine *engine, int dirfd,
                                             const char *path, int flags, sqcq_file *file);

/*
 * Take a file out. The handle is dead at once: later requests get -EBADF. Reads accepted before
 * are read or cancelled by `mode` (enum sqcq_remove_mode), each with its completion; the
 * descriptor is closed by the I/O thread after the last of them. A request that races with this
 * call is accepted and completes with -ECANCELED and SQCQ_COMPLETION_FILE_REMOVED, or is refused.
 * Thread:   P.   Blocks: never.   Syscalls: write(eventfd), only while the I/O thread sleeps.
 * Returns:  0
 *           -EBADF       stale, or removed before
 *           -EINVAL      NULL engine, another engine's handle, unknown mode
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_file_remove(struct sqcq_engine *engine, sqcq_file file,
                                               unsigned mode);

/* ------------------------------------------------------------------------- */
/* Producers and consumers: buffers                                          */
/* ------------------------------------------------------------------------- */

/*
 * Take up to `count` free buffers of a pool. They are yours: write to them, request reads into
 * them, or release them.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  how many, 1 to count, in buffers[0..]
 *           -ENOBUFS     none is free
 *           -ESTALE      pool destroyed
 *           -EINVAL      NULL, count 0, or another engine's handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_buffer_acquire(struct sqcq_engine *engine, sqcq_pool pool,
                                                  sqcq_buffer *buffers, uint32_t count);

/*
 * Give buffers back to the pools they came from.
 * Thread:   any, but one thread for a buffer.   Blocks: never.
 * Syscalls: none, but where a producer waits for room: see sqcq_request_wait().
 * Returns:  how many of the first ones are back, `count` if all; or, where the first is refused:
 *           -ESTALE      released before
 *           -EBUSY       in flight: its completion is not taken yet
 *           -EINVAL      NULL, count 0, another engine's handle, or wrapped memory (see unwrap)
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_buffer_release(struct sqcq_engine *engine,
                                                  const sqcq_buffer *buffers, uint32_t count);

/*
 * The memory of a buffer that you own. NULL where the handle is stale, in flight, or another
 * engine's. The pointer stays the same as long as the pool lives.
 * Thread:   the buffer's owner.   Blocks: never.   Syscalls: none.
 */
SQCQ_EXPORT void *sqcq_buffer_data(struct sqcq_engine *engine, sqcq_buffer buffer);

/*
 * Its size in bytes, as configured; 0 where sqcq_buffer_data() is NULL.
 * Thread:   the buffer's owner.   Blocks: never.   Syscalls: none.
 */
SQCQ_EXPORT size_t sqcq_buffer_size(struct sqcq_engine *engine, sqcq_buffer buffer);

/*
 * Make memory of your own a buffer, owned by you. It must stay mapped until it is unwrapped.
 * Memory that a forked child may write to, or that is unmapped, is your care.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  0
 *           -EINVAL      NULL, size 0 or over SQCQ_LENGTH_MAX
 *           -ENOSPC      no place left of buffers_max
 *           -ESHUTDOWN   engine stopping
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_buffer_wrap(struct sqcq_engine *engine, void *memory,
                                               size_t size, sqcq_buffer *buffer);

/*
 * Undo sqcq_buffer_wrap(). The handle is dead, the memory is yours alone again.
 * Thread:   the buffer's owner.   Blocks: never.   Syscalls: none.
 * Returns:  0
 *           -EBUSY       in flight
 *           -ESTALE      unwrapped before
 *           -EINVAL      NULL engine, another engine's handle, or a pool's buffer
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_buffer_unwrap(struct sqcq_engine *engine, sqcq_buffer buffer);

/* ------------------------------------------------------------------------- */
/* Producers: requests                                                       */
/* ------------------------------------------------------------------------- */

/*
 * Hand in one read. *read is copied; reuse it freely after the call.
 * Thread:   P, any number at once; not from a signal handler.
 * Blocks:   never.
 * Syscalls: write(eventfd), only while the I/O thread is announced asleep; where it is refused
 *           after it had a credit, futex(WAKE) for a consumer that waits for no more than that.
 * Owns:     on 0 the engine holds the buffer until its completion is taken.
 * Returns:  0            exactly one completion will arrive on read->channel
 *           -EAGAIN      no lane with room, or others were faster at every try for a credit
 *           -EXFULL      channel without a free completion slot: its consumer is behind
 *           -EPIPE       channel closed or stale
 *           -EBADF       file stale or removed
 *           -ESTALE      buffer stale
 *           -EBUSY       buffer in flight
 *           -ESHUTDOWN   engine stopping or stopped
 *           -EINVAL      NULL; length 0, over SQCQ_LENGTH_MAX or beyond the buffer; offset over
 *                        INT64_MAX; deadline over INT64_MAX; a field not 0 that must be; another
 *                        engine's handle; flags that do not go together; no such ioprio; more
 *                        buffers than vectors_max
 *           -EOPNOTSUPP  a flag that this kernel or engine does not have; a deadline, on an IOPOLL
 *                        engine, whose reads cannot be cancelled
 *           On any error nothing has changed. What only the kernel can judge (O_DIRECT alignment,
 *           offsets beyond the device) arrives as the completion's result.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_request(struct sqcq_engine *engine,
                                           const struct sqcq_read *read);

/*
 * Hand in several reads with one claim and one look at the I/O thread: cheaper per read. The
 * first ones are accepted up to the first that must be refused. One call accepts at most
 * INT32_MAX.
 * Thread:   P.   Blocks: never.   Syscalls: as sqcq_request().
 * Returns:  how many were accepted, at least 1; or the error of the first, as sqcq_request();
 *           -EINVAL also for count 0.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_request_many(struct sqcq_engine *engine,
                                                const struct sqcq_read *reads, uint32_t count);

/* ------------------------------------------------------------------------- */
/* Producers: own lanes                                                      */
/* ------------------------------------------------------------------------- */

/*
 * Open a lane of your own: for a thread that requests so much that it should not look for a shared
 * one each time. Nothing is claimed in it, nobody else fills it up, and no step of a request waits
 * for another producer or is repeated because of one, but for the channel's credits (a bounded
 * number of tries). Shared lanes stay there for all. The lane may go from thread to thread, as long
 * as one at a time uses it: each call on it is over before the next one begins.
 * Thread:   P.   Blocks: never.   Syscalls: none.
 * Owns:     *lane until sqcq_lane_close() or the engine's end.
 * Returns:  0
 *           -ENOSPC      lanes_own are open
 *           -ESHUTDOWN   engine stopping
 *           -EINVAL      NULL
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_lane_open(struct sqcq_engine *engine, sqcq_lane *lane);

/*
 * Close it. Requests accepted in it still complete; the handle is dead at once, and the lane may be
 * opened again by anybody.
 * Thread:   the lane's producer, or another one while that is in no call on the lane.
 * Blocks:   never.   Syscalls: none.
 * Returns:  0
 *           -EBADFD      closed before
 *           -EINVAL      NULL engine, or another engine's handle
 */
SQCQ_EXPORT int sqcq_lane_close(struct sqcq_engine *engine, sqcq_lane lane);

/*
 * sqcq_request() through an own lane.
 * Thread:   the lane's producer: one at a time.
 * Blocks:   never.   Syscalls: as sqcq_request().
 * Owns:     as sqcq_request().
 * Returns:  as sqcq_request(), but
 *           -EAGAIN      the lane is full: SQCQ_BOUND_LANE of sqcq_request_wait()
 *           -EBADFD      the lane is closed (-ESTALE is always the buffer); found before anything
 *                        is looked at in *read
 *           -EINVAL      also for another engine's lane
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_lane_request(struct sqcq_engine *engine, sqcq_lane lane,
                                                const struct sqcq_read *read);

/*
 * sqcq_request_many() through an own lane.
 * Thread:   the lane's producer: one at a time.
 * Blocks:   never.   Syscalls: as sqcq_request().
 * Returns:  how many were accepted, at least 1; or the error of the first, as sqcq_lane_request();
 *           -EINVAL also for count 0.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_lane_request_many(struct sqcq_engine *engine, sqcq_lane lane,
                                                     const struct sqcq_read *reads, uint32_t count);

/* ------------------------------------------------------------------------- */
/* Producers: cancel and stop                                                */
/* ------------------------------------------------------------------------- */

/*
 * End requests that have been accepted and have not completed. Every request whose sqcq_request()
 * had returned before this was called, and that is of those meant, is found, unless it completes
 * first; none is touched whose sqcq_request() is called after this has returned. Each still gets its
 * one completion: -ECANCELED with SQCQ_COMPLETION_CANCELLED and _UNSUBMITTED where it had not gone to
 * the kernel yet; else the kernel's number, with _CANCELLED; or its bytes and no flag, where it was
 * faster. A cancel is acted upon in the I/O thread's next turn. The channel may be closed
 * (sqcq_channel_destroy() said -EBUSY): so one gets its silent reads out.
 * With SQCQ_CANCEL_REPORT a completion of its own says how many requests were found at that moment,
 * waiting or in the kernel, being ended for another reason or not: flags SQCQ_COMPLETION_REPORT,
 * result the number, user_data report_user_data, all else 0. It may arrive before the completions of
 * those in the kernel. It needs a completion slot of `report`, like a request.
 * Thread:   P; not from a signal handler.   Blocks: never.
 * Syscalls: write(eventfd), only while the I/O thread sleeps; where it is refused after it had a
 *           credit, futex(WAKE) for a consumer that waits for no more than that.
 * Returns:  0            also where nothing is found
 *           -EAGAIN      cancels_max cancels are waiting for the I/O thread; or, with a report, as
 *                        sqcq_request()
 *           -EXFULL      `report` has no free completion slot
 *           -EPIPE       channel stale; `report` stale or closed
 *           -EBADF       file stale or removed
 *           -EOPNOTSUPP  IOPOLL engine
 *           -ESHUTDOWN   the engine has stopped (one that is stopping still takes cancels)
 *           -EINVAL      NULL; unknown `what` or flag; a field not 0 that must be; another engine's
 *                        handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_cancel(struct sqcq_engine *engine,
                                          const struct sqcq_cancel_target *cancel);

/*
 * Stop: refuse every request from now on with -ESHUTDOWN, answer the accepted ones, then end
 * sqcq_engine_run(). `limit_ns` (nanoseconds from now, or SQCQ_FOREVER): a DRAIN that takes longer
 * becomes a CANCEL. May be called again: a CANCEL after a DRAIN takes effect, and a shorter limit
 * replaces a longer one.
 * Thread:   any, also the I/O thread; async-signal-safe.
 * Blocks:   never.   Syscalls: clock_gettime, write(eventfd); where producers wait for room
 *           futex(WAKE), and write and close for their notices.
 * Returns:  0
 *           -EINVAL      NULL, unknown mode, limit below -1
 */
SQCQ_EXPORT int sqcq_engine_stop(struct sqcq_engine *engine, unsigned mode, int64_t limit_ns);

/* ------------------------------------------------------------------------- */
/* Producers: waiting for room                                               */
/* ------------------------------------------------------------------------- */

/*
 * Sleep until a bound that has just refused has room again. 0 is no promise: others may be faster, so
 * try again, and wait again where that is refused. Room that comes back wakes as many as it is enough
 * for, in the order in which they fell asleep, not all. Signals do not end it. A lane that other producers hold
 * just now counts as room, and is waited for a moment only (100 us at the most).
 * Thread:   P, any number at once.   Blocks: up to timeout_ns (SQCQ_FOREVER: no limit; 0: not at all).
 * Syscalls: only while there is none: futex; for LANES and LANE write(eventfd), only while the I/O thread
 *           sleeps, and sched_yield and futex while all lanes with room are held; leaving, futex(WAKE) for
 *           one more where others sleep. Those who give room back make them, too, but only
 *           where somebody waits for it: futex(WAKE), and write and close for notices (see below) in
 *           sqcq_channel_poll(), sqcq_channel_wait(), sqcq_buffer_release(), refused requests,
 *           sqcq_channel_destroy(), sqcq_pool_destroy(), sqcq_lane_close(), sqcq_engine_stop(), and for
 *           lanes in turns.
 * Returns:  0            there was room a moment ago: try again
 *           -ETIMEDOUT   the time has passed
 *           -EPIPE       CHANNEL: closed or stale          -ESTALE   POOL: destroyed
 *           -EBADFD      LANE: closed or stale
 *           -ESHUTDOWN   engine stopping or stopped
 *           -EDEADLK     there is none, and the caller is the engine's I/O thread, which all of
 *                        them need: turn the engine, or use sqcq_request_notify()
 *           -EINVAL      NULL, unknown bound, LANES with an id other than 0, another engine's handle,
 *                        or timeout_ns below -1
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_request_wait(struct sqcq_engine *engine, unsigned bound,
                                                uint64_t id, int64_t timeout_ns);

/*
 * The same for an event loop: when the bound has room, or will never have any, 1 is written to
 * your eventfd, once, and the notice is gone. Then try again, and register anew where that is refused. The
 * library keeps a duplicate of the eventfd as long, so you may close yours at any time.
 * Thread:   P, also the I/O thread.   Blocks: never.
 * Syscalls: fcntl, fstat; close where it is not registered; for LANES write(eventfd), only while
 *           the I/O thread sleeps.
 * Owns:     on 0 *notice, until it has fired or sqcq_request_unnotify() or the engine's end.
 * Returns:  0            registered; *notice says which (it may have fired already)
 *           1            there is room now: nothing is registered, *notice as it was
 *           -ENOSPC      notices_max are registered
 *           -EPIPE  -ESTALE  -EBADFD  -ESHUTDOWN     as sqcq_request_wait()
 *           -EBADF       eventfd is not open       -EMFILE    no descriptor left
 *           -EINVAL      as sqcq_request_wait(); notice NULL; a pipe, socket or file
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_request_notify(struct sqcq_engine *engine, unsigned bound,
                                                  uint64_t id, int eventfd, sqcq_notice *notice);

/*
 * Take a notice back. After 0 nothing will be written. After -ESTALE the 1 has been written, or is being
 * written by another thread right now: to the eventfd that was registered, whatever its number is
 * by then, so it may be closed after either.
 * Thread:   any.   Blocks: never.   Syscalls: close.
 * Returns:  0
 *           -ESTALE      it has fired, or was taken back before
 *           -EINVAL      NULL engine, or another engine's
 */
SQCQ_EXPORT int sqcq_request_unnotify(struct sqcq_engine *engine, sqcq_notice notice);

/* ------------------------------------------------------------------------- */
/* The I/O thread                                                            */
/* ------------------------------------------------------------------------- */

/*
 * One turn: take the requests out of the lanes, start what the depth allows, one io_uring_enter
 * for submit and reap together, put completions into their channels, wake consumers that
 * sleep. The first turn makes the calling thread the engine's I/O thread.
 * Thread:   I.   Blocks: never.
 * Syscalls: io_uring_enter, where there is something to submit or the kernel has completions;
 *           futex(WAKE), or write(eventfd) for a consumer that is armed, once for all channels whose
 *           consumers sleep and once more for each that still does on the next turn (see
 *           sqcq_channel_wait()); on the first and the last turn io_uring_register; for a file that is
 *           new, busy or removed io_uring_register or close; read(eventfd) after sqcq_engine_arm().
 * Returns:  completions delivered, 0 or more
 *           -EPERM       another thread is this engine's I/O thread
 *           -EOWNERDEAD  another one was, has ended before the engine's stop had finished, and took
 *                        the ring with it (SINGLE_ISSUER). The caller is the I/O thread now; the
 *                        engine is stopped, the ring closed, and as soon as the kernel holds nothing
 *                        of it (some 50 ms) each request not answered gets -ECANCELED with
 *                        SQCQ_COMPLETION_STOPPED. Call again until -ESHUTDOWN; sqcq_engine_wait()
 *                        and sqcq_engine_run() wait for it. Where the ring is nobody's own, the
 *                        caller goes on with it instead, without an error.
 *           -EBUSY       first turn, while a FIXED pool is just being made
 *           -ESHUTDOWN   the stop has finished, whoever asks: nothing more will come. Another thread
 *                        may be inside its last turn yet: wait for its end before the destroy
 *           -EINVAL      NULL
 *           or what io_uring_enter or the first turn's io_uring_register answered, where the engine
 *           cannot go on (never -EINTR, -EAGAIN, -EBUSY: these are tried again on the next turn).
 *           Where no enter can succeed any more (the descriptor was closed, a seccomp filter came
 *           late) later calls say the same and do as for -EOWNERDEAD.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_poll(struct sqcq_engine *engine);

/*
 * A turn that sleeps, by the idle strategy, until it has delivered something, or
 * timeout_ns nanoseconds have passed (SQCQ_FOREVER: no limit).
 * Thread:   I.   Blocks: up to timeout_ns.
 * Syscalls: as sqcq_engine_poll(); sched_yield while looking again; ppoll where the kernel has no
 *           timed io_uring_enter, or the engine is IOPOLL or EVENT_LOOP; read(eventfd) without
 *           multishot poll, and in these.
 * Returns:  as sqcq_engine_poll(); 0 when the time has passed;
 *           -EINTR where a signal handler ran; -EINVAL for timeout_ns below -1
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_wait(struct sqcq_engine *engine, int64_t timeout_ns);

/*
 * Turn until a stop has finished.
 * Thread:   I.   Blocks: until then.   Syscalls: as sqcq_engine_wait().
 * Returns:  0            stopped: every accepted request has its completion
 *           or an error of sqcq_engine_poll() other than -ESHUTDOWN. Signals do not end it.
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_run(struct sqcq_engine *engine);

/*
 * The descriptor by which an event loop (epoll, poll, libuv, ...) drives the turns: readable when
 * there is a reason to turn, once sqcq_engine_arm() has answered 0. Watch it for reading from any
 * time on, also before the first turn, level- or edge-triggered; never read, write or close it, and
 * take it out of the loop before sqcq_engine_destroy().
 *
 *   when it is readable, and once at the beginning:
 *     do n = sqcq_engine_poll(engine); while (n >= 0 && sqcq_engine_arm(engine) > 0);
 *
 * Thread:   any.   Blocks: never.   Syscalls: none.   Owns: the engine's, as long as it lives.
 * Returns:  the descriptor
 *           -EOPNOTSUPP  the engine was created without SQCQ_ENGINE_EVENT_LOOP
 *           -EINVAL      NULL
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_fd(const struct sqcq_engine *engine);

/*
 * Before the event loop sleeps: from an answer of 0 on until the next turn (or the next call of
 * this), whatever asks for a turn makes sqcq_engine_fd() readable: requests, stop and other calls of
 * other threads, completions of the kernel, and times that the engine itself has to keep, as the
 * limit of a stop. To be called again before each sleep in which it is to be woken: nothing is
 * written otherwise, save by somebody who was late, which costs a turn for nothing. The first call
 * makes the caller the engine's I/O thread, as a first turn does. A loop's own wait may end with
 * EINTR on kernels before 6.1: turn then, too.
 * Thread:   I.   Blocks: never.
 * Syscalls: read(eventfd) where it has armed and no turn was since, or something comes in just now;
 *           io_uring_enter where a time is to be kept; on a first call as sqcq_engine_poll().
 * Returns:  0            armed: sleep
 *           more than 0  there is work: do not sleep but call sqcq_engine_poll(). Always so on an
 *                        IOPOLL engine with reads in flight
 *           -EOPNOTSUPP  the engine was created without SQCQ_ENGINE_EVENT_LOOP
 *           -EPERM       -EBUSY    -ESHUTDOWN    -EINVAL    as sqcq_engine_poll()
 *           or what io_uring_enter or the first turn's io_uring_register answered
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_arm(struct sqcq_engine *engine);

/* ------------------------------------------------------------------------- */
/* Consumers                                                                 */
/* ------------------------------------------------------------------------- */

/*
 * Take up to max completions. Their buffers are yours now and their credits are back.
 * Thread:   C: one thread at a time for a channel.
 * Blocks:   never.   Syscalls: none, but where a producer waits for room: see sqcq_request_wait();
 *           after sqcq_channel_arm() see there.
 * Returns:  how many, 0 to max
 *           -ESHUTDOWN   the engine has stopped and nothing is left: end of stream
 *           -EPIPE       the channel is closed and nothing is left or to come, or stale
 *           -EINVAL      NULL, max 0, or another engine's handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_poll(struct sqcq_engine *engine, sqcq_channel channel,
                                                struct sqcq_completion *completions, uint32_t max);

/*
 * Wait until at least `min` completions are there (1 to max), then take up to max. `min` is for
 * batches: it is waived when every request accepted for this channel has been answered, so a
 * wait never hangs on reads that were not requested. After timeout_ns nanoseconds (SQCQ_FOREVER: no
 * limit) it takes what there is.
 * Thread:   C.   Blocks: up to timeout_ns.
 * Syscalls: only while it has to wait: sched_yield for consumer_spin_ns, then futex; and when it has
 *           slept futex(WAKE) for one other consumer of the engine, where completions came for
 *           several: the I/O thread wakes one, each one the next.
 * Returns:  how many, 1 to max; 0 when the time has passed and there is none
 *           -EDEADLK     there is none, and the caller is the engine's I/O thread: only it could
 *                        bring one about. Turn the engine instead. (What there is it takes,
 *                        whatever min says.)
 *           -ESHUTDOWN   -EPIPE    as sqcq_channel_poll()
 *           -EINVAL      also for min 0 or over max, or timeout_ns below -1
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_wait(struct sqcq_engine *engine, sqcq_channel channel,
                                                struct sqcq_completion *completions, uint32_t max,
                                                uint32_t min, int64_t timeout_ns);

/*
 * The descriptor by which an event loop waits for a channel: readable when what
 * sqcq_channel_arm() has asked for is there. Watch it for reading, level- or edge-triggered; never
 * read, write or close it, and take it out of the loop before sqcq_channel_destroy(). Made by
 * the first call; it is kept with the channel's place for the next channel there, until the engine's
 * end.
 *
 *   when it is readable, and once at the beginning:
 *     do n = sqcq_channel_poll(...); while (n >= 0 && sqcq_channel_arm(engine, channel, 1) > 0);
 *
 * Thread:   any.   Blocks: never.   Syscalls: eventfd2, on the first call.
 * Owns:     the engine's.
 * Returns:  the descriptor
 *           -EPIPE       stale
 *           -EMFILE      -ENFILE    no descriptor left
 *           -ENOMEM      memory of the kernel's
 *           -EINVAL      NULL, or another engine's handle
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_fd(struct sqcq_engine *engine, sqcq_channel channel);

/*
 * Before the event loop sleeps: after an answer of 0 sqcq_channel_fd() becomes readable as soon as at
 * least `min` completions are there, or `min` is waived (see sqcq_channel_wait()), or the end of the
 * stream has come: the channel closed, the engine stopped, or the channel destroyed. It stays
 * readable until the next call of this makes it unreadable again, and is not written between the next
 * sqcq_channel_poll() or _wait() and that call, save by somebody who was late. To be called again
 * before each sleep. Both ways of waiting may be mixed.
 * Thread:   C.   Blocks: never.
 * Syscalls: read(eventfd), where it has armed before; and what sqcq_channel_wait() does when it has
 *           slept (so do the next sqcq_channel_poll() and _wait()): futex(WAKE) or write(eventfd) for
 *           one other consumer.
 * Returns:  0            armed: sleep
 *           more than 0  do not sleep: so many are there, or it is the end of the stream
 *                        (sqcq_channel_poll() says which)
 *           -EPIPE       stale
 *           -EINVAL      NULL, min 0, another engine's handle, or nobody has asked for
 *                        sqcq_channel_fd()
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_channel_arm(struct sqcq_engine *engine, sqcq_channel channel,
                                               uint32_t min);

/*
 * The buffers of a completion just taken, in the order of the read, up to `max`: all that it named,
 * also those that got no byte. `result` bytes are in them, from buffer_offset of the first on. A
 * short read is continued with a new one: its buffers from the one where the bytes ended, and
 * buffer_offset where in it. Ask before one of them is released or requested again.
 * Thread:   the completion's owner.   Blocks: never.   Syscalls: none.
 * Returns:  how many there are (1 without SQCQ_COMPLETION_VECTOR, 0 with _ADVICE or _REPORT); more
 *           than max: ask again with more room; buffers may be NULL with max 0
 *           -ESTALE      one has been released
 *           -EBUSY       one is in flight again
 *           -EINVAL      NULL, or another engine's completion
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_completion_buffers(struct sqcq_engine *engine,
                                                      const struct sqcq_completion *completion,
                                                      sqcq_buffer *buffers, uint32_t max);

/* ------------------------------------------------------------------------- */
/* Statistics, features, text                                                */
/* ------------------------------------------------------------------------- */

/*
 * Copy the counters into the first stats_size bytes of *stats (sizeof(struct sqcq_stats) as
 * you were compiled; bytes beyond what this library knows are zeroed).
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  0; -EINVAL for NULL or stats_size 0.
 */
SQCQ_EXPORT int sqcq_engine_stats(const struct sqcq_engine *engine, struct sqcq_stats *stats,
                                  size_t stats_size);

/*
 * Copy a channel's counters, as sqcq_engine_stats() does. They are of this moment, while others go
 * on: taken and unread need not fit together.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  0
 *           -EPIPE       stale: destroyed, and its place free or another's
 *           -EINVAL      NULL, stats_size 0, or another engine's handle
 */
SQCQ_EXPORT int sqcq_channel_stats(const struct sqcq_engine *engine, sqcq_channel channel,
                                   struct sqcq_channel_counters *stats, size_t stats_size);

/*
 * How long the requests of this engine took in a stage (enum sqcq_stage). Only with
 * SQCQ_ENGINE_HISTOGRAMS, which costs each call of sqcq_request_many() for every 32 reads, each turn
 * and each taking of completions a look at the clock, and each completion a locked instruction or
 * two. The I/O thread's times are those of its turns: reads put into the kernel in one turn start
 * together, so what the kernel does at once counts as device time.
 * Requests that never reach the kernel are in the last stage only.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  0
 *           -EOPNOTSUPP  the engine was created without SQCQ_ENGINE_HISTOGRAMS
 *           -EINVAL      NULL, unknown stage, or histogram_size is not sizeof(struct sqcq_histogram)
 */
SQCQ_EXPORT SQCQ_MUST_USE int sqcq_engine_histogram(const struct sqcq_engine *engine,
                                                    unsigned stage,
                                                    struct sqcq_histogram *histogram,
                                                    size_t histogram_size);

/*
 * The time, nanoseconds, that per_million of a million requests did not exceed (500000: the median,
 * 999000: p99.9), at most an eighth too high; 0 for an empty histogram, NULL, or over a million.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 */
SQCQ_EXPORT uint64_t sqcq_histogram_quantile(const struct sqcq_histogram *histogram,
                                             uint32_t per_million);

/*
 * The shortest time, nanoseconds, that is counted in this bucket; for a bucket that does not exist,
 * in the last one.
 * Thread:   any.   Blocks: never.   Syscalls: none.
 */
SQCQ_EXPORT uint64_t sqcq_histogram_bound(uint32_t bucket);

/*
 * What the engine uses of the kernel, and why not the rest: up to `max` entries of
 * feature_size bytes each (sizeof(struct sqcq_feature)).
 * Thread:   any.   Blocks: never.   Syscalls: none.
 * Returns:  how many there are (more than max: ask again with more room; features may be NULL
 *           with max 0); -EINVAL for NULL engine or a wrong feature_size.
 */
SQCQ_EXPORT int sqcq_engine_features(const struct sqcq_engine *engine,
                                     struct sqcq_feature *features, uint32_t max,
                                     size_t feature_size);

/*
 * What an error of this library means here, one line; for others what strerror says. Takes
 * -errno or errno.
 * Thread:   any.   Blocks: never.   Owns: static text.
 */
SQCQ_EXPORT const char *sqcq_strerror(int error);

/*
 * "MAJOR.MINOR.PATCH" of the library that runs, which may be newer than this header.
 * Thread:   any.   Blocks: never.   Owns: static text.
 */
SQCQ_EXPORT const char *sqcq_version(void);

#ifdef __cplusplus
}
#endif

#endif
