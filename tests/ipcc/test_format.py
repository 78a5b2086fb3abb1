"""Owns the tests of `ipcc format`: canonical style, comments in every position, and nothing else changed.

Must not know what the interfaces mean.
"""

from __future__ import annotations

import os
import re
import stat
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipcc.cli import main
from ipcc.compiler import compile_sources
from ipcc.diagnostics import CompileError, Report
from ipcc.formatter import WIDTH, format_source
from ipcc.parser import parse
from ipcc.source import Source, read_source
from ipcc.tokens import Token, tokenize
from tests.ipcc.interfaces import interfaces

HERE = Path(__file__).parent
INTERFACES = sorted(chain(HERE.parent.rglob("*.ipc"), (HERE.parent.parent / "demos").rglob("*.ipc")))

UNHURRIED = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

CASES = {
    "white space": (
        "endpoint A{a( i32   a,String b )=>( )b()=|}",
        "endpoint A\n{\n    a(i32 a, String b) => ()\n    b() =|\n}\n",
    ),
    "types": (
        "endpoint A { a(HashMap < ::AK::String,Vector <Optional< i32 > > > x, [ UTF8 ] ByteString y) =| }",
        "endpoint A\n{\n    a(HashMap<::AK::String, Vector<Optional<i32>>> x, [UTF8] ByteString y) =|\n}\n",
    ),
    "includes": (
        '#  include <A/B.h>\n\n\n#include "c.h" // why\nendpoint A {}',
        '#include <A/B.h>\n\n#include "c.h" // why\n\nendpoint A\n{\n}\n',
    ),
    "struct": (
        "struct Geo :: Point { i32 x;i32 y ; } ;",
        "struct Geo::Point\n{\n    i32 x;\n    i32 y;\n}\n",
    ),
    "enum": (
        "enum Kind:u8 { CITY=0,RIVER, NONE = -1 }",
        "enum Kind : u8\n{\n    CITY = 0,\n    RIVER,\n    NONE = -1,\n}\n",
    ),
    "blank lines": (
        "\n\nendpoint A {\n\n\n a() =|\n\n\n\n b() =|\n c() =|\n\n}\nendpoint B {}\n\n\n",
        "endpoint A\n{\n    a() =|\n\n    b() =|\n    c() =|\n}\n\nendpoint B\n{\n}\n",
    ),
    "comments on lines of their own": (
        "// head\n\n// a\n/// doc\nendpoint A\n{\n// first\n\n/// doc\na() =|\n// last\n}\n// end",
        "// head\n\n// a\n/// doc\nendpoint A\n{\n    // first\n\n"
        "    /// doc\n    a() =|\n    // last\n}\n// end\n",
    ),
    "comments at the ends of lines": (
        "endpoint A { // one\na() =|// two\n} // three\nendpoint B {}",
        "endpoint A\n{ // one\n    a() =| // two\n} // three\n\nendpoint B\n{\n}\n",
    ),
    "comments in a parameter list": (
        "endpoint A { a( // first\ni32 a, // second\n// third\ni32 b // fourth\n// fifth\n) =| }",
        "endpoint A\n{\n    a( // first\n        i32 a, // second\n"
        "        // third\n        i32 b // fourth\n        // fifth\n    ) =|\n}\n",
    ),
    "comments inside a parameter": (
        "endpoint A { a(Vector< // of\ni32> x // after\n, i32 y) =| }",
        "endpoint A\n{\n    a(\n        Vector<i32> x, // of // after\n        i32 y\n    ) =|\n}\n",
    ),
    "a comment above a type's argument": (
        "endpoint A { a(Vector<\n// of\ni32> x) =| }",
        "endpoint A\n{\n    a(\n        Vector<\n            // of\n            i32> x\n    ) =|\n}\n",
    ),
    "comments around an arrow": (
        "endpoint A { a() // one\n=> // two\n() b()\n// three\n=| }",
        "endpoint A\n{\n    a() => () // one // two\n    b()\n        // three\n        =|\n}\n",
    ),
    "a documentation comment that documents nothing stays so": (
        "endpoint A { a()\n/// x\n=| b() =| /// y\nc() =| }",
        "endpoint A\n{\n    a()\n        /// x\n        =|\n    b() =| /// y\n    c() =|\n}\n",
    ),
    "a comment above the needless mark": (
        "struct A { i32 a; }\n/// x\n;\nendpoint B {}",
        "struct A\n{\n    i32 a;\n}\n    /// x\n    ;\n\nendpoint B\n{\n}\n",
    ),
    "a comment after the needless mark": (
        "struct A { i32 a; } // x\n; // y\nendpoint B {}",
        "struct A\n{\n    i32 a;\n} // x // y\n\nendpoint B\n{\n}\n",
    ),
    "comments in an enum": (
        "enum A { // one\nB // two\n, // three\n// four\nC // five\n}",
        "enum A\n{ // one\n    B, // two // three\n    // four\n    C, // five\n}\n",
    ),
    "a comment in an empty list": (
        "endpoint A { a( // one\n) => (\n// two\n) }",
        "endpoint A\n{\n    a() => ( // one\n        // two\n    )\n}\n",
    ),
    "nothing": ("", ""),
    "a comment alone": ("  // alone", "// alone\n"),
}


