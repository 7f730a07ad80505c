/* sqcq-test: simulated */
/*
 * Reads that are more than plain ones, on the simulated ring: what arrives in the SQE, whose buffers
 * they are at each moment, and what is refused.
 */
#include "turn_rig.h"

#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#define COUNT 3u

static struct rig rig;

static void start(const char *version, uint32_t vectors_max, uint32_t flags)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();

  config.vectors_max = vectors_max;
  config.flags = flags;
  if ((flags & SQCQ_ENGINE_IOPOLL) == 0) {
    rig_start_with(&rig, &kernel, &config);
    return;
  }
  rig_prepare(&rig);
  sim_configure(&kernel);
  assert_ok(sqcq_engine_create(&rig.engine, &config, NULL));
  rig.channel = rig_channel(&rig, 32, 0, 0);
}

static struct sqcq_read vector(sqcq_buffer *buffers, uint16_t count, uint32_t length)
{
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers, count), count);
  return (struct sqcq_read){.file = rig.file,
                            .buffers = buffers,
                            .buffer_count = count,
                            .channel = rig.channel,
                            .length = length,
                            .flags = SQCQ_READ_VECTOR};
}

static void release(const sqcq_buffer *buffers, uint32_t count)
{
  assert_count(sqcq_buffer_release(rig.engine, buffers, count), count);
}

static void assert_state(const sqcq_buffer *buffers, uint32_t count, int state)
{
  for (uint32_t i = 0; i < count; i++)
    assert_error(sqcq__buffer_check(&rig.engine->buffers, buffers[i].id), state);
}

static struct sqcq_completion take(void)
{
  struct sqcq_completion completion;

  (void)rig_turns(&rig, 2);
  assert_count(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 1);
  return completion;
}

static void assert_same(const sqcq_buffer *a, const sqcq_buffer *b, uint32_t count)
{
  assert_memory_equal(a, b, count * sizeof(*a));
}

/* ------------------------------------------------------------------------- */
/* Vectors                                                                   */
/* ------------------------------------------------------------------------- */

static void vector_read_fills_its_buffers_in_order(void **state)
{
  sqcq_buffer buffers[COUNT], listed[COUNT], given[COUNT];
  struct sim_op op;

  start("6.18", COUNT, 0);
  struct sqcq_read read = vector(buffers, COUNT, 2 * RIG_LENGTH + 5);
  memcpy(given, buffers, sizeof(given));
  read.buffer_offset = 10;
  assert_ok(sqcq_request(rig.engine, &read));
  assert_state(given, COUNT, -EBUSY);
  assert_error(sqcq_buffer_release(rig.engine, &given[1], 1), -EBUSY);
  memset(buffers, 0, sizeof(buffers)); /* copied by the call */
  struct sqcq_completion completion = take();
  assert_int_equal(completion.result, 2 * RIG_LENGTH + 5);
  assert_int_equal(completion.flags, SQCQ_COMPLETION_VECTOR);
  assert_int_equal(completion.buffer.id, given[0].id);
  assert_ptr_equal(completion.data, (char *)sqcq_buffer_data(rig.engine, given[0]) + 10);
  assert_state(given, COUNT, 0);
  assert_count(sqcq_completion_buffers(rig.engine, &completion, NULL, 0), COUNT);
  listed[1].id = 7;
  assert_count(sqcq_completion_buffers(rig.engine, &completion, listed, 1), COUNT);
  assert_int_equal(listed[1].id, 7);
  assert_count(sqcq_completion_buffers(rig.engine, &completion, listed, COUNT), COUNT);
  assert_same(listed, given, COUNT);
  assert_true(stamp_matches(completion.data, RIG_TAG, 0, RIG_LENGTH - 10));
  assert_true(
      stamp_matches(sqcq_buffer_data(rig.engine, given[1]), RIG_TAG, RIG_LENGTH - 10, RIG_LENGTH));
  assert_true(
      stamp_matches(sqcq_buffer_data(rig.engine, given[2]), RIG_TAG, 2 * RIG_LENGTH - 10, 15));
  assert_true(sim_submitted_last(SIM_READ, &op));
  assert_int_equal(op.vectors, COUNT);
  release(given, COUNT);
  rig_end(&rig);
}

