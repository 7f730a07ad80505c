/*
 * Channels in one thread that plays all roles: their bounds, what a wait waits for, how they are
 * destroyed, and that one that never answers does not slow down another.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <dirent.h>

static struct rig rig;

static int setup(void **state)
{
  rig_make(&rig);
  return 0;
}

static int teardown(void **state)
{
  rig_prove(&rig);
  rig_end(&rig);
  return 0;
}

static sqcq_channel make_channel(struct rig *r, uint32_t capacity, uint32_t max, uint32_t min)
{
  struct sqcq_channel_config config = {
      .size = sizeof(config), .capacity = capacity, .inflight_max = max, .inflight_min = min};
  sqcq_channel channel = {0};

  assert_ok(sqcq_channel_create(r->engine, &config, &channel));
  return channel;
}

static int ask(struct rig *r, sqcq_channel channel, uint64_t page)
{
  struct sqcq_read read = rig_page(r, page % RIG_PAGES);

  read.channel = channel;
  int error = sqcq_request(r->engine, &read);
  if (error < 0)
    rig_release(r, read.buffer);
  return error;
}

/* Turn until this many completions have been put into channels since creation. */
static void turn_until_completed(struct rig *r, uint64_t count)
{
  int64_t limit = test_now_ns() + TEST_SOON_NS;

  while (rig_stats(r).completed < count) {
    assert_true(sqcq_engine_wait(r->engine, 10 * MS) >= 0);
    assert_true(test_now_ns() < limit);
  }
}

/* ------------------------------------------------------------------------- */
/* Bounds                                                                    */
/* ------------------------------------------------------------------------- */

static void capacity_is_exact(void **state)
{
  static const uint32_t capacities[] = {1, 2, 3, 4, 7, 8, 15};

  for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
    const uint32_t capacity = capacities[c];
    sqcq_channel channel = make_channel(&rig, capacity, 0, 0);
    struct sqcq_completion completions[16];

    for (uint32_t i = 0; i < capacity; i++)
      assert_ok(ask(&rig, channel, i));
    assert_error(ask(&rig, channel, 0), -EXFULL);
    /* Answered is not taken: the slots are still promised. */
    turn_until_completed(&rig, rig_stats(&rig).accepted);
    assert_error(ask(&rig, channel, 0), -EXFULL);
    for (uint32_t k = 1; k <= capacity; k++) {
      assert_count(sqcq_channel_poll(rig.engine, channel, completions, k), (int)k);
      for (uint32_t i = 0; i < k; i++) {
        rig_check_page(&completions[i]);
        rig_release(&rig, completions[i].buffer);
      }
      for (uint32_t i = 0; i < k; i++)
        assert_ok(ask(&rig, channel, i));
      assert_error(ask(&rig, channel, 0), -EXFULL);
      turn_until_completed(&rig, rig_stats(&rig).accepted);
    }
    rig_take_from(&rig, channel, completions, capacity);
    for (uint32_t i = 0; i < capacity; i++)
      rig_release(&rig, completions[i].buffer);
    assert_ok(sqcq_channel_destroy(rig.engine, channel));
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
  }
}

/* A full channel refuses its own producers and nobody else's. */
static void full_channel_does_not_refuse_for_another(void **state)
{
  sqcq_channel full = make_channel(&rig, 2, 0, 0);
  struct sqcq_completion completions[2];

  for (int i = 0; i < 2; i++)
    assert_ok(ask(&rig, full, 1));
  for (uint64_t i = 0; i < 50; i++) {
    assert_error(ask(&rig, full, 0), -EXFULL);
    assert_ok(ask(&rig, rig.channel, i));
    rig_take(&rig, completions, 1);
    rig_check_page(&completions[0]);
    rig_release(&rig, completions[0].buffer);
  }
  rig_take_from(&rig, full, completions, 2);
  for (int i = 0; i < 2; i++)
    rig_release(&rig, completions[i].buffer);
  assert_ok(sqcq_channel_destroy(rig.engine, full));
}

