"""Owns the tests of values as text: which texts are numbers or booleans.
Must not know settings."""

from __future__ import annotations

import pytest

from demos.config.values import I32, U32, format_bool, parse_bool, parse_integer


@pytest.mark.parametrize(
    ("text", "as_i32", "as_u32"),
    [
        ("0", 0, 0),
        ("+7", 7, 7),
        ("007", 7, 7),
        ("-1", -1, None),
        ("2147483647", 2**31 - 1, 2**31 - 1),
        ("2147483648", None, 2**31),
        ("-2147483648", -(2**31), None),
        ("-2147483649", None, None),
        ("4294967295", None, 2**32 - 1),
        ("4294967296", None, None),
        ("", None, None),
        ("1_000", None, None),
        ("1.5", None, None),
        ("0x10", None, None),
        (" 1", None, None),
        ("\u0661", None, None),
        ("9" * 5000, None, None),
        ("true", None, None),
    ],
)
def test_a_text_is_an_integer_only_within_its_range(
    text: str, as_i32: int | None, as_u32: int | None
) -> None:
    assert parse_integer(text, I32) == as_i32
    assert parse_integer(text, U32) == as_u32


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False), ("yes", None), ("", None)],
)
def test_a_text_is_a_boolean_only_if_it_spells_one(text: str, value: bool | None) -> None:
    assert parse_bool(text) is value


@pytest.mark.parametrize("value", [True, False])
def test_booleans_read_back(value: bool) -> None:
    assert parse_bool(format_bool(value)) is value
