"""A C++ scanner that is good enough to find functions: it blanks comments, strings and preprocessor lines
(keeping every line where it is) and matches braces. It needs no compiler and knows no types."""

import re
from dataclasses import dataclass

RAW_STRING = re.compile(r'(?:u8|[uUL])?R"([^()\\\s]{0,16})\(')
QUALIFIERS = re.compile(r"(?:\b(?:const|noexcept|override|final|mutable|volatile|try)\b|&&?|\s)+$")
TRAILING_TYPE = re.compile(r"\)\s*(?:const|noexcept|mutable|\s)*->\s*[\w:<>,\s*&]+$")
INIT_LIST = re.compile(r"\)\s*(?:noexcept\s*)?:[^:]")
TYPE_WORD = re.compile(r"\b(?:class|struct|union|enum)\b")


@dataclass
class Source:
    code: str      # comments and literals blanked, same length and lines as the file
    comments: str  # everything but comments blanked


@dataclass
class Function:
    name: str
    first_line: int
    last_line: int

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def literal_end(text, start):
    """The index after the string or character literal that starts at `start`."""
    quote, i = text[start], start + 1
    while i < len(text) and text[i] != quote and text[i] != "\n":
        i += 2 if text[i] == "\\" else 1
    return min(i + 1, len(text))


def token_end(text, i):
    """(kind, end) of the comment or literal that starts at i, or (None, i + 1)."""
    if text.startswith("//", i):
        end = text.find("\n", i)
        while end > 0 and text[end - 1] == "\\":
            end = text.find("\n", end + 1)
        return "comment", len(text) if end < 0 else end
    if text.startswith("/*", i):
        end = text.find("*/", i + 2)
        return "comment", len(text) if end < 0 else end + 2
    raw = RAW_STRING.match(text, i) if text[i] in "uULR" and not (i and is_word(text[i - 1])) else None
    if raw:
        end = text.find(")" + raw.group(1) + '"', raw.end())
        return "literal", len(text) if end < 0 else end + len(raw.group(1)) + 2
    if text[i] == '"':
        return "literal", literal_end(text, i)
    if text[i] == "'" and not (i and text[i - 1].isalnum() and number_before(text, i)):
        return "literal", literal_end(text, i)
    return None, i + 1


def is_word(character):
    return character.isalnum() or character == "_"


def number_before(text, i):
    """True where the ' at i separates digits: 1'000'000, 0xff'ff."""
    start = i
    while start and (is_word(text[start - 1]) or text[start - 1] == "'"):
        start -= 1
    return text[start].isdigit()


def split_source(text):
    code, comments, i = [], [], 0
    while i < len(text):
        kind, end = token_end(text, i)
        part = text[i:end]
        if kind is None:
            code.append(part)
            comments.append(part if part == "\n" else " ")
        elif kind == "comment":
            code.append(blank(part))
            comments.append(part)
        else:
            code.append(part[0] + blank(part[1:-1]) + part[-1] if len(part) > 1 else part)
            comments.append(blank(part))
        i = end
    return Source("".join(code), "".join(comments))


def blank_preprocessor(code):
    """Preprocessor lines, with their continuations, as blanks."""
    lines, continued = code.split("\n"), False
    for number, line in enumerate(lines):
        is_directive = continued or line.lstrip().startswith("#")
        continued = is_directive and line.rstrip().endswith("\\")
        if is_directive:
            lines[number] = " " * len(line)
    return "\n".join(lines)


def drop_templates(head):
    head = re.sub(r"\[\[.*?\]\]", " ", head)
    while re.search(r"<[^<>]*>", head):
        head = re.sub(r"<[^<>]*>", " ", head)
    return head


def scope_kind(head):
    """What a `{` opens, from the text of its statement: 'namespace', 'type', 'function' or 'init'."""
    plain = drop_templates(head).strip()
    if re.search(r"\bnamespace\b", plain) or re.match(r'extern\s+"[^"]*"$', plain):
        return "namespace"
    if not plain or plain.endswith(("=", ",", "(", "return")):
        return "init"
    bare = QUALIFIERS.sub("", plain)
    bare = re.sub(r"noexcept\s*\([^()]*\)$", "", bare).rstrip()
    if bare.endswith(")") and "(" in bare and not re.search(r"\brequires\s*\([^()]*\)$", bare):
        return "function"
    if TRAILING_TYPE.search(plain):
        return "function"
    if bare.endswith("}") and INIT_LIST.search(bare):
        return "function"
    if TYPE_WORD.search(plain):
        return "type"
    if re.search(r"\)\s*requires\b", plain) and not plain.endswith("("):
        return "function"
    return "init"


def function_name(head):
    plain = drop_templates(head)
    match = re.search(r"([~\w:]+|operator\s*\S+)\s*\(", plain)
    if match and match.group(1).startswith(("TEST", "BENCHMARK")):
        inside = re.search(r"\(\s*(\w+)\s*,\s*(\w+)", plain[match.start():])
        return f"{inside.group(1)}.{inside.group(2)}" if inside else match.group(1)
    return match.group(1) if match else "lambda"


class Scanner:
    """Walks blanked code and collects the outermost functions of every namespace and class."""

    def __init__(self, code):
        self.code = code
        self.stack = []  # (kind, head start, function head or None, paren depth)
        self.functions = []
        self.head = 0
        self.parens = 0

    def line_of(self, index):
        return self.code.count("\n", 0, index) + 1

    def open_brace(self, i):
        head = self.code[self.head:i]
        inside_function = any(kind in ("function", "inner") for kind, *_ in self.stack)
        kind = "inner" if inside_function else scope_kind(head)
        self.stack.append((kind, self.head, head, self.parens))
        self.head, self.parens = i + 1, 0

    def close_brace(self, i):
        if not self.stack:
            return
        kind, start, head, self.parens = self.stack.pop()
        if kind == "function":
            first = start + len(head) - len(head.lstrip())
            self.functions.append(Function(function_name(head), self.line_of(first), self.line_of(i)))
        self.head = start if kind == "init" else i + 1

    def scan(self):
        for match in re.finditer(r"[{}();]|\b(?:public|private|protected)\s*:(?!:)", self.code):
            token, i = match.group(0), match.start()
            if token == "{":
                self.open_brace(i)
            elif token == "}":
                self.close_brace(i)
            elif token in "()":
                self.parens = max(0, self.parens + (1 if token == "(" else -1))
            elif token == ";":
                self.head = i + 1 if self.parens == 0 else self.head
            else:
                self.head = match.end()
        return sorted(self.functions, key=lambda function: function.first_line)


def functions_of(text):
    return Scanner(blank_preprocessor(split_source(text).code)).scan()
