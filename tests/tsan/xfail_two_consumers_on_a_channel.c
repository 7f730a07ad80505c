/*
 * Planted: two threads take completions of one channel at once. ThreadSanitizer has to say so.
 */
#include "dispatch/channel.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#define COMPLETIONS 512u

static struct sqcq__channel channel;

static void *take(void *arg)
{
  struct sqcq_completion out;

  for (uint32_t i = 0; i < COMPLETIONS; i++)
    (void)sqcq__channel_pop(&channel, &out, 1);
  return arg;
}

int main(void)
{
  struct sqcq_completion completion = {.result = 1};

  if (sqcq__channel_fit(&channel, COMPLETIONS) != 0)
    return 1;
  for (uint32_t i = 0; i < COMPLETIONS; i++)
    sqcq__channel_push(&channel, &completion);
  sqcq__channel_publish(&channel);
  PLANTED(pair_run(take, take), take(NULL)); /* one alone may */
  sqcq__channel_fini(&channel);
  return 0;
}
