/*
 * Where a thread may stop, and what that is to mean: the table of docs/threading.md, "If a thread stops right
 * there", in figures.
 */
#ifndef SQCQ_TESTS_STRESS_PARKED_CASES_H
#define SQCQ_TESTS_STRESS_PARKED_CASES_H

#include "stress/parked.h"
#include "stress/parked_calls.h"

/* Who has stopped, and what that is to mean. */
struct stop_case {
  enum sqcq__point point;
  enum role role;
  unsigned calls;   /* of a producer: bits of enum call */
  bool credits;     /* it holds those of all its reads, while they are not answered */
  uint8_t buffers;  /* it holds: 0, 1 or ALL */
  bool shared, own; /* it is inside a shared lane, or one of its own */
  enum {
    NO,
    PERHAPS,
    YES
  } answered; /* what it has asked for, while it stands there */
  bool late;  /* a stop that comes meanwhile refuses what it asks for */
};

#define ALL 9u
#define SHARED (BIT(ONE) | BIT(MANY))
#define OWNED (BIT(OWN_ONE) | BIT(OWN_MANY))
#define ASKED (SHARED | OWNED)

#define AT(name, ...)                                                                              \
  {                                                                                                \
    .point = SQCQ__POINT_##name, __VA_ARGS__                                                       \
  }
#define PRODUCER(name, what, ...) AT(name, .role = ROLE_VICTIM, .calls = (what), __VA_ARGS__)

static const struct stop_case cases[] = {
    {.point = SQCQ__POINT_COUNT, .role = ROLE_NONE},
    PRODUCER(REQUEST_BEGUN, ASKED | BIT(VECTOR), .late = true),
    PRODUCER(OWN_ENTERED, OWNED, .own = true, .late = true),
    PRODUCER(OWN_INSIDE, OWNED, .own = true),
    PRODUCER(CREDIT_SEEN, SHARED, .late = true),
    PRODUCER(CREDIT_SEEN, OWNED, .own = true),
    PRODUCER(CREDITS_TAKEN, SHARED, .credits = true, .late = true),
    PRODUCER(CREDITS_TAKEN, OWNED, .credits = true, .own = true),
    PRODUCER(LANE_CLAIMED, SHARED, .credits = true, .shared = true),
    PRODUCER(BUFFER_STEPPED, ASKED, .credits = true, .buffers = 1, .shared = true, .own = true),
    PRODUCER(VECTOR_STEPPED, BIT(VECTOR) | BIT(TWICE), .credits = true, .buffers = 1,
             .shared = true),
    PRODUCER(SLOT_FILLED, ASKED, .credits = true, .buffers = 1, .shared = true, .own = true),
    PRODUCER(LANE_COMMITTED, SHARED, .credits = true, .buffers = ALL, .shared = true),
    PRODUCER(LANE_UNCLAIMED, SHARED, .credits = true, .buffers = ALL, .answered = PERHAPS),
    PRODUCER(LANE_MARKED, SHARED, .answered = YES),
    PRODUCER(OWN_COMMITTED, OWNED, .credits = true, .buffers = ALL, .own = true),
    PRODUCER(OWN_MARKED, OWNED, .own = true, .answered = YES),
    PRODUCER(CREDITS_GIVEN, BIT(HALF) | BIT(TWICE), .answered = YES),
    PRODUCER(OWN_LEFT, OWNED, .answered = YES),
    PRODUCER(WAKE_DUE, ASKED, .answered = YES),
    PRODUCER(WAKE_SEEN, ASKED, .answered = YES),
    PRODUCER(WAKE_WRITTEN, ASKED, .answered = YES),
    PRODUCER(FILE_REMOVING, BIT(REMOVE)),
    PRODUCER(CANCEL_COUNTED, BIT(CANCEL), .credits = true, .late = true),
    PRODUCER(CANCEL_PUSHED, BIT(CANCEL), .credits = true),
    AT(POPPED, .role = ROLE_CONSUMER),
    AT(BUFFERS_BACK, .role = ROLE_CONSUMER),
    AT(CREDITS_BACK, .role = ROLE_CONSUMER),
    AT(WANT_ANNOUNCED, .role = ROLE_CONSUMER),
    AT(NOTE_TAKEN, .role = ROLE_CONSUMER),
    AT(CONSUMER_SEEN, .role = ROLE_CONSUMER),
    AT(CONSUMER_WOKEN, .role = ROLE_CONSUMER),
    AT(TURN_BEGUN, .role = ROLE_IO),
    AT(TURN_DRAINED, .role = ROLE_IO),
    AT(TURN_STARTED, .role = ROLE_IO),
    AT(TURN_REAPED, .role = ROLE_IO),
    AT(TURN_PUBLISHED, .role = ROLE_IO),
    AT(SLEEP_ANNOUNCED, .role = ROLE_IO),
    AT(CONSUMER_SEEN, .role = ROLE_IO),
    AT(CONSUMER_WOKEN, .role = ROLE_IO),
};

static inline const char *case_name(const struct stop_case *at)
{
  return at->role == ROLE_NONE ? "nobody stopped" : point_names[at->point];
}

#endif