static void vector_read_needs_no_more_buffers_than_bytes(void **state)
{
  sqcq_buffer buffers[COUNT];
  struct sim_op op;

  start("5.10", COUNT, 0);
  struct sqcq_read read = vector(buffers, COUNT, RIG_LENGTH);
  assert_ok(sqcq_request(rig.engine, &read));
  struct sqcq_completion completion = take();
  assert_int_equal(completion.result, RIG_LENGTH);
  assert_true(sim_submitted_last(SIM_READ, &op));
  assert_int_equal(op.vectors, 1); /* the others are along for nothing, and come back too */
  assert_count(sqcq_completion_buffers(rig.engine, &completion, NULL, 0), COUNT);
  release(buffers, COUNT);
  rig_end(&rig);
}

static void vector_of_one_is_a_plain_read(void **state)
{
  sqcq_buffer buffer, listed;
  struct sim_op op;

  start("6.18", 1, 0);
  struct sqcq_read read = vector(&buffer, 1, RIG_LENGTH);
  assert_ok(sqcq_request(rig.engine, &read));
  struct sqcq_completion completion = take();
  assert_int_equal(completion.flags, 0);
  assert_int_equal(completion.buffer.id, buffer.id);
  assert_true(sim_submitted_last(SIM_READ, &op));
  assert_int_equal(op.vectors, 0);
  assert_count(sqcq_completion_buffers(rig.engine, &completion, &listed, 1), 1);
  assert_int_equal(listed.id, buffer.id);
  release(&buffer, 1);
  rig_end(&rig);
}

static void vector_reads_in_flight_keep_their_iovecs(void **state)
{
  sqcq_buffer buffers[4][COUNT];
  uint64_t seen = 0;

  /* All over again in other places, while the first ones are held: the simulation compares. */
  start("6.18", COUNT, 0);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  for (uint32_t i = 0; i < 4; i++) {
    struct sqcq_read read = vector(buffers[i], COUNT, COUNT * RIG_LENGTH);

    read.user_data = i;
    read.offset = (uint64_t)i * COUNT * RIG_LENGTH;
    assert_ok(sqcq_request(rig.engine, &read));
    (void)rig_turns(&rig, 2);
  }
  for (uint32_t i = 4; i-- > 0;) {
    assert_true(sim_complete_offset((uint64_t)i * COUNT * RIG_LENGTH,
                                    i == 2 ? (int32_t)RIG_LENGTH + 1 : SIM_RESULT_REAL));
    struct sqcq_completion completion = take();
    assert_int_equal(completion.user_data, i);
    assert_int_equal(completion.result, i == 2 ? RIG_LENGTH + 1 : COUNT * RIG_LENGTH);
    assert_true(stamp_matches(sqcq_buffer_data(rig.engine, buffers[i][1]), RIG_TAG,
                              completion.offset + RIG_LENGTH, 1));
    seen |= 1u << i;
    release(buffers[i], COUNT);
  }
  assert_int_equal(seen, 15);
  rig_end(&rig);
}

static void vector_read_that_is_cancelled_gives_all_buffers_back(void **state)
{
  sqcq_buffer buffers[2][COUNT];

  for (int flying = 0; flying < 2; flying++) {
    start("6.18", COUNT, 0);
    for (uint32_t i = 0; i < 2; i++) {
      struct sqcq_read read = vector(buffers[i], COUNT, RIG_LENGTH);
      read.file = rig.silent;
      read.offset = SQCQ_OFFSET_CURRENT;
      assert_ok(sqcq_request(rig.engine, &read));
    }
    if (flying == 1)
      (void)rig_turns(&rig, 2);
    assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_CANCEL));
    for (uint32_t i = 0; i < 2; i++) {
      struct sqcq_completion completion = take();

      assert_error(completion.result, -ECANCELED);
      assert_true((completion.flags & SQCQ_COMPLETION_FILE_REMOVED) != 0);
      assert_true((completion.flags & SQCQ_COMPLETION_VECTOR) != 0);
      assert_count(sqcq_completion_buffers(rig.engine, &completion, NULL, 0), COUNT);
    }
    assert_state(buffers[0], 2 * COUNT, 0);
    release(buffers[0], 2 * COUNT);
    rig_end(&rig);
  }
}

