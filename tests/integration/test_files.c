/*
 * Files of every kind that can be read, where reads begin and end, and files opened by name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <linux/loop.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
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

/* Read once and take the answer; the buffer stays the caller's. */
static struct sqcq_completion read_at(sqcq_file file, sqcq_buffer buffer, uint64_t offset,
                                      uint32_t length)
{
  struct sqcq_completion completion;
  struct sqcq_read read = {.file = file,
                           .buffer = buffer,
                           .channel = rig.channel,
                           .offset = offset,
                           .user_data = offset + length,
                           .length = length};

  assert_ok(sqcq_request(rig.engine, &read));
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.flags, 0);
  assert_int_equal(completion.user_data, offset + length);
  assert_int_equal(completion.file.id, file.id);
  assert_int_equal(completion.buffer.id, buffer.id);
  assert_int_equal(completion.length, length);
  assert_true(completion.offset == offset);
  return completion;
}

/* A stream that is read and written by two ends: silent at first, then what was written comes. */
static void check_stream(int reader, int writer)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  sqcq_file file;

  assert_ok(sqcq_file_add(rig.engine, reader, &file));
  close(reader); /* the engine has its own */
  assert_int_equal(write(writer, "early", 5), 5);
  completion = read_at(file, buffer, SQCQ_OFFSET_CURRENT, 100);
  assert_int_equal(completion.result, 5);
  assert_memory_equal(completion.data, "early", 5);

  struct sqcq_read read = {.file = file,
                           .buffer = buffer,
                           .channel = rig.channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .length = 100,
                           .buffer_offset = 11};
  assert_ok(sqcq_request(rig.engine, &read));
  rig_expect_nothing(&rig, rig.channel);
  assert_int_equal(rig_stats(&rig).inflight, 1);
  assert_int_equal(write(writer, "late", 4), 4);
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, 4);
  assert_memory_equal(completion.data, "late", 4);

  assert_ok(sqcq_request(rig.engine, &read));
  rig_expect_nothing(&rig, rig.channel);
  close(writer);
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, 0); /* the writer is gone: end of file */
  assert_int_equal(completion.flags, 0);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
}

static void pipe_is_read_as_it_is_written(void **state)
{
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  check_stream(ends[0], ends[1]);
}

static void fifo_is_read_as_it_is_written(void **state)
{
  char *path = temp_path(&rig.dir, "fifo");

  assert_int_equal(mkfifo(path, 0600), 0);
  int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  int writer = open(path, O_WRONLY | O_CLOEXEC);
  assert_int_equal(fcntl(reader, F_SETFL, 0), 0);
  check_stream(reader, writer);
  free(path);
}

static void socket_is_read_as_it_is_written(void **state)
{
  int ends[2];

  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  check_stream(ends[0], ends[1]);
}

/* Kernels differ in whether O_NONBLOCK makes a read of a pipe wait. Either is an answer of theirs,
 * and there is one answer. */
static void nonblocking_pipe_answers_at_once_or_waits(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  struct sqcq_read read = {
      .buffer = buffer, .channel = rig.channel, .offset = SQCQ_OFFSET_CURRENT, .length = 10};
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &read.file));
  assert_ok(sqcq_request(rig.engine, &read));
  for (int i = 0; i < 8; i++)
    assert_true(sqcq_engine_poll(rig.engine) >= 0);
  if (rig_stats(&rig).inflight == 0) {
    rig_take(&rig, &completion, 1);
    assert_int_equal(completion.result, -EAGAIN);
    assert_int_equal(completion.flags, 0);
    assert_int_equal(rig_stats(&rig).failed, 1);
    assert_ok(sqcq_request(rig.engine, &read));
  }
  assert_int_equal(write(ends[1], "x", 1), 1);
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, 1);
  assert_ok(sqcq_file_remove(rig.engine, read.file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  close(ends[0]);
  close(ends[1]);
}

/* A stream has no places: the kernel reads what comes next. */
static void pipe_is_read_whatever_the_offset(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  sqcq_file file;
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_int_equal(write(ends[1], "x", 1), 1);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &file));
  completion = read_at(file, buffer, 1000, 10);
  assert_int_equal(completion.result, 1);
  assert_memory_equal(completion.data, "x", 1);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  close(ends[0]);
  close(ends[1]);
}

