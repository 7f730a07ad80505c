/*
 * The engine, its pool and channels, and the sizes of everything. Role S.
 */
#ifndef INGEST_SETUP_H
#define INGEST_SETUP_H

#include "ingest.h"

/* Make all that the threads need. EXIT_GOOD, or the status to exit with, after a message. */
int setup(struct ingest *in, const struct options *options);

/* Undo it, when all threads have ended. */
void teardown(struct ingest *in);

#endif
