/* sqcq-test: timeout 200 */
/* sqcq-test: label slow */
/*
 * One thread stops for as long as it likes, at each point where it can be in the way (base/point.h), on the real
 * ring. Meanwhile the others do all they have to do, which is counted and not timed; what the stopped one
 * holds is what docs/threading.md says ("If a thread stops right there"), and no more; the engine can be
 * stopped, or waits for it, as it says there. Then it goes on, and everything has been answered exactly once.
 *
 *   SQCQ_SEED, SQCQ_STRESS_PERCENT, SQCQ_SOAK_SECONDS    see crowd.h
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress/parked.h"
#include "stress/parked_cases.h"
#include "stress/world_round.h"

#define OTHERS 4u
#define CAPACITY 4u
#define LANES 2u
#define SLOTS 4u
#define TURNS_LATER 20u
#define VICTIM_MOST 20000u /* reads, until somebody has come to the point */

#define CASES (sizeof(cases) / sizeof(cases[0]))

static const struct stop_case *this_case;
static enum call call;
static bool stop_meanwhile;
static uint32_t each; /* of the others: so many reads, or calls */
static int64_t took_ns;

/* ------------------------------------------------------------------------- */
/* What is held                                                              */
/* ------------------------------------------------------------------------- */

static uint32_t credits_of(uint32_t channel)
{
  return sqcq__credit_taken(sqcq__load_relaxed(&world.engine->channels[channel].credit.word));
}

/* Of all channels, but the one whose consumer has stopped. */
static uint32_t credits_out(void)
{
  uint32_t sum = 0;

  for (uint32_t i = 0; i < world.engine->config.user.channels_max; i++)
    if (!is_parked_here(i + 1))
      sum += credits_of(i);
  return sum;
}

static uint32_t buffers_in_flight(void)
{
  const struct sqcq__buffers *buffers = &world.engine->buffers;
  uint32_t count = 0;

  for (uint32_t i = 0; i < world.plan.buffers; i++)
    count +=
        sqcq__word_state(sqcq__load_relaxed(&buffers->buffers[i].word)) == SQCQ__BUFFER_IN_FLIGHT;
  return count;
}

static uint32_t shared_held(void)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < world.engine->lanes.count; i++)
    count += sqcq__load_relaxed(&world.engine->lanes.lanes[i].claim) == SQCQ__CLAIM_HELD;
  return count;
}

static uint32_t own_held(void)
{
  uint32_t count = 0;

  for (uint32_t i = 0; i < world.engine->own.count; i++)
    count += sqcq__load_relaxed(&world.engine->own.lanes[i].lane.claim) == SQCQ__CLAIM_HELD;
  return count;
}

/* ------------------------------------------------------------------------- */
/* The others, and what they wait for                                        */
/* ------------------------------------------------------------------------- */

#define until(me, condition)                                                                       \
  while (!(condition) && crowd_good(me))                                                           \
  test_sleep_ns(100000)

/* The I/O thread has stopped: so many calls, whatever they answer, and all of them do. */
static void knock(struct crowd_member *me, uint32_t who)
{
  struct producer *producer = &world.producers[who];
  uint64_t answers = 0;

  for (uint32_t i = 0; i < each && crowd_good(me); i++) {
    struct sqcq_read read;
    uint32_t accepted = 0;

    if (sqcq_buffer_acquire(world.engine, world.pool, &read.buffer, 1) != 1) {
      producer->refused[kind_of(-ENOBUFS)]++;
      continue;
    }
    prepare(me, who, producer->accepted, world.channels[rng_below(&me->rng, world.plan.channels)],
            &read);
    crowd_check(me, hand_in(me, who, &read, 1, &accepted));
    answers++;
    if (accepted == 0)
      release(me, read.buffer);
  }
  crowd_check(me, answers > 0);
  atomic_fetch_sub(&world.producing, 1);
}

/* All completions, as they come. */
static void take_all(struct crowd_member *me, sqcq_channel channel)
{
  struct sqcq_completion completions[CAPACITY];
  int n;

  while ((n = sqcq_channel_wait(world.engine, channel, completions, CAPACITY, 1, SQCQ_FOREVER)) > 0)
    for (int i = 0; i < n; i++) {
      check_completion(me, &completions[i]);
      release(me, completions[i].buffer);
    }
  crowd_check(me, n == -ESHUTDOWN);
}

/* ------------------------------------------------------------------------- */
/* A case                                                                    */
/* ------------------------------------------------------------------------- */

/* A producer has stopped, and the others have done all. */
static void check_producer(struct crowd_member *me)
{
  const struct stop_case *at = this_case;
  uint32_t reads = call_reads(call);
  bool own = (BIT(call) & OWNED) != 0;

  uint32_t credits = at->credits ? reads : 0;
  uint32_t buffers = at->buffers == ALL ? reads : at->buffers;

  /* Not taken away from it, not taken twice: so it stays. */
  until(me, credits_out() == credits || (at->answered == PERHAPS && credits_out() == 0));
  if (at->answered == PERHAPS && credits_out() == 0)
    buffers = 0;
  crowd_check(me, buffers_in_flight() == buffers);
  crowd_check(me, shared_held() == (at->shared && !own));
  crowd_check(me, own_held() == (at->own && own));
}

