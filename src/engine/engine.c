/*
 * An engine is made and taken down. Room: S.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Engines of one process have different tags, until 4095 have been made. */
#define GUARD_BYTES 4096u /* or the page that it is a part of */

static _Atomic uint32_t last_tag;

/* Bytes the kernel charges for a ring: SQEs, CQEs, the index array and the heads. */
static uint64_t ring_bytes(const struct sqcq__config *config)
{
  return (uint64_t)config->sq_entries * (64 + 4) + (uint64_t)config->cq_entries * 16 + 4096;
}

static void say(struct sqcq_explanation *why, enum sqcq_reason reason, const char *text)
{
  why->reason = reason;
  (void)snprintf(why->text, sizeof(why->text), "%s", text);
}

/* What the kernel means by it, which is not always what sqcq_strerror() says. Not strerror(), which need not
 * be thread-safe. */
static const char *kernel_text(int error)
{
  const char *text = strerrordesc_np(-error);

  return text == NULL ? "unknown error" : text;
}

/* kernel.io_uring_disabled, or -1 where there is no such thing. */
static int sysctl_disabled(void)
{
  FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
  char text[16];

  if (file == NULL)
    return -1;
  bool there = fgets(text, sizeof(text), file) != NULL;
  (void)fclose(file);
  return there ? (int)strtol(text, NULL, 10) : -1;
}

static void explain_memory(struct sqcq_explanation *why, const struct sqcq__config *config)
{
  struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  why->needed = ring_bytes(config);
  why->limit = limit.rlim_cur;
  if (limit.rlim_cur >= why->needed * 4) { /* all rings of the user share the limit */
    say(why, SQCQ_REASON_MEMORY, "io_uring_setup: out of memory");
    return;
  }
  why->reason = SQCQ_REASON_MEMLOCK;
  (void)snprintf(why->text, sizeof(why->text),
                 "io_uring_setup: RLIMIT_MEMLOCK is %llu bytes and this kernel charges the ring, "
                 "about %llu bytes, to it; raise it (ulimit -l) or take a smaller depth",
                 (unsigned long long)why->limit, (unsigned long long)why->needed);
}

static int explain(struct sqcq_explanation *why, const struct sqcq__config *config, int error)
{
  uint32_t modes = config->user.flags & (SQCQ_ENGINE_SQPOLL | SQCQ_ENGINE_IOPOLL);

  *why = (struct sqcq_explanation){.error = error};
  if (error == -ENOSYS) {
    say(why, SQCQ_REASON_NO_IO_URING,
        sysctl_disabled() >= 0
            ? "io_uring_setup: not there, though this kernel has it: a seccomp filter hides it"
            : "io_uring_setup: this kernel has no io_uring, or a seccomp filter hides it");
  } else if (error == -EPERM && sysctl_disabled() > 0) {
    why->limit = (uint64_t)sysctl_disabled();
    say(why, SQCQ_REASON_SYSCTL,
        "io_uring_setup: forbidden by the sysctl kernel.io_uring_disabled (1: to all but one "
        "group and root, 2: to all)");
  } else if (error == -EPERM && modes == SQCQ_ENGINE_SQPOLL) {
    say(why, SQCQ_REASON_MODE,
        "SQPOLL: this kernel (before 5.13) wants privileges for it, or io_uring is forbidden");
  } else if (error == -EPERM || error == -EACCES) {
    say(why, SQCQ_REASON_SECCOMP,
        "io_uring_setup: forbidden by a seccomp filter, as container runtimes have one, or by a "
        "security module");
  } else if (error == -ENOMEM) {
    explain_memory(why, config);
  } else if (error == -EMFILE || error == -ENFILE) {
    say(why, SQCQ_REASON_DESCRIPTORS, "no file descriptor left for the ring or its eventfd");
  } else if (error == -EOPNOTSUPP) {
    say(why, SQCQ_REASON_MODE,
        "SQPOLL: this kernel (before 5.11) reads registered files only in this mode");
  } else if (error == -EINVAL && modes != 0) {
    why->error = error = -EOPNOTSUPP;
    say(why, SQCQ_REASON_MODE, "this kernel refuses SQPOLL (its CPU?) or IOPOLL");
  } else {
    why->reason = SQCQ_REASON_OTHER;
    (void)snprintf(why->text, sizeof(why->text), "io_uring_setup: %s", kernel_text(error));
  }
  return error;
}

