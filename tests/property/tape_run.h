/*
 * From a seed to a run.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_RUN_H
#define SQCQ_TESTS_PROPERTY_TAPE_RUN_H

#include "tape_end.h"

#include <fcntl.h>

/* How often each step is, in parts of their sum. */
static const uint8_t tape_weights[TAPE_OPS] = {
    [TAPE_REQUEST] = 100,
    [TAPE_REQUEST_BAD] = 12,
    [TAPE_REQUEST_MANY] = 25,
    [TAPE_REQUEST_VECTOR] = 40,
    [TAPE_REQUEST_ADVICE] = 10,
    [TAPE_CANCEL] = 16,
    [TAPE_ACQUIRE] = 55,
    [TAPE_RELEASE] = 16,
    [TAPE_WRAP] = 8,
    [TAPE_UNWRAP] = 5,
    [TAPE_POOL_CREATE] = 10,
    [TAPE_POOL_DESTROY] = 3,
    [TAPE_FILE_ADD] = 24,
    [TAPE_FILE_OPEN] = 10,
    [TAPE_FILE_REMOVE] = 6,
    [TAPE_CHANNEL_CREATE] = 20,
    [TAPE_CHANNEL_DESTROY] = 6,
    [TAPE_CHANNEL_POLL] = 90,
    [TAPE_CHANNEL_WAIT] = 16,
    [TAPE_POLL] = 130,
    [TAPE_WAIT] = 20,
    [TAPE_STOP] = 1,
    [TAPE_DESTROY] = 1,
    [TAPE_PIPE_WRITE] = 20,
    [TAPE_SILENCE] = 6,
    [TAPE_COMPLETE] = 14,
    [TAPE_HOLD] = 6,
    [TAPE_FAIL] = 4,
    [TAPE_MOOD] = 6,
    [TAPE_TIME] = 12,
    [TAPE_CPU] = 8,
    [TAPE_LANE_OPEN] = 14,
    [TAPE_LANE_CLOSE] = 4,
    [TAPE_LANE_REQUEST] = 50,
    [TAPE_LANE_REQUEST_MANY] = 15,
    [TAPE_ROOM_WAIT] = 12,
    [TAPE_NOTIFY] = 35,
    [TAPE_UNNOTIFY] = 8,
    [TAPE_ENGINE_ARM] = 30,
    [TAPE_CHANNEL_FD] = 10,
    [TAPE_CHANNEL_ARM] = 30,
    [TAPE_RUN] = 4,
    [TAPE_GIVE_UP] = 3,
    [TAPE_LET_GO] = 6,
    [TAPE_LOOK] = 10,
    [TAPE_FORK] = 1,
};

/* What most tapes begin with, so that there is something to read, and to read it into. */
static const uint8_t tape_start[] = {TAPE_CHANNEL_CREATE, TAPE_POOL_CREATE, TAPE_FILE_ADD,
                                     TAPE_FILE_OPEN,      TAPE_ACQUIRE,     TAPE_LANE_OPEN,
                                     TAPE_CHANNEL_CREATE, TAPE_WRAP};

static inline void tape_draw_step(struct rng *rng, struct tape_step *step)
{
  uint32_t sum = 0;

  for (uint32_t op = 0; op < TAPE_OPS; op++)
    sum += tape_weights[op];
  uint32_t at = (uint32_t)rng_below(rng, sum);
  for (step->op = 0; at >= tape_weights[step->op]; step->op++)
    at -= tape_weights[step->op];
  for (int i = 0; i < 4; i++)
    step->r[i] = (uint32_t)(rng_next(rng) >> 32);
}

static inline uint32_t tape_make(uint64_t seed, struct tape_step *steps)
{
  struct rng rng;

  rng_seed(&rng, seed ^ UINT64_C(0x5bd1e995a4c3f127));
  uint32_t count = (uint32_t)rng_between(&rng, 20, TAPE_STEPS_MAX);
  uint32_t start = rng_percent(&rng, 75) ? sizeof(tape_start) : 0;
  for (uint32_t i = 0; i < count; i++) {
    tape_draw_step(&rng, &steps[i]);
    if (i < start)
      steps[i].op = tape_start[i];
  }
  return count;
}

/* ------------------------------------------------------------------------- */
/* Files and engine                                                          */
/* ------------------------------------------------------------------------- */

