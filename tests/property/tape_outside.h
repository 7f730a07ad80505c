/*
 * What a tape has in place of the outside: its clock, its CPU, memory to wrap. Included once by each
 * program that plays tapes.
 */
#ifndef SQCQ_TESTS_PROPERTY_TAPE_OUTSIDE_H
#define SQCQ_TESTS_PROPERTY_TAPE_OUTSIDE_H

#include "tape.h"

#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

int64_t tape_clock_ns;
int tape_cpu;
unsigned char tape_wrap_memory[TAPE_WRAPS][TAPE_BUFFER_SIZE];

/* The program's own in place of the C library's, for the library under test too: nothing that a
 * tape does depends on when and where it is played. A look at the clock takes a microsecond. The
 * other clocks are whoever's plays the tapes. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
  if (clock != CLOCK_MONOTONIC)
    return (int)syscall(SYS_clock_gettime, clock, now);
  tape_clock_ns += 1000;
  now->tv_sec = (time_t)(tape_clock_ns / 1000000000);
  now->tv_nsec = (long)(tape_clock_ns % 1000000000);
  return 0;
}

int sched_getcpu(void)
{
  return tape_cpu;
}

#endif
