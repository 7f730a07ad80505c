#!/usr/bin/env bash
# run.sh [W1|W2|W3] [rounds]   run the programs one after another, `rounds` times round, in another
#                              order each round, and print a table of medians
# run.sh tiny                  a few thousand reads through every program: do they work?
#
#   W1  4 KiB random reads of a 1 GiB file that is in the page cache (default)
#   W2  128 KiB sequential reads of it, each producer its own part
#   W3  W1 with O_DIRECT
#
# Environment (defaults):
#   BUILD         where the programs are (build/release/bench of this source tree)
#   OPS           reads a run (W1 2000000, W2 65536, W3 200000)
#   QD 64  PRODUCERS 2  CONSUMERS 2  WORKERS 4  SEED 1  LAT 7 (each 7th timed; 0: none)
#   BATCH 0       reads that a producer requests at once (0: QD / PRODUCERS / 2, up to 32)
#   PEERS         only these, by name, e.g. "raw sqcq owner"
#   SQCQ_FLAGS    more flags for sqcq and sqcq-solo, e.g. "--idle busy --min 8"
#   EXTRA         more programs that take the same flags: "name=path[+flag+value..] .."
#   FIO 1         0: leave out fio, where it is installed
#   BENCH_FILE    use this file, and keep it (else one is made in $TMPDIR and removed)
#   MIB 1024      its size
#   RAW_OUT       append each run's line to this file
#   CPUS          a taskset list for all programs
#   VERIFY 0      1: check each page's stamp (to test, not to measure)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../build/release/bench}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

need_programs() {
  [ -x "$BUILD/bench-raw" ] && return
  echo "run.sh: no programs in $BUILD: build them, or set BUILD" >&2
  exit 2
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# ---------------------------------------------------------------------------
# tiny
# ---------------------------------------------------------------------------

# tiny_run NAME PROGRAM FLAGS..: once; its line must be right. Ends the script with 77 where there
# is no io_uring. The sums are collected: they must be the same for the same work.
tiny_run() {
  local name=$1 program=$2 status=0 line
  shift 2
  line=$("$BUILD/$program" "$@") || status=$?
  if [ $status = 77 ]; then
    exit 77
  fi
  if [ $status != 0 ] || [ -z "$line" ] || grep -qv ' ok=1$' <<<"$line"; then
    echo "FAILED with $status: $program $*" >&2
    echo "$line" >&2
    exit 1
  fi
  echo "ok $name: $program $*"
  sed -n 's/.* \(checksum=[0-9a-f]*\) .*/\1/p' <<<"$line" >>"$tmp/sums.$name"
}

tiny() {
  local file=$tmp/data p f work
  local -a works names=(raw owner consowner perthreadq mutexring preadinline preadpool sqcq)
  "$BUILD/bench-mkfile" "$file" 4
  "$BUILD/bench-mkfile" -w "$file"
  # name flags..
  works=("random --ops 4000"
    "sequential --ops 500 --bs 131072 --seq 1 --qd 8"
    "odd --ops 3001 --qd 13 --producers 3 --consumers 5 --batch 3 --seed 7"
    "one --ops 300 --qd 1 --producers 1 --consumers 1")
  # O_DIRECT, where the file system has it
  if "$BUILD/bench-preadinline" --file "$file" --ops 10 --direct 1 >"$tmp/direct" 2>&1; then
    works+=("direct --ops 1000 --direct 1")
  fi
  for work in "${works[@]}"; do
    # shellcheck disable=SC2086 # a list
    set -- $work
    for p in "${names[@]}"; do
      tiny_run "$1" "bench-$p" --file "$file" --verify 1 "${@:2}"
    done
    for f in "--solo 1" "--many 0" "--fixed 0 --files-fixed 0" "--idle sleep" "--idle busy" \
      "--lanes 1 --lane-slots 2" "--own-lanes 1" "--own-lanes 1 --many 0" "--min 1" "--min 64"; do
      # shellcheck disable=SC2086 # a list
      tiny_run "$1" bench-sqcq --file "$file" --verify 1 "${@:2}" $f
    done
    if [ "$(sort -u "$tmp/sums.$1" | wc -l)" != 1 ]; then
      echo "FAILED: the sums of $1 differ" >&2
      exit 1
    fi
  done
  tiny_run request bench-request --reads 3000
}

# ---------------------------------------------------------------------------
# The programs
# ---------------------------------------------------------------------------

# programs: name|path|flags beyond the common ones
list_programs() {
  local p e path flags
  for p in raw owner consowner perthreadq mutexring preadinline preadpool; do
    programs+=("$p|$BUILD/bench-$p|")
  done
  # As many preads at once as there are buffers: four do not keep a disk busy.
  [ "$DIRECT" = 0 ] || programs+=("preadpool-t$QD|$BUILD/bench-preadpool|--workers $QD")
  programs+=("sqcq|$BUILD/bench-sqcq|${SQCQ_FLAGS:-}")
  programs+=("sqcq-solo|$BUILD/bench-sqcq|--solo 1 ${SQCQ_FLAGS:-}")
  if [ "${FIO:-1}" = 1 ] && command -v fio >/dev/null; then
    programs+=("fio|fio|")
  fi
  for e in ${EXTRA:-}; do
    IFS=+ read -r path flags <<<"${e#*=}"
    programs+=("${e%%=*}|$path|${flags//+/ }")
  done
}

# fio's terse line in our words. It makes no sum, and its CPU figures are per cent of its run.
fio_line() {
  awk -F';' -v ops="$OPS" -v bs="$BS" '{
    for (i = 18; i <= 37; i++) { split($i, q, "%="); ns[q[1] + 0] = q[2] * 1000 }
    s = $9 / 1000; n = $6 * 1024 / bs
    printf "peer=fio ops_per_s=%.0f cpu_us_per_op=%.3f wall_s=%.4f checksum=none", n / s,
      ($88 + $89) / 100 * s * 1e6 / n, s
    printf " p50_ns=%d p99_ns=%d p999_ns=%d gb_per_s=%.3f ok=1\n", ns[50], ns[99], ns[99.9],
      n * bs / s / 1e9 }'
}

