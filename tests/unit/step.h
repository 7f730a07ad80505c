/*
 * What another thread does between any two instructions of a call. The processor traps after each
 * of them, and in one trap, another one each time, the other thread's part runs from its beginning
 * to its end:
 *
 *   bool more = true;
 *   for (uint32_t k = 0; more; k++) {
 *     set up
 *     more = step_at(k, call, other, argument);      false: the call has not so many instructions
 *     check
 *   }
 *
 * So every interleaving of the one call with one whole other part is gone through, in the order of
 * the program: what the processor may reorder shows in the stress tests and the models, if at all.
 *
 * The traps are as many as the square of the instructions, so the code is compiled with
 * optimisation in every build: include this header first, and then the sources under test. Works on
 * x86_64 with gcc, or with clang in an optimised build; neither under valgrind nor under a
 * sanitizer, whose own code would be stepped through. The parts assert nothing: they run in a
 * signal handler, or are interrupted by it.
 */
#ifndef SQCQ_TESTS_UNIT_STEP_H
#define SQCQ_TESTS_UNIT_STEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* registers by name */
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")
#define STEP_OPTIMISED 1
#elif defined(__OPTIMIZE__)
#define STEP_OPTIMISED 1
#else
#define STEP_OPTIMISED 0
#endif

#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define STEP_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEP_SANITIZED 1
#endif

#if defined(__x86_64__) && STEP_OPTIMISED && !defined(STEP_SANITIZED)
#define STEP_WORKS 1
#else
#define STEP_WORKS 0
#endif

#define STEP_TRAP_FLAG 0x100
/* A call longer than this does not end. */
#define STEP_MAX 20000u

struct step {
  void (*other)(void *);
  void *argument;
  uint32_t at;
  volatile sig_atomic_t traps;
  volatile sig_atomic_t met; /* the other part has run */
  volatile sig_atomic_t done;
};

static struct step step;

/* The other part runs once here, at the step it is meant for; from then on there are no more
 * traps. */
static inline void step_on_trap(int number, siginfo_t *info, void *context)
{
  (void)number;
  (void)info;
  if ((uint32_t)step.traps < step.at && !step.done) {
    step.traps++;
    return;
  }
#if STEP_WORKS
  ucontext_t *interrupted = context;

  interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)STEP_TRAP_FLAG;
#else
  (void)context;
#endif
  if (!step.done) {
    step.met = 1;
    step.other(step.argument);
  }
}

/* call(argument), and other(argument) after its k-th instruction. False where it has not so many:
 * then only the call was made. */
static inline bool step_at(uint32_t k, void (*call)(void *), void (*other)(void *), void *argument)
{
  struct sigaction action = {.sa_sigaction = step_on_trap, .sa_flags = SA_SIGINFO};

  if (k > STEP_MAX)
    fail_msg("the call does not end");
  step = (struct step){.other = other, .argument = argument, .at = k};
  (void)sigaction(SIGTRAP, &action, NULL);
#if STEP_WORKS
  /* Below what the compiler may have put under the stack pointer. */
  __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
                   "pushfq\n\t"
                   "orq %0, (%%rsp)\n\t"
                   "popfq\n\t"
                   "leaq 128(%%rsp), %%rsp"
                   :
                   : "i"(STEP_TRAP_FLAG)
                   : "cc", "memory");
#endif
  call(argument);
  step.done = 1;
#if STEP_WORKS
  __asm__ volatile("nop\n\tnop" ::: "memory");
#endif
  return step.met != 0;
}

/* Before cmocka runs. */
static inline int step_skip(void)
{
  if (STEP_WORKS)
    return 0;
  printf("SKIP: no single steps in this build\n");
  return 77;
}

#endif
