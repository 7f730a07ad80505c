/*
 * CQEs become completions. Room: I. No system call.
 */
#include "engine/engine.h"

#include "base/check.h"
#include "base/probe.h"
#include "engine/prep.h"

#include <liburing.h>

#include <errno.h>
#include <unistd.h>

#define BATCH 64u

struct tally {
  uint32_t failed;
  uint64_t bytes;
};

static void reap_read(struct sqcq_engine *engine, const struct io_uring_cqe *cqe,
                      struct tally *tally)
{
  struct sqcq__requests *requests = &engine->io.requests;
  uint32_t index = sqcq__user_data_slot(cqe->user_data);
  struct sqcq__slot *slot = &requests->slots[index];
  uint64_t file = slot->request.file;

  SQCQ_ASSERT(index < requests->capacity && slot->state == SQCQ__SLOT_FLYING);
  SQCQ_ASSERT(sqcq__user_data(SQCQ__OP_READ, index, slot->generation) == cqe->user_data);
  sqcq__turn_answer(engine, slot, cqe->res,
                    cqe->res == -ECANCELED || cqe->res == -EINTR ? slot->flags : 0);
  if (engine->histograms != NULL)
    sqcq__histogram_add(&engine->histograms[SQCQ_STAGE_DEVICE], engine->io.now - slot->started_ns);
  SQCQ_PROBE3(complete, engine, slot->request.user_data, cqe->res);
  if (cqe->res > 0)
    tally->bytes += (uint32_t)cqe->res;
  else if (cqe->res < 0)
    tally->failed++;
  sqcq__requests_land(requests, slot);
  sqcq__turn_unref(engine, file);
}

static void reap_wake(struct sqcq_engine *engine, const struct io_uring_cqe *cqe)
{
  struct sqcq__io *io = &engine->io;

  io->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
  if (io->wake_multishot && cqe->res == -EINVAL) { /* before 5.13 */
    io->wake_multishot = false;
    sqcq__features_set(&engine->features, SQCQ__FEATURE_POLL_MULTISHOT, cqe->res);
  }
}

static void reap_close(struct sqcq_engine *engine, const struct io_uring_cqe *cqe)
{
  uint32_t index = sqcq__user_data_slot(cqe->user_data);

  engine->io.closes_out--;
  /* Refused as an operation; any other error is the file system's, and the descriptor is gone. */
  if (cqe->res == -EINVAL || cqe->res == -EOPNOTSUPP) {
    (void)close(engine->files.files[index].fd);
    sqcq__count(&engine->stats.syscalls_control, 1);
  }
  sqcq__files_recycle(&engine->files, index);
}

static void reap_one(struct sqcq_engine *engine, const struct io_uring_cqe *cqe,
                     struct tally *tally)
{
  switch (sqcq__user_data_op(cqe->user_data)) {
  case SQCQ__OP_READ:
    reap_read(engine, cqe, tally);
    break;
  case SQCQ__OP_CANCEL:
    /* Not found, or found where it cannot be stopped (-EALREADY, also said by a genuine 5.10 where
     * it does stop it): as long as the read flies, the cancel is tried again. */
    sqcq__requests_cancelled(&engine->io.requests,
                             &engine->io.requests.slots[sqcq__user_data_slot(cqe->user_data)],
                             cqe->res < 0);
    break;
  case SQCQ__OP_WAKE:
    reap_wake(engine, cqe);
    break;
  case SQCQ__OP_UNWAKE:
    engine->io.unwake_out = false;
    break;
  case SQCQ__OP_CLOSE:
    reap_close(engine, cqe);
    break;
  case SQCQ__OP_TIMEOUT: /* what is to be done then is found by the turn */
    engine->io.alarm.out = false;
    break;
  case SQCQ__OP_UNTIMEOUT:
    engine->io.alarm.cancel_out = false;
    break;
  default:
    SQCQ_ASSERT(!"a CQE of ours");
    break;
  }
}

void sqcq__turn_reap(struct sqcq_engine *engine)
{
  struct io_uring_cqe *cqes[BATCH];
  struct tally tally = {0};
  uint32_t left = engine->config.cq_entries;
  uint32_t n;

  engine->io.now = sqcq__time(engine);
  do {
    n = sqcq__ring_peek(engine->ring, cqes, BATCH);
    for (uint32_t i = 0; i < n; i++)
      reap_one(engine, cqes[i], &tally);
    if (n > 0)
      sqcq__ring_advance(engine->ring, n);
    left -= n < left ? n : left;
  } while (n == BATCH && left > 0);

  if (tally.bytes > 0)
    sqcq__count(&engine->stats.bytes, tally.bytes);
  if (tally.failed > 0)
    sqcq__count(&engine->stats.failed, tally.failed);
}
