/*
 * A fault where it is planted: each of these programs is also built WITHOUT_FAULT, and then nothing may be
 * reported, so that what is reported is the fault. Room: tests.
 */
#ifndef SQCQ_TESTS_TSAN_PLANTED_H
#define SQCQ_TESTS_TSAN_PLANTED_H

#ifdef WITHOUT_FAULT
#define PLANTED(wrong, right) right
#else
#define PLANTED(wrong, right) wrong
#endif

#endif
