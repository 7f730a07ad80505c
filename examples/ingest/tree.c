/*
 * Directories, their names and descriptors. Doorway between producers; consumers only unref.
 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tree_init(struct tree *tree, unsigned open_max, bool follow)
{
  *tree = (struct tree){.open_max = open_max, .follow = follow};
  pthread_mutex_init(&tree->lock, NULL);
}

static void count(struct tree *tree, unsigned calls)
{
  atomic_fetch_add_explicit(&tree->syscalls, calls, memory_order_relaxed);
}

struct dir *dir_new(struct dir *parent, const char *name, size_t name_bytes)
{
  struct dir *dir = malloc(sizeof *dir + name_bytes + 1);

  if (dir == NULL)
    return NULL;
  *dir = (struct dir){.parent = parent, .fd = -1, .name_bytes = name_bytes};
  atomic_init(&dir->refs, 1);
  memcpy(dir->name, name, name_bytes);
  dir->name[name_bytes] = '\0';
  if (parent != NULL)
    dir_ref(parent);
  return dir;
}

void dir_ref(struct dir *dir)
{
  /* relaxed: the caller holds a reference, so it cannot go away meanwhile */
  atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
}

/* The list of idle directories. Under the lock. */
static void idle_add(struct tree *tree, struct dir *dir)
{
  dir->newer = NULL;
  dir->older = tree->newest;
  if (tree->newest != NULL)
    tree->newest->newer = dir;
  else
    tree->oldest = dir;
  tree->newest = dir;
}

static void idle_remove(struct tree *tree, struct dir *dir)
{
  if (dir->newer != NULL)
    dir->newer->older = dir->older;
  else
    tree->newest = dir->older;
  if (dir->older != NULL)
    dir->older->newer = dir->newer;
  else
    tree->oldest = dir->newer;
}

/* Close a directory that nobody needs just now and that is on no list. Under the lock. */
static void shut(struct tree *tree, struct dir *dir)
{
  close(dir->fd);
  count(tree, 1);
  dir->fd = -1;
  tree->open--;
}

static void pin(struct tree *tree, struct dir *dir)
{
  if (dir->pins++ == 0)
    idle_remove(tree, dir);
}

static void unpin(struct tree *tree, struct dir *dir)
{
  if (--dir->pins > 0)
    return;
  if (dir->read && dir->kids == 0) {
    shut(tree, dir);
    return;
  }
  idle_add(tree, dir);
  while (tree->open > tree->open_max && tree->oldest != NULL) {
    struct dir *victim = tree->oldest;

    idle_remove(tree, victim);
    shut(tree, victim);
  }
}

void dir_unref(struct tree *tree, struct dir *dir)
{
  while (dir != NULL) {
    struct dir *parent = dir->parent;

    /* release: what we did with it comes before the end; acquire: what the others did, too */
    if (atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) > 1)
      return;
    pthread_mutex_lock(&tree->lock);
    if (dir->fd >= 0) {
      idle_remove(tree, dir);
      shut(tree, dir);
    }
    pthread_mutex_unlock(&tree->lock);
    free(dir);
    dir = parent;
  }
}

void tree_expect(struct tree *tree, struct dir *dir, unsigned kids)
{
  pthread_mutex_lock(&tree->lock);
  dir->kids += kids;
  pthread_mutex_unlock(&tree->lock);
}

/* Open one directory in another, whose descriptor is base. Without a lock held. A descriptor or
 * -errno; -ESTALE where it is not the directory that was here before. */
