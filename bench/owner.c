/*
 * bench-owner: one thread owns a tuned ring. Producers put requests on its mutex queue and
 * wake it, only where it sleeps, through an eventfd that it reads on the ring. It submits,
 * reaps and hands the blocks to the consumers through mutex/condvar queues: what is usually
 * advised in place of sharing a ring.
 *
 * Built with -DOWNER_PER_CONSUMER=1 as bench-consowner: each consumer is such an owner. It gets
 * the requests whose blocks it shall have, reads them on its own ring and consumes them there:
 * one hand-off, not two.
 */
#include "tuned.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#ifndef OWNER_PER_CONSUMER
#define OWNER_PER_CONSUMER 0
#endif

struct owner {
  struct bench_queue inbox;
  struct io_uring ring;
  uint64_t quota;
  uint64_t eventfd_value; /* where the ring reads the eventfd to */
  bool eventfd_armed;
  int eventfd;
  alignas(128) atomic_bool asleep; /* set by the owner, cleared by whoever wakes it, or itself */
};

static struct owner owners[BENCH_CONSUMERS_MAX];

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

static void send_to(struct owner *owner, struct bench_list *list)
{
  if (!list->count)
    return;
  bench_queue_push(&owner->inbox, list);
  /* The inbox's lock orders this look and the owner's announcement: see prepare_sleep(). */
  if (atomic_load(&owner->asleep) && atomic_exchange(&owner->asleep, false)) {
    const uint64_t one = 1;

    if (write(owner->eventfd, &one, sizeof one) != sizeof one)
      bench_die("write to the eventfd", errno);
  }
}

static void produce(struct bench_producer *producer)
{
  struct bench_list parts[BENCH_CONSUMERS_MAX] = {0};
  struct bench_list batch;

  while (bench_producer_next(producer, &batch, true)) {
    struct bench_request *next;

    if (!OWNER_PER_CONSUMER) {
      send_to(&owners[0], &batch);
      continue;
    }
    for (struct bench_request *request = batch.head; request; request = next) {
      next = request->next;
      bench_list_add(&parts[request->consumer], request);
    }
    for (uint32_t c = 0; c < bench.consumers; c++)
      send_to(&owners[c], &parts[c]);
  }
}

/* ------------------------------------------------------------------------- */
/* Owners                                                                    */
/* ------------------------------------------------------------------------- */

/* Nothing to submit: announce sleep, then look again. What came meanwhile, or NULL: sleep. Who
 * fills the inbox after this look, under its lock, sees the announcement. */
static struct bench_request *prepare_sleep(struct owner *owner)
{
  struct bench_request *head;

  if (!owner->eventfd_armed) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&owner->ring);

    io_uring_prep_read(sqe, owner->eventfd, &owner->eventfd_value, sizeof owner->eventfd_value, 0);
    io_uring_sqe_set_data(sqe, NULL);
    owner->eventfd_armed = true;
  }
  atomic_store(&owner->asleep, true);
  head = bench_queue_try_all(&owner->inbox);
  if (head)
    atomic_store(&owner->asleep, false);
  return head;
}

/* Move what has completed to *done. */
static void reap(struct owner *owner, struct bench_list *done)
{
  struct io_uring_cqe *cqe;
  uint32_t head;
  uint32_t seen = 0;

  io_uring_for_each_cqe(&owner->ring, head, cqe)
  {
    struct bench_request *request = io_uring_cqe_get_data(cqe);

    seen++;
    if (!request) {
      owner->eventfd_armed = false;
      continue;
    }
    request->result = cqe->res;
    bench_list_add(done, request);
  }
  io_uring_cq_advance(&owner->ring, seen);
}

static void deliver(struct bench_request *done, struct bench_router *router,
                    struct bench_taker *taker)
{
  struct bench_request *next;

  for (; done; done = next) {
    next = done->next;
    if (OWNER_PER_CONSUMER)
      bench_take(taker, done);
    else
      bench_router_add(router, done);
  }
  if (OWNER_PER_CONSUMER)
    bench_taker_flush(taker);
  else
    bench_router_flush(router);
}

static void *own(void *arg)
{
  struct owner *owner = arg;
  struct bench_router router = {0};
  struct bench_taker taker;
  uint64_t count = 0;

  bench_taker_init(&taker);
  tuned_open(&owner->ring, 0, 1, 1);
  bench_ready();
  while (count < owner->quota) {
    struct bench_list done = {0};
    struct bench_request *request = bench_queue_try_all(&owner->inbox);
    bool sleep = false;
    int error;

    if (!request) {
      request = prepare_sleep(owner);
      sleep = !request;
    }
    for (; request; request = request->next)
      tuned_read(&owner->ring, request, request->idx);
    /* DEFER_TASKRUN: completions appear in this call, waiting or not. */
    error = sleep ? io_uring_submit_and_wait(&owner->ring, 1)
                  : io_uring_submit_and_get_events(&owner->ring);
    if (error < 0 && error != -EINTR)
      bench_die("io_uring_enter", error);
    reap(owner, &done);
    if (sleep)
      atomic_store(&owner->asleep, false);
    count += done.count;
    deliver(done.head, &router, &taker);
  }
  bench_taker_end(&taker);
  return NULL;
}

int main(int argc, char **argv)
{
  static struct bench_threads threads;
  uint32_t count;

  bench_init(argc, argv, OWNER_PER_CONSUMER ? "consowner" : "owner", NULL, 0);
  if (!bench.consumers)
    bench_die("needs --consumers 1 or more", 0);
  bench_buffers();
  if (!OWNER_PER_CONSUMER)
    bench_consumers_spawn();
  count = OWNER_PER_CONSUMER ? bench.consumers : 1;
  for (uint32_t i = 0; i < count; i++) {
    bench_queue_init(&owners[i].inbox);
    owners[i].quota = OWNER_PER_CONSUMER ? bench_consumer_quota(i) : bench.ops;
    owners[i].eventfd = eventfd(0, EFD_CLOEXEC);
    if (owners[i].eventfd < 0)
      bench_die("eventfd", errno);
    bench_spawn(&threads, own, &owners[i]);
  }
  bench_producers_spawn(produce);
  bench_start();
  bench_producers_join();
  bench_join(&threads);
  if (!OWNER_PER_CONSUMER)
    bench_consumers_join();
  bench_stop();
  return bench_finish("", NULL);
}
