/* sqcq-test: simulated */
/*
 * Files that are removed while they are read, and the races of cancels with their targets.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#define REMOVED SQCQ_COMPLETION_FILE_REMOVED
#define UNSUBMITTED SQCQ_COMPLETION_UNSUBMITTED

/* Six reads of the stamped file: 0 to 2 in the kernel and held there, 3 and 4 waiting, 5 in its
 * lane. */
static void ask_at_every_stage(struct rig *rig, const char *version)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();

  rig_start_with(rig, &kernel, &config);
  (void)rig_turns(rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  struct sqcq_channel_config channel = {.size = sizeof(channel), .capacity = 8, .inflight_max = 3};
  assert_ok(sqcq_channel_destroy(rig->engine, rig->channel));
  assert_ok(sqcq_channel_create(rig->engine, &channel, &rig->channel));
  for (uint64_t i = 0; i < 5; i++)
    rig_ask(rig, i);
  (void)rig_turns(rig, 2);
  rig_ask(rig, 5);
  assert_int_equal(rig_reads_inside(), 3);
}

static void remove_with_drain_reads_what_was_accepted(void **state)
{
  struct rig rig;
  uint64_t seen = 0;
  uint32_t fds;

  ask_at_every_stage(&rig, "6.18");
  fds = fds_count();
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  assert_error(rig_try(&rig, rig.channel, rig.file, 0, 9), -EBADF);
  assert_error(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN), -EBADF);
  (void)rig_turns(&rig, 3);
  assert_int_equal(rig_reads_inside(), 3);
  sim_now()->hold = 0;
  struct sqcq_completion completion;
  for (int i = 0; i < 8; i++)
    (void)rig_turns(&rig, 1);
  assert_int_equal(fds_count(), fds - 1);
  while (rig_take_from(&rig, rig.channel, &completion)) {
    assert_int_equal(completion.result, RIG_LENGTH);
    assert_int_equal(completion.flags, 0);
    seen |= UINT64_C(1) << completion.user_data;
  }
  assert_int_equal(seen, 0x3f);
  assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 0);
  rig_end(&rig);
}

static void remove_with_cancel_ends_reads_at_every_stage(void **state)
{
  static const struct {
    const char *version;
    int32_t result;
  } kernels[] = {{"5.10", -EINTR}, {"5.15", -ECANCELED}, {"6.18", -ECANCELED}};

  for (int i = 0; i < 3; i++) {
    struct rig rig;
    struct sqcq_completion completion;
    uint64_t seen = 0;

    ask_at_every_stage(&rig, kernels[i].version);
    uint32_t fds = fds_count();
    assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_CANCEL));
    (void)rig_turns(&rig, 4);
    while (rig_take_from(&rig, rig.channel, &completion)) {
      bool flew = completion.user_data < 3;

      assert_int_equal(completion.result, flew ? kernels[i].result : -ECANCELED);
      assert_int_equal(completion.flags, flew ? REMOVED : REMOVED | UNSUBMITTED);
      seen |= UINT64_C(1) << completion.user_data;
    }
    assert_int_equal(seen, 0x3f);
    assert_int_equal(fds_count(), fds - 1);
    assert_int_equal(rig_stats(&rig).unsubmitted, 3);
    assert_int_equal(rig_stats(&rig).submitted, 3);
    rig_end(&rig);
  }
}

