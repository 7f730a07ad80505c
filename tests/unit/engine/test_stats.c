/* sqcq-test: simulated */
/*
 * Statistics: which refusal is counted where, and which counter comes out under which name.
 */
#include "engine/engine.h"

#include "support/sim_ring.h"
#include "support/test.h"

#include <string.h>

static struct sqcq_engine *engine;

static int make(void **state)
{
  struct sqcq_engine_config config;

  (void)state;
  sqcq_engine_config_init(&config);
  config.depth = 8;
  config.channels_max = 3;
  config.lanes_shared = 2;
  config.lane_slots = 4;
  return sqcq_engine_create(&engine, &config, NULL);
}

static int unmake(void **state)
{
  (void)state;
  return sqcq_engine_destroy(engine, NULL);
}

static struct sqcq_stats stats(void)
{
  struct sqcq_stats now;

  assert_ok(sqcq_engine_stats(engine, &now, sizeof(now)));
  return now;
}

static void stats_of_a_new_engine_are_zero(void **state)
{
  struct sqcq_stats now = stats();
  static const struct sqcq_stats none;

  assert_memory_equal(&now, &none, sizeof(now));
}

/* Each counter has a number of its own, which must come out under its own name and no other. */
static void stats_come_out_under_their_names(void **state)
{
  struct sqcq__stats *in = &engine->stats;
  static const struct sqcq__stats zero;
  struct sqcq_stats expected = {0};
  uint64_t number = 1000;

#define PUT(place, name)                                                                           \
  do {                                                                                             \
    sqcq__store_relaxed(&(place), ++number);                                                       \
    expected.name = number;                                                                        \
  } while (0)
  PUT(in->refused[SQCQ__REFUSED_AGAIN], refused_again);
  PUT(in->refused[SQCQ__REFUSED_FULL], refused_full);
  PUT(in->refused[SQCQ__REFUSED_CLOSED], refused_closed);
  PUT(in->refused[SQCQ__REFUSED_STOPPING], refused_stopping);
  PUT(in->refused[SQCQ__REFUSED_FILE], refused_file);
  PUT(in->refused[SQCQ__REFUSED_BUFFER], refused_buffer);
  PUT(in->refused[SQCQ__REFUSED_INVALID], refused_invalid);
  PUT(in->refused[SQCQ__REFUSED_NO_BUFFERS], refused_no_buffers);
  PUT(in->submitted, submitted);
  PUT(in->completed, completed);
  PUT(in->unsubmitted, unsubmitted);
  PUT(in->failed, failed);
  PUT(in->bytes, bytes);
  PUT(in->turns, turns);
  PUT(in->turns_idle, turns_idle);
  PUT(in->enters, enters);
  PUT(in->sleeps, sleeps);
  PUT(engine->sleeper.wakes, io_wakes);
  PUT(in->files_retired, files_retired);
  PUT(in->syscalls_control, syscalls_control);
  PUT(in->inflight, inflight);
  PUT(in->waiting, waiting);
  PUT(in->cq_overflow, cq_overflow);
  PUT(engine->rooms.sleeps, producer_sleeps);
  PUT(engine->rooms.wakes, producer_wakes);
  PUT(engine->rooms.fired, notices_fired);
#undef PUT
  /* Sums over lanes and channels. */
  for (uint32_t i = 0; i < 2; i++)
    sqcq__store_relaxed(&engine->lanes.lanes[i].accepted, 100 + i);
  expected.accepted = 201;
  for (uint32_t i = 0; i < 3; i++) {
    sqcq__store_relaxed(&engine->channels[i].waiter.sleeps, 10 + i);
    sqcq__store_relaxed(&engine->channels[i].waiter.wakes, 20 + i);
  }
  expected.consumer_sleeps = 33;
  expected.consumer_wakes = 63;
  /* And the largest of all lanes and channels. */
  for (uint32_t i = 0; i < 2; i++) {
    sqcq__store_relaxed(&engine->lanes.lanes[i].batches, 40 + i);
    sqcq__store_relaxed(&engine->lanes.lanes[i].ring.most, 51 - i);
  }
  expected.batches_in = 81;
  expected.lane_high_water = 51;
  sqcq__store_relaxed(&engine->io.router.batches, 61);
  expected.batches_out = 61;
  sqcq__store_relaxed(&engine->channels[1].ring.most, 71);
  expected.channel_high_water = 71;

  struct sqcq_stats now = stats();
  for (size_t i = 0; i < sizeof(now) / sizeof(uint64_t); i++) {
    uint64_t is, should;

    memcpy(&is, (const char *)&now + i * sizeof(is), sizeof(is));
    memcpy(&should, (const char *)&expected + i * sizeof(should), sizeof(should));
    if (is != should)
      fail_msg("field %zu of sqcq_stats is %llu, should be %llu", i, (unsigned long long)is,
               (unsigned long long)should);
    assert_int_not_equal(should, 0); /* a new field is to be tested here, too */
  }
  /* As they were: destroy looks at them. */
  memcpy((void *)in, (const void *)&zero, sizeof(zero));
  for (uint32_t i = 0; i < 2; i++)
    sqcq__store_relaxed(&engine->lanes.lanes[i].accepted, 0);
}

