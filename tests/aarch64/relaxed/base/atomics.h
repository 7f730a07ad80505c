/*
 * Comes before src/base/atomics.h in the include path of aarch64.relaxed's objects alone: the same sources with
 * no order but that of stores among each other. tests/aarch64/orders has to find fault with each doorway.
 */
#ifndef SQCQ_TESTS_AARCH64_RELAXED_ATOMICS_H
#define SQCQ_TESTS_AARCH64_RELAXED_ATOMICS_H

#pragma GCC system_header /* #include_next is no C11 */
#include_next "base/atomics.h"

#define RELAXED_FENCE() __extension__({ __asm__ volatile("dmb ishst" ::: "memory"); })

#undef sqcq__load_acquire
#undef sqcq__load_seq
#undef sqcq__store_release
#undef sqcq__store_seq
#undef sqcq__swap_seq
#undef sqcq__add_seq
#undef sqcq__sub_seq
#undef sqcq__or_seq
#undef sqcq__cas_acquire
#undef sqcq__cas_acq_rel
#undef sqcq__cas_seq
#undef atomic_thread_fence

#define sqcq__load_acquire(p) sqcq__load_relaxed(p)
#define sqcq__load_seq(p) sqcq__load_relaxed(p)
#define sqcq__store_release(p, v) (RELAXED_FENCE(), sqcq__store_relaxed((p), (v)))
#define sqcq__store_seq(p, v) (RELAXED_FENCE(), sqcq__store_relaxed((p), (v)))
#define sqcq__swap_seq(p, v) sqcq__swap_relaxed((p), (v))
#define sqcq__add_seq(p, v) sqcq__add_relaxed((p), (v))
#define sqcq__sub_seq(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define sqcq__or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define sqcq__cas_acquire(p, expected, v) sqcq__cas_relaxed((p), (expected), (v))
#define sqcq__cas_acq_rel(p, expected, v) sqcq__cas_relaxed((p), (expected), (v))
#define sqcq__cas_seq(p, expected, v) sqcq__cas_relaxed((p), (expected), (v))
#define atomic_thread_fence(order) RELAXED_FENCE()

#endif
