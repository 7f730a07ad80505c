/*
 * The engine, channels and buffers that bench-sqcq works with: made by main before the threads
 * start, given back after they are joined; constant in between.
 */
#ifndef BENCH_SQCQ_SETUP_H
#define BENCH_SQCQ_SETUP_H

#include "harness.h"

#include <sqcq/sqcq.h>

#define TAKE_MAX 64u /* completions taken at once */

struct options {
  uint32_t fixed;
  uint32_t files_fixed;
  uint32_t idle; /* enum sqcq_idle */
  uint32_t spin_us;
  uint32_t consumer_spin_us;
  uint32_t solo;
  uint32_t depth;
  uint32_t lanes;
  uint32_t lane_slots;
  uint32_t own_lanes;
  uint32_t many;
  uint32_t min;
  uint32_t features;
};

extern struct options options;
extern struct sqcq_engine *engine;
extern sqcq_file file;
extern sqcq_buffer buffers[BENCH_REQUESTS_MAX]; /* by bench_request.idx */
extern sqcq_channel channels[BENCH_CONSUMERS_MAX];
extern uint32_t channel_count;

/* Say which call of the library failed and end the program. */
void die(const char *what, int error) __attribute__((noreturn));

void set_up(void);
bool tear_down(void);      /* whether the engine agrees that nothing is held any more */
void print_features(void); /* on stderr: what the engine uses of the kernel */

#endif
