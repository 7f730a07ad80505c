/*
 * Every argument of the functions on files, wrong in every way, and descriptors that cannot be read:
 * the documented errno, and nothing has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <sys/socket.h>
#include <sys/stat.h>

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

/* The result of a call with a handle that must stay as it is. */
static int add(int fd)
{
  sqcq_file file = {7};
  int error = sqcq_file_add(rig.engine, fd, &file);

  if (error < 0)
    assert_int_equal(file.id, 7);
  return error;
}

static int open_at(int dirfd, const char *path, int flags)
{
  sqcq_file file = {7};
  int error = sqcq_file_open(rig.engine, dirfd, path, flags, &file);

  if (error < 0)
    assert_int_equal(file.id, 7);
  return error;
}

static void add_null_is_refused(void **state)
{
  sqcq_file file;

  assert_refused(&rig, sqcq_file_add(NULL, rig.fd, &file), -EINVAL);
  assert_refused(&rig, sqcq_file_add(rig.engine, rig.fd, NULL), -EINVAL);
}

static void add_closed_descriptor_is_refused(void **state)
{
  int fd = dup(rig.fd);

  close(fd);
  assert_refused(&rig, add(fd), -EBADF);
  assert_refused(&rig, add(-1), -EBADF);
  assert_refused(&rig, add(INT32_MIN), -EBADF);
  assert_refused(&rig, add(INT32_MAX), -EBADF);
}

static void add_what_cannot_be_read_is_refused(void **state)
{
  char *path = temp_path(&rig.dir, "stamped");
  int directory = open(rig.dir.path, O_RDONLY | O_DIRECTORY);
  int write_only = open(path, O_WRONLY);
  int path_only = open(path, O_PATH);
  int path_directory = open(rig.dir.path, O_PATH | O_DIRECTORY);
  int ends[2];

  assert_int_equal(pipe(ends), 0);
  assert_refused(&rig, add(directory), -EISDIR);
  assert_refused(&rig, add(write_only), -EBADF);
  assert_refused(&rig, add(path_only), -EBADF);
  assert_refused(&rig, add(path_directory), -EBADF);
  assert_refused(&rig, add(ends[1]), -EBADF);
  close(directory);
  close(write_only);
  close(path_only);
  close(path_directory);
  close(ends[0]);
  close(ends[1]);
  free(path);
}

/* A socket that is not connected: only the kernel can know, and says so in the completion. */
static void add_what_the_kernel_will_not_read_gets_its_answer(void **state)
{
  struct sqcq_completion completion;
  sqcq_file file;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char byte;

  assert_int_equal(read(fd, &byte, 1), -1);
  int error = errno;
  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  rig_request_stream(&rig, rig.channel, file, 9);
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, -error);
  assert_int_equal(completion.flags, 0);
  rig_release(&rig, completion.buffer);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  close(fd);
}

static void add_beyond_files_max_is_refused_until_one_is_closed(void **state)
{
  sqcq_file files[15]; /* of 16; one is the rig's */

  for (int i = 0; i < 15; i++)
    assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[i]));
  assert_refused(&rig, add(rig.fd), -ENOSPC);
  assert_refused(&rig, open_at(AT_FDCWD, "/dev/null", O_RDONLY), -ENOSPC);
  assert_ok(sqcq_file_remove(rig.engine, files[0], SQCQ_REMOVE_DEFAULT));
  /* Its place is free once the I/O thread has closed it. */
  assert_refused(&rig, add(rig.fd), -ENOSPC);
  rig_close_files(&rig);
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &files[0]));
  for (int i = 0; i < 15; i++)
    assert_ok(sqcq_file_remove(rig.engine, files[i], SQCQ_REMOVE_DEFAULT));
}

static void open_null_is_refused(void **state)
{
  sqcq_file file;

  assert_refused(&rig, sqcq_file_open(NULL, AT_FDCWD, "/dev/null", 0, &file), -EINVAL);
  assert_refused(&rig, sqcq_file_open(rig.engine, AT_FDCWD, NULL, 0, &file), -EINVAL);
  assert_refused(&rig, sqcq_file_open(rig.engine, AT_FDCWD, "/dev/null", 0, NULL), -EINVAL);
}

