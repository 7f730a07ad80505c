/*
 * The ThreadSanitizer side of ownership.h; empty in every other build.
 */
#include "base/ownership.h"

#if defined(SQCQ__TSAN)

#include "base/check.h"

#include <sanitizer/tsan_interface.h>

#include <stdlib.h>

/* Exported by the runtimes of gcc and clang, in no header of theirs. */
extern void __tsan_write_range(void *memory, long size);

/* gcc's runtime takes 840 kB a fiber and slows down beyond some hundreds. */
#define FIBERS_MAX 256

static _Atomic int fibers;

void sqcq__owner_init(struct sqcq__owner *owner)
{
  owner->fiber = NULL;
  sqcq__store_relaxed(&owner->given, false);
  if (sqcq__add_relaxed(&fibers, 1) < FIBERS_MAX)
    owner->fiber = __tsan_create_fiber(0);
  else
    sqcq__add_relaxed(&fibers, -1);
  if (owner->fiber != NULL)
    __tsan_set_fiber_name(owner->fiber, "kernel[buffer]");
}

void sqcq__owner_fini(struct sqcq__owner *owner)
{
  if (owner->fiber == NULL)
    return;
  __tsan_destroy_fiber(owner->fiber);
  owner->fiber = NULL;
  sqcq__add_relaxed(&fibers, -1);
}

void sqcq__owner_give(struct sqcq__owner *owner, void *memory, size_t size)
{
  (void)memory;
  (void)size;
  if (owner->fiber == NULL)
    return;
  if (sqcq__swap_relaxed(&owner->given, true))
    abort(); /* given twice */
  void *self = __tsan_get_current_fiber();
  __tsan_release(&owner->given_edge);
  __tsan_switch_to_fiber(owner->fiber, __tsan_switch_to_fiber_no_sync);
  __tsan_acquire(&owner->given_edge);
  __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
}

void sqcq__owner_take(struct sqcq__owner *owner, void *memory, size_t size)
{
  if (owner->fiber == NULL)
    return;
  void *self = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(owner->fiber, __tsan_switch_to_fiber_no_sync);
  __tsan_write_range(memory, (long)size);
  __tsan_release(&owner->taken_edge);
  __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
  __tsan_acquire(&owner->taken_edge);
  if (!sqcq__swap_relaxed(&owner->given, false))
    abort(); /* taken twice */
}

#else

/* ISO C wants a declaration in every file. */
typedef int sqcq__ownership_is_empty;

#endif
