/*
 * An I/O thread that ends before its work does: nothing is lost, nothing is written afterwards.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <linux/io_uring.h>
#include <sys/mman.h>

#define SILENT 6u  /* reads of a pipe that is empty */
#define STAMPED 5u /* and of the file, behind them */

static struct rig rig;
static int pipes[2];
static sqcq_file silent;
static unsigned char *memory; /* that the silent reads go to */

static void make(uint32_t flags, uint32_t depth)
{
  struct sqcq_engine_config config = rig_config();

  config.flags = flags;
  config.depth = depth;
  config.idle = SQCQ_IDLE_SLEEP;
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  rig_make_with(&rig, &config, RIG_CAPACITY);
  assert_ok(sqcq_file_add(rig.engine, pipes[0], &silent));
  memory =
      mmap(NULL, SILENT * STAMP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(memory != MAP_FAILED);
}

static bool is_bound(void)
{
  return (rig.engine->traits.setup_flags & IORING_SETUP_SINGLE_ISSUER) != 0;
}

static void request(sqcq_file file, uint64_t offset, uint64_t user_data, sqcq_buffer buffer)
{
  struct sqcq_read read = {.file = file,
                           .buffer = buffer,
                           .channel = rig.channel,
                           .offset = offset,
                           .user_data = user_data,
                           .length = STAMP_PAGE};

  assert_ok(sqcq_request(rig.engine, &read));
}

static void request_silent(uint64_t count)
{
  for (uint64_t i = 0; i < count; i++) {
    sqcq_buffer buffer;

    assert_ok(sqcq_buffer_wrap(rig.engine, memory + i * STAMP_PAGE, STAMP_PAGE, &buffer));
    request(silent, SQCQ_OFFSET_CURRENT, i, buffer);
  }
}

static void request_stamped(uint64_t first, uint64_t count)
{
  for (uint64_t i = first; i < first + count; i++) {
    sqcq_buffer buffer;

    assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1), 1);
    request(rig.file, i * STAMP_PAGE, i, buffer);
  }
}

/* A thread that makes some turns and ends. */
static void *make_turns(void *arg)
{
  for (int i = 0; i < *(int *)arg; i++)
    if (sqcq_engine_poll(rig.engine) < 0)
      abort();
  return NULL;
}

