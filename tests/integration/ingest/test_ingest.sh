#!/bin/bash
# Tests of sqcq-ingest. Usage: test_ingest.sh PROGRAM CASE
#
# Each case_<name> below is one ctest test, which runs in a directory of its own that is removed
# afterwards. Exit status: 0 passed, 77 skipped (no io_uring here, or a tool is missing), else failed.
# Nothing waits for time to pass: where two processes have to meet, one reads what the other has written.
set -u -o pipefail
export LC_ALL=C

ingest=$1
wanted=$2
base=${TMPDIR:-/tmp}
case $wanted in # thousands of files, made and removed: in memory where there is room
  few_descriptors | vanishing | interrupt | terminate* | full_pipe | closed_pipe | progress | many_* | deep | wide_*)
    [ -w /dev/shm ] && [ "$(df -k --output=avail /dev/shm | tail -n 1)" -gt 50000 ] && base=/dev/shm
    ;;
esac
work=$(mktemp -d "$base/ingest.XXXXXX") || exit 1
helpers=()

cleanup()
{
  if [ ${#helpers[@]} -gt 0 ]; then
    kill "${helpers[@]}" 2>/dev/null
  fi
  cd / && chmod -R u+rwx "$work" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1

fail()
{
  printf 'FAILED: %s\n' "$*" >&2
  if [ -s "$work/err.txt" ]; then
    { printf -- '--- err.txt\n'; head -c 4000 "$work/err.txt"; } >&2
  fi
  exit 1
}

skip()
{
  printf 'skipped: %s\n' "$*"
  exit 77
}

# need TOOL...
need()
{
  for tool in "$@"; do
    command -v "$tool" >/dev/null || skip "no $tool"
  done
}

# run STATUS ARGUMENT...: standard output to out.txt, standard error to err.txt
run()
{
  local expected=$1 status
  shift
  "$ingest" "$@" >"$work/out.txt" 2>"$work/err.txt"
  status=$?
  [ $status -eq "$expected" ] || fail "status $status instead of $expected: sqcq-ingest $*"
}

same()
{
  [ "$1" = "$2" ] || fail "$3: '$1' instead of '$2'"
}

lines_of()
{
  wc -l <"$1" | tr -d ' '
}

# says TEXT: on standard error
says()
{
  grep -qF -- "$1" "$work/err.txt" || fail "standard error does not say: $1"
}

# The three operations by other programs, for all regular files below PATH...
expect_bytes()
{
  find "$@" -type f -printf '%s  %p\n' | sort
}

expect_lines()
{
  # wc adds a line with the total for each run of it
  find "$@" -type f -print0 | xargs -0 wc -l /dev/null |
    sed -E '/^ *[0-9]+ (total|\/dev\/null)$/d; s/^ *([0-9]+) /\1  /' | sort
}

expect_xxh3()
{
  find "$@" -type f -print0 | xargs -0 xxhsum -H3 | sort
}

# compare OP PATH... [-- OPTION...]
compare()
{
  local op=$1 paths=() options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    paths+=("$1")
    shift
  done
  [ $# -gt 0 ] && shift && options=("$@")
  "expect_$op" "${paths[@]}" >"$work/expected.txt" || fail "cannot tell what $op should be"
  run 0 --op="$op" "${options[@]}" "${paths[@]}"
  sort "$work/out.txt" | cmp - "$work/expected.txt" >&2 || fail "$op of ${paths[*]} ${options[*]}"
}

# json FILE: each line is a JSON object, the last one the summary
json()
{
  if command -v python3 >/dev/null && python3 -c 'import json' 2>/dev/null; then
    python3 - "$1" <<'PYTHON' || fail "no JSON: $1"
import json, sys
objects = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert objects[-1]["type"] == "summary"
files = objects[:-1]
assert all(o["type"] == "file" for o in files)
for o in files:
    if "path_hex" in o:
        assert bytes.fromhex(o["path_hex"]).decode("utf-8", "replace").count("\ufffd") > 0
        assert "\ufffd" in o["path"]
PYTHON
  elif command -v jq >/dev/null; then
    jq -e -s '.[-1].type == "summary"' <"$1" >/dev/null || fail "no JSON: $1"
  else
    ! grep -vq '^{".*}$' "$1" || fail "not one object a line: $1"
  fi
}

# number KEY: its first value in the JSON summary of out.txt
number()
{
  tail -n 1 "$work/out.txt" | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2
}

random_file()
{
  head -c "$2" /dev/urandom >"$1" || fail "cannot write $1"
}

# small_files COUNT [DIRECTORY]: 500 files, and links to them in five directories
small_files()
{
  need perl
  perl -e 'my ($n, $top) = @ARGV; mkdir $top or die;
    for my $d (0 .. 3) { mkdir "$top/$d" or die }
    for my $i (0 .. $n - 1) {
      my $name = "$top/" . ($i % 5 < 4 ? $i % 5 . "/" : "") . sprintf("f%06d", $i);
      my $first = "$top/" . ($i % 5 < 4 ? $i % 5 . "/" : "") . sprintf("f%06d", $i % 500);
      if ($i < 500) { open(my $f, ">", $name) or die "$name: $!"; print $f "$i\n" x $i }
      else { link($first, $name) or die "$name: $!" } }' "$1" "${2:-tree}" ||
    fail "cannot make $1 files"
}

# --------------------------------------------------------------------------
# Real trees
# --------------------------------------------------------------------------
case_usr_include()
{
  need xxhsum
  [ -d /usr/include ] || skip "no /usr/include"
  compare bytes /usr/include
  compare lines /usr/include
  compare xxh3 /usr/include
  xxhsum -c --strict --status out.txt || fail "xxhsum -c does not agree"
  same "$(lines_of out.txt)" "$(find /usr/include -type f | wc -l)" "files"
}

case_usr_share()
{
  need xxhsum
  compare bytes /usr/share
  compare lines /usr/share
  run 0 --op=xxh3 /usr/share
  same "$(lines_of out.txt)" "$(find /usr/share -type f | wc -l)" "files"
  xxhsum -c --strict --status out.txt || fail "xxhsum -c does not agree"
  run 0 -q --json /usr/share
  same "$(number bytes)" "$(find /usr/share -type f -printf '%s\n' | awk '{n += $1} END {print n}')" \
    "bytes"
}

# --------------------------------------------------------------------------
# Sizes, blocks, threads
# --------------------------------------------------------------------------
case_sizes()
{
  need xxhsum
  mkdir sizes
  for n in 0 1 2 4095 4096 4097 8191 8192 8193 16384 32768 36863 36864 36865 65536 131071 131072 \
    131073 262144 1048576 1179648 3000001; do
    random_file sizes/$n $n
  done
  for block in 4096 12K 64k 128K 1M; do
    for op in bytes lines xxh3; do
      compare $op sizes -- -b $block
    done
    compare xxh3 sizes -- -b $block --direct
  done
  for block in 1 7 511 4097; do # as odd as can be; not the largest files with it
    mkdir -p few && cp sizes/0 sizes/1 sizes/2 sizes/4095 sizes/4096 sizes/4097 sizes/36865 few
    compare xxh3 few -- -b $block
    compare lines few -- -b $block -d 2 -c 1
  done
}

case_threads()
{
  need xxhsum
  mkdir sizes
  for n in $(seq 0 700 60000); do
    random_file "sizes/$n" "$n"
  done
  for producers in 1 2 5; do
    for consumers in 1 2 6; do
      for depth in 1 2 3 17 300; do
        compare xxh3 sizes -- -p $producers -c $consumers -d $depth -b 4096
      done
    done
  done
  compare xxh3 sizes -- -p 64 -c 64 -d 4096
  compare xxh3 sizes -- -p 64 -c 64 -d 1 -b 1000
}

case_few_descriptors()
{
  small_files 5000
  expect_bytes tree >expected.txt
  for limit in 82 100 200; do
    (ulimit -n $limit && run 0 tree && sort out.txt | cmp - expected.txt) || fail "ulimit -n $limit"
  done
  (ulimit -n 40 && run 1 tree && says "file descriptors are allowed") || fail "ulimit -n 40"
}

case_sparse()
{
  need xxhsum
  mkdir tree
  truncate -s 4100M tree/sparse 2>/dev/null || skip "no sparse files of 4 GiB here"
  printf 'one\ntwo\n' | dd of=tree/sparse bs=1 seek=4294967290 conv=notrunc status=none
  printf '\n' | dd of=tree/sparse bs=1 seek=4299161599 conv=notrunc status=none
  random_file tree/other 100000
  [ "$(du -k tree/sparse | cut -f1)" -lt 1048576 ] || skip "files are not sparse here"
  run 0 --op=lines tree/sparse
  same "$(cat out.txt)" "3  tree/sparse" "lines"
  run 0 --op=xxh3 tree
  says "4299261600 bytes"
  xxhsum -c --strict --status out.txt || fail "xxhsum -c does not agree"
}

# --------------------------------------------------------------------------
# Names
# --------------------------------------------------------------------------
odd_names()
{
  mkdir odd
  (
    cd odd || exit 1
    printf a >$'new\nline'
    printf b >'back\slash'
    printf c >$'both\n\\'
    printf d >$'invalid\xff\xfe utf-8'
    printf e >$'overlong\xc0\xaf'
    printf f >$'surrogate\xed\xa0\x80'
    printf g >$'good \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'
    printf h >' space '
    printf i >'-dash'
    printf j >'"quotes'"'"
    printf k >$'tab\tcr\resc\x1b[31mdel\x7f'
    printf l >'paren) = 0123456789abcdef'
    printf m >'*star'
    printf n >'#hash'
    printf o >'\leading'
    printf p >stdin
    : >empty
    mkdir $'dir\n\xff' && printf q >$'dir\n\xff/file'
    long=$(printf 'x%.0s' $(seq 255)) && printf r >"$long"
  ) || fail "cannot make the files"
}

case_names()
{
  need xxhsum
  odd_names
  # Where there is no newline the lines are those of xxhsum -H3, byte for byte.
  find odd -type f ! -path $'*\n*' -print0 | xargs -0 xxhsum -H3 | sort >expected.txt
  run 0 --op=xxh3 odd
  grep -v '^\\' out.txt | sort | cmp - expected.txt || fail "lines are not those of xxhsum"
  xxhsum -c --strict --status expected.txt || fail "xxhsum -c does not agree with itself"
  grep -v '^\\' out.txt | xxhsum -c --strict --status - || fail "xxhsum -c does not agree"
  # With one, they are those of xxhsum 0.8.2, one line each.
  same "$(lines_of out.txt)" "$(find odd -type f -printf x | wc -c)" "lines"
  same "$(grep -c '^\\' out.txt)" 3 "escaped lines"
  grep -qxF '\XXH3 (odd/new\nline) = e6c632b61e964e1f' out.txt || fail "escaped line"
  grep -qF '\XXH3 (odd/both\n\\) = ' out.txt || fail "escaped backslash"
  run 0 odd
  grep -qxF '\1  odd/new\nline' out.txt || fail "escaped line of bytes"
  grep -qxF '1  odd/back\slash' out.txt || fail "backslash without newline"
  cd odd && run 0 -- -dash && same "$(cat ../out.txt)" "1  -dash" "a name like an option"
}

case_json()
{
  odd_names
  random_file odd/more 300000
  for op in bytes lines xxh3; do
    run 0 --json --op=$op odd
    json out.txt
    same "$(lines_of out.txt)" "$(find odd -type f -printf x | wc -c | awk '{print $1 + 1}')" "objects"
    same "$(number files)" "$(find odd -type f -printf x | wc -c)" "files"
    [ ! -s err.txt ] || fail "the summary is on standard error, too"
  done
  run 0 --json -q odd
  same "$(lines_of out.txt)" 1 "objects of --quiet"
  json out.txt
  run 0 --json odd
  if command -v python3 >/dev/null && python3 -c 'import json' 2>/dev/null; then
    # Each name can be had back, whatever its bytes.
    python3 - <<'PYTHON' || fail "names are not what they were"
import json, os
found = {}
for line in open("out.txt", encoding="utf-8"):
    o = json.loads(line)
    if o["type"] == "file":
        path = bytes.fromhex(o["path_hex"]) if "path_hex" in o else o["path"].encode()
        found[path] = o["bytes"]
real = {os.path.join(d, f): os.path.getsize(os.path.join(d, f))
        for d, _, files in os.walk(b"odd") for f in files}
assert found == real, (found, real)
PYTHON
  fi
  run 1 --json odd/empty odd/none
  json out.txt
  tail -n 1 out.txt | grep -qF '"errors":{"No such file or directory":1}' || fail "errors in JSON"
}

case_deep()
{
  need perl
  # A comb: 700 levels of 60 bytes, each with a file and a second directory that waits while the walk
  # goes down: longer than PATH_MAX, more directories than stay open.
  perl -e 'my $n = shift; mkdir "comb" or die; chdir "comb";
    for my $i (1 .. $n) {
      mkdir "side" and open(my $s, ">", "side/f") or die; print $s "xy"; close $s;
      open(my $f, ">", "f") or die; print $f "x"; close $f;
      my $d = sprintf("%04d", $i) . "d" x 56; mkdir $d and chdir $d or die "$i: $!" }' 700 ||
    fail "cannot make the tree"
  for options in "-p 1" "-p 2 -c 2" "-p 6 -d 8"; do
    # shellcheck disable=SC2086
    run 0 --json $options comb
    same "$(number files)" 1400 "files ($options)"
    same "$(number bytes)" 2100 "bytes ($options)"
    same "$(number directories)" 1401 "directories ($options)"
  done
  (ulimit -n 90 && run 0 --json comb && same "$(number files)" 1400 "files") || fail "ulimit -n 90"
  run 0 comb
  same "$(lines_of out.txt)" 1400 "lines"
  # xxhsum -c reads lines of up to 32 KiB: longer ones are told, not printed.
  run 1 --op=xxh3 comb
  says "list: File name too long"
  [ "$(awk '{ if (length > n) n = length } END { print n }' out.txt)" -lt 32768 ] || fail "a line too long"
}

# --------------------------------------------------------------------------
# What is not a regular file
# --------------------------------------------------------------------------
case_special_files()
{
  mkdir tree
  mkfifo tree/fifo
  printf hello >tree/file
  ln -s file tree/link
  run 0 tree
  same "$(cat out.txt)" "5  tree/file" "output"
  says "tree/fifo: skipped: FIFO"
  says "symbolic link 1"
  if command -v perl >/dev/null && perl -MSocket -e '
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, pack_sockaddr_un("tree/socket")) or die'; then
    run 0 tree
    says "tree/socket: skipped: socket"
  fi
  run 0 /dev/null tree/file tree/fifo tree/link
  same "$(cat out.txt)" "5  tree/file" "output"
  says "/dev/null: skipped: device"
  says "tree/link: skipped: symbolic link"
  run 0 -q tree
  [ ! -s out.txt ] || fail "--quiet prints lines"
  says "FIFO 1"
}

case_symlinks()
{
  mkdir -p tree/a/b outside
  printf one >tree/a/file
  printf three >outside/file
  ln -s ../../.. tree/a/b/up     # the working directory, and so tree again
  ln -s ../a tree/a/same         # a itself
  ln -s ../outside tree/out
  ln -s self tree/self
  ln -s nothing tree/dangling
  ln -s a/file tree/filelink
  run 0 tree
  same "$(cat out.txt)" "3  tree/a/file" "not followed"
  says "symbolic link 6"
  run 0 -L tree
  says "skipped: directory loop"
  says "tree/self: skipped: dangling symbolic link"
  says "tree/dangling: skipped: dangling symbolic link"
  # What find -L reads, which detects loops the same way.
  find -L tree -type f -printf '%s  %p\n' 2>/dev/null | sort >expected.txt
  sort out.txt | grep -v err.txt | grep -v expected.txt | grep -v out.txt | grep -v '/outside/' >got.txt
  grep -qxF '5  tree/out/file' got.txt || fail "a linked directory is not read"
  grep -qxF '3  tree/filelink' got.txt || fail "a linked file is not read"
  run 0 --follow tree/filelink
  same "$(cat out.txt)" "3  tree/filelink" "a link as an argument"
}

case_proc()
{
  need xxhsum
  local files=()
  for file in /proc/version /proc/filesystems /proc/devices /proc/kallsyms; do
    [ -r $file ] && files+=("$file")
  done
  [ ${#files[@]} -gt 0 ] || skip "no /proc"
  run 0 --op=xxh3 "${files[@]}"
  sort out.txt >got.txt
  xxhsum -H3 "${files[@]}" | sort | cmp - got.txt || fail "files of size 0 with content"
  run 0 -b 100 --op=xxh3 "${files[@]:0:3}"
  sort out.txt >got.txt
  xxhsum -H3 "${files[@]:0:3}" | sort | cmp - got.txt || fail "small blocks"
}

case_direct()
{
  need xxhsum
  mkdir tree
  for n in 0 1 511 512 4096 5000 131072 131073 1000000; do
    random_file tree/$n $n
  done
  for block in 4096 128K 1M; do
    compare xxh3 tree -- --direct -b $block
  done
  run 0 --direct --json tree
  json out.txt
  if [ -r /proc/version ]; then # procfs refuses O_DIRECT
    run 0 --direct --json /proc/version
    grep -qF '"direct":false' out.txt || fail "not said in JSON"
    same "$(number direct_refused)" 1 "direct_refused"
    says "/proc/version: no O_DIRECT here"
  fi
  run 2 --direct -b 1000 tree
  says "not a multiple of 4096"
}

# --------------------------------------------------------------------------
# Trouble
# --------------------------------------------------------------------------
case_errors()
{
  mkdir -p tree/sub
  printf hello >tree/file
  run 1 tree/none tree "$(printf 'x%.0s' $(seq 300))" tree/file/below
  same "$(cat out.txt)" "5  tree/file" "output"
  says "tree/none: stat: No such file or directory"
  says "File name too long"
  says "tree/file/below: stat: Not a directory"
  says "errors        3"
  if [ -r /proc/self/mem ]; then # can be opened, but not read at 0
    run 1 --op=xxh3 /proc/self/mem tree/file
    says "/proc/self/mem: read: Input/output error"
    same "$(lines_of out.txt)" 1 "lines"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    printf secret >tree/secret && chmod 000 tree/secret tree/sub
    run 1 tree
    says "tree/secret: open: Permission denied"
    says "tree/sub: open: Permission denied"
    same "$(cat out.txt)" "5  tree/file" "output"
  fi
  run 1 -q tree/none
  says "tree/none"
  printf '' >empty
  run 0 empty
  same "$(cat out.txt)" "0  empty" "an empty file"
  mkdir bare
  run 0 bare
  [ ! -s out.txt ] || fail "lines from an empty directory"
}

case_vanishing()
{
  small_files 20000
  # The first line printed starts the removal; the output is then read on.
  "$ingest" -d 4 --op=bytes tree 2>err.txt | {
    read -r line
    rm -rf tree &
    cat >out.txt
    wait
  }
  status=${PIPESTATUS[0]}
  [ "$status" -le 1 ] || fail "status $status"
  ! grep -v -e 'No such file or directory' -e '^  ' -e '^sqcq-ingest: [0-9]* files' err.txt ||
    fail "other errors than vanished files"
}

case_growing()
{
  need xxhsum
  head -c 200000 /dev/zero | tr '\0' 'x' >file
  # Each run is made while a writer appends; what was read must be a beginning of the file, no
  # shorter than it was, and read to an end that it had.
  (while :; do printf 'some more bytes\n'; done >>file) &
  helpers+=($!)
  for i in 1 2 3 4 5 6 7 8; do
    before=$(stat -c %s file)
    run 0 --json --op=xxh3 -b 16K file
    after=$(stat -c %s file)
    bytes=$(head -n 1 out.txt | grep -o '"bytes":[0-9]*' | cut -d: -f2)
    hash=$(head -n 1 out.txt | grep -o '"xxh3":"[0-9a-f]*' | cut -d'"' -f4)
    [ "$bytes" -ge "$before" ] && [ "$bytes" -le "$after" ] || fail "$bytes of $before to $after bytes"
    same "$hash" "$(head -c "$bytes" file | xxhsum -H3 | sed 's/.* = //')" "hash of the first $bytes"
    [ "$after" -lt 300000000 ] || : >file
  done
}

case_shrinking()
{
  (while :; do
    truncate -s 3000000 file
    truncate -s 100001 file
  done) &
  helpers+=($!)
  until [ -e file ]; do :; done
  for i in 1 2 3 4 5 6 7 8 9 10; do
    run 0 -b 32K file
    bytes=$(cut -d' ' -f1 out.txt)
    [ "$bytes" -ge 0 ] && [ "$bytes" -le 3000000 ] || fail "$bytes bytes"
    run 0 -b 32K --direct file
  done
}

# --------------------------------------------------------------------------
# Signals and pipes
# --------------------------------------------------------------------------
# stopped SIGNAL STATUS: stop a run in the middle, whose output is then read to its end
stopped()
{
  small_files 30000
  mkfifo pipe
  # A shell's background jobs ignore SIGINT, and so would the program.
  env --default-signal=INT "$ingest" tree >pipe 2>err.txt &
  pid=$!
  {
    read -r line # it has begun, and cannot end: the pipe is not read
    kill -s "$1" $pid
    cat >out.txt
  } <pipe
  wait $pid
  same $? "$2" "status"
  says "stopped early"
  [ "$(lines_of out.txt)" -lt 29999 ] || fail "nothing was left out"
  # What was printed is whole.
  ! grep -vqE '^[0-9]+  tree/([0-3]/)?f[0-9]{6}$' out.txt || fail "a broken line"
}

case_interrupt()
{
  stopped INT 130
}

case_terminate()
{
  stopped TERM 143
}

# The same, while nobody ever reads: it ends all the same.
case_terminate_unread()
{
  small_files 20000
  mkfifo pipe
  exec 3<>pipe
  "$ingest" -c 1 tree >pipe 2>err.txt &
  pid=$!
  # Until a write is stuck in the middle of lines (1, on aarch64 64, is write; 0x1 standard output).
  # That the pipe is full would not do: it is so with few bytes too, and the rest may still fit in.
  until grep -qsE '^(1|64) 0x1 ' /proc/$pid/task/*/syscall; do
    kill -0 $pid 2>/dev/null || fail "it has ended"
    sleep 0.005
  done
  kill -s TERM $pid
  wait $pid
  same $? 143 "status"
  says "lines were dropped"
  says "stopped early"
}

case_full_pipe()
{
  small_files 20000
  "$ingest" tree 2>err.txt | while IFS= read -r line; do printf '%s\n' "$line"; done >out.txt
  same "${PIPESTATUS[0]}" 0 "status"
  expect_bytes tree >expected.txt
  sort out.txt | cmp - expected.txt || fail "lines were lost or torn"
}

case_closed_pipe()
{
  small_files 20000
  "$ingest" tree 2>err.txt | head -n 1 >out.txt
  status=${PIPESTATUS[0]}
  same "$status" 1 "status"
  same "$(lines_of out.txt)" 1 "lines"
  says "cannot write the output: Broken pipe"
  if [ -w /dev/full ]; then
    "$ingest" tree >/dev/full 2>err.txt
    same $? 1 "status with a full disk"
    says "cannot write the output: No space left on device"
  fi
  "$ingest" tree >&- 2>err.txt
  same $? 1 "status with standard output closed"
  says "cannot write the output: Bad file descriptor"
}

case_progress()
{
  small_files 20000
  run 0 tree
  ! grep -q $'\r' err.txt || fail "a progress line in a file"
  "$ingest" --progress=always tree 2>err.txt | while IFS= read -r line; do :; done
  grep -q $'\r' err.txt || fail "no progress line with --progress=always"
  if command -v script >/dev/null; then
    printf '"%s" tree | while IFS= read -r line; do :; done\n' "$ingest" >command.sh
    script -q -c 'bash command.sh' screen.txt >/dev/null </dev/null
    grep -q $'\r.*files .*/s' screen.txt || fail "no progress line on a terminal"
    printf '"%s" --progress=never tree >/dev/null\n' "$ingest" >command.sh
    script -q -c 'bash command.sh' screen.txt >/dev/null </dev/null
    ! grep -q $'\033\\[K' screen.txt || fail "a progress line with --progress=never"
  fi
}

# --------------------------------------------------------------------------
# The command line
# --------------------------------------------------------------------------
case_options()
{
  printf 'a\nb' >file
  for bad in "" "-p 0 file" "-p 65 file" "-p x file" "-p 1x file" "-p -1 file" "-c 0 file" "-c 99 file" \
    "-b 0 file" "-b K file" "-b 1G file" "-b 257M file" "-b 1.5K file" "-b 99999999999999999999 file" \
    "-d 0 file" "-d 5000 file" "--op= file" "--op=md5 file" "--progress=maybe file" "--nonsense file" \
    "-p" "--block-size" "--direct -b 100 file" "-x file" "--json=yes file"; do
    # shellcheck disable=SC2086
    run 2 $bad
    [ -s err.txt ] || fail "no message: $bad"
    [ ! -s out.txt ] || fail "output: $bad"
  done
  run 2 ""
  run 0 --help
  grep -q '^Usage: sqcq-ingest' out.txt || fail "--help"
  run 0 --version
  grep -qE '^sqcq-ingest [0-9]+\.[0-9]+\.[0-9]+' out.txt || fail "--version"
  run 0 --features
  grep -qE '^[A-Z_]+ +(on|off|refused)' out.txt || fail "--features"
  run 0 file
  same "$(cat out.txt)" "3  file" "bytes, the default"
  says "1 files, 3 bytes"
  run 0 --op=lines ./file file
  same "$(sort out.txt | tr '\n' '|')" "1  ./file|1  file|" "lines"
  run 0 -p 1 -c 1 -b 4K -d 1 -q -L --progress=never file
  [ ! -s out.txt ] || fail "--quiet prints lines"
}

# --------------------------------------------------------------------------
# Many files
# --------------------------------------------------------------------------
many()
{
  need xxhsum
  small_files "$1"
  compare bytes tree
  run 0 --json --op=lines tree
  same "$(number files)" "$1" "files"
  run 0 --op=xxh3 -d 4 -p 3 tree
  xxhsum -c --strict --status out.txt || fail "xxhsum -c does not agree"
}

case_many_files()
{
  many 20000
}

case_slow_many_files()
{
  many 200000
}

case_many_directories()
{
  mkdir tree
  (cd tree && for i in $(seq 60); do mkdir -p $i/{a,b,c}{0..19}/{x,y} || exit 1; done) ||
    fail "cannot make the tree"
  printf x >tree/7/b13/y/only
  run 0 --json -p 4 tree
  same "$(number directories)" $((1 + 60 + 60 * 60 * 3)) "directories"
  same "$(number files)" 1 "files"
}

# More sub-directories in one directory than may wait at once: it is left in the middle.
case_wide_directory()
{
  mkdir tree
  (cd tree && seq 70000 | sed 's/^/a directory with a long enough name to fill buffers /' | tr '\n' '\0' |
    xargs -0 mkdir) || fail "cannot make the tree"
  printf x >"tree/a directory with a long enough name to fill buffers 69999/f"
  run 0 --json -p 3 tree
  same "$(number directories)" 70001 "directories"
  same "$(number files)" 1 "files"
}

# --------------------------------------------------------------------------
declare -F "case_$wanted" >/dev/null || fail "no such case: $wanted"
"$ingest" --features >/dev/null 2>err.txt
[ $? -eq 3 ] && skip "$(cat err.txt)"
"case_$wanted"
