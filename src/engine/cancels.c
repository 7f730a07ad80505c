#include "engine/cancels.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/point.h"
#include "engine/engine.h"

#include <errno.h>

int sqcq__cancels_init(struct sqcq__cancels *cancels, uint32_t count)
{
  cancels->entries = sqcq__mem_new(count, sizeof(*cancels->entries));
  if (cancels->entries == NULL)
    return -ENOMEM;
  sqcq__freelist_init(&cancels->free, &cancels->entries[0].link, sizeof(cancels->entries[0]));
  for (uint32_t i = count; i-- > 0;)
    sqcq__freelist_put(&cancels->free, &i, 1);
  return 0;
}

void sqcq__cancels_fini(struct sqcq__cancels *cancels)
{
  sqcq__mem_free(cancels->entries);
}

bool sqcq__cancels_push(struct sqcq__cancels *cancels, uint32_t index)
{
  uint32_t top = sqcq__load_relaxed(&cancels->posted); /* relaxed: the CAS checks it */

  do {
    if (top == SQCQ__CANCELS_CLOSED)
      return false;
    sqcq__store_relaxed(&cancels->entries[index].link, top); /* relaxed: published by the CAS */
  } while (!sqcq__cas_release(&cancels->posted, &top, index + 1)); /* pair(cancel) release */
  return true;
}

void sqcq__cancels_take(struct sqcq__cancels *cancels)
{
  SQCQ_ASSERT(cancels->taken == 0);
  cancels->taken = sqcq__swap_acquire(&cancels->posted, 0); /* pair(cancel) acquire */
}

bool sqcq__cancels_close(struct sqcq__cancels *cancels)
{
  uint32_t empty = 0;

  return sqcq__cas_acquire(&cancels->posted, &empty, SQCQ__CANCELS_CLOSED) ||
         empty == SQCQ__CANCELS_CLOSED;
}

/* ------------------------------------------------------------------------- */
/* sqcq_cancel()                                                             */
/* ------------------------------------------------------------------------- */

/* A field that says nothing must be 0: a caller who has set it meant something else. */
static int check_fields(const struct sqcq_cancel_target *cancel)
{
  bool channel = cancel->what == SQCQ_CANCEL_CHANNEL || cancel->what == SQCQ_CANCEL_USER_DATA;
  bool report = (cancel->flags & SQCQ_CANCEL_REPORT) != 0;

  if (cancel->what < SQCQ_CANCEL_ALL || cancel->what > SQCQ_CANCEL_USER_DATA ||
      (cancel->flags & ~SQCQ_CANCEL_REPORT) != 0 || cancel->reserved != 0 ||
      (!channel && cancel->channel.id != 0) ||
      (cancel->what != SQCQ_CANCEL_FILE && cancel->file.id != 0) ||
      (cancel->what != SQCQ_CANCEL_USER_DATA && cancel->user_data != 0) ||
      (!report && (cancel->report.id != 0 || cancel->report_user_data != 0)))
    return -EINVAL;
  return 0;
}

/* Closed ones are good: their reads may be silent. */
static int check_alive(const struct sqcq_engine *engine, sqcq_channel channel)
{
  /* Early advice: the I/O thread looks again. */
  uint64_t word = sqcq__load_acquire(&engine->channels[sqcq__handle_index(channel.id)].credit.word);

  return sqcq__word_generation(word) == sqcq__handle_generation(channel.id) &&
                 (sqcq__word_state(word) & (SQCQ__CREDIT_FREE | SQCQ__CREDIT_RETIRING)) == 0
             ? 0
             : -EPIPE;
}

static int check(const struct sqcq_engine *engine, const struct sqcq_cancel_target *cancel)
{
  int error = check_fields(cancel);

  if (error == 0 && sqcq__polls_device(engine))
    return -EOPNOTSUPP;
  if (error == 0 && (cancel->flags & SQCQ_CANCEL_REPORT) != 0)
    error = sqcq__channel_check(engine, cancel->report.id);
  if (error == 0 && cancel->what == SQCQ_CANCEL_FILE)
    error = sqcq__files_check(&engine->files, cancel->file.id);
  if (error == 0 && cancel->what != SQCQ_CANCEL_ALL && cancel->what != SQCQ_CANCEL_FILE) {
    error = sqcq__channel_check(engine, cancel->channel.id);
    if (error == 0)
      error = check_alive(engine, cancel->channel);
  }
  return error;
}

/* The report's completion slot. */
static struct sqcq__channel *report_to(struct sqcq_engine *engine,
                                       const struct sqcq_cancel_target *cancel)
{
  return (cancel->flags & SQCQ_CANCEL_REPORT) == 0
             ? NULL
             : &engine->channels[sqcq__handle_index(cancel->report.id)];
}

int sqcq__cancel(struct sqcq_engine *engine, const struct sqcq_cancel_target *cancel)
{
  struct sqcq__cancels *cancels = &engine->cancels;
  uint32_t index;
  int error = check(engine, cancel);

  if (error < 0)
    return error;
  if (sqcq__phase(engine) == SQCQ__PHASE_STOPPED)
    return -ESHUTDOWN;
  if (sqcq__freelist_take(&cancels->free, &index, 1) == 0)
    return -EAGAIN;
  struct sqcq__channel *report = report_to(engine, cancel);
  if (report != NULL) {
    error = sqcq__credit_take(&report->credit, sqcq__handle_generation(cancel->report.id), 1);
    if (error < 0)
      goto give_entry;
  }
  struct sqcq__cancel *entry = &cancels->entries[index];
  entry->asked = *cancel;
  /* relaxed: see EPOCHS. By an RMW, so that no two cancels have the same number. */
  entry->epoch = sqcq__add_relaxed(&engine->control.cancel_epoch, 1) + 1;
  SQCQ_POINT(CANCEL_COUNTED);
  if (!sqcq__cancels_push(cancels, index)) {
    error = -ESHUTDOWN;
    goto give_credit;
  }
  SQCQ_POINT(CANCEL_PUSHED);
  sqcq__control_post(&engine->control, SQCQ__CONTROL_CANCEL);
  sqcq__sleeper_wake(&engine->sleeper);
  return 0;

give_credit:
  if (report != NULL)
    sqcq__channel_give_back(report, 1);
give_entry:
  sqcq__freelist_put(&cancels->free, &index, 1);
  return error;
}
