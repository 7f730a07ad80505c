#include "base/thread.h"

#include "base/atomics.h"

static _Atomic uint64_t last; /* W: any, once a thread */

/* Initial-exec: no call to find it; 8 bytes of what is set aside for libraries loaded late. */
static _Thread_local uint64_t self __attribute__((tls_model("initial-exec")));

uint64_t sqcq__thread_self(void)
{
  if (self == 0)
    self = sqcq__add_relaxed(&last, 1) + 1; /* relaxed: a number */
  return self;
}
