/*
 * Planted: a consumer gives its credit back before it has read the slot. ThreadSanitizer has to say so.
 */
#ifndef WITHOUT_FAULT
#define USE_SLOT()                                                                                 \
  do {                                                                                             \
    sqcq__credit_give(&credit, 1);                                                                 \
    slot++;                                                                                        \
  } while (0)
#endif

#include "tsan/credits.h"