/* What the tapes read; made once, opened anew for each. */
static inline void tape_make_files(const struct temp_dir *dir)
{
  close(temp_file_stamped(dir, "file0", 1, 1));
  close(temp_file_stamped(dir, "file1", 2, 2));
  close(temp_file(dir, "file2", NULL, 0));
  close(temp_file(dir, "file3", NULL, 3 << 20)); /* too large for a quick close */
}

static inline void tape_open_sources(struct tape *tape)
{
  static const uint64_t sizes[] = {STAMP_PAGE, 2 * STAMP_PAGE, 0, 3 << 20};
  char path[PATH_MAX + 16];

  for (uint32_t i = 0; i < TAPE_SOURCES; i++) {
    struct tape_source *source = &tape->sources[i];
    int ends[2];

    *source = (struct tape_source){.writer = -1, .tag = i + 1};
    if (i >= TAPE_SOURCES - TAPE_PIPES) {
      tape_check(tape, pipe2(ends, O_CLOEXEC) == 0, "pipe");
      source->fd = ends[0];
      source->writer = ends[1];
      source->pipe = source->stamped = true;
      continue;
    }
    snprintf(path, sizeof(path), "%s/file%u", tape->dir->path, i);
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    source->size = sizes[i];
    source->stamped = i < 2;
    tape_check(tape, source->fd >= 0, "open");
  }
}

static inline void tape_draw_kernel(struct tape *tape, struct rng *rng)
{
  struct sim_config *kernel = &tape->kernel;

  tape->shared->kernel = (uint32_t)rng_below(rng, SIM_KERNELS);
  tape->shared->tapes[tape->shared->kernel]++;
  tape->version = sim_kernel_version(tape->shared->kernel);
  *kernel = sim_kernel(tape->version);
  kernel->seed = tape->seed;
  kernel->buffers_max = 64; /* more than there ever are: its table is memory */
  tape->unruly = rng_percent(rng, 70);
  if (tape->unruly)
    sim_unruly(kernel, tape->seed);
  else
    kernel->cancel = (enum sim_cancel)rng_below(rng, 4);
  tape->in_order = kernel->in_order;
  if (rng_percent(rng, 15))
    kernel->error[SIM_CALL_REGISTER_FILES] = -EINVAL;
  if (rng_percent(rng, 30))
    kernel->error[SIM_CALL_REGISTER_BUFFERS] = -ENOMEM;
  if (rng_percent(rng, 10))
    kernel->error[SIM_CALL_RING_FD] = -EINVAL;
}

static inline void tape_draw_config(struct tape *tape, struct rng *rng)
{
  struct sqcq_engine_config *config = &tape->config;

  sqcq_engine_config_init(config);
  config->depth = 1u << rng_below(rng, 4);
  config->requests_max = (uint32_t)rng_between(rng, 1, 16);
  config->channels_max = (uint32_t)rng_between(rng, 1, config->depth < 3 ? config->depth : 3);
  config->lanes_shared = (uint32_t)rng_between(rng, 1, 2);
  config->lane_slots = 1u << rng_below(rng, 3);
  config->lanes_own = rng_percent(rng, 12) ? 0 : (uint32_t)rng_between(rng, 1, TAPE_LANES_OWN);
  config->notices_max = TAPE_NOTICES - 1;
  config->files_max = (uint32_t)rng_between(rng, 1, 4);
  config->files_fixed = (uint32_t)rng_between(rng, 1, 4);
  config->pools_max = (uint32_t)rng_between(rng, 1, 3);
  config->buffers_max = (uint32_t)rng_between(rng, 2, 20);
  config->cancels_max = (uint32_t)rng_between(rng, 1, 4);
  config->idle = (uint32_t)rng_below(rng, 3);
  config->vectors_max = rng_percent(rng, 8) ? 0 : (uint32_t)rng_between(rng, 1, TAPE_VECTOR);
  config->io_workers_bounded = rng_percent(rng, 50) ? 0 : 4;
  config->spin_ns = (uint32_t)rng_between(rng, 1, 3000);
  config->consumer_spin_ns = rng_percent(rng, 50) ? 0 : (uint32_t)rng_between(rng, 1, 3000);
  if (rng_percent(rng, 15))
    config->flags |= SQCQ_ENGINE_NO_FIXED_FILES;
  if (rng_percent(rng, 15))
    config->flags |= SQCQ_ENGINE_NO_DEFER;
  if (rng_percent(rng, 25))
    config->flags |= SQCQ_ENGINE_HISTOGRAMS;
  if (rng_percent(rng, 40))
    config->flags |= SQCQ_ENGINE_EVENT_LOOP;
  if (rng_percent(rng, 15) && strcmp(tape->version, "5.10") != 0)
    config->flags |= SQCQ_ENGINE_SQPOLL;
  else if (rng_percent(rng, 4))
    config->flags |= SQCQ_ENGINE_IOPOLL;
}

