/*
 * Files: what may be added, handles and generations, removal, and places that come free again.
 */
#include "engine/files.h"

#include "support/fds.h"
#include "support/temp.h"
#include "support/test.h"

#include <sqcq/sqcq.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAG 0x321u
#define COUNT 3u

static struct temp_dir directory;
static struct sqcq__files files;
static struct fds before;
static int file = -1;

static int make_directory(void **state)
{
  (void)state;
  temp_dir_make(&directory);
  file = temp_file(&directory, "file", NULL, 4096);
  return 0;
}

static int remove_directory(void **state)
{
  (void)state;
  close(file);
  temp_dir_remove(&directory);
  return 0;
}

static int make(void **state)
{
  (void)state;
  fds_look(&before);
  files = (struct sqcq__files){0};
  return sqcq__files_init(&files, COUNT, TAG, false);
}

static int unmake(void **state)
{
  (void)state;
  sqcq__files_fini(&files);
  return fds_same(&before) ? 0 : -1; /* whatever happened, no descriptor is left behind */
}

static uint64_t add(int fd)
{
  uint64_t handle = 0;

  assert_ok(sqcq__files_add(&files, fd, &handle));
  return handle;
}

static uint64_t add_file(void)
{
  return add(dup(file));
}

static void assert_not_added(int fd, int error)
{
  uint64_t handle = 77;

  assert_error(sqcq__files_add(&files, fd, &handle), error);
  assert_int_equal(handle, 77);
  assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was ours, so it is closed */
}

static uint32_t flags_of(uint64_t handle)
{
  return files.files[sqcq__handle_index(handle)].flags;
}

/* The I/O thread's end of a removal: the descriptor is closed, the place is free. */
static void retire(uint64_t handle)
{
  uint32_t index = sqcq__handle_index(handle);

  files.io[index].retiring = true;
  close(files.files[index].fd);
  sqcq__files_recycle(&files, index);
}

static void remove_and_retire(uint64_t handle)
{
  assert_ok(sqcq__files_remove(&files, handle, SQCQ_REMOVE_DRAIN));
  assert_int_equal(sqcq__files_take_removed(&files), sqcq__handle_index(handle) + 1);
  retire(handle);
}

/* ------------------------------------------------------------------------- */
/* What may be added                                                         */
/* ------------------------------------------------------------------------- */

static void files_add_of_a_regular_file_is_stored(void **state)
{
  uint64_t handle = add_file();

  assert_int_equal(flags_of(handle), SQCQ__FILE_STORED | SQCQ__FILE_SMALL);
  assert_int_equal(sqcq__handle_tag(handle), TAG);
  assert_ok(sqcq__files_check(&files, handle));
  assert_true(sqcq__files_readable(&files, handle));
  assert_int_equal(files.io[sqcq__handle_index(handle)].slot, -1);
}

static void files_add_of_a_large_file_is_not_small(void **state)
{
  int fd = temp_file(&directory, "large", NULL, 0);

  assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
  assert_int_equal(flags_of(add(fd)), SQCQ__FILE_STORED);
}

