/* sqcq-test: simulated */
/*
 * sqcq_cancel() on the simulated ring: whom it finds at every stage, whom it must not find, and its
 * report.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/engine/turn_rig.h"

#define CANCELLED SQCQ_COMPLETION_CANCELLED
#define UNSUBMITTED SQCQ_COMPLETION_UNSUBMITTED

/* What came for a user_data below 64: nothing yet where count is 0. */
struct answers {
  struct {
    uint32_t count;
    int32_t result;
    uint32_t flags;
  } of[64];
  uint32_t reports;
  int32_t matched; /* of the last report */
  uint64_t report_user_data;
};

static void start_deep(struct rig *rig, const char *version, uint32_t inflight_max,
                       uint32_t cancels_max)
{
  struct sim_config kernel = sim_kernel(version);
  struct sqcq_engine_config config = rig_config();

  config.channels_max = 3;
  config.depth = 16;
  config.cancels_max = cancels_max;
  rig_start_with(rig, &kernel, &config);
  (void)rig_turns(rig, 1);
  assert_ok(sqcq_channel_destroy(rig->engine, rig->channel));
  (void)rig_turns(rig, 1);
  rig->channel = rig_channel(rig, 16, 1, inflight_max);
}

static struct sqcq_cancel_target cancel_all(const struct rig *rig)
{
  return (struct sqcq_cancel_target){.what = SQCQ_CANCEL_ALL,
                                     .flags = SQCQ_CANCEL_REPORT,
                                     .report = rig->channel,
                                     .report_user_data = 4711};
}

static void take_answers(struct rig *rig, sqcq_channel channel, struct answers *answers)
{
  struct sqcq_completion taken[3];
  int n;

  while ((n = sqcq_channel_poll(rig->engine, channel, taken, 3)) > 0)
    for (int i = 0; i < n; i++) {
      if ((taken[i].flags & SQCQ_COMPLETION_REPORT) != 0) {
        struct sqcq_completion report = {.user_data = taken[i].user_data,
                                         .result = taken[i].result,
                                         .flags = SQCQ_COMPLETION_REPORT};

        assert_memory_equal(&taken[i], &report, sizeof(report));
        answers->reports++;
        answers->matched = report.result;
        answers->report_user_data = report.user_data;
        continue;
      }
      assert_true(taken[i].user_data < 64);
      answers->of[taken[i].user_data].count++;
      answers->of[taken[i].user_data].result = taken[i].result;
      answers->of[taken[i].user_data].flags = taken[i].flags;
      assert_count(sqcq_buffer_release(rig->engine, &taken[i].buffer, 1), 1);
    }
}

static void expect_answer(const struct answers *answers, uint32_t user_data, int32_t result,
                          uint32_t flags)
{
  assert_int_equal(answers->of[user_data].count, 1);
  assert_int_equal(answers->of[user_data].result, result);
  assert_int_equal(answers->of[user_data].flags, flags);
}

static uint32_t count_answers(const struct answers *answers)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < 64; i++)
    count += answers->of[i].count;
  return count;
}

/* ------------------------------------------------------------------------- */
/* Whom it finds                                                             */
/* ------------------------------------------------------------------------- */

static void cancel_finds_older_reads_at_every_stage_and_no_later_one(void **state)
{
  static const struct {
    const char *version;
    int32_t result;
  } kernels[] = {{"5.10", -EINTR}, {"5.15", -ECANCELED}, {"6.18", -ECANCELED}};

  for (int i = 0; i < 3; i++) {
    struct answers answers = {0};
    struct rig rig;

    start_deep(&rig, kernels[i].version, 3, 0);
    for (uint64_t k = 0; k < 5; k++) /* 0 to 2 in the kernel, 3 and 4 wait */
      rig_ask_silent(&rig, k);
    (void)rig_turns(&rig, 2);
    rig_ask_silent(&rig, 5); /* in its lane */
    struct sqcq_cancel_target cancel = cancel_all(&rig);
    assert_ok(sqcq_cancel(rig.engine, &cancel));
    rig_ask_silent(&rig, 6); /* in the same lane, after it */
    (void)rig_turns(&rig, 4);
    take_answers(&rig, rig.channel, &answers);
    for (uint32_t k = 0; k < 6; k++)
      expect_answer(&answers, k, k < 3 ? kernels[i].result : -ECANCELED,
                    k < 3 ? CANCELLED : CANCELLED | UNSUBMITTED);
    assert_int_equal(answers.of[6].count, 0);
    assert_int_equal(answers.reports, 1);
    assert_int_equal(answers.matched, 6);
    assert_int_equal(answers.report_user_data, 4711);
    assert_int_equal(rig_reads_inside(), 1);
    assert_int_equal(rig_stats(&rig).completed, 6); /* reports are none */
    assert_int_equal(rig_stats(&rig).unsubmitted, 3);
    rig_end(&rig);
  }
}

