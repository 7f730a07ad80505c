/*
 * ck_pr.h for ThreadSanitizer builds, and for these only: first in the include path, before ck's
 * own.
 *
 * ck is inline assembly, which ThreadSanitizer does not see; its builtins port makes plain volatile
 * accesses, which it takes for races. Here the operations that ck's headers use become atomics that
 * it understands, with no more order than ck asks for:
 *
 *   load            acquire: ck relies on control dependencies, which C11 does not order
 *   store, RMW      release if this thread has run a store-side fence of ck since its last ck store
 *                   or RMW that succeeded, else relaxed: a fence that is missing stays visible
 *   fas             also acquire, since what it took out is then followed
 *   fences          as they were, for the processor; a store-side one arms the next store
 *   stall           sched_yield(): spinning under ThreadSanitizer takes for ever
 *
 * What is not mapped falls back to ck's own: a load or store is then reported, which is loud; an
 * RMW would be sequentially consistent, which may hide something. The fast paths of ck's event
 * counts, all that we use of it, need nothing but what is mapped, save ck_ec32_inc() and
 * single-producer mode, which are inline assembly of their own: use ck_ec32_add().
 *
 * This is honest only as long as sqcq's own sources use C11 atomics and never ck_pr_*.
 */
#ifndef SQCQ_TESTS_TSAN_CK_PR_H
#define SQCQ_TESTS_TSAN_CK_PR_H

#ifdef CK_PR_H
#error "ck's own ck_pr.h was included before this one: it must come first in the include path"
#endif

#undef CK_USE_CC_BUILTINS
#define CK_USE_CC_BUILTINS 1
#include_next <ck_pr.h>

#include <sched.h>

/* ------------------------------------------------------------------------- */
/* Fences                                                                    */
/* ------------------------------------------------------------------------- */

static __thread int ckt_armed __attribute__((unused));

/* The order of the next store; it takes the fence that armed it along. */
#define CKT_TAKE()                                                                                 \
  __extension__({                                                                                  \
    int ckt_a_ = ckt_armed;                                                                        \
    ckt_armed = 0;                                                                                 \
    ckt_a_;                                                                                        \
  })
#define CKT_ARM() ((void)(ckt_armed = 1))

/* In parentheses it is the function, not the macro. */
#define ck_pr_fence_store() ((ck_pr_fence_store)(), CKT_ARM())
#define ck_pr_fence_store_atomic() ((ck_pr_fence_store_atomic)(), CKT_ARM())
#define ck_pr_fence_atomic() ((ck_pr_fence_atomic)(), CKT_ARM())
#define ck_pr_fence_atomic_store() ((ck_pr_fence_atomic_store)(), CKT_ARM())
#define ck_pr_fence_load_store() ((ck_pr_fence_load_store)(), CKT_ARM())
#define ck_pr_fence_load_atomic() ((ck_pr_fence_load_atomic)(), CKT_ARM())
#define ck_pr_fence_release() ((ck_pr_fence_release)(), CKT_ARM())
#define ck_pr_fence_acqrel() ((ck_pr_fence_acqrel)(), CKT_ARM())
#define ck_pr_fence_memory() ((ck_pr_fence_memory)(), CKT_ARM())
#define ck_pr_fence_unlock() ((ck_pr_fence_unlock)(), CKT_ARM())
#define ck_pr_fence_strict_store() ((ck_pr_fence_strict_store)(), CKT_ARM())
#define ck_pr_fence_strict_store_store() ((ck_pr_fence_strict_store_store)(), CKT_ARM())
#define ck_pr_fence_strict_store_atomic() ((ck_pr_fence_strict_store_atomic)(), CKT_ARM())
#define ck_pr_fence_strict_atomic() ((ck_pr_fence_strict_atomic)(), CKT_ARM())
#define ck_pr_fence_strict_atomic_atomic() ((ck_pr_fence_strict_atomic_atomic)(), CKT_ARM())
#define ck_pr_fence_strict_atomic_store() ((ck_pr_fence_strict_atomic_store)(), CKT_ARM())
#define ck_pr_fence_strict_load_store() ((ck_pr_fence_strict_load_store)(), CKT_ARM())
#define ck_pr_fence_strict_load_atomic() ((ck_pr_fence_strict_load_atomic)(), CKT_ARM())
#define ck_pr_fence_strict_release() ((ck_pr_fence_strict_release)(), CKT_ARM())
#define ck_pr_fence_strict_acqrel() ((ck_pr_fence_strict_acqrel)(), CKT_ARM())
#define ck_pr_fence_strict_memory() ((ck_pr_fence_strict_memory)(), CKT_ARM())
#define ck_pr_fence_strict_unlock() ((ck_pr_fence_strict_unlock)(), CKT_ARM())
/* fence_load, load_load, load_depends, atomic_load, store_load, acquire, lock: nothing to arm. */

