/*
 * Steps of producers: cancels.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_CANCEL_H
#define SQCQ_TESTS_PROPERTY_TAPE_CANCEL_H

#include "tape_produce.h"

static inline bool tape_means(const struct tape *tape, const struct sqcq_cancel_target *cancel,
                              const struct tape_request *request)
{
  switch (cancel->what) {
  case SQCQ_CANCEL_ALL:
    return true;
  case SQCQ_CANCEL_FILE:
    return tape->files[request->file].handle.id == cancel->file.id;
  case SQCQ_CANCEL_CHANNEL:
    return tape->channels[request->channel].handle.id == cancel->channel.id;
  default:
    return tape->channels[request->channel].handle.id == cancel->channel.id &&
           request->user_data == cancel->user_data;
  }
}

/* All that were accepted before and are not answered, and no other: the later ones are not yet
 * there. Returns how many it must find. */
static inline uint32_t tape_mark(struct tape *tape, const struct sqcq_cancel_target *cancel)
{
  uint32_t found = 0;

  for (uint32_t i = 0; i < TAPE_REQUESTS; i++) {
    struct tape_request *request = &tape->requests[i];

    if (!request->pending || !tape_means(tape, cancel, request) ||
        (request->drained && tape_slot(tape, request) == NULL))
      continue;
    request->cancelled = true;
    found++;
  }
  return found;
}

/* A turn was made: what was called before it has been acted upon. */
static inline void tape_cancels_done(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_REQUESTS; i++) {
    tape->requests[i].drained = true;
    tape->requests[i].ended = tape->requests[i].cancelled;
  }
  tape->reports_out += tape->reports_due;
  tape->reports_due = tape->cancels = 0;
}

static inline struct tape_report *tape_report_place(struct tape *tape)
{
  for (uint32_t i = 0; i < TAPE_REPORTS; i++)
    if (!tape->reports[i].pending)
      return &tape->reports[i];
  return NULL;
}

/* The channel of the report, or -1; what may be answered because of it. */
static inline int tape_ask_report(struct tape *tape, uint32_t r, struct sqcq_cancel_target *cancel,
                                  struct tape_errors *errors)
{
  int at = tape_pick_channel(tape, r);
  const struct tape_channel *channel = at < 0 ? NULL : &tape->channels[at];

  cancel->flags = SQCQ_CANCEL_REPORT;
  cancel->report_user_data = ++tape->user_data;
  if (channel != NULL)
    cancel->report = channel->handle;
  tape_allow(errors, channel == NULL || channel->state != TAPE_OPEN, -EPIPE);
  tape_allow(errors, channel != NULL && channel->pending == channel->capacity, -EXFULL);
  return at;
}

static inline void tape_cancel(struct tape *tape, const uint32_t r[4])
{
  struct sqcq_cancel_target cancel = {.what = r[0] % 32 == 0 ? 5 : 1 + r[0] % 4};
  int channel = tape_pick_channel(tape, r[1]), file = tape_pick_file(tape, r[1]), report = -1;
  struct tape_report *place = tape_report_place(tape);
  struct tape_errors errors = {.count = 0};

  tape_allow(&errors, cancel.what == 5, -EINVAL);
  tape_allow(&errors, tape_stopped(tape), -ESHUTDOWN);
  tape_allow(&errors, tape_polls(tape), -EOPNOTSUPP);
  if (cancel.what == SQCQ_CANCEL_FILE) {
    cancel.file.id = file < 0 ? 0 : tape->files[file].handle.id;
    tape_allow(&errors, file < 0 || tape->files[file].state != TAPE_OPEN, -EBADF);
  } else if (cancel.what == SQCQ_CANCEL_CHANNEL || cancel.what == SQCQ_CANCEL_USER_DATA) {
    cancel.channel.id = channel < 0 ? 0 : tape->channels[channel].handle.id;
    tape_allow(&errors, channel < 0 || tape->channels[channel].state == TAPE_DEAD, -EPIPE);
  }
  if (cancel.what == SQCQ_CANCEL_USER_DATA)
    cancel.user_data = tape->requests[r[2] % TAPE_REQUESTS % 16].user_data;
  if (r[3] % 2 == 0 && place != NULL)
    report = tape_ask_report(tape, r[3] >> 8, &cancel, &errors);
  tape_allow(&errors, tape->cancels == tape->config.cancels_max, -EAGAIN);
  int result = sqcq_cancel(tape->engine, &cancel);
  tape_say(tape, "cancel %u: channel %d, file %d, user_data %d, report on %d -> %d", cancel.what,
           channel, file, (int)cancel.user_data, report, result);
  if (!tape_worked(tape, &errors, result, "cancel"))
    return;
  uint32_t found = tape_mark(tape, &cancel);
  tape->cancels++;
  for (uint32_t i = 0; i < TAPE_REPORTS && tape->cancels > 1; i++)
    if (tape->reports[i].pending)
      tape->reports[i].exact = false; /* those delivered before, too: no matter */
  if (report < 0)
    return;
  *place = (struct tape_report){.pending = true,
                                .user_data = cancel.report_user_data,
                                .channel = (uint32_t)report,
                                .found = found,
                                .exact = tape->cancels == 1};
  tape->channels[report].pending++;
  tape->reports_due++;
}

#endif
