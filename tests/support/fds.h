/*
 * Which descriptors are open, to show that none is left behind.
 *
 *   struct fds before;
 *   fds_look(&before);
 *   ...
 *   assert_true(fds_same(&before));    prints those that are too many or too few
 *
 * The whole process is looked at: no other thread may open or close meanwhile.
 */
#ifndef SQCQ_TESTS_SUPPORT_FDS_H
#define SQCQ_TESTS_SUPPORT_FDS_H

#include <stdbool.h>
#include <stdint.h>

#define FDS_MAX 65536

struct fds {
  uint64_t open[FDS_MAX / 64]; /* a bit each */
  uint32_t count;
};

uint32_t fds_count(void);
void fds_look(struct fds *fds);

/* Whether the same numbers are open as then. */
bool fds_same(const struct fds *before);

#endif
