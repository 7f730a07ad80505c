/*
 * Requests that are ended before they have ended by themselves: cancels and deadlines. Room: I.
 *
 * Both come after the lanes have been drained and before anything is started. A request that waits
 * is answered here; one in the kernel is marked, and its cancel is submitted at the end of the
 * turn's control step.
 */
#include "engine/engine.h"

#include "base/check.h"

/* Whom this cancel means, now that the lanes are drained. False: nobody any more. */
static bool find_match(const struct sqcq_engine *engine, const struct sqcq__cancel *cancel,
                       struct sqcq__match *match)
{
  const struct sqcq_cancel_target *asked = &cancel->asked;

  *match = (struct sqcq__match){.older = true, .epoch = cancel->epoch};
  if (asked->what == SQCQ_CANCEL_FILE)
    match->file = asked->file.id;
  if (asked->what == SQCQ_CANCEL_ALL || asked->what == SQCQ_CANCEL_FILE)
    return true;
  /* The channel may have been destroyed meanwhile, and its place be another's, whose requests may
   * be as old as the cancel. relaxed: we let a channel go ourselves, and a later one's requests
   * would have brought its word with them. */
  uint32_t index = sqcq__handle_index(asked->channel.id);
  uint64_t word = sqcq__load_relaxed(&engine->channels[index].credit.word);

  match->channel = index + 1;
  match->by_user_data = asked->what == SQCQ_CANCEL_USER_DATA;
  match->user_data = asked->user_data;
  return sqcq__word_generation(word) == sqcq__handle_generation(asked->channel.id);
}

static void report(struct sqcq_engine *engine, const struct sqcq_cancel_target *asked,
                   uint32_t matched)
{
  struct sqcq_completion completion = {.user_data = asked->report_user_data,
                                       .result = (int32_t)matched,
                                       .flags = SQCQ_COMPLETION_REPORT};

  sqcq__router_push(&engine->io.router, sqcq__handle_index(asked->report.id), &completion);
  engine->io.reports++;
}

void sqcq__turn_cancel(struct sqcq_engine *engine)
{
  uint32_t top;

  while ((top = sqcq__cancels_next(&engine->cancels)) != 0) {
    uint32_t index = top - 1, matched = 0;
    const struct sqcq__cancel *cancel = &engine->cancels.entries[index];
    struct sqcq__match match;

    if (find_match(engine, cancel, &match)) {
      matched = sqcq__requests_want_cancel(&engine->io.requests, &match, SQCQ_COMPLETION_CANCELLED);
      matched += sqcq__turn_answer_waiting(engine, &match, SQCQ_COMPLETION_CANCELLED);
    }
    if ((cancel->asked.flags & SQCQ_CANCEL_REPORT) != 0)
      report(engine, &cancel->asked, matched);
    sqcq__freelist_put(&engine->cancels.free, &index, 1);
  }
}

void sqcq__turn_expire(struct sqcq_engine *engine)
{
  struct sqcq__io *io = &engine->io;
  int64_t now = sqcq__now();
  bool waiting = false;
  uint32_t index;

  while (sqcq__timers_expire(&io->timers, now, &index)) {
    struct sqcq__slot *slot = &io->requests.slots[index];

    SQCQ_ASSERT(slot->state == SQCQ__SLOT_WAITING || slot->state == SQCQ__SLOT_FLYING);
    if (slot->state == SQCQ__SLOT_FLYING) {
      sqcq__requests_want_one(&io->requests, slot, SQCQ_COMPLETION_DEADLINE);
    } else {
      slot->flags |= SQCQ_COMPLETION_DEADLINE;
      waiting = true;
    }
  }
  if (waiting) { /* one walk over the queues for all of them: a queue knows only its ends */
    struct sqcq__match match = {.flags = SQCQ_COMPLETION_DEADLINE};

    (void)sqcq__turn_answer_waiting(engine, &match, SQCQ_COMPLETION_DEADLINE);
  }
}
