/*
 * What all threads share, and who counts what.
 *
 *   main         set-up; then waits for the end or a signal, draws the progress line; summary
 *   I/O thread   one: sqcq_engine_run()
 *   producers    walk.c, feed.c: walk directories, open files, request the first block of each
 *   consumers    consume.c, stream.c: take completions, put each file's blocks in order, hash or
 *                count them, request the next ones, print
 *
 * Shared state lies in the doorways: slots.h, tree.h, walk.h (directories to visit), output.h,
 * term.h, and the counters below, each of which has one writer.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "options.h"
#include "output.h"
#include "slots.h"
#include "tree.h"

#include <sqcq/sqcq.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define ERRNO_COUNT 160 /* more than Linux has; anything else counts as the last one */

enum skip_kind {
  SKIP_SYMLINK,
  SKIP_DANGLING, /* with --follow: a link to nothing, or to itself */
  SKIP_LOOP,     /* with --follow: a directory that is its own ancestor */
  SKIP_FIFO,
  SKIP_SOCKET,
  SKIP_DEVICE,
  SKIP_UNFINISHED, /* files that a signal cut off */
  SKIP_COUNT
};

typedef _Atomic uint64_t counter;

/* W: one thread; R: any, at any time. relaxed: a number to look at orders nothing. */
static inline void counter_add(counter *c, uint64_t n)
{
  uint64_t old = atomic_load_explicit(c, memory_order_relaxed);

  atomic_store_explicit(c, old + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
  return atomic_load_explicit(c, memory_order_relaxed);
}

/* One for each producer and consumer, on cache lines of its own. */
struct counters {
  _Alignas(128) counter files; /* consumers: read to their end; producers: found */
  counter bytes;               /* consumers: read; producers: found, by size */
  counter directories;
  counter short_reads;    /* fewer bytes than asked for, and then more asked for */
  counter direct_refused; /* files read through the cache in spite of --direct */
  counter syscalls;       /* made by the program itself; see summary.c */
  counter retries;        /* requests refused for a moment, and requested again */
};

struct walk;

struct ingest {
  const struct options *options;
  struct sqcq_engine *engine;
  sqcq_pool pool;
  sqcq_channel channels[CONSUMERS_MAX];
  uint32_t buffers;    /* of the pool */
  uint32_t window_max; /* blocks of one file in flight */
  struct slots slots;
  struct tree tree;
  struct walk *walk;
  struct output output;
  struct counters produced[PRODUCERS_MAX];
  struct counters consumed[CONSUMERS_MAX];
  counter
      load[CONSUMERS_MAX]; /* bytes of large files given to a consumer; W: any producer, by RMW */
  _Atomic uint64_t errors[ERRNO_COUNT]; /* W: any */
  _Atomic uint64_t skipped[SKIP_COUNT]; /* W: any */
  atomic_bool cached_noted;
  atomic_uint producers_left;
  atomic_uint threads_left;
  atomic_int engine_result; /* of sqcq_engine_run(), once it has returned; 1 before */
  int event;                /* eventfd: something of this has changed; R: main */
};

/* Any thread: a file or directory that could not be read, on standard error and into the counts. */
void ingest_error(struct ingest *in, const struct dir *dir, const char *name, size_t name_bytes,
                  const char *what, int error);

/* Any thread: something that is not read. Said, unless --quiet, or of a kind that trees are full
 * of. */
void ingest_skip(struct ingest *in, const struct dir *dir, const char *name, size_t name_bytes,
                 enum skip_kind kind);

/* Any thread: a file is read through the page cache in spite of --direct. The first one is said. */
void ingest_note_cached(struct ingest *in, const struct dir *dir, const char *name);

const char *skip_name(enum skip_kind kind);

/* Any thread: tell main to look. */
void ingest_notify(struct ingest *in);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t ingest_now(void);

/* Sleep a moment before a refused request is made again: longer with each try, 50 us to 2 ms. */
void ingest_backoff(unsigned tries);

#endif
