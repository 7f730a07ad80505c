/*
 * A consumer thread. Room: one consumer.
 */
#include "consume.h"

#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPLETIONS_MAX 64u
#define OUTPUT_BYTES 65536u /* lines are written when there are so many bytes of them... */
#define OUTPUT_NS 50000000  /* ...or when they are so old and there is nothing else to do */
/* With many small files, sleep until so many have been read, but not longer than that: one wake-up
 * costs more than a file. Blocks of a large file are wanted as they come. */
#define BATCH_MIN 8u
#define BATCH_NS 1000000
/* Of a large file take few blocks at once: what is hashed is asked for again while the next ones are
 * read, else the I/O thread and the consumer work in turns. */
#define LARGE_MAX 2u
#define RETRY_NS 100000

static void *allocate(size_t count, size_t size)
{
  void *memory = calloc(count, size);

  if (memory == NULL)
    abort();
  return memory;
}

static void init(struct consumer *c, struct ingest *in, unsigned number)
{
  uint32_t extra = in->buffers - in->slots.count;

  *c = (struct consumer){.in = in, .number = number, .counters = &in->consumed[number]};
  c->extra = extra / in->options->consumers;
  c->reads = allocate(in->buffers, sizeof *c->reads);
  c->buffers = allocate(in->buffers, sizeof *c->buffers);
  c->freed = allocate(in->slots.count, sizeof(struct slot *));
}

static void fini(struct consumer *c)
{
  free(c->reads);
  free(c->buffers);
  free(c->freed);
  text_free(&c->lines);
  text_free(&c->path);
}

uint32_t consume_acquire(struct consumer *c, sqcq_buffer *buffers, uint32_t count)
{
  uint32_t n = 0;

  while (n < count && c->buffer_count > 0)
    buffers[n++] = c->buffers[--c->buffer_count];
  if (n < count) {
    int got = sqcq_buffer_acquire(c->in->engine, c->in->pool, buffers + n, count - n);

    if (got > 0)
      n += (uint32_t)got;
  }
  c->extra -= n;
  return n;
}

/* Drop the reads of files that have ended meanwhile. */
static void forget_unwanted(struct consumer *c)
{
  uint32_t kept = 0;

  for (uint32_t i = 0; i < c->read_count; i++) {
    if (stream_wants(c, &c->reads[i]))
      c->reads[kept++] = c->reads[i];
    else
      stream_refused(c, &c->reads[i]);
  }
  c->read_count = kept;
}

/* Request what the files want. What is refused for a moment stays for the next round. */
static void request(struct consumer *c)
{
  uint32_t done = 0;

  forget_unwanted(c);
  while (done < c->read_count) {
    int n = sqcq_request_many(c->in->engine, c->reads + done, c->read_count - done);

    if (n > 0) {
      done += (uint32_t)n;
    } else if (n == -EAGAIN || n == -EXFULL) {
      counter_add(&c->counters->retries, 1);
      break;
    } else { /* -ESHUTDOWN */
      while (done < c->read_count)
        stream_refused(c, &c->reads[done++]);
    }
  }
  c->read_count -= done;
  memmove(c->reads, c->reads + done, c->read_count * sizeof *c->reads);
}

static void write_lines(struct consumer *c)
{
  bool failed = false;
  unsigned calls = output_write(&c->in->output, &c->lines, &failed);

  counter_add(&c->counters->syscalls, calls);
  c->written = ingest_now();
  if (failed) {
    (void)sqcq_engine_stop(c->in->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER);
    ingest_notify(c->in); /* main stops the producers */
  }
}

/* Pass on what this round has brought. */
static void settle_round(struct consumer *c, bool idle)
{
  request(c);
  if (c->buffer_count > 0)
    (void)!sqcq_buffer_release(c->in->engine, c->buffers, c->buffer_count);
  c->buffer_count = 0;
  if (c->lines.length >= OUTPUT_BYTES ||
      (idle && c->lines.length > 0 && ingest_now() - c->written >= OUTPUT_NS))
    write_lines(c);
  /* Slots go back after the lines are written: a slow reader of the output stops the producers. */
  if (c->freed_count == 0 && !idle)
    return;
  slots_give(&c->in->slots, c->freed, c->freed_count, idle);
  if (c->freed_count > 0 && atomic_load(&c->in->producers_left) == 0 && slots_idle(&c->in->slots))
    ingest_notify(c->in); /* that was the last file */
  c->freed_count = 0;
}

static uint32_t most(const struct consumer *c)
{
  return c->large > 0 ? LARGE_MAX : COMPLETIONS_MAX;
}

/* Nothing is there: finish the round, then sleep. As sqcq_channel_wait(). */
static int wait_for_more(struct consumer *c, struct sqcq_completion *done)
{
  struct ingest *in = c->in;
  uint32_t min = c->large > 0 ? 1 : BATCH_MIN;

  for (;;) {
    int64_t timeout = min > 1 ? BATCH_NS : SQCQ_FOREVER;

    settle_round(c, true);
    if (c->lines.length > 0 && timeout != BATCH_NS)
      timeout = OUTPUT_NS;
    if (c->read_count > 0)
      timeout = RETRY_NS;
    int n = sqcq_channel_wait(in->engine, in->channels[c->number], done, most(c), min, timeout);
    if (n != 0)
      return n;
    min = 1;
  }
}

void consume_run(struct ingest *in, unsigned number)
{
  struct sqcq_completion done[COMPLETIONS_MAX];
  struct consumer c;

  init(&c, in, number);
  for (;;) {
    int n = sqcq_channel_poll(in->engine, in->channels[number], done, most(&c));

    if (n == 0)
      n = wait_for_more(&c, done);
    if (n < 0)
      break; /* -ESHUTDOWN: every file has had its last completion */
    for (int i = 0; i < n; i++)
      stream_completed(&c, &done[i]);
    settle_round(&c, false);
  }
  settle_round(&c, true); /* requests that were refused to the end are given up here */
  write_lines(&c);
  fini(&c);
}
