/*
 * One file, from its first completion to its line of output. Room: the file's consumer.
 *
 * The producer asks for the first block. If that is the whole file, that was it. Otherwise the
 * consumer keeps up to window_max blocks in flight, takes them in whatever order they arrive, and
 * counts or hashes them in the order of the file.
 *
 * Where a file ends is found by reading, not from its size: files grow and shrink, and those of
 * /proc say 0. A result of 0 is the end. One thing saves that last read: a read that asked for
 * more than the rest of the file and got bytes exactly up to the size it had when it was found.
 * The kernel looked for more and there was none, and the size says that this is no accident of a
 * short read; a file that grows later than that has been read before it grew. Anything else (a
 * short read elsewhere, a last block that was filled to the brim, a size of 0) is asked again.
 */
#ifndef INGEST_STREAM_H
#define INGEST_STREAM_H

#include "consume.h"

/* A completion has come for a file of this consumer. */
void stream_completed(struct consumer *c, const struct sqcq_completion *done);

/* A read that was to be requested will not be: the engine is stopping, or the file is done. */
void stream_refused(struct consumer *c, const struct sqcq_read *read);

/* Whether this read, not requested yet, still matters. */
bool stream_wants(const struct consumer *c, const struct sqcq_read *read);

#endif