static void open_with_bad_flags_is_refused(void **state)
{
  static const int bad[] = {O_WRONLY, O_RDWR, O_ACCMODE, O_CREAT,         O_TRUNC,
                            O_APPEND, O_PATH, O_TMPFILE, O_CREAT | O_EXCL};
  struct stat status;
  char *fresh = temp_path(&rig.dir, "fresh");
  char *path = temp_path(&rig.dir, "stamped");

  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_refused(&rig, open_at(AT_FDCWD, path, bad[i]), -EINVAL);
    assert_refused(&rig, open_at(AT_FDCWD, fresh, bad[i]), -EINVAL);
  }
  assert_int_equal(stat(fresh, &status), -1);
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_size, RIG_PAGES * STAMP_PAGE);
  free(fresh);
  free(path);
}

static void open_passes_on_what_openat_says(void **state)
{
  char *link = temp_path(&rig.dir, "link");
  char *path = temp_path(&rig.dir, "stamped");
  char name[5000];

  assert_int_equal(symlink(path, link), 0);
  memset(name, 'x', sizeof(name) - 1);
  name[sizeof(name) - 1] = '\0';
  assert_refused(&rig, open_at(AT_FDCWD, "/nonexistent/file", O_RDONLY), -ENOENT);
  assert_refused(&rig, open_at(AT_FDCWD, "", O_RDONLY), -ENOENT);
  assert_refused(&rig, open_at(AT_FDCWD, name, O_RDONLY), -ENAMETOOLONG);
  assert_refused(&rig, open_at(-1, "stamped", O_RDONLY), -EBADF);
  assert_refused(&rig, open_at(rig.fd, "stamped", O_RDONLY), -ENOTDIR);
  assert_refused(&rig, open_at(AT_FDCWD, link, O_NOFOLLOW), -ELOOP);
  assert_refused(&rig, open_at(AT_FDCWD, path, O_DIRECTORY), -ENOTDIR);
  assert_refused(&rig, open_at(AT_FDCWD, rig.dir.path, O_RDONLY), -EISDIR);
  assert_refused(&rig, open_at(AT_FDCWD, rig.dir.path, O_DIRECTORY), -EISDIR);
  assert_int_equal(unlink(link), 0);
  free(link);
  free(path);
}

static void open_of_a_directory_entry_that_must_not_be_read_is_refused(void **state)
{
  char *path = temp_path(&rig.dir, "stamped");

  if (geteuid() == 0) {
    print_message("root may read anything: not looked at\n");
  } else {
    assert_int_equal(chmod(path, 0), 0);
    assert_refused(&rig, open_at(AT_FDCWD, path, O_RDONLY), -EACCES);
    assert_int_equal(chmod(path, 0600), 0);
  }
  free(path);
}

static void remove_with_bad_argument_is_refused(void **state)
{
  struct sqcq_engine *other = NULL;
  sqcq_file foreign, file, beyond;

  assert_ok(sqcq_engine_create(&other, NULL, NULL));
  assert_ok(sqcq_file_add(other, rig.fd, &foreign));
  assert_ok(sqcq_file_add(rig.engine, rig.fd, &file));
  beyond.id = file.id | (uint64_t)SQCQ__INDEX_MASK << SQCQ__TAG_BITS;
  assert_refused(&rig, sqcq_file_remove(NULL, file, SQCQ_REMOVE_DEFAULT), -EINVAL);
  assert_refused(&rig, sqcq_file_remove(rig.engine, foreign, SQCQ_REMOVE_DEFAULT), -EINVAL);
  assert_refused(&rig, sqcq_file_remove(rig.engine, beyond, SQCQ_REMOVE_DEFAULT), -EINVAL);
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL + 1), -EINVAL);
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, UINT32_MAX), -EINVAL);
  assert_refused(&rig, sqcq_file_remove(rig.engine, (sqcq_file){0}, SQCQ_REMOVE_DRAIN), -EBADF);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT), -EBADF);
  rig_close_files(&rig);
  assert_refused(&rig, sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT), -EBADF);
  assert_ok(sqcq_engine_destroy(other, NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(add_null_is_refused),
      CASE(add_closed_descriptor_is_refused),
      CASE(add_what_cannot_be_read_is_refused),
      CASE(add_what_the_kernel_will_not_read_gets_its_answer),
      CASE(add_beyond_files_max_is_refused_until_one_is_closed),
      CASE(open_null_is_refused),
      CASE(open_with_bad_flags_is_refused),
      CASE(open_passes_on_what_openat_says),
      CASE(open_of_a_directory_entry_that_must_not_be_read_is_refused),
      CASE(remove_with_bad_argument_is_refused),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("bad_input_files", tests, NULL, NULL);
}
