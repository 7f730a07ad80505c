/*
 * Planted: a buffer's word is stepped without order. Where nothing else goes with it, its next owner may read what
 * was there before. ThreadSanitizer has to say so.
 */
#include "base/atomics.h"

#ifndef WITHOUT_FAULT
#undef sqcq__cas_acq_rel
#define sqcq__cas_acq_rel sqcq__cas_relaxed
#endif

#include "engine/buffers.h"

#include "tsan/pair.h"

#include <sched.h>

#define ROUNDS 2000u

static struct sqcq__buffer buffer;
static const uint64_t handle = 7;
static uint64_t bytes; /* plain: the word protects it */

static void wait_for(enum sqcq__buffer_state from, enum sqcq__buffer_state to)
{
  while (!sqcq__buffer_step(&buffer, handle, from, to))
    (void)sched_yield();
}

static void *give(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    wait_for(SQCQ__BUFFER_OWNED, SQCQ__BUFFER_OWNED);
    bytes++;
    wait_for(SQCQ__BUFFER_OWNED, SQCQ__BUFFER_IN_FLIGHT);
  }
  return arg;
}

static void *take(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    wait_for(SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_IN_FLIGHT);
    bytes++;
    wait_for(SQCQ__BUFFER_IN_FLIGHT, SQCQ__BUFFER_OWNED);
  }
  return arg;
}

int main(void)
{
  sqcq__store_relaxed(&buffer.word,
                      sqcq__word(sqcq__handle_generation(handle), SQCQ__BUFFER_OWNED));
  pair_run(give, take);
  return bytes != 2 * (uint64_t)ROUNDS;
}
