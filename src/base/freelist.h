/*
 * A bounded set of free indexes. Doorway: any thread -> any thread.
 *
 * A stack: `head` holds a count of all changes in its upper half, so that a head that was taken and
 * put back meanwhile is not mistaken for an unchanged one (ABA), and index + 1 in its lower half, 0
 * for empty. Each index has its link in memory of the owner's, which lives as long as the list:
 * reading the link of an index that somebody just took gives a stale number and then a failed CAS,
 * never a bad access.
 *
 * Lock-free: a CAS fails only because another one succeeded.
 */
#ifndef SQCQ_BASE_FREELIST_H
#define SQCQ_BASE_FREELIST_H

#include "base/atomics.h"

#include <stddef.h>
#include <stdint.h>

/* Whoever embeds it aligns it to a line, and may go on in that line with what belongs to it. */
struct sqcq__freelist {
  _Atomic uint64_t head; /* W, R: any; pair(freelist) */
  unsigned char *links;  /* constant: link of index 0 */
  size_t stride;         /* constant: bytes from link to link */
};

/* The list starts empty. Each link is an _Atomic uint32_t. */
void sqcq__freelist_init(struct sqcq__freelist *list, _Atomic uint32_t *first_link, size_t stride);

/* Take up to count indexes into out; returns how many. */
uint32_t sqcq__freelist_take(struct sqcq__freelist *list, uint32_t *out, uint32_t count);

/* Put `count` indexes, which are the caller's alone, with one CAS. Sequentially consistent, for those
 * who look afterwards whether somebody waits for them. */
void sqcq__freelist_put(struct sqcq__freelist *list, const uint32_t *indexes, uint32_t count);

/* About how many there are, counted up to max; exact while nobody else changes the list. Whether it
 * is 0 is exact, and a sequentially consistent look. */
uint32_t sqcq__freelist_count(const struct sqcq__freelist *list, uint32_t max);

#endif
