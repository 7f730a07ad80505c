/*
 * The command line. Role S.
 */
#include "options.h"

#include <sqcq/sqcq.h>

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  OPT_DIRECT = 256,
  OPT_OP,
  OPT_JSON,
  OPT_PROGRESS,
  OPT_HELP,
  OPT_VERSION,
  OPT_FEATURES
};

static const char short_options[] = "p:c:b:d:qLh";

static const struct option long_options[] = {
    {"producers", required_argument, NULL, 'p'},
    {"consumers", required_argument, NULL, 'c'},
    {"block-size", required_argument, NULL, 'b'},
    {"depth", required_argument, NULL, 'd'},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"op", required_argument, NULL, OPT_OP},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    {"follow", no_argument, NULL, 'L'},
    {"progress", required_argument, NULL, OPT_PROGRESS},
    {"features", no_argument, NULL, OPT_FEATURES},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help_text[] =
    "Usage: sqcq-ingest [OPTION]... PATH...\n"
    "Read files and whole directory trees through sqcq (io_uring) and print what was read.\n"
    "\n"
    "  -p, --producers N       threads that walk and request, 1 to 64 (2)\n"
    "  -c, --consumers N       threads that count or hash, 1 to 64 (one for each CPU, at most 8)\n"
    "  -b, --block-size BYTES  of one read, up to 256M; suffixes K and M (128K)\n"
    "  -d, --depth N           files read at once, 1 to 4096 (128; fewer for large blocks)\n"
    "      --direct            read past the page cache (O_DIRECT); a file whose file system\n"
    "                          refuses that is read through the cache, which is reported\n"
    "      --op=OP             bytes: COUNT  PATH (default)\n"
    "                          lines: newlines, as wc -l counts them: COUNT  PATH\n"
    "                          xxh3: XXH3 64 bit, in the format of xxhsum -H3\n"
    "      --json              an object a line for each file, and a last one with the summary\n"
    "  -q, --quiet             no lines for files, only the summary\n"
    "  -L, --follow            follow symbolic links (otherwise they are skipped)\n"
    "      --progress=WHEN     auto (when standard error is a terminal), always or never\n"
    "      --features          print what the engine uses of this kernel, and end\n"
    "  -h, --help              print this and end\n"
    "      --version           print the version and end\n"
    "\n"
    "Lines come in any order. Where a path has a newline, its line starts with a backslash, and "
    "in\n"
    "the path \\n stands for the newline and \\\\ for a backslash. xxhsum -c understands that "
    "from\n"
    "0.8.2 on; 0.8.1 has no form for such names, and none has one for a path of more than 32 000\n"
    "bytes (reported, not printed) or that is just \"stdin\" (say ./stdin). In JSON a path that "
    "is\n"
    "not UTF-8 has U+FFFD for each wrong byte, and its bytes in hexadecimal as \"path_hex\".\n"
    "\n"
    "Exit status: 0 all was read; 1 something could not be read or written; 2 wrong command line;\n"
    "3 no io_uring here; 130 or 143 ended by SIGINT or SIGTERM (a second one ends it at once).\n";

const char *operation_name(enum operation op)
{
  static const char *const names[] = {"bytes", "lines", "xxh3"};

  return names[op];
}

static int wrong(const char *option, const char *value, const char *expected)
{
  fprintf(stderr, "sqcq-ingest: %s: '%s' is not %s\n", option, value, expected);
  return EXIT_USAGE;
}

/* A decimal number from 1 to max, with a suffix K or M where `scaled`. 0 on anything else. */
static uint64_t parse_number(const char *text, uint64_t max, bool scaled)
{
  uint64_t value = 0;
  const char *p = text;

  for (; *p >= '0' && *p <= '9'; p++) {
    value = value * 10 + (uint64_t)(*p - '0');
    if (value > max)
      return 0;
  }
  if (p == text)
    return 0;
  if (scaled && (*p == 'K' || *p == 'k')) {
    value <<= 10;
    p++;
  } else if (scaled && (*p == 'M' || *p == 'm')) {
    value <<= 20;
    p++;
  }
  return *p == '\0' && value <= max ? value : 0;
}

static int parse_op(struct options *options, const char *value)
{
  for (enum operation op = OP_BYTES; op <= OP_XXH3; op++) {
    if (strcmp(value, operation_name(op)) == 0) {
      options->op = op;
      return -1;
    }
  }
  return wrong("--op", value, "bytes, lines or xxh3");
}

