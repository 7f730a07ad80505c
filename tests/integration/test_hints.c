/*
 * Hints, advice, vectored reads and bounds of kernel workers, on the real ring.
 */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#define PARTS 5u

static struct rig rig;

static int setup(void **state)
{
  struct sqcq_engine_config config = rig_config();

  (void)state;
  config.vectors_max = 8;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  rig_end(&rig);
  return 0;
}

static struct sqcq_feature feature(enum sqcq__feature which)
{
  struct sqcq_feature features[SQCQ__FEATURE_COUNT];

  assert_count(sqcq_engine_features(rig.engine, features, SQCQ__FEATURE_COUNT, sizeof(features[0])),
               SQCQ__FEATURE_COUNT);
  return features[which];
}

static struct sqcq_completion read_with(struct sqcq_read read)
{
  struct sqcq_completion completion;

  assert_ok(sqcq_request(rig.engine, &read));
  rig_take(&rig, &completion, 1);
  return completion;
}

static uint32_t resident_pages(void)
{
  unsigned char map[RIG_PAGES];
  void *memory = mmap(NULL, RIG_PAGES * STAMP_PAGE, PROT_READ, MAP_SHARED, rig.fd, 0);
  uint32_t count = 0;

  assert_ptr_not_equal(memory, MAP_FAILED);
  assert_ok(mincore(memory, RIG_PAGES * STAMP_PAGE, map));
  assert_ok(munmap(memory, RIG_PAGES * STAMP_PAGE));
  for (uint32_t i = 0; i < RIG_PAGES; i++)
    count += map[i] & 1;
  return count;
}

/* ------------------------------------------------------------------------- */
/* Hints and priorities                                                      */
/* ------------------------------------------------------------------------- */

static void nowait_on_an_empty_pipe_is_eagain(void **state)
{
  int pipes[2];
  sqcq_file file;

  assert_ok(pipe2(pipes, O_CLOEXEC));
  assert_ok(sqcq_file_add(rig.engine, pipes[0], &file));
  struct sqcq_read read = {.file = file,
                           .buffer = rig_buffer(&rig),
                           .channel = rig.channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .length = 10,
                           .flags = SQCQ_READ_NOWAIT};
  struct sqcq_completion completion = read_with(read);
  /* A kernel whose pipes do not know it says so. */
  assert_true(completion.result == -EAGAIN || completion.result == -EOPNOTSUPP);
  if (completion.result == -EAGAIN) {
    assert_int_equal(write(pipes[1], "abc", 3), 3);
    completion = read_with(read);
    assert_int_equal(completion.result, 3);
    assert_memory_equal(completion.data, "abc", 3);
  }
  rig_release(&rig, read.buffer);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  close(pipes[0]);
  close(pipes[1]);
}

static void dontcache_is_refused_or_reads(void **state)
{
  struct sqcq_read read = rig_page(&rig, 1);

  read.flags = SQCQ_READ_DONTCACHE;
  if (feature(SQCQ__FEATURE_DONTCACHE).state != SQCQ_FEATURE_ON) {
    assert_refused(&rig, sqcq_request(rig.engine, &read), -EOPNOTSUPP);
  } else {
    struct sqcq_completion completion = read_with(read);

    /* The kernel has it; the file system of the test directory need not. */
    if (completion.result != -EOPNOTSUPP)
      rig_check_page(&completion);
  }
  rig_release(&rig, read.buffer);
  rig_prove(&rig);
}

