"""A Variant's value is plain where its class says which type is meant, otherwise an Alternative."""

from __future__ import annotations

from typing import Any

import pytest

from ipclib import Alternative, Duration, ProtocolViolation
from ipclib import generated as g
from ipclib.values.codecs import Codec
from tests.ipclib.values.round_trips import decoding_of, round_trip

_PLAIN = g.variant(g.empty, g.i32, g.boolean, g.string)
_MIXED = g.variant(g.i32, g.string, g.u32)
_NESTED = g.variant(_MIXED, g.byte_string)


@pytest.mark.parametrize(
    ("codec", "value", "index"),
    [
        (_PLAIN, None, 0),
        (_PLAIN, 1, 1),
        (_PLAIN, True, 2),
        (_PLAIN, "a", 3),
        (_MIXED, Alternative(0, 1), 0),
        (_MIXED, "a", 1),
        (_MIXED, Alternative(2, 1), 2),
        (_NESTED, Alternative(0, "a"), 0),
        (_NESTED, Alternative(0, Alternative(2, 1)), 0),
        (_NESTED, b"a", 1),
        (g.variant(g.optional(g.i32), g.empty), Alternative(0, None), 0),
        (g.variant(g.json_value, g.double), Alternative(1, 1.0), 1),
    ],
)
def test_values_arrive_as_they_were_passed(codec: Codec[Any], value: object, index: int) -> None:
    assert codec.encode(value, [])[0] == index
    arrived = round_trip(codec, value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_an_alternative_may_always_be_passed() -> None:
    assert round_trip(_PLAIN, Alternative(3, "a")) == "a"


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (_PLAIN, 1.5, "no alternative of Variant<Empty,i32,bool,String> takes float"),
        (
            _MIXED,
            1,
            r"int could be any of several: pass Alternative\(0, ...\) for i32 or Alternative\(2, ...\)",
        ),
        (_MIXED, Alternative(3, 1), "an index from 0 to 2 is needed, not 3"),
        (_MIXED, Alternative(True, 1), "an index from 0 to 2 is needed, not True"),
        (_MIXED, Alternative(0, "a"), "i32 takes"),
        (g.variant(g.duration, g.i32), 1 << 40, "i32 takes"),
    ],
)
def test_what_fits_no_alternative_is_refused(codec: Codec[Any], value: object, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        codec.encode(value, [])


def test_an_unknown_index_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="alternative 3 of a Variant that has 3"):
        _MIXED.decode(b"\3", 0, decoding_of(b"\3"))


def test_values_of_a_class_stand_beside_plain_ones() -> None:
    assert round_trip(g.variant(g.duration, g.i64), Duration(5)) == Duration(5)
    assert round_trip(g.variant(g.duration, g.i64), 5) == 5
