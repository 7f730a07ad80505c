/*
 * Comes before src/base/atomics.h in the include path of the weak litmus programs, and of the library that
 * they link, alone: the same sources without the order of a store before a later load. Everything else is
 * as it was.
 *
 * On x86_64 a store passes a later load only where it is a plain one. So sequentially consistent stores
 * are releases here, fences hold the compiler alone, and the RMW by which somebody announces itself is a
 * load and a store: in a litmus each such word has one writer at a time. The RMWs by which something is
 * published stay: on x86_64 each is a full barrier whatever its order says, and the other side's is the
 * one that is missing. Looks are relaxed: that is nothing on x86_64; on aarch64 a load-acquire would not
 * pass the store-release.
 */
#ifndef SQCQ_TESTS_LITMUS_WEAK_ATOMICS_H
#define SQCQ_TESTS_LITMUS_WEAK_ATOMICS_H

#pragma GCC system_header /* #include_next is no C11 */
#include_next "base/atomics.h"

#define LITMUS_WEAK 1

#undef sqcq__load_seq
#undef sqcq__store_seq
#undef sqcq__add_seq
#undef atomic_thread_fence

#define sqcq__load_seq(p) sqcq__load_relaxed(p)
#define sqcq__store_seq(p, v) sqcq__store_release((p), (v))
#define sqcq__add_seq(p, v)                                                                        \
  __extension__({                                                                                  \
    __auto_type weak_before_ = sqcq__load_relaxed(p);                                              \
    sqcq__store_release((p), weak_before_ + (v));                                                  \
    weak_before_;                                                                                  \
  })
#define atomic_thread_fence(order) atomic_signal_fence(order)

#endif
