/*
 * A growing string, and the ways a path is written: as it is, escaped for one line of text, for a
 * terminal, as JSON. No shared state: each thread has strings of its own.
 */
#ifndef INGEST_TEXT_H
#define INGEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
  char *data;
  size_t length;
  size_t room;
};

void text_free(struct text *text);

/* Room for `more` bytes at the end; ends the program where there is no memory. The bytes are there
 * to be written, not yet counted in length. */
char *text_reserve(struct text *text, size_t more);

void text_add(struct text *text, const char *data, size_t length);
void text_adds(struct text *text, const char *string);
void text_number(struct text *text, uint64_t number);
void text_hex64(struct text *text, uint64_t number);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Newline as \n and backslash as \\, the rest as it is: the line has to start with a backslash to
 * say so (the rule of GNU md5sum, and of xxhsum from 0.8.2 on). */
void text_line_escaped(struct text *text, const char *data, size_t length);

/* For people: control bytes as \xHH, so that a name can neither drive a terminal nor look like a
 * second line. */
void text_visible(struct text *text, const char *data, size_t length);

/* Whether these bytes are UTF-8 as RFC 3629 has it. */
bool text_is_utf8(const char *data, size_t length);

/* A JSON string with its quotes; each byte that is no part of UTF-8 becomes U+FFFD. */
void text_json(struct text *text, const char *data, size_t length);

/* Bytes as hexadecimal digits. */
void text_hex(struct text *text, const char *data, size_t length);

/* 1234567 as "1.2 MiB". */
void text_size(struct text *text, double bytes);

#endif