#define ck_pr_stall() ((void)sched_yield())

/* ------------------------------------------------------------------------- */
/* Loads and stores: ck_pr_load_uint() and the others expand to these        */
/* ------------------------------------------------------------------------- */

#undef CK_PR_LOAD_SAFE
#undef CK_PR_LOAD_PTR_SAFE
#undef CK_PR_STORE_SAFE

#define CK_PR_LOAD_SAFE(S, T) __atomic_load_n((S), __ATOMIC_ACQUIRE)
#define CK_PR_LOAD_PTR_SAFE(S) __atomic_load_n((S), __ATOMIC_ACQUIRE)

#define CK_PR_STORE_SAFE(D, V, T)                                                                  \
  __extension__({                                                                                  \
    __typeof__(D) ckt_d_ = (D);                                                                    \
    __typeof__(*ckt_d_) ckt_v_ = (__typeof__(*ckt_d_))(V);                                         \
    if (CKT_TAKE())                                                                                \
      __atomic_store_n(ckt_d_, ckt_v_, __ATOMIC_RELEASE);                                          \
    else                                                                                           \
      __atomic_store_n(ckt_d_, ckt_v_, __ATOMIC_RELAXED);                                          \
    (void)0;                                                                                       \
  })

#undef ck_pr_store_ptr_unsafe
#define ck_pr_store_ptr_unsafe(D, V)                                                               \
  CK_PR_STORE_SAFE((void **)(void *)(D), CK_CC_DECONST_PTR(V), ptr)

/* There are no such atomics. */
#ifdef ck_pr_load_double
#undef ck_pr_load_double
#undef ck_pr_store_double
#define ck_pr_load_double(S) ck_pr_md_load_double(S)
#define ck_pr_store_double(D, V) ck_pr_md_store_double((D), (V))
#endif

/* ------------------------------------------------------------------------- */
/* Compare and swap; *value gets what was there                              */
/* ------------------------------------------------------------------------- */

/* Only a swap that succeeded uses the fence up. */
#define CKT_CAS(TYPE, D, C, S, VALUE)                                                              \
  __extension__({                                                                                  \
    TYPE ckt_c_ = (C);                                                                             \
    TYPE ckt_s_ = (S);                                                                             \
    _Bool ckt_done_;                                                                               \
    if (ckt_armed)                                                                                 \
      ckt_done_ = __atomic_compare_exchange_n((TYPE *)(D), &ckt_c_, ckt_s_, 0, __ATOMIC_RELEASE,   \
                                              __ATOMIC_RELAXED);                                   \
    else                                                                                           \
      ckt_done_ = __atomic_compare_exchange_n((TYPE *)(D), &ckt_c_, ckt_s_, 0, __ATOMIC_RELAXED,   \
                                              __ATOMIC_RELAXED);                                   \
    if (ckt_done_)                                                                                 \
      ckt_armed = 0;                                                                               \
    VALUE;                                                                                         \
    ckt_done_;                                                                                     \
  })

#define ck_pr_cas_char(D, C, S) CKT_CAS(char, (D), (C), (S), (void)0)
#define ck_pr_cas_int(D, C, S) CKT_CAS(int, (D), (C), (S), (void)0)
#define ck_pr_cas_uint(D, C, S) CKT_CAS(unsigned int, (D), (C), (S), (void)0)
#define ck_pr_cas_64(D, C, S) CKT_CAS(uint64_t, (D), (C), (S), (void)0)
#define ck_pr_cas_32(D, C, S) CKT_CAS(uint32_t, (D), (C), (S), (void)0)
#define ck_pr_cas_16(D, C, S) CKT_CAS(uint16_t, (D), (C), (S), (void)0)
#define ck_pr_cas_8(D, C, S) CKT_CAS(uint8_t, (D), (C), (S), (void)0)
#define ck_pr_cas_ptr(D, C, S) CKT_CAS(void *, (void *)(D), (C), (S), (void)0)

#define CKT_CAS_VALUE(TYPE, D, C, S, V) CKT_CAS(TYPE, (D), (C), (S), *(TYPE *)(V) = ckt_c_)