static void refuse(struct sqcq_read read, int error)
{
  uint32_t before, after, wrapped;
  uint64_t accepted = rig_stats(&rig).accepted;

  sqcq__buffers_held(&rig.engine->buffers, &before, &wrapped);
  assert_error(sqcq_request(rig.engine, &read), error);
  sqcq__buffers_held(&rig.engine->buffers, &after, &wrapped);
  assert_int_equal(before, after);
  assert_int_equal(rig_stats(&rig).accepted, accepted);
}

static void vector_read_refused_leaves_every_buffer_owned(void **state)
{
  sqcq_buffer buffers[COUNT + 1], mixed[COUNT + 1];
  struct sqcq_read read;

  start("6.18", COUNT, 0);
  read = vector(buffers, COUNT, RIG_LENGTH);
  read.buffers = mixed;
  for (uint32_t bad = 0; bad < COUNT; bad++) {
    memcpy(mixed, buffers, sizeof(mixed));
    mixed[bad].id = 0;
    refuse(read, -ESTALE);
    mixed[bad].id = buffers[bad].id ^ 0x800; /* another engine's */
    refuse(read, -EINVAL);
    mixed[bad].id = buffers[bad].id ^ UINT64_C(1) << 40; /* another generation */
    refuse(read, -ESTALE);
    mixed[bad] = buffers[(bad + 1) % COUNT]; /* the same one twice */
    refuse(read, -EBUSY);
    assert_state(buffers, COUNT, 0);
  }
  memcpy(mixed, buffers, sizeof(mixed));
  read.buffers = NULL;
  refuse(read, -EINVAL);
  read.buffers = mixed;
  read.buffer_count = COUNT + 1; /* over vectors_max */
  refuse(read, -EINVAL);
  read.buffer_count = SQCQ_VECTOR_MAX + 1;
  refuse(read, -EINVAL);
  read.buffer_count = 0;
  refuse(read, -EINVAL);
  read.buffer_count = COUNT;
  read.length = COUNT * RIG_LENGTH + 1;
  refuse(read, -EINVAL);
  read.buffer_offset = 1;
  read.length = COUNT * RIG_LENGTH;
  refuse(read, -EINVAL);
  read.buffer_offset = RIG_LENGTH; /* not inside the first one */
  read.length = 1;
  refuse(read, -EINVAL);
  read.flags = 0; /* a count without the flag */
  read.buffer_offset = 0;
  read.buffer = buffers[0];
  refuse(read, -EINVAL);
  assert_state(buffers, COUNT, 0);
  release(buffers, COUNT);
  rig_end(&rig);
}

static void vector_read_of_an_engine_without_is_refused(void **state)
{
  sqcq_buffer buffers[2];

  start("6.18", 0, 0);
  struct sqcq_read read = vector(buffers, 2, RIG_LENGTH);
  refuse(read, -EOPNOTSUPP);
  release(buffers, 2);
  rig_end(&rig);
}

static void completion_buffers_that_moved_on_are_refused(void **state)
{
  sqcq_buffer buffers[COUNT], listed[COUNT] = {{5}};
  struct sqcq_completion plain = {0};

  start("6.18", COUNT, 0);
  struct sqcq_read read = vector(buffers, COUNT, COUNT * RIG_LENGTH);
  assert_ok(sqcq_request(rig.engine, &read));
  struct sqcq_completion completion = take();
  assert_error(sqcq_completion_buffers(NULL, &completion, listed, COUNT), -EINVAL);
  assert_error(sqcq_completion_buffers(rig.engine, NULL, listed, COUNT), -EINVAL);
  assert_error(sqcq_completion_buffers(rig.engine, &completion, NULL, 1), -EINVAL);
  assert_error(sqcq_completion_buffers(rig.engine, &plain, listed, COUNT), -ESTALE);
  plain.buffer.id = completion.buffer.id ^ 0x800;
  assert_error(sqcq_completion_buffers(rig.engine, &plain, listed, COUNT), -EINVAL);
  plain.flags = SQCQ_COMPLETION_VECTOR;
  assert_error(sqcq_completion_buffers(rig.engine, &plain, listed, COUNT), -EINVAL);
  release(&buffers[2], 1);
  assert_error(sqcq_completion_buffers(rig.engine, &completion, listed, COUNT), -ESTALE);
  read.buffers = buffers;
  read.buffer_count = 2;
  read.length = 2 * RIG_LENGTH;
  assert_ok(sqcq_request(rig.engine, &read));
  assert_error(sqcq_completion_buffers(rig.engine, &completion, listed, COUNT), -EBUSY);
  assert_int_equal(listed[0].id, 5);
  completion = take();
  assert_count(sqcq_completion_buffers(rig.engine, &completion, listed, COUNT), 2);
  release(buffers, 2);
  rig_end(&rig);
}

