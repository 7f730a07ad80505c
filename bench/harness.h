/*
 * What every program of this benchmark shares: the flags, the requests, the buffers, the
 * mutex queues of the rivals, the clock and the line that is printed. So the programs
 * differ only in how a read reaches the kernel and comes back. Knows nothing of sqcq.
 *
 * P producers each have a pool of free requests; a request is in flight from the moment it
 * leaves its pool until a consumer has put it back.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "flags.h"
#include "latency.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BENCH_PAGE 4096u
#define BENCH_PRODUCERS_MAX 64u
#define BENCH_CONSUMERS_MAX 64u
#define BENCH_REQUESTS_MAX 4096u
#define BENCH_WORKERS_MAX 4096u

/* ------------------------------------------------------------------------- */
/* The work                                                                  */
/* ------------------------------------------------------------------------- */

struct bench {
  const char *file;
  uint64_t ops;
  uint64_t seed;
  uint32_t bs; /* bytes of a read */
  uint32_t qd; /* reads in flight, over all producers */
  uint32_t producers;
  uint32_t consumers;
  uint32_t workers;
  uint32_t batch;       /* reads that a producer requests at once */
  uint32_t latency_nth; /* every nth request is timed; 0: none */
  uint32_t direct;
  uint32_t seq;
  uint32_t verify;
  int fd;
  uint64_t blocks;                /* of bs bytes in the file */
  struct bench_request *requests; /* qd of them */
  unsigned char *memory;          /* their buffers, by idx; NULL until bench_buffers() */
};

extern struct bench bench; /* W: main before the threads start; constant after */

/* Parse the common flags and those of the program itself, open the file, make requests, pools
 * and queues. Ends the program on a mistake. */
void bench_init(int argc, char **argv, const char *name, const struct bench_flag *own,
                size_t own_count);

/* One buffer for each request, in one touched mapping. Programs that have memory of another
 * kind set bench_request.data themselves. */
void bench_buffers(void);

/* ------------------------------------------------------------------------- */
/* Requests                                                                  */
/* ------------------------------------------------------------------------- */

struct bench_request {
  alignas(64) struct bench_request *next;
  unsigned char *data;
  uint64_t offset;
  uint64_t start_ns;  /* just before the request call; 0: not timed */
  int32_t result;     /* bytes read, or -errno */
  uint32_t idx;       /* of the request, and of its registered buffer */
  uint16_t producer;  /* whose pool it goes back to */
  uint16_t consumer;  /* who gets it */
  atomic_uint handed; /* mutexring: what the kernel's hand-over means in C11 */
};

/* A producer's stream of offsets. */
struct bench_stream {
  uint64_t state;
  uint64_t made;
  uint64_t todo;
  uint64_t first; /* sequential: its own blocks of the file */
  uint64_t count;
};

/* How many reads of all are this producer's. */
uint64_t bench_ops_of(uint32_t producer);

void bench_stream_init(struct bench_stream *stream, uint32_t producer);

static inline uint64_t bench_stream_next(struct bench_stream *stream)
{
  uint64_t block;

  if (bench.seq) {
    block = stream->first + stream->made % stream->count;
  } else { /* splitmix64 */
    uint64_t z = stream->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    block = (z ^ (z >> 31)) % bench.blocks;
  }
  stream->made++;
  return block * bench.bs;
}

/* All producers' streams in turn, for programs of one thread. */
struct bench_streams {
  struct bench_stream of[BENCH_PRODUCERS_MAX];
  uint32_t turn;
};

void bench_streams_init(struct bench_streams *streams);

static inline uint64_t bench_streams_next(struct bench_streams *streams)
{
  uint64_t offset;

  while (streams->of[streams->turn].made == streams->of[streams->turn].todo)
    streams->turn = streams->turn + 1 < bench.producers ? streams->turn + 1 : 0;
  offset = bench_stream_next(&streams->of[streams->turn]);
  streams->turn = streams->turn + 1 < bench.producers ? streams->turn + 1 : 0;
  return offset;
}

/* ------------------------------------------------------------------------- */
/* Clock and result                                                          */
/* ------------------------------------------------------------------------- */

/* A group of threads. Each must call bench_ready() once, when it is all set up. */
struct bench_threads {
  pthread_t id[BENCH_WORKERS_MAX];
  uint32_t count;
};

void bench_spawn(struct bench_threads *group, void *(*main)(void *), void *arg);
void bench_join(struct bench_threads *group);
void bench_ready(void);

/* Wait until all spawned threads are ready. */
void bench_gather(void);
/* The same, then start the clock and let them go. */
void bench_start(void);
/* Stop the clock: the last block has been consumed. */
void bench_stop(void);
/* Print the line, with `extra` ("" or " key=value ..") before its end, and return the exit
 * status. wrong: NULL, or what the program itself found out of order. */
int bench_finish(const char *extra, const char *wrong);

static inline bool bench_is_timed(uint64_t made)
{
  return bench.latency_nth && made % bench.latency_nth == 0;
}

