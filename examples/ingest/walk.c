/*
 * Walking directory trees. Room: one producer, save where the stack is locked.
 *
 * getdents64 tells the type of most entries; what is not a regular file or a directory is not
 * touched. Nothing here recurses, and no path is put together.
 */
#include "walk.h"

#include "feed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRY_BYTES 65536
/* More directories than this are not looked for while these wait... */
#define PENDING_MAX 65536u
/* ...unless so many are left in the middle already: each keeps a descriptor. */
#define SUSPENDED_MAX 16u

struct walker {
  struct ingest *in;
  struct counters *counters;
  struct feed feed;
  struct dir *found; /* in this buffer of entries */
  unsigned found_count;
  _Alignas(struct dirent64) char entries[ENTRY_BYTES];
};

void walk_init(struct walk *walk)
{
  *walk = (struct walk){0};
  pthread_mutex_init(&walk->lock, NULL);
  pthread_cond_init(&walk->more, NULL);
}

void walk_fini(struct walk *walk, struct tree *tree)
{
  while (walk->stack != NULL) {
    struct dir *dir = walk->stack;

    walk->stack = dir->next;
    tree_done(tree, dir, dir->suspended);
  }
}

int walk_argument(struct ingest *in, const char *path)
{
  struct dir *dir = dir_new(NULL, path, strlen(path));

  if (dir == NULL)
    return -ENOMEM;
  dir->next = in->walk->stack;
  in->walk->stack = dir;
  in->walk->pending++;
  return 0;
}

void walk_stop(struct walk *walk)
{
  pthread_mutex_lock(&walk->lock);
  walk->stopping = true;
  pthread_mutex_unlock(&walk->lock);
  pthread_cond_broadcast(&walk->more);
}

/* The next directory to visit; NULL: there are no more, and there will be none. */
static struct dir *next_dir(struct walker *w)
{
  struct walk *walk = w->in->walk;
  struct dir *dir;

  pthread_mutex_lock(&walk->lock);
  if (walk->stack == NULL && walk->visiting > 0 && !walk->stopping) {
    pthread_mutex_unlock(&walk->lock);
    feed_flush(&w->feed); /* others may need what we hold */
    pthread_mutex_lock(&walk->lock);
    while (walk->stack == NULL && walk->visiting > 0 && !walk->stopping) {
      walk->waiting++;
      pthread_cond_wait(&walk->more, &walk->lock);
      walk->waiting--;
    }
  }
  dir = walk->stopping ? NULL : walk->stack;
  if (dir != NULL) {
    walk->stack = dir->next;
    walk->pending--;
    walk->visiting++;
    if (dir->suspended)
      walk->suspended--;
  }
  pthread_mutex_unlock(&walk->lock);
  return dir;
}

static void visited(struct walk *walk)
{
  pthread_mutex_lock(&walk->lock);
  bool over = --walk->visiting == 0 && walk->stack == NULL;
  pthread_mutex_unlock(&walk->lock);
  if (over)
    pthread_cond_broadcast(&walk->more);
}

/* Put the directories found on the stack. true: and `dir` below them, to go on with it later. */
static bool push_found(struct walker *w, struct dir *dir)
{
  struct walk *walk = w->in->walk;
  unsigned count = w->found_count;
  bool suspend;

  if (count == 0)
    return false;
  tree_expect(&w->in->tree, dir, count);
  pthread_mutex_lock(&walk->lock);
  suspend = walk->pending + count > PENDING_MAX && walk->suspended < SUSPENDED_MAX;
  if (suspend) {
    dir->suspended = true;
    dir->next = walk->stack;
    walk->stack = dir;
    walk->suspended++;
    walk->pending++;
  }
  while (w->found != NULL) {
    struct dir *child = w->found;

    w->found = child->next;
    child->next = walk->stack;
    walk->stack = child;
  }
  walk->pending += count;
  bool wake = walk->waiting > 0;
  pthread_mutex_unlock(&walk->lock);
  w->found_count = 0;
  if (wake)
    pthread_cond_broadcast(&walk->more);
  return suspend;
}

static void found_dir(struct walker *w, struct dir *dir, const char *name, size_t name_bytes)
{
  struct dir *child = dir_new(dir, name, name_bytes);

  if (child == NULL) {
    ingest_error(w->in, dir, name, name_bytes, "open", -ENOMEM);
    return;
  }
  child->next = w->found;
  w->found = child;
  w->found_count++;
}

/* Something that is neither a regular file nor a directory. */
static void found_other(struct walker *w, const struct dir *dir, const char *name,
                        size_t name_bytes, mode_t mode)
{
  enum skip_kind kind = S_ISLNK(mode)    ? SKIP_SYMLINK
                        : S_ISFIFO(mode) ? SKIP_FIFO
                        : S_ISSOCK(mode) ? SKIP_SOCKET
                                         : SKIP_DEVICE;

  ingest_skip(w->in, dir, name, name_bytes, kind);
}