/* A batch for two channels ends where the first of them is full. */
static void batch_ends_where_a_channel_is_full(void **state)
{
  sqcq_channel small = make_channel(&rig, 3, 0, 0);
  struct sqcq_read reads[12];
  struct sqcq_completion completions[12];

  for (uint64_t i = 0; i < 12; i++) {
    reads[i] = rig_page(&rig, i);
    reads[i].channel = i % 2 == 0 ? small : rig.channel;
  }
  assert_count(sqcq_request_many(rig.engine, reads, 12), 6);
  assert_error(sqcq_request_many(rig.engine, reads + 6, 6), -EXFULL);
  assert_count(sqcq_request_many(rig.engine, reads + 7, 5), 1);
  rig_take_from(&rig, small, completions, 3);
  rig_take(&rig, completions, 4);
  assert_error(sqcq_request_many(rig.engine, reads, 1) - 1, 0);
  rig_take_from(&rig, small, completions, 1);
  for (int i = 0; i < 12; i++)
    rig_release(&rig, reads[i].buffer);
  assert_ok(sqcq_channel_destroy(rig.engine, small));
}

static void channels_share_slots_credits_and_depth(void **state)
{
  struct sqcq_engine_config config = rig_config(); /* depth 32, 64 credits, 4 channels */
  struct rig r;
  sqcq_channel channels[3];
  sqcq_channel none = {7};

  rig_make_with(&r, &config, RIG_CAPACITY);
  for (int i = 0; i < 3; i++)
    channels[i] = make_channel(&r, 16, 0, 0);
  assert_error(sqcq_channel_create(r.engine, NULL, &none), -ENOSPC); /* no slot, no credit */
  assert_ok(sqcq_channel_destroy(r.engine, channels[0]));
  assert_error(sqcq_channel_create(r.engine, NULL, &none), -ENOSPC); /* before the next turn */
  assert_count(sqcq_engine_poll(r.engine), 0);
  struct sqcq_channel_config more = {.size = sizeof(more), .capacity = 17};
  assert_error(sqcq_channel_create(r.engine, &more, &none), -ENOSPC);
  channels[0] = make_channel(&r, 0, 0, 0); /* what is left: 16 */
  assert_error(sqcq_channel_create(r.engine, NULL, &none), -ENOSPC);
  assert_int_equal(none.id, 7);
  for (int i = 0; i < 3; i++)
    assert_ok(sqcq_channel_destroy(r.engine, channels[i]));
  assert_count(sqcq_engine_poll(r.engine), 0);

  /* Of the depth 28 are free, one is kept for each of 4 channels. */
  channels[0] = make_channel(&r, 1, 32, 20);
  more = (struct sqcq_channel_config){.size = sizeof(more), .capacity = 1, .inflight_min = 11};
  assert_error(sqcq_channel_create(r.engine, &more, &none), -ENOSPC);
  channels[1] = make_channel(&r, 1, 0, 10);
  channels[2] = make_channel(&r, 1, 0, 1);
  for (int i = 0; i < 3; i++)
    assert_ok(sqcq_channel_destroy(r.engine, channels[i]));
  assert_count(sqcq_engine_poll(r.engine), 0);
  channels[0] = make_channel(&r, 48, 32, 29); /* all of it is back */
  assert_ok(sqcq_channel_destroy(r.engine, channels[0]));
  assert_count(sqcq_engine_poll(r.engine), 0);
  rig_prove(&r);
  rig_end(&r);
}

/* ------------------------------------------------------------------------- */
/* Waiting                                                                   */
/* ------------------------------------------------------------------------- */

