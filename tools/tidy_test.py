#!/usr/bin/env python3
"""Each rule of tidy.py must be able to fail: every test builds a small house with one breach."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cpp_scan  # noqa: E402
import tidy  # noqa: E402

ROOMS = """
room(base FLOOR 0 LINK fmt::fmt)
room(tensor FLOOR 1 USES base)
room(text FLOOR 1 USES base LINK PkgConfig::pcre2)
room(kernels FLOOR 2 USES base tensor)
room(models FLOOR 5 USES base tensor)
room(app FLOOR 10 USES base models)
"""
MAKEFILE = "test: build  ## tests\n\tctest\nbuild:\n\tninja\n"


class HouseTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.write("CMakeLists.txt", ROOMS)
        self.write("Makefile", MAKEFILE)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def breaches(self, rule):
        return list(tidy.CHECKS[rule](tidy.House(self.root)))

    def expect(self, rule, *parts):
        found = self.breaches(rule)
        self.assertEqual(len(found), len(parts), found)
        for line, part in zip(found, parts):
            self.assertIn(part, line)


class Floors(HouseTest):
    def test_downward_is_fine(self):
        self.write("src/tensor/a.cpp", '#include "base/result.h"\n#include <vector>\n#include "tensor/a.h"\n')
        self.expect("floors")

    def test_upward(self):
        self.write("src/tensor/a.cpp", '#include "kernels/table.h"\n')
        self.expect("floors", "tensor (floor 1) includes kernels (floor 2)")

    def test_neighbour(self):
        self.write("src/text/a.cpp", '\n#include "tensor/dtype.h"\n')
        self.expect("floors", "src/text/a.cpp:2: text (floor 1) includes tensor (floor 1)")

    def test_unnamed_room(self):
        self.write("src/app/a.cpp", '#include "kernels/table.h"\n')
        self.expect("floors", "does not name")

    def test_stranger_and_wrong_line(self):
        self.write("src/attic/a.cpp", "int a;\n")
        self.write("CMakeLists.txt", "room(base FLOOR 0 USES tensor)\nroom(tensor FLOOR 1 USES base)\n")
        self.expect("floors", "room base (floor 0) uses tensor (floor 1)", "stands in no room")


def body(lines):
    return "".join(f"  work({i});\n" for i in range(lines))


class Lengths(HouseTest):
    def test_function_at_and_over_the_limit(self):
        self.write("src/base/a.cpp", "int f(int x) {\n" + body(68) + "}\n")
        self.write("src/base/b.cpp", "int g(int x) {\n" + body(69) + "}\n")
        self.expect("function-length", "src/base/b.cpp:1: g has 71 lines")

    def test_kernels_have_more_room(self):
        self.write("src/kernels/a.cpp", "int f(int x) {\n" + body(98) + "}\n")
        self.write("src/kernels/b.cpp", "int g(int x) {\n" + body(99) + "}\n")
        self.expect("function-length", "g has 101 lines")

    def test_long_macro(self):
        self.write("src/base/a.h", "#define LONG \\\n" + "  step; \\\n" * 70 + "  end\n")
        self.expect("function-length", "macro LONG has 72 lines")

    def test_file(self):
        self.write("src/base/a.cpp", "int a;\n" * 501)
        self.write("src/base/b.cpp", "// tidy(file-length): one table\n" + "int a;\n" * 700)
        self.write("src/base/c.cpp", "// tidy(file-length): one table\n" + "int a;\n" * 800)
        self.expect("file-length", "src/base/a.cpp: 501 lines", "src/base/c.cpp: 801 lines")


class Lines(HouseTest):
    def test_intrinsics(self):
        self.write("src/kernels/a.cpp", "auto x = _mm256_add_ps(a, b);\n")
        self.write("src/tensor/a.cpp", "// _mm256_add_ps\nauto x = _mm256_add_ps(a, b);\n#ifdef __AVX2__\n#endif\n")
        self.expect("intrinsics", "src/tensor/a.cpp:2", "src/tensor/a.cpp:3")

    def test_dtype_switch(self):
        self.write("src/tensor/a.cpp", "case DType::kF32: break;\n")
        self.write("src/models/a.cpp", "case maestrale::DType::kF32: break;\n")
        self.expect("dtype-switch", "src/models/a.cpp:1")

    def test_raw_new(self):
        self.write("src/base/a.cpp", "A(const A&) = delete;\nvoid operator delete(void*);\n// new\nauto n = \"new\";\n"
                   "::new (place) T{};\n")
        self.write("src/base/b.cpp", "auto* p = new int;\n\ndelete p;\n")
        self.expect("raw-new", "b.cpp:1", "b.cpp:3")

    def test_waiver_needs_a_reason(self):
        self.write("src/base/a.cpp", "auto* p = new int;  // tidy(raw-new): the C library frees it\n")
        self.write("src/base/b.cpp", "auto* p = new int;  // tidy(raw-new):\n")
        self.expect("raw-new", "b.cpp:1")

    def test_cout(self):
        self.write("src/app/a.cpp", "std::cout << 1;\n")
        self.write("src/base/a.cpp", 'std::cout << 1;\nstd::printf("x");\nstd::snprintf(b, 1, "x");\n')
        self.expect("cout", "src/base/a.cpp:1", "src/base/a.cpp:2")

    def test_using_namespace(self):
        self.write("src/base/a.cpp", "using namespace std;\nusing std::string;\n")
        self.expect("using-namespace", "a.cpp:1")

    def test_try_in_braces(self):
        self.write("src/base/a.cpp", "A a{.x = TRY(f()),\n    .y = TRY(g())};\na.x = TRY(f());\n  b.z =\n")
        self.expect("try-in-braces", "a.cpp:1", "a.cpp:2")

    def test_unfinished(self):
        self.write("src/base/a.cpp", "// TO" + "DO later\n// autodoc\n")
        self.write("tools/a.py", "# FIX" + "ME\n")
        self.expect("unfinished", "src/base/a.cpp:1", "tools/a.py:1")

    def test_nolint(self):
        self.write("src/base/a.cpp", "int a;  // NOLINT\nint b;  // NOLINT: implicit by design\nint c;  // NOLINT(x)\n")
        self.expect("nolint", "a.cpp:1", "a.cpp:3")

    def test_machine_path(self):
        self.write("tools/a.py", "open('/ho" + "me/me/x')\nopen('/tmp/x')\n")
        self.expect("machine-paths", "tools/a.py:1")

    def test_blob(self):
        self.write("tests/a.bin", "x" * 200_001)
        self.expect("blobs", "200001 bytes")


class Registry(HouseTest):
    def test_no_registry_yet(self):
        self.expect("registry")

    def test_rows_files_and_documents_agree(self):
        self.write("src/models/registry.def", 'MODEL(llama, "llama", "LlamaForCausalLM")\n'
                                              'MODEL(grok1, grok, "grok", "Grok1ModelForCausalLM")\n')
        self.write("src/models/llama.cpp", "const ModelEntry& llama_entry() {\n}\nconst ModelEntry& lost_entry() {\n}\n")
        self.write("docs/models.md", "| id | name |\n|---|---|\n| `llama` | Llama |\n| `ghost` | Ghost |\n")
        self.expect("registry", "src/models/grok.cpp", "no row for `grok1`", "`ghost` is not in",
                    "defines lost_entry()")


class Documents(HouseTest):
    def test_paths_targets_links(self):
        self.write("src/base/file.h", "int a;\n")
        self.write("README.md", "`make test` and `make nothing`, `src/base/file.h`, `src/base/none.h`, `base/none.h`,\n"
                                "`src/base/file.{h,cpp}`, `src/NAME/x_test.cpp`, [a](docs/none.md), [b](Makefile)\n"
                                "```\nmake build && make elsewhere\n```\n")
        self.expect("docs", "make elsewhere", "make nothing", "src/base/none.h", "base/none.h", "src/base/file.cpp",
                    "docs/none.md")

    def test_commands(self):
        self.write("src/app/a.cpp", 'app.add_subcommand("chat", "x");\n')
        self.write("docs/a.md", "`maestrale chat X`, `build/release/maestrale fly`\n")
        self.expect("docs", "maestrale fly")


class Scanner(unittest.TestCase):
    def functions(self, text):
        return [(function.name, function.lines) for function in cpp_scan.functions_of(text)]

    def test_literals_and_comments_hide_braces(self):
        text = 'int f() {\n  auto s = "}{";\n  char c = \'{\';\n  // {\n  /* { */\n  auto r = R"x({)" })x";\n}\n'
        self.assertEqual(self.functions(text), [("f", 7)])

    def test_digit_separators_are_no_characters(self):
        self.assertEqual(self.functions("int f() {\n  return 1'000 + 0xff'ff;\n}\nint g() {\n}\n"), [("f", 3), ("g", 2)])

    def test_classes_constructors_operators(self):
        text = ("struct A : B<int(int)> {\n  A() : x_{1}, y_(2) {\n  }\n  bool operator==(const A&) const = default;\n"
                "  auto f() const -> std::vector<int> {\n    for (int i = 0; i < 3; ++i) { g(); }\n  }\n  int x_{0};\n};\n")
        self.assertEqual(self.functions(text), [("A", 2), ("f", 3)])

    def test_nested_scopes_count_once(self):
        text = "namespace {\nvoid f() {\n  run([&](int i) {\n    use(i);\n  });\n}\n}  // namespace\nenum class E { a, b };\n"
        self.assertEqual(self.functions(text), [("f", 5)])

    def test_templates_requires_and_tests(self):
        text = ("template <class T>\n  requires std::integral<T>\nT f(T x) noexcept(true) {\n  return x;\n}\n"
                "TEST(Suite, Name) {\n}\nconst int table[] = {1, 2};\n")
        self.assertEqual(self.functions(text), [("f", 5), ("Suite.Name", 2)])


if __name__ == "__main__":
    unittest.main()