#define ck_pr_cas_char_value(D, C, S, V) CKT_CAS_VALUE(char, (D), (C), (S), (V))
#define ck_pr_cas_int_value(D, C, S, V) CKT_CAS_VALUE(int, (D), (C), (S), (V))
#define ck_pr_cas_uint_value(D, C, S, V) CKT_CAS_VALUE(unsigned int, (D), (C), (S), (V))
#define ck_pr_cas_64_value(D, C, S, V) CKT_CAS_VALUE(uint64_t, (D), (C), (S), (V))
#define ck_pr_cas_32_value(D, C, S, V) CKT_CAS_VALUE(uint32_t, (D), (C), (S), (V))
#define ck_pr_cas_16_value(D, C, S, V) CKT_CAS_VALUE(uint16_t, (D), (C), (S), (V))
#define ck_pr_cas_8_value(D, C, S, V) CKT_CAS_VALUE(uint8_t, (D), (C), (S), (V))
#define ck_pr_cas_ptr_value(D, C, S, V) CKT_CAS_VALUE(void *, (void *)(D), (C), (S), (void *)(V))

/* ------------------------------------------------------------------------- */
/* Swap: acquire, and release if armed                                       */
/* ------------------------------------------------------------------------- */

#define CKT_FAS(TYPE, D, S)                                                                        \
  __extension__({                                                                                  \
    TYPE ckt_s_ = (S);                                                                             \
    CKT_TAKE() ? __atomic_exchange_n((TYPE *)(D), ckt_s_, __ATOMIC_ACQ_REL)                        \
               : __atomic_exchange_n((TYPE *)(D), ckt_s_, __ATOMIC_ACQUIRE);                       \
  })

#define ck_pr_fas_char(D, S) CKT_FAS(char, (D), (S))
#define ck_pr_fas_int(D, S) CKT_FAS(int, (D), (S))
#define ck_pr_fas_uint(D, S) CKT_FAS(unsigned int, (D), (S))
#define ck_pr_fas_64(D, S) CKT_FAS(uint64_t, (D), (S))
#define ck_pr_fas_32(D, S) CKT_FAS(uint32_t, (D), (S))
#define ck_pr_fas_16(D, S) CKT_FAS(uint16_t, (D), (S))
#define ck_pr_fas_8(D, S) CKT_FAS(uint8_t, (D), (S))
#define ck_pr_fas_ptr(D, S) CKT_FAS(void *, (void *)(D), (S))

/* ------------------------------------------------------------------------- */
/* Arithmetic: release if armed, else relaxed                                */
/* ------------------------------------------------------------------------- */

#define CKT_FETCH(OPERATION, TYPE, D, V)                                                           \
  __extension__({                                                                                  \
    TYPE ckt_v_ = (V);                                                                             \
    CKT_TAKE() ? __atomic_fetch_##OPERATION((TYPE *)(D), ckt_v_, __ATOMIC_RELEASE)                 \
               : __atomic_fetch_##OPERATION((TYPE *)(D), ckt_v_, __ATOMIC_RELAXED);                \
  })
#define CKT_DO(OPERATION, TYPE, D, V) ((void)CKT_FETCH(OPERATION, TYPE, D, V))

#define ck_pr_faa_char(D, V) CKT_FETCH(add, char, (D), (V))
#define ck_pr_faa_int(D, V) CKT_FETCH(add, int, (D), (V))
#define ck_pr_faa_uint(D, V) CKT_FETCH(add, unsigned int, (D), (V))
#define ck_pr_faa_64(D, V) CKT_FETCH(add, uint64_t, (D), (V))
#define ck_pr_faa_32(D, V) CKT_FETCH(add, uint32_t, (D), (V))
#define ck_pr_faa_16(D, V) CKT_FETCH(add, uint16_t, (D), (V))
#define ck_pr_faa_8(D, V) CKT_FETCH(add, uint8_t, (D), (V))
#define ck_pr_faa_ptr(D, V) ((void *)CKT_FETCH(add, uintptr_t, (void *)(D), (uintptr_t)(void *)(V)))

#define ck_pr_add_char(D, V) CKT_DO(add, char, (D), (V))
#define ck_pr_add_int(D, V) CKT_DO(add, int, (D), (V))
#define ck_pr_add_uint(D, V) CKT_DO(add, unsigned int, (D), (V))
#define ck_pr_add_64(D, V) CKT_DO(add, uint64_t, (D), (V))
#define ck_pr_add_32(D, V) CKT_DO(add, uint32_t, (D), (V))
#define ck_pr_add_16(D, V) CKT_DO(add, uint16_t, (D), (V))
#define ck_pr_add_8(D, V) CKT_DO(add, uint8_t, (D), (V))
#define ck_pr_add_ptr(D, V) CKT_DO(add, uintptr_t, (void *)(D), (uintptr_t)(void *)(V))

