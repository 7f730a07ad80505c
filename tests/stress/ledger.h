/*
 * What stress tests of lanes share: requests that say who made them, and a ledger of those that have
 * come out, each once, whole, and in its producer's order within a lane.
 */
#ifndef SQCQ_TESTS_STRESS_LEDGER_H
#define SQCQ_TESTS_STRESS_LEDGER_H

#include "mpsc/lane.h"
#include "stress/crowd.h"

#include <string.h>

#define PRODUCERS 6u
#define NUMBERS_MAX 20000u /* of one producer */
#define LEDGER_LANES_MAX 130u
#define SLOTS_MAX 8u

struct ledger {
  atomic_uint acked[PRODUCERS];               /* the last number drained */
  uint32_t committed[PRODUCERS];              /* by each; after joining */
  uint32_t last[LEDGER_LANES_MAX][PRODUCERS]; /* drained from a lane */
  uint8_t seen[PRODUCERS][NUMBERS_MAX + 1];
  uint64_t drained;
};

/* Every field follows from producer and number, which begins at 1. */
static inline struct sqcq__request request_of(uint32_t producer, uint32_t number)
{
  uint64_t state = (uint64_t)producer << 32 | number;
  struct sqcq__request request = {.user_data = state};

  request.file = rng_mix(&state);
  request.buffer = rng_mix(&state);
  request.offset = rng_mix(&state);
  request.deadline_ns = rng_mix(&state);
  request.accepted_ns = rng_mix(&state);
  request.length = (uint32_t)rng_mix(&state);
  request.buffer_offset = (uint32_t)rng_mix(&state);
  request.cancel_epoch = (uint32_t)rng_mix(&state);
  request.ioprio = (uint16_t)rng_mix(&state);
  return request;
}

/* By the drainer: this one came out of that lane. */
static inline void ledger_enter(struct ledger *ledger, struct crowd_member *me, uint32_t lane,
                                const struct sqcq__request *request)
{
  uint32_t producer = (uint32_t)(request->user_data >> 32), number = (uint32_t)request->user_data;
  struct sqcq__request expected;

  if (producer >= PRODUCERS || number == 0 || number > NUMBERS_MAX) {
    verdict_fail(&me->crowd->verdict, "a request that nobody made: %llx",
                 (unsigned long long)request->user_data);
    return;
  }
  expected = request_of(producer, number);
  if (memcmp(request, &expected, sizeof(expected)) != 0)
    verdict_fail(&me->crowd->verdict, "request %u of producer %u is mixed", number, producer);
  if (++ledger->seen[producer][number] != 1)
    verdict_fail(&me->crowd->verdict, "request %u of producer %u came twice", number, producer);
  /* No order is promised over lanes, but one lane is a queue. */
  if (number <= ledger->last[lane][producer])
    verdict_fail(&me->crowd->verdict, "request %u of producer %u came after %u in its lane", number,
                 producer, ledger->last[lane][producer]);
  ledger->last[lane][producer] = number;
  ledger->drained++;
  atomic_store_explicit(&ledger->acked[producer], number, memory_order_relaxed);
}

/* By the drainer: drain n of what is ready; given back only once it is copied. */
static inline void ledger_drain(struct ledger *ledger, struct crowd_member *me, uint32_t index,
                                struct sqcq__lane *lane, uint32_t n)
{
  struct sqcq__request copies[SLOTS_MAX];

  if (n > SLOTS_MAX) {
    crowd_fail(me, "more are ready than there are slots");
    return;
  }
  for (uint32_t i = 0; i < n; i++) {
    copies[i] = *sqcq__lane_at(lane, i);
    crowd_jitter(&me->rng);
  }
  if (n > 0)
    sqcq__lane_give_back(lane, n);
  for (uint32_t i = 0; i < n; i++)
    ledger_enter(ledger, me, index, &copies[i]);
}

static inline void ledger_check_empty(struct crowd_member *me, uint32_t index,
                                      const struct sqcq__lane *lane)
{
  if (sqcq__lane_ready(lane) > 0) {
    uint64_t user_data = sqcq__lane_at(lane, 0)->user_data;

    verdict_fail(&me->crowd->verdict, "request %u of producer %u was left in lane %u",
                 (uint32_t)user_data, (uint32_t)(user_data >> 32), index);
  }
}

/* At the end, nobody else is there: what was committed has come out, and nothing else. How many. */
static inline uint64_t ledger_check(const struct ledger *ledger)
{
  uint64_t committed = 0;

  for (uint32_t i = 0; i < PRODUCERS; i++) {
    for (uint32_t number = 1; number <= NUMBERS_MAX; number++)
      assert_int_equal(ledger->seen[i][number], number <= ledger->committed[i]);
    committed += ledger->committed[i];
  }
  assert_int_equal(ledger->drained, committed);
  return committed;
}

#endif