static void priorities_and_async_read_as_ever(void **state)
{
  static const uint16_t priorities[] = {0, 0x4000, 0x4007, 0x6000};
  static const uint32_t flags[] = {0, SQCQ_READ_ASYNC, SQCQ_READ_NOWAIT};

  for (uint32_t i = 0; i < 4; i++)
    for (uint32_t j = 0; j < 3; j++) {
      struct sqcq_read read = rig_page(&rig, i);

      read.ioprio = priorities[i];
      read.flags = flags[j];
      struct sqcq_completion completion = read_with(read);
      if (flags[j] != SQCQ_READ_NOWAIT ||
          (completion.result != -EAGAIN && completion.result != -EOPNOTSUPP))
        rig_check_page(&completion);
      rig_release(&rig, completion.buffer);
    }
  struct sqcq_read read = rig_page(&rig, 1);
  read.ioprio = 1u << 13 | 4; /* real time: by the kernel's leave */
  struct sqcq_completion completion = read_with(read);
  if (completion.result != -EPERM)
    rig_check_page(&completion);
  rig_release(&rig, completion.buffer);
  rig_prove(&rig);
}

/* ------------------------------------------------------------------------- */
/* Advice                                                                    */
/* ------------------------------------------------------------------------- */

static struct sqcq_completion advise(uint32_t flag, uint64_t offset, uint32_t length)
{
  return read_with((struct sqcq_read){
      .file = rig.file, .channel = rig.channel, .offset = offset, .length = length, .flags = flag});
}

static void advice_empties_and_fills_the_page_cache(void **state)
{
  struct statfs where;

  assert_ok(fstatfs(rig.fd, &where));
  assert_ok(fsync(rig.fd));
  struct sqcq_completion completion = advise(SQCQ_READ_DONTNEED, 0, 0);
  assert_ok(completion.result);
  assert_int_equal(completion.flags, SQCQ_COMPLETION_ADVICE);
  assert_int_equal(completion.buffer.id, 0);
  assert_null(completion.data);
  bool droppable = where.f_type != 0x01021994; /* not tmpfs, whose page cache is all there is */
  if (droppable)
    assert_int_equal(resident_pages(), 0);
  completion = advise(SQCQ_READ_WILLNEED, 0, 8 * STAMP_PAGE);
  assert_ok(completion.result);
  /* Read ahead: whenever it comes, and not more than the file. */
  int64_t limit = test_now_ns() + TEST_SOON_NS;
  while (resident_pages() < 8 && test_now_ns() < limit)
    (void)poll(NULL, 0, 1);
  assert_true(resident_pages() >= 8);
  rig_prove(&rig);
}

static void advice_on_a_pipe_is_the_kernels_refusal(void **state)
{
  int pipes[2];
  sqcq_file file;

  assert_ok(pipe2(pipes, O_CLOEXEC));
  assert_ok(sqcq_file_add(rig.engine, pipes[0], &file));
  struct sqcq_completion completion = read_with((struct sqcq_read){
      .file = file, .channel = rig.channel, .length = 1, .flags = SQCQ_READ_WILLNEED});
  assert_error(completion.result, -ESPIPE);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_DEFAULT));
  rig_close_files(&rig);
  close(pipes[0]);
  close(pipes[1]);
}

/* ------------------------------------------------------------------------- */
/* Vectors                                                                   */
/* ------------------------------------------------------------------------- */

/* The bytes in the chain are the file's from `offset` on. */
static void check_chain(const struct sqcq_completion *completion, uint64_t offset)
{
  sqcq_buffer buffers[SQCQ_VECTOR_MAX];
  uint32_t left = (uint32_t)completion->result, skip = completion->buffer_offset;
  int count = sqcq_completion_buffers(rig.engine, completion, buffers, SQCQ_VECTOR_MAX);

  assert_true(count > 0);
  for (int i = 0; i < count && left > 0; i++) {
    uint32_t room = (uint32_t)sqcq_buffer_size(rig.engine, buffers[i]) - skip;
    uint32_t n = left < room ? left : room;

    assert_true(
        stamp_matches((char *)sqcq_buffer_data(rig.engine, buffers[i]) + skip, RIG_TAG, offset, n));
    offset += n;
    left -= n;
    skip = 0;
  }
  assert_int_equal(left, 0);
}

