/*
 * The simulated ring: when operations complete, and in which order.
 *
 * Time is a tick for each enter and each look at the CQ. An operation is decided when it has been
 * told what to answer, by a test or by a cancel; that is carried out in the order of telling. All
 * others complete when they are due, in any order.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include <sys/epoll.h>
#include <unistd.h>

/* ------------------------------------------------------------------------- */
/* Whose turn it is                                                          */
/* ------------------------------------------------------------------------- */

static struct sim_request *next_told(const struct sqcq__ring *ring, uint64_t after)
{
  struct sim_request *next = NULL;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (request->told > after && (next == NULL || request->told < next->told))
      next = request;
  return next;
}

/* Undecided, and neither held nor silenced. Polls have a way of their own. */
static bool may_complete(const struct sqcq__ring *ring, const struct sim_request *request)
{
  if (request->op.kind == SIM_TIMEOUT && sim__now_ns() < (int64_t)request->op.offset)
    return false;
  return request->told == 0 && request->op.kind != SIM_POLL &&
         (ring->plan.config.hold & SIM_HOLD(request->op.kind)) == 0 &&
         !(request->op.kind == SIM_READ && sim__is_silent(ring, request->op.fd));
}

/* In the order in which they are to be tried. */
static uint32_t gather(struct sqcq__ring *ring, bool only_due)
{
  uint32_t count = 0;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if ((!only_due || request->due <= ring->tick) && may_complete(ring, request))
      ring->candidates[count++] = request;
  if (!ring->plan.config.in_order)
    for (uint32_t i = count; i > 1; i--) {
      uint32_t other = (uint32_t)rng_below(&ring->rng, i);
      struct sim_request *swap = ring->candidates[i - 1];

      ring->candidates[i - 1] = ring->candidates[other];
      ring->candidates[other] = swap;
    }
  return count;
}

/* ------------------------------------------------------------------------- */
/* Polls                                                                     */
/* ------------------------------------------------------------------------- */

static bool polls_are_held(const struct sqcq__ring *ring)
{
  return (ring->plan.config.hold & SIM_HOLD(SIM_POLL)) != 0;
}

/* The events of a one-shot poll, 0 while there are none. */
static short look(const struct sim_request *request)
{
  struct pollfd watch = {.fd = request->op.fd, .events = request->events};

  if (poll(&watch, 1, 0) <= 0)
    return 0;
  if ((watch.revents & POLLNVAL) != 0)
    sim__abort("enter: descriptor %d was closed while a poll is armed on it", request->op.fd);
  return watch.revents;
}

static void post_multishots(struct sqcq__ring *ring)
{
  struct epoll_event events[SIM_EVENTS_MAX];
  uint32_t room = ring->cq_mask + 1 - sim__unread(ring);
  int limit = room < SIM_EVENTS_MAX ? (int)room : SIM_EVENTS_MAX;

  if (ring->multishots == 0 || room == 0)
    return;
  int count = epoll_wait(ring->epoll, events, limit, 0);
  for (int i = 0; i < count; i++) {
    struct sim_request *request = &ring->requests[events[i].data.u32];
    bool ends = rng_percent(&ring->rng, ring->plan.config.poll_end_percent);

    if (request->told == 0)
      sim__post(ring, request, (int32_t)events[i].events, ends ? 0 : IORING_CQE_F_MORE);
  }
}

static void post_polls(struct sqcq__ring *ring)
{
  struct sim_request *next;

  if (polls_are_held(ring))
    return;
  for (struct sim_request *request = ring->oldest; request != NULL; request = next) {
    next = request->newer;
    if (request->op.kind != SIM_POLL || request->op.multishot || request->told != 0)
      continue;
    short events = look(request);
    if (events != 0)
      sim__post(ring, request, events, 0);
  }
  post_multishots(ring);
}

/* ------------------------------------------------------------------------- */
/* Time                                                                      */
/* ------------------------------------------------------------------------- */

void sim__progress(struct sqcq__ring *ring)
{
  uint32_t limit = ring->plan.config.completions_max;
  uint32_t completed = 0;
  uint64_t after = 0;
  struct sim_request *request;

  ring->tick++;
  while ((request = next_told(ring, after)) != NULL) {
    after = request->told;
    if (request->due <= ring->tick)
      sim__complete_told(ring, request);
  }
  post_polls(ring);
  uint32_t count = gather(ring, true);
  for (uint32_t i = 0; i < count && (limit == 0 || completed < limit); i++) {
    request = ring->candidates[i];
    if (request->used && request->told == 0) /* a cancel before it may have decided it */
      completed += sim__complete(ring, request);
  }
}

bool sim__force(struct sqcq__ring *ring)
{
  uint64_t after = 0;
  struct sim_request *request;

  while ((request = next_told(ring, after)) != NULL) {
    after = request->told;
    if (sim__complete_told(ring, request))
      return true;
  }
  uint32_t count = gather(ring, false);
  for (uint32_t i = 0; i < count; i++)
    if (sim__complete(ring, ring->candidates[i]))
      return true;
  return false;
}

bool sim__could_progress(struct sqcq__ring *ring)
{
  struct pollfd watch = {.fd = ring->epoll, .events = POLLIN};

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer) {
    bool ready = request->op.kind != SIM_READ || request->fault != 0 || sim__has_something(request);

    if (request->told != 0 && request->due <= ring->tick &&
        (request->op.result != SIM_RESULT_REAL || ready))
      return true;
    if (request->due <= ring->tick && may_complete(ring, request) && ready)
      return true;
    if (request->op.kind == SIM_POLL && !request->op.multishot && request->told == 0 &&
        !polls_are_held(ring) && look(request) != 0)
      return true;
  }
  return ring->multishots > 0 && !polls_are_held(ring) && poll(&watch, 1, 0) > 0;
}

bool sim__is_coming(struct sqcq__ring *ring)
{
  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer) {
    bool ready = request->op.kind != SIM_READ || request->fault != 0 || sim__has_something(request);

    if (ready && (request->told != 0 || may_complete(ring, request)))
      return true;
  }
  return sim__could_progress(ring);
}

int64_t sim__next_timeout(const struct sqcq__ring *ring)
{
  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (request->op.kind == SIM_TIMEOUT && request->told == 0 &&
        (ring->plan.config.hold & SIM_HOLD(SIM_TIMEOUT)) == 0)
      return (int64_t)request->op.offset;
  return -1;
}

uint32_t sim__watch(struct sqcq__ring *ring)
{
  uint32_t count = 0;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer) {
    bool armed = request->op.kind == SIM_POLL && !request->op.multishot && request->told == 0 &&
                 !polls_are_held(ring);
    bool reading = request->op.kind == SIM_READ && request->stream &&
                   (request->told != 0 || may_complete(ring, request));

    if (armed || reading) {
      ring->sleepers[count].fd = request->op.fd;
      ring->sleepers[count++].events = POLLIN;
    }
  }
  if (ring->multishots > 0 && !polls_are_held(ring)) {
    ring->sleepers[count].fd = ring->epoll;
    ring->sleepers[count++].events = POLLIN;
  }
  return count;
}

void sim__abandon(struct sqcq__ring *ring)
{
  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (request->op.kind == SIM_CLOSE)
      close(request->op.fd);
}
