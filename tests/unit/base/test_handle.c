/*
 * Handles and state words: what is packed in comes out again.
 */
#include "base/handle.h"

#include "support/rng.h"
#include "support/test.h"

static void handle_of_parts_gives_them_back(void **state)
{
  struct rng rng;

  rng_seed(&rng, rng_seed_from_env(1));
  for (int i = 0; i < 1000; i++) {
    uint32_t generation = (uint32_t)rng_next(&rng);
    uint32_t index = (uint32_t)rng_below(&rng, SQCQ__INDEX_MASK + 1u);
    uint32_t tag = (uint32_t)rng_below(&rng, SQCQ__TAG_MASK + 1u);
    uint64_t handle = sqcq__handle(generation, index, tag);

    assert_int_equal(sqcq__handle_generation(handle), generation);
    assert_int_equal(sqcq__handle_index(handle), index);
    assert_int_equal(sqcq__handle_tag(handle), tag);
  }
}

static void handle_of_largest_parts_uses_every_bit(void **state)
{
  assert_int_equal(sqcq__handle(UINT32_MAX, SQCQ__INDEX_MASK, SQCQ__TAG_MASK), UINT64_MAX);
  assert_int_equal(sqcq__handle(1, 0, 0), UINT64_C(1) << 32);
  assert_int_equal(sqcq__handle(0, 1, 0), UINT64_C(1) << 12);
  assert_int_equal(sqcq__handle(0, 0, 1), 1);
}

static void handle_retag_changes_nothing_but_the_tag(void **state)
{
  uint64_t handle = sqcq__handle(0xdeadbeef, 0x54321, 0xabc);
  uint64_t other = sqcq__handle_retag(handle, 0x123);

  assert_int_equal(other, sqcq__handle(0xdeadbeef, 0x54321, 0x123));
  assert_int_equal(sqcq__handle_retag(other, 0xabc), handle);
  assert_int_equal(sqcq__handle_retag(UINT64_MAX, 0), UINT64_MAX - SQCQ__TAG_MASK);
}

static void word_of_parts_gives_them_back(void **state)
{
  uint64_t word = sqcq__word(0x89abcdef, 0xfedcba98);

  assert_int_equal(word, UINT64_C(0x89abcdeffedcba98));
  assert_int_equal(sqcq__word_generation(word), 0x89abcdef);
  assert_int_equal(sqcq__word_state(word), 0xfedcba98);
}

static void generation_after_the_last_one_skips_zero(void **state)
{
  assert_int_equal(sqcq__generation_after(0), 1);
  assert_int_equal(sqcq__generation_after(1), 2);
  assert_int_equal(sqcq__generation_after(UINT32_MAX - 1), UINT32_MAX);
  assert_int_equal(sqcq__generation_after(UINT32_MAX), 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(handle_of_parts_gives_them_back),
      cmocka_unit_test(handle_of_largest_parts_uses_every_bit),
      cmocka_unit_test(handle_retag_changes_nothing_but_the_tag),
      cmocka_unit_test(word_of_parts_gives_them_back),
      cmocka_unit_test(generation_after_the_last_one_skips_zero),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
