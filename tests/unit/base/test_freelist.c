/*
 * The free list, by one thread: order, batches, the ends, and the count that guards it against ABA. What
 * many threads do to it is in stress_freelist.c.
 */
#include "base/freelist.h"
#include "dispatch/channel.h"
#include "engine/buffers.h"
#include "engine/files.h"

#include "support/test.h"

#include <stddef.h>

#define COUNT 8u

/* Links inside larger entries, as buffers have them. */
struct entry {
  uint64_t before;
  _Atomic uint32_t link;
  uint32_t after;
};

static struct entry entries[COUNT];
static struct sqcq__freelist list;

static int empty(void **state)
{
  (void)state;
  for (uint32_t i = 0; i < COUNT; i++)
    entries[i] = (struct entry){.before = 0x1111, .after = 0x2222};
  sqcq__freelist_init(&list, &entries[0].link, sizeof(entries[0]));
  return 0;
}

static void put(uint32_t index)
{
  sqcq__freelist_put(&list, &index, 1);
}

static uint32_t tag(void)
{
  return (uint32_t)(sqcq__load_relaxed(&list.head) >> 32);
}

static void freelist_take_from_an_empty_list_gives_nothing(void **state)
{
  uint32_t out[2] = {77, 77};

  assert_int_equal(sqcq__freelist_take(&list, out, 1), 0);
  assert_int_equal(sqcq__freelist_take(&list, out, 2), 0);
  assert_int_equal(out[0], 77);
  assert_int_equal(tag(), 0);
}

static void freelist_take_of_zero_gives_nothing(void **state)
{
  uint32_t out = 77;

  put(3);
  assert_int_equal(sqcq__freelist_take(&list, &out, 0), 0);
  assert_int_equal(out, 77);
  assert_int_equal(sqcq__freelist_take(&list, &out, 1), 1);
  assert_int_equal(out, 3);
}

static void freelist_take_gives_the_last_one_put_first(void **state)
{
  uint32_t out;

  put(0); /* index 0 is not mistaken for the end */
  put(COUNT - 1);
  put(4);
  assert_int_equal(sqcq__freelist_take(&list, &out, 1), 1);
  assert_int_equal(out, 4);
  assert_int_equal(sqcq__freelist_take(&list, &out, 1), 1);
  assert_int_equal(out, COUNT - 1);
  assert_int_equal(sqcq__freelist_take(&list, &out, 1), 1);
  assert_int_equal(out, 0);
  assert_int_equal(sqcq__freelist_take(&list, &out, 1), 0);
}

static void freelist_batch_goes_in_and_out_in_order(void **state)
{
  const uint32_t in[5] = {6, 1, 0, 7, 3};
  uint32_t out[COUNT];

  put(2);
  sqcq__freelist_put(&list, in, 5);
  assert_int_equal(sqcq__freelist_take(&list, out, 3), 3);
  assert_memory_equal(out, in, 3 * sizeof(*in));
  assert_int_equal(sqcq__freelist_take(&list, out, COUNT), 3);
  assert_int_equal(out[0], 7);
  assert_int_equal(out[1], 3);
  assert_int_equal(out[2], 2);
  assert_int_equal(sqcq__freelist_take(&list, out, COUNT), 0);
}

static void freelist_change_counts_once_whatever_its_size(void **state)
{
  const uint32_t in[4] = {0, 1, 2, 3};
  uint32_t out[4];

  sqcq__freelist_put(&list, in, 4);
  assert_int_equal(tag(), 1);
  assert_int_equal(sqcq__freelist_take(&list, out, 3), 3);
  assert_int_equal(tag(), 2);
  sqcq__freelist_put(&list, out, 2);
  assert_int_equal(tag(), 3);
}

static void freelist_head_differs_after_the_same_top_comes_back(void **state)
{
  uint32_t out[2];

  put(5);
  put(2);
  uint64_t before = sqcq__load_relaxed(&list.head);
  assert_int_equal(sqcq__freelist_take(&list, out, 2), 2);
  put(2); /* 2 is on top again, but 5 is not below it */
  uint64_t after = sqcq__load_relaxed(&list.head);
  assert_int_equal((uint32_t)after, (uint32_t)before);
  assert_int_not_equal(after, before);
}

static void freelist_tag_wraps_and_the_list_stays_whole(void **state)
{
  uint32_t out[3];

  put(5);
  put(2);
  sqcq__store_relaxed(&list.head, (uint64_t)UINT32_MAX << 32 | (2 + 1));
  assert_int_equal(sqcq__freelist_take(&list, out, 1), 1);
  assert_int_equal(out[0], 2);
  assert_int_equal(tag(), 0);
  put(2);
  assert_int_equal(tag(), 1);
  assert_int_equal(sqcq__freelist_take(&list, out, 3), 2);
  assert_int_equal(out[0], 2);
  assert_int_equal(out[1], 5);
}

static void freelist_use_leaves_the_rest_of_entries_alone(void **state)
{
  uint32_t out[COUNT];

  for (uint32_t i = 0; i < COUNT; i++)
    put(i);
  assert_int_equal(sqcq__freelist_take(&list, out, COUNT), COUNT);
  sqcq__freelist_put(&list, out, COUNT);
  for (uint32_t i = 0; i < COUNT; i++) {
    assert_int_equal(entries[i].before, 0x1111);
    assert_int_equal(entries[i].after, 0x2222);
  }
}

static void put_none(void *unused)
{
  sqcq__freelist_put(&list, unused, 0);
}

static void freelist_put_of_zero_is_a_mistake(void **state)
{
  assert_aborts(put_none, NULL, "count > 0");
}

static void freelist_head_has_its_line(void **state)
{
  /* Its owner's; of which it leaves some. */
  assert_int_equal(offsetof(struct sqcq__pool, free) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__pool, size) / SQCQ_CACHELINE,
                   offsetof(struct sqcq__pool, free) / SQCQ_CACHELINE);
  assert_int_equal(offsetof(struct sqcq__files, free) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__buffers, unwrapped) % SQCQ_CACHELINE, 0);
  assert_int_equal(offsetof(struct sqcq__channel, credit) / SQCQ_CACHELINE,
                   offsetof(struct sqcq__channel, room) / SQCQ_CACHELINE);
  assert_int_equal(offsetof(struct sqcq__freelist, head), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(freelist_take_from_an_empty_list_gives_nothing, empty),
      cmocka_unit_test_setup(freelist_take_of_zero_gives_nothing, empty),
      cmocka_unit_test_setup(freelist_take_gives_the_last_one_put_first, empty),
      cmocka_unit_test_setup(freelist_batch_goes_in_and_out_in_order, empty),
      cmocka_unit_test_setup(freelist_change_counts_once_whatever_its_size, empty),
      cmocka_unit_test_setup(freelist_head_differs_after_the_same_top_comes_back, empty),
      cmocka_unit_test_setup(freelist_tag_wraps_and_the_list_stays_whole, empty),
      cmocka_unit_test_setup(freelist_use_leaves_the_rest_of_entries_alone, empty),
      cmocka_unit_test_setup(freelist_put_of_zero_is_a_mistake, empty),
      cmocka_unit_test(freelist_head_has_its_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
