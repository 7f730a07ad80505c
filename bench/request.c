/*
 * bench-request: what handing in a read costs its producer. Only the calls are timed.
 *
 *   producers=solo   one thread, which turns the engine between the timed calls
 *   producers=N      N threads, each waiting for its answers on its own channel, and an I/O thread
 *   lane=shared|own  by sqcq_request(), or each producer through a lane of its own
 *
 * A round is --batch reads: by sqcq_request() one by one, or by one sqcq_request_many(). Every
 * other round is timed as a whole, which gives the cost of a read; the others call by call,
 * which gives the worst call. Both include one look at the clock (clock_ns): a round's is shared
 * by its reads.
 */
#include "harness.h"

#include <sqcq/sqcq.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH_MAX 256u
#define PRODUCERS_MAX 64u
#define READ_BYTES 64u
#define FILE_BYTES 4096u

struct requester {
  alignas(128) sqcq_channel channel;
  sqcq_lane lane;
  sqcq_buffer buffers[BATCH_MAX];
  struct sqcq_read reads[BATCH_MAX];
  struct bench_latency *per_read; /* picoseconds, by rounds without a refusal */
  struct bench_latency *per_call;
  double sum_ns; /* of the rounds in per_read */
  uint64_t rounds;
  uint64_t refused;
};

/* W: main while no other thread runs. */
static struct sqcq_engine *engine;
static struct requester requesters[PRODUCERS_MAX];
static bool many;
static bool own;
static int memory_file;

static uint64_t reads_wanted = 1000000;
static uint32_t batch = 32;
static uint32_t idle;
static uint32_t spin_us;
static uint32_t lanes;

static void die(const char *what, int error)
{
  fprintf(stderr, "%s: %s: %s\n", bench_name, what, sqcq_strerror(error));
  _Exit(BENCH_FAILED);
}

/* ------------------------------------------------------------------------- */
/* The timed calls                                                           */
/* ------------------------------------------------------------------------- */

static bool is_refusal(int result)
{
  return result == -EAGAIN || result == -EXFULL;
}

/* Whether no call was refused. */
static bool request_one_by_one(struct requester *requester, bool each_call)
{
  uint64_t refused = requester->refused;

  for (uint32_t i = 0; i < batch;) {
    uint64_t start_ns = each_call ? bench_now() : 0;
    int result = own ? sqcq_lane_request(engine, requester->lane, &requester->reads[i])
                     : sqcq_request(engine, &requester->reads[i]);

    if (each_call)
      bench_latency_add(requester->per_call, bench_now() - start_ns);
    if (!result) {
      i++;
    } else if (is_refusal(result)) {
      requester->refused++;
      sched_yield();
    } else {
      die("sqcq_request", result);
    }
  }
  return requester->refused == refused;
}

static bool request_at_once(struct requester *requester, bool each_call)
{
  uint64_t refused = requester->refused;

  for (uint32_t done = 0; done < batch;) {
    uint64_t start_ns = each_call ? bench_now() : 0;
    int result =
        own ? sqcq_lane_request_many(engine, requester->lane, requester->reads + done, batch - done)
            : sqcq_request_many(engine, requester->reads + done, batch - done);

    if (each_call)
      bench_latency_add(requester->per_call, bench_now() - start_ns);
    if (result > 0)
      done += (uint32_t)result;
    else if (!is_refusal(result))
      die("sqcq_request_many", result);
    if (done < batch) {
      requester->refused++;
      sched_yield();
    }
  }
  return requester->refused == refused;
}

static void request_round(struct requester *requester, uint64_t round)
{
  bool each_call = round % 2;
  uint64_t start_ns = bench_now();
  bool smooth =
      many ? request_at_once(requester, each_call) : request_one_by_one(requester, each_call);
  uint64_t ns = bench_now() - start_ns;

  if (smooth && !each_call) {
    bench_latency_add(requester->per_read, ns * 1000 / batch);
    requester->sum_ns += (double)ns;
  }
}

/* ------------------------------------------------------------------------- */
/* The rest of a round                                                       */
/* ------------------------------------------------------------------------- */

static uint32_t check(const struct sqcq_completion *completions, int count, const char *what)
{
  if (count < 0)
    die(what, count);
  for (int i = 0; i < count; i++)
    if (completions[i].result != (int32_t)READ_BYTES)
      die("a read", completions[i].result < 0 ? completions[i].result : -EIO);
  return (uint32_t)count;
}

