/*
 * Files are taken out while another thread turns the engine, and while others ask for reads of
 * them: each accepted one has exactly one completion, and the descriptors are closed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <sched.h>
#include <signal.h>

/* ------------------------------------------------------------------------- */
/* With an I/O thread that sleeps                                            */
/* ------------------------------------------------------------------------- */

static void end_with_thread(struct rig *r, struct io_thread *io)
{
  assert_ok(sqcq_engine_stop(r->engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  io_thread_join(io);
  rig_read_rest(r, r->channel);
  rig_destroy(r);
}

static void removed_file_is_closed_though_nothing_else_happens(void **state)
{
  struct rig r;
  struct io_thread io;
  sqcq_file file;
  int ends[2];

  rig_make(&r);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(r.engine, ends[0], &file));
  close(ends[0]);
  io_thread_start(&io, r.engine);
  rig_request_stream(&r, r.channel, file, 1);
  assert_soon(rig_stats(&r).inflight == 1);
  assert_ok(sqcq_file_remove(r.engine, file, SQCQ_REMOVE_CANCEL));
  assert_soon(write(ends[1], "x", 1) == -1 && errno == EPIPE);
  close(ends[1]);
  end_with_thread(&r, &io);
}

/* More than are closed in one turn. */
static void files_removed_all_at_once_are_closed_though_nothing_else_happens(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct rig r;
  struct io_thread io;
  sqcq_file files[127];
  uint32_t before;

  config.files_max = 128;
  rig_make_with(&r, &config, RIG_CAPACITY);
  before = fds_count();
  for (int i = 0; i < 127; i++)
    assert_ok(sqcq_file_add(r.engine, r.fd, &files[i]));
  for (int i = 0; i < 127; i++)
    assert_ok(sqcq_file_remove(r.engine, files[i], SQCQ_REMOVE_DEFAULT));
  io_thread_start(&io, r.engine);
  assert_soon(rig_stats(&r).files_retired == 127 && fds_count() == before);
  end_with_thread(&r, &io);
}

/* The number of a descriptor that the ring has closed is anybody's next one. What orders the two is
 * the kernel alone, all else here is relaxed, and no checker may take them for the same. */
struct heirs {
  struct rig *rig;
  _Atomic uint64_t file;
  _Atomic bool closed;
  _Atomic int fd;
};

static void *open_file(void *argument)
{
  struct heirs *race = argument;
  sqcq_file file = {0};

  (void)!sqcq_file_open(race->rig->engine, AT_FDCWD, "/proc/self/exe", 0, &file);
  atomic_store_explicit(&race->file, file.id, memory_order_relaxed);
  return NULL;
}

static void *open_and_close_another(void *argument)
{
  struct heirs *race = argument;

  while (!atomic_load_explicit(&race->closed, memory_order_relaxed))
    sched_yield();
  int fd = openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  atomic_store_explicit(&race->fd, fd, memory_order_relaxed);
  close(fd);
  return NULL;
}

/* Whether the other thread's descriptor had the number of the file that was removed. */
static bool inherit(struct rig *rig)
{
  struct heirs race = {.rig = rig};
  pthread_t threads[2];

  int number = openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(number >= 0);
  close(number);
  uint64_t retired = rig_stats(rig).files_retired;
  assert_int_equal(pthread_create(&threads[1], NULL, open_and_close_another, &race), 0);
  assert_int_equal(pthread_create(&threads[0], NULL, open_file, &race), 0);
  assert_soon(atomic_load_explicit(&race.file, memory_order_relaxed) != 0);
  sqcq_file file = {atomic_load_explicit(&race.file, memory_order_relaxed)};
  assert_ok(sqcq_file_remove(rig->engine, file, SQCQ_REMOVE_DEFAULT));
  while (rig_stats(rig).files_retired == retired)
    assert_true(sqcq_engine_wait(rig->engine, MS) >= 0);
  atomic_store_explicit(&race.closed, true, memory_order_relaxed);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  return atomic_load_explicit(&race.fd, memory_order_relaxed) == number;
}

static void descriptor_closed_by_the_ring_is_another_threads_next_one(void **state)
{
  struct rig r;
  int tries = 0;

  rig_make(&r);
  /* Mostly at once; not where the close is the kernel's worker's, and has just been told of. */
  while (!inherit(&r))
    assert_true(++tries < 200);
  rig_prove(&r);
  rig_end(&r);
}

/* ------------------------------------------------------------------------- */
/* Races                                                                     */
/* ------------------------------------------------------------------------- */

struct racer {
  struct rig *rig;
  sqcq_file file;
  struct verdict *verdict;
  _Atomic uint32_t *accepted;
  _Atomic int *removed;
};

static void *race_requests(void *argument)
{
  struct racer *racer = argument;
  struct sqcq_engine *engine = racer->rig->engine;

  for (uint64_t i = 0;; i++) {
    struct sqcq_read read = {.file = racer->file,
                             .channel = racer->rig->channel,
                             .offset = i % RIG_PAGES * STAMP_PAGE,
                             .length = STAMP_PAGE};

    if (sqcq_buffer_acquire(engine, racer->rig->pool, &read.buffer, 1) != 1) {
      sched_yield();
      continue;
    }
    int error = sqcq_request(engine, &read);
    if (error == 0) {
      atomic_fetch_add(racer->accepted, 1);
      continue;
    }
    verdict_check(racer->verdict, sqcq_buffer_release(engine, &read.buffer, 1) == 1);
    if (error == -EBADF)
      return NULL;
    verdict_check(racer->verdict, error == -EXFULL || error == -EAGAIN);
    sched_yield();
  }
}

static void *race_removal(void *argument)
{
  struct racer *racer = argument;
  int error = sqcq_file_remove(racer->rig->engine, racer->file, SQCQ_REMOVE_CANCEL);

  verdict_check(racer->verdict, error == 0 || error == -EBADF);
  if (error == 0)
    atomic_fetch_add(racer->removed, 1);
  return NULL;
}

/* Requests race with two removers: every accepted one is answered, and one remover wins. */
static void requests_that_race_with_removal_are_answered_once(void **state)
{
  struct verdict verdict = {0};
  struct io_thread io;
  struct rig r;

  rig_make(&r);
  io_thread_start(&io, r.engine);
  for (int round = 0; round < (SANITIZED ? 40 : 200); round++) {
    _Atomic uint32_t accepted = 0;
    _Atomic int removed = 0;
    struct racer racer = {&r, {0}, &verdict, &accepted, &removed};
    struct sqcq_completion completions[8];
    pthread_t threads[4];
    uint32_t taken = 0;

    assert_ok(sqcq_file_add(r.engine, r.fd, &racer.file));
    for (int i = 0; i < 2; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, race_requests, &racer), 0);
    /* Some rounds let reads flow first; the others remove at once. */
    while (round % 2 == 0 && taken < 20) {
      int n = sqcq_channel_wait(r.engine, r.channel, completions, 8, 1, SQCQ_FOREVER);

      assert_in_range(n, 1, 8);
      for (int i = 0; i < n; i++) {
        rig_check_page(&completions[i]);
        rig_release(&r, completions[i].buffer);
      }
      taken += (uint32_t)n;
    }
    for (int i = 2; i < 4; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, race_removal, &racer), 0);
    for (int i = 0; i < 4; i++)
      assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_verdict(&verdict);
    assert_int_equal(removed, 1);
    while (taken < accepted) {
      int n = sqcq_channel_wait(r.engine, r.channel, completions, 8, 1, SQCQ_FOREVER);

      assert_in_range(n, 1, 8);
      for (int i = 0; i < n; i++) {
        if (completions[i].result < 0) {
          assert_int_equal(completions[i].result, -ECANCELED);
          assert_true((completions[i].flags & SQCQ_COMPLETION_FILE_REMOVED) != 0);
        } else {
          rig_check_page(&completions[i]);
        }
        rig_release(&r, completions[i].buffer);
      }
      taken += (uint32_t)n;
    }
    assert_int_equal(taken, accepted);
  }
  end_with_thread(&r, &io);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(removed_file_is_closed_though_nothing_else_happens),
      cmocka_unit_test(files_removed_all_at_once_are_closed_though_nothing_else_happens),
      cmocka_unit_test(descriptor_closed_by_the_ring_is_another_threads_next_one),
      cmocka_unit_test(requests_that_race_with_removal_are_answered_once),
  };

  signal(SIGPIPE, SIG_IGN);
  require_io_uring();
  return cmocka_run_group_tests_name("files_remove_threads", tests, NULL, NULL);
}
