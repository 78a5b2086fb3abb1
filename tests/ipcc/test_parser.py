"""Owns the tests of the grammar: its freedoms, and that no input crashes the compiler.

Must not know the wording of diagnostics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcc import nodes
from ipcc.compiler import compile_sources
from ipcc.diagnostics import CompileError, Report
from ipcc.parser import parse
from ipcc.source import Source
from ipcc.tokens import tokenize

HERE = Path(__file__).parent
CLOCK = (HERE / "GoldenClock.ipc").read_text()
TOKENS = [token.span for token in tokenize(Source("GoldenClock.ipc", CLOCK), Report())]
TYPES = (HERE / "Atlas.ipc").read_text().partition("endpoint")[0]
TYPE_TOKENS = [token.span for token in tokenize(Source("Types.ipc", TYPES), Report())]


def parsed(text: str) -> nodes.File:
    report = Report()
    source = Source("x.ipc", text)
    file = parse(source, tokenize(source, report), report)
    assert not report, list(report)
    return file


def endpoint(text: str) -> nodes.Endpoint:
    (only,) = parsed(text).endpoints
    return only


def refused(text: str) -> tuple[str, ...]:
    try:
        compile_sources([Source("x.ipc", text)])
    except CompileError as error:
        return tuple(diagnostic.message for diagnostic in error.diagnostics)
    return ()


def test_messages_need_no_separators() -> None:
    names = [m.name.text for m in endpoint("endpoint A{a()=|b()=>()c(i32 x)=>(i32 y)endpoint()=|}").messages]
    assert names == ["a", "b", "c", "endpoint"]


def test_white_space_in_types_is_free() -> None:
    (message,) = endpoint("endpoint A { a(HashMap < :: AK::String ,Vector<\n i32>> x) =| }").messages
    assert message.text == "a(HashMap<::AK::String, Vector<i32>> x) =|"


def test_type_arguments_may_be_numbers() -> None:
    (message,) = endpoint("endpoint A { a(Array<u8, 0x10> x) =| }").messages
    assert message.text == "a(Array<u8, 0x10> x) =|"


@pytest.mark.parametrize(
    "text",
    [
        "//\n// a\n//// b\n\n//c\nendpoint A { // d\n// e\n a( // f\n i32 x // g\n ) // h\n =| // i\n } // j",
        "#include <AK/A.h>\nendpoint A { a(i32 x) =| }\n#include <B.h> // why\n  # include <C.h>",
        "endpoint A\r\n{\r\na(i32 x) =|\r\n}\r\n",
        "endpoint\tA\f{a(i32\tx)=|}",
    ],
    ids=["comments", "includes", "carriage returns", "blanks"],
)
def test_comments_includes_and_white_space_may_stand_anywhere(text: str) -> None:
    (message,) = endpoint(text).messages
    assert message.text == "a(i32 x) =|"


def test_documentation_is_what_stands_above() -> None:
    clock = endpoint(
        """
        /// The time.
        // (not this)
        ///   Indented.
        endpoint Clock { /// not at the start of its line
            /// One.
            one() =|
            two() =|
            //// Not this.
            three() =|
        }
        """
    )
    assert clock.documentation == ("The time.", "  Indented.")
    assert [message.documentation for message in clock.messages] == [("One.",), (), ()]


def test_a_file_may_have_no_endpoints() -> None:
    assert parsed("// nothing\n").endpoints == ()


def _in_tiers(places: int) -> list[Any]:
    """The places of tokens as parameters: one of four in the quick tier."""
    return [
        place if place % 4 == 0 else pytest.param(place, marks=pytest.mark.slow) for place in range(places)
    ]


@pytest.mark.parametrize("count", _in_tiers(len(TOKENS)))
def test_a_truncated_interface_is_one_mistake_at_most(count: int) -> None:
    """The rest is either complete, or one mistake."""
    text = CLOCK[: TOKENS[count].start]
    assert len(refused(text)) <= 1


@pytest.mark.parametrize("index", _in_tiers(len(TOKENS) - 1))
def test_a_missing_token_is_few_mistakes_at_most(index: int) -> None:
    span = TOKENS[index]
    assert len(refused(CLOCK[: span.start] + CLOCK[span.end :])) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("count", range(len(TYPE_TOKENS)))
def test_truncated_types_are_one_mistake_at_most(count: int) -> None:
    """Unknown types do not count: they are found only if the rest fits the grammar."""
    messages = refused(TYPES[: TYPE_TOKENS[count].start])
    assert len([message for message in messages if not message.startswith("unknown type")]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(TYPE_TOKENS) - 1))
def test_a_missing_token_in_types_is_few_mistakes_at_most(index: int) -> None:
    span = TYPE_TOKENS[index]
    assert len(refused(TYPES[: span.start] + TYPES[span.end :])) <= 4


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from((CLOCK, TYPES)),
    st.lists(
        st.tuples(
            st.integers(0, 1200),
            st.integers(0, 12),
            st.sampled_from(
                (*"(){}[]<>,:;=|#/@ \né\0", "endpoint", "struct", "enum", "i32", "Tree", "=>", "7")
            ),
        ),
        max_size=6,
    ),
)
def test_a_mutated_interface_never_crashes_the_compiler(text: str, edits: list[tuple[int, int, str]]) -> None:
    for at, length, replacement in edits:
        text = text[:at] + replacement + text[at + length :]
    refused(text)


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_no_text_crashes_the_compiler(text: str) -> None:
    refused(text)


def test_numbers_are_bounded() -> None:
    for number in ("9" * 5000, "0x" + "f" * 5000):
        assert len(refused(f"enum A {{ X = {number} }}")) == 1
        assert len(refused(f"endpoint A {{ f(Array<u8, {number}> a) =| }}")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("text", ["endpoint A { a(" + "Vector<" * 100_000, "{" * 100_000, "[" * 100_000])
def test_depth_is_bounded(text: str) -> None:
    assert refused(text)