static void cancel_by_file_channel_or_user_data_leaves_others_alone(void **state)
{
  for (uint32_t what = SQCQ_CANCEL_CHANNEL; what <= SQCQ_CANCEL_USER_DATA; what++) {
    struct answers answers = {0}, of_other = {0};
    struct rig rig;
    sqcq_file file;

    start_deep(&rig, "6.18", 8, 0);
    sqcq_channel other = rig_channel(&rig, 8, 1, 8);
    assert_ok(sqcq_file_add(rig.engine, rig.pipe[0], &file));
    for (uint64_t k = 0; k < 8; k++) /* user_data 0 to 3 on each channel, files in turn */
      assert_ok(rig_try(&rig, k < 4 ? rig.channel : other, k % 2 == 0 ? rig.silent : file,
                        SQCQ_OFFSET_CURRENT, k % 4));
    (void)rig_turns(&rig, 2);
    struct sqcq_cancel_target cancel = {.what = what};
    if (what == SQCQ_CANCEL_FILE)
      cancel.file = file;
    else
      cancel.channel = other;
    if (what == SQCQ_CANCEL_USER_DATA)
      cancel.user_data = 2;
    assert_ok(sqcq_cancel(rig.engine, &cancel));
    (void)rig_turns(&rig, 3);
    take_answers(&rig, rig.channel, &answers);
    take_answers(&rig, other, &of_other);
    for (uint32_t k = 0; k < 8; k++) {
      bool meant = what == SQCQ_CANCEL_FILE      ? k % 2 == 1
                   : what == SQCQ_CANCEL_CHANNEL ? k >= 4
                                                 : k == 6;
      const struct answers *got = k < 4 ? &answers : &of_other;

      if (meant)
        expect_answer(got, k % 4, -ECANCELED, CANCELLED);
      else
        assert_int_equal(got->of[k % 4].count, 0);
    }
    assert_int_equal(answers.reports + of_other.reports, 0);
    sim_now()->hold = 0;
    assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_CANCEL, SQCQ_FOREVER));
    rig_run(&rig);
    take_answers(&rig, other, &of_other);
    rig_close(&rig);
    rig_clear(&rig);
  }
}

static void cancel_that_finds_nothing_reports_0(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  rig_start(&rig, "6.18");
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel)); /* before the first turn */
  assert_int_equal(rig_turns(&rig, 1), 1);
  take_answers(&rig, rig.channel, &answers);
  assert_int_equal(answers.reports, 1);
  assert_int_equal(answers.matched, 0);
  rig_end(&rig);
}

static void cancel_of_a_read_that_was_faster_changes_nothing(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 0);
  sim_now()->cancel = SIM_CANCEL_LATE;
  sim_now()->hold = SIM_HOLD(SIM_READ);
  rig_ask(&rig, 1);
  (void)rig_turns(&rig, 1);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 3);
  take_answers(&rig, rig.channel, &answers);
  expect_answer(&answers, 1, RIG_LENGTH, 0);
  assert_int_equal(answers.matched, 1); /* it was in the kernel */
  rig_end(&rig);
}

static void cancel_of_a_read_just_answered_finds_nothing(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 0);
  rig_ask(&rig, 1);
  (void)rig_turns(&rig, 2); /* unread in its channel */
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 1);
  take_answers(&rig, rig.channel, &answers);
  expect_answer(&answers, 1, RIG_LENGTH, 0);
  assert_int_equal(answers.reports, 1);
  assert_int_equal(answers.matched, 0);
  rig_end(&rig);
}

static void cancel_that_missed_is_tried_again(void **state)
{
  struct answers answers = {0};
  struct rig rig;
  struct sim_op op;

  start_deep(&rig, "6.18", 3, 0);
  rig_ask_silent(&rig, 1);
  (void)rig_turns(&rig, 1);
  sim_now()->hold = SIM_HOLD(SIM_CANCEL);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 1);
  assert_true(sim_submitted_last(SIM_CANCEL, &op));
  assert_true(sim_complete_user_data(op.user_data, -ENOENT));
  (void)rig_turns(&rig, 2);
  assert_int_equal(rig.engine->io.requests.cancels_missed, 1);
  /* Another cancel finds it, and counts it, and does not ask the kernel twice. */
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 1);
  assert_int_equal(sim_counts()->submitted[SIM_CANCEL], 1);
  sim_now()->hold = 0;
  assert_true(rig.engine->io.retry_at > 0);
  rig.engine->io.retry_at = 1; /* its time has come */
  (void)rig_turns(&rig, 3);
  take_answers(&rig, rig.channel, &answers);
  expect_answer(&answers, 1, -ECANCELED, CANCELLED);
  assert_int_equal(answers.reports, 2);
  assert_int_equal(answers.matched, 1);
  rig_end(&rig);
}

