/*
 * The smallest whole program: one thread plays all three roles and reads the first 4 KiB of up to
 * 16 files at once. With more threads only where the calls are made changes: any thread may
 * request, one runs sqcq_engine_run(), and one for each channel waits in sqcq_channel_wait().
 */
#include <sqcq/sqcq.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX 16u

static int check(const char *what, int result)
{
  if (result < 0) {
    fprintf(stderr, "%s: %s\n", what, sqcq_strerror(result));
    exit(1);
  }
  return result;
}

int main(int argc, char **argv)
{
  struct sqcq_pool_config pool_config = {
      .size = sizeof pool_config, .count = FILES_MAX, .buffer_size = 4096};
  uint32_t files = argc < 1 ? 0 : (uint32_t)argc - 1;
  struct sqcq_completion done[FILES_MAX];
  sqcq_buffer buffers[FILES_MAX];
  struct sqcq_engine *engine;
  sqcq_channel channel;
  sqcq_pool pool;

  if (files > FILES_MAX)
    files = FILES_MAX;
  check("engine", sqcq_engine_create(&engine, NULL, NULL));
  check("pool", sqcq_pool_create(engine, &pool_config, &pool));
  check("channel", sqcq_channel_create(engine, NULL, &channel));
  check("buffers", sqcq_buffer_acquire(engine, pool, buffers, FILES_MAX));

  for (uint32_t i = 0; i < files; i++) { /* producer */
    struct sqcq_read read = {
        .buffer = buffers[i], .channel = channel, .length = 4096, .user_data = i + 1};

    check(argv[i + 1], sqcq_file_open(engine, AT_FDCWD, argv[i + 1], 0, &read.file));
    check(argv[i + 1], sqcq_request(engine, &read));
  }
  for (uint32_t answered = 0; answered < files;) {
    check("wait", sqcq_engine_wait(engine, SQCQ_FOREVER)); /* I/O thread */

    int n = check("poll", sqcq_channel_poll(engine, channel, done, FILES_MAX)); /* consumer */
    for (int i = 0; i < n; i++, answered++) {
      const char *name = argv[done[i].user_data];

      if (done[i].result < 0)
        printf("%s: %s\n", name, sqcq_strerror(done[i].result));
      else
        printf("%s: %d bytes\n", name, done[i].result);
    }
  }

  sqcq_engine_stop(engine, SQCQ_STOP_DRAIN, SQCQ_FOREVER);
  check("run", sqcq_engine_run(engine));
  check("release", sqcq_buffer_release(engine, buffers, FILES_MAX));
  return check("destroy", sqcq_engine_destroy(engine, NULL));
}