/* ------------------------------------------------------------------------- */
/* Lists, pools and queues: what a careful user writes with pthreads         */
/* ------------------------------------------------------------------------- */

struct bench_list {
  struct bench_request *head;
  struct bench_request *tail;
  uint32_t count;
};

static inline void bench_list_add(struct bench_list *list, struct bench_request *request)
{
  request->next = NULL;
  if (list->tail)
    list->tail->next = request;
  else
    list->head = request;
  list->tail = request;
  list->count++;
}

/* A producer's free requests. */
struct bench_pool {
  alignas(128) pthread_mutex_t lock;
  pthread_cond_t room;
  struct bench_request *head;
  uint32_t count;
  uint32_t size;
  uint32_t wanted; /* how many its producer sleeps for; 0: it does not */
};

extern struct bench_pool bench_pools[BENCH_PRODUCERS_MAX];

/* Take up to `most` requests of pool number `producer`, once at least `least` are free. */
struct bench_request *bench_pool_take(uint32_t producer, uint32_t least, uint32_t most);
/* Empty *list into pool number `producer`; wakes its producer only for a whole batch. */
void bench_pool_put(uint32_t producer, struct bench_list *list);

/* A mutex/condvar queue that moves whole lists. Bounded by the pools. */
struct bench_queue {
  alignas(128) pthread_mutex_t lock;
  pthread_cond_t filled;
  struct bench_list list;
  uint32_t waiting;
  bool closed;
};

void bench_queue_init(struct bench_queue *queue);
void bench_queue_push(struct bench_queue *queue, struct bench_list *list); /* empties *list */
struct bench_request *bench_queue_wait_all(struct bench_queue *queue);     /* NULL: closed, empty */
struct bench_request *bench_queue_try_all(struct bench_queue *queue);
/* About one of `parts` parts of what is there, at least one; NULL: closed, empty. */
struct bench_request *bench_queue_wait_share(struct bench_queue *queue, uint32_t parts);
void bench_queue_close(struct bench_queue *queue);

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

struct bench_producer {
  struct bench_stream stream;
  uint32_t idx;
};

void bench_producer_init(struct bench_producer *producer, uint32_t idx);
/* The next batch, filled in, and how many it is; 0: the stream is over. Waits until a whole
 * batch of requests is free; without `wait` it takes what is free, maybe none. */
uint32_t bench_producer_next(struct bench_producer *producer, struct bench_list *batch, bool wait);

/* One thread for each producer: ready, then `produce`. */
typedef void (*bench_produce_fn)(struct bench_producer *producer);
void bench_producers_spawn(bench_produce_fn produce);
void bench_producers_join(void);

/* ------------------------------------------------------------------------- */
/* Consumers                                                                 */
/* ------------------------------------------------------------------------- */

/* One consumer's sums, and the requests it is about to give back. */
struct bench_taker {
  struct bench_latency *latency;
  uint64_t sum;
  uint64_t count;
  struct bench_list back[BENCH_PRODUCERS_MAX];
};

void bench_taker_init(struct bench_taker *taker);
/* Give the requests taken so far back to their pools. */
void bench_taker_flush(struct bench_taker *taker);
/* Add its sums to the result; once, before the clock stops. */
void bench_taker_end(struct bench_taker *taker);

/* A read that gave less than asked for is counted and read again with pread(2); a failed one
 * ends the program. */
void bench_short_read(struct bench_request *request);
void bench_verify(const struct bench_request *request); /* every page's stamp */

/* What consuming a block means: check it, sum the first 8 bytes of each page. */
static inline void bench_consume(struct bench_taker *taker, struct bench_request *request)
{
  if (__builtin_expect(request->result != (int32_t)bench.bs, 0))
    bench_short_read(request);
  if (__builtin_expect(bench.verify != 0, 0))
    bench_verify(request);
  if (request->start_ns)
    bench_latency_add(taker->latency, bench_now() - request->start_ns);
  for (uint32_t i = 0; i < bench.bs; i += BENCH_PAGE) {
    uint64_t stamp;

    memcpy(&stamp, request->data + i, sizeof stamp);
    taker->sum += stamp;
  }
  taker->count++;
}

/* Consume a request and keep it for the next flush. */
static inline void bench_take(struct bench_taker *taker, struct bench_request *request)
{
  bench_consume(taker, request);
  bench_list_add(&taker->back[request->producer], request);
}

/* How many requests consumer `consumer` gets in all. */
uint64_t bench_consumer_quota(uint32_t consumer);

/* One thread for each consumer, fed by a queue each. Join closes the queues. */
void bench_consumers_spawn(void);
void bench_consumers_join(void);

/* Completions on their way to the consumers, handed over list by list. */
struct bench_router {
  struct bench_list lists[BENCH_CONSUMERS_MAX];
};

static inline void bench_router_add(struct bench_router *router, struct bench_request *request)
{
  bench_list_add(&router->lists[request->consumer], request);
}

void bench_router_flush(struct bench_router *router);

#endif