static void files_add_of_what_may_wait_is_not_stored(void **state)
{
  int ends[2];

  assert_int_equal(pipe(ends), 0);
  assert_int_equal(flags_of(add(ends[0])), 0);
  close(ends[1]);
  assert_int_equal(flags_of(add(eventfd(0, 0))), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  assert_int_equal(flags_of(add(ends[0])), 0);
  close(ends[1]);
}

static void files_add_of_a_character_device_is_not_stored(void **state)
{
  int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

  assert_true(fd >= 0);
  assert_int_equal(flags_of(add(fd)), 0);
}

static void files_add_of_a_directory_is_eisdir(void **state)
{
  assert_not_added(open(directory.path, O_RDONLY | O_CLOEXEC | O_DIRECTORY), -EISDIR);
}

static void files_add_of_one_not_open_for_reading_is_ebadf(void **state)
{
  char *path = temp_path(&directory, "file");
  int ends[2];

  assert_not_added(open(path, O_WRONLY | O_CLOEXEC), -EBADF);
  assert_not_added(open(path, O_PATH | O_CLOEXEC), -EBADF);
  assert_not_added(open(directory.path, O_PATH | O_CLOEXEC), -EBADF);
  assert_int_equal(pipe(ends), 0);
  assert_not_added(ends[1], -EBADF);
  close(ends[0]);
  assert_int_equal(flags_of(add(open(path, O_RDWR | O_CLOEXEC))),
                   SQCQ__FILE_STORED | SQCQ__FILE_SMALL);
  free(path);
}

static void files_add_of_no_descriptor_is_ebadf(void **state)
{
  int fd = dup(file);
  uint64_t handle = 77;

  close(fd);
  assert_error(sqcq__files_add(&files, fd, &handle), -EBADF);
  assert_int_equal(handle, 77);
}

static void files_add_beyond_the_bound_is_enospc(void **state)
{
  uint64_t handles[COUNT];

  for (uint32_t i = 0; i < COUNT; i++)
    handles[i] = add_file();
  assert_not_added(dup(file), -ENOSPC);
  for (uint32_t i = 0; i < COUNT; i++)
    assert_ok(sqcq__files_check(&files, handles[i])); /* the refusal changed nothing */
  remove_and_retire(handles[1]);
  (void)add_file();
  assert_not_added(dup(file), -ENOSPC);
}

static void files_add_to_a_polling_engine_takes_direct_storage_only(void **state)
{
  char *path = temp_path(&directory, "file");
  int ends[2];

  sqcq__files_fini(&files);
  files = (struct sqcq__files){0};
  assert_ok(sqcq__files_init(&files, COUNT, TAG, true));
  assert_not_added(dup(file), -EOPNOTSUPP); /* not O_DIRECT */
  assert_int_equal(pipe2(ends, O_DIRECT), 0);
  assert_not_added(ends[0], -EOPNOTSUPP);
  close(ends[1]);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd >= 0) /* not on every file system */
    assert_int_equal(flags_of(add(fd)), SQCQ__FILE_STORED | SQCQ__FILE_SMALL);
  free(path);
}

/* ------------------------------------------------------------------------- */
/* Handles                                                                   */
/* ------------------------------------------------------------------------- */

static void files_check_of_foreign_handles_is_einval(void **state)
{
  uint64_t handle = add_file();

  assert_error(sqcq__files_check(&files, sqcq__handle_retag(handle, TAG + 1)), -EINVAL);
  assert_error(sqcq__files_check(&files, sqcq__handle(1, COUNT, TAG)), -EINVAL);
  assert_error(sqcq__files_check(&files, sqcq__handle(1, SQCQ__INDEX_MASK, TAG)), -EINVAL);
  assert_error(sqcq__files_check(&files, UINT64_MAX), -EINVAL);
}

static void files_check_of_the_handle_zero_is_ebadf(void **state)
{
  assert_error(sqcq__files_check(&files, 0), -EBADF);
}

static void files_check_of_other_generations_is_ebadf(void **state)
{
  uint64_t handle = add_file();
  uint32_t generation = sqcq__handle_generation(handle);
  uint32_t index = sqcq__handle_index(handle);

  assert_error(sqcq__files_check(&files, sqcq__handle(generation + 1, index, TAG)), -EBADF);
  assert_error(sqcq__files_check(&files, sqcq__handle(generation - 1, index, TAG)), -EBADF);
  /* A place that nobody has used yet. */
  assert_error(sqcq__files_check(&files, sqcq__handle(1, (index + 1) % COUNT, TAG)), -EBADF);
  assert_error(sqcq__files_check(&files, sqcq__handle(0, (index + 1) % COUNT, TAG)), -EBADF);
}

static void files_add_to_a_used_place_is_the_next_generation(void **state)
{
  uint64_t handle = add_file();

  for (int i = 0; i < 5; i++) {
    remove_and_retire(handle);
    uint64_t next = add_file(); /* the place used last comes first */
    assert_int_equal(sqcq__handle_index(next), sqcq__handle_index(handle));
    assert_int_equal(sqcq__handle_generation(next), sqcq__handle_generation(handle) + 1);
    assert_error(sqcq__files_check(&files, handle), -EBADF);
    assert_false(sqcq__files_readable(&files, handle));
    assert_ok(sqcq__files_check(&files, next));
    handle = next;
  }
}

static void files_add_past_the_last_generation_skips_zero(void **state)
{
  uint64_t handle = add_file();
  uint32_t index = sqcq__handle_index(handle);

  remove_and_retire(handle);
  sqcq__store_relaxed(&files.files[index].word, sqcq__word(UINT32_MAX, SQCQ__FILE_FREE));
  handle = add_file();
  assert_int_equal(sqcq__handle_index(handle), index);
  assert_int_equal(sqcq__handle_generation(handle), 1);
}

/* ------------------------------------------------------------------------- */
/* Removal                                                                   */
/* ------------------------------------------------------------------------- */

