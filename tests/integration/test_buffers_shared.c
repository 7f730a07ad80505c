/*
 * Buffers and pools in many threads' hands: each buffer has one owner at a time, and a pool that is
 * destroyed is never mistaken for the next one in its place.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "integration/fixture.h"

#define THREADS 6
#define ROUNDS (SANITIZED ? 100u : 1000u)
#define ROUNDS_LEAST 20u
/* Enough of what takes as long as the threads are kept from their CPUs. */
#define ENOUGH_NS (1500 * MS)

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

static void start(pthread_t *threads, int count, void *(*function)(void *), void *argument)
{
  for (int i = 0; i < count; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, function, argument), 0);
}

static void join(const pthread_t *threads, int count)
{
  for (int i = 0; i < count; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Take some, sign them, see that nobody else has, and give them back. */
static void *take_and_give(void *argument)
{
  struct verdict *verdict = argument;
  uint64_t signature = (uint64_t)pthread_self();

  for (uint32_t round = 0; round < ROUNDS; round++) {
    sqcq_buffer buffers[7];
    int n = sqcq_buffer_acquire(rig.engine, rig.pool, buffers, 1 + round % 7);

    if (n == -ENOBUFS) {
      sched_yield();
      continue;
    }
    verdict_check(verdict, n >= 1 && n <= 7);
    for (int i = 0; i < n; i++)
      memcpy(sqcq_buffer_data(rig.engine, buffers[i]), &signature, sizeof(signature));
    if (round % 16 == 0)
      sched_yield();
    for (int i = 0; i < n; i++)
      verdict_check(verdict, memcmp(sqcq_buffer_data(rig.engine, buffers[i]), &signature,
                                    sizeof(signature)) == 0);
    verdict_check(verdict, sqcq_buffer_release(rig.engine, buffers, (uint32_t)n) == n);
    verdict_check(verdict, sqcq_buffer_release(rig.engine, buffers, 1) == -ESTALE);
  }
  return NULL;
}

static void each_buffer_has_one_owner(void **state)
{
  struct verdict verdict = {0};
  pthread_t threads[THREADS];

  start(threads, THREADS, take_and_give, &verdict);
  join(threads, THREADS);
  assert_verdict(&verdict);
}

/* Pools of three sizes come and go in the same place, while others use the last one they saw, gone
 * or not. When it is to go, they see none for a moment: who is always used is never destroyed. */
#define NO_POOL UINT32_MAX

struct exchange {
  struct verdict verdict;
  sqcq_pool pools[ROUNDS]; /* by round; written before `last` shows it */
  _Atomic uint32_t last;
  _Atomic bool over;
};

static uint32_t size_in(uint32_t round)
{
  return 64u << round % 3;
}

static void use_pool(struct exchange *exchange, uint32_t round)
{
  sqcq_buffer buffers[2];
  int n = sqcq_buffer_acquire(rig.engine, exchange->pools[round], buffers, 2);

  verdict_check(&exchange->verdict, n == 1 || n == 2 || n == -ESTALE || n == -ENOBUFS);
  for (int i = 0; i < n; i++) {
    char *data = sqcq_buffer_data(rig.engine, buffers[i]);

    verdict_check(&exchange->verdict, data != NULL);
    verdict_check(&exchange->verdict, sqcq_buffer_size(rig.engine, buffers[i]) == size_in(round));
    if (data != NULL && !verdict_is_bad(&exchange->verdict))
      memset(data, 'x', size_in(round)); /* of another pool, this may be too much */
  }
  if (n > 0)
    verdict_check(&exchange->verdict, sqcq_buffer_release(rig.engine, buffers, (uint32_t)n) == n);
}

static void *use_pools(void *argument)
{
  struct exchange *exchange = argument;
  uint32_t mine = NO_POOL;

  while (!atomic_load(&exchange->over)) {
    uint32_t last = atomic_load(&exchange->last);

    if (mine != NO_POOL)
      use_pool(exchange, mine);
    mine = last;
    if (last == NO_POOL)
      sched_yield();
    else
      use_pool(exchange, last);
  }
  return NULL;
}

static void pool_is_not_mistaken_for_the_next_one(void **state)
{
  static struct exchange exchange;
  pthread_t threads[THREADS];

  memset(&exchange, 0, sizeof(exchange));
  atomic_store(&exchange.last, NO_POOL);
  start(threads, THREADS, use_pools, &exchange);
  int64_t until = test_now_ns() + ENOUGH_NS;
  for (uint32_t round = 0; round < ROUNDS && !verdict_is_bad(&exchange.verdict); round++) {
    if (round >= ROUNDS_LEAST && test_now_ns() > until)
      break;
    struct sqcq_pool_config config = {
        .size = sizeof(config), .count = 4, .buffer_size = size_in(round)};
    sqcq_pool *pool = &exchange.pools[round];
    int error;

    assert_ok(sqcq_pool_create(rig.engine, &config, pool));
    atomic_store(&exchange.last, round);
    if (round % 4 == 0)
      sched_yield();
    while ((error = sqcq_pool_destroy(rig.engine, *pool)) == -EBUSY) {
      atomic_store(&exchange.last, NO_POOL);
      sched_yield();
    }
    assert_ok(error);
    assert_error(sqcq_pool_destroy(rig.engine, *pool), -ESTALE);
  }
  atomic_store(&exchange.over, true);
  join(threads, THREADS);
  assert_verdict(&exchange.verdict);
}

/* Of many that release or request the same buffer at once, one wins. */
struct contest {
  struct verdict verdict;
  struct sqcq_read read;
  _Atomic uint32_t ready;
  _Atomic uint32_t won;
};

static void *contend(void *argument)
{
  struct contest *contest = argument;
  uint32_t turn = atomic_fetch_add(&contest->ready, 1);
  int error;

  while (atomic_load(&contest->ready) < 4)
    sched_yield();
  if (turn % 2 == 0)
    error = sqcq_buffer_release(rig.engine, &contest->read.buffer, 1) - 1;
  else
    error = sqcq_request(rig.engine, &contest->read);
  if (error == 0)
    atomic_fetch_add(&contest->won, turn % 2 == 0 ? 1 : 100);
  return NULL;
}

static void one_of_many_wins_a_buffer(void **state)
{
  for (uint32_t round = 0; round < ROUNDS / 20; round++) {
    struct contest contest = {.read = rig_page(&rig, round % RIG_PAGES)};
    struct sqcq_completion completion;
    pthread_t threads[4];

    start(threads, 4, contend, &contest);
    join(threads, 4);
    assert_true(contest.won == 1 || contest.won == 100);
    if (contest.won == 100) {
      rig_take(&rig, &completion, 1);
      rig_check_page(&completion);
      rig_release(&rig, completion.buffer);
    }
    assert_count(sqcq_engine_poll(rig.engine), 0);
    assert_refused(&rig, sqcq_request(rig.engine, &contest.read), -ESTALE);
  }
}

static void *wrap_and_unwrap(void *argument)
{
  struct verdict *verdict = argument;
  char memory[64];

  for (uint32_t round = 0; round < ROUNDS; round++) {
    sqcq_buffer buffer;
    int error = sqcq_buffer_wrap(rig.engine, memory, 1 + round % 64, &buffer);

    if (error == -ENOSPC) {
      sched_yield();
      continue;
    }
    verdict_check(verdict, error == 0);
    verdict_check(verdict, sqcq_buffer_data(rig.engine, buffer) == memory);
    verdict_check(verdict, sqcq_buffer_size(rig.engine, buffer) == 1 + round % 64);
    verdict_check(verdict, sqcq_buffer_unwrap(rig.engine, buffer) == 0);
    verdict_check(verdict, sqcq_buffer_unwrap(rig.engine, buffer) == -ESTALE);
  }
  return NULL;
}

static void memory_is_wrapped_by_many(void **state)
{
  struct verdict verdict = {0};
  pthread_t threads[THREADS];

  start(threads, THREADS, wrap_and_unwrap, &verdict);
  join(threads, THREADS);
  assert_verdict(&verdict);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(each_buffer_has_one_owner),
      CASE(pool_is_not_mistaken_for_the_next_one),
      CASE(one_of_many_wins_a_buffer),
      CASE(memory_is_wrapped_by_many),
  };

  require_io_uring();
  return cmocka_run_group_tests_name("buffers_shared", tests, NULL, NULL);
}