static void run_solo(void)
{
  struct sqcq_completion completions[BATCH_MAX];
  struct requester *requester = &requesters[0];

  for (uint64_t round = 0; round < requester->rounds; round++) {
    request_round(requester, round);
    for (uint32_t done = 0; done < batch;) {
      int result = sqcq_engine_poll(engine);

      if (result < 0)
        die("sqcq_engine_poll", result);
      result = sqcq_channel_poll(engine, requester->channel, completions, batch);
      done += check(completions, result, "sqcq_channel_poll");
    }
  }
}

static void *run_requester(void *arg)
{
  struct sqcq_completion completions[BATCH_MAX];
  struct requester *requester = arg;

  bench_ready();
  for (uint64_t round = 0; round < requester->rounds; round++) {
    request_round(requester, round);
    for (uint32_t done = 0; done < batch;) {
      int count = sqcq_channel_wait(engine, requester->channel, completions, batch - done,
                                    batch - done, SQCQ_FOREVER);

      done += check(completions, count, "sqcq_channel_wait");
    }
  }
  return NULL;
}

static void *turn(void *arg)
{
  int error = sqcq_engine_poll(engine);

  (void)arg;
  if (error < 0)
    die("sqcq_engine_poll", error);
  bench_ready();
  error = sqcq_engine_run(engine);
  if (error)
    die("sqcq_engine_run", error);
  return NULL;
}

/* ------------------------------------------------------------------------- */
/* One line                                                                  */
/* ------------------------------------------------------------------------- */

static void make_engine(uint32_t count)
{
  struct sqcq_engine_config config;
  struct sqcq_explanation why;
  int error;

  sqcq_engine_config_init(&config);
  config.depth = 1;
  while (config.depth < count * batch)
    config.depth *= 2;
  config.channels_max = count;
  config.requests_max = count * batch > config.requests_max ? count * batch : config.requests_max;
  config.buffers_max = config.requests_max;
  config.lanes_own = own ? count : 0;
  config.idle = idle;
  config.lanes_shared = lanes;
  if (spin_us)
    config.spin_ns = spin_us * 1000;
  error = sqcq_engine_create(&engine, &config, &why);
  if (error) {
    fprintf(stderr, "%s: sqcq_engine_create: %s\n", bench_name, why.text);
    _Exit(error == -ENOSYS || error == -EPERM ? BENCH_SKIPPED : BENCH_FAILED);
  }
}

static void make_requesters(uint32_t count)
{
  struct sqcq_pool_config pool_config = {
      .size = sizeof pool_config, .count = count * batch, .buffer_size = READ_BYTES};
  struct sqcq_channel_config channel_config = {.size = sizeof channel_config, .capacity = batch};
  sqcq_pool pool;
  sqcq_file file;
  int error = sqcq_pool_create(engine, &pool_config, &pool);

  if (error)
    die("sqcq_pool_create", error);
  error = sqcq_file_add(engine, memory_file, &file);
  if (error)
    die("sqcq_file_add", error);
  for (uint32_t p = 0; p < count; p++) {
    struct requester *requester = &requesters[p];

    *requester = (struct requester){.per_read = bench_latency_new(),
                                    .per_call = bench_latency_new(),
                                    .rounds = reads_wanted / batch / count + 1};
    error = sqcq_channel_create(engine, &channel_config, &requester->channel);
    if (error)
      die("sqcq_channel_create", error);
    if (own) {
      error = sqcq_lane_open(engine, &requester->lane);
      if (error)
        die("sqcq_lane_open", error);
    }
    for (uint32_t i = 0; i < batch; i++) {
      error = sqcq_buffer_acquire(engine, pool, &requester->buffers[i], 1);
      if (error < 0)
        die("sqcq_buffer_acquire", error);
      requester->reads[i] = (struct sqcq_read){.file = file,
                                               .buffer = requester->buffers[i],
                                               .channel = requester->channel,
                                               .offset = i * READ_BYTES % FILE_BYTES,
                                               .user_data = i,
                                               .length = READ_BYTES};
    }
  }
}

/* Stop, give everything back. Whether the counters and the engine agree that all was done. */
static bool end(struct bench_threads *io, uint32_t count, struct sqcq_stats *stats)
{
  uint64_t reads = 0;
  int error = 0;

  sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
  if (io->count)
    bench_join(io);
  else
    error = sqcq_engine_run(engine);
  if (error)
    die("sqcq_engine_run", error);
  (void)sqcq_engine_stats(engine, stats, sizeof *stats);
  for (uint32_t p = 0; p < count; p++) {
    reads += requesters[p].rounds * batch;
    if (sqcq_buffer_release(engine, requesters[p].buffers, batch) != (int)batch)
      return false;
  }
  return !sqcq_engine_destroy(engine, NULL) && stats->accepted == reads &&
         stats->completed == reads && !stats->failed;
}