static void turns_by_another_thread(int turns)
{
  pthread_t thread;

  assert_int_equal(pthread_create(&thread, NULL, make_turns, &turns), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Take what there is: each of the user_data below `count` at most once, silent ones cancelled. Buffers
 * go back. Returns how many, and their flags together. */
static uint32_t take(uint64_t *seen, uint32_t *flags)
{
  struct sqcq_completion done;
  uint32_t count = 0;
  int n;

  while ((n = sqcq_channel_poll(rig.engine, rig.channel, &done, 1)) == 1) {
    assert_int_equal(*seen >> done.user_data & 1, 0);
    *seen |= UINT64_C(1) << done.user_data;
    *flags |= done.flags;
    if (done.result >= 0) {
      assert_int_equal(done.flags, 0);
      if (done.file.id == rig.file.id)
        assert_true(stamp_matches(done.data, RIG_TAG, done.offset, (size_t)done.result));
    } else {
      assert_int_equal(done.result, -ECANCELED);
    }
    if (done.file.id == silent.id)
      assert_ok(sqcq_buffer_unwrap(rig.engine, done.buffer));
    else
      assert_count(sqcq_buffer_release(rig.engine, &done.buffer, 1), 1);
    count++;
  }
  assert_true(n == 0 || n == -ESHUTDOWN);
  return count;
}

/* All is answered: what is written into the pipe is there for us, to the last byte, so nobody else can
 * have had it, or will. */
static void assert_nobody_reads(void)
{
  char text[SILENT * STAMP_PAGE], back[SILENT * STAMP_PAGE];
  size_t got = 0;

  memset(text, 0x77, sizeof(text));
  assert_int_equal(fcntl(pipes[0], F_SETFL, O_NONBLOCK), 0);
  assert_int_equal(write(pipes[1], text, sizeof(text)), (ssize_t)sizeof(text));
  while (got < sizeof(back)) {
    ssize_t n = read(pipes[0], back + got, sizeof(back) - got);

    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_memory_equal(text, back, sizeof(text));
  for (size_t i = 0; i < SILENT * STAMP_PAGE; i++)
    assert_int_equal(memory[i], 0);
}

static void end(void)
{
  rig_destroy(&rig);
  close(pipes[0]);
  close(pipes[1]);
  (void)munmap(memory, SILENT * STAMP_PAGE);
}

static void destroy_after_its_io_thread_answers_all(void **state)
{
  static const uint32_t modes[] = {0, SQCQ_ENGINE_NO_DEFER, SQCQ_ENGINE_NO_FIXED_FILES};

  for (int i = 0; i < 3; i++) {
    struct sqcq_held held;
    uint64_t seen = 0;
    uint32_t flags = 0;

    make(modes[i], 8);
    request_silent(SILENT);
    turns_by_another_thread(3);
    request_stamped(SILENT, STAMPED); /* these stay in the lanes */
    assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
    assert_int_equal(held.running, 0);
    assert_int_equal(held.inflight, 0);
    assert_int_equal(held.unread, SILENT + STAMPED);
    struct sqcq_read late = {.channel = rig.channel, .file = rig.file, .length = 1};
    assert_error(sqcq_request(rig.engine, &late), -ESHUTDOWN);
    assert_int_equal(take(&seen, &flags), SILENT + STAMPED);
    assert_int_equal(seen, (1u << (SILENT + STAMPED)) - 1);
    assert_int_equal(flags, SQCQ_COMPLETION_STOPPED | SQCQ_COMPLETION_UNSUBMITTED);
    assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN);
    assert_nobody_reads();
    end();
  }
}

/* The ring went with its thread. */
static void next_thread_of_a_bound_ring_answers_all(void **state)
{
  uint64_t seen = 0;
  uint32_t flags = 0;

  make(0, 8);
  request_silent(SILENT);
  request_stamped(SILENT, STAMPED);
  turns_by_another_thread(2);
  if (!is_bound()) {
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    assert_ok(sqcq_engine_run(rig.engine));
  } else {
    assert_error(sqcq_engine_run(rig.engine), -EOWNERDEAD);
    assert_ok(sqcq_engine_run(rig.engine)); /* it is over */
  }
  assert_int_equal(take(&seen, &flags), SILENT + STAMPED);
  assert_true((flags & SQCQ_COMPLETION_STOPPED) != 0);
  assert_nobody_reads();
  end();
}

static void next_thread_of_an_unbound_ring_goes_on(void **state)
{
  uint64_t seen = 0;
  uint32_t flags = 0;

  make(SQCQ_ENGINE_NO_DEFER, 8);
  request_stamped(0, STAMPED);
  turns_by_another_thread(4);
  request_stamped(STAMPED, STAMPED);
  while (take(&seen, &flags) == 0 || seen != (1u << 2 * STAMPED) - 1)
    assert_true(sqcq_engine_wait(rig.engine, MS) >= 0);
  assert_int_equal(flags, 0);
  /* And wakes it: its poll went with the other thread, or did not. */
  request_silent(1);
  assert_int_equal(sqcq_engine_wait(rig.engine, MS), 0);
  assert_int_equal(write(pipes[1], "x", 1), 1);
  while (sqcq_engine_wait(rig.engine, SQCQ_FOREVER) == 0)
    continue;
  struct sqcq_completion done;
  assert_int_equal(sqcq_channel_poll(rig.engine, rig.channel, &done, 1), 1);
  assert_int_equal(done.result, 1);
  assert_ok(sqcq_buffer_unwrap(rig.engine, done.buffer));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig.engine));
  end();
}