static void cancel_of_a_closed_channel_gets_its_silent_reads_out(void **state)
{
  struct answers answers = {0};
  struct sqcq_completion completion;
  struct rig rig;

  start_deep(&rig, "6.18", 1, 0);
  sqcq_channel closed = rig_channel(&rig, 8, 1, 1);
  for (uint64_t k = 0; k < 3; k++)
    assert_ok(rig_try(&rig, closed, rig.silent, SQCQ_OFFSET_CURRENT, k));
  (void)rig_turns(&rig, 2);
  assert_error(sqcq_channel_destroy(rig.engine, closed), -EBUSY);
  struct sqcq_cancel_target cancel = {.what = SQCQ_CANCEL_CHANNEL, .channel = closed};
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  cancel.flags = SQCQ_CANCEL_REPORT;
  cancel.report = closed;
  assert_error(sqcq_cancel(rig.engine, &cancel), -EPIPE); /* it takes no credits any more */
  (void)rig_turns(&rig, 3);
  take_answers(&rig, closed, &answers);
  assert_int_equal(count_answers(&answers), 3);
  assert_error(sqcq_channel_poll(rig.engine, closed, &completion, 1), -EPIPE);
  assert_ok(sqcq_channel_destroy(rig.engine, closed));
  cancel = (struct sqcq_cancel_target){.what = SQCQ_CANCEL_CHANNEL, .channel = closed};
  assert_error(sqcq_cancel(rig.engine, &cancel), -EPIPE);
  (void)rig_turns(&rig, 1);
  assert_error(sqcq_cancel(rig.engine, &cancel), -EPIPE);
  closed = rig_channel(&rig, 8, 1, 1); /* another one in its place */
  assert_error(sqcq_cancel(rig.engine, &cancel), -EPIPE);
  rig_end(&rig);
}

/* Its channel was destroyed, and another one made in its place, before it was acted upon. */
static void cancel_of_a_channel_that_is_gone_finds_nothing(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 0);
  rig_ask_silent(&rig, 1);
  (void)rig_turns(&rig, 1);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  cancel.what = SQCQ_CANCEL_CHANNEL;
  cancel.channel = rig.channel;
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  uint32_t top = sqcq__load_relaxed(&rig.engine->cancels.posted);
  rig.engine->cancels.entries[top - 1].asked.channel.id -= UINT64_C(1) << 32;
  (void)rig_turns(&rig, 3);
  take_answers(&rig, rig.channel, &answers);
  assert_int_equal(answers.of[1].count, 0);
  assert_int_equal(answers.matched, 0);
  assert_int_equal(answers.reports, 1);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* Bounds                                                                    */
/* ------------------------------------------------------------------------- */

static void cancel_beyond_cancels_max_is_refused_until_a_turn(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 2);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  for (int round = 0; round < 3; round++) {
    assert_ok(sqcq_cancel(rig.engine, &cancel));
    assert_ok(sqcq_cancel(rig.engine, &cancel));
    assert_error(sqcq_cancel(rig.engine, &cancel), -EAGAIN);
    assert_int_equal(rig_turns(&rig, 1), 2);
  }
  take_answers(&rig, rig.channel, &answers);
  assert_int_equal(answers.reports, 6);
  rig_end(&rig);
}

static void cancel_whose_report_has_no_room_is_refused_and_keeps_no_entry(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 1);
  sqcq_channel narrow = rig_channel(&rig, 1, 1, 1);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  uint64_t word =
      sqcq__load_relaxed(&rig.engine->channels[sqcq__handle_index(narrow.id)].credit.word);
  cancel.report = narrow;
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 1);
  for (int i = 0; i < 3; i++)
    assert_error(sqcq_cancel(rig.engine, &cancel), -EXFULL);
  assert_int_equal(sqcq__load_relaxed(&rig.engine->control.cancel_epoch), 1);
  take_answers(&rig, narrow, &answers);
  assert_int_equal(answers.reports, 1);
  assert_int_equal(
      sqcq__load_relaxed(&rig.engine->channels[sqcq__handle_index(narrow.id)].credit.word),
      word); /* the credit is back */
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  (void)rig_turns(&rig, 1);
  take_answers(&rig, narrow, &answers);
  assert_int_equal(answers.reports, 2);
  rig_end(&rig);
}

