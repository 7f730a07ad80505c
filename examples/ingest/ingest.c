/*
 * Errors, skipped things, and time. Doorway: any thread.
 */
#include "ingest.h"

#include "term.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *skip_name(enum skip_kind kind)
{
  static const char *const names[] = {
      "symbolic link", "dangling symbolic link", "directory loop", "FIFO", "socket",
      "device",        "unfinished file",
  };

  return names[kind];
}

static void start_message(struct text *line, const struct dir *dir, const char *name,
                          size_t name_bytes)
{
  struct text path = {0};

  dir_path(&path, dir, name, name_bytes);
  text_adds(line, "sqcq-ingest: ");
  text_visible(line, path.data, path.length);
  text_free(&path);
}

void ingest_error(struct ingest *in, const struct dir *dir, const char *name, size_t name_bytes,
                  const char *what, int error)
{
  unsigned number = (unsigned)-error;
  struct text line = {0};

  if (number >= ERRNO_COUNT)
    number = ERRNO_COUNT - 1;
  atomic_fetch_add_explicit(&in->errors[number], 1, memory_order_relaxed);
  start_message(&line, dir, name, name_bytes);
  text_format(&line, ": %s: %s", what, sqcq_strerror(error));
  term_message(&line);
  text_free(&line);
}

void ingest_skip(struct ingest *in, const struct dir *dir, const char *name, size_t name_bytes,
                 enum skip_kind kind)
{
  bool many = kind == SKIP_UNFINISHED || (kind == SKIP_SYMLINK && dir != NULL);
  struct text line = {0};

  atomic_fetch_add_explicit(&in->skipped[kind], 1, memory_order_relaxed);
  if (many || in->options->quiet)
    return;
  start_message(&line, dir, name, name_bytes);
  text_format(&line, ": skipped: %s", skip_name(kind));
  term_message(&line);
  text_free(&line);
}

void ingest_note_cached(struct ingest *in, const struct dir *dir, const char *name)
{
  struct text line = {0};

  if (atomic_exchange(&in->cached_noted, true))
    return;
  start_message(&line, dir, name, strlen(name));
  text_adds(&line,
            ": no O_DIRECT here: read through the page cache (more of these are only counted)");
  term_message(&line);
  text_free(&line);
}

void ingest_notify(struct ingest *in)
{
  uint64_t one = 1;

  (void)!write(in->event, &one, sizeof one);
}

int64_t ingest_now(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void ingest_backoff(unsigned tries)
{
  long ns = 50000L << (tries > 5 ? 5 : tries);
  struct timespec pause = {.tv_nsec = ns > 2000000 ? 2000000 : ns};

  (void)nanosleep(&pause, NULL);
}
