/*
 * Who owns a buffer when, and memory of the user's own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#include <sys/mman.h>

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

/* From acceptance until its completion is taken a buffer is the engine's, whoever asks. */
static void expect_in_flight(const struct sqcq_read *read, bool wrapped)
{
  assert_refused(&rig, sqcq_request(rig.engine, read), -EBUSY);
  assert_null(sqcq_buffer_data(rig.engine, read->buffer));
  assert_int_equal(sqcq_buffer_size(rig.engine, read->buffer), 0);
  if (wrapped)
    assert_refused(&rig, sqcq_buffer_unwrap(rig.engine, read->buffer), -EBUSY);
  else
    assert_refused(&rig, sqcq_buffer_release(rig.engine, &read->buffer, 1), -EBUSY);
}

static void check_ownership(sqcq_buffer buffer, bool wrapped)
{
  struct sqcq_completion completion;
  struct sqcq_read read = {.buffer = buffer,
                           .channel = rig.channel,
                           .offset = SQCQ_OFFSET_CURRENT,
                           .length = 10,
                           .buffer_offset = 20};
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_ok(sqcq_file_add(rig.engine, ends[0], &read.file));
  assert_ok(sqcq_request(rig.engine, &read));
  expect_in_flight(&read, wrapped); /* in a lane */
  rig_expect_nothing(&rig, rig.channel);
  expect_in_flight(&read, wrapped); /* in the kernel */
  assert_int_equal(write(ends[1], "abc", 3), 3);
  while (rig_stats(&rig).completed == 0)
    assert_true(sqcq_engine_wait(rig.engine, SQCQ_FOREVER) >= 0);
  expect_in_flight(&read, wrapped); /* answered, and not taken */
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, 3);
  assert_memory_equal(completion.data, "abc", 3);

  /* A short read goes on where it ended. */
  read.buffer_offset += 3;
  read.length -= 3;
  assert_int_equal(write(ends[1], "defghijklm", 10), 10);
  assert_ok(sqcq_request(rig.engine, &read));
  rig_take(&rig, &completion, 1);
  assert_int_equal(completion.result, 7);
  assert_memory_equal((char *)sqcq_buffer_data(rig.engine, buffer) + 20, "abcdefghij", 10);
  assert_ok(sqcq_file_remove(rig.engine, read.file, SQCQ_REMOVE_DEFAULT));
  close(ends[0]);
  close(ends[1]);
}

static void pool_buffer_is_the_engines_while_in_flight(void **state)
{
  sqcq_buffer buffer = rig_buffer(&rig);

  check_ownership(buffer, false);
  rig_release(&rig, buffer);
}

static void wrapped_memory_is_the_engines_while_in_flight(void **state)
{
  char *memory = calloc(1, 100); /* not aligned to anything */
  sqcq_buffer buffer;

  assert_non_null(memory);
  assert_ok(sqcq_buffer_wrap(rig.engine, memory + 1, 99, &buffer));
  assert_ptr_equal(sqcq_buffer_data(rig.engine, buffer), memory + 1);
  assert_int_equal(sqcq_buffer_size(rig.engine, buffer), 99);
  check_ownership(buffer, true);
  assert_ok(sqcq_buffer_unwrap(rig.engine, buffer));
  assert_memory_equal(memory + 21, "abcdefghij", 10);
  assert_int_equal(memory[20], 0);
  assert_int_equal(memory[31], 0);
  free(memory);
}

/* On a stack, on the heap, in a mapping; more than once, and at the same time. */
static void wrapped_memory_of_every_kind_is_read_into(void **state)
{
  char stack[STAMP_PAGE];
  char *heap = malloc(STAMP_PAGE);
  char *mapping = mmap(NULL, STAMP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *memory[3] = {stack, heap, mapping};

  assert_non_null(heap);
  assert_ptr_not_equal(mapping, MAP_FAILED);
  for (int round = 0; round < 50; round++) {
    sqcq_buffer buffers[3];

    for (int i = 0; i < 3; i++)
      assert_ok(sqcq_buffer_wrap(rig.engine, memory[i], STAMP_PAGE, &buffers[i]));
    for (uint64_t i = 0; i < 3; i++) {
      struct sqcq_completion completion =
          rig_read_into(&rig, rig.file, buffers[i], 0, i * STAMP_PAGE, STAMP_PAGE);

      rig_check_page(&completion);
      assert_ptr_equal(completion.data, memory[i]);
    }
    for (int i = 0; i < 3; i++) {
      assert_ok(sqcq_buffer_unwrap(rig.engine, buffers[i]));
      assert_true(stamp_matches(memory[i], RIG_TAG, (uint64_t)i * STAMP_PAGE, STAMP_PAGE));
    }
  }
  free(heap);
  munmap(mapping, STAMP_PAGE);
}

/* Memory that is not there: the kernel says so, and the engine goes on. */
static void wrapped_memory_that_is_not_there_gets_the_kernels_answer(void **state)
{
  void *memory = mmap(NULL, STAMP_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sqcq_completion completion;
  sqcq_buffer buffer;

  assert_ptr_not_equal(memory, MAP_FAILED);
  assert_ok(sqcq_buffer_wrap(rig.engine, memory, STAMP_PAGE, &buffer));
  completion = rig_read_into(&rig, rig.file, buffer, 0, 0, STAMP_PAGE);
  assert_int_equal(completion.result, -EFAULT);
  assert_ok(sqcq_buffer_unwrap(rig.engine, buffer));
  munmap(memory, STAMP_PAGE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(pool_buffer_is_the_engines_while_in_flight),
      CASE(wrapped_memory_is_the_engines_while_in_flight),
      CASE(wrapped_memory_of_every_kind_is_read_into),
      CASE(wrapped_memory_that_is_not_there_gets_the_kernels_answer),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("buffers_owners", tests, NULL, NULL);
}
