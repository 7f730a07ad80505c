/*
 * bench-sqcq: the work through sqcq. Producer threads call sqcq_request_many(), one thread runs
 * sqcq_engine_run(), each consumer thread waits on a channel of its own. With --solo 1 one
 * thread plays all roles. Each request of the harness owns one buffer of one pool throughout.
 */
#include "alloc_count.h"
#include "sqcq_setup.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

static atomic_uint_fast64_t refused; /* W: P; R: main after they are joined */

/* ------------------------------------------------------------------------- */
/* Producers                                                                 */
/* ------------------------------------------------------------------------- */

/* What is the same in all reads. */
static void init_reads(struct sqcq_read *reads, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++)
    reads[i] = (struct sqcq_read){.file = file, .length = bench.bs};
}

static inline void fill_read(struct sqcq_read *read, struct bench_request *request,
                             uint32_t channel)
{
  read->buffer = buffers[request->idx];
  read->channel = channels[channel];
  read->offset = request->offset;
  read->user_data = (uintptr_t)request;
}

/* Hand in what is not refused; how many of the first ones that is, maybe none. lane {0}: a shared
 * one. */
static uint32_t request_some(sqcq_lane lane, const struct sqcq_read *reads, uint32_t count)
{
  bool own = lane.id != 0;
  uint32_t done = 0;
  int result = 0;

  if (options.many) {
    result = own ? sqcq_lane_request_many(engine, lane, reads, count)
                 : sqcq_request_many(engine, reads, count);
    if (result > 0)
      done = (uint32_t)result;
  } else {
    while (done < count && (result = own ? sqcq_lane_request(engine, lane, &reads[done])
                                         : sqcq_request(engine, &reads[done])) == 0)
      done++;
  }
  if (result < 0 && result != -EAGAIN && result != -EXFULL)
    die(options.many ? "sqcq_request_many" : "sqcq_request", result);
  if (done < count)
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed); /* a statistic */
  return done;
}

static sqcq_lane open_lane(void)
{
  sqcq_lane lane = {0};
  int error = options.own_lanes ? sqcq_lane_open(engine, &lane) : 0;

  if (error)
    die("sqcq_lane_open", error);
  return lane;
}

static void produce(struct bench_producer *producer)
{
  struct sqcq_read reads[BENCH_REQUESTS_MAX];
  struct bench_list batch;
  sqcq_lane lane = open_lane();

  init_reads(reads, bench.batch);
  while (bench_producer_next(producer, &batch, true)) {
    struct bench_request *request = batch.head;
    uint32_t done;

    for (uint32_t i = 0; request; request = request->next)
      fill_read(&reads[i++], request, request->consumer);
    done = request_some(lane, reads, batch.count);
    while (done < batch.count) {
      sched_yield();
      done += request_some(lane, reads + done, batch.count - done);
    }
  }
}

/* ------------------------------------------------------------------------- */
/* The I/O thread and the consumers                                          */
/* ------------------------------------------------------------------------- */

static void turn_first(void)
{
  int result = sqcq_engine_poll(engine); /* makes the caller the I/O thread */

  if (result < 0)
    die("sqcq_engine_poll", result);
}

static void *turn(void *arg)
{
  int error;

  (void)arg;
  turn_first();
  bench_ready();
  error = sqcq_engine_run(engine);
  if (error)
    die("sqcq_engine_run", error);
  return NULL;
}

/* The request that was answered. */
static inline struct bench_request *answered(const struct sqcq_completion *completion)
{
  struct bench_request *request = (void *)(uintptr_t)completion->user_data;

  request->result = completion->result;
  if (__builtin_expect(bench.verify != 0, 0) &&
      (completion->data != request->data || completion->offset != request->offset ||
       completion->buffer.id != buffers[request->idx].id || completion->flags))
    bench_die("a completion does not match its request", 0);
  return request;
}

