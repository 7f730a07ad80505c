# The library's sources, in the order of who may know whom. The test
# checks.sources fails when src/ holds a .c file that is not here.
set(SQCQ_SOURCES
  src/base/error.c
  src/base/freelist.c
  src/base/mem.c
  src/base/ownership.c
  src/base/thread.c

  src/mpsc/lanes.c
  src/mpsc/own.c

  src/dispatch/channel.c
  src/dispatch/relay.c
  src/dispatch/room.c
  src/dispatch/router.c
  src/dispatch/wake.c

  src/engine/accept.c
  src/engine/act.c
  src/engine/api.c
  src/engine/api_lanes.c
  src/engine/api_room.c
  src/engine/buffers.c
  src/engine/cancels.c
  src/engine/channels.c
  src/engine/config.c
  src/engine/consume.c
  src/engine/ending.c
  src/engine/engine.c
  src/engine/features.c
  src/engine/files.c
  src/engine/hints.c
  src/engine/histogram.c
  src/engine/iothread.c
  src/engine/loop.c
  src/engine/pools.c
  src/engine/prep.c
  src/engine/reap.c
  src/engine/report.c
  src/engine/requests.c
  src/engine/ring.c
  src/engine/room.c
  src/engine/timers.c
  src/engine/turn.c
  src/engine/wait.c
)

list(TRANSFORM SQCQ_SOURCES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")

# The seam (src/engine/ring.h): all but the file that enters the kernel ring.
# Tests put tests/support/sim_ring.c in its place.
set(SQCQ_RING_SOURCE "${CMAKE_CURRENT_SOURCE_DIR}/src/engine/ring.c")
set(SQCQ_SOURCES_BUT_RING ${SQCQ_SOURCES})
list(REMOVE_ITEM SQCQ_SOURCES_BUT_RING "${SQCQ_RING_SOURCE}")
