/*
 * The kernel's file table and the places of files: used from the 16th read on, given back, shared by
 * more files than it has slots; and handles of places that are used again and again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <sys/resource.h>

#define READS_BEFORE_TABLE 16

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

static void read_page_of(struct rig *r, sqcq_file file, uint64_t page)
{
  struct sqcq_completion completion;
  struct sqcq_read read = rig_page(r, page);

  read.file = file;
  assert_ok(sqcq_request(r->engine, &read));
  rig_take(r, &completion, 1);
  rig_check_page(&completion);
  rig_release(r, completion.buffer);
}

/* One sleep: what the engine does once for it is not to be counted later. */
static void settle(struct rig *r)
{
  while (rig_stats(r).sleeps == 0) /* on a busy machine the time may be over before it sleeps */
    assert_count(sqcq_engine_wait(r->engine, MS), 0);
}

static bool table_is_on(const struct rig *r)
{
  struct sqcq_feature features[32];
  int count = sqcq_engine_features(r->engine, features, 32, sizeof(features[0]));

  assert_in_range(count, 1, 32);
  for (int i = 0; i < count; i++)
    if (strcmp(features[i].name, "FIXED_FILES") == 0)
      return features[i].state == SQCQ_FEATURE_ON;
  fail_msg("no FIXED_FILES in the list");
  return false;
}

/* Reads until the table is used, if it is; returns how many calls that took. */
static uint64_t read_often(struct rig *r, sqcq_file file)
{
  uint64_t before = rig_stats(r).syscalls_control;

  for (uint64_t i = 0; i < 2 * READS_BEFORE_TABLE; i++)
    read_page_of(r, file, i);
  return rig_stats(r).syscalls_control - before;
}

static void table_is_used_from_the_16th_read_on(void **state)
{
  sqcq_file file;

  if (!table_is_on(&rig))
    skip();
  settle(&rig);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  uint64_t before = rig_stats(&rig).syscalls_control;
  for (uint64_t i = 0; i < READS_BEFORE_TABLE - 1; i++)
    read_page_of(&rig, file, i);
  assert_int_equal(rig_stats(&rig).syscalls_control, before);
  for (uint64_t i = 0; i < 20; i++) {
    read_page_of(&rig, file, i);
    assert_int_equal(rig_stats(&rig).syscalls_control, before + 1);
  }
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  assert_int_equal(rig_stats(&rig).syscalls_control, before + 2); /* the slot is emptied */
  assert_int_equal(rig_stats(&rig).files_retired, 1);
}

/* A file that is not stored anywhere, a pipe, never goes into the table: before 6.16 a blocked read of
 * it would keep every file removed later open. */
static void table_is_not_used_for_streams(void **state)
{
  struct sqcq_completion completion;
  sqcq_file file;
  int ends[2];

  settle(&rig);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  uint64_t before = rig_stats(&rig).syscalls_control;
  for (uint64_t i = 0; i < 2 * READS_BEFORE_TABLE; i++) {
    assert_int_equal(write(ends[1], "x", 1), 1);
    rig_request_stream(&rig, rig.channel, file, i);
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, 1);
    rig_release(&rig, completion.buffer);
  }
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  assert_int_equal(rig_stats(&rig).syscalls_control, before);
  close(ends[0]);
  close(ends[1]);
}

/* Three files share a table of two slots; a slot given back is taken by the next one. */
static void table_smaller_than_files_is_shared(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct rig r;
  sqcq_file files[3];

  config.files_fixed = 2;
  rig_make_with(&r, &config, RIG_CAPACITY);
  bool on = table_is_on(&r);
  settle(&r);
  for (int i = 0; i < 3; i++)
    assert_ok(sqcq_file_add(r.engine, r.fd, &files[i]));
  assert_int_equal(read_often(&r, files[0]), on ? 1 : 0);
  assert_int_equal(read_often(&r, files[1]), on ? 1 : 0);
  assert_int_equal(read_often(&r, files[2]), 0); /* through its descriptor */
  assert_ok(sqcq_file_remove(r.engine, files[0], SQCQ_REMOVE_DEFAULT));
  rig_close_files(&r);
  assert_int_equal(read_often(&r, files[2]), on ? 1 : 0);
  assert_int_equal(read_often(&r, files[1]), 0);
  for (int i = 1; i < 3; i++)
    assert_ok(sqcq_file_remove(r.engine, files[i], SQCQ_REMOVE_DEFAULT));
  rig_end(&r);
}

static void engine_without_table_reads_through_descriptors(void **state)
{
  struct sqcq_engine_config config = rig_config();
  struct rig r;

  config.flags = SQCQ_ENGINE_NO_FIXED_FILES;
  rig_make_with(&r, &config, RIG_CAPACITY);
  assert_false(table_is_on(&r));
  settle(&r);
  assert_int_equal(read_often(&r, r.file), 0);
  rig_prove(&r);
  rig_end(&r);
}

/* ------------------------------------------------------------------------- */
/* Places and generations                                                    */
/* ------------------------------------------------------------------------- */

static void added_descriptor_may_be_closed_at_once(void **state)
{
  int fd = dup(rig.fd);
  sqcq_file file;
  int again;

  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  close(fd);
  again = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the same number for something else */
  assert_int_equal(again, fd);
  read_page_of(&rig, file, 5);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  assert_int_equal(fcntl(again, F_GETFD), FD_CLOEXEC); /* and not that one was closed */
  close(again);
}

