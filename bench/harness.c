/* See harness.h. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench bench;
struct bench_pool bench_pools[BENCH_PRODUCERS_MAX];

/* The start: all spawned threads gather here. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static uint32_t gate_spawned;
static uint32_t gate_ready;
static bool gate_open;

static struct rusage usage_start;
static struct rusage usage_stop;
static uint64_t start_ns;
static uint64_t stop_ns;

/* What the takers found. */
static pthread_mutex_t result_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t result_sum;
static uint64_t result_count;
static struct bench_latency result_latency;
static atomic_uint_fast64_t result_short;

/* ------------------------------------------------------------------------- */
/* The work                                                                  */
/* ------------------------------------------------------------------------- */

static void open_file(void)
{
  struct stat st;

  bench.fd = open(bench.file, O_RDONLY | O_CLOEXEC | (bench.direct ? O_DIRECT : 0));
  if (bench.fd < 0 || fstat(bench.fd, &st))
    bench_die(bench.file, errno);
  bench.blocks = (uint64_t)st.st_size / bench.bs;
  if (bench.blocks < bench.producers)
    bench_die("the file is too small", 0);
}

/* Every request belongs to one producer's pool. */
static void make_requests(void)
{
  bench.requests = aligned_alloc(alignof(struct bench_request), sizeof *bench.requests * bench.qd);
  if (!bench.requests)
    bench_die("requests", ENOMEM);
  memset(bench.requests, 0, sizeof *bench.requests * bench.qd);
  for (uint32_t p = 0; p < bench.producers; p++) {
    pthread_mutex_init(&bench_pools[p].lock, NULL);
    pthread_cond_init(&bench_pools[p].room, NULL);
  }
  for (uint32_t i = bench.qd; i-- > 0;) {
    struct bench_request *request = &bench.requests[i];
    struct bench_pool *pool = &bench_pools[i % bench.producers];

    request->idx = i;
    request->producer = (uint16_t)(i % bench.producers);
    request->next = pool->head;
    pool->head = request;
    pool->count = ++pool->size;
  }
}

void bench_init(int argc, char **argv, const char *name, const struct bench_flag *own,
                size_t own_count)
{
  const struct bench_flag common[] = {
      BENCH_FLAG_TEXT("file", &bench.file, "PATH, made by bench-mkfile"),
      BENCH_FLAG_WIDE("ops", &bench.ops, 1, UINT64_MAX, "reads in all"),
      BENCH_FLAG_NUMBER("bs", &bench.bs, BENCH_PAGE, 1u << 24, "bytes of a read, of 4096"),
      BENCH_FLAG_NUMBER("qd", &bench.qd, 1, BENCH_REQUESTS_MAX, "reads in flight, all producers"),
      BENCH_FLAG_NUMBER("producers", &bench.producers, 1, BENCH_PRODUCERS_MAX, "threads"),
      BENCH_FLAG_NUMBER("consumers", &bench.consumers, 0, BENCH_CONSUMERS_MAX, "threads"),
      BENCH_FLAG_NUMBER("workers", &bench.workers, 1, BENCH_WORKERS_MAX, "threads of preadpool"),
      BENCH_FLAG_NUMBER("batch", &bench.batch, 0, BENCH_REQUESTS_MAX,
                        "reads requested at once; 0: half of a producer's, up to 32"),
      BENCH_FLAG_WIDE("seed", &bench.seed, 0, UINT64_MAX, "of the random offsets"),
      BENCH_FLAG_CHOICE("direct", &bench.direct, "0|1", "O_DIRECT"),
      BENCH_FLAG_CHOICE("seq", &bench.seq, "0|1", "sequential"),
      BENCH_FLAG_NUMBER("lat", &bench.latency_nth, 0, UINT32_MAX, "each nth timed; 0: none"),
      BENCH_FLAG_CHOICE("verify", &bench.verify, "0|1", "check each page"),
      BENCH_FLAG_TEXT("name", &bench_name, "for the line"),
  };
  struct bench_flag all[64];
  size_t count = sizeof common / sizeof *common;

  bench_name = name;
  bench.ops = 200000;
  bench.bs = BENCH_PAGE;
  bench.qd = 64;
  bench.producers = 2;
  bench.consumers = 2;
  bench.workers = 4;
  bench.seed = 1;
  bench.latency_nth = 7; /* no divisor of a batch */
  memcpy(all, common, sizeof common);
  for (size_t i = 0; i < own_count; i++)
    all[count++] = own[i];
  bench_flags(argc, argv, all, count);
  if (!bench.file || bench.bs % BENCH_PAGE || bench.qd < bench.producers)
    bench_usage(all, count);
  if (!bench.batch) {
    bench.batch = bench.qd / bench.producers / 2;
    if (bench.batch > 32)
      bench.batch = 32;
    if (bench.batch < 1)
      bench.batch = 1;
  }
  open_file();
  make_requests();
}

