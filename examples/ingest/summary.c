/*
 * Sums, the summary and --features. Room: main.
 *
 * System calls for each read, of which there are two sorts:
 *   engine   io_uring_enter, writes to its eventfd, futex wakes and waits of consumers, and what
 *            the I/O thread does besides (closing files, the file table): sqcq_engine_stats().
 *   program  openat, fcntl and fstat of sqcq_file_open(); fstatat and getdents64 of the walk;
 *            openat, fstat and close of directories; write. Not the futexes of its own locks, nor
 *            what set-up takes.
 */
#include "summary.h"

#include "term.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

void totals_get(struct totals *totals, const struct ingest *in)
{
  *totals = (struct totals){0};
  for (unsigned i = 0; i < in->options->producers; i++) {
    const struct counters *c = &in->produced[i];

    totals->directories += counter_get(&c->directories);
    totals->direct_refused += counter_get(&c->direct_refused);
    totals->retries += counter_get(&c->retries);
    totals->syscalls += counter_get(&c->syscalls);
  }
  for (unsigned i = 0; i < in->options->consumers; i++) {
    const struct counters *c = &in->consumed[i];

    totals->files += counter_get(&c->files);
    totals->bytes += counter_get(&c->bytes);
    totals->short_reads += counter_get(&c->short_reads);
    totals->retries += counter_get(&c->retries);
    totals->syscalls += counter_get(&c->syscalls);
  }
  totals->syscalls += atomic_load_explicit(&in->tree.syscalls, memory_order_relaxed);
  for (unsigned i = 0; i < ERRNO_COUNT; i++)
    totals->errors += counter_get(&in->errors[i]);
}

static uint64_t engine_syscalls(const struct sqcq_stats *s)
{
  return s->enters + s->io_wakes + s->consumer_wakes + s->consumer_sleeps + s->syscalls_control;
}

/* `"key":number,` for each error, or `number key, `. */
static void add_errors(struct text *out, const struct ingest *in, bool json)
{
  const char *gap = "";

  for (int i = 0; i < (int)ERRNO_COUNT; i++) {
    uint64_t n = counter_get(&in->errors[i]);
    const char *name = strerror(i);

    if (n == 0)
      continue;
    text_adds(out, gap);
    if (json) {
      text_json(out, name, strlen(name));
      text_format(out, ":%llu", (ull)n);
    } else {
      text_format(out, "%llu %s", (ull)n, name);
    }
    gap = json ? "," : ", ";
  }
}

static void add_skipped(struct text *out, const struct ingest *in, bool json)
{
  const char *gap = "";

  for (enum skip_kind kind = 0; kind < SKIP_COUNT; kind++) {
    uint64_t n = counter_get(&in->skipped[kind]);

    if (n == 0)
      continue;
    text_format(out, json ? "%s\"%s\":%llu" : "%s%s %llu", gap, skip_name(kind), (ull)n);
    gap = json ? "," : ", ";
  }
}

static void add_refusals(struct text *out, const struct sqcq_stats *s, bool json)
{
  const struct {
    const char *name;
    uint64_t count;
  } kinds[] = {
      {"again", s->refused_again},     {"full", s->refused_full},
      {"closed", s->refused_closed},   {"stopping", s->refused_stopping},
      {"file", s->refused_file},       {"buffer", s->refused_buffer},
      {"invalid", s->refused_invalid}, {"no_buffers", s->refused_no_buffers},
  };
  const char *gap = "";

  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!json && kinds[i].count == 0)
      continue;
    text_format(out, json ? "%s\"%s\":%llu" : "%s%s %llu", gap, kinds[i].name, (ull)kinds[i].count);
    gap = json ? "," : ", ";
  }
}

