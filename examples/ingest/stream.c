/*
 * The blocks of a file, put in order. Room: the file's consumer.
 */
#include "stream.h"

#include "digest.h"

#include <errno.h>
#include <stdlib.h>

/* A genuine 5.10 answers -EAGAIN now and then; more often than this it means it. */
#define TRIES_MAX 64u

static struct slot *slot_of(const struct consumer *c, uint64_t user_data)
{
  return &c->in->slots.all[user_data / WINDOW_MAX];
}

/* Back to the pool, unless it is the slot's own. */
static void put_buffer(struct consumer *c, struct slot *slot, sqcq_buffer buffer)
{
  if (buffer.id != slot->own.id)
    consume_release(c, buffer);
}

/* Keep no spare buffers but the slot's own, where that is among them. */
static void drop_spares(struct consumer *c, struct slot *slot)
{
  bool own = false;

  while (slot->spares > 0) {
    sqcq_buffer buffer = slot->spare[--slot->spares];

    own |= buffer.id == slot->own.id;
    put_buffer(c, slot, buffer);
  }
  if (own)
    slot->spare[slot->spares++] = slot->own;
}

/* Nothing of the file is out any more. */
static void retire(struct consumer *c, struct slot *slot)
{
  if (slot->name != slot->short_name)
    free(slot->name);
  dir_unref(&c->in->tree, slot->dir);
  consume_free(c, slot);
}

/* The result of a file is known: tell it. Reads ahead of the end may still be out. */
static void end(struct consumer *c, struct slot *slot)
{
  struct ingest *in = c->in;
  bool unlisted = false;

  slot->ended = true;
  /* -EBADF and the like cannot be: the file is ours to remove. */
  (void)!sqcq_file_remove(in->engine, slot->file, SQCQ_REMOVE_DEFAULT);
  for (; slot->head != slot->tail; slot->head++) {
    struct block *block = &slot->block[slot->head % WINDOW_MAX];

    if (block->state == BLOCK_READY)
      put_buffer(c, slot, block->buffer);
  }
  drop_spares(c, slot);
  if (slot->tail > 1)
    c->large--;
  if (slot->size_hint > in->options->block_bytes)
    atomic_fetch_sub_explicit(&in->load[c->number], slot->size_hint, memory_order_relaxed);
  if (slot->aborted) {
    ingest_skip(in, slot->dir, slot->name, slot->name_bytes, SKIP_UNFINISHED);
  } else if (slot->error != 0) {
    ingest_error(in, slot->dir, slot->name, slot->name_bytes, "read", slot->error);
  } else {
    counter_add(&c->counters->files, 1);
    if (!in->options->quiet)
      unlisted = !output_line(&c->lines, in->options, slot, &c->path);
    if (unlisted)
      ingest_error(in, slot->dir, slot->name, slot->name_bytes, "list", -ENAMETOOLONG);
  }
  if (slot->asked == 0)
    retire(c, slot);
}

/* Ask for the rest of a block. */
static void ask(struct consumer *c, struct slot *slot, uint32_t number)
{
  struct block *block = &slot->block[number % WINDOW_MAX];
  /* O_DIRECT reads start at a multiple of the alignment: some bytes are read twice. */
  uint32_t from = slot->direct ? block->have & ~(DIRECT_ALIGN - 1) : block->have;

  block->state = BLOCK_ASKED;
  slot->asked++;
  consume_request(c, &(struct sqcq_read){
                         .file = slot->file,
                         .buffer = block->buffer,
                         .channel = c->in->channels[c->number],
                         .offset = block->offset + from,
                         .user_data = (uint64_t)slot->index * WINDOW_MAX + number % WINDOW_MAX,
                         .length = c->in->options->block_bytes - from,
                         .buffer_offset = from,
                     });
}

/* A buffer for one more block, where there is one. */
static bool have_spare(struct consumer *c, struct slot *slot)
{
  uint32_t wanted = c->in->window_max - (slot->tail - slot->head);

  if (slot->spares > 0)
    return true;
  /* Nothing in flight would mean a spare: so there is something, and we are before size_hint. */
  uint64_t blocks = (slot->size_hint - slot->next - 1) / c->in->options->block_bytes + 1;
  if (wanted > blocks)
    wanted = (uint32_t)blocks;
  if (wanted > c->extra)
    wanted = c->extra;
  slot->spares = consume_acquire(c, slot->spare, wanted);
  return slot->spares > 0;
}

