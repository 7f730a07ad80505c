/*
 * Standard output. Each consumer collects whole lines in a string of its own; output_write() puts
 * them out under one lock. Doorway: consumers, and main for the summary.
 *
 * A reader that is slow makes write() wait, and with it the consumers, then the producers: nothing
 * is lost. One that is gone makes everything end: the first error stays in `error`.
 */
#ifndef INGEST_OUTPUT_H
#define INGEST_OUTPUT_H

#include "options.h"
#include "text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct slot;

struct output {
  pthread_mutex_t lock;
  atomic_int error; /* errno of the first write that failed; 0 */
  atomic_bool
      abandoned; /* W: main; write no more: the reader does not read, and we were told to end */
};

void output_init(struct output *output);

/* Write all lines and empty the string. Returns how many system calls that took; on an error the
 * lines are gone and *failed is true the first time. */
unsigned output_write(struct output *output, struct text *lines, bool *failed);

/* Append the line of a file that was read. false: the format has no form for this name. */
bool output_line(struct text *lines, const struct options *options, const struct slot *slot,
                 struct text *path);

#endif
