#!/usr/bin/env bash
# tests/peers/install.sh: installs the peers of tests/peers/package.json into build/peers, once. Where they cannot be
# had (no node, no npm, no network, another processor) the reason is printed and the exit code is 1.
set -u
cd "$(dirname "$0")/../.." || exit 1
peers=build/peers

refuse() {
  echo "$1"
  exit 1
}

[ "$(uname -sm)" = "Linux x86_64" ] || refuse "the peer's binary is for Linux on x86-64"
command -v node >/dev/null && command -v npm >/dev/null || refuse "node and npm are not installed"
mkdir -p "$peers"
if ! cmp -s tests/peers/package.json "$peers/package.json" || [ ! -d "$peers/node_modules/node-llama-cpp" ]; then
  cp tests/peers/package.json "$peers/package.json"
  (cd "$peers" && NODE_LLAMA_CPP_SKIP_DOWNLOAD=true timeout 300 npm install --ignore-scripts --omit=optional \
    --no-package-lock --no-audit --no-fund --fetch-retries=1 --loglevel=error) >"$peers/install.log" 2>&1 || {
    rm -f "$peers/package.json"
    refuse "npm could not install the peers: $(tail -n 1 "$peers/install.log" | cut -c1-160)"
  }
fi
