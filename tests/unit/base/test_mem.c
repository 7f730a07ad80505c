/*
 * Memory from the heap: zeroed, aligned, and no overflow.
 */
#include "base/mem.h"

#include "base/atomics.h"
#include "support/test.h"

#include <stdint.h>

static bool is_zero(const unsigned char *memory, size_t size)
{
  for (size_t i = 0; i < size; i++)
    if (memory[i] != 0)
      return false;
  return true;
}

static void mem_new_is_zeroed_and_aligned(void **state)
{
  static const struct {
    size_t count, size;
  } cases[] = {{1, 1}, {3, 21}, {1, 64}, {1, 65}, {1000, 72}, {1, 1 << 20}};

  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t bytes = cases[i].count * cases[i].size;

    /* Twice: the second time it may be memory that was used before. */
    for (int again = 0; again < 2; again++) {
      unsigned char *memory = sqcq__mem_new(cases[i].count, cases[i].size);

      assert_non_null(memory);
      assert_int_equal((uintptr_t)memory % SQCQ_CACHELINE, 0);
      assert_true(is_zero(memory, bytes));
      for (size_t byte = 0; byte < bytes; byte++)
        memory[byte] = 0xa5;
      sqcq__mem_free(memory);
    }
  }
}

static void mem_new_of_nothing_is_some_memory(void **state)
{
  void *none = sqcq__mem_new(0, 64);
  void *nothing = sqcq__mem_new(64, 0);

  assert_non_null(none);
  assert_non_null(nothing);
  assert_ptr_not_equal(none, nothing);
  sqcq__mem_free(none);
  sqcq__mem_free(nothing);
}

static void mem_new_of_too_much_is_null(void **state)
{
  assert_null(sqcq__mem_new(SIZE_MAX, 2));
  assert_null(sqcq__mem_new(2, SIZE_MAX));
  assert_null(sqcq__mem_new(SIZE_MAX / 2 + 1, 2)); /* the product is 0 */
  assert_null(sqcq__mem_new(SIZE_MAX / 64 + 2, 64));
  assert_null(sqcq__mem_new(1, SIZE_MAX)); /* rounding up to a line would wrap */
  assert_null(sqcq__mem_new(SIZE_MAX, 1));
}

static void mem_free_of_null_does_nothing(void **state)
{
  sqcq__mem_free(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mem_new_is_zeroed_and_aligned),
      cmocka_unit_test(mem_new_of_nothing_is_some_memory),
      cmocka_unit_test(mem_new_of_too_much_is_null),
      cmocka_unit_test(mem_free_of_null_does_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