static inline void tape_set_up(struct tape *tape, struct rng *rng)
{
  struct sqcq_explanation why;

  fds_look(&tape->fds);
  tape_clock_ns = 1000 * TAPE_MS;
  tape_cpu = 0;
  tape_draw_kernel(tape, rng);
  tape_draw_config(tape, rng);
  tape_open_sources(tape);
  sim_configure(&tape->kernel);
  int error = sqcq_engine_create(&tape->engine, &tape->config, &why);
  tape_check(tape, error == 0, "%s", why.text);
  tape->credits_left = tape->config.requests_max;
  tape->depth_left = tape->config.depth - tape->config.channels_max;
  tape->channels_left = tape->config.channels_max;
  tape->stop_limit = INT64_MAX;
  tape->fresh = true;
  tape->io.acted = rng_percent(rng, 30);
  tape->user_data = rng_next(rng);
  tape_say(tape, "kernel %s%s, flags %u, depth %u, requests %u, channels %u, lanes %u and %u of %u",
           tape->version, tape->unruly ? ", unruly" : "", tape->config.flags, tape->config.depth,
           tape->config.requests_max, tape->config.channels_max, tape->config.lanes_shared,
           tape->config.lanes_own, tape->config.lane_slots);
  tape_say(tape, "files %u, fixed %u, pools %u, buffers %u, idle %u", tape->config.files_max,
           tape->config.files_fixed, tape->config.pools_max, tape->config.buffers_max,
           tape->config.idle);
}

static inline void tape_clean_up(struct tape *tape)
{
  const struct sim_counts *counts = sim_counts();

  bool lost = tape->io.lost != 0;

  tape_let_go(tape);
  tape_check(tape, lost || counts->left_inflight == 0, "%u operations left", counts->left_inflight);
  tape_check(tape, counts->left_unread == 0, "%u CQEs left", counts->left_unread);
  tape_check(tape, lost || counts->completed[SIM_READ] == counts->submitted[SIM_READ], "reads");
  for (uint32_t i = 0; i < TAPE_NOTICES; i++)
    if (tape->notices[i].made)
      close(tape->notices[i].eventfd);
  for (uint32_t i = 0; i < TAPE_SOURCES; i++) {
    close(tape->sources[i].fd);
    if (tape->sources[i].writer >= 0)
      close(tape->sources[i].writer);
  }
  tape_check(tape, fds_same(&tape->fds), "descriptors are left open");
}

/* Ends the process where something is wrong. */
static inline void tape_run(struct tape_shared *shared, const struct temp_dir *dir, uint64_t seed,
                            const struct tape_step *steps, uint32_t count, bool verbose)
{
  struct tape tape = {.shared = shared, .dir = dir, .seed = seed, .verbose = verbose};
  struct rng rng;

  rng_seed(&rng, seed);
  shared->seed = seed;
  shared->step = 0;
  tape_set_up(&tape, &rng);
  tape.allocations = tape_alloc_calls();
  for (; shared->step < count && tape.engine != NULL; shared->step++) {
    const struct tape_step *step = &steps[shared->step];

    shared->steps++;
    shared->played[step->op]++;
    if (tape_play(&tape, step)) {
      tape_check_all(&tape);
      tape_check_notices(&tape);
      tape_check_armed(&tape);
      if (step->op == TAPE_POOL_CREATE || step->op == TAPE_CHANNEL_CREATE)
        tape.allocations = tape_alloc_calls();
      tape_check(&tape, tape_alloc_calls() == tape.allocations, "it has allocated");
    }
  }
  if (tape.engine != NULL) {
    tape_to_the_end(&tape, &rng);
    tape_check(&tape, tape_alloc_calls() == tape.allocations, "it has allocated");
    if (tape.pending > 0)
      (void)tape_destroy(&tape);
    tape_give_back(&tape);
    tape_check(&tape, tape_destroy(&tape), "not destroyed");
  }
  tape_clean_up(&tape);
}

#endif
