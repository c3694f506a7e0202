#!/usr/bin/env bash
# bench/peers/run.sh [PRESET|FILE.gguf [FORMAT [ROUNDS [DEPTH]]]]: the speed of Maestrale and of llama.cpp (npm package
# node-llama-cpp) on one GGUF file with random weights, in turns on the same two threads. DEPTH 0 leaves the long
# prompt out. The file is made in MAESTRALE_BENCH_FOLDER (default build/peers) where it is not there yet. Every step
# says on stderr what it does; PRIORITY=50 runs both with
# chrt -r 50 on a busy machine, where the peer's threads, which spin at their barriers, hardly get on at all.
set -eu
cd "$(dirname "$0")/../.."
preset=${1:-tinyllama-1.1b}
format=${2:-q4_0}
rounds=${3:-3}
depth=${4:-0}
file=${MAESTRALE_BENCH_FOLDER:-build/peers}/$preset-$format.gguf
case $preset in *.gguf) file=$preset ;; esac

echo "installing the peer" >&2
tests/peers/install.sh
if [ ! -f "$file" ]; then
  echo "writing $file" >&2
  build/release/maestrale convert --preset "$preset" --type "$format" "$file" >&2
fi
cp bench/peers/llama_cpp_speed.mjs build/peers/
[ -z "${PRIORITY:-}" ] || set -- chrt -r "$PRIORITY"
[ -n "${PRIORITY:-}" ] || set --
NODE_LLAMA_CPP_SKIP_DOWNLOAD=true "$@" node build/peers/llama_cpp_speed.mjs build/release/maestrale "$file" "$rounds" 512 64 "$depth"
