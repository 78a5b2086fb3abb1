"""Owns the tests that the compiler's work grows as its input does: twice as much takes twice the work.

Must not know how the compiler works. Work is counted in bytecodes, so that the tests are deterministic.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ipcc.compiler import compile_files, compile_sources, model_of
from ipcc.describe import as_json, described
from ipcc.diagnostics import MAX_ERRORS, CompileError, Report, did_you_mean
from ipcc.diff import compare
from ipcc.formatter import format_source
from ipcc.python_types import registered_classes
from ipcc.source import Source
from tests.ipcc.compiling import model, write
from tests.ipcc.growth import bytecodes

MOST = 2.4
"""Work for twice the input, over that for once: sorting and long names make it more than 2."""

Make = Callable[[int], str]


def server(*lines: str) -> str:
    return f"endpoint XServer {{\n{chr(10).join(lines)}\n}}\n"


def numbered(form: str, count: int, by: str = "\n") -> str:
    return by.join(form.replace("#", str(number)) for number in range(count))


INTERFACES: dict[str, Make] = {
    "messages": lambda n: server(numbered("m#(i32 a, String b) => (i32 c)", n)),
    "parameters": lambda n: server(f"m({numbered('Vector<i32> a#', n, ', ')}) =|"),
    "numbers": lambda n: server(f"m({numbered('i32 a#', n, ', ')}) =|"),
    "structs": lambda n: numbered("struct S# { i32 a; }", n) + server(numbered("m#(S# a) =|", n)),
    "fields": lambda n: f"struct S {{ {numbered('i32 a#;', n)} }}" + server("m(S a) =|"),
    "enumerators": lambda n: f"enum E {{ {numbered('A#,', n)} }}" + server("m(E a) =|"),
    "endpoints": lambda n: numbered("endpoint E#Server { m() =| } endpoint E#Client { m() =| }", n),
    "long types": lambda n: server(
        numbered("m#(Array<HashMap<String, Vector<Optional<Vector<Vector<u64>>>>>, #> a) =|", n)
    ),
    "a chain of structs": lambda n: (
        numbered("struct S# { i32 a; Vector<T#> b; } struct T# { S# a; }", n) + server("m(S0 a) =|")
    ),
    "a struct of structs": lambda n: (
        numbered("struct S# { i32 a; }", n) + f"struct T {{ {numbered('S# a#;', n)} }}" + server("m(T a) =|")
    ),
    "documentation": lambda n: "/// word\n" * n + server("m() =|"),
    "a long comment": lambda n: f"/// {'word ' * n}\n" + server("m() =|"),
    "includes": lambda n: "#include <a.h>\n" * n + server("m() =|"),
}

MISTAKES: dict[str, Make] = {
    "strays": lambda n: "$ " * n,
    "unknown types": lambda n: server(numbered("m#(Strng# a) =|", n)),
    "duplicates": lambda n: server("m(i32 a) =|\n" * n),
    "collisions": lambda n: server(numbered("m_#(i32 a) =| M_#() =|", n)),
    "a cycle": lambda n: numbered("struct S# { S_# a; } struct S_# { S# a; }", n) + server("m() =|"),
    "one long cycle": lambda n: "".join(f"struct S{i} {{ S{(i + 1) % n} a; }}" for i in range(n)),
    "a chain that is too deep": lambda n: (
        "".join(f"struct S{i} {{ S{i + 1} a; }}" for i in range(n)) + f"struct S{n} {{ i32 a; }}"
    ),
    "open structs": lambda n: "struct S { " * n,
    "open endpoints": lambda n: "endpoint S { " * n,
    "open types": lambda n: server("m(" + "Vector<" * n),
    "open brackets": lambda n: server("m(List" + "[" * n),
    "names in a row": lambda n: "struct S { " + "x " * n + "}",
    "names in a list": lambda n: server("m(" + "x " * n + ")"),
    "forms of other languages": lambda n: server(numbered("m#(List[i32] a) -> i32", n)),
    "closers": lambda n: "> ) ] } " * n,
}


def compiled(text: str) -> list[str]:
    """The errors of an interface."""
    try:
        compile_sources([Source("x.ipc", text)])
    except CompileError as error:
        return [diagnostic.message for diagnostic in error.diagnostics]
    return []


def check(run: Callable[[int], Callable[[], object]], size: int) -> None:
    """Compare the work for one size with that for twice as much. `run` prepares it."""
    small, large = run(size), run(2 * size)
    small()
    once, twice = bytecodes(small), bytecodes(large)
    assert twice <= MOST * once, f"{once} bytecodes, then {twice}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", INTERFACES)
def test_compiling_takes_twice_the_work_for_twice_as_many(kind: str) -> None:
    assert compiled(INTERFACES[kind](4)) == []
    check(lambda n: lambda: compiled(INTERFACES[kind](n)), 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MISTAKES)
def test_refusing_takes_twice_the_work_for_twice_as_many_mistakes(kind: str) -> None:
    assert compiled(MISTAKES[kind](80))
    check(lambda n: lambda: compiled(MISTAKES[kind](n)), 200)


def nested_structs(n: int) -> str:
    structs = [f"struct S{i} {{ {' '.join(f'S{i + 1} f{j};' for j in range(n))} }}" for i in range(n)]
    return "\n".join([*structs, f"struct S{n} {{ i32 a; }}", server("m(S0 s) =|")])


@pytest.mark.slow
def test_a_struct_whose_fields_are_structs_of_structs_is_quick() -> None:
    once, twice = (bytecodes(partial(compiled, nested_structs(n))) for n in (10, 20))
    assert twice < 2 * MOST * once, "there are four times as many fields"


@pytest.mark.slow
def test_a_chain_of_includes_takes_twice_the_work_for_twice_the_length(folder: Path) -> None:
    for i in range(200):
        write(f"f{i}.ipc", (f'#include "f{i + 1}.ipc"\n' if i < 199 else "") + f"struct T{i} {{ i32 a; }}\n")
    write("long.ipc", '#include "f0.ipc"\n' + server("m(T199 a) =|"))
    write("short.ipc", '#include "f100.ipc"\n' + server("m(T199 a) =|"))
    once, twice = (bytecodes(partial(compile_files, [name])) for name in ("short.ipc", "long.ipc"))
    assert twice < MOST * once


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("messages", "m"), ("structs", "S"), ("fields", "a"), ("enumerators", "A"), ("endpoints", "E")],
)
def test_comparing_takes_twice_the_work_for_twice_as_many_changes(kind: str, name: str) -> None:
    def run(n: int) -> Callable[[], object]:
        text = INTERFACES[kind](n)
        renamed = re.sub(rf"\b{name}(\d)", rf"{name}x\1", text)
        assert renamed != text
        return partial(compare, model(text), model(renamed))

    check(run, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", INTERFACES)
def test_formatting_and_describing_take_twice_the_work_for_twice_as_many(kind: str) -> None:
    check(lambda n: partial(format_source, Source("x.ipc", INTERFACES[kind](n))), 60)
    check(lambda n: partial(as_json, model(INTERFACES[kind](n))), 60)
    check(lambda n: partial(described, model(INTERFACES[kind](n))), 60)


HEAD = "import attrs, enum\nfrom ipclib import ipc_type, i32\n"
REGISTERED = "@ipc_type('S#')\n@attrs.frozen\nclass S#:\n    a: i32"
MODULES: dict[str, Make] = {
    "classes": lambda n: HEAD + numbered(REGISTERED, n),
    "fields": lambda n: f"{HEAD}{REGISTERED}\n" + numbered("    a#: i32", n),
    "fields in one line": lambda n: f"{HEAD}{REGISTERED}; \u00fc: i32; " + numbered("a#: i32", n, "; "),
    "members": lambda n: f"{HEAD}@ipc_type('S')\nclass S(enum.Enum):\n" + numbered("    A# = #", n),
    "members of a tuple": lambda n: (
        f"{HEAD}@ipc_type('S')\nclass S(enum.Enum):\n    {numbered('A#', n, ',')} = {numbered('#', n, ',')}"
    ),
    "unknown types": lambda n: f"{HEAD}{REGISTERED}\n" + numbered("    a#: Strux#", n),
    "statements": lambda n: f"{HEAD}{REGISTERED}\n" + numbered("    if a: pass", n),
    "base classes": lambda n: (
        f"{HEAD}class A(enum.Enum): pass\nclass B0(A, A): pass\n"
        + "".join(f"class B{i + 1}(B{i}, B{i}): pass\n" for i in range(n))
        + f"@ipc_type('S')\nclass S(B{n}):\n    X = 1\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODULES)
def test_reading_python_takes_twice_the_work_for_twice_as_many(kind: str) -> None:
    check(lambda n: lambda: registered_classes(Source("x.py", MODULES[kind](n)), "x", Report()), 150)


# --- the bound of errors ---


def test_the_first_hundred_errors_are_shown_and_the_others_are_counted(folder: Path) -> None:
    for count, last in (
        (MAX_ERRORS, ""),
        (MAX_ERRORS + 1, "1 more is not shown"),
        (7000, "6900 more are not shown"),
    ):
        write("Bad.ipc", "endpoint A {}\n" + "$\n" * count)
        with pytest.raises(CompileError) as caught:
            model_of(["Bad.ipc"])
        shown = str(caught.value)
        assert shown.count("stray character") == MAX_ERRORS
        assert shown.endswith(f"\nBad.ipc: error: too many errors: {last}") == bool(last)
        assert len(caught.value.diagnostics) == MAX_ERRORS + bool(last)


def test_a_misspelt_name_is_compared_with_a_bounded_number_of_names() -> None:
    names = (f"other{number}" for number in itertools.count())
    assert did_you_mean("othr", names) == "did you mean 'other9'?"
    assert next(names) == "other1000"


@pytest.mark.slow
def test_declarations_in_braces_that_nest_too_deep_are_an_error() -> None:
    for opener in ("struct S { ", "enum E { ", "endpoint A { struct S { "):
        assert (
            "braces nest deeper than 64" in compiled(opener * 5000)
            or len(compiled(opener * 5000)) == MAX_ERRORS + 1
        )