/* Keep the window full: blocks up to the size the file had, and past that one at a time. */
static void top_up(struct consumer *c, struct slot *slot)
{
  while (slot->tail - slot->head < c->in->window_max) {
    if (slot->next >= slot->size_hint && slot->head != slot->tail)
      break;
    if (!have_spare(c, slot))
      break;
    slot->block[slot->tail % WINDOW_MAX] =
        (struct block){.buffer = slot->spare[--slot->spares], .offset = slot->next};
    slot->next += c->in->options->block_bytes;
    ask(c, slot, slot->tail++);
    if (slot->tail == 2)
      c->large++;
  }
  if (slot->next >= slot->size_hint)
    drop_spares(c, slot);
}

/* Count or hash the blocks whose turn it is. */
static void advance(struct consumer *c, struct slot *slot)
{
  while (slot->head != slot->tail) {
    struct block *block = &slot->block[slot->head % WINDOW_MAX];

    if (block->state != BLOCK_READY)
      break;
    if (block->error != 0) {
      slot->error = block->error;
      end(c, slot);
      return;
    }
    digest_block(slot, c->in->options->op, block->data, block->have, block->last);
    counter_add(&c->counters->bytes, block->have);
    slot->spare[slot->spares++] = block->buffer;
    slot->head++;
    if (block->last) {
      end(c, slot);
      return;
    }
  }
  top_up(c, slot);
}

/* A result, and what it says about the block. true: the block is complete. */
static bool settle(struct consumer *c, struct slot *slot, struct block *block,
                   const struct sqcq_completion *done)
{
  uint32_t length = c->in->options->block_bytes;
  uint32_t have;

  if (done->result == -EAGAIN || done->result == -EINTR) {
    if (++block->tries < TRIES_MAX)
      return false;
  }
  if (done->result < 0) {
    block->error = done->result;
    return true;
  }
  block->data = (const uint8_t *)done->data - done->buffer_offset;
  have = done->buffer_offset + (uint32_t)done->result;
  if (have <= block->have) {
    block->last = true; /* nothing new: this is the end */
    return true;
  }
  block->have = have;
  if (have == length)
    return true;
  if (block->offset + have == slot->size_hint) {
    block->last = true;
    return true;
  }
  counter_add(&c->counters->short_reads, 1);
  return false;
}

void stream_completed(struct consumer *c, const struct sqcq_completion *done)
{
  struct slot *slot = slot_of(c, done->user_data);
  struct block *block = &slot->block[done->user_data % WINDOW_MAX];

  slot->asked--;
  if (slot->ended) {
    put_buffer(c, slot, done->buffer);
    if (slot->asked == 0)
      retire(c, slot);
    return;
  }
  if (done->flags != 0 && done->result < 0) {
    block->state = BLOCK_READY; /* so that end() puts its buffer back */
    slot->aborted = true;
    end(c, slot);
    return;
  }
  if (!settle(c, slot, block, done)) {
    uint32_t number = slot->head;

    while (&slot->block[number % WINDOW_MAX] != block)
      number++;
    ask(c, slot, number);
    return;
  }
  block->state = BLOCK_READY;
  if (block == &slot->block[slot->head % WINDOW_MAX])
    advance(c, slot);
}

bool stream_wants(const struct consumer *c, const struct sqcq_read *read)
{
  return !slot_of(c, read->user_data)->ended;
}

void stream_refused(struct consumer *c, const struct sqcq_read *read)
{
  struct slot *slot = slot_of(c, read->user_data);

  slot->asked--;
  if (slot->ended) {
    put_buffer(c, slot, read->buffer);
    if (slot->asked == 0)
      retire(c, slot);
    return;
  }
  slot->block[read->user_data % WINDOW_MAX].state = BLOCK_READY;
  slot->aborted = true;
  end(c, slot);
}