run_fio() {
  local rw=randread
  [ "$SEQ" = 0 ] || rw="read"
  "${pin[@]}" fio --name=fio --filename="$file" --size="${MIB}M" --io_size=$((OPS * BS)) \
    --rw=$rw --bs="$BS" --ioengine=io_uring --iodepth="$QD" \
    --iodepth_batch_submit=$(((QD + 1) / 2)) --iodepth_batch_complete_min=1 \
    --iodepth_batch_complete_max="$QD" --hipri=0 --fixedbufs --registerfiles --direct="$DIRECT" \
    --invalidate=0 --norandommap --random_generator=tausworthe64 --randseed="$SEED" --thread \
    --output-format=terse --terse-version=3 | fio_line
}

# run_one name|path|flags
run_one() {
  local name path flags
  IFS='|' read -r name path flags <<<"$1"
  if [ "$path" = fio ]; then
    run_fio
  else
    # shellcheck disable=SC2086 # flags is a list
    "${pin[@]}" "$path" --file "$file" --ops "$OPS" --bs "$BS" --qd "$QD" \
      --producers "$PRODUCERS" --consumers "$CONSUMERS" --seed "$SEED" --direct "$DIRECT" \
      --seq "$SEQ" --lat "$LAT" --verify "$VERIFY" --batch "$BATCH" --workers "$WORKERS" $flags
  fi | sed "s/^peer=[^ ]*/peer=$name/"
}

# ---------------------------------------------------------------------------
# The table: medians over the rounds; "x raw" is the median of each round's own ratio to raw.
# ---------------------------------------------------------------------------
print_table() {
  awk '
  function median(list,  v, n, i, j, t) { # and the least and the most of it
    n = split(list, v, " ")
    if (!n) return ""
    for (i = 2; i <= n; i++) {
      t = v[i] + 0
      for (j = i - 1; j >= 1 && v[j] + 0 > t; j--) v[j + 1] = v[j]
      v[j + 1] = t
    }
    least = v[1]; most = v[n]
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
  }
  function show(key, width, format, scale,  m) {
    m = median(values[p, key])
    printf " %" width "s", m == "" ? "-" : sprintf(format, m / scale)
  }
  {
    split("", field)
    for (i = 1; i <= NF; i++) {
      k = index($i, "=")
      if (!k) continue
      key = substr($i, 1, k - 1); value = substr($i, k + 1)
      field[key] = value
      if (value ~ /^[0-9.]+$/) values[field["peer"], key] = values[field["peer"], key] " " value
    }
    p = field["peer"]
    if (!(p in seen)) { seen[p] = 1; name[++names] = p }
    r = field["round"] + 0
    if (r > rounds) rounds = r
    ops[p, r] = field["ops_per_s"]
    if (field["checksum"] != "none") {
      if (sum == "") sum = field["checksum"]
      if (field["checksum"] != sum) { print "CHECKSUM DIFFERS: " p " " field["checksum"]; bad = 1 }
    }
  }
  END {
    for (i = 1; i <= names; i++) { # by speed
      t = name[i]; m = median(values[t, "ops_per_s"]) + 0
      for (j = i - 1; j >= 1 && speed[j] < m; j--) {
        name[j + 1] = name[j]
        speed[j + 1] = speed[j]
      }
      name[j + 1] = t; speed[j + 1] = m
    }
    printf "%-14s %9s %9s %9s %6s %9s %7s %8s %8s %9s %7s %7s %7s %6s\n", "program", "ops/s", "min",
      "max", "x raw", "cpu us/op", "GB/s", "p50 us", "p99 us", "p99.9 us", "csw/op", "sys/op",
      "wake/op", "allocs"
    for (i = 1; i <= names; i++) {
      p = name[i]
      ratios = ""
      for (r = 1; r <= rounds; r++)
        if (((p, r) in ops) && (("raw", r) in ops)) ratios = ratios " " ops[p, r] / ops["raw", r]
      ratio = median(ratios)
      m = median(values[p, "ops_per_s"])
      printf "%-14s %9.0f %9.0f %9.0f %6s", p, m, least, most,
        ratio == "" ? "-" : sprintf("%.3f", ratio)
      show("cpu_us_per_op", 9, "%.3f", 1); show("gb_per_s", 7, "%.3f", 1)
      show("p50_ns", 8, "%.1f", 1000); show("p99_ns", 8, "%.1f", 1000)
      show("p999_ns", 9, "%.1f", 1000); show("csw_per_op", 7, "%.3f", 1)
      show("syscalls_per_op", 7, "%.4f", 1); show("wakes_per_op", 7, "%.4f", 1)
      show("allocs", 6, "%.0f", 1)
      printf "\n"
    }
    print "checksum " (sum == "" ? "none" : sum) \
      (bad ? " DIFFERS" : ", the same for all that make one")
    exit bad
  }' "$tmp/lines"
}

