#!/usr/bin/env bash
# tools/fuzz.sh RUNS JOBS: builds the fuzz preset and runs every target RUNS times. New inputs go to a scratch
# corpus under build/fuzz; tests/fuzz/corpus/NAME is only read. A crashing input is kept in build/fuzz/crashes.
set -u
cd "$(dirname "$0")/.." || exit 1
runs=${1:-20000}
jobs=${2:-$(nproc)}
tools/setup.sh --fuzz || exit 1
mapfile -t targets < <(basename -s .cpp tests/fuzz/fuzz_*.cpp)
tools/build.sh fuzz "$jobs" "${targets[@]}" || exit 1
passed=0
failed=0
mkdir -p build/fuzz/crashes build/fuzz/logs
for source in tests/fuzz/fuzz_*.cpp; do
  [ -e "$source" ] || continue
  target=$(basename "$source" .cpp)
  name=${target#fuzz_}
  scratch=build/fuzz/corpus/$name
  mkdir -p "$scratch"
  seeds=()
  [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
  if "build/fuzz/$target" -runs="$runs" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20 -max_len=65536 \
    -artifact_prefix=build/fuzz/crashes/"$name"- "$scratch" "${seeds[@]}" >"build/fuzz/logs/$name" 2>&1; then
    passed=$((passed + 1))
    echo "$name: $runs runs, clean ($(grep -oE 'cov: [0-9]+' "build/fuzz/logs/$name" | tail -n 1))"
  else
    failed=$((failed + 1))
    tail -n 30 "build/fuzz/logs/$name"
    echo "$name: FAILED, see build/fuzz/logs/$name and build/fuzz/crashes"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
