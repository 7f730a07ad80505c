/* sqcq-test: timeout 120 */
/* sqcq-test: label slow */
/*
 * Threads and processes that come and go, on the real ring: producers that are threads of a moment; forks
 * in the middle; I/O threads that end early, with heirs, or without, so that destroy must answer what they
 * leave. The accounts are closed as in stress_engine.c.
 *
 *   SQCQ_SEED, SQCQ_STRESS_PERCENT, SQCQ_SOAK_SECONDS    see crowd.h
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress/world_round.h"

#include <sys/wait.h>

#define LIFE 40u       /* reads of a producer's thread, at the most */
#define HEIR_TURNS 60u /* of an I/O thread that ends early, at the most */

/* Of the round: threads, forks. */
static atomic_uint faults;

/* ------------------------------------------------------------------------- */
/* Threads of a moment                                                       */
/* ------------------------------------------------------------------------- */

struct errand {
  struct crowd_member *me; /* who waits meanwhile */
  void (*function)(struct crowd_member *me, uint32_t argument);
  uint32_t argument;
};

static void *run_errand(void *argument)
{
  struct errand *errand = argument;

  errand->function(errand->me, errand->argument);
  return NULL;
}

/* Another thread does it in this member's name, and ends. */
static void send(struct crowd_member *me, void (*function)(struct crowd_member *, uint32_t),
                 uint32_t argument)
{
  struct errand errand = {.me = me, .function = function, .argument = argument};
  pthread_t thread;

  if (pthread_create(&thread, NULL, run_errand, &errand) != 0) {
    crowd_fail(me, "no thread");
    return;
  }
  (void)pthread_join(thread, NULL);
  atomic_fetch_add(&faults, 1);
}

static atomic_bool going[PRODUCERS_MAX];

static void live(struct crowd_member *me, uint32_t who)
{
  uint64_t most = world.producers[who].accepted + rng_below(&me->rng, LIFE);

  atomic_store(&going[who], ask_up_to(me, who, most < world.plan.quota ? most : world.plan.quota));
}

static void produce_by_many(struct crowd_member *me, uint32_t who)
{
  atomic_store(&going[who], true);
  while (atomic_load(&going[who]) && may_ask(me, who))
    send(me, live, who);
  leave_producers(me);
}

/* ------------------------------------------------------------------------- */
/* Forks                                                                     */
/* ------------------------------------------------------------------------- */

/* In the child, which has no thread but this one: every call refuses. */
static int call_in_child(void)
{
  struct sqcq_read read = {.channel = world.channels[0], .length = 1};
  struct sqcq_completion completion;
  sqcq_buffer buffer;

  return sqcq_request(world.engine, &read) == -EPERM &&
                 sqcq_channel_poll(world.engine, world.channels[0], &completion, 1) == -EPERM &&
                 sqcq_buffer_acquire(world.engine, world.pool, &buffer, 1) == -EPERM &&
                 sqcq_engine_poll(world.engine) == -EPERM &&
                 sqcq_engine_stop(world.engine, SQCQ_STOP_CANCEL, 0) == -EPERM &&
                 sqcq_engine_destroy(world.engine, NULL) == -EPERM
             ? 0
             : 1;
}

