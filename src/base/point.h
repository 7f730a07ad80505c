/*
 * Points at which a test may stop a thread, to see that all others go on: between any two steps that
 * others could notice, in what docs/threading.md says about a thread that stops right there. A test
 * program defines sqcq__point_reached(); without SQCQ_DEBUG there is nothing of it.
 *
 * A new one goes into the list, and tests/stress/parked_cases.h has to have a case for it.
 */
#ifndef SQCQ_BASE_POINT_H
#define SQCQ_BASE_POINT_H

#ifdef SQCQ_DEBUG
#include <stddef.h>

#define SQCQ__POINT_LIST(X)                                                                        \
  /* P: a request, in this order */                                                                \
  X(REQUEST_BEGUN)  /* it has seen no stop */                                                      \
  X(OWN_ENTERED)    /* own lane: says that it is inside, and has not looked yet */                 \
  X(OWN_INSIDE)     /* and has */                                                                  \
  X(CREDIT_SEEN)    /* the credit word looked at, nothing taken */                                 \
  X(CREDITS_TAKEN)  /* of all channels of the chunk */                                             \
  X(LANE_CLAIMED)   /* nothing in it yet */                                                        \
  X(BUFFER_STEPPED) /* to IN_FLIGHT; the slot is not filled */                                     \
  X(VECTOR_STEPPED) /* one of several buffers */                                                   \
  X(SLOT_FILLED)    /* not committed */                                                            \
  X(LANE_COMMITTED) /* the claim not given back */                                                 \
  X(LANE_UNCLAIMED) /* the work bit not set */                                                     \
  X(LANE_MARKED)    /* the work bit set; the wake to come */                                       \
  X(OWN_COMMITTED)  /* as above, inside of an own lane */                                          \
  X(OWN_MARKED)                                                                                    \
  X(CREDITS_GIVEN) /* unused credits given back; its consumer, if it sleeps, not woken */          \
  X(OWN_LEFT)      /* out of its own lane */                                                       \
  X(WAKE_DUE)      /* about to look whether the I/O thread sleeps */                               \
  X(WAKE_SEEN)     /* it does; its eventfd is not written */                                       \
  X(WAKE_WRITTEN)  /* and is; the sleep is not noted as ended */                                   \
  /* P: others */                                                                                  \
  X(FILE_REMOVING)  /* a file marked, not pushed */                                                \
  X(CANCEL_COUNTED) /* a cancel with its entry and credit, the epoch raised; not pushed */         \
  X(CANCEL_PUSHED)  /* the control bit not set */                                                  \
  /* C */                                                                                          \
  X(POPPED)         /* completions taken out; buffers not stepped back */                          \
  X(BUFFERS_BACK)   /* credits not given back */                                                   \
  X(CREDITS_BACK)   /* and given back */                                                           \
  X(WANT_ANNOUNCED) /* before the second look */                                                   \
  X(NOTE_TAKEN)     /* who it is about to wake sleeps, and is noted nowhere */                     \
  X(CONSUMER_SEEN)  /* a consumer's sleep found; it is not woken (C, I) */                         \
  X(CONSUMER_WOKEN) /* and is; the sleep is not noted as ended */                                  \
  /* I: a turn, in this order */                                                                   \
  X(TURN_BEGUN)                                                                                    \
  X(TURN_DRAINED)                                                                                  \
  X(TURN_STARTED)    /* SQEs written, not submitted */                                             \
  X(TURN_REAPED)     /* completions in their channels, not published */                            \
  X(TURN_PUBLISHED)  /* no consumer woken */                                                       \
  X(SLEEP_ANNOUNCED) /* before the second look */

#define SQCQ__POINT_NAME(name) SQCQ__POINT_##name,
enum sqcq__point {
  SQCQ__POINT_LIST(SQCQ__POINT_NAME) SQCQ__POINT_COUNT
};
#undef SQCQ__POINT_NAME

void sqcq__point_reached(enum sqcq__point point) __attribute__((weak));

#define SQCQ_POINT(name)                                                                           \
  (sqcq__point_reached != NULL ? sqcq__point_reached(SQCQ__POINT_##name) : (void)0)

#else
#define SQCQ_POINT(name) ((void)0)
#endif

#endif