static void vector_reads_a_file_into_buffers_of_all_kinds(void **state)
{
  static unsigned char own[1000];
  struct sqcq_pool_config small = {.size = sizeof(small), .count = 2, .buffer_size = 100};
  sqcq_pool pool;
  sqcq_buffer buffers[PARTS];

  assert_ok(sqcq_pool_create(rig.engine, &small, &pool));
  assert_count(sqcq_buffer_acquire(rig.engine, pool, buffers, 2), 2);
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers + 2, 2), 2);
  assert_ok(sqcq_buffer_wrap(rig.engine, own, sizeof(own), &buffers[4]));
  uint32_t all = 100 + 100 + STAMP_PAGE + STAMP_PAGE + sizeof(own);
  struct sqcq_read read = {.file = rig.file,
                           .buffers = buffers,
                           .buffer_count = PARTS,
                           .channel = rig.channel,
                           .offset = 777,
                           .length = all - 33,
                           .buffer_offset = 33,
                           .flags = SQCQ_READ_VECTOR};
  for (uint32_t i = 0; i < 40; i++) { /* by descriptor, then through the file table */
    struct sqcq_completion completion = read_with(read);

    assert_int_equal(completion.result, all - 33);
    assert_int_equal(completion.flags, SQCQ_COMPLETION_VECTOR);
    check_chain(&completion, 777);
    read.flags = SQCQ_READ_VECTOR | (i % 2 == 0 ? SQCQ_READ_ASYNC : 0);
  }
  /* Short at the end of the file, nothing beyond it. */
  read.offset = RIG_PAGES * (uint64_t)STAMP_PAGE - 150;
  struct sqcq_completion completion = read_with(read);
  assert_int_equal(completion.result, 150);
  check_chain(&completion, read.offset);
  read.offset += 150;
  completion = read_with(read);
  assert_int_equal(completion.result, 0);
  assert_count(sqcq_completion_buffers(rig.engine, &completion, NULL, 0), PARTS);
  assert_ok(sqcq_buffer_unwrap(rig.engine, buffers[4]));
  assert_count(sqcq_buffer_release(rig.engine, buffers, 4), 4);
  assert_ok(sqcq_pool_destroy(rig.engine, pool));
  rig_prove(&rig);
}

static void vector_read_of_a_pipe_is_short_and_goes_on(void **state)
{
  int pipes[2];
  sqcq_file file;
  unsigned char sent[3 * STAMP_PAGE];
  sqcq_buffer buffers[3];

  assert_ok(pipe2(pipes, O_CLOEXEC));
  assert_ok(sqcq_file_add(rig.engine, pipes[0], &file));
  for (size_t i = 0; i < sizeof(sent); i++)
    sent[i] = stamp_byte(RIG_TAG, i);
  assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, buffers, 3), 3);
  assert_int_equal(write(pipes[1], sent, STAMP_PAGE + 100), STAMP_PAGE + 100);
  struct sqcq_read read = {.file = file,
                           .buffers = buffers,
                           .buffer_count = 3,
                           .channel = rig.channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .length = 3 * STAMP_PAGE,
                           .flags = SQCQ_READ_VECTOR};
  struct sqcq_completion completion = read_with(read);
  assert_int_equal(completion.result, STAMP_PAGE + 100);
  check_chain(&completion, 0);
  /* The rest of the second buffer, and the third one. */
  assert_int_equal(write(pipes[1], sent + STAMP_PAGE + 100, 2 * STAMP_PAGE - 100),
                   2 * STAMP_PAGE - 100);
  read.buffers = buffers + 1;
  read.buffer_count = 2;
  read.buffer_offset = 100;
  read.length = 2 * STAMP_PAGE - 100;
  completion = read_with(read);
  assert_int_equal(completion.result, 2 * STAMP_PAGE - 100);
  check_chain(&completion, STAMP_PAGE + 100);
  for (uint32_t i = 0; i < 3; i++)
    assert_true(stamp_matches(sqcq_buffer_data(rig.engine, buffers[i]), RIG_TAG,
                              (uint64_t)i * STAMP_PAGE, STAMP_PAGE));
  /* One that waits for bytes that never come, taken back with its file. */
  assert_ok(sqcq_request(rig.engine, &read));
  for (int i = 0; i < 3; i++)
    assert_count(sqcq_engine_poll(rig.engine), 0);
  assert_error(sqcq_buffer_release(rig.engine, &buffers[2], 1), -EBUSY);
  assert_ok(sqcq_file_remove(rig.engine, file, SQCQ_REMOVE_CANCEL));
  rig_take(&rig, &completion, 1);
  assert_true(completion.result == -ECANCELED || completion.result == -EINTR);
  assert_count(sqcq_completion_buffers(rig.engine, &completion, NULL, 0), 2);
  assert_count(sqcq_buffer_release(rig.engine, buffers, 3), 3);
  rig_close_files(&rig);
  close(pipes[0]);
  close(pipes[1]);
  rig_prove(&rig);
}