/* What it costs to look at the clock: the least of many. */
static uint64_t clock_cost(void)
{
  uint64_t least = UINT64_MAX;

  for (int i = 0; i < 1000; i++) {
    uint64_t start_ns = bench_now();
    uint64_t ns = bench_now() - start_ns;

    if (ns < least)
      least = ns;
  }
  return least;
}

static bool print_line(uint32_t threads, const struct sqcq_stats *stats, bool ok)
{
  struct requester *all = &requesters[0];
  char name[12] = "solo";

  for (uint32_t p = 1; p < threads; p++) {
    bench_latency_merge(all->per_read, requesters[p].per_read);
    bench_latency_merge(all->per_call, requesters[p].per_call);
    all->sum_ns += requesters[p].sum_ns;
    all->refused += requesters[p].refused;
  }
  if (threads)
    snprintf(name, sizeof name, "%u", threads);
  printf("bench=request call=%s lane=%s producers=%s batch=%u ns_per_read=%.1f "
         "mean_ns_per_read=%.1f",
         many ? "many" : "one", own ? "own" : "shared", name, batch,
         (double)bench_latency_at(all->per_read, 0.5) / 1000,
         all->per_read->count ? all->sum_ns / (double)all->per_read->count / batch : 0);
  printf(" call_p50_ns=%llu call_p99_ns=%llu call_p999_ns=%llu worst_call_ns=%llu clock_ns=%llu",
         (unsigned long long)bench_latency_at(all->per_call, 0.5),
         (unsigned long long)bench_latency_at(all->per_call, 0.99),
         (unsigned long long)bench_latency_at(all->per_call, 0.999),
         (unsigned long long)all->per_call->worst_ns, (unsigned long long)clock_cost());
  printf(" reads=%llu refused=%llu io_wakes_per_read=%.4f %s\n",
         (unsigned long long)stats->accepted, (unsigned long long)all->refused,
         (double)stats->io_wakes / (double)stats->accepted, ok ? "ok=1" : "WRONG");
  return ok;
}

/* threads 0: solo. */
static bool measure(uint32_t threads)
{
  static struct bench_threads producers;
  static struct bench_threads io;
  uint32_t count = threads ? threads : 1;
  struct sqcq_stats stats = {0};
  bool ok;

  make_engine(count);
  make_requesters(count);
  if (!threads) {
    run_solo();
  } else {
    bench_spawn(&io, turn, NULL);
    for (uint32_t p = 0; p < count; p++)
      bench_spawn(&producers, run_requester, &requesters[p]);
    bench_start();
    bench_join(&producers);
  }
  ok = end(&io, count, &stats);
  ok = print_line(threads, &stats, ok);
  for (uint32_t p = 0; p < count; p++) {
    free(requesters[p].per_read);
    free(requesters[p].per_call);
  }
  return ok;
}

int main(int argc, char **argv)
{
  static const uint32_t threads[] = {0, 1, 2, 8, 64};
  const struct bench_flag flags[] = {
      BENCH_FLAG_WIDE("reads", &reads_wanted, 1, UINT64_C(1) << 40, "for each line, about"),
      BENCH_FLAG_NUMBER("batch", &batch, 1, BATCH_MAX, "reads of a round"),
      BENCH_FLAG_CHOICE("idle", &idle, "spin|sleep|busy", "of the I/O thread"),
      BENCH_FLAG_NUMBER("spin-us", &spin_us, 0, 1000000,
                        "for --idle spin; 0: the library's default"),
      BENCH_FLAG_NUMBER("lanes", &lanes, 0, SQCQ_LANES_SHARED_MAX,
                        "shared lanes; 0: the library's default"),
  };
  bool ok = true;

  bench_name = "request";
  bench_flags(argc, argv, flags, sizeof flags / sizeof *flags);
  memory_file = memfd_create("bench-request", MFD_CLOEXEC);
  if (memory_file < 0 || ftruncate(memory_file, FILE_BYTES))
    bench_die("memfd", errno);
  for (int call = 0; call < 2; call++) {
    many = call;
    for (size_t i = 0; i < 2 * (sizeof threads / sizeof *threads); i++) {
      own = i % 2;
      ok &= measure(threads[i / 2]);
    }
  }
  if (fflush(stdout))
    bench_die("the lines cannot be written", errno);
  return ok ? 0 : BENCH_WRONG;
}