/* Look at an entry: its mode and size, through a symbolic link where links are followed. false: an
 * error, which has been told. */
static bool look(struct walker *w, int dirfd, const struct dir *dir, const char *name,
                 size_t name_bytes, struct stat *st)
{
  bool follow = w->in->options->follow;

  counter_add(&w->counters->syscalls, 1);
  if (fstatat(dirfd, name, st, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0)
    return true;
  int error = -errno;
  if (follow && (error == -ENOENT || error == -ELOOP)) {
    counter_add(&w->counters->syscalls, 1);
    if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st->st_mode)) {
      ingest_skip(w->in, dir, name, name_bytes, SKIP_DANGLING);
      return false;
    }
  }
  ingest_error(w->in, dir, name, name_bytes, "stat", error);
  return false;
}

/* One entry of a directory. false: the engine is stopping. */
static bool visit_entry(struct walker *w, int dirfd, struct dir *dir, const char *name,
                        unsigned type)
{
  size_t name_bytes = strlen(name);
  bool follow = w->in->options->follow;
  struct stat st;

  if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
    return true;
  if (type == DT_DIR) {
    found_dir(w, dir, name, name_bytes);
    return true;
  }
  if (type != DT_REG && type != DT_UNKNOWN && !(type == DT_LNK && follow)) {
    found_other(w, dir, name, name_bytes, (mode_t)DTTOIF(type));
    return true;
  }
  /* The size is worth a system call: it saves the read that would find the end of the file, and
   * the progress line its guesses. */
  if (!look(w, dirfd, dir, name, name_bytes, &st))
    return true;
  if (S_ISREG(st.st_mode))
    return feed_file(&w->feed, dirfd, dir, name, name_bytes, (uint64_t)st.st_size);
  if (S_ISDIR(st.st_mode))
    found_dir(w, dir, name, name_bytes);
  else
    found_other(w, dir, name, name_bytes, st.st_mode);
  return true;
}

/* Read a directory that is open. true: done with it; false: it is on the stack again. */
static bool read_entries(struct walker *w, int fd, struct dir *dir)
{
  for (;;) {
    ssize_t n = getdents64(fd, w->entries, sizeof w->entries);

    counter_add(&w->counters->syscalls, 1);
    if (n < 0)
      ingest_error(w->in, dir, NULL, 0, "read", -errno);
    if (n <= 0)
      return true;
    for (ssize_t at = 0; at < n;) {
      const struct dirent64 *entry = (const struct dirent64 *)(const void *)(w->entries + at);

      at += entry->d_reclen;
      if (!visit_entry(w, fd, dir, entry->d_name, entry->d_type))
        break;
    }
    if (push_found(w, dir))
      return false;
    if (w->feed.stopping)
      return true;
  }
}

/* An argument of the command line, which may be anything. true: it is a directory. */
static bool argument_is_dir(struct walker *w, struct dir *dir)
{
  struct stat st;

  if (!look(w, AT_FDCWD, NULL, dir->name, dir->name_bytes, &st))
    return false;
  if (S_ISDIR(st.st_mode))
    return true;
  if (S_ISREG(st.st_mode))
    (void)feed_file(&w->feed, AT_FDCWD, NULL, dir->name, dir->name_bytes, (uint64_t)st.st_size);
  else
    found_other(w, NULL, dir->name, dir->name_bytes, st.st_mode);
  return false;
}

static void visit(struct walker *w, struct dir *dir)
{
  struct tree *tree = &w->in->tree;
  int fd;

  if (dir->suspended) {
    dir->suspended = false;
    fd = dir->fd; /* ours: pinned since it was opened */
  } else {
    if (dir->parent == NULL && !argument_is_dir(w, dir)) {
      tree_done(tree, dir, false);
      return;
    }
    fd = tree_open(tree, dir);
    if (fd < 0) {
      ingest_error(w->in, dir, NULL, 0, "open", fd);
      tree_done(tree, dir, false);
      return;
    }
    if (w->in->options->follow && dir_is_loop(dir)) {
      ingest_skip(w->in, dir, NULL, 0, SKIP_LOOP);
      tree_done(tree, dir, true);
      return;
    }
    counter_add(&w->counters->directories, 1);
  }
  if (read_entries(w, fd, dir))
    tree_done(tree, dir, true);
}

void walk_run(struct ingest *in, unsigned number)
{
  struct walker *w = malloc(sizeof *w);
  struct dir *dir;

  if (w == NULL)
    abort();
  w->in = in;
  w->counters = &in->produced[number];
  w->found = NULL;
  w->found_count = 0;
  feed_init(&w->feed, in, number);
  while (!w->feed.stopping && (dir = next_dir(w)) != NULL) {
    visit(w, dir);
    visited(in->walk);
  }
  feed_flush(&w->feed);
  free(w);
}
