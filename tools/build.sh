#!/usr/bin/env bash
# tools/build.sh PRESET JOBS [TARGET…]: configures build/PRESET once and builds it; prints only warnings, errors and the end.
set -u
cd "$(dirname "$0")/.." || exit 1
preset=$1
jobs=${2:-$(nproc)}
dir=build/$preset
if [ ! -f "$dir/build.ninja" ]; then
  mkdir -p "$dir"
  cmake --preset "$preset" >"$dir/configure.log" 2>&1 || {
    cat "$dir/configure.log" >&2
    echo "build: cmake --preset $preset failed" >&2
    exit 1
  }
fi
exec cmake --build "$dir" --parallel "$jobs" ${3:+--target "${@:3}"}