/* The descriptor that the ended thread had registered has the number of one of ours. */
static void other_ring_of_the_next_thread_is_left_alone(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct sqcq_engine *other;
  struct sqcq_held held;
  uint64_t seen = 0;
  uint32_t flags = 0;

  assert_ok(sqcq_engine_create(&other, &config, NULL));
  assert_int_equal(sqcq_engine_poll(other), 0);
  make(SQCQ_ENGINE_NO_DEFER, 8); /* the kernel refuses it on others */
  request_silent(1);
  turns_by_another_thread(2);
  /* In two calls: the first finds a producer inside a lane. */
  assert_true(sqcq__lane_claim(&rig.engine->lanes.lanes[0], SQCQ__CLAIM_HELD));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 1);
  assert_int_equal(take(&seen, &flags), 0);
  sqcq__lane_unclaim(&rig.engine->lanes.lanes[0]);
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.running, 0);
  assert_int_equal(take(&seen, &flags), 1);
  end();
  assert_int_equal(sqcq_engine_wait(other, MS), 0);
  assert_ok(sqcq_engine_stop(other, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(other));
  assert_ok(sqcq_engine_destroy(other, NULL));
}

/* After a read of the other's has ended: the kernel goes on saying that there is work for that one. */
static void next_thread_sleeps_while_there_is_nothing_to_do(void **state)
{
  static const uint32_t modes[] = {0, SQCQ_ENGINE_EVENT_LOOP};

  for (int i = 0; i < 2; i++) {
    uint64_t seen = 0;
    uint32_t flags = 0;

    make(SQCQ_ENGINE_NO_DEFER | modes[i], 8);
    request_silent(2);
    turns_by_another_thread(3);
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
    assert_int_equal(write(pipes[1], "abcd", 4), 4);
    while (take(&seen, &flags) == 0)
      assert_true(sqcq_engine_wait(rig.engine, SQCQ_FOREVER) >= 0);
    uint64_t turns = rig_stats(&rig).turns;
    assert_true(sqcq_engine_wait(rig.engine, 50 * MS) >= 0);
    assert_in_range(rig_stats(&rig).turns - turns, 1, 20);
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    assert_ok(sqcq_engine_run(rig.engine));
    (void)take(&seen, &flags);
    assert_int_equal(seen, 3);
    end();
  }
}

static void *run(void *arg)
{
  *(int *)arg = sqcq_engine_run(rig.engine);
  return NULL;
}

static void io_thread_that_lives_is_not_replaced(void **state)
{
  pthread_t thread;
  int result = 1;

  make(SQCQ_ENGINE_NO_DEFER, 8);
  assert_int_equal(pthread_create(&thread, NULL, run, &result), 0);
  while (sqcq__phase(rig.engine) != SQCQ__PHASE_RUNNING)
    sched_yield();
  assert_error(sqcq_engine_poll(rig.engine), -EPERM);
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_ok(result);
  assert_error(sqcq_engine_poll(rig.engine), -ESHUTDOWN); /* it ended after its last turn */
  end();
}

