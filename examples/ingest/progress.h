/*
 * The progress line. Room: main.
 */
#ifndef INGEST_PROGRESS_H
#define INGEST_PROGRESS_H

#include "ingest.h"

#define PROGRESS_NS 200000000

struct progress {
  bool on;
  int64_t drawn;  /* when */
  uint64_t bytes; /* by then */
  double rate;    /* bytes a second, smoothed */
};

void progress_init(struct progress *progress, const struct options *options);

/* Draw it where it is due. Nanoseconds until it is due again; -1: never. */
int64_t progress_draw(struct progress *progress, const struct ingest *in);

/* Take it away. */
void progress_end(struct progress *progress);

#endif