static void fork_again_and_again(struct crowd_member *me)
{
  while (!atomic_load(&world.stopping) && crowd_good(me)) {
    int status = 0;
    bool lingers = rng_percent(&me->rng, 30);
    pid_t child = fork();

    if (child == 0) {
      int failed = call_in_child();

      if (lingers)
        test_sleep_ns(3 * MS);
      _exit(failed);
    }
    crowd_check(me, child > 0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
      continue;
    crowd_check(me, status == 0);
    atomic_fetch_add(&faults, 1);
    test_sleep_ns((int64_t)rng_below(&me->rng, 2 * MS));
  }
}

/* ------------------------------------------------------------------------- */
/* I/O threads that end early                                                */
/* ------------------------------------------------------------------------- */

/* Some turns, and no more; it may have to wait for the last one's end. */
static void turn_some(struct crowd_member *me, uint32_t most)
{
  for (uint32_t made = 0; made < most && crowd_good(me);) {
    int result = rng_percent(&me->rng, 30) ? sqcq_engine_wait(world.engine, 100000)
                                           : sqcq_engine_poll(world.engine);

    if (result == -ESHUTDOWN)
      break;
    if (result < 0)
      verdict_fail(&me->crowd->verdict, "a turn says %d", result);
    made++;
  }
}

/* One after the other; the last one stays, where the engine has not ended by then. */
static void turn_by_heirs(struct crowd_member *me)
{
  while (!atomic_load(&world.stopping) && crowd_good(me))
    send(me, turn_some, 1 + (uint32_t)rng_below(&me->rng, HEIR_TURNS));
  if (sqcq__phase(world.engine) != SQCQ__PHASE_STOPPED)
    world.io_result = sqcq_engine_run(world.engine);
}

/* It takes its ring along, and whoever turns the engine next answers for all that is out, while producers
 * go on until they are told. */
static void turn_and_leave(struct crowd_member *me)
{
  int error = 0;

  send(me, turn_some, 1 + (uint32_t)rng_below(&me->rng, 20 * HEIR_TURNS));
  while (error != -ESHUTDOWN && crowd_good(me)) {
    error = sqcq_engine_poll(world.engine);
    crowd_check(me, error == -EOWNERDEAD || error == -ESHUTDOWN);
    (void)sched_yield();
  }
}

/* The same, and everybody leaves it alone after that. */
static void take_for_a_while(struct crowd_member *me, sqcq_channel channel)
{
  struct sqcq_completion completion;

  while (atomic_load(&world.producing) > 0 && crowd_good(me)) {
    if (sqcq_channel_poll(world.engine, channel, &completion, 1) == 1) {
      check_completion(me, &completion);
      release(me, completion.buffer);
    }
    crowd_jitter(&me->rng);
  }
}

static uint64_t deserted; /* rounds */

static void destroy_answers_all(void)
{
  struct crowd_member *me = &crowd.members[0];
  struct sqcq_completion completion;
  struct sqcq_held held;

  /* One buffer at the least stays out, so that it cannot succeed. */
  sqcq_buffer mine;
  int held_back = sqcq_buffer_acquire(world.engine, world.pool, &mine, 1);

  if (held_back != 1)
    world.producers[0].refused[kind_of(held_back)]++; /* all are out */
  deserted += sqcq__phase(world.engine) != SQCQ__PHASE_STOPPED;
  assert_error(sqcq_engine_destroy(world.engine, &held), -EBUSY);
  assert_int_equal(held.running + held.inflight, 0);
  assert_true(held.buffers > 0);
  if (held_back == 1)
    release(me, mine);
  atomic_fetch_add(&faults, 1);
  for (uint32_t i = 0; i < world.plan.channels + world.plan.silent; i++) {
    sqcq_channel channel = i < world.plan.channels ? world.channels[i] : world.silent_channel;

    while (sqcq_channel_poll(world.engine, channel, &completion, 1) == 1) {
      check_completion(me, &completion);
      release(me, completion.buffer);
    }
  }
  assert_verdict(&crowd.verdict);
}

/* ------------------------------------------------------------------------- */
/* Rounds                                                                    */
/* ------------------------------------------------------------------------- */

static enum scene {
  MANY_LIVES,
  FORKS,
  HEIRS,
  ORPHANS,
  DESERTED
} scene;

static void act(struct crowd_member *me)
{
  const struct plan *plan = &world.plan;
  uint32_t index = me->index;

  if (index == 0) {
    if (scene == HEIRS)
      turn_by_heirs(me);
    else if (scene == ORPHANS)
      turn_and_leave(me);
    else if (scene == DESERTED)
      send(me, turn_some, 1 + (uint32_t)rng_below(&me->rng, HEIR_TURNS));
    else
      world.io_result = sqcq_engine_run(world.engine);
  } else if (--index < plan->channels) {
    if (scene == DESERTED)
      take_for_a_while(me, world.channels[index]);
    else
      consume(me, world.channels[index]);
  } else if ((index -= plan->channels) < plan->producers) {
    if (scene == MANY_LIVES)
      produce_by_many(me, index);
    else
      produce(me, index);
  } else if ((index -= plan->producers) == 0 && scene == FORKS) {
    fork_again_and_again(me);
  } else {
    ask_silence(me, plan->producers);
  }
}

static void play(struct plan *plan)
{
  plan->orphan = scene >= HEIRS;
  if (plan->silent) {
    deepen(plan);
    plan->buffers += plan->capacity;
  }
  atomic_store(&faults, 0);
  play_with(plan, 1 + plan->channels + plan->producers + (scene == FORKS) + plan->silent,
            rng_percent(&seeded, 30) ? CROWD_JOSTLED : CROWD_LEFT_ALONE, act);
  tally.faults += atomic_load(&faults);
}

static void producers_come_and_go(void **state)
{
  scene = MANY_LIVES;
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.own = world.round % 2 == 0;
    play(&plan);
  }
}

static void forks_in_the_middle_change_nothing(void **state)
{
  scene = FORKS;
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.churn = false;
    plan.silent = world.round % 2 == 0;
    plan.ending = plan.silent ? END_CANCEL : END_DRAIN;
    play(&plan);
  }
}

static void io_threads_end_and_others_take_over(void **state)
{
  scene = HEIRS;
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.config.flags |= SQCQ_ENGINE_NO_DEFER; /* others may enter the ring */
    plan.ending = rng_percent(&seeded, 50) ? END_DRAIN : END_CANCEL;
    play(&plan);
  }
}

/* Whoever has the ring's file table has a tombstone in it; these have. */
static struct plan plan_of_orphans(void)
{
  struct plan plan = random_plan();

  plan.own = world.round % 3 == 0;
  plan.config.flags &= ~(uint32_t)(SQCQ_ENGINE_NO_FIXED_FILES | SQCQ_ENGINE_NO_DEFER);
  return plan;
}

static void io_thread_ends_and_the_next_answers_all(void **state)
{
  scene = ORPHANS;
  FOR_ROUNDS
  {
    struct plan plan = plan_of_orphans();

    plan.silent = world.round % 2 == 0;
    plan.ending = STOP_CANCEL; /* in the middle, and by that thread */
    play(&plan);
  }
}

static void io_thread_ends_and_destroy_answers_all(void **state)
{
  scene = DESERTED;
  FOR_ROUNDS
  {
    struct plan plan = plan_of_orphans();

    plan.ending = END_CANCEL;
    plan.after = destroy_answers_all;
    play(&plan);
  }
  assert_true(deserted > 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(producers_come_and_go),
      cmocka_unit_test(forks_in_the_middle_change_nothing),
      cmocka_unit_test(io_threads_end_and_others_take_over),
      cmocka_unit_test(io_thread_ends_and_the_next_answers_all),
      cmocka_unit_test(io_thread_ends_and_destroy_answers_all),
  };

  require_io_uring();
  rng_seed(&seeded, rng_seed_from_env((uint64_t)test_now_ns()));
  return cmocka_run_group_tests_name("ends", tests, make_ground, unmake_ground);
}