/* A thread that comes later may have the number of one that has ended: it is not taken for it. */
static void thread_with_the_number_of_another_is_not_it(void **state)
{
  make(0, 8);
  request_silent(1);
  turns_by_another_thread(2);
  if (is_bound()) {
    pthread_t thread;
    int result = 1;

    assert_int_equal(pthread_create(&thread, NULL, run, &result), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_error(result, -EOWNERDEAD);
  }
  assert_error(sqcq_engine_destroy(rig.engine, NULL), -EBUSY);
  uint64_t seen = 0;
  uint32_t flags = 0;
  assert_int_equal(take(&seen, &flags), 1);
  end();
}

/* ------------------------------------------------------------------------- */
/* While producers go on                                                     */
/* ------------------------------------------------------------------------- */

#define PRODUCERS 2
#define READS 1500 /* of each, where the engine lives on */

static _Atomic uint32_t accepted;
static _Atomic uint32_t producing;

/* Request until READS are accepted, or the engine stops. */
static void *hammer(void *arg)
{
  for (uint32_t i = 0; i < *(const uint32_t *)arg;) {
    struct sqcq_read read = {.file = rig.file, .channel = rig.channel, .length = STAMP_PAGE};

    if (sqcq_buffer_acquire(rig.engine, rig.pool, &read.buffer, 1) != 1) {
      sched_yield();
      continue;
    }
    int error = sqcq_request(rig.engine, &read);
    if (error == 0) {
      atomic_fetch_add(&accepted, 1);
      i++;
      continue;
    }
    if (sqcq_buffer_release(rig.engine, &read.buffer, 1) != 1)
      abort();
    if (error == -ESHUTDOWN)
      break;
    if (error != -EAGAIN && error != -EXFULL)
      abort();
    sched_yield();
  }
  atomic_fetch_sub(&producing, 1);
  return NULL;
}

static void start_producers(pthread_t *threads, const uint32_t *reads)
{
  atomic_store(&accepted, 0);
  atomic_store(&producing, PRODUCERS);
  for (int i = 0; i < PRODUCERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)reads), 0);
}

/* How many there are now; each has its bytes, or was ended by the stop. */
static uint32_t take_some(void)
{
  struct sqcq_completion done;
  uint32_t count = 0;

  while (sqcq_channel_poll(rig.engine, rig.channel, &done, 1) == 1) {
    assert_true(done.result == STAMP_PAGE ||
                (done.result == -ECANCELED && (done.flags & SQCQ_COMPLETION_STOPPED) != 0));
    assert_count(sqcq_buffer_release(rig.engine, &done.buffer, 1), 1);
    count++;
  }
  return count;
}

static void io_threads_come_and_go_while_producers_go_on(void **state)
{
  static const uint32_t reads = READS;
  pthread_t threads[PRODUCERS];
  uint32_t taken = 0, io_threads = 0;

  make(SQCQ_ENGINE_NO_DEFER, 8);
  start_producers(threads, &reads);
  while (atomic_load(&producing) > 0 || taken < atomic_load(&accepted)) {
    turns_by_another_thread(20);
    io_threads++;
    taken += take_some();
  }
  for (int i = 0; i < PRODUCERS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(taken, PRODUCERS * READS);
  assert_true(io_threads > 10);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(rig.engine));
  end();
}

static void end_of_a_bound_ring_loses_nothing_of_those_who_go_on(void **state)
{
  static const uint32_t reads = UINT32_MAX;

  for (int round = 1; round <= 20; round++) {
    pthread_t threads[PRODUCERS];
    uint32_t taken = 0;
    int error;

    make(0, 8);
    if (!is_bound()) /* nothing would stop it */
      assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    start_producers(threads, &reads);
    turns_by_another_thread(round);
    do {
      error = sqcq_engine_run(rig.engine); /* nobody stops it but the other's end */
      taken += take_some();
    } while (error == -EOWNERDEAD);
    assert_ok(error);
    for (int i = 0; i < PRODUCERS; i++)
      assert_int_equal(pthread_join(threads[i], NULL), 0);
    taken += take_some();
    assert_int_equal(taken, atomic_load(&accepted));
    end();
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(destroy_after_its_io_thread_answers_all),
      cmocka_unit_test(next_thread_of_a_bound_ring_answers_all),
      cmocka_unit_test(next_thread_of_an_unbound_ring_goes_on),
      cmocka_unit_test(other_ring_of_the_next_thread_is_left_alone),
      cmocka_unit_test(next_thread_sleeps_while_there_is_nothing_to_do),
      cmocka_unit_test(io_thread_that_lives_is_not_replaced),
      cmocka_unit_test(thread_with_the_number_of_another_is_not_it),
      cmocka_unit_test(io_threads_come_and_go_while_producers_go_on),
      cmocka_unit_test(end_of_a_bound_ring_loses_nothing_of_those_who_go_on),
  };

  require_io_uring();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
