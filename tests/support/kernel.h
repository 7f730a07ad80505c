/*
 * What the kernel under a test must have. A test that cannot run says why and exits 77, which ctest
 * shows as skipped; a missing feature is never turned into a pass.
 */
#ifndef SQCQ_TESTS_SUPPORT_KERNEL_H
#define SQCQ_TESTS_SUPPORT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Print "SKIP: <why>" and exit 77. Before cmocka runs, so that the whole program is skipped. */
void test_skip(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Skip unless io_uring_setup works here. */
void require_io_uring(void);

/* Skip unless the effective user is root. */
void require_root(void);

/* Skip unless the kernel tells of a mutex whose owner has ended: qemu's user mode does not. */
void require_robust_mutexes(void);

/* 0 where a ring with these IORING_SETUP_* can be made, else what io_uring_setup says: -errno.
 * SINGLE_ISSUER and friends are tried as given: no flag is added. */
int kernel_try_setup(uint32_t setup_flags);

/* Skip unless such a ring can be made. */
void require_setup(uint32_t setup_flags, const char *name);

/* Of uname: major * 1000 + minor, 6.1 is 6001. For numbers in reports and for known defects of a
 * kernel; whether it has a feature is found out by trying. */
unsigned kernel_version(void);

#endif