static void print_text(const struct ingest *in, const struct totals *t, const struct sqcq_stats *s,
                       double seconds, int signal)
{
  struct text out = {0};
  uint64_t engine = engine_syscalls(s);
  double reads = s->completed > 0 ? (double)s->completed : 1;

  text_format(&out, "sqcq-ingest: %s%llu files, %llu bytes (", signal != 0 ? "stopped early: " : "",
              (ull)t->files, (ull)t->bytes);
  text_size(&out, (double)t->bytes);
  text_format(&out, ") in %.3f s: ", seconds);
  text_size(&out, (double)t->bytes / seconds);
  text_format(&out, "/s, %.0f files/s\n", (double)t->files / seconds);
  text_format(&out,
              "  directories   %llu\n  reads         %llu, of them short and asked again %llu\n",
              (ull)t->directories, (ull)s->completed, (ull)t->short_reads);
  text_format(&out,
              "  system calls  %.2f for each read: engine %.2f (enter, wake, close), "
              "program %.2f (open, stat, getdents, write)\n",
              (double)(engine + t->syscalls) / reads, (double)engine / reads,
              (double)t->syscalls / reads);
  text_adds(&out, "  refusals      ");
  size_t before = out.length;
  add_refusals(&out, s, false);
  text_format(&out, "%s; requests made again %llu\n", out.length == before ? "none" : "",
              (ull)t->retries);
  if (in->options->direct)
    text_format(&out, "  through the page cache in spite of --direct  %llu files\n",
                (ull)t->direct_refused);
  text_format(&out, "  errors        %llu%s", (ull)t->errors, t->errors > 0 ? ": " : "");
  add_errors(&out, in, false);
  text_adds(&out, "\n  skipped       ");
  before = out.length;
  add_skipped(&out, in, false);
  if (out.length == before)
    text_adds(&out, "nothing");
  term_message(&out);
  text_free(&out);
}

static void print_json(struct ingest *in, const struct totals *t, const struct sqcq_stats *s,
                       double seconds, int signal)
{
  struct text out = {0};
  uint64_t engine = engine_syscalls(s);
  bool failed = false;

  text_format(&out, "{\"type\":\"summary\",\"op\":\"%s\",\"complete\":%s,\"signal\":%d,",
              operation_name(in->options->op), signal == 0 ? "true" : "false", signal);
  text_format(&out, "\"files\":%llu,\"bytes\":%llu,\"directories\":%llu,\"seconds\":%.6f,",
              (ull)t->files, (ull)t->bytes, (ull)t->directories, seconds);
  text_format(&out, "\"bytes_per_second\":%.0f,\"reads\":%llu,\"short_reads\":%llu,",
              (double)t->bytes / seconds, (ull)s->completed, (ull)t->short_reads);
  text_format(&out, "\"direct_refused\":%llu,\"requests_again\":%llu,", (ull)t->direct_refused,
              (ull)t->retries);
  text_format(&out, "\"syscalls\":{\"engine\":%llu,\"program\":%llu,\"per_read\":%.3f},",
              (ull)engine, (ull)t->syscalls,
              s->completed > 0 ? (double)(engine + t->syscalls) / (double)s->completed : 0.0);
  text_adds(&out, "\"refusals\":{");
  add_refusals(&out, s, true);
  text_adds(&out, "},\"errors\":{");
  add_errors(&out, in, true);
  text_adds(&out, "},\"skipped\":{");
  add_skipped(&out, in, true);
  text_adds(&out, "}}\n");
  (void)output_write(&in->output, &out, &failed);
  text_free(&out);
}

void summary_print(struct ingest *in, int64_t elapsed_ns, int signal)
{
  double seconds = elapsed_ns > 0 ? (double)elapsed_ns / 1e9 : 1e-9;
  struct sqcq_stats stats = {0};
  struct totals totals;

  totals_get(&totals, in);
  (void)sqcq_engine_stats(in->engine, &stats, sizeof stats);
  if (in->options->json)
    print_json(in, &totals, &stats, seconds, signal);
  else
    print_text(in, &totals, &stats, seconds, signal);
}

int features_print(const struct sqcq_engine *engine)
{
  static const char *const states[] = {"on", "off", "refused"};
  struct sqcq_feature features[64];
  int count = sqcq_engine_features(engine, features, 64, sizeof features[0]);

  for (int i = 0; i < count && i < 64; i++) {
    const struct sqcq_feature *f = &features[i];

    printf("%-24s %s", f->name, f->state < 3 ? states[f->state] : "?");
    if (f->state == SQCQ_FEATURE_REFUSED)
      printf(" (%s)", sqcq_strerror(f->error));
    if (f->needed > 0)
      printf(" (%llu bytes of locked memory needed, %llu allowed)", (ull)f->needed, (ull)f->limit);
    if (f->state != SQCQ_FEATURE_ON && f->instead[0] != '\0')
      printf(": %s", f->instead);
    putchar('\n');
  }
  return fflush(stdout) == 0 ? 0 : -1;
}
