/* The producers and consumers of harness.h. */
#include "harness.h"

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

void bench_producer_init(struct bench_producer *producer, uint32_t idx)
{
  producer->idx = idx;
  bench_stream_init(&producer->stream, idx);
}

uint32_t bench_producer_next(struct bench_producer *producer, struct bench_list *batch, bool wait)
{
  struct bench_stream *stream = &producer->stream;
  uint64_t left = stream->todo - stream->made;
  uint64_t consumers = bench.consumers ? bench.consumers : 1;
  uint32_t most = bench.batch < left ? bench.batch : (uint32_t)left;
  struct bench_request *request;
  struct bench_request *next;

  *batch = (struct bench_list){0};
  if (!left)
    return 0;
  request = bench_pool_take(producer->idx, wait ? most : 0, most);
  for (; request; request = next) {
    uint64_t made = stream->made;

    next = request->next;
    request->offset = bench_stream_next(stream);
    request->consumer = (uint16_t)((made + producer->idx) % consumers);
    request->start_ns = bench_is_timed(made) ? bench_now() : 0;
    bench_list_add(batch, request);
  }
  return batch->count;
}

static bench_produce_fn produce_fn;
static struct bench_producer producers[BENCH_PRODUCERS_MAX];
static struct bench_threads producer_threads;

static void *producer_main(void *arg)
{
  bench_ready();
  produce_fn(arg);
  return NULL;
}

void bench_producers_spawn(bench_produce_fn produce)
{
  produce_fn = produce;
  for (uint32_t p = 0; p < bench.producers; p++) {
    bench_producer_init(&producers[p], p);
    bench_spawn(&producer_threads, producer_main, &producers[p]);
  }
}

void bench_producers_join(void)
{
  bench_join(&producer_threads);
}

/* ------------------------------------------------------------------------- */
/* Consumers                                                                 */
/* ------------------------------------------------------------------------- */

static struct bench_queue consumer_queues[BENCH_CONSUMERS_MAX];
static struct bench_threads consumer_threads;

uint64_t bench_consumer_quota(uint32_t consumer)
{
  uint64_t quota = 0;

  for (uint32_t p = 0; p < bench.producers; p++) {
    uint64_t todo = bench_ops_of(p);
    uint64_t first = (consumer + bench.consumers - p % bench.consumers) % bench.consumers;

    if (todo > first)
      quota += (todo - first + bench.consumers - 1) / bench.consumers;
  }
  return quota;
}

static void *consumer_main(void *arg)
{
  struct bench_queue *queue = arg;
  struct bench_taker taker;
  struct bench_request *request;
  struct bench_request *next;

  bench_taker_init(&taker);
  bench_ready();
  while ((request = bench_queue_wait_all(queue))) {
    for (; request; request = next) {
      next = request->next;
      bench_take(&taker, request);
    }
    bench_taker_flush(&taker);
  }
  bench_taker_end(&taker);
  return NULL;
}

void bench_consumers_spawn(void)
{
  if (!bench.consumers)
    bench_die("needs --consumers 1 or more", 0);
  for (uint32_t c = 0; c < bench.consumers; c++) {
    bench_queue_init(&consumer_queues[c]);
    bench_spawn(&consumer_threads, consumer_main, &consumer_queues[c]);
  }
}

void bench_consumers_join(void)
{
  for (uint32_t c = 0; c < bench.consumers; c++)
    bench_queue_close(&consumer_queues[c]);
  bench_join(&consumer_threads);
}

void bench_router_flush(struct bench_router *router)
{
  for (uint32_t c = 0; c < bench.consumers; c++)
    bench_queue_push(&consumer_queues[c], &router->lists[c]);
}
