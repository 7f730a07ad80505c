/*
 * What is done with the bytes of a file: nothing, newlines counted, or hashed. Room: the file's
 * consumer.
 */
#ifndef INGEST_DIGEST_H
#define INGEST_DIGEST_H

#include "options.h"
#include "slots.h"

/* The next bytes of a file, in order; `last`: there are no more, and slot->digest is to be set. */
void digest_block(struct slot *slot, enum operation op, const uint8_t *data, uint32_t length,
                  bool last);

#endif