static void files_remove_kills_the_handle_at_once(void **state)
{
  uint64_t handle = add_file();

  assert_ok(sqcq__files_remove(&files, handle, SQCQ_REMOVE_DRAIN));
  assert_error(sqcq__files_check(&files, handle), -EBADF);
  assert_true(sqcq__files_readable(&files, handle)); /* what was accepted before is read */
  files.io[sqcq__handle_index(handle)].retiring = true;
  assert_false(sqcq__files_readable(&files, handle));
}

static void files_remove_twice_is_ebadf(void **state)
{
  uint64_t handle = add_file();

  assert_ok(sqcq__files_remove(&files, handle, SQCQ_REMOVE_DRAIN));
  assert_error(sqcq__files_remove(&files, handle, SQCQ_REMOVE_CANCEL), -EBADF);
  assert_int_equal(files.files[sqcq__handle_index(handle)].remove_mode, SQCQ_REMOVE_DRAIN);
  assert_int_equal(sqcq__files_take_removed(&files), sqcq__handle_index(handle) + 1);
  assert_int_equal(sqcq__files_take_removed(&files), 0); /* listed once */
  retire(handle);
  assert_error(sqcq__files_remove(&files, handle, SQCQ_REMOVE_DRAIN), -EBADF);
}

static void files_remove_of_foreign_handles_is_refused(void **state)
{
  uint64_t handle = add_file();

  assert_error(sqcq__files_remove(&files, 0, SQCQ_REMOVE_DRAIN), -EBADF);
  assert_error(sqcq__files_remove(&files, sqcq__handle_retag(handle, TAG - 1), SQCQ_REMOVE_DRAIN),
               -EINVAL);
  assert_ok(sqcq__files_check(&files, handle));
}

static void files_remove_by_default_drains_storage_and_cancels_the_rest(void **state)
{
  int ends[2];
  uint64_t stored = add_file();

  assert_int_equal(pipe(ends), 0);
  uint64_t piped = add(ends[0]);
  close(ends[1]);
  assert_ok(sqcq__files_remove(&files, stored, SQCQ_REMOVE_DEFAULT));
  assert_ok(sqcq__files_remove(&files, piped, SQCQ_REMOVE_DEFAULT));
  assert_int_equal(files.files[sqcq__handle_index(stored)].remove_mode, SQCQ_REMOVE_DRAIN);
  assert_int_equal(files.files[sqcq__handle_index(piped)].remove_mode, SQCQ_REMOVE_CANCEL);
}

static void files_remove_as_told_is_so_for_any_file(void **state)
{
  int ends[2];
  uint64_t stored = add_file();

  assert_int_equal(pipe(ends), 0);
  uint64_t piped = add(ends[0]);
  close(ends[1]);
  assert_ok(sqcq__files_remove(&files, stored, SQCQ_REMOVE_CANCEL));
  assert_ok(sqcq__files_remove(&files, piped, SQCQ_REMOVE_DRAIN));
  assert_int_equal(files.files[sqcq__handle_index(stored)].remove_mode, SQCQ_REMOVE_CANCEL);
  assert_int_equal(files.files[sqcq__handle_index(piped)].remove_mode, SQCQ_REMOVE_DRAIN);
}

static void files_removed_are_all_taken_at_once(void **state)
{
  uint64_t handles[COUNT];
  uint32_t seen = 0;

  for (uint32_t i = 0; i < COUNT; i++)
    handles[i] = add_file();
  for (uint32_t i = 0; i < COUNT; i++)
    assert_ok(sqcq__files_remove(&files, handles[i], SQCQ_REMOVE_DRAIN));
  for (uint32_t next = sqcq__files_take_removed(&files); next != 0;) {
    uint32_t index = next - 1;

    assert_int_equal(seen & 1u << index, 0);
    seen |= 1u << index;
    next = sqcq__files_removed_next(&files, index);
  }
  assert_int_equal(seen, (1u << COUNT) - 1);
  assert_int_equal(sqcq__files_take_removed(&files), 0);
}

static void files_recycle_resets_the_io_threads_half(void **state)
{
  uint64_t handle = add_file();
  uint32_t index = sqcq__handle_index(handle);

  files.io[index].reads = 99;
  files.io[index].next = 2;
  remove_and_retire(handle);
  assert_int_equal(files.io[index].reads, 0);
  assert_int_equal(files.io[index].refs, 0);
  assert_int_equal(files.io[index].slot, -1);
  assert_int_equal(files.io[index].next, 0);
  assert_false(files.io[index].retiring);
  assert_int_equal(files.files[index].fd, -1);
  assert_int_equal(sqcq__word_state(sqcq__load_relaxed(&files.files[index].word)), SQCQ__FILE_FREE);
}

