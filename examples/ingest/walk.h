/*
 * The walking half of the producers: directories to visit. Doorway between producers.
 *
 * A stack, so that the walk goes down before it goes on, and what waits is about the width of the
 * directories along one path, not of the tree. A directory with very many sub-directories is left
 * in the middle and gone on with later, so even that is bounded.
 */
#ifndef INGEST_WALK_H
#define INGEST_WALK_H

#include "ingest.h"

struct walk {
  pthread_mutex_t lock;
  pthread_cond_t more;
  /* Under the lock. */
  struct dir *stack;
  size_t pending;
  unsigned visiting;  /* producers that may still find directories */
  unsigned waiting;   /* producers asleep */
  unsigned suspended; /* directories on the stack that are read in part */
  bool stopping;
};

void walk_init(struct walk *walk);

/* S: forget the directories that were not visited. */
void walk_fini(struct walk *walk, struct tree *tree);

/* S: an argument of the command line. Push the last one first. 0 or -ENOMEM. */
int walk_argument(struct ingest *in, const char *path);

/* A producer thread, from its start to its end. */
void walk_run(struct ingest *in, unsigned number);

/* Any: let producers that wait find out that the engine is stopping. */
void walk_stop(struct walk *walk);

#endif