static void remove_with_cancel_leaves_other_files_alone(void **state)
{
  struct rig rig;
  sqcq_file other;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &other));
  sim_now()->hold = SIM_HOLD(SIM_READ);
  rig_ask(&rig, 1);
  assert_ok(rig_try(&rig, rig.channel, other, 2 * RIG_LENGTH, 2));
  (void)rig_turns(&rig, 1);
  assert_ok(rig_try(&rig, rig.channel, other, 3 * RIG_LENGTH, 3));
  assert_ok(sqcq_file_remove(rig.engine, other, SQCQ_REMOVE_CANCEL));
  (void)rig_turns(&rig, 3);
  uint64_t seen = 0;
  assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 2);
  assert_int_equal(seen, 1u << 2 | 1u << 3);
  assert_true(sim_complete_offset(RIG_LENGTH, SIM_RESULT_REAL));
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void remove_by_default_drains_files_and_cancels_pipes(void **state)
{
  struct rig rig;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  rig_ask(&rig, 1);
  rig_ask_silent(&rig, 2);
  (void)rig_turns(&rig, 1);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DEFAULT));
  assert_ok(sqcq_file_remove(rig.engine, rig.silent, SQCQ_REMOVE_DEFAULT));
  assert_int_equal(rig_turns(&rig, 3), 1);
  rig_expect(&rig, 2, -ECANCELED, REMOVED);
  assert_true(sim_complete_offset(RIG_LENGTH, SIM_RESULT_REAL));
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, RIG_LENGTH, 0);
  rig_end(&rig);
}

static void removes_of_many_files_at_once_close_them_all_in_one_wait(void **state)
{
  static const char *const versions[] = {"5.10", "6.18"};

  for (int i = 0; i < 2; i++) {
    struct rig rig;
    sqcq_file files[38];

    rig_start(&rig, versions[i]);
    (void)rig_turns(&rig, 1);
    uint32_t fds = fds_count();
    for (int j = 0; j < 38; j++)
      assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[j]));
    assert_error(sqcq_file_add(rig.engine, rig.fd, &files[0]), -ENOSPC);
    for (int j = 0; j < 38; j++)
      assert_ok(sqcq_file_remove(rig.engine, files[j], SQCQ_REMOVE_DRAIN));
    assert_ok(sqcq_engine_wait(rig.engine, 200 * RIG_MS));
    assert_int_equal(fds_count(), fds);
    assert_int_equal(rig_stats(&rig).files_retired, 38);
    for (int j = 0; j < 38; j++) {
      sqcq_file stale = files[j];
      assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[j]));
      assert_error(sqcq_file_remove(rig.engine, stale, SQCQ_REMOVE_DRAIN), -EBADF);
    }
    rig_end(&rig);
  }
}

static void close_of_a_large_file_is_left_to_a_worker(void **state)
{
  struct rig rig;
  struct sim_op op;
  sqcq_file large;

  rig_start(&rig, "6.18");
  int fd = temp_file(&rig.dir, "large", NULL, 2 << 20);
  assert_ok(sqcq_file_add(rig.engine, fd, &large));
  close(fd);
  assert_ok(sqcq_file_remove(rig.engine, large, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 2);
  assert_true(sim_submitted_last(SIM_CLOSE, &op));
  assert_true(op.async);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 2);
  assert_true(sim_submitted_last(SIM_CLOSE, &op));
  assert_false(op.async);
  rig_end(&rig);
}

