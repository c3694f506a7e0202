#!/usr/bin/env python3
"""isa_symbols.py BUILD: code compiled for one instruction set must not be linked into the rest of the program.

A linker keeps one copy of an inline function. If the object compiled for AVX-512 brought a copy of a shared one
along, every caller could get it and stop with an illegal instruction on a smaller machine. So every symbol that
such an object offers must carry the name of its instruction set.
"""

import re
import subprocess
import sys
from pathlib import Path

SETS = {"avx2": "Avx2|avx2", "avx512": "Avx512|avx512"}
OFFERED = set("TWVuDBR")  # global, weak and unique definitions, not local ones


def offered_symbols(listing):
    """Demangled names of the global definitions in the output of `nm --demangle`."""
    for line in listing.splitlines():
        match = re.match(r"[0-9a-f]+ ([A-Za-z]) (.+)$", line)
        if match and match.group(1) in OFFERED:
            yield match.group(2)


def strangers(listing, name):
    return [symbol for symbol in offered_symbols(listing)
            if not re.search(SETS[name], symbol) and not symbol.startswith(("DW.ref.", "__asan", "__odr_asan"))]


def main():
    passed = failed = 0
    for name in SETS:
        for path in Path(sys.argv[1]).rglob(f"kernels/isa/{name}.cpp.o"):
            listing = subprocess.run(["nm", "--demangle", str(path)], capture_output=True, text=True, check=True).stdout
            found = strangers(listing, name)
            for symbol in found:
                print(f"FAIL {path.name} offers {symbol}")
            passed, failed = passed + (not found), failed + bool(found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