static void report_of_a_cancel_has_no_buffers(void **state)
{
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_ALL, .flags = SQCQ_CANCEL_REPORT};
  sqcq_buffer listed = {.id = 5};

  start("6.18", COUNT, 0);
  cancel.report = rig.channel;
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  struct sqcq_completion completion = take();
  assert_int_equal(completion.flags, SQCQ_COMPLETION_REPORT);
  assert_int_equal(sqcq_completion_buffers(rig.engine, &completion, &listed, 1), 0);
  assert_int_equal(listed.id, 5);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* Hints and advice                                                          */
/* ------------------------------------------------------------------------- */

static struct sqcq_read plain(uint32_t flags, uint16_t ioprio)
{
  struct sqcq_read read = {.file = rig.file,
                           .channel = rig.channel,
                           .length = RIG_LENGTH,
                           .flags = flags,
                           .ioprio = ioprio};

  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &read.buffer, 1), 1);
  return read;
}

static void hints_arrive_in_the_sqe(void **state)
{
  static const struct {
    uint32_t flags, rw_flags;
    uint16_t ioprio;
    bool async;
  } cases[] = {
      {0, 0, 0, false},
      {SQCQ_READ_NOWAIT, RWF_NOWAIT, 0, false},
      {SQCQ_READ_DONTCACHE, 0x80, 0, false},
      {SQCQ_READ_NOWAIT | SQCQ_READ_DONTCACHE, RWF_NOWAIT | 0x80, 0x2000, false},
      {SQCQ_READ_ASYNC, 0, 0x4007, true},
      {SQCQ_READ_ASYNC | SQCQ_READ_DONTCACHE, 0x80, 0x6000, true},
      {0, 0, 0, false}, /* and nothing stays behind */
  };
  struct sim_op op;

  start("6.18", 0, 0);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sqcq_read read = plain(cases[i].flags, cases[i].ioprio);

    assert_ok(sqcq_request(rig.engine, &read));
    struct sqcq_completion completion = take();
    assert_int_equal(completion.result, RIG_LENGTH);
    assert_int_equal(completion.flags, 0);
    assert_true(sim_submitted_last(SIM_READ, &op));
    assert_int_equal(op.rw_flags, cases[i].rw_flags);
    assert_int_equal(op.ioprio, cases[i].ioprio);
    assert_int_equal(op.async, cases[i].async);
    release(&completion.buffer, 1);
  }
  rig_end(&rig);
}

static void hints_that_make_no_sense_are_refused(void **state)
{
  static const struct {
    uint32_t flags;
    uint16_t ioprio;
  } bad[] = {
      {SQCQ_READ_NOWAIT | SQCQ_READ_ASYNC, 0},
      {SQCQ_READ_WILLNEED | SQCQ_READ_DONTNEED, 0},
      {SQCQ_READ_WILLNEED | SQCQ_READ_NOWAIT, 0},
      {SQCQ_READ_DONTNEED | SQCQ_READ_DONTCACHE, 0},
      {SQCQ_READ_DONTNEED | SQCQ_READ_VECTOR, 0},
      {SQCQ_READ_WILLNEED, 0x4000},
      {1u << 6, 0},
      {1u << 31, 0},
      {0, 1},      /* class 0 has no levels */
      {0, 0x8000}, /* class 4 */
      {0, 0xffff},
  };

  start("6.18", COUNT, 0);
  struct sqcq_read read = plain(0, 0);
  sqcq_buffer buffer = read.buffer;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    read.flags = bad[i].flags;
    read.ioprio = bad[i].ioprio;
    read.buffer.id = (bad[i].flags & SQCQ__READ_ADVICE) != 0 ? 0 : buffer.id;
    refuse(read, -EINVAL);
  }
  read.ioprio = 0;
  read.flags = SQCQ_READ_WILLNEED;
  read.buffer = buffer; /* advice has none */
  refuse(read, -EINVAL);
  read.buffer.id = 0;
  read.buffer_offset = 1;
  refuse(read, -EINVAL);
  read.buffer_offset = 0;
  read.offset = SQCQ_OFFSET_CURRENT;
  refuse(read, -EINVAL);
  read.offset = 0;
  read.length = SQCQ_LENGTH_MAX + 1;
  refuse(read, -EINVAL);
  read.length = 0;
  read.flags = 0; /* only advice may have no length */
  read.buffer = buffer;
  refuse(read, -EINVAL);
  release(&buffer, 1);
  rig_end(&rig);
}

