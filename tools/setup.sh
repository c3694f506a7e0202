#!/usr/bin/env bash
# Installs the Debian packages that the build needs and that are missing. Says nothing when nothing is missing.
set -u
packages=(
  g++ cmake ninja-build ccache pkg-config python3
  libboost1.81-dev libboost-json1.81-dev libpcre2-dev libutf8proc-dev libfmt-dev libcli11-dev libtomlplusplus-dev libxxhash-dev
  libedit-dev libsodium-dev libsqlite3-dev libssl-dev openssl libgtest-dev libgmock-dev json-schema-test-suite
)
[ "${1:-}" = "--format" ] && packages+=(clang-format)
[ "${1:-}" = "--fuzz" ] && packages+=(clang-14 libfuzzer-14-dev)

command -v dpkg-query >/dev/null || {
  echo "setup: this is not a Debian system; install these yourself: ${packages[*]}" >&2
  exit 0
}
missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup: missing packages, and neither root nor sudo is here. As root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "setup: installing ${missing[*]}"
install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${install[@]}" >"$log" 2>&1 && exit 0
"${sudo[@]}" apt-get update -q >>"$log" 2>&1
"${install[@]}" >>"$log" 2>&1 && exit 0
tail -n 15 "$log" >&2
echo "setup: apt could not install ${missing[*]}; the lines above say why" >&2
exit 1
