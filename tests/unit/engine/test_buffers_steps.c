/* sqcq-test: no-valgrind */
/*
 * Buffers and pools, with another thread's call between any two instructions of one: a pool that
 * goes while somebody acquires, two that release one buffer, a request against a release.
 */
#undef SQCQ_VALGRIND /* what a request to valgrind puts into a call is steps that do nothing */

#include "unit/step.h"

#include "base/freelist.c"
#include "base/mem.c"
#include "engine/buffers.c"

#define TAG 5u
#define COUNT 3u

static struct sqcq__buffers buffers;

struct field {
  uint64_t pool;
  uint64_t next_pool; /* another one in its slot */
  sqcq_buffer out[COUNT];
  sqcq_buffer other_out[COUNT];
  int got;
  int other_got;
};

static struct field field;

static uint64_t make_pool(void)
{
  struct sqcq_pool_config config = {.count = COUNT, .align = 4096, .buffer_size = 4096};
  uint32_t index;

  return sqcq__pool_make(&buffers, &config, &index) == 0 ? sqcq__pool_open(&buffers, index) : 0;
}

static int unmake(void **state)
{
  (void)state;
  sqcq__buffers_fini(&buffers);
  buffers = (struct sqcq__buffers){0};
  return 0;
}

static void set_up(void)
{
  unmake(NULL);
  assert_ok(sqcq__buffers_init(&buffers, 2 * COUNT, 1, TAG));
  field = (struct field){.pool = make_pool()};
  assert_true(field.pool != 0);
}

static void acquire_two(void *unused)
{
  (void)unused;
  field.got = sqcq__buffers_acquire(&buffers, field.pool, field.out, 2);
}

static void release_first(void *unused)
{
  (void)unused;
  field.got = sqcq__buffers_release(&buffers, field.out, 1);
}

static void destroy(void *unused)
{
  (void)unused;
  field.got = sqcq__pool_destroy(&buffers, field.pool);
}

static void other_acquires(void *unused)
{
  (void)unused;
  field.other_got = sqcq__buffers_acquire(&buffers, field.pool, field.other_out, COUNT);
}

static void other_acquires_and_releases(void *unused)
{
  other_acquires(unused);
  if (field.other_got > 0)
    field.other_got = sqcq__buffers_release(&buffers, field.other_out, (uint32_t)field.other_got);
}

static void other_releases_first(void *unused)
{
  (void)unused;
  field.other_got = sqcq__buffers_release(&buffers, field.out, 1);
}

static void other_destroys(void *unused)
{
  (void)unused;
  field.other_got = sqcq__pool_destroy(&buffers, field.pool);
}

/* The slot has another pool at once. */
static void other_destroys_and_makes(void *unused)
{
  other_destroys(unused);
  if (field.other_got == 0)
    field.next_pool = make_pool();
}

static void other_requests_first(void *unused)
{
  struct sqcq__buffer *buffer = sqcq__buffer_at(&buffers, field.out[0].id);

  (void)unused;
  field.other_got =
      sqcq__buffer_step(buffer, field.out[0].id, SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT);
}

/* All buffers of a pool whose owners have been heard are there, once each. */
static void assert_whole(uint64_t pool, uint32_t count)
{
  sqcq_buffer out[2 * COUNT];
  uint32_t seen = 0;

  assert_count(sqcq__buffers_acquire(&buffers, pool, out, 2 * COUNT), count);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(seen & 1u << sqcq__handle_index(out[i].id), 0);
    seen |= 1u << sqcq__handle_index(out[i].id);
  }
  assert_count(sqcq__buffers_release(&buffers, out, count), count);
}

