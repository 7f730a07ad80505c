/*
 * A user's program in C: everything that needs no io_uring, so that it runs anywhere.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqcq/sqcq.h>

int main(void)
{
  char version[32];
  struct sqcq_engine_config config;
  struct sqcq_engine *engine = NULL;

  (void)snprintf(version, sizeof(version), "%d.%d.%d", SQCQ_VERSION_MAJOR, SQCQ_VERSION_MINOR,
                 SQCQ_VERSION_PATCH);
  if (strcmp(version, sqcq_version()) != 0) {
    fprintf(stderr, "header %s, library %s\n", version, sqcq_version());
    return 1;
  }

  sqcq_engine_config_init(&config);
  if (config.size != sizeof(config) || config.depth == 0) {
    fprintf(stderr, "config_init: size %u, depth %u\n", config.size, config.depth);
    return 1;
  }

  config.depth = 3; /* not a power of two */
  if (sqcq_engine_create(&engine, &config, NULL) != -EINVAL || engine != NULL) {
    fprintf(stderr, "engine_create took a depth of 3\n");
    return 1;
  }

  if (sqcq_strerror(-EXFULL) == NULL || sqcq_strerror(-EXFULL)[0] == '\0') {
    fprintf(stderr, "strerror has no text for -EXFULL\n");
    return 1;
  }
  return 0;
}