/* ------------------------------------------------------------------------- */
/* Kernel workers                                                            */
/* ------------------------------------------------------------------------- */

#define WORKERS 4u
#define ASYNC_READS 10000u

/* Threads of this process that are workers of a ring. */
static uint32_t count_workers(void)
{
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  uint32_t count = 0;

  assert_non_null(tasks);
  while ((entry = readdir(tasks)) != NULL) {
    char path[300], name[32] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
    file = fopen(path, "re");
    if (file == NULL)
      continue;
    if (fgets(name, sizeof(name), file) != NULL)
      count += strncmp(name, "iou-wrk-", 8) == 0;
    (void)fclose(file);
  }
  (void)closedir(tasks);
  return count;
}

static void workers_stay_within_their_bound(void **state)
{
  struct sqcq_engine_config config = rig_config();
  uint32_t most = 0, taken = 0, asked = 0;
  uint32_t reads = SANITIZED ? ASYNC_READS / 10 : ASYNC_READS;

  config.io_workers_bounded = WORKERS;
  config.io_workers_unbounded = WORKERS;
  rig_make_with(&rig, &config, RIG_CAPACITY);
  assert_int_equal(feature(SQCQ__FEATURE_IO_WORKERS).state, SQCQ_FEATURE_OFF);
  assert_count(sqcq_engine_poll(rig.engine), 0);
  uint32_t on = feature(SQCQ__FEATURE_IO_WORKERS).state;
  assert_true(on == SQCQ_FEATURE_ON || on == SQCQ_FEATURE_REFUSED);
  while (taken < reads) {
    struct sqcq_completion completion;

    for (; asked < reads && asked - taken < RIG_CAPACITY; asked++) {
      struct sqcq_read read = rig_page(&rig, asked % RIG_PAGES);

      read.flags = SQCQ_READ_ASYNC;
      assert_ok(sqcq_request(rig.engine, &read));
    }
    rig_take(&rig, &completion, 1);
    rig_check_page(&completion);
    rig_release(&rig, completion.buffer);
    taken++;
    if (taken % 64 == 0) {
      uint32_t now = count_workers();
      most = now > most ? now : most;
    }
  }
  assert_true(most > 0);
  /* One may be on its way out while another one comes. */
  if (on == SQCQ_FEATURE_ON)
    assert_true(most <= WORKERS + 1);
  rig_end(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(nowait_on_an_empty_pipe_is_eagain),
      CASE(dontcache_is_refused_or_reads),
      CASE(priorities_and_async_read_as_ever),
      CASE(advice_empties_and_fills_the_page_cache),
      CASE(advice_on_a_pipe_is_the_kernels_refusal),
      CASE(vector_reads_a_file_into_buffers_of_all_kinds),
      CASE(vector_read_of_a_pipe_is_short_and_goes_on),
      cmocka_unit_test(workers_stay_within_their_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
