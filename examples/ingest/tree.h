/*
 * Directories while they are walked: names, and a bounded set of open descriptors. Doorway: the
 * producers share it, and consumers give back the references that files hold.
 *
 * A directory knows its parent and its own name, so the path of a file is put together only where
 * it is printed, and no path is ever given to the kernel: everything is opened relative to the
 * directory it is in, however deep that is. Of the directories that wait for sub-directories to
 * be opened only so many stay open; one that was closed is opened again from above when it is
 * needed (and refused where another directory has taken its place).
 */
#ifndef INGEST_TREE_H
#define INGEST_TREE_H

#include "text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct dir {
  struct dir *parent; /* constant; NULL: an argument of the command line. Holds a reference */
  struct dir *next;   /* W: who owns it before it is visited: a list of dirs to visit */
  atomic_uint refs;   /* the visit, each child, each file */
  bool suspended;     /* W: the visitor; read in part, open and pinned */
  bool identified;    /* W: the first opener, before there are children; dev and ino are known */
  dev_t dev;
  ino_t ino;
  /* Under tree->lock. */
  int fd;            /* -1: not open */
  unsigned pins;     /* who needs fd just now; 0: on the list of idle ones */
  unsigned kids;     /* children that are still to be opened */
  bool read;         /* no more children will be found */
  struct dir *newer; /* of the list of idle ones */
  struct dir *older;
  size_t name_bytes;
  char name[];
};

struct tree {
  pthread_mutex_t lock;
  struct dir *newest; /* open and idle, by when they were last needed */
  struct dir *oldest;
  unsigned open;
  unsigned open_max;
  bool follow;                    /* constant: symbolic links are followed */
  _Atomic unsigned long syscalls; /* openat, fstat and close of directories */
};

void tree_init(struct tree *tree, unsigned open_max, bool follow);

/* A new directory with one reference, which tree_done() gives back. Takes one of its parent. NULL:
 * no memory. */
struct dir *dir_new(struct dir *parent, const char *name, size_t name_bytes);

void dir_ref(struct dir *dir);

/* Give a reference back; any thread. The last one frees it, and its parents after it. */
void dir_unref(struct tree *tree, struct dir *dir);

/* The children found so far: called before others may open them. */
void tree_expect(struct tree *tree, struct dir *dir, unsigned kids);

/* Open a directory for the visit: its descriptor, pinned, or -errno. The parent has one child less
 * to open, whatever the answer. */
int tree_open(struct tree *tree, struct dir *dir);

/* The visit ends: unpin, and give the reference back. `opened`: tree_open() went well. */
void tree_done(struct tree *tree, struct dir *dir, bool opened);

/* Whether the directory is its own ancestor, by way of a symbolic link. */
bool dir_is_loop(const struct dir *dir);

/* Append the path of `name` in dir (NULL: the working directory). name NULL: of dir itself. */
void dir_path(struct text *text, const struct dir *dir, const char *name, size_t name_bytes);

#endif
