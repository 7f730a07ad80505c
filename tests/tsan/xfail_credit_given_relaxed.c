/*
 * Planted: a consumer gives its credit back without release, so the producer that gets it may write what the
 * consumer still reads. ThreadSanitizer has to say so.
 */
#include "mpsc/credit.h"

#include "tsan/pair.h"

#include <sched.h>

#define ROUNDS 2000u

static struct sqcq__credit credit;
static uint64_t slot; /* plain: the one credit protects it */

static void *use(void *arg)
{
  for (uint32_t i = 0; i < ROUNDS; i++) {
    while (sqcq__credit_take(&credit, 1, 1) != 1)
      (void)sched_yield();
    slot++;
    sqcq__add_relaxed(&credit.word, UINT64_MAX); /* minus 1, without release */
  }
  return arg;
}

int main(void)
{
  sqcq__store_relaxed(&credit.word, sqcq__word(1, 0));
  sqcq__store_relaxed(&credit.capacity, 1);
  pair_run(use, use);
  return slot == 0;
}