# ---------------------------------------------------------------------------
# A workload
# ---------------------------------------------------------------------------
workload=${1:-W1}
rounds=${2:-5}
case $workload in
W1) BS=4096 SEQ=0 DIRECT=0 OPS=${OPS:-2000000} ;;
W2) BS=131072 SEQ=1 DIRECT=0 OPS=${OPS:-65536} ;;
W3) BS=4096 SEQ=0 DIRECT=1 OPS=${OPS:-200000} ;;
tiny)
  need_programs
  tiny
  exit 0
  ;;
*) usage ;;
esac
[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage
need_programs
QD=${QD:-64} PRODUCERS=${PRODUCERS:-2} CONSUMERS=${CONSUMERS:-2} WORKERS=${WORKERS:-4}
SEED=${SEED:-1} LAT=${LAT:-7} BATCH=${BATCH:-0} VERIFY=${VERIFY:-0} MIB=${MIB:-1024}

programs=()
list_programs
if [ -n "${PEERS:-}" ]; then
  chosen=()
  for program in "${programs[@]}"; do
    case " $PEERS " in *" ${program%%|*} "*) chosen+=("$program") ;; esac
  done
  [ ${#chosen[@]} -gt 0 ] || usage
  programs=("${chosen[@]}")
fi
pin=()
[ -z "${CPUS:-}" ] || pin=(taskset -c "$CPUS")

file=${BENCH_FILE:-$tmp/data}
"$BUILD/bench-mkfile" "$file" "$MIB"
if [ "$DIRECT" = 1 ]; then
  "$BUILD/bench-mkfile" -d "$file"
else
  "$BUILD/bench-mkfile" -w "$file"
fi

echo "# $workload ops=$OPS bs=$BS qd=$QD producers=$PRODUCERS consumers=$CONSUMERS" \
  "batch=$BATCH workers=$WORKERS seed=$SEED direct=$DIRECT rounds=$rounds"
echo "# file ${MIB} MiB on $(stat -f -c %T "$(dirname "$file")"), kernel $(uname -r)," \
  "$(nproc) CPUs ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
  "load $(cut -d' ' -f1-3 /proc/loadavg)," \
  "commit $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)"
bad=0
: >"$tmp/lines"
for ((round = 1; round <= rounds; round++)); do
  shuf -e --random-source=<(yes "$round") -- "${programs[@]}" >"$tmp/order"
  while IFS= read -r program <&3; do
    if line=$(run_one "$program" 3>&-) && [ -n "$line" ]; then
      echo "round=$round $line" >>"$tmp/lines"
      [ -z "${RAW_OUT:-}" ] || echo "w=$workload round=$round $line" >>"$RAW_OUT"
    else
      echo "FAILED: $program ${line:-}" >&2
      bad=1
    fi
    [ ! -t 2 ] || printf '\r%s/%s %-20s' "$round" "$rounds" "${program%%|*}" >&2
  done 3<"$tmp/order"
done
[ ! -t 2 ] || printf '\r%40s\r' '' >&2
print_table || bad=1
exit $bad