/* The I/O thread takes what is there, and never sleeps for what only it could bring about. */
static void wait_of_the_io_thread_does_not_sleep(void **state)
{
  struct sqcq_completion completions[4];

  assert_count(sqcq_engine_poll(rig.engine), 0);
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 1, SQCQ_FOREVER),
               -EDEADLK);
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 1, INT64_MAX), -EDEADLK);
  assert_count(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 1, 0), 0);
  for (uint64_t i = 0; i < 3; i++)
    assert_ok(ask(&rig, rig.channel, i));
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 1, SQCQ_FOREVER),
               -EDEADLK);
  turn_until_completed(&rig, 3);
  assert_count(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 4, SQCQ_FOREVER), 3);
  for (int i = 0; i < 3; i++)
    rig_release(&rig, completions[i].buffer);
  assert_error(sqcq_channel_wait(rig.engine, rig.channel, completions, 4, 1, SQCQ_FOREVER),
               -EDEADLK);
}

/* A program of one thread that plays all roles: no other one is made for it. */
static uint32_t threads_of_ours(void)
{
  DIR *directory = opendir("/proc/self/task");
  uint32_t count = 0;

  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[300];
    char name[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
    if (entry->d_name[0] == '.' || (file = fopen(path, "re")) == NULL)
      continue;
    if (fgets(name, sizeof(name), file) != NULL)
      count += strncmp(name, "iou-", 4) != 0; /* the kernel's workers */
    fclose(file);
  }
  closedir(directory);
  return count;
}

static void one_thread_plays_all_roles(void **state)
{
  uint32_t before = threads_of_ours();
  sqcq_channel channels[2] = {rig.channel, make_channel(&rig, 5, 0, 0)};
  uint64_t asked[2] = {0, 0};
  uint64_t taken[2] = {0, 0};
  const uint64_t count = SANITIZED ? 500 : 5000;

  while (taken[0] + taken[1] < 2 * count) {
    for (int c = 0; c < 2; c++) {
      struct sqcq_completion completions[3];
      sqcq_buffer buffer;

      while (asked[c] < count && sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1) == 1) {
        rig_release(&rig, buffer);
        if (ask(&rig, channels[c], asked[c]) < 0)
          break;
        asked[c]++;
      }
      int n = sqcq_channel_poll(rig.engine, channels[c], completions, 3);
      assert_in_range(n, 0, 3);
      for (int i = 0; i < n; i++) {
        rig_check_page(&completions[i]);
        rig_release(&rig, completions[i].buffer);
      }
      taken[c] += (uint64_t)n;
    }
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
  }
  assert_int_equal(taken[0], count);
  assert_int_equal(taken[1], count);
  assert_int_equal(threads_of_ours(), before);
  assert_int_equal(rig_stats(&rig).consumer_wakes, 0);
  assert_int_equal(rig_stats(&rig).io_wakes, 0);
  assert_ok(sqcq_channel_destroy(rig.engine, channels[1]));
}

/* ------------------------------------------------------------------------- */
/* Destroying                                                                */
/* ------------------------------------------------------------------------- */

