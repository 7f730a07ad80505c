/* sqcq-test: timeout 120 */
/* sqcq-test: label slow */
/*
 * The whole engine on the real ring, with more threads than cores and bounds so small that each of
 * them is hit all the time. At the end of each round every accepted read has been answered exactly
 * once, with its own bytes; refusals are counted right; and all that was lent is back.
 *
 *   SQCQ_SEED, SQCQ_STRESS_PERCENT, SQCQ_SOAK_SECONDS    see crowd.h
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress/world_round.h"

/* ------------------------------------------------------------------------- */
/* A round                                                                   */
/* ------------------------------------------------------------------------- */

/* Threads: the I/O thread, consumers, producers, and those that the plan has beside them. */
static void act(struct crowd_member *me)
{
  const struct plan *plan = &world.plan;
  uint32_t index = me->index;
  uint32_t who = plan->producers;

  if (index == 0) {
    world.io_result = sqcq_engine_run(world.engine);
    return;
  }
  index--;
  if (index < plan->channels) {
    consume(me, world.channels[index]);
    return;
  }
  index -= plan->channels;
  if (index < plan->producers) {
    produce(me, index);
    return;
  }
  index -= plan->producers;
  if (plan->ending >= STOP_DRAIN && index-- == 0) {
    uint64_t when = rng_below(&me->rng, (uint64_t)plan->quota * plan->producers / 2 + 1);

    while (atomic_load_explicit(&world.accepted, memory_order_relaxed) < when && time_is_left(me))
      (void)sched_yield();
    stop_all(me);
    return;
  }
  if (plan->churn && index-- == 0) {
    churn(me);
    return;
  }
  if (plan->guest && index-- == 0) {
    visit(me, who);
    return;
  }
  ask_silence(me, who + plan->guest);
}

static uint32_t thread_count(const struct plan *plan)
{
  return 1u + plan->channels + plan->producers + (plan->ending >= STOP_DRAIN) + plan->churn +
         plan->guest + plan->silent;
}

static void play(const struct plan *plan)
{
  play_with(plan, thread_count(plan), rng_percent(&seeded, 40) ? CROWD_JOSTLED : CROWD_LEFT_ALONE,
            act);
}

/* ------------------------------------------------------------------------- */
/* Scenarios                                                                 */
/* ------------------------------------------------------------------------- */

static void tiny_bounds(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.producers = 8;
    plan.quota = crowd_scaled(QUOTA) / 8;
    plan.config.lane_slots = 2;
    plan.config.depth = 2u << rng_below(&seeded, 2);
    play(&plan);
  }
}

static void consumers_stop_and_resume(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.pauses = true;
    play(&plan);
  }
}

static void files_come_and_go_while_they_are_read(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.churn = true;
    play(&plan);
  }
}

static void stop_in_the_middle_answers_every_accepted_read(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.quota = crowd_scaled(QUOTA / 20) / plan.producers; /* short rounds, many engines */
    plan.ending = STOP_DRAIN + (uint32_t)(world.round % 3);
    plan.churn = world.round % 4 == 0;
    play(&plan);
  }
}

static void channels_come_and_go(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.guest = true;
    deepen(&plan);
    play(&plan);
  }
}

static void own_lanes_go_from_hand_to_hand(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.own = true;
    if (world.round % 2 == 0) {
      plan.quota = crowd_scaled(QUOTA / 20) / plan.producers;
      plan.ending = STOP_DRAIN + (uint32_t)(world.round / 2 % 3);
    }
    play(&plan);
  }
}

static void pipes_that_never_answer_hold_nobody_up(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.silent = true;
    plan.ending = world.round % 2 == 0 ? END_CANCEL : STOP_LIMIT;
    deepen(&plan);
    plan.buffers += plan.capacity;
    play(&plan);
  }
}

static void everything_at_once(void **state)
{
  FOR_ROUNDS
  {
    struct plan plan = random_plan();

    plan.silent = plan.churn = plan.guest = plan.pauses = true;
    plan.own = rng_percent(&seeded, 50);
    plan.ending = rng_percent(&seeded, 50) ? END_CANCEL : STOP_CANCEL + (uint32_t)(world.round % 2);
    deepen(&plan);
    plan.buffers += plan.capacity;
    play(&plan);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tiny_bounds),
      cmocka_unit_test(consumers_stop_and_resume),
      cmocka_unit_test(files_come_and_go_while_they_are_read),
      cmocka_unit_test(stop_in_the_middle_answers_every_accepted_read),
      cmocka_unit_test(channels_come_and_go),
      cmocka_unit_test(own_lanes_go_from_hand_to_hand),
      cmocka_unit_test(pipes_that_never_answer_hold_nobody_up),
      cmocka_unit_test(everything_at_once),
  };

  require_io_uring();
  rng_seed(&seeded, rng_seed_from_env((uint64_t)test_now_ns()));
  return cmocka_run_group_tests_name("engine", tests, make_ground, unmake_ground);
}
