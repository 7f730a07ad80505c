/*
 * Planted: two threads push to one lane, and neither has its claim. ThreadSanitizer has to say so.
 */
#include "mpsc/lanes.h"

#include "tsan/pair.h"
#include "tsan/planted.h"

#define SLOTS 1024u

static struct sqcq__lanes lanes;

static void *push(void *arg)
{
  for (uint32_t i = 0; i < SLOTS / 4; i++) {
    struct sqcq__request *slot = sqcq__lane_reserve(&lanes.lanes[0]);

    if (slot != NULL) {
      *slot = (struct sqcq__request){.user_data = i};
      sqcq__lane_fill(&lanes.lanes[0]);
      sqcq__lane_commit(&lanes.lanes[0]);
    }
  }
  return arg;
}

int main(void)
{
  if (sqcq__lanes_init(&lanes, 1, SLOTS) != 0)
    return 1;
  PLANTED(pair_run(push, push), push(NULL)); /* one alone may */
  sqcq__lanes_fini(&lanes);
  return 0;
}
