/*
 * Two threads that pass a channel's one credit to each other, by mpsc/credit.h as it is, but for what a planted
 * fault has redefined before. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_CREDITS_H
#define SQCQ_TESTS_TSAN_CREDITS_H

#include "mpsc/credit.h"

#include "tsan/pair.h"

#include <sched.h>

#define TAKES 2000u

static struct sqcq__credit credit;
static uint64_t slot; /* plain: the one credit protects it */

static void take_credit(void)
{
  while (sqcq__credit_take(&credit, 1, 1) != 1)
    (void)sched_yield();
}

#ifndef USE_SLOT
#define USE_SLOT()                                                                                 \
  do {                                                                                             \
    slot++;                                                                                        \
    sqcq__credit_give(&credit, 1);                                                                 \
  } while (0)
#endif

static void *use(void *arg)
{
  for (uint32_t i = 0; i < TAKES; i++) {
    take_credit();
    USE_SLOT();
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

#endif
