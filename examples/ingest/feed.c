/*
 * Opening and requesting. Room: one producer.
 *
 * It waits in one place for what consumers give back (slots_take), and only when it holds nothing
 * that they might need for that. Elsewhere it waits for moments: the I/O thread drains the lanes
 * and closes removed files whatever the others do.
 */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Ready requests are not kept back longer than this while opening is slow. */
#define LINGER_NS 200000

/* After so many tries (of at most 2 ms each) a lack of descriptors is the file's bad luck. */
#define OPEN_TRIES 1000u

void feed_init(struct feed *feed, struct ingest *in, unsigned number)
{
  uint32_t share = in->slots.count / (2 * in->options->producers);

  *feed = (struct feed){.in = in, .number = number, .counters = &in->produced[number]};
  feed->batch = share < 1 ? 1 : share > TAKE_MAX ? TAKE_MAX : share;
  feed->consumer = number % in->options->consumers;
}

/* A slot that will not be read after all. */
static void drop(struct feed *feed, struct slot *slot)
{
  struct ingest *in = feed->in;

  (void)!sqcq_file_remove(in->engine, slot->file, SQCQ_REMOVE_DEFAULT);
  ingest_skip(in, slot->dir, slot->name, slot->name_bytes, SKIP_UNFINISHED);
  if (slot->name != slot->short_name)
    free(slot->name);
  dir_unref(&in->tree, slot->dir);
  slots_give(&in->slots, &slot, 1, false);
}

/* Make all ready requests, or find out that the engine is stopping. */
static void request_all(struct feed *feed)
{
  uint32_t done = 0;
  unsigned tries = 0;

  while (done < feed->ready_count) {
    int n = sqcq_request_many(feed->in->engine, feed->reads + done, feed->ready_count - done);

    if (n > 0) {
      done += (uint32_t)n;
      tries = 0;
    } else if (n == -EAGAIN || n == -EXFULL) {
      counter_add(&feed->counters->retries, 1);
      ingest_backoff(tries++);
    } else {
      /* -ESHUTDOWN; there is room for all else by design. */
      feed->stopping = true;
      while (done < feed->ready_count)
        drop(feed, feed->ready[done++]);
    }
  }
  feed->ready_count = 0;
  feed->flushed = ingest_now();
  feed->consumer = (feed->consumer + 1) % feed->in->options->consumers;
}

void feed_flush(struct feed *feed)
{
  request_all(feed);
  slots_give(&feed->in->slots, feed->have, feed->have_count, false);
  feed->have_count = 0;
}

static struct slot *take(struct feed *feed)
{
  if (feed->have_count == 0) {
    request_all(feed);
    if (!feed->stopping)
      feed->have_count = slots_take(&feed->in->slots, feed->have, feed->batch);
    if (feed->have_count == 0) {
      feed->stopping = true;
      return NULL;
    }
  }
  return feed->have[--feed->have_count];
}

/* sqcq_file_open() with what the options say. 0 or the error for this file; -ESHUTDOWN. */
static int open_file(struct feed *feed, int dirfd, const struct dir *dir, const char *name,
                     struct slot *slot)
{
  struct ingest *in = feed->in;
  int flags = in->options->follow ? 0 : O_NOFOLLOW;
  bool direct = in->options->direct;

  for (unsigned tries = 0;; tries++) {
    int error =
        sqcq_file_open(in->engine, dirfd, name, flags | (direct ? O_DIRECT : 0), &slot->file);

    counter_add(&feed->counters->syscalls, error == 0 ? 3 : 1);
    if (error == -EINVAL && direct) {
      direct = false; /* this file system has no O_DIRECT */
      counter_add(&feed->counters->direct_refused, 1);
      ingest_note_cached(in, dir, name);
      continue;
    }
    slot->direct = direct;
    /* Removed files keep place and descriptor until the I/O thread has closed them. */
    bool crowded = error == -ENOSPC || error == -EMFILE || error == -ENFILE;
    if (!crowded || (error != -ENOSPC && tries >= OPEN_TRIES))
      return error;
    request_all(feed);
    if (feed->stopping)
      return -ESHUTDOWN;
    ingest_backoff(tries);
  }
}

/* Large files go to the consumer with the least to do, small ones to one consumer by the batch. */
static uint32_t choose_consumer(struct feed *feed, uint64_t size)
{
  struct ingest *in = feed->in;
  uint32_t best = feed->consumer;

  if (size <= in->options->block_bytes)
    return best;
  for (uint32_t i = 0; i < in->options->consumers; i++) {
    if (counter_get(&in->load[i]) < counter_get(&in->load[best]))
      best = i;
  }
  atomic_fetch_add_explicit(&in->load[best], size, memory_order_relaxed);
  return best;
}

static void fill(struct feed *feed, struct slot *slot, struct dir *dir, const char *name,
                 size_t name_bytes, uint64_t size)
{
  uint32_t block_bytes = feed->in->options->block_bytes;

  if (dir != NULL)
    dir_ref(dir);
  slot->dir = dir;
  slot->name = name_bytes < sizeof slot->short_name ? slot->short_name : malloc(name_bytes + 1);
  if (slot->name == NULL)
    abort();
  memcpy(slot->name, name, name_bytes);
  slot->name[name_bytes] = '\0';
  slot->name_bytes = name_bytes;
  slot->consumer = choose_consumer(feed, size);
  slot->size_hint = size;
  slot->next = block_bytes;
  slot->total = slot->lines = slot->digest = 0;
  slot->head = 0;
  slot->tail = 1;
  slot->asked = 1;
  slot->spares = 0;
  slot->ended = slot->aborted = false;
  slot->error = 0;
  slot->block[0] = (struct block){.buffer = slot->own, .state = BLOCK_ASKED};
  feed->reads[feed->ready_count] = (struct sqcq_read){
      .file = slot->file,
      .buffer = slot->own,
      .channel = feed->in->channels[slot->consumer],
      .user_data = (uint64_t)slot->index * WINDOW_MAX,
      .length = block_bytes,
  };
  feed->ready[feed->ready_count++] = slot;
}

bool feed_file(struct feed *feed, int dirfd, struct dir *dir, const char *name, size_t name_bytes,
               uint64_t size)
{
  struct slot *slot = take(feed);

  if (slot == NULL)
    return false;
  int error = open_file(feed, dirfd, dir, name, slot);
  if (error != 0) {
    feed->have[feed->have_count++] = slot;
    if (error == -ESHUTDOWN)
      feed->stopping = true;
    else
      ingest_error(feed->in, dir, name, name_bytes, "open", error);
    return !feed->stopping;
  }
  counter_add(&feed->counters->files, 1);
  counter_add(&feed->counters->bytes, size);
  fill(feed, slot, dir, name, name_bytes, size);
  if (feed->ready_count >= feed->batch || ingest_now() - feed->flushed > LINGER_NS)
    request_all(feed);
  return !feed->stopping;
}