/* The page that tells a forked child from its parent. 0 or -ENOMEM; *refused: 0, or why it cannot. */
static int make_guard(struct sqcq_engine *engine, int *refused)
{
  uint32_t *page =
      mmap(NULL, GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (page == MAP_FAILED)
    return -ENOMEM;
  *refused = madvise(page, GUARD_BYTES, MADV_WIPEONFORK) < 0 ? -errno : 0;
  *page = 1;
  engine->here = page;
  return 0;
}

static void free_parts(struct sqcq_engine *engine)
{
  if (engine->here != NULL)
    (void)munmap((void *)(uintptr_t)engine->here, GUARD_BYTES);
  sqcq__ring_destroy(engine->ring); /* first: the kernel lets go of memory and descriptors */
  sqcq__iothread_fini(&engine->iothread);
  sqcq__sleeper_fini(&engine->sleeper);
  sqcq__files_fini(&engine->files);
  sqcq__buffers_fini(&engine->buffers);
  sqcq__lanes_fini(&engine->lanes);
  sqcq__own_fini(&engine->own);
  sqcq__mem_free(engine->own_rooms);
  sqcq__requests_fini(&engine->io.requests);
  sqcq__timers_fini(&engine->io.timers);
  sqcq__cancels_fini(&engine->cancels);
  sqcq__router_fini(&engine->io.router);
  sqcq__relay_fini(&engine->relay);
  sqcq__rooms_fini(&engine->rooms);
  for (uint32_t i = 0; engine->channels != NULL && i < engine->config.user.channels_max; i++)
    sqcq__channel_fini(&engine->channels[i]);
  sqcq__mem_free(engine->io.iovecs);
  sqcq__mem_free(engine->channels);
  sqcq__mem_free(engine->histograms);
  sqcq__mem_free(engine);
}

static int make_tables(struct sqcq_engine *engine)
{
  const struct sqcq_engine_config *user = &engine->config.user;
  bool direct_only = (user->flags & SQCQ_ENGINE_IOPOLL) != 0;

  engine->channels = sqcq__mem_new(user->channels_max, sizeof(*engine->channels));
  if (engine->channels == NULL)
    return -ENOMEM;
  if ((user->flags & SQCQ_ENGINE_HISTOGRAMS) != 0) {
    engine->histograms = sqcq__mem_new(SQCQ__STAGES, sizeof(*engine->histograms));
    if (engine->histograms == NULL)
      return -ENOMEM;
  }
  for (uint32_t i = 0; i < user->channels_max; i++)
    sqcq__store_relaxed(&engine->channels[i].credit.word, /* relaxed: nobody else is here yet */
                        sqcq__word(0, SQCQ__CREDIT_CLOSED | SQCQ__CREDIT_FREE));
  int error = sqcq__lanes_init(&engine->lanes, user->lanes_shared, user->lane_slots);
  if (error == 0)
    error = sqcq__own_init(&engine->own, user->lanes_own, user->lane_slots, engine->tag);
  if (error == 0 && user->lanes_own > 0) {
    engine->own_rooms = sqcq__mem_new(user->lanes_own, sizeof(*engine->own_rooms));
    error = engine->own_rooms == NULL ? -ENOMEM : 0;
  }
  if (error == 0)
    error = sqcq__rooms_init(&engine->rooms, user->notices_max);
  if (error == 0)
    error = sqcq__files_init(&engine->files, user->files_max, engine->tag, direct_only);
  if (error == 0)
    error = sqcq__buffers_init(&engine->buffers, user->buffers_max, user->pools_max, engine->tag);
  engine->buffers.rooms = &engine->rooms;
  if (error == 0)
    error = sqcq__requests_init(&engine->io.requests, user->requests_max, user->channels_max,
                                user->depth);
  if (error == 0 && user->vectors_max > 0) {
    engine->io.iovecs =
        sqcq__mem_new((size_t)user->depth * user->vectors_max, sizeof(*engine->io.iovecs));
    error = engine->io.iovecs == NULL ? -ENOMEM : 0;
  }
  if (error == 0)
    error = sqcq__timers_init(&engine->io.timers, engine->io.requests.capacity);
  if (error == 0)
    error = sqcq__cancels_init(&engine->cancels, user->cancels_max);
  if (error == 0)
    error = sqcq__relay_init(&engine->relay, engine->channels, user->channels_max);
  if (error == 0)
    error =
        sqcq__router_init(&engine->io.router, &engine->relay, engine->channels, user->channels_max);
  return error;
}

/* The flags of reads that work on this engine. */
static uint32_t read_flags(const struct sqcq_engine *engine)
{
  uint32_t flags = SQCQ_READ_NOWAIT;

  if (engine->config.user.vectors_max > 0)
    flags |= SQCQ_READ_VECTOR;
  if (engine->traits.dontcache_error == 0)
    flags |= SQCQ_READ_DONTCACHE;
  /* A ring that polls takes reads only, and no worker of the kernel polls for it. */
  if ((engine->config.user.flags & SQCQ_ENGINE_IOPOLL) != 0)
    return flags;
  return flags | SQCQ_READ_ASYNC | (engine->traits.fadvise_error == 0 ? SQCQ__READ_ADVICE : 0);
}

static int make_ring(struct sqcq_engine *engine)
{
  const struct sqcq_engine_config *user = &engine->config.user;
  struct sqcq__ring_config config = {
      .sq_entries = engine->config.sq_entries,
      .cq_entries = engine->config.cq_entries,
      .sqpoll = (user->flags & SQCQ_ENGINE_SQPOLL) != 0,
      .iopoll = (user->flags & SQCQ_ENGINE_IOPOLL) != 0,
      .no_defer = (user->flags & SQCQ_ENGINE_NO_DEFER) != 0,
      .sqpoll_idle_ms = user->sqpoll_idle_ms,
      .sqpoll_cpu = user->sqpoll_cpu - 1,
  };
  int error = sqcq__ring_create(&engine->ring, &config, &engine->traits);

  if (error == 0 && config.sqpoll && !engine->traits.unregistered_sqpoll)
    error = -EOPNOTSUPP;
  if (error < 0)
    return error;
  sqcq__features_init(&engine->features, &engine->config, &engine->traits);
  engine->read_flags = read_flags(engine);
  engine->io.wake_multishot = !config.iopoll && !sqcq__is_looped(engine);
  if (engine->io.wake_multishot)
    sqcq__features_set(&engine->features, SQCQ__FEATURE_POLL_MULTISHOT, 0);
  return 0;
}

/* Where an event loop drives the turns: the ring writes to the eventfd by which producers wake the
 * I/O thread. Not where the ring is polled: there nothing comes by itself. */
static int make_event(struct sqcq_engine *engine, struct sqcq_explanation *why)
{
  if (!sqcq__is_looped(engine))
    return 0;
  int error = sqcq__ring_register_eventfd(engine->ring, engine->sleeper.eventfd);
  if (error == 0) {
    sqcq__features_set(&engine->features, SQCQ__FEATURE_EVENTFD, 0);
    return 0;
  }
  if (error == -ENOMEM) {
    *why = (struct sqcq_explanation){.error = error};
    say(why, SQCQ_REASON_MEMORY, "out of memory");
    return error;
  }
  *why = (struct sqcq_explanation){.error = -EOPNOTSUPP, .reason = SQCQ_REASON_MODE};
  (void)snprintf(why->text, sizeof(why->text),
                 "EVENT_LOOP: this kernel does not take the eventfd of the ring: %s",
                 kernel_text(error));
  return -EOPNOTSUPP;
}

/* The kernel's file table, as large as asked for and as RLIMIT_NOFILE lets it be. */
static int make_file_table(struct sqcq_engine *engine)
{
  struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
  bool wanted = (engine->config.user.flags & SQCQ_ENGINE_NO_FIXED_FILES) == 0;
  uint32_t slots = wanted ? engine->config.user.files_fixed : 0;

  (void)getrlimit(RLIMIT_NOFILE, &limit);
  if (slots >= limit.rlim_cur)
    slots = limit.rlim_cur > 0 ? (uint32_t)limit.rlim_cur - 1 : 0;
  /* And one for the tombstone, the last. */
  int error = sqcq__ring_register_files(engine->ring, slots + 1);
  if (wanted)
    sqcq__features_set(&engine->features, SQCQ__FEATURE_FIXED_FILES, error);
  if (error < 0)
    return 0;
  error = sqcq__iothread_bury(engine, slots);
  if (error == -EMFILE || error == -ENFILE)
    return error;
  return slots == 0 ? 0 : sqcq__files_set_slots(&engine->files, slots);
}

int sqcq__engine_create(struct sqcq_engine **out, const struct sqcq__config *config,
                        struct sqcq_explanation *why)
{
  struct sqcq_engine *engine = sqcq__mem_new(1, sizeof(*engine));
  int error = -ENOMEM, unguarded = 0;

  if (engine == NULL) {
    *why = (struct sqcq_explanation){.error = -ENOMEM};
    say(why, SQCQ_REASON_MEMORY, "out of memory");
    return -ENOMEM;
  }
  engine->config = *config;
  engine->tag = sqcq__add_relaxed(&last_tag, 1) % SQCQ__TAG_MASK + 1;
  engine->sleeper.eventfd = -1;
  engine->iothread.tombstone = -1;
  sqcq__store_relaxed(&engine->control.stop_limit,
                      INT64_MAX); /* relaxed: nobody else is here yet */
  sqcq__store_relaxed(&engine->credits_left, config->user.requests_max);
  sqcq__store_relaxed(&engine->depth_left, config->user.depth - config->user.channels_max);
  error = make_tables(engine);
  if (error < 0) {
    *why = (struct sqcq_explanation){.error = error};
    say(why, SQCQ_REASON_MEMORY, "out of memory");
    goto fail;
  }
  error = make_guard(engine, &unguarded);
  if (error == 0)
    error = sqcq__sleeper_init(&engine->sleeper);
  if (error == 0)
    error = sqcq__iothread_init(&engine->iothread);
  if (error == 0)
    error = make_ring(engine);
  if (error == 0)
    error = make_file_table(engine);
  if (error < 0) {
    error = explain(why, config, error);
    goto fail;
  }
  error = make_event(engine, why);
  if (error < 0)
    goto fail;
  sqcq__features_set(&engine->features, SQCQ__FEATURE_FORK_GUARD, unguarded);
  *out = engine;
  return 0;

fail:
  free_parts(engine);
  return error;
}

/* No thread ever turned it: the caller does the last turns, and where one fails, more in the next call. */
static void turn_to_the_end(struct sqcq_engine *engine)
{
  if (sqcq__phase(engine) == SQCQ__PHASE_CREATED) {
    engine->ends_here = true;
    (void)sqcq_engine_stop(engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER);
  }
  if (!engine->ends_here || sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
    return;
  /* What was accepted never reached the kernel, so nothing is waited for. Should the ring refuse to
   * be enabled, it holds nothing: the engine is at its end unless somebody is owed an answer. */
  if (sqcq_engine_run(engine) < 0 && sqcq__phase(engine) == SQCQ__PHASE_CREATED &&
      sqcq__lanes_accepted(&engine->lanes) == 0 && sqcq__own_accepted(&engine->own) == 0 &&
      sqcq__cancels_close(&engine->cancels)) {
    sqcq__store_relaxed(&engine->owner, sqcq__thread_self()); /* relaxed: published by STOPPED */
    sqcq__store_release(&engine->phase, SQCQ__PHASE_STOPPED);
  }
}

int sqcq__engine_destroy(struct sqcq_engine *engine, struct sqcq_held *held)
{
  struct sqcq_held now = {0};

  turn_to_the_end(engine);
  sqcq__iothread_end(engine);
  now.running = sqcq__phase(engine) != SQCQ__PHASE_STOPPED;
  now.inflight = (uint32_t)(sqcq__load_relaxed(&engine->stats.inflight) +
                            sqcq__load_relaxed(&engine->stats.waiting));
  for (uint32_t i = 0; i < engine->config.user.channels_max; i++)
    if (engine->channels[i].ring_size > 0)
      now.unread += sqcq__channel_unread(&engine->channels[i]);
  sqcq__buffers_held(&engine->buffers, &now.buffers, &now.wrapped);
  if (now.running != 0 || now.inflight != 0 || now.unread != 0 || now.buffers != 0 ||
      now.wrapped != 0) {
    if (held != NULL)
      *held = now;
    return -EBUSY;
  }
  free_parts(engine);
  return 0;
}
