/*
 * Planted: the I/O side publishes a completion before its bytes are all there, as if the kernel were still writing.
 * ThreadSanitizer has to say so.
 */
#include "dispatch/channel.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#include <sched.h>
#include <stdio.h>

static struct sqcq__channel channel;
static unsigned char memory[4096];

static void *complete(void *arg)
{
  struct sqcq_completion completion = {.data = memory, .result = 1};

  memory[0] = 1; /* before: in order */
  sqcq__channel_push(&channel, &completion);
  sqcq__channel_publish(&channel);
  PLANTED(memory[1] = 1, (void)0); /* too late */
  return arg;
}

static void *consume(void *arg)
{
  struct sqcq_completion out;

  while (sqcq__channel_pop(&channel, &out, 1) == 0)
    (void)sched_yield();
  printf("%d\n", memory[0] + memory[1]);
  return arg;
}

int main(void)
{
  if (sqcq__channel_fit(&channel, 1) != 0)
    return 1;
  pair_run(complete, consume);
  sqcq__channel_fini(&channel);
  return 0;
}