static void hints_that_the_kernel_lacks_are_refused(void **state)
{
  struct sim_config kernel = sim_kernel("6.12");
  struct sqcq_engine_config config = rig_config();

  kernel.fadvise_error = -EOPNOTSUPP;
  rig_start_with(&rig, &kernel, &config);
  rig_assert_feature(&rig, SQCQ__FEATURE_DONTCACHE, SQCQ_FEATURE_REFUSED, -EOPNOTSUPP);
  rig_assert_feature(&rig, SQCQ__FEATURE_FADVISE, SQCQ_FEATURE_REFUSED, -EOPNOTSUPP);
  rig_assert_feature(&rig, SQCQ__FEATURE_NOWAIT, SQCQ_FEATURE_ON, 0);
  struct sqcq_read read = plain(SQCQ_READ_DONTCACHE, 0);
  sqcq_buffer buffer = read.buffer;
  refuse(read, -EOPNOTSUPP);
  read.flags |= SQCQ_READ_ASYNC;
  refuse(read, -EOPNOTSUPP);
  read.flags = SQCQ_READ_WILLNEED;
  read.buffer.id = 0;
  refuse(read, -EOPNOTSUPP);
  release(&buffer, 1);
  rig_end(&rig);
}

static void hints_that_a_polling_ring_lacks_are_refused(void **state)
{
  static const uint32_t flags[] = {SQCQ_READ_ASYNC, SQCQ_READ_WILLNEED, SQCQ_READ_DONTNEED};

  start("6.18", 0, SQCQ_ENGINE_IOPOLL);
  rig_assert_feature(&rig, SQCQ__FEATURE_FADVISE, SQCQ_FEATURE_OFF, 0);
  for (uint32_t i = 0; i < 3; i++)
    refuse((struct sqcq_read){.channel = rig.channel, .length = 1, .flags = flags[i]}, -EOPNOTSUPP);
  rig_end(&rig);
}

static void nowait_on_an_empty_pipe_is_the_kernels_eagain(void **state)
{
  start("6.18", 0, 0);
  struct sqcq_read read = plain(SQCQ_READ_NOWAIT, 0);
  read.file = rig.silent;
  read.offset = SQCQ_OFFSET_CURRENT;
  assert_ok(sqcq_request(rig.engine, &read));
  struct sqcq_completion completion = take();
  assert_error(completion.result, -EAGAIN);
  assert_int_equal(completion.flags, 0);
  release(&completion.buffer, 1);
  rig_end(&rig);
}

static void advice_has_a_completion_and_no_buffer(void **state)
{
  sqcq_buffer none = {9};
  struct sim_op op;

  start("5.10", 0, 0);
  for (uint32_t i = 0; i < 40; i++) { /* often enough for a place in the file table */
    struct sqcq_read read = {.file = rig.file,
                             .channel = rig.channel,
                             .offset = i,
                             .user_data = i,
                             .length = i % 2 == 0 ? 0 : SQCQ_LENGTH_MAX,
                             .flags = i % 4 < 2 ? SQCQ_READ_WILLNEED : SQCQ_READ_DONTNEED};

    read.flags |= i % 3 == 0 ? SQCQ_READ_ASYNC : 0;
    assert_ok(sqcq_request(rig.engine, &read));
    struct sqcq_completion completion = take();
    assert_int_equal(completion.user_data, i);
    assert_ok(completion.result);
    assert_int_equal(completion.flags, SQCQ_COMPLETION_ADVICE);
    assert_int_equal(completion.buffer.id, 0);
    assert_null(completion.data);
    assert_int_equal(completion.length, read.length);
    assert_int_equal(completion.file.id, rig.file.id);
    assert_count(sqcq_completion_buffers(rig.engine, &completion, &none, 1), 0);
    assert_true(sim_submitted_last(SIM_ADVICE, &op));
    assert_int_equal(op.rw_flags, i % 4 < 2 ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED);
    assert_int_equal(op.offset, i);
    assert_int_equal(op.length, read.length);
    assert_int_equal(op.async, i % 3 == 0);
  }
  assert_true(op.slot >= 0);
  assert_int_equal(none.id, 9);
  rig_end(&rig);
}