static int parse_progress(struct options *options, const char *value)
{
  static const char *const names[] = {"auto", "always", "never"};

  for (unsigned i = 0; i < 3; i++) {
    if (strcmp(value, names[i]) == 0) {
      options->progress = (enum progress_mode)i;
      return -1;
    }
  }
  return wrong("--progress", value, "auto, always or never");
}

static int parse_value(struct options *options, int option, const char *value)
{
  switch (option) {
  case 'p':
    options->producers = (unsigned)parse_number(value, PRODUCERS_MAX, false);
    return options->producers > 0 ? -1 : wrong("--producers", value, "a number from 1 to 64");
  case 'c':
    options->consumers = (unsigned)parse_number(value, CONSUMERS_MAX, false);
    return options->consumers > 0 ? -1 : wrong("--consumers", value, "a number from 1 to 64");
  case 'b':
    options->block_bytes = (uint32_t)parse_number(value, BLOCK_BYTES_MAX, true);
    return options->block_bytes > 0
               ? -1
               : wrong("--block-size", value, "a number of bytes from 1 to 256M");
  case 'd':
    options->depth = (uint32_t)parse_number(value, DEPTH_MAX, false);
    return options->depth > 0 ? -1 : wrong("--depth", value, "a number from 1 to 4096");
  case OPT_OP:
    return parse_op(options, value);
  default:
    return parse_progress(options, value);
  }
}

/* One option. As options_parse(). */
static int parse_one(struct options *options, int option)
{
  switch (option) {
  case OPT_DIRECT:
    options->direct = true;
    return -1;
  case OPT_JSON:
    options->json = true;
    return -1;
  case 'q':
    options->quiet = true;
    return -1;
  case 'L':
    options->follow = true;
    return -1;
  case OPT_FEATURES:
    options->features = true;
    return -1;
  case 'h':
    fputs(help_text, stdout);
    return fflush(stdout) == 0 ? EXIT_GOOD : EXIT_TROUBLE;
  case OPT_VERSION:
    printf("sqcq-ingest %d.%d.%d (libsqcq %s)\n", SQCQ_VERSION_MAJOR, SQCQ_VERSION_MINOR,
           SQCQ_VERSION_PATCH, sqcq_version());
    return fflush(stdout) == 0 ? EXIT_GOOD : EXIT_TROUBLE;
  case '?': /* getopt has said what is wrong */
    fputs("Try 'sqcq-ingest --help'.\n", stderr);
    return EXIT_USAGE;
  default:
    return parse_value(options, option, optarg);
  }
}

/* What the options mean together, and defaults for those not given. As options_parse(). */
static int settle(struct options *options)
{
  if (options->direct && options->block_bytes % DIRECT_ALIGN != 0) {
    fprintf(stderr, "sqcq-ingest: --direct: a block size of %u bytes is not a multiple of %u\n",
            options->block_bytes, DIRECT_ALIGN);
    return EXIT_USAGE;
  }
  if (options->path_count == 0 && !options->features) {
    fputs("sqcq-ingest: no PATH given\nTry 'sqcq-ingest --help'.\n", stderr);
    return EXIT_USAGE;
  }
  for (size_t i = 0; i < options->path_count; i++) {
    if (options->paths[i][0] == '\0') {
      fputs("sqcq-ingest: an empty PATH was given\n", stderr);
      return EXIT_USAGE;
    }
  }
  if (options->depth == 0) {
    /* 128 files at once; with large blocks as many as keeps their first blocks within 64 MiB. */
    uint32_t fit = (64u << 20) / options->block_bytes;
    options->depth = fit > 128 ? 128 : fit < 4 ? 4 : fit;
  }
  return -1;
}

/* The CPUs this process may run on, 1 to 8. */
static unsigned cpu_count(void)
{
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

  return count < 1 ? 1 : count > 8 ? 8 : (unsigned)count;
}

int options_parse(struct options *options, int argc, char **argv)
{
  int option;

  *options = (struct options){
      .producers = 2,
      .consumers = cpu_count(),
      .block_bytes = 128u << 10,
  };
  while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
    int status = parse_one(options, option);

    if (status >= 0)
      return status;
  }
  options->paths = argv + optind;
  options->path_count = (size_t)(argc - optind);
  return settle(options);
}