/* A consumer has: its own channel's producers are refused, and its channel is within its bound. */
static void check_consumer(struct crowd_member *me)
{
  uint64_t refused = 0;

  until(me, credits_out() == 0);
  for (uint32_t i = 0; i < OTHERS; i++)
    refused += world.producers[i].refused[kind_of(-EXFULL)];
  crowd_check(me, refused > 0);
  if (crowd_good(me))
    crowd_check(me, credits_of(park_state() - PARKED - 1) <= CAPACITY);
}

/* The I/O thread has: nobody else can bring more in than the credits are good for, and where there are
 * many of them the lanes; and no other call waits for it. */
static void check_io(struct crowd_member *me)
{
  struct sqcq_cancel_target nothing = {
      .what = SQCQ_CANCEL_USER_DATA, .channel = world.channels[0], .user_data = UINT64_MAX};
  struct sqcq_stats stats;
  uint64_t accepted = 0, refused = 0;
  sqcq_file file;

  for (uint32_t i = 0; i < OTHERS; i++) {
    accepted += world.producers[i].accepted;
    refused += world.producers[i].refused[kind_of(stop_meanwhile ? -EAGAIN : -EXFULL)];
  }
  crowd_check(me, accepted > 0 && accepted <= LANES * SLOTS);
  crowd_check(me, refused > 0);
  crowd_check(me, sqcq_file_add(world.engine, ground.fds[0], &file) == 0);
  crowd_check(me, sqcq_file_remove(world.engine, file, SQCQ_REMOVE_DEFAULT) == 0);
  crowd_check(me, sqcq_cancel(world.engine, &nothing) == 0);
  crowd_check(me, sqcq_engine_stats(world.engine, &stats, sizeof(stats)) == 0);
}

static uint64_t turns(void)
{
  return sqcq__load_relaxed(&world.engine->stats.turns);
}

/* A stop while it stands there: it is waited for where it is inside a lane, and nowhere else. */
static void stop_under_it(struct crowd_member *me)
{
  bool inside = shared_held() + own_held() > 0;

  stop_all(me);
  if (this_case->role == ROLE_IO)
    return;
  if (inside) {
    uint64_t later = turns() + TURNS_LATER;

    until(me, turns() >= later);
    crowd_check(me, sqcq__phase(world.engine) == SQCQ__PHASE_RUNNING);
  } else {
    until(me, sqcq__phase(world.engine) == SQCQ__PHASE_STOPPED);
  }
}

/* One turn, which brings nobody anything: whomever a consumer has stopped in front of, it wakes. */
static void check_relay(struct crowd_member *me)
{
  crowd_check(me, remove_a_file(me) == 0);
  until(me, credits_out() == 0);
}

static atomic_bool others_go, victim_done;

static void direct(struct crowd_member *me)
{
  until(me, is_parked());
  if (this_case->role != ROLE_VICTIM)
    until(me, atomic_load(&victim_done)); /* its last call is not to meet the others */
  if (this_case->role == ROLE_CONSUMER)
    check_relay(me);
  int64_t start = test_now_ns();
  atomic_store(&others_go, true);
  until(me, atomic_load(&world.producing) == 0);
  if (this_case->role == ROLE_VICTIM)
    check_producer(me);
  else if (this_case->role == ROLE_CONSUMER)
    check_consumer(me);
  else if (this_case->role == ROLE_IO)
    check_io(me);
  took_ns = test_now_ns() - start;
  if (stop_meanwhile)
    stop_under_it(me);
  park_let_go();
  until(me, atomic_load(&victim_done));
  if (!stop_meanwhile) {
    until(me, credits_out() == 0);
    stop_all(me);
  }
}

/* Whoever is to come to the point, and asks until it or another has. */
static void be_victim(struct crowd_member *me, uint32_t who)
{
  bool mine = this_case->role == ROLE_VICTIM;

  if ((BIT(call) & OWNED) != 0)
    crowd_check(me, sqcq_lane_open(world.engine, &world.producers[who].lane) == 0);
  while (park_state() == PARK_OPEN && crowd_good(me)) {
    crowd_check(me, world.producers[who].accepted + call_reads(call) <= VICTIM_MOST);
    int result = make_call(me, who, call);

    /* Before the point the engine goes on and takes all; the one call that came to it may be late. */
    if (mine && park_state() != PARK_OPEN && stop_meanwhile && this_case->late)
      crowd_check(me, result == -ESHUTDOWN);
    else
      crowd_check(me, result == call_result(call));
    until(me, credits_out() == 0 || park_state() != PARK_OPEN);
    if (this_case->role == ROLE_NONE)
      park_here();
    test_sleep_ns(300000); /* so that they all sleep */
  }
  leave_lane(me, &world.producers[who]);
  take_reports(me);
  atomic_store(&victim_done, true);
}

