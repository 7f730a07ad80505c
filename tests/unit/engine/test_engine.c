/*
 * The engine's layout: what different threads write lies on different lines, and what is read in every call
 * lies with nothing that is written in every call.
 */
#include "engine/engine.h"

#include "support/test.h"

#define LINE(member) (offsetof(struct sqcq_engine, member) / SQCQ_CACHELINE)
#define END_LINE(member)                                                                           \
  ((offsetof(struct sqcq_engine, member) + sizeof(((struct sqcq_engine *)0)->member) - 1) /        \
   SQCQ_CACHELINE)

static void engine_parts_share_no_line(void **state)
{
  static const struct {
    const char *name;
    size_t first, last;
  } parts[] = {
      {"constants", LINE(config), END_LINE(tag)},    {"phase", LINE(phase), END_LINE(depth_left)},
      {"control", LINE(control), END_LINE(control)}, {"sleeper", LINE(sleeper), END_LINE(sleeper)},
      {"lanes", LINE(lanes), END_LINE(lanes)},       {"own", LINE(own), END_LINE(own)},
      {"files", LINE(files), END_LINE(files)},       {"buffers", LINE(buffers), END_LINE(buffers)},
      {"stats", LINE(stats), END_LINE(stats)},       {"io", LINE(io), END_LINE(io)},
  };

  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
    for (size_t other = 0; other < i; other++)
      if (parts[i].first <= parts[other].last && parts[other].first <= parts[i].last)
        fail_msg("%s and %s share a line", parts[i].name, parts[other].name);
}

static void request_slot_begins_with_its_request_on_a_line(void **state)
{
  assert_int_equal(offsetof(struct sqcq__slot, request), 0);
  assert_int_equal(_Alignof(struct sqcq__slot), SQCQ_CACHELINE);
  assert_int_equal(sizeof(struct sqcq__slot), 2 * SQCQ_CACHELINE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engine_parts_share_no_line),
      cmocka_unit_test(request_slot_begins_with_its_request_on_a_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