static void close_that_the_kernel_does_not_know_is_done_by_hand(void **state)
{
  struct rig rig;
  struct sim_op op;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  uint32_t fds = fds_count();
  sim_now()->hold = SIM_HOLD(SIM_CLOSE);
  assert_ok(sqcq_file_remove(rig.engine, rig.file, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 2);
  assert_int_equal(fds_count(), fds);
  assert_true(sim_submitted_last(SIM_CLOSE, &op));
  assert_false(op.done);
  sim_now()->hold = 0;
  (void)rig_turns(&rig, 2);
  assert_int_equal(fds_count(), fds - 1);
  rig_end(&rig);
}

/* What a producer does that found the file good, and was stopped until now before its lane. */
static void commit_late(struct rig *rig, sqcq_file file, uint64_t user_data)
{
  struct sqcq_engine *engine = rig->engine;
  uint32_t channel = sqcq__handle_index(rig->channel.id), tried = 0;
  struct sqcq__lane *lane;
  sqcq_buffer handle;

  assert_count(sqcq_buffer_acquire(engine, rig->pool, &handle, 1), 1);
  assert_count(sqcq__credit_take(&engine->channels[channel].credit,
                                 sqcq__handle_generation(rig->channel.id), 1),
               1);
  lane = sqcq__lanes_claim(&engine->lanes, &tried);
  assert_non_null(lane);
  struct sqcq__buffer *buffer = sqcq__buffer_at(&engine->buffers, handle.id);
  assert_true(sqcq__buffer_step(buffer, handle.id, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT));
  sqcq__owner_give(&buffer->owner, buffer->memory, buffer->size);
  *sqcq__lane_reserve(lane) =
      (struct sqcq__request){.file = sqcq__handle_retag(file.id, channel),
                             .buffer = sqcq__handle_retag(handle.id, buffer->pool),
                             .user_data = user_data,
                             .length = RIG_LENGTH};
  sqcq__lane_fill(lane);
  sqcq__lanes_publish(&engine->lanes, lane);
}

static void request_that_comes_after_the_removal_is_ended_unread(void **state)
{
  struct rig rig;
  sqcq_file old, next;

  rig_start(&rig, "6.18");
  (void)rig_turns(&rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_CLOSE);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &old));
  assert_ok(sqcq_file_remove(rig.engine, old, SQCQ_REMOVE_DRAIN));
  (void)rig_turns(&rig, 2);
  commit_late(&rig, old, 1); /* it is being closed */
  assert_int_equal(rig_turns(&rig, 1), 1);
  rig_expect(&rig, 1, -ECANCELED, REMOVED | UNSUBMITTED);
  sim_now()->hold = 0;
  (void)rig_turns(&rig, 3);
  commit_late(&rig, old, 2); /* it is closed */
  assert_int_equal(rig_turns(&rig, 1), 1);
  rig_expect(&rig, 2, -ECANCELED, REMOVED | UNSUBMITTED);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &next));
  assert_int_equal(sqcq__handle_index(next.id), sqcq__handle_index(old.id));
  commit_late(&rig, old, 3); /* another file has its place */
  assert_int_equal(rig_turns(&rig, 1), 1);
  rig_expect(&rig, 3, -ECANCELED, REMOVED | UNSUBMITTED);
  assert_int_equal(sim_counts()->submitted[SIM_READ], 0);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* A cancel and its target                                                   */
/* ------------------------------------------------------------------------- */

/* One held read of the stamped file, removed with CANCEL. */
static void race(struct rig *rig, enum sim_cancel outcome, bool cancel_first)
{
  rig_start(rig, "6.18");
  (void)rig_turns(rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  sim_now()->cancel = outcome;
  sim_now()->cancel_first = cancel_first;
  rig_ask(rig, 1);
  (void)rig_turns(rig, 1);
  assert_ok(sqcq_file_remove(rig->engine, rig->file, SQCQ_REMOVE_CANCEL));
}

static void cancel_that_wins_gives_one_completion_with_its_flag(void **state)
{
  for (int first = 0; first < 2; first++) {
    struct rig rig;

    race(&rig, SIM_CANCEL_WINS, first != 0);
    assert_int_equal(rig_turns(&rig, 3), 1);
    rig_expect(&rig, 1, -ECANCELED, REMOVED);
    assert_int_equal(rig.engine->io.requests.cancels_out, 0);
    rig_end(&rig);
  }
}

static void cancel_that_is_late_gives_the_bytes_and_no_flag(void **state)
{
  for (int first = 0; first < 2; first++) {
    struct rig rig;

    race(&rig, SIM_CANCEL_LATE, first != 0);
    assert_int_equal(rig_turns(&rig, 3), 1);
    rig_expect(&rig, 1, RIG_LENGTH, 0);
    rig_end(&rig);
  }
}

static void cancel_that_cannot_stop_its_target_waits_and_tries_again(void **state)
{
  struct rig rig;

  race(&rig, SIM_CANCEL_ALREADY, false);
  assert_int_equal(rig_turns(&rig, 5), 0);
  assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 1);
  assert_int_equal(rig.engine->io.requests.cancels_missed, 1);
  assert_ok(sqcq_engine_wait(rig.engine, 120 * RIG_MS)); /* it is the timeout that wakes it */
  assert_true(sim_counts()->submitted[SIM_CANCEL] >= 2);
  assert_true(sim_counts()->submitted[SIM_CANCEL] <= 4);
  assert_true(sim_complete_offset(RIG_LENGTH, 7));
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, 7, 0);
  assert_int_equal(rig.engine->io.requests.cancels_missed, 0);
  rig_end(&rig);
}

