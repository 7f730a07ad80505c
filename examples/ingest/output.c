/*
 * Lines for standard output. Doorway: consumers.
 */
#include "output.h"

#include "slots.h"
#include "term.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* xxhsum -c gives up a list at a line of more than 32 KiB: this leaves room for its other parts. */
#define LISTED_PATH_MAX 32000u

void output_init(struct output *output)
{
  pthread_mutex_init(&output->lock, NULL);
  atomic_init(&output->error, 0);
  atomic_init(&output->abandoned, false);
}

unsigned output_write(struct output *output, struct text *lines, bool *failed)
{
  const char *data = lines->data;
  size_t left = lines->length;
  unsigned calls = 0;

  lines->length = 0;
  if (left == 0)
    return 0;
  term_before_output();
  pthread_mutex_lock(&output->lock);
  while (left > 0 && atomic_load(&output->error) == 0 && !atomic_load(&output->abandoned)) {
    ssize_t n = write(STDOUT_FILENO, data, left);

    calls++;
    if (n >= 0) {
      data += n;
      left -= (size_t)n;
    } else if (errno != EINTR) { /* EINTR: main wants us to look at `abandoned` */
      atomic_store(&output->error, errno);
      *failed = true;
    }
  }
  pthread_mutex_unlock(&output->lock);
  return calls;
}

static void json_line(struct text *lines, const struct options *options, const struct slot *slot,
                      const struct text *path)
{
  text_adds(lines, "{\"type\":\"file\",\"path\":");
  text_json(lines, path->data, path->length);
  if (!text_is_utf8(path->data, path->length)) {
    text_adds(lines, ",\"path_hex\":\"");
    text_hex(lines, path->data, path->length);
    text_adds(lines, "\"");
  }
  text_adds(lines, ",\"bytes\":");
  text_number(lines, slot->total);
  if (options->op == OP_LINES) {
    text_adds(lines, ",\"lines\":");
    text_number(lines, slot->lines);
  } else if (options->op == OP_XXH3) {
    text_adds(lines, ",\"xxh3\":\"");
    text_hex64(lines, slot->digest);
    text_adds(lines, "\"");
  }
  if (options->direct)
    text_adds(lines, slot->direct ? ",\"direct\":true" : ",\"direct\":false");
  text_adds(lines, "}\n");
}

bool output_line(struct text *lines, const struct options *options, const struct slot *slot,
                 struct text *path)
{
  path->length = 0;
  dir_path(path, slot->dir, slot->name, slot->name_bytes);
  if (options->json) {
    json_line(lines, options, slot, path);
    return true;
  }
  bool escaped = memchr(path->data, '\n', path->length) != NULL;

  if (options->op == OP_XXH3) {
    if (path->length > (escaped ? LISTED_PATH_MAX / 2 : LISTED_PATH_MAX))
      return false;
    text_adds(lines, escaped ? "\\XXH3 (" : "XXH3 (");
  } else {
    if (escaped)
      text_adds(lines, "\\");
    text_number(lines, options->op == OP_LINES ? slot->lines : slot->total);
    text_adds(lines, "  ");
  }
  if (escaped)
    text_line_escaped(lines, path->data, path->length);
  else
    text_add(lines, path->data, path->length);
  if (options->op == OP_XXH3) {
    text_adds(lines, ") = ");
    text_hex64(lines, slot->digest);
  }
  text_adds(lines, "\n");
  return true;
}
