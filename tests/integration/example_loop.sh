#!/bin/bash
# examples/loop.c reads files, an empty one, and a pipe whose bytes come while it sleeps.
#
#   example_loop.sh PROGRAM
set -eu

head -c 100001 /dev/zero >large
: >empty
rm -f fifo
mkfifo fifo
{ printf 'some '; sleep 0.1; printf 'bytes'; } >fifo &
"$1" large empty fifo >out || {
  status=$?
  cat out
  # No io_uring here: nothing can be said.
  "$1" 2>&1 | grep -q '^engine: ' && exit 77
  exit "$status"
}
wait
LC_ALL=C sort out >sorted
diff - sorted <<'END'
empty: 0 bytes
fifo: 10 bytes
large: 100001 bytes
END