static void act(struct crowd_member *me)
{
  const struct plan *plan = &world.plan;
  uint32_t index = me->index;

  if (index == 0) {
    my_role = ROLE_IO;
    world.io_result = sqcq_engine_run(world.engine);
  } else if (--index < plan->channels) {
    my_role = ROLE_CONSUMER;
    take_all(me, world.channels[index]);
  } else if ((index -= plan->channels) < OTHERS) {
    until(me, atomic_load(&others_go));
    if (this_case->role == ROLE_IO)
      knock(me, index);
    else
      ask_and_leave(me, index, each);
  } else if ((index -= OTHERS) == 0) {
    my_role = ROLE_VICTIM;
    be_victim(me, OTHERS);
  } else {
    direct(me);
  }
  my_role = ROLE_NONE;
}

static void play(const struct stop_case *at, enum call with)
{
  struct plan plan = {.channels = at->role == ROLE_CONSUMER ? 3 : 2,
                      .capacity = at->role == ROLE_IO && stop_meanwhile ? CAPACITY * 2 : CAPACITY,
                      .producers = OTHERS,
                      .buffers = 40,
                      .batch = BATCH_MAX,
                      .quota = VICTIM_MOST,
                      .ending = STOP_DRAIN,
                      .own = rng_percent(&seeded, 50) || (BIT(with) & OWNED) != 0,
                      .silent = true};

  world.round++;
  watch();
  each = crowd_scaled(soaking() ? 5000 : 2000) / OTHERS;
  sqcq_engine_config_init(&plan.config);
  plan.config.depth = 16;
  plan.config.lanes_shared = LANES;
  plan.config.lane_slots = SLOTS;
  plan.config.vectors_max = 2;
  plan.config.cancels_max = 2;
  plan.config.idle = SQCQ_IDLE_SLEEP;
  this_case = at;
  call = with;
  atomic_store(&others_go, false);
  atomic_store(&victim_done, false);
  park_arm(at->role, at->point);
  play_with(&plan, 1 + plan.channels + OTHERS + 2,
            rng_percent(&seeded, 5) ? CROWD_JOSTLED : CROWD_LEFT_ALONE, act);
  tally.faults++;
}

static uint64_t seen_points;

/* Each case with each of its calls, left alone and under a stop: once in full, and on while there is time. */
static void play_all(enum role role, const struct crowd_soak *soak)
{
  for (uint32_t i = 0; i < CASES; i++) {
    const struct stop_case *at = &cases[i];
    unsigned calls = at->calls == 0 ? BIT(MANY) : at->calls;

    if (at->role != role)
      continue;
    for (unsigned c = 0; c < CALLS; c++)
      for (unsigned stopped = 0; stopped < 2 && (calls & BIT(c)) != 0; stopped++) {
        if (soak->done > 1 && test_now_ns() >= soak->until)
          return;
        stop_meanwhile = stopped == 1;
        play(at, (enum call)c);
        print_message("%s, %s%s: the others took %.1f ms\n", case_name(at), call_names[c],
                      stopped == 1 ? " and a stop" : "", (double)took_ns / 1e6);
      }
    seen_points |= UINT64_C(1) << at->point;
  }
}

static void others_go_on(const char *scenario, enum role role)
{
  struct crowd_soak soak = crowd_soak_of(NULL, 1);

  while (crowd_next_round(&soak)) {
    play_all(ROLE_NONE, &soak); /* to compare with */
    play_all(role, &soak);
  }
  say_tally(scenario);
}

static void producer_stopped_anywhere_holds_nobody_up(void **state)
{
  others_go_on(__func__, ROLE_VICTIM);
}

static void consumer_stopped_anywhere_holds_up_its_own_channel_alone(void **state)
{
  others_go_on(__func__, ROLE_CONSUMER);
}

static void io_thread_stopped_anywhere_makes_nobody_wait(void **state)
{
  others_go_on(__func__, ROLE_IO);
}

/* A new point needs a case. */
static void every_point_has_been_stopped_at(void **state)
{
  for (unsigned i = 0; i < SQCQ__POINT_COUNT; i++)
    if ((seen_points >> i & 1) == 0)
      fail_msg("nobody was stopped at %s", point_names[i]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(producer_stopped_anywhere_holds_nobody_up),
      cmocka_unit_test(consumer_stopped_anywhere_holds_up_its_own_channel_alone),
      cmocka_unit_test(io_thread_stopped_anywhere_makes_nobody_wait),
      cmocka_unit_test(every_point_has_been_stopped_at),
  };

  require_io_uring();
  rng_seed(&seeded, rng_seed_from_env((uint64_t)test_now_ns()));
  return cmocka_run_group_tests_name("parked", tests, make_ground, unmake_ground);
}