static void *consume(void *arg)
{
  const sqcq_channel *channel = arg;
  uint64_t left = bench_consumer_quota((uint32_t)(channel - channels));
  struct sqcq_completion completions[TAKE_MAX];
  struct bench_taker taker;

  bench_taker_init(&taker);
  bench_ready();
  while (left) {
    uint32_t max = left < TAKE_MAX ? (uint32_t)left : TAKE_MAX;
    uint32_t min = options.min < max ? options.min : max;
    int count = sqcq_channel_wait(engine, *channel, completions, max, min, SQCQ_FOREVER);

    if (count < 0)
      die("sqcq_channel_wait", count);
    for (int i = 0; i < count; i++)
      bench_take(&taker, answered(&completions[i]));
    bench_taker_flush(&taker);
    left -= (uint32_t)count;
  }
  bench_taker_end(&taker);
  return NULL;
}

static struct bench_threads io_thread;
static struct bench_threads consumer_threads;

static void spawn_threads(void)
{
  bench_spawn(&io_thread, turn, NULL);
  for (uint32_t c = 0; c < channel_count; c++)
    bench_spawn(&consumer_threads, consume, &channels[c]);
  bench_producers_spawn(produce);
}

/* ------------------------------------------------------------------------- */
/* One thread for all roles                                                  */
/* ------------------------------------------------------------------------- */

struct solo {
  sqcq_lane lane;
  struct bench_streams streams;
  struct bench_taker taker;
  struct bench_request *idle[BENCH_REQUESTS_MAX];
  uint32_t idle_count;
  struct sqcq_read reads[BENCH_REQUESTS_MAX]; /* from first, not accepted yet */
  uint32_t first;
  uint32_t count;
  uint64_t issued;
};

static void solo_init(struct solo *solo)
{
  solo->lane = open_lane();
  bench_streams_init(&solo->streams);
  bench_taker_init(&solo->taker);
  init_reads(solo->reads, bench.qd);
  while (solo->idle_count < bench.qd) {
    solo->idle[solo->idle_count] = &bench.requests[solo->idle_count];
    solo->idle_count++;
  }
  turn_first();
}

/* Producer: request all that is free, once the last reads have been accepted. */
static void solo_request(struct solo *solo)
{
  if (!solo->count) {
    solo->first = 0;
    for (; solo->idle_count && solo->issued < bench.ops; solo->issued++) {
      struct bench_request *request = solo->idle[--solo->idle_count];

      request->offset = bench_streams_next(&solo->streams);
      request->start_ns = bench_is_timed(solo->issued) ? bench_now() : 0;
      fill_read(&solo->reads[solo->count++], request, 0);
    }
  }
  if (solo->count) {
    uint32_t done = request_some(solo->lane, solo->reads + solo->first, solo->count);

    solo->first += done;
    solo->count -= done;
  }
}

/* Consumer: take all that is there. */
static void solo_take(struct solo *solo)
{
  struct sqcq_completion completions[TAKE_MAX];
  int count;

  do {
    count = sqcq_channel_poll(engine, channels[0], completions, TAKE_MAX);
    if (count < 0)
      die("sqcq_channel_poll", count);
    for (int i = 0; i < count; i++) {
      struct bench_request *request = answered(&completions[i]);

      bench_consume(&solo->taker, request);
      solo->idle[solo->idle_count++] = request;
    }
  } while (count == (int)TAKE_MAX);
}

static void solo_run(struct solo *solo)
{
  while (solo->taker.count < bench.ops) {
    int result;

    solo_request(solo);
    result = sqcq_engine_wait(engine, SQCQ_FOREVER);
    if (result < 0 && result != -EINTR)
      die("sqcq_engine_wait", result);
    solo_take(solo);
  }
  bench_taker_end(&solo->taker);
}

/* ------------------------------------------------------------------------- */
/* What it cost                                                              */
/* ------------------------------------------------------------------------- */

struct costs {
  struct sqcq_stats stats;
  uint64_t allocs;
};

static struct costs costs_now(void)
{
  struct costs costs = {.allocs = alloc_count()};

  (void)sqcq_engine_stats(engine, &costs.stats, sizeof costs.stats);
  return costs;
}

