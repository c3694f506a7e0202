#!/usr/bin/env bash
# tests/conformance/run.sh BUILD: the official clients, unmodified, against the server with a small published model.
# Where they cannot be had (no node, no npm, no network) it says so and skips.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/release}
model=${MAESTRALE_SHARED:-../shared}/data/models/stories260K.gguf
clients=build/conformance

skip() {
  echo "SKIPPED: $1"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

[ -x "$build/maestrale" ] || skip "$build/maestrale is not built"
[ -f "$model" ] || skip "no model at $model"
command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not installed"

mkdir -p "$clients"
if ! cmp -s tests/conformance/package.json "$clients/package.json" || [ ! -d "$clients/node_modules/openai" ]; then
  cp tests/conformance/package.json "$clients/package.json"
  (cd "$clients" && timeout 300 npm install --ignore-scripts --omit=optional --no-package-lock --no-audit --no-fund \
    --fetch-retries=1 --loglevel=error) >"$clients/install.log" 2>&1 || {
    rm -f "$clients/package.json"
    skip "npm could not install the clients: $(tail -n 1 "$clients/install.log" | cut -c1-160)"
  }
fi
cp tests/conformance/*.mjs "$clients/"
python3 tests/conformance/encoder.py "$clients"
exec timeout 600 node "$clients/main.mjs" "$build/maestrale" "$model" tests/conformance/chatml.jinja "$clients"