static void recycle_while_open(void *unused)
{
  (void)unused;
  sqcq__files_recycle(&files, 0);
}

static void files_recycle_of_one_in_use_is_a_mistake(void **state)
{
  uint64_t handle = add_file();

  assert_int_equal(sqcq__handle_index(handle), 0);
  assert_aborts(recycle_while_open, NULL, "REMOVING");
  assert_ok(sqcq__files_remove(&files, handle, SQCQ_REMOVE_DRAIN));
  files.io[0].refs = 1;
  assert_aborts(recycle_while_open, NULL, "refs == 0");
}

/* ------------------------------------------------------------------------- */
/* The rest                                                                  */
/* ------------------------------------------------------------------------- */

static void files_set_slots_gives_each_slot_once(void **state)
{
  uint32_t seen = 0;

  assert_ok(sqcq__files_set_slots(&files, 5));
  assert_int_equal(files.slot_count, 5);
  for (uint32_t i = 0; i < 5; i++)
    seen |= 1u << files.slots[i];
  assert_int_equal(seen, 0x1f);
  assert_int_equal(files.slots[4], 0); /* the lowest is used first */
}

static void files_fini_closes_what_is_open_or_being_removed(void **state)
{
  uint64_t removed = add_file();
  int open_fd, removed_fd;

  open_fd = files.files[sqcq__handle_index(add_file())].fd;
  removed_fd = files.files[sqcq__handle_index(removed)].fd;
  assert_ok(sqcq__files_remove(&files, removed, SQCQ_REMOVE_DRAIN));
  sqcq__files_fini(&files);
  assert_int_equal(fcntl(open_fd, F_GETFD), -1);
  assert_int_equal(fcntl(removed_fd, F_GETFD), -1);
  files = (struct sqcq__files){0};
}

static void files_fini_of_none_does_nothing(void **state)
{
  struct sqcq__files none = {0};

  sqcq__files_fini(&none);
}

static void files_halves_have_lines_of_their_own(void **state)
{
  size_t constant = offsetof(struct sqcq__files, files) / SQCQ_CACHELINE;
  size_t free_list = offsetof(struct sqcq__files, free) / SQCQ_CACHELINE;
  size_t removed = offsetof(struct sqcq__files, removed) / SQCQ_CACHELINE;
  size_t io = offsetof(struct sqcq__files, io) / SQCQ_CACHELINE;

  assert_int_equal(offsetof(struct sqcq__files, direct_only) / SQCQ_CACHELINE, constant);
  assert_int_not_equal(constant, free_list);
  assert_int_not_equal(constant, removed);
  assert_int_not_equal(free_list, removed);
  assert_int_not_equal(removed, io);
  assert_int_not_equal(free_list, io);
}

#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      FILES_TEST(files_add_of_a_regular_file_is_stored),
      FILES_TEST(files_add_of_a_large_file_is_not_small),
      FILES_TEST(files_add_of_what_may_wait_is_not_stored),
      FILES_TEST(files_add_of_a_character_device_is_not_stored),
      FILES_TEST(files_add_of_a_directory_is_eisdir),
      FILES_TEST(files_add_of_one_not_open_for_reading_is_ebadf),
      FILES_TEST(files_add_of_no_descriptor_is_ebadf),
      FILES_TEST(files_add_beyond_the_bound_is_enospc),
      FILES_TEST(files_add_to_a_polling_engine_takes_direct_storage_only),
      FILES_TEST(files_check_of_foreign_handles_is_einval),
      FILES_TEST(files_check_of_the_handle_zero_is_ebadf),
      FILES_TEST(files_check_of_other_generations_is_ebadf),
      FILES_TEST(files_add_to_a_used_place_is_the_next_generation),
      FILES_TEST(files_add_past_the_last_generation_skips_zero),
      FILES_TEST(files_remove_kills_the_handle_at_once),
      FILES_TEST(files_remove_twice_is_ebadf),
      FILES_TEST(files_remove_of_foreign_handles_is_refused),
      FILES_TEST(files_remove_by_default_drains_storage_and_cancels_the_rest),
      FILES_TEST(files_remove_as_told_is_so_for_any_file),
      FILES_TEST(files_removed_are_all_taken_at_once),
      FILES_TEST(files_recycle_resets_the_io_threads_half),
      FILES_TEST(files_recycle_of_one_in_use_is_a_mistake),
      FILES_TEST(files_set_slots_gives_each_slot_once),
      FILES_TEST(files_fini_closes_what_is_open_or_being_removed),
      cmocka_unit_test(files_fini_of_none_does_nothing),
      cmocka_unit_test(files_halves_have_lines_of_their_own),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
