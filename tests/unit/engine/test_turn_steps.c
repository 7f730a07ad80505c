/* sqcq-test: simulated */
/* sqcq-test: no-valgrind */
/*
 * The I/O thread drains, by turn.c as it is, with a request between any two instructions: it is drained now, or its
 * bit is set for the next turn.
 */
#undef SQCQ_VALGRIND /* what a request to valgrind puts into a call is steps that do nothing */

#include "unit/step.h"

#include "engine/turn.c"

#include "unit/engine/turn_rig.h"

static struct rig rig;
static sqcq_buffer buffer; /* the other one's */
static int answer;

static void drain(void *unused)
{
  (void)unused;
  sqcq__turn_drain(rig.engine);
}

static void other_asks(void *unused)
{
  struct sqcq_read read = {.file = rig.file,
                           .channel = rig.channel,
                           .buffer = buffer,
                           .user_data = 1,
                           .length = RIG_LENGTH};

  (void)unused;
  answer = sqcq_request(rig.engine, &read);
}

static void request_comes_while_the_io_thread_drains(void **state)
{
  bool more = true;

  rig_start(&rig, "6.18");
  for (uint32_t k = 0; more; k++) {
    uint64_t seen = 0;

    rig_ask(&rig, 0);
    assert_count(sqcq_buffer_acquire(rig.engine, rig.pool, &buffer, 1), 1);
    more = step_at(k, drain, other_asks, NULL);
    if (!more)
      other_asks(NULL);
    assert_ok(answer);
    (void)rig_turns(&rig, 3);
    assert_int_equal(rig_take_all(&rig, rig.channel, &seen), 2);
  }
  rig_end(&rig);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(request_comes_while_the_io_thread_drains)};
  int skip = step_skip();
  return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
