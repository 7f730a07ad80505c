/*
 * Flags of the programs: "--name value" or "--name=value". And how a program says that
 * it cannot go on.
 */
#ifndef BENCH_FLAGS_H
#define BENCH_FLAGS_H

#include <stddef.h>
#include <stdint.h>

/* Exit statuses besides 0. */
#define BENCH_WRONG 1    /* the work came out wrong */
#define BENCH_FAILED 2   /* bad flags, or a call failed */
#define BENCH_SKIPPED 77 /* no io_uring to be had here */

/* The value goes to the one pointer that is not NULL: a number from least to most, or text; with
 * choices ("spin|sleep|busy") the number is the index of the word. */
struct bench_flag {
  const char *name;
  uint32_t *number;
  uint64_t *wide;
  const char **text;
  const char *choices;
  uint64_t least;
  uint64_t most;
  const char *help;
};

/* clang-format off */
#define BENCH_FLAG_NUMBER(name, number, least, most, help) \
  {name, number, NULL, NULL, NULL, least, most, help}
#define BENCH_FLAG_WIDE(name, wide, least, most, help) \
  {name, NULL, wide, NULL, NULL, least, most, help}
#define BENCH_FLAG_CHOICE(name, number, choices, help) \
  {name, number, NULL, NULL, choices, 0, 0, help}
#define BENCH_FLAG_TEXT(name, text, help) \
  {name, NULL, NULL, text, NULL, 0, 0, help}
/* clang-format on */

/* For messages, and the line; W: main before the threads start. */
extern const char *bench_name;

/* Parse `flags`; ends the program on a mistake. */
void bench_flags(int argc, char **argv, const struct bench_flag *flags, size_t count);

/* Say how the program is used and end it. */
void bench_usage(const struct bench_flag *flags, size_t count) __attribute__((noreturn));

/* Say what failed and end the program. error: an errno of either sign, or 0. */
void bench_die(const char *what, int error) __attribute__((noreturn));
/* The same for making a ring: BENCH_SKIPPED where io_uring itself cannot be had. */
void bench_die_setup(const char *what, int error) __attribute__((noreturn));

#endif
