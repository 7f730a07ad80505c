/*
 * The progress line: files, bytes, rate, time left. Room: main.
 */
#include "progress.h"

#include "summary.h"
#include "term.h"

#include <sys/ioctl.h>
#include <unistd.h>

void progress_init(struct progress *progress, const struct options *options)
{
  *progress = (struct progress){
      .on = options->progress == PROGRESS_ALWAYS ||
            (options->progress == PROGRESS_AUTO && isatty(STDERR_FILENO) == 1),
      .drawn = ingest_now(),
  };
}

/* The time left by what the walk has found so far; while it goes on that is the least it can be. */
static void add_time_left(struct text *line, const struct ingest *in, uint64_t done, double rate)
{
  uint64_t found = 0;
  bool walking = atomic_load(&in->producers_left) > 0;

  for (unsigned i = 0; i < in->options->producers; i++)
    found += counter_get(&in->produced[i].bytes);
  if (rate < 1)
    return;
  double left = found > done ? (double)(found - done) / rate : 0;
  uint64_t seconds = left < 1e9 ? (uint64_t)(left + 0.5) : 1000000000;
  text_format(line, "  %s%llu:%02llu left", walking ? "at least " : "",
              (unsigned long long)(seconds / 60), (unsigned long long)(seconds % 60));
}

int64_t progress_draw(struct progress *progress, const struct ingest *in)
{
  struct totals totals;
  struct text line = {0};
  struct winsize size;
  int64_t now = ingest_now();
  int64_t passed = now - progress->drawn;

  if (!progress->on)
    return -1;
  if (passed < PROGRESS_NS)
    return PROGRESS_NS - passed;
  totals_get(&totals, in);
  double rate = (double)(totals.bytes - progress->bytes) * 1e9 / (double)passed;
  progress->rate = progress->rate > 0 ? 0.7 * progress->rate + 0.3 * rate : rate;
  progress->drawn = now;
  progress->bytes = totals.bytes;

  text_format(&line, "%llu files  ", (unsigned long long)totals.files);
  text_size(&line, (double)totals.bytes);
  text_adds(&line, "  ");
  text_size(&line, progress->rate);
  text_adds(&line, "/s");
  add_time_left(&line, in, totals.bytes, progress->rate);
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && line.length >= size.ws_col)
    line.length = size.ws_col - 1u; /* it must not wrap: it could not be taken away */
  term_progress(&line);
  text_free(&line);
  return PROGRESS_NS;
}

void progress_end(struct progress *progress)
{
  if (progress->on)
    term_progress(NULL);
  progress->on = false;
}
