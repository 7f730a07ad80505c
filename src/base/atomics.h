/*
 * Atomic operations with their order in the name. The only file that includes <stdatomic.h>: so
 * each ordered access in the sources says which order it has, and none has the default one by
 * accident.
 */
#ifndef SQCQ_BASE_ATOMICS_H
#define SQCQ_BASE_ATOMICS_H

#include <stdatomic.h>

/* The destructive interference size of x86_64 and of most aarch64 cores. */
#define SQCQ_CACHELINE 64

#define sqcq__load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define sqcq__load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define sqcq__load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)

#define sqcq__store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define sqcq__store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define sqcq__store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define sqcq__swap_relaxed(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define sqcq__swap_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define sqcq__swap_seq(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)

#define sqcq__add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define sqcq__add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sqcq__add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define sqcq__sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define sqcq__sub_seq(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define sqcq__or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define sqcq__or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define sqcq__and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)

/* Compare and swap, strong. On failure *expected holds what was there, read with acquire (relaxed
 * for the relaxed one). */
#define sqcq__cas_relaxed(p, expected, v)                                                          \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed,              \
                                          memory_order_relaxed)
#define sqcq__cas_acquire(p, expected, v)                                                          \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,              \
                                          memory_order_acquire)
#define sqcq__cas_release(p, expected, v)                                                          \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release,              \
                                          memory_order_relaxed)
#define sqcq__cas_acq_rel(p, expected, v)                                                          \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel,              \
                                          memory_order_acquire)

#define sqcq__cas_seq(p, expected, v)                                                              \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst,              \
                                          memory_order_acquire)

/* A counter with one writer: no locked instruction; a reader sees a recent value. */
#define sqcq__count(p, n) sqcq__store_relaxed((p), sqcq__load_relaxed(p) + (n))

#endif