/* The fields of the line that only this program has. */
static void print_costs(char *extra, size_t bytes, const struct costs *from, const struct costs *to)
{
  double ops = (double)bench.ops;
  uint64_t enters = to->stats.enters - from->stats.enters;
  uint64_t wakes = to->stats.io_wakes - from->stats.io_wakes + to->stats.consumer_wakes -
                   from->stats.consumer_wakes;
  uint64_t others = to->stats.consumer_sleeps - from->stats.consumer_sleeps +
                    to->stats.syscalls_control - from->stats.syscalls_control;
  char allocs[24] = "na";

  if (alloc_count_works())
    snprintf(allocs, sizeof allocs, "%llu", (unsigned long long)(to->allocs - from->allocs));
  snprintf(extra, bytes,
           " enters_per_op=%.4f wakes_per_op=%.4f syscalls_per_op=%.4f allocs=%s refused=%llu",
           (double)enters / ops, (double)wakes / ops, (double)(enters + wakes + others) / ops,
           allocs, (unsigned long long)atomic_load(&refused));
}

/* After the stop: what is out of order, or NULL. */
static const char *find_wrong(const struct sqcq_stats *stats)
{
  if (stats->accepted != bench.ops)
    return "accepted";
  if (stats->completed != stats->accepted)
    return "completed";
  if (stats->failed || stats->unsubmitted)
    return "failed";
  if (stats->inflight || stats->waiting)
    return "inflight";
  if (stats->cq_overflow)
    return "cq_overflow";
  return NULL;
}

int main(int argc, char **argv)
{
  const struct bench_flag own[] = {
      BENCH_FLAG_CHOICE("fixed", &options.fixed, "0|1", "registered buffers"),
      BENCH_FLAG_CHOICE("files-fixed", &options.files_fixed, "0|1", "registered file"),
      BENCH_FLAG_CHOICE("idle", &options.idle, "spin|sleep|busy", "of the I/O thread"),
      BENCH_FLAG_NUMBER("spin-us", &options.spin_us, 0, 1000000,
                        "for --idle spin; 0: the library's default"),
      BENCH_FLAG_NUMBER("consumer-spin-us", &options.consumer_spin_us, 0, 1000000,
                        "of a consumer before it sleeps"),
      BENCH_FLAG_CHOICE("solo", &options.solo, "0|1", "one thread for all roles"),
      BENCH_FLAG_NUMBER("depth", &options.depth, 0, SQCQ_DEPTH_MAX,
                        "reads in the kernel, a power of two; 0: room for qd"),
      BENCH_FLAG_NUMBER("lanes", &options.lanes, 0, SQCQ_LANES_SHARED_MAX,
                        "shared lanes; 0: the library's default"),
      BENCH_FLAG_NUMBER("lane-slots", &options.lane_slots, 0, SQCQ_LANE_SLOTS_MAX,
                        "ring size of a lane, a power of two; 0: room for qd"),
      BENCH_FLAG_CHOICE("own-lanes", &options.own_lanes, "0|1", "a lane for each producer"),
      BENCH_FLAG_CHOICE("many", &options.many, "0|1", "0: sqcq_request() one by one"),
      BENCH_FLAG_NUMBER("min", &options.min, 0, TAKE_MAX,
                        "completions a consumer waits for; 0: half a batch"),
      BENCH_FLAG_CHOICE("features", &options.features, "0|1", "1: say what the engine uses"),
  };
  static struct solo solo;
  struct costs before;
  struct costs after;
  struct costs end;
  const char *wrong;
  char extra[256];
  int error;

  bench_init(argc, argv, "sqcq", own, sizeof own / sizeof *own);
  set_up();
  if (options.solo)
    solo_init(&solo);
  else
    spawn_threads();
  bench_gather();
  if (options.features)
    print_features();
  before = costs_now();
  bench_start();
  if (options.solo) {
    solo_run(&solo);
  } else {
    bench_producers_join();
    bench_join(&consumer_threads);
  }
  bench_stop();
  after = costs_now();
  print_costs(extra, sizeof extra, &before, &after);

  sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
  if (options.solo) {
    error = sqcq_engine_run(engine);
    if (error)
      die("sqcq_engine_run", error);
  } else {
    bench_join(&io_thread);
  }
  end = costs_now();
  wrong = find_wrong(&end.stats);
  if (!tear_down() && !wrong)
    wrong = "destroy";
  return bench_finish(extra, wrong);
}
