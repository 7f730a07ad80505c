/*
 * What it all came to. Room: main.
 */
#ifndef INGEST_SUMMARY_H
#define INGEST_SUMMARY_H

#include "ingest.h"

struct totals {
  uint64_t files;
  uint64_t bytes;
  uint64_t directories;
  uint64_t short_reads;
  uint64_t direct_refused;
  uint64_t retries;
  uint64_t syscalls; /* of the program; without those of the engine */
  uint64_t errors;
};

/* Any thread, at any time: the sums of all threads' counters so far. */
void totals_get(struct totals *totals, const struct ingest *in);

/* The summary: text to standard error, or an object to standard output. `signal`: what ended the
 * run early; 0: nothing. After all threads have ended. */
void summary_print(struct ingest *in, int64_t elapsed_ns, int signal);

/* --features: what the engine uses of this kernel, on standard output. 0 or -1: write error. */
int features_print(const struct sqcq_engine *engine);

#endif
