/*
 * Give and take: what the checkers are told. Under ThreadSanitizer the planted faults in tests/tsan say more.
 */
#include "base/ownership.h"

#include "support/test.h"

#include <string.h>

#define SIZE 256u

static _Alignas(64) unsigned char memory[2 * SIZE];
static struct sqcq__owner owner;

#if defined(SQCQ__ASAN)
#define assert_poisoned(byte, is)                                                                  \
  assert_int_equal(__asan_address_is_poisoned(&memory[byte]) != 0, (is))
#else
#define assert_poisoned(byte, is) ((void)0)
#endif

static void owner_give_then_take_keeps_the_bytes(void **state)
{
  memset(memory, 0x5a, sizeof(memory));
  sqcq__owner_init(&owner);
  for (int i = 0; i < 3; i++) {
    sqcq__owner_give(&owner, memory, SIZE);
    sqcq__owner_take(&owner, memory, SIZE);
    for (uint32_t byte = 0; byte < sizeof(memory); byte++)
      assert_int_equal(memory[byte], 0x5a);
  }
  sqcq__owner_fini(&owner);
}

static void owner_give_poisons_its_memory_and_no_more(void **state)
{
  sqcq__owner_init(&owner);
  sqcq__owner_give(&owner, memory, SIZE);
  assert_poisoned(0, 1);
  assert_poisoned(SIZE - 1, 1);
  assert_poisoned(SIZE, 0);
  sqcq__owner_take(&owner, memory, SIZE);
  assert_poisoned(0, 0);
  assert_poisoned(SIZE - 1, 0);
  sqcq__owner_fini(&owner);
}

#if defined(SQCQ__TSAN)
static void give_twice(void *unused)
{
  (void)unused;
  sqcq__owner_init(&owner);
  sqcq__owner_give(&owner, memory, SIZE);
  sqcq__owner_give(&owner, memory, SIZE);
}

static void take_twice(void *unused)
{
  (void)unused;
  sqcq__owner_init(&owner);
  sqcq__owner_give(&owner, memory, SIZE);
  sqcq__owner_take(&owner, memory, SIZE);
  sqcq__owner_take(&owner, memory, SIZE);
}
static void owner_same_step_twice_is_a_mistake(void **state)
{
  assert_aborts(give_twice, NULL, "");
  assert_aborts(take_twice, NULL, "");
}
#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(owner_give_then_take_keeps_the_bytes),
    cmocka_unit_test(owner_give_poisons_its_memory_and_no_more),
#if defined(SQCQ__TSAN)
    cmocka_unit_test(owner_same_step_twice_is_a_mistake),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