static void destroy_lets_the_consumer_take_what_is_left(void **state)
{
  sqcq_channel channel = make_channel(&rig, 4, 0, 0);
  struct sqcq_completion completions[4];
  struct sqcq_read late = rig_page(&rig, 0);
  sqcq_file file;
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  for (uint64_t i = 0; i < 2; i++)
    assert_ok(ask(&rig, channel, i));
  rig_request_stream(&rig, channel, file, 9);
  turn_until_completed(&rig, 2);
  assert_error(sqcq_channel_destroy(rig.engine, channel), -EBUSY);
  assert_error(sqcq_channel_destroy(rig.engine, channel), -EBUSY);
  late.channel = channel;
  assert_refused(&rig, sqcq_request(rig.engine, &late), -EPIPE);
  assert_int_equal(rig_stats(&rig).refused_closed, 1);
  assert_count(sqcq_channel_poll(rig.engine, channel, completions, 4), 2);
  for (int i = 0; i < 2; i++) {
    rig_check_page(&completions[i]);
    rig_release(&rig, completions[i].buffer);
  }
  assert_count(sqcq_channel_poll(rig.engine, channel, completions, 4), 0); /* one is to come */
  assert_error(sqcq_channel_destroy(rig.engine, channel), -EBUSY);
  assert_int_equal(write(ends[1], "x", 1), 1);
  rig_take_from(&rig, channel, completions, 1);
  assert_int_equal(completions[0].result, 1);
  rig_release(&rig, completions[0].buffer);
  assert_error(sqcq_channel_poll(rig.engine, channel, completions, 4), -EPIPE);
  assert_error(sqcq_channel_wait(rig.engine, channel, completions, 4, 1, SQCQ_FOREVER), -EPIPE);
  assert_ok(sqcq_channel_destroy(rig.engine, channel));

  /* The handle is dead, before and after its place is used again. */
  for (int again = 0; again < 3; again++) {
    assert_error(sqcq_channel_poll(rig.engine, channel, completions, 4), -EPIPE);
    assert_error(sqcq_channel_wait(rig.engine, channel, completions, 4, 1, SQCQ_FOREVER), -EPIPE);
    assert_error(sqcq_channel_destroy(rig.engine, channel), -EPIPE);
    assert_refused(&rig, sqcq_request(rig.engine, &late), -EPIPE);
    if (again == 0)
      assert_count(sqcq_engine_poll(rig.engine), 0);
    if (again == 1) {
      sqcq_channel next = make_channel(&rig, 4, 0, 0);

      assert_int_equal(sqcq__handle_index(next.id), sqcq__handle_index(channel.id));
      assert_ok(ask(&rig, next, 3));
      assert_error(sqcq_channel_destroy(rig.engine, channel), -EPIPE);
      rig_take_from(&rig, next, completions, 1);
      rig_check_page(&completions[0]);
      rig_release(&rig, completions[0].buffer);
      assert_ok(sqcq_channel_destroy(rig.engine, next));
    }
  }
  rig_release(&rig, late.buffer);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  close(ends[0]);
  close(ends[1]);
}

/* Slots and credits come back every time, with rings of changing sizes. */
static void channels_come_and_go(void **state)
{
  for (uint32_t i = 0; i < 1000; i++) {
    uint32_t capacity = 1 + i * 7 % 48;
    sqcq_channel channel = make_channel(&rig, capacity, 0, 0);
    struct sqcq_completion completions[4];
    uint32_t count = capacity < 4 ? capacity : 4;

    for (uint32_t k = 0; k < count; k++)
      assert_ok(ask(&rig, channel, i + k));
    if (capacity == count)
      assert_error(ask(&rig, channel, 0), -EXFULL);
    rig_take_from(&rig, channel, completions, count);
    for (uint32_t k = 0; k < count; k++) {
      rig_check_page(&completions[k]);
      rig_release(&rig, completions[k].buffer);
    }
    assert_ok(sqcq_channel_destroy(rig.engine, channel));
    assert_count(sqcq_engine_poll(rig.engine), 0);
  }
}

/* Never used, and destroyed before the first turn or after the last one. */
static void destroy_without_an_io_thread_gives_back(void **state)
{
  struct rig r;

  rig_make(&r);
  assert_ok(sqcq_channel_destroy(r.engine, r.channel));
  assert_count(sqcq_engine_poll(r.engine), 0);
  r.channel = make_channel(&r, RIG_CAPACITY, 0, 0);
  sqcq_channel other = make_channel(&r, 1, 0, 0);
  rig_prove(&r);
  assert_ok(sqcq_engine_stop(r.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  assert_ok(sqcq_engine_run(r.engine));
  assert_ok(sqcq_channel_destroy(r.engine, other));
  assert_error(sqcq_channel_destroy(r.engine, other), -EPIPE);
  rig_destroy(&r);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(capacity_is_exact),
      CASE(full_channel_does_not_refuse_for_another),
      CASE(batch_ends_where_a_channel_is_full),
      cmocka_unit_test(channels_share_slots_credits_and_depth),
      CASE(wait_of_the_io_thread_does_not_sleep),
      CASE(one_thread_plays_all_roles),
      CASE(destroy_lets_the_consumer_take_what_is_left),
      CASE(channels_come_and_go),
      cmocka_unit_test(destroy_without_an_io_thread_gives_back),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("channels", tests, NULL, NULL);
}
