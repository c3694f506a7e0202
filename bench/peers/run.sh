#!/usr/bin/env bash
# bench/peers/run.sh [PRESET [FORMAT [ROUNDS [DEPTH]]]]: the speed of Maestrale and of llama.cpp (npm package
# node-llama-cpp) on one GGUF file with random weights, in turns on the same two threads. DEPTH 0 leaves the long
# prompt out.
set -eu
cd "$(dirname "$0")/../.."
preset=${1:-tinyllama-1.1b}
format=${2:-q4_0}
rounds=${3:-3}
depth=${4:-0}
file=build/peers/$preset-$format.gguf

tests/peers/install.sh
[ -f "$file" ] || build/release/maestrale convert --preset "$preset" --type "$format" --quiet "$file"
cp bench/peers/llama_cpp_speed.mjs build/peers/
NODE_LLAMA_CPP_SKIP_DOWNLOAD=true node build/peers/llama_cpp_speed.mjs build/release/maestrale "$file" "$rounds" 512 64 "$depth"
