#!/usr/bin/env bash
# tests/peers/run.sh BUILD: compares Maestrale with llama.cpp, as the npm package node-llama-cpp ships it, on a small
# published model. Where the peer cannot be had (no node, no npm, no network, another processor) it says so and skips.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/release}
model=${MAESTRALE_SHARED:-../shared}/data/models/stories260K.gguf
peers=build/peers

skip() {
  echo "SKIPPED: $1"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

[ -x "$build/maestrale" ] || skip "$build/maestrale is not built"
[ -f "$model" ] || skip "no model at $model"
[ "$(uname -sm)" = "Linux x86_64" ] || skip "the peer's binary is for Linux on x86-64"
command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not installed"

export NODE_LLAMA_CPP_SKIP_DOWNLOAD=true
mkdir -p "$peers"
if ! cmp -s tests/peers/package.json "$peers/package.json" || [ ! -d "$peers/node_modules/node-llama-cpp" ]; then
  cp tests/peers/package.json "$peers/package.json"
  (cd "$peers" && timeout 300 npm install --ignore-scripts --omit=optional --no-package-lock --no-audit --no-fund \
    --fetch-retries=1 --loglevel=error) >"$peers/install.log" 2>&1 || {
    rm -f "$peers/package.json"
    skip "npm could not install the peers: $(tail -n 1 "$peers/install.log" | cut -c1-160)"
  }
fi
cp tests/peers/llama_cpp.mjs "$peers/"
exec timeout 600 node "$peers/llama_cpp.mjs" "$build/maestrale" "$model"
