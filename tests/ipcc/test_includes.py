"""Owns the tests of includes: what an interface file or a Python module brings, and each mistake's report.

Must not know how a Python module is read.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipcc.compiler import compile_files
from tests.ipcc.compiling import errors, signed_text, write


def test_an_include_brings_structs_and_enums_and_no_endpoints(folder: Path) -> None:
    write("types/geo.ipc", "struct Geo::Point { i32 x; Kind kind; } enum Kind { A } endpoint Other {}")
    write("A.ipc", '#include "geo.ipc"\nendpoint A { f(Geo::Point p) =| }')
    assert signed_text("A.ipc", folders=["types"]) == "A.f(Geo::Point)=|;Geo::Point{i32,Kind};Kind:i32{0}"
    text = compile_files(["A.ipc"], ["types"])
    assert "class Point(_ipc.Struct):" in text
    assert "class Kind(" in text
    assert "Other" not in text


def test_a_file_that_is_included_twice_counts_once(folder: Path) -> None:
    write("base.ipc", "struct P { i32 x; }")
    write("b.ipc", '#include "base.ipc"\nstruct B { P p; }')
    write("sub/c.ipc", '#include "../base.ipc"\nstruct C { P p; }')
    write("A.ipc", '#include "b.ipc"\n#include "sub/c.ipc"\n#include "b.ipc"\nendpoint A { f(B b, C c) =| }')
    assert signed_text("A.ipc") == "A.f(B,C)=|;B{P};C{P};P{i32}"
    assert compile_files(["A.ipc", "base.ipc"]).count("class P(_ipc.Struct):") == 1


def test_a_file_cannot_include_itself(folder: Path) -> None:
    write("A.ipc", '#include "A.ipc"\nendpoint A {}')
    assert errors("A.ipc") == (
        "A.ipc:1:1: error: 'A.ipc' includes itself\n"
        '    1 | #include "A.ipc"\n'
        "      | ^^^^^^^^^^^^^^^^ move the types that both need into a file of their own"
    )


def test_files_cannot_include_each_other_in_a_cycle(folder: Path) -> None:
    write("A.ipc", '#include "b.ipc"\nendpoint A {}')
    write("b.ipc", '// b\n#include "c.ipc"')
    write("c.ipc", '#include "b.ipc"')
    assert errors("A.ipc") == (
        "c.ipc:1:1: error: 'b.ipc' includes itself, by way of 'c.ipc'\n"
        '    1 | #include "b.ipc"\n'
        "      | ^^^^^^^^^^^^^^^^ move the types that both need into a file of their own"
    )


def test_a_missing_include_is_reported_unless_it_is_a_header(folder: Path) -> None:
    write("A.ipc", '#include "b.ipc"\n#include <b.py>\n#include <b.h>\nendpoint A {}')
    assert [line for line in errors("A.ipc").splitlines() if "error" in line] == [
        "A.ipc:1:1: error: cannot find 'b.ipc'",
        "A.ipc:2:1: error: cannot find 'b.py'",
    ]


def test_mistakes_of_an_included_file_are_shown_at_their_place_in_it(folder: Path) -> None:
    write("b.ipc", "struct B { Strng x; }")
    write("A.ipc", '#include "b.ipc"\nendpoint A { f(B b, C c) =| }')
    assert [line for line in errors("A.ipc").splitlines() if "error" in line] == [
        "A.ipc:2:21: error: unknown type 'C'",
        "b.ipc:1:12: error: unknown type 'Strng'",
    ]


def test_two_files_cannot_declare_one_name(folder: Path) -> None:
    write("b.ipc", "struct P { i32 x; }")
    write("A.ipc", '#include "b.ipc"\nstruct P { i32 y; }')
    assert errors("A.ipc") == (
        "b.ipc:1:8: error: duplicate type 'P'\n"
        "    1 | struct P { i32 x; }\n"
        "      |        ^ first declared in A.ipc, line 2"
    )


@pytest.mark.slow
def test_a_long_chain_of_includes_compiles(folder: Path) -> None:
    for number in range(1500):
        write(f"f{number}.ipc", f'#include "f{number + 1}.ipc"')
    write("f1500.ipc", "struct P { i32 x; }")
    write("A.ipc", '#include "f0.ipc"\nendpoint A { f(P p) =| }')
    assert signed_text("A.ipc") == "A.f(P)=|;P{i32}"


@pytest.mark.slow
def test_a_long_chain_of_structs_is_refused(folder: Path) -> None:
    chain = "".join(f"struct S{n} {{ Optional<S{n + 1}> x; }}\n" for n in range(3000))
    write("A.ipc", chain + "struct S3000 {}\nendpoint A { f(S2999 p) =| }")
    assert "types nest deeper than 64" in errors("A.ipc")


@pytest.mark.slow
def test_a_large_cycle_of_structs_is_refused(folder: Path) -> None:
    circle = "".join(f"struct S{n} {{ Optional<S{(n + 1) % 3000}> x; }}\n" for n in range(3000))
    write("A.ipc", circle + "endpoint A { f(S0 p) =| }")
    assert "error: a cycle of 3000 structs that contain each other" in errors("A.ipc")


# --- modules of Python files ---


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("<types.py>", "'types' is a module of the standard library", "rename the file"),
        ("<json/mine.py>", "'json' is a module of the standard library", "rename the file"),
        (
            '"my-types.py"',
            "'my-types' is not a valid name of a Python module",
            "rename the file, or its folder",
        ),
        ('"../up.py"', "'...up' is not a valid name of a Python module", "rename the file, or its folder"),
    ],
)
def test_a_file_whose_module_cannot_be_imported_is_refused(
    folder: Path, path: str, message: str, hint: str
) -> None:
    write(f"here/{path[1:-1]}", "")
    write("here/A.ipc", f"#include {path}\nendpoint A {{}}")
    shown = errors("here/A.ipc")
    assert shown.startswith(f"here/A.ipc:1:1: error: {message}\n")
    assert hint in shown
    assert shown.count("error:") == 1


def test_one_module_cannot_be_included_under_two_names(folder: Path) -> None:
    write("geo/shapes.py", "")
    write("A.ipc", "#include <geo/shapes.py>\nendpoint A {}")
    shown = errors("A.ipc", types=[str(folder / "geo" / "shapes.py")])
    assert "is included as 'geo.shapes' and as 'shapes'" in shown
