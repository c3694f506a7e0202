#!/usr/bin/env bash
# tests/peers/run.sh BUILD: compares Maestrale with llama.cpp, as the npm package node-llama-cpp ships it, on a small
# published model and on tiny mixtures. Where the peer cannot be had it says why and skips.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/release}
shared=${MAESTRALE_SHARED:-../shared}
model=$shared/data/models/stories260K.gguf

skip() {
  echo "SKIPPED: $1"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

[ -x "$build/maestrale" ] || skip "$build/maestrale is not built"
[ -f "$model" ] || skip "no model at $model"
reason=$(tests/peers/install.sh) || skip "$reason"
export NODE_LLAMA_CPP_SKIP_DOWNLOAD=true
cp tests/peers/*.mjs build/peers/
exec timeout 600 node build/peers/llama_cpp.mjs "$build/maestrale" "$model" "$shared"
