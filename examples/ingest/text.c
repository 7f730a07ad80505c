/*
 * Strings. No shared state.
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_free(struct text *text)
{
  free(text->data);
  *text = (struct text){0};
}

char *text_reserve(struct text *text, size_t more)
{
  if (text->room - text->length < more) {
    size_t room = text->room == 0 ? 4096 : text->room;

    while (room - text->length < more)
      room *= 2;
    char *data = realloc(text->data, room);
    if (data == NULL) {
      fputs("sqcq-ingest: out of memory\n", stderr);
      exit(1);
    }
    text->data = data;
    text->room = room;
  }
  return text->data + text->length;
}

void text_add(struct text *text, const char *data, size_t length)
{
  memcpy(text_reserve(text, length), data, length);
  text->length += length;
}

void text_adds(struct text *text, const char *string)
{
  text_add(text, string, strlen(string));
}

void text_number(struct text *text, uint64_t number)
{
  char digits[20];
  size_t n = sizeof digits;

  do {
    digits[--n] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  text_add(text, digits + n, sizeof digits - n);
}

void text_hex64(struct text *text, uint64_t number)
{
  char *out = text_reserve(text, 16);

  for (unsigned i = 0; i < 16; i++)
    out[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
  text->length += 16;
}

void text_format(struct text *text, const char *format, ...)
{
  va_list arguments;

  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0)
    return;
  char *out = text_reserve(text, (size_t)length + 1);
  va_start(arguments, format);
  (void)vsnprintf(out, (size_t)length + 1, format, arguments);
  va_end(arguments);
  text->length += (size_t)length;
}

void text_line_escaped(struct text *text, const char *data, size_t length)
{
  char *out = text_reserve(text, 2 * length);
  size_t n = 0;

  for (size_t i = 0; i < length; i++) {
    if (data[i] == '\n' || data[i] == '\\') {
      out[n++] = '\\';
      out[n++] = data[i] == '\n' ? 'n' : '\\';
    } else {
      out[n++] = data[i];
    }
  }
  text->length += n;
}

void text_visible(struct text *text, const char *data, size_t length)
{
  char *out = text_reserve(text, 4 * length);
  size_t n = 0;

  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)data[i];

    if (byte < 0x20 || byte == 0x7f) {
      out[n++] = '\\';
      out[n++] = 'x';
      out[n++] = "0123456789abcdef"[byte >> 4];
      out[n++] = "0123456789abcdef"[byte & 15];
    } else {
      out[n++] = data[i];
    }
  }
  text->length += n;
}

/* The length of the UTF-8 character at data, 0 where there is none: no overlong forms, no
 * surrogates, nothing over U+10FFFF. */
static size_t utf8_length(const unsigned char *data, size_t length)
{
  unsigned char first = data[0];
  unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
  size_t need;

  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    need = 2;
  else if (first >= 0xe0 && first <= 0xef)
    need = 3;
  else if (first >= 0xf0 && first <= 0xf4)
    need = 4;
  else
    return 0;
  if (first == 0xe0)
    low = 0xa0;
  else if (first == 0xed)
    high = 0x9f;
  else if (first == 0xf0)
    low = 0x90;
  else if (first == 0xf4)
    high = 0x8f;
  if (length < need || data[1] < low || data[1] > high)
    return 0;
  for (size_t i = 2; i < need; i++) {
    if ((data[i] & 0xc0) != 0x80)
      return 0;
  }
  return need;
}

bool text_is_utf8(const char *data, size_t length)
{
  const unsigned char *bytes = (const unsigned char *)data;

  for (size_t i = 0; i < length;) {
    size_t n = utf8_length(bytes + i, length - i);

    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

void text_json(struct text *text, const char *data, size_t length)
{
  const unsigned char *bytes = (const unsigned char *)data;

  text_add(text, "\"", 1);
  for (size_t i = 0; i < length;) {
    size_t n = utf8_length(bytes + i, length - i);

    if (n == 0) {
      text_add(text, "\xef\xbf\xbd", 3);
      n = 1;
    } else if (bytes[i] == '"' || bytes[i] == '\\') {
      text_add(text, "\\", 1);
      text_add(text, data + i, 1);
    } else if (bytes[i] < 0x20 || bytes[i] == 0x7f) {
      text_format(text, "\\u%04x", bytes[i]);
    } else {
      text_add(text, data + i, n);
    }
    i += n;
  }
  text_add(text, "\"", 1);
}

void text_hex(struct text *text, const char *data, size_t length)
{
  char *out = text_reserve(text, 2 * length);

  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)data[i];

    out[2 * i] = "0123456789abcdef"[byte >> 4];
    out[2 * i + 1] = "0123456789abcdef"[byte & 15];
  }
  text->length += 2 * length;
}

void text_size(struct text *text, double bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  unsigned unit = 0;

  while (bytes >= 1024 && unit < 6) {
    bytes /= 1024;
    unit++;
  }
  text_format(text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}
