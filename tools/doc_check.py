"""What the documents name must exist: paths, links, `make` targets and `maestrale` subcommands."""

import re

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PLACEHOLDER = re.compile(r"[*<>{}$…]|\bNAME\b|\bx(?:_test)?\.(?:cpp|h)$|\bPATH\b|\bDIR\b")


def documents(house):
    return [name for name in house.files if name.endswith(".md")
            and (name == "README.md" or name.startswith("docs/"))]


def code_pieces(text):
    """(line, piece) of everything set as code."""
    for fence in FENCE.finditer(text):
        for offset, line in enumerate(fence.group(0).split("\n")):
            yield text.count("\n", 0, fence.start()) + 1 + offset, line
    without = FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence.group(0)), text)
    for inline in INLINE.finditer(without):
        yield without.count("\n", 0, inline.start()) + 1, inline.group(1)


def expand(path):
    """src/base/file.{h,cpp} names two paths."""
    match = re.search(r"\{([^{}]+)\}", path)
    if not match:
        return [path]
    return [path[:match.start()] + choice.strip() + path[match.end():] for choice in match.group(1).split(",")]


def top_level(house):
    return {name.split("/")[0] for name in house.files if "/" in name}


def missing_paths(house, piece):
    tops = top_level(house)
    rooms = {name.split("/")[1] for name in house.files if name.startswith("src/") and name.count("/") > 1}
    for token in re.findall(r"[\w.{},/*<>$…-]+", piece):
        token = token.rstrip(".,:")
        parts = token.split("/")
        if len(parts) < 2 or token.startswith(("/", "build/", "../", "-")):
            continue
        base = "" if parts[0] in tops else "src/" if parts[0] in rooms and "." in parts[-1] else None
        for path in expand(token) if base is not None else []:
            if not PLACEHOLDER.search(path) and not (house.root / (base + path)).exists():
                yield f"names {path}, which does not exist"


def make_targets(house):
    path = house.root / "Makefile"
    return set(re.findall(r"^([a-z][\w-]*):", path.read_text(), re.MULTILINE)) if path.exists() else set()


def wrong_targets(piece, targets):
    for match in re.finditer(r"(?:^|[\s;&`$])make\s+([a-z][\w-]*)", piece):
        if match.group(1) not in targets:
            yield f"names `make {match.group(1)}`, which is not a target"


def subcommands(house):
    """Every name that src/app gives to a subcommand, or None while there is no src/app."""
    names = house.cpp("src/app/")
    if not names:
        return None
    return set(re.findall(r'add_subcommand\(\s*"([\w-]+)"', "".join(house.text(name) for name in names)))


def wrong_commands(piece, commands):
    for match in re.finditer(r"(?:^|[\s/])maestrale\s+([a-z][\w-]*)", piece):
        if match.group(1) not in commands:
            yield f"names `maestrale {match.group(1)}`, which is not a command"


def breaches(house):
    targets, commands = make_targets(house), subcommands(house)
    for name in documents(house):
        text = house.text(name)
        for line, piece in code_pieces(text):
            wrong = list(missing_paths(house, piece)) + list(wrong_targets(piece, targets))
            if commands:
                wrong += list(wrong_commands(piece, commands))
            for what in wrong:
                yield f"{name}:{line}: {what}"
        for link in LINK.finditer(text):
            target = link.group(1)
            if "://" not in target and not ((house.root / name).parent / target).exists():
                yield f"{name}:{text.count(chr(10), 0, link.start()) + 1}: links to {target}, which does not exist"

