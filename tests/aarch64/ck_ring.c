/*
 * Planted: ck's own ring, which tests/aarch64/orders must not like. Its dequeue orders the loads from the slot
 * before the store of its head by a barrier for stores alone (ck 0.7.1): on aarch64 the producer may fill a slot
 * anew while it is still being read. It is why sqcq's rings are its own (docs/decisions/0006).
 */
#include <ck_ring.h>
#include <stdint.h>

struct entry {
  uint64_t value;
};

CK_RING_PROTOTYPE(entry, entry)

/* orders: ldr stlr */
uint64_t consume(struct ck_ring *ring, struct entry *slots);
uint64_t consume(struct ck_ring *ring, struct entry *slots)
{
  struct entry entry = {0};

  (void)CK_RING_DEQUEUE_SPSC(entry, ring, slots, &entry);
  return entry.value;
}
