/*
 * What the command line asks for. Role S: written by options_parse(), constant afterwards.
 */
#ifndef INGEST_OPTIONS_H
#define INGEST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRODUCERS_MAX 64u
#define CONSUMERS_MAX 64u
#define DEPTH_MAX 4096u
#define BLOCK_BYTES_MAX (256u << 20)
/* What --direct asks of offsets, lengths and memory: the largest logical block in use. */
#define DIRECT_ALIGN 4096u

enum {
  EXIT_GOOD = 0,
  EXIT_TROUBLE = 1,    /* some file or directory could not be read, or the output not be written */
  EXIT_USAGE = 2,      /* wrong command line */
  EXIT_NO_IO_URING = 3 /* this kernel, or this container, has no io_uring for us */
};

enum operation {
  OP_BYTES,
  OP_LINES,
  OP_XXH3
};

enum progress_mode {
  PROGRESS_AUTO,
  PROGRESS_ALWAYS,
  PROGRESS_NEVER
};

struct options {
  unsigned producers;
  unsigned consumers;
  uint32_t block_bytes;
  uint32_t depth; /* files open, and first reads in flight, at once */
  enum operation op;
  enum progress_mode progress;
  bool direct;
  bool json;
  bool quiet;
  bool follow;
  bool features; /* print sqcq_engine_features() and end */
  char **paths;
  size_t path_count;
};

/* Fill *options in. Returns -1 to go on, or the status to exit with: EXIT_USAGE after a message,
 * EXIT_GOOD after --help or --version. */
int options_parse(struct options *options, int argc, char **argv);

/* "bytes", "lines" or "xxh3". */
const char *operation_name(enum operation op);

#endif
