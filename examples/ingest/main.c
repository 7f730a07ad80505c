/*
 * sqcq-ingest: read directory trees through sqcq. Room: main.
 *
 * Sets everything up, starts the threads, and then waits for one of four things: the last file is
 * done; a signal; an output that cannot be written; an engine that cannot go on. All of them end in
 * sqcq_engine_stop(): the I/O thread answers what was accepted and returns, the consumers meet the
 * end of their channels, the producers are refused.
 */
#include "consume.h"
#include "ingest.h"
#include "options.h"
#include "progress.h"
#include "setup.h"
#include "summary.h"
#include "term.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After a signal: how long reads may still take, then when to stop waiting for whoever reads our
 * output, and how often to say so to threads that sleep in a system call. */
#define DRAIN_NS 2000000000
#define ABANDON_NS 2500000000
#define NUDGE_NS 50000000

struct thread {
  pthread_t id;
  struct ingest *in;
  unsigned number;
};

static struct ingest the_ingest;

/* For the signal handler. */
static struct sqcq_engine *handler_engine;
static volatile sig_atomic_t handler_signal;

/* sqcq_engine_stop() is the one call of the library that a signal handler may make. */
static void on_signal(int number)
{
  int saved = errno;

  handler_signal = number;
  (void)sqcq_engine_stop(handler_engine, SQCQ_STOP_DRAIN, DRAIN_NS);
  signal(SIGINT, SIG_DFL); /* the next one ends the program at once */
  signal(SIGTERM, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  errno = saved;
}

static void on_nudge(int number)
{
  (void)number; /* it only interrupts a system call */
}

/* Signals reach main only, and only while it waits, until the first one has come. */
static void catch_signals(struct sqcq_engine *engine, sigset_t *open_mask)
{
  static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction stop = {.sa_handler = on_signal};
  struct sigaction nudge = {.sa_handler = on_nudge};
  struct sigaction old;
  sigset_t blocked;

  handler_engine = engine;
  signal(SIGPIPE, SIG_IGN); /* a write says -EPIPE */
  sigaction(SIGUSR1, &nudge, NULL);
  sigemptyset(&blocked);
  for (unsigned i = 0; i < 3; i++) {
    /* What was ignored when we were started (nohup, a background job) stays so. */
    if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
      continue;
    sigaction(stops[i], &stop, NULL);
    sigaddset(&blocked, stops[i]);
  }
  pthread_sigmask(SIG_BLOCK, &blocked, open_mask);
}

static void thread_ends(struct ingest *in)
{
  atomic_fetch_sub(&in->threads_left, 1);
  ingest_notify(in);
}

static void *io_main(void *argument)
{
  struct thread *self = argument;

  atomic_store(&self->in->engine_result, sqcq_engine_run(self->in->engine));
  thread_ends(self->in);
  return NULL;
}

static void *producer_main(void *argument)
{
  struct thread *self = argument;

  walk_run(self->in, self->number);
  atomic_fetch_sub(&self->in->producers_left, 1);
  thread_ends(self->in);
  return NULL;
}

static void *consumer_main(void *argument)
{
  struct thread *self = argument;

  consume_run(self->in, self->number);
  thread_ends(self->in);
  return NULL;
}

static void start(struct thread *thread, struct ingest *in, void *(*body)(void *), unsigned number)
{
  thread->in = in;
  thread->number = number;
  int error = pthread_create(&thread->id, NULL, body, thread);
  if (error != 0) {
    fprintf(stderr, "sqcq-ingest: cannot start a thread: %s\n", strerror(error));
    exit(EXIT_TROUBLE); /* the others end with the process */
  }
}

static unsigned start_all(struct ingest *in, struct thread *threads)
{
  unsigned count = 0;

  atomic_store(&in->engine_result, 1);
  atomic_store(&in->producers_left, in->options->producers);
  atomic_store(&in->threads_left, 1 + in->options->producers + in->options->consumers);
  start(&threads[count++], in, io_main, 0);
  for (unsigned i = 0; i < in->options->consumers; i++)
    start(&threads[count++], in, consumer_main, i);
  for (unsigned i = 0; i < in->options->producers; i++)
    start(&threads[count++], in, producer_main, i);
  return count;
}

/* An engine that cannot go on: what its consumers wait for will never come. */
static void check_engine(const struct ingest *in)
{
  int result = atomic_load(&in->engine_result);

  if (result >= 0)
    return;
  fprintf(stderr, "sqcq-ingest: the engine cannot go on: %s\n", sqcq_strerror(result));
  _exit(EXIT_TROUBLE);
}

/* Producers that wait for slots or directories find out that there is no more to do. */
static void halt(struct ingest *in)
{
  slots_stop(&in->slots);
  walk_stop(in->walk);
}

/* Sleep until something has changed, for nanoseconds at most (-1: for ever). The one place where
 * the signals are let in. */
static void sleep_until(struct ingest *in, int64_t ns, const sigset_t *open_mask)
{
  struct timespec limit = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  struct pollfd event = {.fd = in->event, .events = POLLIN};
  uint64_t count;

  if (ppoll(&event, 1, ns < 0 ? NULL : &limit, open_mask) > 0)
    (void)!read(in->event, &count, sizeof count);
}

/* Wait until all threads have ended. */
static void supervise(struct ingest *in, const struct thread *threads, unsigned thread_count,
                      const sigset_t *open_mask)
{
  struct progress progress;
  bool stopped = false;
  int64_t halted = 0; /* when */

  progress_init(&progress, in->options);
  while (atomic_load(&in->threads_left) > 0) {
    int64_t pause = progress_draw(&progress, in);

    check_engine(in);
    if (halted == 0 && (handler_signal != 0 || atomic_load(&in->output.error) != 0)) {
      halted = ingest_now();
      halt(in);
      pthread_sigmask(SIG_SETMASK, open_mask, NULL);
    }
    if (halted == 0 && !stopped && atomic_load(&in->producers_left) == 0 &&
        slots_idle(&in->slots)) {
      stopped = true;
      (void)sqcq_engine_stop(in->engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
    }
    if (halted != 0) {
      if (handler_signal != 0 && ingest_now() - halted > ABANDON_NS)
        atomic_store(&in->output.abandoned, true);
      for (unsigned i = 0; atomic_load(&in->output.abandoned) && i < thread_count; i++)
        pthread_kill(threads[i].id, SIGUSR1);
      if (pause < 0 || pause > NUDGE_NS)
        pause = NUDGE_NS;
    }
    sleep_until(in, pause, open_mask);
  }
  progress_end(&progress);
}

/* What the program exits with. */
static int verdict(const struct ingest *in)
{
  struct totals totals;
  int error = atomic_load(&in->output.error);

  if (error != 0)
    fprintf(stderr, "sqcq-ingest: cannot write the output: %s\n", strerror(error));
  if (handler_signal != 0 && atomic_load(&in->output.abandoned))
    fputs("sqcq-ingest: lines were dropped: nobody reads the output\n", stderr);
  if (handler_signal != 0)
    return 128 + (int)handler_signal;
  totals_get(&totals, in);
  return error != 0 || totals.errors > 0 ? EXIT_TROUBLE : EXIT_GOOD;
}

static int run(struct ingest *in)
{
  static struct thread threads[1 + PRODUCERS_MAX + CONSUMERS_MAX];
  int64_t began = ingest_now();
  sigset_t open_mask;

  for (size_t i = in->options->path_count; i > 0; i--) {
    if (walk_argument(in, in->options->paths[i - 1]) != 0)
      return EXIT_TROUBLE;
  }
  catch_signals(in->engine, &open_mask);
  unsigned count = start_all(in, threads);
  supervise(in, threads, count, &open_mask);
  for (unsigned i = 0; i < count; i++)
    pthread_join(threads[i].id, NULL);
  check_engine(in);
  summary_print(in, ingest_now() - began, (int)handler_signal);
  return verdict(in);
}

/* --features: one turn, so that what is found then is known too. */
static int show_features(struct ingest *in)
{
  int error = sqcq_engine_poll(in->engine);

  if (error >= 0) {
    (void)sqcq_engine_stop(in->engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
    int status = features_print(in->engine) == 0 ? EXIT_GOOD : EXIT_TROUBLE;
    error = sqcq_engine_run(in->engine);
    if (error == 0)
      return status;
  }
  fprintf(stderr, "sqcq-ingest: the engine cannot go on: %s\n", sqcq_strerror(error));
  return EXIT_TROUBLE;
}

/* A standard descriptor that is closed must not become one of ours, written to by mistake: writing
 * to these placeholders fails, as it would to a closed one. */
static void keep_standard_descriptors(void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0)
      (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int main(int argc, char **argv)
{
  struct options options;

  keep_standard_descriptors();
  int status = options_parse(&options, argc, argv);

  if (status >= 0)
    return status;
  term_init();
  status = setup(&the_ingest, &options);
  if (status != EXIT_GOOD)
    return status;
  status = options.features ? show_features(&the_ingest) : run(&the_ingest);
  teardown(&the_ingest);
  return status;
}