void bench_buffers(void)
{
  size_t bytes = (size_t)bench.qd * bench.bs;
  void *memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

  if (memory == MAP_FAILED)
    bench_die("buffers", errno);
  bench.memory = memory;
  for (uint32_t i = 0; i < bench.qd; i++)
    bench.requests[i].data = bench.memory + (size_t)i * bench.bs;
}

/* ------------------------------------------------------------------------- */
/* Requests                                                                  */
/* ------------------------------------------------------------------------- */

uint64_t bench_ops_of(uint32_t producer)
{
  return bench.ops / bench.producers + (producer < bench.ops % bench.producers);
}

void bench_stream_init(struct bench_stream *stream, uint32_t producer)
{
  stream->state = bench.seed + producer;
  stream->made = 0;
  stream->todo = bench_ops_of(producer);
  stream->first = bench.blocks * producer / bench.producers;
  stream->count = bench.blocks * (producer + 1) / bench.producers - stream->first;
}

void bench_streams_init(struct bench_streams *streams)
{
  streams->turn = 0;
  for (uint32_t p = 0; p < bench.producers; p++)
    bench_stream_init(&streams->of[p], p);
}

/* ------------------------------------------------------------------------- */
/* Clock and result                                                          */
/* ------------------------------------------------------------------------- */

void bench_spawn(struct bench_threads *group, void *(*main)(void *), void *arg)
{
  int error;

  if (group->count == sizeof group->id / sizeof *group->id)
    bench_die("too many threads", 0);
  pthread_mutex_lock(&gate_lock);
  gate_spawned++;
  gate_open = false;
  pthread_mutex_unlock(&gate_lock);
  error = pthread_create(&group->id[group->count++], NULL, main, arg);
  if (error)
    bench_die("pthread_create", error);
}

void bench_join(struct bench_threads *group)
{
  for (uint32_t i = 0; i < group->count; i++)
    pthread_join(group->id[i], NULL);
  group->count = 0;
}

void bench_ready(void)
{
  pthread_mutex_lock(&gate_lock);
  gate_ready++;
  pthread_cond_broadcast(&gate_moved);
  while (!gate_open)
    pthread_cond_wait(&gate_moved, &gate_lock);
  pthread_mutex_unlock(&gate_lock);
}

void bench_gather(void)
{
  pthread_mutex_lock(&gate_lock);
  while (gate_ready < gate_spawned)
    pthread_cond_wait(&gate_moved, &gate_lock);
  pthread_mutex_unlock(&gate_lock);
}

void bench_start(void)
{
  bench_gather();
  pthread_mutex_lock(&gate_lock);
  getrusage(RUSAGE_SELF, &usage_start);
  start_ns = bench_now();
  gate_open = true;
  pthread_cond_broadcast(&gate_moved);
  pthread_mutex_unlock(&gate_lock);
}

void bench_stop(void)
{
  stop_ns = bench_now();
  getrusage(RUSAGE_SELF, &usage_stop);
}

static double microseconds(struct timeval from, struct timeval to)
{
  return (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_usec - from.tv_usec);
}