#define ck_pr_sub_char(D, V) CKT_DO(sub, char, (D), (V))
#define ck_pr_sub_int(D, V) CKT_DO(sub, int, (D), (V))
#define ck_pr_sub_uint(D, V) CKT_DO(sub, unsigned int, (D), (V))
#define ck_pr_sub_64(D, V) CKT_DO(sub, uint64_t, (D), (V))
#define ck_pr_sub_32(D, V) CKT_DO(sub, uint32_t, (D), (V))
#define ck_pr_sub_16(D, V) CKT_DO(sub, uint16_t, (D), (V))
#define ck_pr_sub_8(D, V) CKT_DO(sub, uint8_t, (D), (V))
#define ck_pr_sub_ptr(D, V) CKT_DO(sub, uintptr_t, (void *)(D), (uintptr_t)(void *)(V))

#define ck_pr_inc_char(D) CKT_DO(add, char, (D), 1)
#define ck_pr_inc_int(D) CKT_DO(add, int, (D), 1)
#define ck_pr_inc_uint(D) CKT_DO(add, unsigned int, (D), 1)
#define ck_pr_inc_64(D) CKT_DO(add, uint64_t, (D), 1)
#define ck_pr_inc_32(D) CKT_DO(add, uint32_t, (D), 1)
#define ck_pr_inc_16(D) CKT_DO(add, uint16_t, (D), 1)
#define ck_pr_inc_8(D) CKT_DO(add, uint8_t, (D), 1)
#define ck_pr_inc_ptr(D) CKT_DO(add, uintptr_t, (void *)(D), 1)

#define ck_pr_dec_char(D) CKT_DO(sub, char, (D), 1)
#define ck_pr_dec_int(D) CKT_DO(sub, int, (D), 1)
#define ck_pr_dec_uint(D) CKT_DO(sub, unsigned int, (D), 1)
#define ck_pr_dec_64(D) CKT_DO(sub, uint64_t, (D), 1)
#define ck_pr_dec_32(D) CKT_DO(sub, uint32_t, (D), 1)
#define ck_pr_dec_16(D) CKT_DO(sub, uint16_t, (D), 1)
#define ck_pr_dec_8(D) CKT_DO(sub, uint8_t, (D), 1)
#define ck_pr_dec_ptr(D) CKT_DO(sub, uintptr_t, (void *)(D), 1)

#define ck_pr_and_char(D, V) CKT_DO(and, char, (D), (V))
#define ck_pr_and_int(D, V) CKT_DO(and, int, (D), (V))
#define ck_pr_and_uint(D, V) CKT_DO(and, unsigned int, (D), (V))
#define ck_pr_and_64(D, V) CKT_DO(and, uint64_t, (D), (V))
#define ck_pr_and_32(D, V) CKT_DO(and, uint32_t, (D), (V))
#define ck_pr_and_16(D, V) CKT_DO(and, uint16_t, (D), (V))
#define ck_pr_and_8(D, V) CKT_DO(and, uint8_t, (D), (V))
#define ck_pr_and_ptr(D, V) CKT_DO(and, uintptr_t, (void *)(D), (uintptr_t)(void *)(V))

#define ck_pr_or_char(D, V) CKT_DO(or, char, (D), (V))
#define ck_pr_or_int(D, V) CKT_DO(or, int, (D), (V))
#define ck_pr_or_uint(D, V) CKT_DO(or, unsigned int, (D), (V))
#define ck_pr_or_64(D, V) CKT_DO(or, uint64_t, (D), (V))
#define ck_pr_or_32(D, V) CKT_DO(or, uint32_t, (D), (V))
#define ck_pr_or_16(D, V) CKT_DO(or, uint16_t, (D), (V))
#define ck_pr_or_8(D, V) CKT_DO(or, uint8_t, (D), (V))
#define ck_pr_or_ptr(D, V) CKT_DO(or, uintptr_t, (void *)(D), (uintptr_t)(void *)(V))

#define ck_pr_xor_char(D, V) CKT_DO(xor, char, (D), (V))
#define ck_pr_xor_int(D, V) CKT_DO(xor, int, (D), (V))
#define ck_pr_xor_uint(D, V) CKT_DO(xor, unsigned int, (D), (V))
#define ck_pr_xor_64(D, V) CKT_DO(xor, uint64_t, (D), (V))
#define ck_pr_xor_32(D, V) CKT_DO(xor, uint32_t, (D), (V))
#define ck_pr_xor_16(D, V) CKT_DO(xor, uint16_t, (D), (V))
#define ck_pr_xor_8(D, V) CKT_DO(xor, uint8_t, (D), (V))
#define ck_pr_xor_ptr(D, V) CKT_DO(xor, uintptr_t, (void *)(D), (uintptr_t)(void *)(V))

#endif
