/* See flags.h. */
#include "flags.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *bench_name = "bench";

void bench_die(const char *what, int error)
{
  fprintf(stderr, "%s: %s%s%s\n", bench_name, what, error ? ": " : "",
          error ? strerror(abs(error)) : "");
  _exit(BENCH_FAILED);
}

void bench_die_setup(const char *what, int error)
{
  int code = abs(error);

  if (code != ENOSYS && code != EPERM)
    bench_die(what, error);
  fprintf(stderr, "%s: %s: no io_uring here: %s\n", bench_name, what, strerror(code));
  _exit(BENCH_SKIPPED);
}

void bench_usage(const struct bench_flag *flags, size_t count)
{
  fprintf(stderr, "use: %s with these flags, each with a value:\n", bench_name);
  for (size_t i = 0; i < count; i++)
    fprintf(stderr, "  --%-14s %s%s%s\n", flags[i].name, flags[i].choices ? flags[i].choices : "",
            flags[i].choices ? "  " : "", flags[i].help);
  exit(BENCH_FAILED);
}

/* The index of `text` in "a|b|c"; false: it is none of them. */
static bool choice(const char *choices, const char *text, uint64_t *idx)
{
  size_t length = strlen(text);

  *idx = 0;
  for (const char *at = choices; at; (*idx)++) {
    const char *end = strchr(at, '|');
    size_t here = end ? (size_t)(end - at) : strlen(at);

    if (here == length && !memcmp(at, text, length))
      return true;
    at = end ? end + 1 : NULL;
  }
  return false;
}

static bool number(const struct bench_flag *flag, const char *text, uint64_t *value)
{
  char *end;

  if (flag->choices)
    return choice(flag->choices, text, value);
  errno = 0;
  *value = strtoull(text, &end, 0);
  return !errno && *text >= '0' && *text <= '9' && !*end && *value >= flag->least &&
         *value <= flag->most;
}

static void set_flag(const struct bench_flag *flag, const char *text)
{
  uint64_t value = 0;

  if (flag->text) {
    *flag->text = text;
    return;
  }
  if (!number(flag, text, &value)) {
    fprintf(stderr, "%s: --%s %s: ", bench_name, flag->name, text);
    if (flag->choices)
      fprintf(stderr, "one of %s\n", flag->choices);
    else
      fprintf(stderr, "a number from %llu to %llu\n", (unsigned long long)flag->least,
              (unsigned long long)flag->most);
    exit(BENCH_FAILED);
  }
  if (flag->wide)
    *flag->wide = value;
  else
    *flag->number = (uint32_t)value;
}

void bench_flags(int argc, char **argv, const struct bench_flag *flags, size_t count)
{
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    const char *value;
    size_t length;
    size_t f;

    if (strncmp(name, "--", 2))
      bench_usage(flags, count);
    name += 2;
    length = strcspn(name, "=");
    for (f = 0; f < count; f++)
      if (strlen(flags[f].name) == length && !memcmp(flags[f].name, name, length))
        break;
    value = name[length] ? name + length + 1 : argv[++i]; /* argv ends with a NULL */
    if (f == count || !value)
      bench_usage(flags, count);
    set_flag(&flags[f], value);
  }
}