/* ------------------------------------------------------------------------- */
/* The end                                                                   */
/* ------------------------------------------------------------------------- */

static void cancel_ends_what_a_drain_would_wait_for(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 1, 0);
  rig_ask_silent(&rig, 1);
  rig_ask_silent(&rig, 2);
  (void)rig_turns(&rig, 2);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  (void)rig_turns(&rig, 3);
  assert_false(rig_stopped(&rig));
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  rig_run(&rig);
  take_answers(&rig, rig.channel, &answers);
  expect_answer(&answers, 1, -ECANCELED, CANCELLED);
  expect_answer(&answers, 2, -ECANCELED, CANCELLED | UNSUBMITTED);
  assert_int_equal(answers.matched, 2);
  assert_error(sqcq_cancel(rig.engine, &cancel), -ESHUTDOWN);
  rig_close(&rig);
  rig_clear(&rig);
}

/* It has pushed its entry, and the engine stops before it has set the bit: no report is lost. */
static void cancel_without_its_bit_is_acted_upon_before_the_last_turn(void **state)
{
  struct answers answers = {0};
  struct rig rig;

  start_deep(&rig, "6.18", 3, 0);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  sqcq__store_relaxed(&rig.engine->control.bits, 0);
  (void)rig_turns(&rig, 2);
  take_answers(&rig, rig.channel, &answers);
  assert_int_equal(answers.reports, 0);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  rig_run(&rig);
  take_answers(&rig, rig.channel, &answers);
  assert_int_equal(answers.reports, 1);
  rig_close(&rig);
  rig_clear(&rig);
}

/* It is inside its call when the engine makes its last turn. */
static void cancel_that_comes_after_the_last_turn_gives_everything_back(void **state)
{
  struct rig rig;

  start_deep(&rig, "6.18", 3, 1);
  assert_ok(sqcq_engine_stop(rig.engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER));
  rig_run(&rig);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  struct sqcq__channel *channel = &rig.engine->channels[sqcq__handle_index(rig.channel.id)];
  uint64_t word = sqcq__load_relaxed(&channel->credit.word);
  for (int i = 0; i < 3; i++) {
    sqcq__store_relaxed(&rig.engine->phase, SQCQ__PHASE_RUNNING); /* when it looked */
    assert_error(sqcq_cancel(rig.engine, &cancel), -ESHUTDOWN);
    sqcq__store_relaxed(&rig.engine->phase, SQCQ__PHASE_STOPPED);
    assert_int_equal(sqcq__load_relaxed(&channel->credit.word), word);
  }
  rig_close(&rig);
  rig_clear(&rig);
}

static void cancel_of_an_engine_that_never_turns_is_reported_by_destroy(void **state)
{
  struct answers answers = {0};
  struct sqcq_held held;
  struct rig rig;

  rig_start(&rig, "6.18");
  rig_ask(&rig, 1);
  struct sqcq_cancel_target cancel = cancel_all(&rig);
  assert_ok(sqcq_cancel(rig.engine, &cancel));
  assert_error(sqcq_engine_destroy(rig.engine, &held), -EBUSY);
  assert_int_equal(held.unread, 2);
  take_answers(&rig, rig.channel, &answers);
  expect_answer(&answers, 1, -ECANCELED, CANCELLED | UNSUBMITTED);
  assert_int_equal(answers.matched, 1);
  rig_close(&rig);
  rig_clear(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cancel_finds_older_reads_at_every_stage_and_no_later_one),
      cmocka_unit_test(cancel_by_file_channel_or_user_data_leaves_others_alone),
      cmocka_unit_test(cancel_that_finds_nothing_reports_0),
      cmocka_unit_test(cancel_of_a_read_that_was_faster_changes_nothing),
      cmocka_unit_test(cancel_of_a_read_just_answered_finds_nothing),
      cmocka_unit_test(cancel_that_missed_is_tried_again),
      cmocka_unit_test(cancel_of_a_closed_channel_gets_its_silent_reads_out),
      cmocka_unit_test(cancel_of_a_channel_that_is_gone_finds_nothing),
      cmocka_unit_test(cancel_beyond_cancels_max_is_refused_until_a_turn),
      cmocka_unit_test(cancel_whose_report_has_no_room_is_refused_and_keeps_no_entry),
      cmocka_unit_test(cancel_ends_what_a_drain_would_wait_for),
      cmocka_unit_test(cancel_without_its_bit_is_acted_upon_before_the_last_turn),
      cmocka_unit_test(cancel_that_comes_after_the_last_turn_gives_everything_back),
      cmocka_unit_test(cancel_of_an_engine_that_never_turns_is_reported_by_destroy),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