static void stats_of_a_smaller_struct_are_cut_off(void **state)
{
  struct {
    struct sqcq_stats known;
    uint64_t beyond;
  } wide;
  struct sqcq_stats *now = &wide.known;

  sqcq__store_relaxed(&engine->lanes.lanes[0].accepted, 5);
  sqcq__store_relaxed(&engine->stats.refused[SQCQ__REFUSED_AGAIN], 6);
  memset(&wide, 0x5a, sizeof(wide));
  assert_ok(sqcq_engine_stats(engine, now, 8));
  assert_int_equal(now->accepted, 5);
  assert_int_equal(now->refused_again, UINT64_C(0x5a5a5a5a5a5a5a5a));
  /* A newer caller's fields are zero. */
  assert_ok(sqcq_engine_stats(engine, now, sizeof(wide)));
  assert_int_equal(now->refused_again, 6);
  assert_int_equal(wide.beyond, 0);
  sqcq__store_relaxed(&engine->lanes.lanes[0].accepted, 0);
}

static void stats_of_nothing_are_einval(void **state)
{
  struct sqcq_stats now;

  assert_error(sqcq_engine_stats(NULL, &now, sizeof(now)), -EINVAL);
  assert_error(sqcq_engine_stats(engine, NULL, sizeof(now)), -EINVAL);
  assert_error(sqcq_engine_stats(engine, &now, 0), -EINVAL);
}

static void stats_refused_counts_each_error_in_its_place(void **state)
{
  static const struct {
    int error;
    enum sqcq__refusal kind;
  } cases[] = {
      {-EAGAIN, SQCQ__REFUSED_AGAIN},       {-EXFULL, SQCQ__REFUSED_FULL},
      {-EPIPE, SQCQ__REFUSED_CLOSED},       {-ESHUTDOWN, SQCQ__REFUSED_STOPPING},
      {-EBADF, SQCQ__REFUSED_FILE},         {-ESTALE, SQCQ__REFUSED_BUFFER},
      {-EBUSY, SQCQ__REFUSED_BUFFER},       {-EINVAL, SQCQ__REFUSED_INVALID},
      {-ENOBUFS, SQCQ__REFUSED_NO_BUFFERS},
  };

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sqcq__stats counts = {0};

    sqcq__stats_refused(&counts, cases[i].error);
    for (uint32_t kind = 0; kind < SQCQ__REFUSED_KINDS; kind++)
      assert_int_equal(sqcq__load_relaxed(&counts.refused[kind]), kind == cases[i].kind);
  }
}

static void stats_count_adds_to_what_is_there(void **state)
{
  struct sqcq__stats counts = {0};

  sqcq__count(&counts.bytes, 5);
  sqcq__count(&counts.bytes, UINT64_C(1) << 40);
  assert_int_equal(sqcq__load_relaxed(&counts.bytes), (UINT64_C(1) << 40) + 5);
}

static void stats_of_producers_and_the_io_thread_have_lines_of_their_own(void **state)
{
  size_t refused_end =
      offsetof(struct sqcq__stats, refused) + sizeof(((struct sqcq__stats *)0)->refused);

  assert_int_equal(offsetof(struct sqcq__stats, submitted) % SQCQ_CACHELINE, 0);
  assert_true(refused_end <= offsetof(struct sqcq__stats, submitted));
  assert_int_equal(sizeof(struct sqcq__stats) % SQCQ_CACHELINE, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(stats_of_a_new_engine_are_zero, make, unmake),
      cmocka_unit_test_setup_teardown(stats_come_out_under_their_names, make, unmake),
      cmocka_unit_test_setup_teardown(stats_of_a_smaller_struct_are_cut_off, make, unmake),
      cmocka_unit_test_setup_teardown(stats_of_nothing_are_einval, make, unmake),
      cmocka_unit_test(stats_refused_counts_each_error_in_its_place),
      cmocka_unit_test(stats_count_adds_to_what_is_there),
      cmocka_unit_test(stats_of_producers_and_the_io_thread_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