def formatted(text: str) -> str:
    return format_source(Source("A.ipc", text))


def tokens_of(text: str) -> list[Token]:
    report = Report()
    source = Source("A.ipc", text)
    tokens = tokenize(source, report)
    parse(source, tokens, report)
    assert not report
    return list(tokens)


def comments_of(text: str) -> list[str]:
    """The words of all comments: two comments at the end of a line may be joined into one."""
    return " ".join(re.findall(r"//.*", text)).split()


def meaning_of(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The tokens and their documentation, without the marks that formatting adds and drops."""
    tokens = [token for token in tokens_of(text) if token.text not in (",", ";")]
    return [(token.text, token.documentation) for token in tokens]


def check(text: str) -> str:
    """Format a text, and check that the result is stable and means the same."""
    once = formatted(text)
    assert formatted(once) == once
    assert meaning_of(once) == meaning_of(text)
    assert sorted(comments_of(once)) == sorted(comments_of(text))
    assert not re.search(r"[ \t]$|\n\n\n|\t", once, re.MULTILINE)
    return once


@pytest.mark.parametrize("name", CASES)
def test_text_is_put_into_canonical_style(name: str) -> None:
    text, expected = CASES[name]
    assert check(text) == expected


@pytest.mark.parametrize(
    "path",
    [path if path.parent == HERE else pytest.param(path, marks=pytest.mark.slow) for path in INTERFACES],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_every_interface_of_the_repository_can_be_formatted(path: Path) -> None:
    check(read_source(str(path)).text)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=25)
@given(interfaces())
def test_formatting_does_not_change_the_compiled_module(text: str) -> None:
    assert compile_sources([Source("A.ipc", formatted(text))]) == compile_sources([Source("A.ipc", text)])


def test_a_long_message_has_a_parameter_on_each_line() -> None:
    parameters = [f"Vector<String> parameter_number_{number}" for number in range(4)]
    text = check(f"endpoint A {{ long({', '.join(parameters)}) => (i32 a) short(i32 a) =| }}")
    assert text.splitlines()[2:8] == [
        "    long(",
        *(f"        {parameter}," for parameter in parameters[:-1]),
        f"        {parameters[-1]}",
        "    ) => (i32 a)",
    ]


def test_outputs_wrap_only_if_they_must() -> None:
    outputs = ", ".join(f"Vector<String> output_number_{number}" for number in range(4))
    lines = check(f"endpoint A {{ none() => ({outputs}) some(i32 a) => ({outputs}) }}").splitlines()
    assert lines[2] == "    none() => ("
    assert lines[8:11] == ["    some(", "        i32 a", "    ) => ("]


def test_a_message_may_be_exactly_as_wide_as_a_line() -> None:
    message = f"a(i32 {'x' * (WIDTH - len('    a(i32 ) =|'))}) =|"
    assert f"    {message}\n" in check(f"endpoint A {{ {message} }}")
    assert "    a(\n" in check(f"endpoint A {{ {message.replace('xx', 'xxx', 1)} }}")


# --- comments anywhere ---


def with_comments(text: str, choices: list[str]) -> str:
    """The text with one of the choices before each of its tokens."""
    pieces, at = [], 0
    for token, choice in zip(tokens_of(text), choices, strict=False):
        pieces += [text[at : token.span.start], choice]
        at = token.span.start
    return "".join([*pieces, text[at:]])


GAPS = st.sampled_from(
    (
        *("", "", "", " ", "\n", "\n\n\n", "\t"),
        *(
            "// a\n",
            "\n// b c\n",
            "\n/// d\n",
            "/// e\n",
            "\n\n// f\n\n\n// g\n\n",
            "//\n",
            "\n///\n//// h   \n",
        ),
    )
)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=60)
@given(text=interfaces(), gaps=st.lists(GAPS, max_size=300))
def test_comments_anywhere_in_any_interface_keep_their_place(text: str, gaps: list[str]) -> None:
    check(with_comments(text, gaps))


SHAPES = """
#include <X.h>
struct Geo::Point { i32 x; Vector<Optional<i32>> y; };
enum Kind : u8 { CITY = 0, RIVER, }
enum Other { LAST }
endpoint A { a(HashMap<String, i32> a, [UTF8] ByteString b) => (i32 c, ::IPC::File d) b() => () }
endpoint B { c([File] e) =| d() =| }
"""


@settings(UNHURRIED)
@given(st.lists(GAPS, max_size=120))
def test_comments_anywhere_in_any_construct_keep_their_place(gaps: list[str]) -> None:
    check(with_comments(SHAPES, gaps))


# --- the command ---


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "A.ipc"
    path.write_text("endpoint A{a()=|}")
    return path


def test_a_file_is_replaced_and_keeps_its_mode(untidy: Path) -> None:
    untidy.chmod(0o640)
    before = untidy.stat().st_ino
    assert main(["format", str(untidy)]) == 0
    assert untidy.read_text() == "endpoint A\n{\n    a() =|\n}\n"
    assert stat.S_IMODE(untidy.stat().st_mode) == 0o640
    assert untidy.stat().st_ino != before
    assert os.listdir(untidy.parent) == ["A.ipc"]


def test_a_tidy_file_is_not_written(untidy: Path) -> None:
    main(["format", str(untidy)])
    before = untidy.stat()
    assert main(["format", str(untidy)]) == 0
    assert (untidy.stat().st_ino, untidy.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_line_ends_become_one_kind(tmp_path: Path) -> None:
    path = tmp_path / "A.ipc"
    path.write_bytes(b"endpoint A\r\n{\r\n    a() =| // x\r\n}\r\n")
    assert main(["format", str(path)]) == 0
    assert path.read_bytes() == b"endpoint A\n{\n    a() =| // x\n}\n"


def test_format_check_writes_nothing(untidy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["format", "--check", str(untidy)]) == 1
    assert untidy.read_text() == "endpoint A{a()=|}"
    assert capsys.readouterr().err == (
        f"{untidy}: error: not in canonical style: run 'ipcc format {untidy}'\n"
    )
    main(["format", str(untidy)])
    assert main(["format", "--check", str(untidy)]) == 0


def test_a_file_with_errors_is_left_alone_and_the_others_are_not(
    untidy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = untidy.parent / "Bad.ipc"
    bad.write_text("endpoint A{a()}")
    assert main(["format", str(bad), str(untidy)]) == 1
    assert bad.read_text() == "endpoint A{a()}"
    assert untidy.read_text().startswith("endpoint A\n")
    assert capsys.readouterr().err.count(": error: ") == 1


def test_a_missing_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "A.ipc"
    assert main(["format", str(path)]) == 1
    assert capsys.readouterr().err == f"{path}: error: cannot read: No such file or directory\n"


def test_names_need_not_be_known() -> None:
    assert formatted("endpoint A { a(No::Such x) =| }") == "endpoint A\n{\n    a(No::Such x) =|\n}\n"
    with pytest.raises(CompileError):
        formatted("endpoint A { a(x =| }")