/* What the sum must be, from the streams alone. */
static uint64_t expected_sum(void)
{
  uint64_t pages = bench.bs / BENCH_PAGE;
  uint64_t sum = 0;

  for (uint32_t p = 0; p < bench.producers; p++) {
    struct bench_stream stream;

    bench_stream_init(&stream, p);
    while (stream.made < stream.todo)
      sum += bench_stream_next(&stream) / BENCH_PAGE * pages + pages * (pages - 1) / 2;
  }
  return sum;
}

int bench_finish(const char *extra, const char *wrong)
{
  double wall_s = (double)(stop_ns - start_ns) / 1e9;
  double cpu_us = microseconds(usage_start.ru_utime, usage_stop.ru_utime) +
                  microseconds(usage_start.ru_stime, usage_stop.ru_stime);
  double switches = (double)(usage_stop.ru_nvcsw - usage_start.ru_nvcsw + usage_stop.ru_nivcsw -
                             usage_start.ru_nivcsw);
  double ops = (double)bench.ops;
  uint64_t expected = expected_sum();
  uint64_t shorts = atomic_load(&result_short);
  bool is_wrong = wrong || result_count != bench.ops || result_sum != expected;

  printf("peer=%s ops_per_s=%.0f cpu_us_per_op=%.3f wall_s=%.4f checksum=%016llx", bench_name,
         ops / wall_s, cpu_us / ops, wall_s, (unsigned long long)result_sum);
  if (result_latency.count)
    printf(" p50_ns=%llu p99_ns=%llu p999_ns=%llu",
           (unsigned long long)bench_latency_at(&result_latency, 0.5),
           (unsigned long long)bench_latency_at(&result_latency, 0.99),
           (unsigned long long)bench_latency_at(&result_latency, 0.999));
  printf(" gb_per_s=%.3f csw_per_op=%.3f", ops * bench.bs / wall_s / 1e9, switches / ops);
  if (shorts)
    printf(" short=%llu", (unsigned long long)shorts);
  printf("%s", extra);
  if (is_wrong)
    printf(" WRONG ops=%llu want_checksum=%016llx%s%s\n", (unsigned long long)result_count,
           (unsigned long long)expected, wrong ? " " : "", wrong ? wrong : "");
  else
    printf(" ok=1\n");
  if (fflush(stdout))
    bench_die("the line cannot be written", errno);
  return is_wrong ? BENCH_WRONG : 0;
}

/* ------------------------------------------------------------------------- */
/* Takers                                                                    */
/* ------------------------------------------------------------------------- */

void bench_taker_init(struct bench_taker *taker)
{
  *taker = (struct bench_taker){.latency = bench_latency_new()};
}

void bench_taker_flush(struct bench_taker *taker)
{
  for (uint32_t p = 0; p < bench.producers; p++)
    bench_pool_put(p, &taker->back[p]);
}

void bench_taker_end(struct bench_taker *taker)
{
  pthread_mutex_lock(&result_lock);
  result_sum += taker->sum;
  result_count += taker->count;
  bench_latency_merge(&result_latency, taker->latency);
  pthread_mutex_unlock(&result_lock);
  free(taker->latency);
}

void bench_short_read(struct bench_request *request)
{
  int32_t result = request->result;

  if (result > 0 && (uint32_t)result < bench.bs) {
    atomic_fetch_add(&result_short, 1);
    if (pread(bench.fd, request->data, bench.bs, (off_t)request->offset) == (ssize_t)bench.bs)
      return;
  }
  fprintf(stderr, "%s: a read of %u bytes at %llu gave %d\n", bench_name, bench.bs,
          (unsigned long long)request->offset, result);
  bench_die("failed read", result < 0 ? result : 0);
}

void bench_verify(const struct bench_request *request)
{
  for (uint64_t i = 0; i < bench.bs / BENCH_PAGE; i++) {
    uint64_t stamp;

    memcpy(&stamp, request->data + i * BENCH_PAGE, sizeof stamp);
    if (stamp != request->offset / BENCH_PAGE + i)
      bench_die("a buffer holds another block than asked for", 0);
  }
}
