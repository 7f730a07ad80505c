/*
 * Sizes, limits, engine. Role S.
 *
 *   slots     S = --depth: files open at once
 *   buffers   B = S + what large files have in flight besides their first block
 *   lanes     each has room for B requests, channels for B completions: whoever has a buffer
 *             for a read finds room for its request, save for moments
 *   files     2 S: those removed and not closed yet still count
 */
#include "setup.h"

#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* What one large file has in flight: enough to keep the disk or the copying busy, little enough to
 * stay in the processor's cache until it is hashed. */
#define WINDOW_BYTES (1u << 20)
/* Descriptors for all but files and directories. */
#define OTHER_DESCRIPTORS 64u
#define OPEN_DIRS_MAX 512u
#define OPEN_DIRS_MIN 16u

static int trouble(const char *what, int error)
{
  fprintf(stderr, "sqcq-ingest: %s: %s\n", what, sqcq_strerror(error));
  return EXIT_TROUBLE;
}

/* Descriptors we may have: the soft limit is raised to the hard one. */
static uint64_t descriptor_limit(void)
{
  struct rlimit limit;

  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
      limit = raised;
  }
  return limit.rlim_cur;
}

/* Share the descriptors out: files first come down to what there is. */
static int share_descriptors(uint32_t *slots, unsigned *open_dirs)
{
  uint64_t limit = descriptor_limit();
  uint64_t least = OTHER_DESCRIPTORS + OPEN_DIRS_MIN + 2;

  if (limit < least) {
    fprintf(stderr, "sqcq-ingest: %llu file descriptors are allowed (ulimit -n), %llu are needed\n",
            (unsigned long long)limit, (unsigned long long)least);
    return EXIT_TROUBLE;
  }
  uint64_t left = limit - OTHER_DESCRIPTORS;
  uint64_t dirs = left / 4 > OPEN_DIRS_MAX ? OPEN_DIRS_MAX : left / 4;
  if (dirs < OPEN_DIRS_MIN)
    dirs = OPEN_DIRS_MIN;
  uint64_t files = (left - dirs) / 2;
  if (*slots > files)
    *slots = (uint32_t)files;
  *open_dirs = (unsigned)dirs;
  return EXIT_GOOD;
}

static uint32_t power_of_two(uint32_t least)
{
  uint32_t n = 1;

  while (n < least)
    n *= 2;
  return n;
}

static int create_engine(struct ingest *in, uint32_t slots)
{
  const struct options *options = in->options;
  struct sqcq_engine_config config;
  struct sqcq_explanation why;

  sqcq_engine_config_init(&config);
  config.depth = power_of_two(slots > options->consumers ? slots : options->consumers);
  config.requests_max = in->buffers * options->consumers;
  config.channels_max = options->consumers;
  config.lane_slots = power_of_two(in->buffers + 1);
  config.files_max = 2 * slots;
  config.pools_max = 1;
  config.buffers_max = in->buffers;
  int error = sqcq_engine_create(&in->engine, &config, &why);
  if (error == 0)
    return EXIT_GOOD;
  fprintf(stderr, "sqcq-ingest: no engine: %s\n", why.text);
  return why.reason == SQCQ_REASON_NO_IO_URING || why.reason == SQCQ_REASON_SYSCTL ||
                 why.reason == SQCQ_REASON_SECCOMP
             ? EXIT_NO_IO_URING
             : EXIT_TROUBLE;
}

static int create_parts(struct ingest *in, uint32_t slots)
{
  struct sqcq_pool_config pool = {
      .size = sizeof pool,
      .flags = in->options->direct ? SQCQ_POOL_FIXED : 0, /* cached reads gain nothing by it */
      .count = in->buffers,
      .align = DIRECT_ALIGN,
      .buffer_size = in->options->block_bytes,
  };
  struct sqcq_channel_config channel = {.size = sizeof channel, .capacity = in->buffers};
  int error = sqcq_pool_create(in->engine, &pool, &in->pool);

  if (error != 0)
    return trouble("cannot make the buffers", error);
  for (unsigned i = 0; i < in->options->consumers; i++) {
    error = sqcq_channel_create(in->engine, &channel, &in->channels[i]);
    if (error != 0)
      return trouble("cannot make a channel", error);
  }
  error = slots_init(&in->slots, slots, in->engine, in->pool);
  return error == 0 ? EXIT_GOOD : trouble("cannot set up", error);
}

int setup(struct ingest *in, const struct options *options)
{
  uint32_t slots = options->depth;
  unsigned open_dirs;
  int status = share_descriptors(&slots, &open_dirs);

  if (status != EXIT_GOOD)
    return status;
  in->options = options;
  in->window_max = WINDOW_BYTES / options->block_bytes;
  if (in->window_max < 2)
    in->window_max = 2;
  if (in->window_max > WINDOW_MAX)
    in->window_max = WINDOW_MAX;
  in->buffers = slots + options->consumers * 4 * (in->window_max - 1);
  tree_init(&in->tree, open_dirs, options->follow);
  output_init(&in->output);
  in->walk = calloc(1, sizeof *in->walk);
  if (in->walk == NULL)
    return trouble("cannot set up", -ENOMEM);
  walk_init(in->walk);
  in->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (in->event < 0)
    return trouble("eventfd", -errno);
  status = create_engine(in, slots);
  return status == EXIT_GOOD ? create_parts(in, slots) : status;
}

void teardown(struct ingest *in)
{
  struct sqcq_held held;

  walk_fini(in->walk, &in->tree);
  free(in->walk);
  slots_fini(&in->slots, in->engine);
  close(in->event);
  int error = sqcq_engine_destroy(in->engine, &held);
  if (error != 0)
    fprintf(stderr, "sqcq-ingest: engine not released: %u in flight, %u unread, %u buffers\n",
            held.inflight, held.unread, held.buffers);
}