static void eventfd_is_read(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  uint64_t value = 42;
  sqcq_file file;
  int fd = eventfd(0, EFD_CLOEXEC);

  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  rig_request_stream(&rig, rig.channel, file, 1);
  rig_expect_nothing(&rig, rig.channel);
  assert_int_equal(write(fd, &value, sizeof(value)), sizeof(value));
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, sizeof(value));
  memcpy(&value, completion.data, sizeof(value));
  assert_int_equal(value, 42);
  rig_release(&rig, completion.buffer);
  completion = read_at(file, buffer, SQCQ_OFFSET_CURRENT, 4);
  assert_int_equal(completion.result, -EINVAL); /* eight bytes or none */
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  close(fd);
}

static void inotify_is_read(void **state)
{
  struct sqcq_completion completion;
  struct inotify_event event;
  sqcq_file file;
  int fd = inotify_init1(IN_CLOEXEC);
  int watch = inotify_add_watch(fd, rig.dir.path, IN_CREATE);

  assert_true(watch >= 0);
  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  rig_request_stream(&rig, rig.channel, file, 1);
  rig_expect_nothing(&rig, rig.channel);
  close(temp_file(&rig.dir, "new", "", 0));
  rig_take(&rig, &completion, 1);
  assert_true(completion.result >= (int32_t)sizeof(event));
  memcpy(&event, completion.data, sizeof(event));
  assert_int_equal(event.wd, watch);
  assert_int_equal(event.mask, IN_CREATE);
  assert_string_equal((char *)completion.data + sizeof(event), "new");
  rig_release(&rig, completion.buffer);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  close(fd);
}

/* A loop device over a stamped file, or -1 where there can be none. */
static int open_block_device(int *control)
{
  char name[32];
  int number;
  int backing;

  *control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (*control < 0 || (number = ioctl(*control, LOOP_CTL_GET_FREE)) < 0)
    return -1;
  snprintf(name, sizeof(name), "/dev/loop%d", number);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  char *path = temp_path(&rig.dir, "stamped");
  backing = open(path, O_RDONLY | O_CLOEXEC);
  free(path);
  if (fd >= 0 && ioctl(fd, LOOP_SET_FD, backing) != 0) {
    close(fd);
    fd = -1;
  }
  close(backing);
  return fd;
}

static void block_device_is_read(void **state)
{
  struct sqcq_completion completion;
  sqcq_buffer buffer;
  sqcq_file file;
  int control;
  int fd = open_block_device(&control);

  if (fd < 0) {
    close(control);
    skip();
  }
  buffer = rig_buffer(&rig);
  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  for (uint64_t page = 0; page < RIG_PAGES; page++) { /* more than 16: through the table too */
    completion = read_at(file, buffer, page * STAMP_PAGE, STAMP_PAGE);
    rig_check_page(&completion);
  }
  completion = read_at(file, buffer, RIG_PAGES * STAMP_PAGE, STAMP_PAGE);
  assert_int_equal(completion.result, 0);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  rig_close_files(&rig);
  assert_int_equal(ioctl(fd, LOOP_CLR_FD), 0);
  close(fd);
  close(control);
}

/* ------------------------------------------------------------------------- */
/* Ends                                                                      */
/* ------------------------------------------------------------------------- */

static void read_across_the_end_is_short_and_beyond_it_is_zero(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  const uint64_t size = RIG_PAGES * STAMP_PAGE;

  completion = read_at(rig.file, buffer, size - 100, STAMP_PAGE);
  assert_int_equal(completion.result, 100);
  assert_true(stamp_matches(completion.data, RIG_TAG, size - 100, 100));
  completion = read_at(rig.file, buffer, size, STAMP_PAGE);
  assert_int_equal(completion.result, 0);
  completion = read_at(rig.file, buffer, size + 1, 1);
  assert_int_equal(completion.result, 0);
  completion = read_at(rig.file, buffer, UINT64_C(1) << 40, STAMP_PAGE);
  assert_int_equal(completion.result, 0);
  rig_release(&rig, buffer);
}

