#!/usr/bin/env python3
"""The house's rules as a test. Prints one line per breach and `N passed, N failed`, one check per rule.

A rule can be waived on one line by a comment `tidy(RULE): reason` or `NOLINT: reason`, or for a whole file's length by
`tidy(file-length): reason` in its first ten lines; waivers are counted and listed.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cpp_scan  # noqa: E402  (found beside this file)
import doc_check  # noqa: E402

FUNCTION_LINES = 70
KERNEL_FUNCTION_LINES = 100
FILE_LINES = 500
FILE_LINES_HARD = 800
BLOB_BYTES = 200_000
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:home|root|work|Users)/\w")


class House:
    """The files of one checkout, read once."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = self.list_files()
        self.sources = {}
        self.waived = []

    def list_files(self):
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard"],
                                capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            names = listed.stdout.splitlines()
        else:
            names = [os.path.relpath(os.path.join(folder, name), self.root)
                     for folder, _, inside in os.walk(self.root) for name in inside]
        names = [name for name in names if not name.startswith(("build/", ".git/"))]
        return sorted({name for name in names if (self.root / name).is_file()})

    def text(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace")

    def source(self, name):
        if name not in self.sources:
            self.sources[name] = cpp_scan.split_source(self.text(name))
        return self.sources[name]

    def cpp(self, *folders):
        return [name for name in self.files if name.endswith((".cpp", ".h", ".inc", ".def"))
                and (not folders or name.startswith(folders))]

    def rooms(self):
        """{room: (floor, [rooms it uses])} from CMakeLists.txt."""
        rooms = {}
        path = self.root / "CMakeLists.txt"
        for line in path.read_text().splitlines() if path.exists() else []:
            match = re.match(r"\s*room\((\w+)\s+FLOOR\s+(\d+)(.*)\)", line)
            if match:
                uses = re.search(r"USES((?:\s+[a-z_]+)*)(?:\s+LINK|$)", match.group(3))
                rooms[match.group(1)] = (int(match.group(2)), uses.group(1).split() if uses else [])
        return rooms

    def waives(self, name, line, rule):
        comment = self.source(name).comments.split("\n")[line - 1]
        if re.search(rf"(?:tidy\({re.escape(rule)}\)|NOLINT):\s*\S", comment):
            self.waived.append(f"{name}:{line}: {rule}")
            return True
        return False


def room_of(name):
    parts = name.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def check_floors(house):
    rooms = house.rooms()
    for room, (floor, uses) in rooms.items():
        for used in uses:
            if used not in rooms:
                yield f"CMakeLists.txt: room {room} uses {used}, which is not a room"
            elif rooms[used][0] >= floor:
                yield f"CMakeLists.txt: room {room} (floor {floor}) uses {used} (floor {rooms[used][0]})"
    for name in house.cpp("src/"):
        room = room_of(name)
        if room not in rooms:
            yield f"{name}: stands in no room that CMakeLists.txt names"
            continue
        for number, line in enumerate(house.text(name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+[<"](\w+)/', line)
            used = match.group(1) if match else None
            if used not in rooms or used == room:
                continue
            if rooms[used][0] >= rooms[room][0]:
                yield f"{name}:{number}: {room} (floor {rooms[room][0]}) includes {used} (floor {rooms[used][0]})"
            elif used not in rooms[room][1]:
                yield f"{name}:{number}: {room} includes {used}, which its room(...) line does not name"


def check_function_length(house):
    for name in house.cpp():
        limit = KERNEL_FUNCTION_LINES if name.startswith("src/kernels/") else FUNCTION_LINES
        code = house.source(name).code
        for function in cpp_scan.Scanner(cpp_scan.blank_preprocessor(code)).scan():
            if function.lines > limit:
                yield f"{name}:{function.first_line}: {function.name} has {function.lines} lines (limit {limit})"
        for macro in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(?:[^\n]*\\\n)*", code, re.MULTILINE):
            lines = macro.group(0).count("\n") + 1
            if lines > limit:
                yield f"{name}: macro {macro.group(1)} has {lines} lines (limit {limit})"


def check_file_length(house):
    for name in house.cpp() + [name for name in house.files if name.endswith((".py", ".sh", ".mjs"))]:
        lines = house.text(name).count("\n")
        if lines <= FILE_LINES:
            continue
        waiver = any(house.waives(name, line, "file-length") for line in range(1, 11))
        if lines > FILE_LINES_HARD or not waiver:
            yield f"{name}: {lines} lines (limit {FILE_LINES}; with a reason {FILE_LINES_HARD})"


def pattern_breaches(house, names, pattern, rule, message):
    """One line for each place where blanked code matches, unless that line waives the rule."""
    for name in names:
        for number, line in enumerate(house.source(name).code.split("\n"), 1):
            if re.search(pattern, line) and not house.waives(name, number, rule):
                yield f"{name}:{number}: {message}"


def check_intrinsics(house):
    names = [name for name in house.cpp() if not name.startswith("src/kernels/")]
    pattern = r"\b_mm\d*_|\b__AVX|\b__m(?:128|256|512)|immintrin\.h|arm_neon\.h|\bdefined\(__(?:SSE|FMA)"
    return pattern_breaches(house, names, pattern, "intrinsics", "instruction-set code outside src/kernels")


def check_dtype_switch(house):
    names = [name for name in house.cpp() if not name.startswith("src/tensor/")]
    return pattern_breaches(house, names, r"\bcase\s+(?:\w+::)*DType::", "dtype-switch",
                            "`case DType::` outside src/tensor")


def check_raw_new(house):
    for name in house.cpp():
        for number, line in enumerate(house.source(name).code.split("\n"), 1):
            plain = re.sub(r"=\s*delete\b|\boperator\s+(?:new|delete)\b|\bnew\s*\(", "", line)  # placement is fine
            if line.lstrip().startswith("#"):
                continue
            if re.search(r"\bnew\b|\bdelete\b", plain) and not house.waives(name, number, "raw-new"):
                yield f"{name}:{number}: raw new or delete"


def check_cout(house):
    names = [name for name in house.cpp("src/")
             if not name.startswith("src/app/") and not name.endswith("_test.cpp")]
    pattern = r"\bstd::(?:cout|cerr|clog)\b|(?<![\w:])(?:std::)?(?:printf|puts|putchar)\s*\(|\bfmt::print\b"
    return pattern_breaches(house, names, pattern, "cout", "a library that writes to the terminal")


def check_using_namespace(house):
    return pattern_breaches(house, house.cpp(), r"\busing\s+namespace\b", "using-namespace", "using namespace")


def check_try_in_braces(house):
    """A member whose TRY returns early leaves the members before it undestroyed."""
    return pattern_breaches(house, house.cpp(), r"(?:^\s*|[{,]\s*)\.\w+\s*=\s*TRY\(", "try-in-braces",
                            "TRY inside a braced initialiser; unwrap it in a statement before")


def check_unfinished(house):
    for name in house.files:
        if not name.endswith((".cpp", ".h", ".def", ".inc", ".py", ".sh", ".mjs", ".cmake", ".txt", ".md")):
            continue
        for number, line in enumerate(house.text(name).splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{name}:{number}: unfinished work is marked; finish it or write an issue"


def check_nolint(house):
    for name in house.cpp():
        for number, line in enumerate(house.source(name).comments.split("\n"), 1):
            if re.search(r"\bNOLINT\w*(?:\([^)]*\))?(?!\w|\(|:\s*\w)", line):
                yield f"{name}:{number}: NOLINT without a reason (`NOLINT: why`)"


def registry_rows(house):
    """[(id, file)]: a row may name its file after its id, MODEL(id, file, "…"); without one the id is the file."""
    path = house.root / "src/models/registry.def"
    if not path.exists():
        return None
    code = re.sub(r"//[^\n]*", "", path.read_text())
    rows = re.findall(r'^\s*MODEL\(\s*(\w+)\s*,\s*(\w*)', code, re.MULTILINE)
    return [(identifier, file or identifier) for identifier, file in rows]


def check_registry(house):
    rows = registry_rows(house)
    if rows is None:
        return
    for identifier, file in rows:
        if not (house.root / f"src/models/{file}.cpp").exists():
            yield f"src/models/registry.def: {identifier} names src/models/{file}.cpp, which does not exist"
    path = house.root / "docs/models.md"
    documented = re.findall(r"^\|\s*`(\w+)`", path.read_text(), re.MULTILINE) if path.exists() else None
    if documented is not None:
        for identifier in sorted({identifier for identifier, _ in rows} - set(documented)):
            yield f"docs/models.md: no row for `{identifier}` of src/models/registry.def"
        for identifier in sorted(set(documented) - {identifier for identifier, _ in rows}):
            yield f"docs/models.md: `{identifier}` is not in src/models/registry.def"
    for name in house.cpp("src/models/"):
        for entry in re.findall(r"^const ModelEntry& (\w+)_entry\(\)", house.source(name).code, re.MULTILINE):
            if name.endswith(".cpp") and entry not in {identifier for identifier, _ in rows}:
                yield f"{name}: defines {entry}_entry(), which src/models/registry.def does not name"


def check_docs(house):
    return doc_check.breaches(house)


def check_blobs(house):
    for name in house.files:
        size = (house.root / name).stat().st_size
        if size > BLOB_BYTES:
            yield f"{name}: {size} bytes (limit {BLOB_BYTES})"


def check_machine_paths(house):
    for name in house.files:
        if (house.root / name).stat().st_size > BLOB_BYTES or name.startswith("tests/fuzz/corpus/"):
            continue
        for number, line in enumerate(house.text(name).splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield f"{name}:{number}: an absolute path of one machine"


def untested(house):
    """Sources of more than 40 lines of code without a test beside them: for information."""
    names = set(house.files)
    for name in house.cpp("src/"):
        if not name.endswith(".cpp") or name.endswith(("_test.cpp", "/main.cpp")):
            continue
        lines = [line for line in house.source(name).code.split("\n") if line.strip()]
        if len(lines) > 40 and name[:-4] + "_test.cpp" not in names:
            yield name


CHECKS = {
    "floors": check_floors,
    "function-length": check_function_length,
    "file-length": check_file_length,
    "intrinsics": check_intrinsics,
    "dtype-switch": check_dtype_switch,
    "raw-new": check_raw_new,
    "cout": check_cout,
    "using-namespace": check_using_namespace,
    "try-in-braces": check_try_in_braces,
    "unfinished": check_unfinished,
    "nolint": check_nolint,
    "registry": check_registry,
    "docs": check_docs,
    "blobs": check_blobs,
    "machine-paths": check_machine_paths,
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--only", choices=CHECKS, action="append", help="run only this rule")
    options = parser.parse_args(arguments)
    house = House(options.root)
    failed = 0
    chosen = options.only or list(CHECKS)
    for rule in chosen:
        breaches = list(CHECKS[rule](house))
        for breach in breaches:
            print(f"{rule}: {breach}")
        failed += bool(breaches)
    for waiver in house.waived:
        print(f"info: waived: {waiver}")
    missing = [] if options.only else list(untested(house))
    if missing:
        print(f"info: no test beside these sources: {' '.join(missing)}")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
