/*
 * One thread of a role is stopped at a point of the library (base/point.h) until it is let go: the first
 * one that comes there, or a certain one.
 */
#ifndef SQCQ_TESTS_STRESS_PARKED_H
#define SQCQ_TESTS_STRESS_PARKED_H

#include "base/point.h"
#include "stress/crowd.h"

enum role {
  ROLE_NONE, /* never stopped */
  ROLE_VICTIM,
  ROLE_CONSUMER,
  ROLE_IO
};

static struct {
  enum sqcq__point point;
  enum role role;
  atomic_uint state; /* PARK_OPEN, PARK_OVER, or PARKED + the member's index */
} park;

#define PARK_OPEN 0u /* nobody has come */
#define PARK_OVER 1u /* let go, and nobody is to come any more */
#define PARKED 2u

static _Thread_local enum role my_role;

/* relaxed, all looks: nothing of the library's is to be ordered by them */
static inline unsigned park_state(void)
{
  return atomic_load_explicit(&park.state, memory_order_relaxed);
}

void sqcq__point_reached(enum sqcq__point point)
{
  unsigned expected = PARK_OPEN;
  int saved = errno;

  if (my_role == ROLE_NONE || my_role != park.role || point != park.point ||
      !atomic_compare_exchange_strong_explicit(&park.state, &expected, PARKED + crowd_me->index,
                                               memory_order_relaxed, memory_order_relaxed))
    return;
  while (park_state() != PARK_OVER && crowd_good(crowd_me))
    test_sleep_ns(100000);
  errno = saved;
}

static inline void park_arm(enum role role, enum sqcq__point point)
{
  park.role = role;
  park.point = point;
  atomic_store(&park.state, PARK_OPEN);
}

/* Outside of the library. */
static inline void park_here(void)
{
  atomic_store_explicit(&park.state, PARKED + crowd_me->index, memory_order_relaxed);
}

static inline void park_let_go(void)
{
  atomic_store_explicit(&park.state, PARK_OVER, memory_order_relaxed);
}

static inline bool is_parked(void)
{
  return park_state() >= PARKED;
}

/* Whether it is this member that has stopped. */
static inline bool is_parked_here(uint32_t index)
{
  return park_state() == PARKED + index;
}

#define PARKED_NAME(name) [SQCQ__POINT_##name] = #name,
static const char *const point_names[] = {SQCQ__POINT_LIST(PARKED_NAME)};
#undef PARKED_NAME

#endif
