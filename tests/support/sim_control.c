/*
 * The simulated ring: what tests may ask for. See sim_ring.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support/sim_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RINGS_MAX 16u

/* Rings are made and destroyed by any thread; the rest is for one at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sqcq__ring *rings[RINGS_MAX];
static uint32_t ring_count;
static struct sqcq__ring *selected;
static struct sim_counts last_counts;
static uint64_t made_count; /* since sim_configure() */
static struct sim_plan next_plan;
static bool configured;

void sim__abort(const char *format, ...)
{
  va_list arguments;

  fputs("sim_ring: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  fflush(NULL);
  abort();
}

/* ------------------------------------------------------------------------- */
/* Which ring                                                                */
/* ------------------------------------------------------------------------- */

/* With the lock held. */
static struct sim_plan *plan_of_next(void)
{
  if (!configured) {
    next_plan.config = sim_kernel("6.18");
    configured = true;
  }
  return &next_plan;
}

void sim_configure(const struct sim_config *config)
{
  pthread_mutex_lock(&lock);
  memset(&next_plan, 0, sizeof(next_plan));
  next_plan.config = *config;
  configured = true;
  made_count = 0;
  pthread_mutex_unlock(&lock);
}

void sim__adopt(struct sqcq__ring *ring)
{
  pthread_mutex_lock(&lock);
  ring->plan = *plan_of_next();
  rng_seed(&ring->rng, ring->plan.config.seed + made_count++);
  pthread_mutex_unlock(&lock);
}

void sim__add(struct sqcq__ring *ring)
{
  pthread_mutex_lock(&lock);
  if (ring_count == RINGS_MAX)
    sim__abort("create: more than %u rings at once", RINGS_MAX);
  rings[ring_count++] = ring;
  selected = ring;
  pthread_mutex_unlock(&lock);
}

void sim__remove(struct sqcq__ring *ring)
{
  pthread_mutex_lock(&lock);
  uint32_t at = 0;
  while (at < ring_count && rings[at] != ring)
    at++;
  if (at == ring_count)
    sim__abort("destroy: no such ring");
  ring_count--;
  memmove(&rings[at], &rings[at + 1], (ring_count - at) * sizeof(struct sqcq__ring *));
  if (selected == ring)
    selected = ring_count > 0 ? rings[ring_count - 1] : NULL;
  last_counts = ring->counts;
  pthread_mutex_unlock(&lock);
}

uint32_t sim_rings(void)
{
  pthread_mutex_lock(&lock);
  uint32_t count = ring_count;
  pthread_mutex_unlock(&lock);
  return count;
}

void sim_select(uint32_t number)
{
  pthread_mutex_lock(&lock);
  if (number >= ring_count)
    sim__abort("sim_select(%u): there are %u rings", number, ring_count);
  selected = rings[number];
  pthread_mutex_unlock(&lock);
}

/* The selected ring or NULL. */
static struct sqcq__ring *find_ring(void)
{
  pthread_mutex_lock(&lock);
  struct sqcq__ring *ring = selected;
  pthread_mutex_unlock(&lock);
  if (ring != NULL && atomic_load_explicit(&ring->inside, memory_order_relaxed))
    sim__abort("a test interferes while another thread is inside the ring");
  return ring;
}

static struct sqcq__ring *need_ring(void)
{
  struct sqcq__ring *ring = find_ring();

  if (ring == NULL)
    sim__abort("a test asks for a ring, and there is none");
  return ring;
}

struct sqcq__ring *sim__chosen(void)
{
  return need_ring();
}

static struct sim_plan *plan_in_force(void)
{
  struct sqcq__ring *ring = find_ring();
  struct sim_plan *plan;

  if (ring != NULL)
    return &ring->plan;
  pthread_mutex_lock(&lock);
  plan = plan_of_next();
  pthread_mutex_unlock(&lock);
  return plan;
}

/* ------------------------------------------------------------------------- */
/* Faults                                                                    */
/* ------------------------------------------------------------------------- */

static int32_t draw_fault(struct sim_plan *plan, enum sim_call call)
{
  struct sim_fault *fault = &plan->faults[call];

  if (fault->times == 0)
    return plan->config.error[call];
  if (fault->skip > 0) {
    fault->skip--;
    return plan->config.error[call];
  }
  fault->times--;
  return fault->error;
}

int32_t sim__fault_of_create(void)
{
  pthread_mutex_lock(&lock);
  int32_t error = draw_fault(plan_of_next(), SIM_CALL_CREATE);
  pthread_mutex_unlock(&lock);
  return error;
}

int32_t sim__fault(struct sqcq__ring *ring, enum sim_call call)
{
  int32_t error = draw_fault(&ring->plan, call);

  ring->counts.calls[call]++;
  ring->counts.failed[call] += error != 0;
  return error;
}

void sim_fail(enum sim_call call, uint32_t skip, uint32_t times, int32_t error)
{
  struct sim_plan *plan = plan_in_force();

  if (call == SIM_CALL_CREATE) {
    pthread_mutex_lock(&lock);
    plan = plan_of_next();
    pthread_mutex_unlock(&lock);
  }
  if (error >= 0)
    sim__abort("sim_fail: %d is no negative errno", error);
  plan->faults[call] = (struct sim_fault){.skip = skip, .times = times, .error = error};
}

struct sim_config *sim_now(void)
{
  return &plan_in_force()->config;
}

/* ------------------------------------------------------------------------- */
/* Files that never answer                                                   */
/* ------------------------------------------------------------------------- */

bool sim__file_id(int fd, struct sim_file_id *id)
{
  struct stat status;

  if (fstat(fd, &status) != 0)
    return false;
  *id = (struct sim_file_id){.device = status.st_dev, .inode = status.st_ino};
  return true;
}

static uint32_t find_silent(const struct sim_plan *plan, const struct sim_file_id *id)
{
  uint32_t at = 0;

  while (at < plan->silent_count &&
         (plan->silent[at].device != id->device || plan->silent[at].inode != id->inode))
    at++;
  return at;
}

bool sim__is_silent(const struct sqcq__ring *ring, int fd)
{
  struct sim_file_id id;

  return ring->plan.silent_count > 0 && sim__file_id(fd, &id) &&
         find_silent(&ring->plan, &id) < ring->plan.silent_count;
}

void sim_silence(int fd, bool silent)
{
  struct sim_plan *plan = plan_in_force();
  struct sim_file_id id;

  if (!sim__file_id(fd, &id))
    sim__abort("sim_silence: descriptor %d: %s", fd, strerror(errno));
  uint32_t at = find_silent(plan, &id);
  if (silent && at == SIM_SILENT_MAX)
    sim__abort("sim_silence: more than %u files", SIM_SILENT_MAX);
  if (silent && at == plan->silent_count)
    plan->silent[plan->silent_count++] = id;
  else if (!silent && at < plan->silent_count)
    plan->silent[at] = plan->silent[--plan->silent_count];
}

/* ------------------------------------------------------------------------- */
/* Completing what is held                                                   */
/* ------------------------------------------------------------------------- */

static bool is_undecided_read(const struct sim_request *request)
{
  return request->op.kind == SIM_READ && request->told == 0;
}

static bool tell(struct sqcq__ring *ring, struct sim_request *request, int32_t result)
{
  if (request == NULL)
    return false;
  if (request->op.kind == SIM_READ && result > 0 && (uint32_t)result > request->op.length)
    sim__abort("sim_complete: %d bytes of a read of %u", result, request->op.length);
  sim__tell(ring, request, result, 0);
  sim__signal(ring);
  return true;
}

bool sim_complete(uint32_t index, int32_t result)
{
  struct sqcq__ring *ring = need_ring();

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (is_undecided_read(request) && index-- == 0)
      return tell(ring, request, result);
  return false;
}

bool sim_complete_offset(uint64_t offset, int32_t result)
{
  struct sqcq__ring *ring = need_ring();

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (is_undecided_read(request) && request->op.offset == offset)
      return tell(ring, request, result);
  return false;
}

bool sim_complete_user_data(uint64_t user_data, int32_t result)
{
  struct sqcq__ring *ring = need_ring();

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (request->told == 0 && request->op.user_data == user_data)
      return tell(ring, request, result);
  return false;
}

uint32_t sim_complete_all(void)
{
  struct sqcq__ring *ring = need_ring();
  uint32_t count = 0;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (is_undecided_read(request) && !sim__is_silent(ring, request->op.fd))
      count += tell(ring, request, SIM_RESULT_REAL);
  return count;
}

/* ------------------------------------------------------------------------- */
/* Looking                                                                   */
/* ------------------------------------------------------------------------- */

uint32_t sim_inflight(struct sim_op *ops, uint32_t max)
{
  struct sqcq__ring *ring = need_ring();
  uint32_t count = 0;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (count++ < max)
      ops[count - 1] = request->op;
  return count;
}

uint32_t sim_reads(struct sim_op *ops, uint32_t max)
{
  struct sqcq__ring *ring = need_ring();
  uint32_t count = 0;

  for (struct sim_request *request = ring->oldest; request != NULL; request = request->newer)
    if (is_undecided_read(request) && count++ < max)
      ops[count - 1] = request->op;
  return count;
}

bool sim_submitted(uint64_t number, struct sim_op *op)
{
  struct sqcq__ring *ring = need_ring();

  if (number >= ring->submitted || ring->submitted - number > SIM_LOG)
    return false;
  *op = ring->log[number % SIM_LOG];
  return true;
}

uint64_t sim_submitted_count(void)
{
  return need_ring()->submitted;
}

bool sim_submitted_last(enum sim_kind kind, struct sim_op *op)
{
  uint64_t number = need_ring()->submitted;

  while (number-- > 0 && sim_submitted(number, op))
    if (op->kind == kind)
      return true;
  return false;
}

uint32_t sim_unread(void)
{
  return sim__unread(need_ring());
}

int sim_slot_fd(uint32_t slot)
{
  struct sqcq__ring *ring = need_ring();

  return slot < ring->file_count ? ring->files[slot] : -1;
}

uint32_t sim_slots_used(void)
{
  struct sqcq__ring *ring = need_ring();
  uint32_t used = 0;

  for (uint32_t slot = 0; slot < ring->file_count; slot++)
    used += ring->files[slot] >= 0;
  return used;
}

uint32_t sim_buffers(void)
{
  return need_ring()->buffer_count;
}

uint32_t sim_workers(uint32_t kind)
{
  return need_ring()->workers[kind % 2];
}

uint32_t sim_setup_flags(void)
{
  return need_ring()->setup_flags;
}

const struct sim_counts *sim_counts(void)
{
  struct sqcq__ring *ring = find_ring();

  return ring != NULL ? &ring->counts : &last_counts;
}
