/*
 * The version of sqcq, written down here and nowhere else: the build system
 * and the package files read it from these three lines.
 */
#ifndef SQCQ_VERSION_H
#define SQCQ_VERSION_H

#define SQCQ_VERSION_MAJOR 0
#define SQCQ_VERSION_MINOR 1
#define SQCQ_VERSION_PATCH 0

#endif
