"""Owns the tests that long lines break as `ruff format` breaks them.

Must not know what the lines mean.
"""

from __future__ import annotations

import pytest

from ipcc.wrapping import wrapped

LONG = "a_name_of_fifty_characters_which_is_a_long_one_too"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("call(a, b)", ["call(a, b)"]),
        (f"call({LONG}, {LONG}, ab)", ["call(", f"    {LONG}, {LONG}, ab", ")"]),
        (
            f"call({LONG}, {LONG}, abcd)",
            ["call(", f"    {LONG},", f"    {LONG},", "    abcd,", ")"],
        ),
        (f"x = ({LONG}, {LONG}, ab)", ["x = (", f"    {LONG},", f"    {LONG},", "    ab,", ")"]),
        (
            f"{LONG}, {LONG}, abcdef = _iii.unpack_from(_data, _at)",
            ["(", f"    {LONG},", f"    {LONG},", "    abcdef,", ") = _iii.unpack_from(_data, _at)"],
        ),
        (f"{LONG * 2} = x.encode()", [f"{LONG * 2} = (", "    x.encode()", ")"]),
        (
            f"def f(self) -> Answer[{LONG}, {LONG}]:",
            ["def f(", "    self,", ") -> Answer[", f"    {LONG}, {LONG}", "]:"],
        ),
        (
            f'call("(", "{LONG}", {LONG[:46]})',
            ["call(", f'    "(", "{LONG}", {LONG[:46]}', ")"],
        ),
        (LONG * 3, [LONG * 3]),
    ],
    ids=[
        "fits",
        "arguments",
        "argument a line",
        "tuple",
        "targets",
        "value",
        "result",
        "strings",
        "unbreakable",
    ],
)
def test_long_lines_break_as_the_formatter_breaks_them(text: str, lines: list[str]) -> None:
    assert list(wrapped(text, "")) == lines
