/* sqcq-test: no-valgrind */
/*
 * Files, with another thread's call between any two instructions of one: two that remove, the same file or two.
 */
#include "unit/step.h"

#include "engine/files.c"

#include <sys/eventfd.h>

#define COUNT 2u

static struct sqcq__files files;

struct field {
  uint64_t handles[COUNT];
  uint32_t removed[COUNT]; /* how many calls have removed it */
};

static int unmake(void **state)
{
  (void)state;
  sqcq__files_fini(&files);
  files = (struct sqcq__files){0};
  return 0;
}

static struct field set_up(void)
{
  struct field field = {.removed = {0}};

  unmake(NULL);
  assert_ok(sqcq__files_init(&files, COUNT, 1, false));
  for (uint32_t i = 0; i < COUNT; i++)
    assert_ok(sqcq__files_add(&files, eventfd(0, EFD_CLOEXEC), &field.handles[i]));
  return field;
}

static void remove_file(struct field *field, uint32_t which)
{
  field->removed[which] += sqcq__files_remove(&files, field->handles[which], 0) == 0;
}

static void remove_first(void *argument)
{
  remove_file(argument, 0);
}

static void remove_second(void *argument)
{
  remove_file(argument, 1);
}

/* Each file removed is taken once. */
static void check_taken(const struct field *field)
{
  uint32_t taken[COUNT] = {0};

  for (uint32_t top = sqcq__files_take_removed(&files), i = 0; top != 0; i++) {
    assert_true(i < COUNT);
    taken[top - 1]++;
    top = sqcq__files_removed_next(&files, top - 1);
  }
  for (uint32_t i = 0; i < COUNT; i++)
    assert_int_equal(taken[sqcq__handle_index(field->handles[i])], field->removed[i]);
}

static void remove_by_two_is_done_by_one(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up();

    more = step_at(k, remove_first, remove_first, &field);
    assert_int_equal(field.removed[0], 1);
    check_taken(&field);
  }
}

static void remove_while_another_removes_loses_none(void **state)
{
  bool more = true;

  for (uint32_t k = 0; more; k++) {
    struct field field = set_up();

    more = step_at(k, remove_first, remove_second, &field);
    assert_int_equal(field.removed[0], 1);
    assert_int_equal(field.removed[1], more);
    check_taken(&field);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(remove_by_two_is_done_by_one, unmake),
      cmocka_unit_test_teardown(remove_while_another_removes_loses_none, unmake),
  };
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