static void file_that_grows_and_shrinks_is_read_as_it_is(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  struct sqcq_completion completion;
  int fd = temp_file(&rig.dir, "growing", "one", 3);
  sqcq_file file;

  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  completion = read_at(file, buffer, 0, 100);
  assert_int_equal(completion.result, 3);
  completion = read_at(file, buffer, 3, 100);
  assert_int_equal(completion.result, 0);
  assert_int_equal(pwrite(fd, "two", 3, 3), 3);
  completion = read_at(file, buffer, 3, 100);
  assert_int_equal(completion.result, 3);
  assert_memory_equal(completion.data, "two", 3);
  assert_int_equal(ftruncate(fd, 1), 0);
  completion = read_at(file, buffer, 3, 100);
  assert_int_equal(completion.result, 0);
  completion = read_at(file, buffer, 0, 100);
  assert_int_equal(completion.result, 1);
  assert_int_equal(ftruncate(fd, INT64_C(5) << 30), 0); /* a hole: zeros, beyond 4 GiB */
  completion = read_at(file, buffer, (UINT64_C(5) << 30) - 10, 100);
  assert_int_equal(completion.result, 10);
  assert_memory_equal(completion.data, "\0\0\0\0\0\0\0\0\0\0", 10);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  close(fd);
}

static void empty_file_is_at_its_end(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  int fd = temp_file(&rig.dir, "empty", "", 0);
  sqcq_file file;

  assert_ok(sqcq_file_add(rig.engine, fd, &file));
  assert_int_equal(read_at(file, buffer, 0, 1).result, 0);
  assert_int_equal(read_at(file, buffer, SQCQ_OFFSET_CURRENT, 1).result, 0);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  close(fd);
}

/* ------------------------------------------------------------------------- */
/* Opened by name                                                            */
/* ------------------------------------------------------------------------- */

static void open_is_relative_to_dirfd(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  int directory = open(rig.dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char *path = temp_path(&rig.dir, "stamped");
  char *fifo = temp_path(&rig.dir, "named");
  struct sqcq_completion completion;
  sqcq_file files[3];

  assert_int_equal(mkfifo(fifo, 0600), 0);
  assert_ok(sqcq_file_open(rig.engine, directory, "stamped", O_NOFOLLOW, &files[0]));
  assert_ok(sqcq_file_open(rig.engine, AT_FDCWD, path, O_RDONLY, &files[1]));
  assert_ok(sqcq_file_open(rig.engine, -1, fifo, O_NONBLOCK, &files[2])); /* an absolute path */
  for (int i = 0; i < 2; i++) {
    completion = read_at(files[i], buffer, 7 * STAMP_PAGE + 1, 1000);
    assert_int_equal(completion.result, 1000);
    assert_true(stamp_matches(completion.data, RIG_TAG, 7 * STAMP_PAGE + 1, 1000));
  }
  assert_int_equal(read_at(files[2], buffer, SQCQ_OFFSET_CURRENT, 1).result, 0); /* no writer */
  for (int i = 0; i < 3; i++) {
    int flags = fcntl(rig.engine->files.files[sqcq__handle_index(files[i].id)].fd, F_GETFD);

    assert_int_equal(flags, FD_CLOEXEC);
    assert_ok(sqcq_file_remove(rig.engine, files[i], SQCQ_REMOVE_DEFAULT));
  }
  rig_release(&rig, buffer);
  rig_close_files(&rig);
  close(directory);
  free(path);
  free(fifo);
}

/* An unlinked file is read on. */
static void open_file_outlives_its_name(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);
  char *path = temp_path(&rig.dir, "stamped");
  struct sqcq_completion completion;
  sqcq_file file;

  assert_ok(sqcq_file_open(rig.engine, AT_FDCWD, path, 0, &file));
  assert_int_equal(unlink(path), 0);
  completion = read_at(file, buffer, 0, STAMP_PAGE);
  rig_check_page(&completion);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_release(&rig, buffer);
  free(path);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(pipe_is_read_as_it_is_written),
      CASE(fifo_is_read_as_it_is_written),
      CASE(socket_is_read_as_it_is_written),
      CASE(nonblocking_pipe_answers_at_once_or_waits),
      CASE(pipe_is_read_whatever_the_offset),
      CASE(eventfd_is_read),
      CASE(inotify_is_read),
      CASE(block_device_is_read),
      CASE(read_across_the_end_is_short_and_beyond_it_is_zero),
      CASE(file_that_grows_and_shrinks_is_read_as_it_is),
      CASE(empty_file_is_at_its_end),
      CASE(open_is_relative_to_dirfd),
      CASE(open_file_outlives_its_name),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
