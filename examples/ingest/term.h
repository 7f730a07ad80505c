/*
 * Standard error: messages, and the progress line that must never mix with them or with lines on
 * the same terminal. Doorway: any thread, one lock.
 */
#ifndef INGEST_TERM_H
#define INGEST_TERM_H

#include "text.h"

/* S: whether standard output is a terminal too. */
void term_init(void);

/* One whole line, without its newline. */
void term_message(const struct text *line);

/* Put `line` in place of the progress line; NULL: take it away. */
void term_progress(const struct text *line);

/* Around a write to standard output: takes the progress line away where both are on terminals. */
void term_before_output(void);

#endif
