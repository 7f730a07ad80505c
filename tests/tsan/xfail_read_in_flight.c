/*
 * Planted: a buffer is read while a request for it is in flight, by its own former owner, on the same thread.
 * ThreadSanitizer has to say so: between give and take the memory is the kernel's.
 */
#include "base/ownership.h"

#include "tsan/planted.h"

#include <stdio.h>

static struct sqcq__owner owner;
static unsigned char memory[4096];

int main(void)
{
  sqcq__owner_init(&owner);
  memory[0] = 1;
  sqcq__owner_give(&owner, memory, sizeof(memory));
  int early = PLANTED(memory[0], 0);
  sqcq__owner_take(&owner, memory, sizeof(memory));
  printf("%d\n", early);
  return 0;
}