static void slot_of_a_cancelled_read_is_free_only_after_both_answers(void **state)
{
  struct rig rig;
  struct sim_op read, cancel, next;

  race(&rig, SIM_CANCEL_WINS, false);
  sim_now()->hold |= SIM_HOLD(SIM_CANCEL);
  (void)rig_turns(&rig, 2);
  assert_true(sim_submitted_last(SIM_READ, &read));
  assert_true(sim_submitted_last(SIM_CANCEL, &cancel));
  assert_int_equal(cancel.target, read.user_data);
  assert_true(sim_complete_user_data(read.user_data, 5)); /* faster than its cancel */
  assert_int_equal(rig_turns(&rig, 2), 1);
  rig_expect(&rig, 1, 5, 0);
  assert_int_equal(rig.engine->io.requests.cancels_out, 1);
  uint32_t fds = fds_count();
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &rig.file));
  assert_true(fds_count() == fds + 1);
  for (uint64_t i = 10; i < 15; i++)
    rig_ask(&rig, i); /* none of them in that slot */
  (void)rig_turns(&rig, 1);
  struct sim_op ops[16];
  uint32_t count = sim_reads(ops, 16);
  assert_int_equal(count, 5);
  for (uint32_t i = 0; i < count; i++)
    assert_int_not_equal(sqcq__user_data_slot(ops[i].user_data),
                         sqcq__user_data_slot(read.user_data));
  assert_true(sim_complete_user_data(cancel.user_data, -ENOENT));
  (void)rig_turns(&rig, 2);
  assert_int_equal(rig.engine->io.requests.cancels_out, 0);
  sim_now()->hold = SIM_HOLD(SIM_READ);
  rig_ask(&rig, 20);
  (void)rig_turns(&rig, 1);
  assert_true(sim_submitted_last(SIM_READ, &next)); /* this one, with another generation */
  assert_int_equal(sqcq__user_data_slot(next.user_data), sqcq__user_data_slot(read.user_data));
  assert_int_not_equal(next.user_data, read.user_data);
  rig_end(&rig);
}

static void stop_of_a_removed_file_s_reads_names_both(void **state)
{
  struct rig rig;

  race(&rig, SIM_CANCEL_WINS, false);
  sim_now()->hold |= SIM_HOLD(SIM_CANCEL);
  (void)rig_turns(&rig, 2);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
  (void)rig_turns(&rig, 2);
  assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 1);
  sim_now()->hold = 0;
  rig_run(&rig);
  struct sqcq_completion completion;
  assert_true(rig_take_from(&rig, rig.channel, &completion));
  if (completion.result < 0) /* else it was faster */
    assert_int_equal(completion.flags, REMOVED | SQCQ_COMPLETION_STOPPED);
  rig_close(&rig);
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(remove_with_drain_reads_what_was_accepted),
      cmocka_unit_test(remove_with_cancel_ends_reads_at_every_stage),
      cmocka_unit_test(remove_with_cancel_leaves_other_files_alone),
      cmocka_unit_test(remove_by_default_drains_files_and_cancels_pipes),
      cmocka_unit_test(removes_of_many_files_at_once_close_them_all_in_one_wait),
      cmocka_unit_test(close_of_a_large_file_is_left_to_a_worker),
      cmocka_unit_test(close_that_the_kernel_does_not_know_is_done_by_hand),
      cmocka_unit_test(request_that_comes_after_the_removal_is_ended_unread),
      cmocka_unit_test(cancel_that_wins_gives_one_completion_with_its_flag),
      cmocka_unit_test(cancel_that_is_late_gives_the_bytes_and_no_flag),
      cmocka_unit_test(cancel_that_cannot_stop_its_target_waits_and_tries_again),
      cmocka_unit_test(slot_of_a_cancelled_read_is_free_only_after_both_answers),
      cmocka_unit_test(stop_of_a_removed_file_s_reads_names_both),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
