/*
 * The open files: a fixed number of slots. Doorway between producers, who take free slots and wait
 * where there is none, and consumers, who give them back.
 *
 * This is the whole accounting of the program. A slot owns one buffer of the pool for good, so a
 * file that has a slot can always go on; lanes and channels are made large enough for a request
 * for each buffer. So whoever has a slot is refused only for moments, a consumer never waits for
 * anything but completions, and a producer waits here and nowhere else.
 */
#ifndef INGEST_SLOTS_H
#define INGEST_SLOTS_H

#include "tree.h"

#include <sqcq/sqcq.h>

#include <xxhash.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WINDOW_MAX 16u /* blocks of one file in flight, a power of two */
#define TAKE_MAX 32u   /* slots a producer takes at once */

enum block_state {
  BLOCK_ASKED, /* a read is in flight, or about to be */
  BLOCK_READY  /* have bytes, or an error, wait for their turn */
};

struct block {
  sqcq_buffer buffer;
  const uint8_t *data;
  uint64_t offset; /* in the file */
  uint32_t have;   /* bytes read so far */
  uint32_t tries;  /* after the kernel's -EAGAIN */
  int32_t error;
  enum block_state state;
  bool last; /* the file ends with these bytes */
};

/* One open file. Written by the producer until its first request is accepted, by the file's
 * consumer from the first completion on: the engine hands it over. */
struct slot {
  XXH3_state_t *hash; /* constant */
  sqcq_buffer own;    /* constant: the buffer that always belongs to this slot */
  uint32_t index;     /* constant */
  uint32_t consumer;
  sqcq_file file;
  struct dir *dir;    /* holds a reference; NULL: the working directory */
  uint64_t size_hint; /* when it was found; 0: unknown. Never trusted for more than it says */
  uint64_t next;      /* first offset not asked for */
  uint64_t total;     /* bytes consumed */
  uint64_t lines;
  uint64_t digest;
  /* Blocks head to tail - 1 are asked for or ready, at [number % WINDOW_MAX]; free-running. */
  uint32_t head;
  uint32_t tail;
  uint32_t asked;  /* reads that will yet complete, or wait to be requested */
  uint32_t spares; /* buffers in spare[] */
  bool direct;
  bool ended;   /* the result is known; only reads that no longer matter are out */
  bool aborted; /* by a stop: no result */
  int32_t error;
  size_t name_bytes;
  char *name; /* short_name, or malloc'ed */
  sqcq_buffer spare[WINDOW_MAX];
  struct block block[WINDOW_MAX];
  char short_name[256];
};

struct slots {
  struct slot *all; /* constant */
  uint32_t count;   /* constant */
  pthread_mutex_t lock;
  pthread_cond_t room;
  /* Under the lock. */
  uint32_t *free;
  uint32_t free_count;
  uint32_t waiting; /* producers asleep */
  uint32_t enough;  /* they are woken when so many are free */
  bool stopping;
  unsigned long sleeps;
};

/* 0 or -ENOMEM. Each slot takes a buffer of the pool. */
int slots_init(struct slots *slots, uint32_t count, struct sqcq_engine *engine, sqcq_pool pool);
void slots_fini(struct slots *slots, struct sqcq_engine *engine);

/* P: take 1 to max free slots, waiting for them. 0: stopping. A producer must hold no slot that it
 * has not requested a read for. */
uint32_t slots_take(struct slots *slots, struct slot **taken, uint32_t max);

/* P or C: give slots back. `idle`: the caller has nothing else to do, so a producer that waits for
 * several is woken for what there is. */
void slots_give(struct slots *slots, struct slot *const *given, uint32_t count, bool idle);

/* Any: no more waiting, slots_take() answers 0. */
void slots_stop(struct slots *slots);

/* Any: whether all are free. */
bool slots_idle(struct slots *slots);

#endif