static void acquire_while_its_pool_goes_gets_buffers_or_keeps_none(void **state)
{
  for (int remake = 0; remake < 2; remake++) {
    bool more = true;

    for (uint32_t k = 0; more; k++) {
      set_up();
      more = step_at(k, acquire_two, remake ? other_destroys_and_makes : other_destroys, NULL);
      if (more && field.other_got == 0) { /* it went: nothing of it, nor of the next one, is out */
        assert_true(field.got == -ESTALE || field.got == -ENOBUFS);
        if (remake)
          assert_whole(field.next_pool, COUNT);
      } else {
        assert_true(!more || field.other_got == -EBUSY);
        /* An acquire made meanwhile may have seen an empty pool. */
        assert_true(field.got == 2 || (more && field.got == -ENOBUFS));
        for (int i = 0; i < field.got; i++)
          assert_ok(sqcq__buffer_check(&buffers, field.out[i].id));
        if (field.got == 2)
          assert_count(sqcq__buffers_release(&buffers, field.out, 2), 2);
        assert_whole(field.pool, COUNT);
      }
    }
  }
}

static void destroy_while_another_acquires_goes_whole_or_not_at_all(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, destroy, other_acquires, NULL);
    assert_true(field.got == 0 || field.got == -EBUSY);
    if (field.got == 0) {
      assert_true(field.other_got <= 0);
      assert_error(sqcq__buffers_acquire(&buffers, field.pool, field.out, 1), -ESTALE);
    } else {
      assert_true(field.other_got > 0);
      uint32_t out = (uint32_t)field.other_got;
      for (uint32_t i = 0; i < out; i++)
        assert_ok(sqcq__buffer_check(&buffers, field.other_out[i].id));
      if (out < COUNT)
        assert_whole(field.pool, COUNT - out);
      assert_count(sqcq__buffers_release(&buffers, field.other_out, out), out);
      assert_whole(field.pool, COUNT);
    }
  }
}

static void destroy_while_another_acquires_and_releases_loses_none(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    more = step_at(k, destroy, other_acquires_and_releases, NULL);
    assert_true(field.got == 0 || field.got == -EBUSY);
    if (field.got == -EBUSY)
      assert_whole(field.pool, COUNT);
  }
}

static void release_while_its_pool_goes_is_heard_or_keeps_it(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    assert_count(sqcq__buffers_acquire(&buffers, field.pool, field.out, 1), 1);
    more = step_at(k, release_first, other_destroys, NULL);
    assert_int_equal(field.got, 1);
    if (more && field.other_got == 0)
      continue;
    assert_true(!more || field.other_got == -EBUSY);
    assert_whole(field.pool, COUNT);
    assert_ok(sqcq__pool_destroy(&buffers, field.pool));
  }
}

static void release_by_two_is_done_by_one(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    assert_count(sqcq__buffers_acquire(&buffers, field.pool, field.out, 1), 1);
    more = step_at(k, release_first, other_releases_first, NULL);
    if (more)
      assert_true((field.got == 1) != (field.other_got == 1));
    assert_true(field.got == 1 || field.got == -ESTALE);
    assert_true(!more || field.other_got == 1 || field.other_got == -ESTALE);
    assert_whole(field.pool, COUNT);
  }
}

static void release_while_another_requests_is_one_or_the_other(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    set_up();
    assert_count(sqcq__buffers_acquire(&buffers, field.pool, field.out, 1), 1);
    more = step_at(k, release_first, other_requests_first, NULL);
    if (field.other_got) { /* in flight: the release has been refused */
      assert_true(field.got == -EBUSY || field.got == -ESTALE);
      assert_error(sqcq__buffer_check(&buffers, field.out[0].id), -EBUSY);
      assert_whole(field.pool, COUNT - 1);
    } else {
      assert_int_equal(field.got, 1);
      assert_whole(field.pool, COUNT);
    }
  }
}

#define STEPS_TEST(name) cmocka_unit_test_teardown(name, unmake)

int main(void)
{
  const struct CMUnitTest tests[] = {
      STEPS_TEST(acquire_while_its_pool_goes_gets_buffers_or_keeps_none),
      STEPS_TEST(destroy_while_another_acquires_goes_whole_or_not_at_all),
      STEPS_TEST(destroy_while_another_acquires_and_releases_loses_none),
      STEPS_TEST(release_while_its_pool_goes_is_heard_or_keeps_it),
      STEPS_TEST(release_by_two_is_done_by_one),
      STEPS_TEST(release_while_another_requests_is_one_or_the_other),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
