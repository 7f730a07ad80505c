/*
 * A consumer thread: takes completions from its channel, and as a producer of the same engine
 * requests the next blocks of its files. Room: one consumer.
 *
 * It never waits for anything but completions and its own output: what it requests goes into
 * buffers that it already has. A request that is refused for a moment stays in reads[] until the
 * next round.
 */
#ifndef INGEST_CONSUME_H
#define INGEST_CONSUME_H

#include "ingest.h"

struct consumer {
  struct ingest *in;
  struct counters *counters;
  unsigned number;
  uint32_t extra; /* buffers of the pool it may still take, besides those of the slots */
  uint32_t large; /* files in progress that have more than one block */
  bool stopping;
  uint32_t read_count;
  uint32_t buffer_count;
  uint32_t freed_count;
  struct sqcq_read *reads; /* to be requested */
  sqcq_buffer *buffers;    /* to be released */
  struct slot **freed;     /* to be given back */
  struct text lines;       /* to be written */
  struct text path;        /* scratch */
  int64_t written;         /* when lines were last written */
};

/* The thread, from its start to its end. */
void consume_run(struct ingest *in, unsigned number);

/* For stream.c: each holds what there can be, so there is always room. */
static inline void consume_request(struct consumer *c, const struct sqcq_read *read)
{
  c->reads[c->read_count++] = *read;
}

static inline void consume_release(struct consumer *c, sqcq_buffer buffer)
{
  c->buffers[c->buffer_count++] = buffer;
  c->extra++;
}

/* Up to `count` <= c->extra buffers: those to be released first, then from the pool. How many. */
uint32_t consume_acquire(struct consumer *c, sqcq_buffer *buffers, uint32_t count);

static inline void consume_free(struct consumer *c, struct slot *slot)
{
  c->freed[c->freed_count++] = slot;
}

#endif
