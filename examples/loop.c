/*
 * Everything on one epoll loop: this thread requests, turns the engine, takes what was read, and
 * sleeps only in epoll_wait(). Reads the files given from beginning to end, a few KiB at a time, and
 * says how large they are; a pipe or a terminal will do, too.
 *
 *   loop FILE...
 */
#include <sqcq/sqcq.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define FILES_MAX 16u
#define SIZE 4096u

static struct sqcq_engine *engine;
static sqcq_channel channel;
static struct sqcq_read reads[FILES_MAX]; /* the next one of each file */
static unsigned long long totals[FILES_MAX];
static unsigned left; /* files that have not ended */

static int check(const char *what, int result)
{
  if (result < 0) {
    fprintf(stderr, "%s: %s\n", what, sqcq_strerror(result));
    exit(1);
  }
  return result;
}

static void watch(int epoll, int fd)
{
  struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    perror("epoll_ctl");
    exit(1);
  }
}

static void take(char **names)
{
  struct sqcq_completion done[FILES_MAX];

  do { /* until it is armed: then its descriptor wakes the loop */
    int n = check("poll", sqcq_channel_poll(engine, channel, done, FILES_MAX));

    for (int i = 0; i < n; i++) {
      uint64_t file = done[i].user_data;

      if (done[i].result > 0) {
        totals[file] += (unsigned)done[i].result;
        if (reads[file].offset != SQCQ_OFFSET_CURRENT)
          reads[file].offset += (unsigned)done[i].result;
        check("request", sqcq_request(engine, &reads[file]));
        continue;
      }
      if (done[i].result == -ESPIPE && reads[file].offset == 0) { /* it has no offsets */
        reads[file].offset = SQCQ_OFFSET_CURRENT;
        check("request", sqcq_request(engine, &reads[file]));
        continue;
      }
      printf("%s: %llu bytes%s%s\n", names[file], totals[file], done[i].result < 0 ? ", then " : "",
             done[i].result < 0 ? sqcq_strerror(done[i].result) : "");
      left--;
    }
  } while (check("arm", sqcq_channel_arm(engine, channel, 1)) > 0);
}

int main(int argc, char **argv)
{
  struct sqcq_engine_config config;
  struct sqcq_pool_config pool_config = {
      .size = sizeof pool_config, .count = FILES_MAX, .buffer_size = SIZE};
  sqcq_buffer buffers[FILES_MAX];
  struct epoll_event event;
  sqcq_pool pool;
  int epoll = epoll_create1(EPOLL_CLOEXEC);

  left = argc < 1 ? 0 : (unsigned)argc - 1;
  if (left > FILES_MAX)
    left = FILES_MAX;
  sqcq_engine_config_init(&config);
  config.flags = SQCQ_ENGINE_EVENT_LOOP;
  check("engine", sqcq_engine_create(&engine, &config, NULL));
  check("pool", sqcq_pool_create(engine, &pool_config, &pool));
  check("channel", sqcq_channel_create(engine, NULL, &channel));
  check("buffers", sqcq_buffer_acquire(engine, pool, buffers, FILES_MAX));
  watch(epoll, check("engine fd", sqcq_engine_fd(engine)));
  watch(epoll, check("channel fd", sqcq_channel_fd(engine, channel)));

  for (uint32_t i = 0; i < left; i++) {
    reads[i] = (struct sqcq_read){
        .buffer = buffers[i], .channel = channel, .length = SIZE, .user_data = i};
    check(argv[i + 1], sqcq_file_open(engine, AT_FDCWD, argv[i + 1], 0, &reads[i].file));
    check(argv[i + 1], sqcq_request(engine, &reads[i]));
  }
  while (left > 0) {
    take(argv + 1);
    if (left == 0)
      break;
    if (check("arm", sqcq_engine_arm(engine)) > 0) {
      check("turn", sqcq_engine_poll(engine));
      continue;
    }
    /* Armed, both: sleep. On old kernels a completion may interrupt it: a turn finds it. */
    if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
      return 1;
    check("turn", sqcq_engine_poll(engine));
  }

  sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
  check("run", sqcq_engine_run(engine));
  check("release", sqcq_buffer_release(engine, buffers, FILES_MAX));
  return check("destroy", sqcq_engine_destroy(engine, NULL));
}
