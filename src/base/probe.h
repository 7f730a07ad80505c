/*
 * Static probes (USDT) of the provider "sqcq", for bpftrace, perf and systemtap. Each is one `nop`
 * until somebody attaches to it; without <sys/sdt.h> they are not there. They are no part of the ABI.
 *
 *   request         engine, channel's index, user_data, length    accepted, not yet published
 *   refuse          engine, errno (negative)
 *   submit          engine, channel's index, user_data, length    in an SQE
 *   complete        engine, user_data, result                     its CQE has been reaped
 *   deliver         engine, channel's index, how many             taken by a consumer
 *   sleep           engine, limit in ns (negative: none)          the I/O thread, announced
 *   wake            the engine's sleeper                          somebody writes its eventfd
 *   consumer_sleep  the channel's waiter
 *   consumer_wake   the channel's waiter                          somebody wakes it
 */
#ifndef SQCQ_BASE_PROBE_H
#define SQCQ_BASE_PROBE_H

#ifdef SQCQ_PROBES
#include <sys/sdt.h>

#define SQCQ_PROBE1(name, a) DTRACE_PROBE1(sqcq, name, a)
#define SQCQ_PROBE2(name, a, b) DTRACE_PROBE2(sqcq, name, a, b)
#define SQCQ_PROBE3(name, a, b, c) DTRACE_PROBE3(sqcq, name, a, b, c)
#define SQCQ_PROBE4(name, a, b, c, d) DTRACE_PROBE4(sqcq, name, a, b, c, d)
#else
#define SQCQ_PROBE1(name, a) ((void)(a))
#define SQCQ_PROBE2(name, a, b) ((void)(a), (void)(b))
#define SQCQ_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define SQCQ_PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