static int open_in(struct tree *tree, int base, struct dir *dir)
{
  /* An argument that is a link was looked at, and refused, before it comes here. */
  int fd = openat(base, dir->name,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY | (tree->follow ? 0 : O_NOFOLLOW));
  struct stat st;

  count(tree, 1);
  if (fd < 0)
    return -errno;
  count(tree, 1);
  if (fstat(fd, &st) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  if (!dir->identified) {
    dir->dev = st.st_dev;
    dir->ino = st.st_ino;
    dir->identified = true;
  } else if (dir->dev != st.st_dev || dir->ino != st.st_ino) {
    close(fd);
    return -ESTALE;
  }
  return fd;
}

/* Note a descriptor that was just opened, and pin it. Another producer may have been first. */
static void install(struct tree *tree, struct dir *dir, int fd)
{
  if (dir->fd >= 0) {
    close(fd);
    count(tree, 1);
    pin(tree, dir);
    return;
  }
  dir->fd = fd;
  dir->pins = 1;
  tree->open++;
}

/* Open a directory that was closed, and those above it as far as needed. Pinned, or -errno. */
static int reopen(struct tree *tree, struct dir *dir)
{
  size_t length = 0, depth = 0;
  struct dir *held;

  for (struct dir *d = dir; d != NULL; d = d->parent)
    depth++;
  struct dir **chain = malloc(depth * sizeof(struct dir *));
  if (chain == NULL)
    return -ENOMEM;
  pthread_mutex_lock(&tree->lock);
  for (held = dir; held != NULL && held->fd < 0; held = held->parent)
    chain[length++] = held;
  if (held != NULL)
    pin(tree, held);
  pthread_mutex_unlock(&tree->lock);

  int fd = held != NULL ? held->fd : AT_FDCWD;
  while (length > 0) {
    struct dir *below = chain[--length];

    fd = open_in(tree, fd, below);
    pthread_mutex_lock(&tree->lock);
    if (fd >= 0) {
      install(tree, below, fd);
      fd = below->fd;
    }
    if (held != NULL)
      unpin(tree, held);
    pthread_mutex_unlock(&tree->lock);
    if (fd < 0)
      break;
    held = below;
  }
  free(chain);
  return fd;
}

/* The descriptor of a directory, pinned, or -errno. */
static int hold(struct tree *tree, struct dir *dir)
{
  int fd;

  pthread_mutex_lock(&tree->lock);
  fd = dir->fd;
  if (fd >= 0)
    pin(tree, dir);
  pthread_mutex_unlock(&tree->lock);
  return fd >= 0 ? fd : reopen(tree, dir);
}

int tree_open(struct tree *tree, struct dir *dir)
{
  struct dir *parent = dir->parent;
  int base = AT_FDCWD;
  int fd;

  if (parent != NULL) {
    base = hold(tree, parent);
    if (base < 0) {
      pthread_mutex_lock(&tree->lock);
      parent->kids--;
      pthread_mutex_unlock(&tree->lock);
      return base;
    }
  }
  fd = open_in(tree, base, dir);
  pthread_mutex_lock(&tree->lock);
  if (fd >= 0)
    install(tree, dir, fd);
  if (parent != NULL) {
    parent->kids--;
    unpin(tree, parent);
  }
  pthread_mutex_unlock(&tree->lock);
  return fd;
}

void tree_done(struct tree *tree, struct dir *dir, bool opened)
{
  if (opened) {
    pthread_mutex_lock(&tree->lock);
    dir->read = true;
    unpin(tree, dir);
    pthread_mutex_unlock(&tree->lock);
  }
  dir_unref(tree, dir);
}

bool dir_is_loop(const struct dir *dir)
{
  for (const struct dir *up = dir->parent; up != NULL; up = up->parent) {
    if (up->ino == dir->ino && up->dev == dir->dev)
      return true;
  }
  return false;
}

/* A slash is put between a directory and what is in it, unless the directory (an argument of the
 * command line) ends with one. */
static size_t slash_after(const struct dir *dir)
{
  return dir->name_bytes > 0 && dir->name[dir->name_bytes - 1] == '/' ? 0 : 1;
}

void dir_path(struct text *text, const struct dir *dir, const char *name, size_t name_bytes)
{
  bool own = name == NULL;
  size_t length = own ? 0 : name_bytes;

  for (const struct dir *d = dir; d != NULL; d = d->parent)
    length += d->name_bytes + (own && d == dir ? 0 : slash_after(d));
  char *end = text_reserve(text, length) + length;
  if (!own) {
    end -= name_bytes;
    memcpy(end, name, name_bytes);
  }
  for (const struct dir *d = dir; d != NULL; d = d->parent) {
    if (!(own && d == dir) && slash_after(d) > 0)
      *--end = '/';
    end -= d->name_bytes;
    memcpy(end, d->name, d->name_bytes);
  }
  text->length += length;
}