/* The same descriptor more than once: each a file of its own. */
static void added_twice_are_two_files(void **state)
{
  sqcq_file files[2];

  for (int i = 0; i < 2; i++)
    assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[i]));
  assert_true(files[0].id != files[1].id);
  assert_ok(sqcq_file_remove(rig.engine, files[0], SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  read_page_of(&rig, files[1], 1);
  assert_ok(sqcq_file_remove(rig.engine, files[1], SQCQ_REMOVE_DEFAULT));
}

static void removed_file_is_not_the_next_one_in_its_place(void **state)
{
  sqcq_file old[20];
  struct sqcq_read read = rig_page(&rig, 0);
  sqcq_file file;

  for (int i = 0; i < 20; i++) {
    assert_ok(sqcq_file_add(rig.engine, rig.fd, &old[i]));
    assert_int_equal(sqcq__handle_index(old[i].id), sqcq__handle_index(old[0].id));
    assert_ok(sqcq_file_remove(rig.engine, old[i], SQCQ_REMOVE_DEFAULT));
    rig_close_files(&rig);
  }
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  for (int i = 0; i < 20; i++) {
    read.file = old[i];
    assert_true(old[i].id != file.id);
    assert_refused(&rig, sqcq_request(rig.engine, &read), -EBADF);
    assert_refused(&rig, sqcq_file_remove(rig.engine, old[i], SQCQ_REMOVE_CANCEL), -EBADF);
  }
  read_page_of(&rig, file, 3);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, read.buffer);
}

/* Thousands of files come and go through few places: nothing is used up, nothing left open. */
static void files_come_and_go_thousands_of_times(void **state)
{
  const uint64_t rounds = SANITIZED ? 500 : 4000;
  uint32_t open_before = fds_count();

  for (uint64_t i = 0; i < rounds; i++) {
    struct sqcq_completion completion;
    struct sqcq_read read = rig_page(&rig, i % RIG_PAGES);

    assert_ok(sqcq_file_add(rig.engine, rig.fd, &read.file));
    assert_ok(sqcq_request(rig.engine, &read));
    assert_ok(sqcq_file_remove(rig.engine, read.file, SQCQ_REMOVE_DEFAULT));
    rig_take(&rig, &completion, 1);
    rig_check_page(&completion);
    rig_release(&rig, completion.buffer);
  }
  rig_close_files(&rig);
  assert_int_equal(rig_stats(&rig).files_retired, rounds);
  assert_int_equal(fds_count(), open_before);
}

static void *come_and_go(void *argument)
{
  struct verdict *verdict = argument;

  for (int i = 0; i < (SANITIZED ? 200 : 2000);) {
    sqcq_file file;
    int error = sqcq_file_add(rig.engine, rig.fd, &file);

    if (error == -ENOSPC) { /* the I/O thread is behind with closing */
      sched_yield();
      continue;
    }
    verdict_check(verdict, error == 0);
    verdict_check(verdict, sqcq_file_remove(rig.engine, file, (unsigned)i % 3) == 0);
    verdict_check(verdict, sqcq_file_remove(rig.engine, file, 0) == -EBADF);
    i++;
  }
  return NULL;
}

static void files_come_and_go_on_many_threads(void **state)
{
  struct verdict verdict = {0};
  pthread_t threads[6];
  uint64_t expected = 6 * (SANITIZED ? 200 : 2000);
  int64_t limit = test_now_ns() + 3 * TEST_SOON_NS;

  for (int i = 0; i < 6; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &verdict), 0);
  while (rig_stats(&rig).files_retired < expected && !verdict_is_bad(&verdict)) {
    int n = sqcq_engine_wait(rig.engine, MS);

    assert_true(n == 0);
    assert_true(test_now_ns() < limit);
  }
  for (int i = 0; i < 6; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_verdict(&verdict);
  assert_int_equal(rig_stats(&rig).files_retired, expected);
}

static void add_without_a_descriptor_left_is_refused(void **state)
{
  struct rlimit limit;
  struct rlimit tight;
  sqcq_file file = {7};
  int lowest = dup(rig.fd);

  close(lowest);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  tight = limit;
  tight.rlim_cur = (rlim_t)lowest;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  int added = sqcq_file_add(rig.engine, rig.fd, &file);
  int opened = sqcq_file_open(rig.engine, AT_FDCWD, "/dev/null", O_RDONLY, &file);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  assert_error(added, -EMFILE);
  assert_error(opened, -EMFILE);
  assert_int_equal(file.id, 7);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(table_is_used_from_the_16th_read_on),
      CASE(table_is_not_used_for_streams),
      cmocka_unit_test(table_smaller_than_files_is_shared),
      cmocka_unit_test(engine_without_table_reads_through_descriptors),
      CASE(added_descriptor_may_be_closed_at_once),
      CASE(added_twice_are_two_files),
      CASE(removed_file_is_not_the_next_one_in_its_place),
      CASE(files_come_and_go_thousands_of_times),
      CASE(files_come_and_go_on_many_threads),
      CASE(add_without_a_descriptor_left_is_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("files_table", tests, NULL, NULL);
}
