/*
 * Standard error. Doorway: any thread.
 */
#include "term.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool shown;           /* under the lock: a progress line is on the screen */
static bool output_terminal; /* constant after term_init() */

static const char clear_line[] = "\r\033[K";

static void write_all(const char *data, size_t length)
{
  while (length > 0) {
    ssize_t n = write(STDERR_FILENO, data, length);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return; /* nowhere to say it */
    data += n;
    length -= (size_t)n;
  }
}

static void hide(void)
{
  if (shown)
    write_all(clear_line, sizeof clear_line - 1);
  shown = false;
}

void term_init(void)
{
  output_terminal = isatty(STDOUT_FILENO) == 1;
}

void term_message(const struct text *line)
{
  struct text whole = {0};

  text_add(&whole, line->data, line->length);
  text_add(&whole, "\n", 1);
  pthread_mutex_lock(&lock);
  hide();
  write_all(whole.data, whole.length);
  pthread_mutex_unlock(&lock);
  text_free(&whole);
}

void term_progress(const struct text *line)
{
  struct text whole = {0};

  pthread_mutex_lock(&lock);
  if (line == NULL) {
    hide();
  } else {
    text_adds(&whole, clear_line);
    text_add(&whole, line->data, line->length);
    write_all(whole.data, whole.length);
    shown = true;
  }
  pthread_mutex_unlock(&lock);
  text_free(&whole);
}

void term_before_output(void)
{
  if (!output_terminal)
    return;
  pthread_mutex_lock(&lock);
  hide();
  pthread_mutex_unlock(&lock);
}
