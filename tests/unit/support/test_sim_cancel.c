/* sqcq-test: simulated */
/*
 * The simulated ring: cancels, and how they race with their targets.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_drive.h"
#include "support/temp.h"

#include <unistd.h>

#define TAG 3u

static struct temp_dir directory;
static int file = -1; /* stamped */

static int setup_file(void **state)
{
  (void)state;
  temp_dir_make(&directory);
  file = temp_file_stamped(&directory, "file", 4, TAG);
  return 0;
}

static int remove_file(void **state)
{
  (void)state;
  close(file);
  temp_dir_remove(&directory);
  return 0;
}

static struct sqcq__ring *open_ring(const char *version)
{
  struct sim_config config = sim_kernel(version);

  return drive_open(&config);
}

/* ------------------------------------------------------------------------- */
/* Cancels                                                                   */
/* ------------------------------------------------------------------------- */

/* Results of a held read (user_data 1) and its cancel (2), after two enters; which came first. */
struct race {
  int32_t target;
  int32_t cancel;
  uint64_t first;
  uint32_t count;
};

static struct race run_race(const char *version, enum sim_cancel outcome, bool cancel_first)
{
  struct sqcq__ring *ring = open_ring(version);
  struct drive_cqe cqes[64];
  struct race race = {.target = 1, .cancel = 1};
  static char data[64];

  sim_now()->hold = SIM_HOLD(SIM_READ);
  sim_now()->cancel = outcome;
  sim_now()->cancel_first = cancel_first;
  drive_read(ring, file, data, 64, 0, 1);
  drive_enter(ring);
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  race.count = drive_reap(ring, cqes);
  race.first = race.count > 0 ? cqes[0].user_data : 0;
  for (uint32_t i = 0; i < race.count; i++)
    *(cqes[i].user_data == 1 ? &race.target : &race.cancel) = cqes[i].result;
  if (race.count == 1) { /* the target is still to come */
    assert_true(sim_complete(0, SIM_RESULT_REAL));
    drive_enter(ring);
    drive_expect(ring, 1, 64);
  }
  assert_int_equal(sim_inflight(NULL, 0), 0);
  drive_close(ring);
  return race;
}

static void cancel_and_target_race_as_configured(void **state)
{
  (void)state;
  struct race race = run_race("6.1", SIM_CANCEL_WINS, false);
  assert_int_equal(race.target, -ECANCELED);
  assert_int_equal(race.cancel, 0);
  assert_int_equal(race.first, 1);
  race = run_race("6.1", SIM_CANCEL_WINS, true);
  assert_int_equal(race.target, -ECANCELED);
  assert_int_equal(race.first, 2);
  race = run_race("6.1", SIM_CANCEL_LATE, false);
  assert_int_equal(race.target, 64);
  assert_int_equal(race.cancel, -ENOENT);
  assert_int_equal(race.first, 1);
  race = run_race("6.1", SIM_CANCEL_ALREADY, false);
  assert_int_equal(race.count, 1);
  assert_int_equal(race.cancel, -EALREADY);
  race = run_race("5.10", SIM_CANCEL_WINS, false); /* the genuine one */
  assert_int_equal(race.target, -EINTR);
  assert_int_equal(race.cancel, -EALREADY);
}

static void cancel_of_what_is_gone_says_enoent(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  char data[8];

  (void)state;
  drive_read(ring, file, data, 8, 0, 1);
  drive_enter(ring);
  drive_expect(ring, 1, 8);
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  drive_expect(ring, 2, -ENOENT);

  sim_now()->hold = SIM_HOLD(SIM_READ); /* its completion is under way */
  drive_read(ring, file, data, 8, 0, 3);
  drive_enter(ring);
  assert_true(sim_complete(0, 5));
  drive_cancel(ring, 3, 4);
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].user_data, 4);
  assert_int_equal(cqes[0].result, -ENOENT);
  assert_int_equal(cqes[1].result, 5);
  assert_int_equal(sim_counts()->cancels_late, 2);
  drive_close(ring);
}

static void cancel_can_be_held_and_told(void **state)
{
  struct sqcq__ring *ring = open_ring("6.1");
  struct drive_cqe cqes[64];
  char data[8];

  (void)state;
  sim_now()->hold = SIM_HOLD(SIM_READ) | SIM_HOLD(SIM_CANCEL);
  drive_read(ring, file, data, 8, 0, 1);
  drive_cancel(ring, 1, 2);
  drive_enter(ring);
  drive_expect_nothing(ring);
  assert_true(sim_complete(0, 8)); /* the read is first, but its cancel answers later */
  drive_enter(ring);
  drive_expect(ring, 1, 8);
  assert_true(sim_complete_user_data(2, SIM_RESULT_REAL));
  drive_enter(ring);
  drive_expect(ring, 2, -ENOENT);

  drive_read(ring, file, data, 8, 0, 3);
  drive_cancel(ring, 3, 4);
  drive_enter(ring);
  assert_true(sim_complete_user_data(4, SIM_RESULT_REAL));
  drive_enter(ring);
  assert_int_equal(drive_reap(ring, cqes), 2);
  assert_int_equal(cqes[0].result, -ECANCELED);
  assert_int_equal(cqes[1].result, 0);
  drive_close(ring);
}

static void random_races_end_in_every_way_and_answer_both(void **state)
{
  struct sim_config config = sim_kernel("6.1");
  uint32_t won = 0, late = 0, already = 0, cancel_first = 0;

  (void)state;
  config.in_order = false;
  config.cancel = SIM_CANCEL_RANDOM;
  config.delay_max = 3;
  for (config.seed = 0; config.seed < 200; config.seed++) {
    struct sqcq__ring *ring = drive_open(&config);
    struct drive_cqe cqes[64];
    int32_t results[3] = {0};
    char data[64];
    uint32_t count = 0;

    drive_read(ring, file, data, 64, 0, 1);
    drive_cancel(ring, 1, 2);
    for (int i = 0; i < 20 && count < 2; i++) {
      drive_enter(ring);
      uint32_t n = drive_reap(ring, cqes);
      for (uint32_t j = 0; j < n; j++, count++) {
        cancel_first += count == 0 && cqes[j].user_data == 2;
        results[cqes[j].user_data] = cqes[j].result;
      }
    }
    assert_int_equal(count, 2);
    switch (results[2]) {
    case 0:
      assert_int_equal(results[1], -ECANCELED);
      won++;
      break;
    case -ENOENT:
      assert_int_equal(results[1], 64);
      late++;
      break;
    default:
      assert_int_equal(results[2], -EALREADY);
      assert_int_equal(results[1], 64);
      already++;
      break;
    }
    drive_close(ring);
  }
  assert_true(won > 20 && late > 20 && already > 20 && cancel_first > 20);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cancel_and_target_race_as_configured),
      cmocka_unit_test(cancel_of_what_is_gone_says_enoent),
      cmocka_unit_test(cancel_can_be_held_and_told),
      cmocka_unit_test(random_races_end_in_every_way_and_answer_both),
  };

  return cmocka_run_group_tests(tests, setup_file, remove_file);
}
