/*
 * The requesting half of a producer: opens files and asks for the first block of each, many at a
 * time. Room: one producer.
 */
#ifndef INGEST_FEED_H
#define INGEST_FEED_H

#include "ingest.h"

struct feed {
  struct ingest *in;
  struct counters *counters;
  unsigned number;      /* of the producer */
  uint32_t batch;       /* slots taken, and requests made, at once */
  uint32_t have_count;  /* free slots in hand */
  uint32_t ready_count; /* files open, first request not made yet */
  uint32_t consumer;    /* for the small files of this batch */
  int64_t flushed;      /* when requests were last made */
  bool stopping;
  struct slot *have[TAKE_MAX];
  struct slot *ready[TAKE_MAX];
  struct sqcq_read reads[TAKE_MAX];
};

void feed_init(struct feed *feed, struct ingest *in, unsigned number);

/* Open a regular file that was found, and request its first block, now or with others soon. Waits
 * for a free slot. false: the engine is stopping. */
bool feed_file(struct feed *feed, int dirfd, struct dir *dir, const char *name, size_t name_bytes,
               uint64_t size);

/* Make all requests that are ready and give back the slots in hand: before the producer waits for
 * anything else. */
void feed_flush(struct feed *feed);

#endif
