/*
 * A temporary directory for a test, and files whose bytes say where they belong.
 *
 * A failure here is the machine's, not the library's: it is printed and the program ends.
 */
#ifndef SQCQ_TESTS_SUPPORT_TEMP_H
#define SQCQ_TESTS_SUPPORT_TEMP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct temp_dir {
  char path[PATH_MAX];
};

/* In TMPDIR or /tmp. remove takes everything in it along. */
void temp_dir_make(struct temp_dir *dir);
void temp_dir_remove(struct temp_dir *dir);

/* The same as a cmocka fixture: *state is a struct temp_dir. */
int temp_setup(void **state);
int temp_teardown(void **state);

/* The path of a file in it, to be freed. */
char *temp_path(const struct temp_dir *dir, const char *name);

/* Make a file of these bytes, or of `size` zeros where data is NULL. Returns an O_RDWR descriptor.
 * */
int temp_file(const struct temp_dir *dir, const char *name, const void *data, size_t size);

/* A stamped file: each 4 KiB page starts with its index (64 bits, in the machine's order); the
 * bytes behind it depend on `tag` and their place, so pages, files and shifts are told apart.
 * Returns an O_RDONLY descriptor. */
#define STAMP_PAGE 4096u
int temp_file_stamped(const struct temp_dir *dir, const char *name, uint64_t pages, uint64_t tag);

/* The byte at this offset of a stamped file; the index at the start of a page. */
uint8_t stamp_byte(uint64_t tag, uint64_t offset);
uint64_t stamp_index(const void *page);

/* Whether these are the bytes of a stamped file at this offset. */
bool stamp_matches(const void *data, uint64_t tag, uint64_t offset, size_t length);

#endif