static void advice_that_is_cancelled_has_no_buffer_either(void **state)
{
  start("6.18", 0, 0);
  struct sqcq_read read = {.file = rig.file, .channel = rig.channel, .flags = SQCQ_READ_WILLNEED};
  assert_ok(sqcq_request(rig.engine, &read));
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  rig_run(&rig);
  struct sqcq_completion completion;
  assert_count(sqcq_channel_poll(rig.engine, rig.channel, &completion, 1), 1);
  assert_error(completion.result, -ECANCELED);
  assert_int_equal(completion.flags,
                   SQCQ_COMPLETION_ADVICE | SQCQ_COMPLETION_UNSUBMITTED | SQCQ_COMPLETION_STOPPED);
  assert_int_equal(completion.buffer.id, 0);
  assert_null(completion.data);
  rig_close(&rig);
  rig_clear(&rig);
}

/* ------------------------------------------------------------------------- */
/* Kernel workers                                                            */
/* ------------------------------------------------------------------------- */

static void workers_are_bounded_on_the_first_turn(void **state)
{
  static const char *const versions[] = {"6.18", "5.15", "5.10"};

  for (uint32_t i = 0; i < 4; i++) {
    struct sim_config kernel = sim_kernel(versions[i % 3]);
    struct sqcq_engine_config config = rig_config();

    config.io_workers_bounded = i < 3 ? 4 : 0;
    config.io_workers_unbounded = i == 1 ? 7 : 0;
    rig_start_with(&rig, &kernel, &config);
    rig_assert_feature(&rig, SQCQ__FEATURE_IO_WORKERS, SQCQ_FEATURE_OFF, 0);
    (void)rig_turns(&rig, 3);
    assert_int_equal(sim_counts()->calls[SIM_CALL_BOUND_WORKERS], i < 3 ? 1 : 0);
    if (i < 2)
      rig_assert_feature(&rig, SQCQ__FEATURE_IO_WORKERS, SQCQ_FEATURE_ON, 0);
    else if (i == 2)
      rig_assert_feature(&rig, SQCQ__FEATURE_IO_WORKERS, SQCQ_FEATURE_REFUSED, -EINVAL);
    assert_int_equal(sim_workers(0), i < 2 ? 4 : 0);
    assert_int_equal(sim_workers(1), i == 1 ? 7 : 0);
    rig_ask(&rig, 1); /* refused or not, the engine goes on */
    (void)rig_turns(&rig, 2);
    rig_expect(&rig, 1, RIG_LENGTH, 0);
    rig_end(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vector_read_fills_its_buffers_in_order),
      cmocka_unit_test(vector_read_needs_no_more_buffers_than_bytes),
      cmocka_unit_test(vector_of_one_is_a_plain_read),
      cmocka_unit_test(vector_reads_in_flight_keep_their_iovecs),
      cmocka_unit_test(vector_read_that_is_cancelled_gives_all_buffers_back),
      cmocka_unit_test(vector_read_refused_leaves_every_buffer_owned),
      cmocka_unit_test(vector_read_of_an_engine_without_is_refused),
      cmocka_unit_test(completion_buffers_that_moved_on_are_refused),
      cmocka_unit_test(report_of_a_cancel_has_no_buffers),
      cmocka_unit_test(hints_arrive_in_the_sqe),
      cmocka_unit_test(hints_that_make_no_sense_are_refused),
      cmocka_unit_test(hints_that_the_kernel_lacks_are_refused),
      cmocka_unit_test(hints_that_a_polling_ring_lacks_are_refused),
      cmocka_unit_test(nowait_on_an_empty_pipe_is_the_kernels_eagain),
      cmocka_unit_test(advice_has_a_completion_and_no_buffer),
      cmocka_unit_test(advice_that_is_cancelled_has_no_buffer_either),
      cmocka_unit_test(workers_are_bounded_on_the_first_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
