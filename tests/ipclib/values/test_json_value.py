"""JSON from a peer is measured before anything is built of it; JSON to a peer is what comes back the same."""

from __future__ import annotations

import math
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import ProtocolViolation
from ipclib.values.codecs import DECODE_ERRORS, byte_string
from ipclib.values.json_value import json_value
from tests.ipclib.values.round_trips import decoding_of, round_trip


def _decode(text: bytes, elements: int = 1000) -> Any:
    wire = byte_string.encode(text, [])
    return json_value.decode(wire, 0, decoding_of(wire, elements=elements))[0]


def test_the_text_has_no_white_space_and_is_utf8() -> None:
    wire = json_value.encode({"ü": [1, None, True, "a b"]}, [])
    assert wire[4:] == '{"ü":[1,null,true,"a b"]}'.encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "object is not JSON"),
        ([{"a": b"x"}], "bytes is not JSON"),
        ((1, 2), "tuple is not JSON"),
        ({1: 2}, "the key 1 of a JSON object is not a str"),
        (math.nan, "JSON has no nan"),
        ([math.inf], "JSON has no inf"),
        ("\ud800", "surrogates"),
    ],
)
def test_a_value_that_is_no_json_is_refused(value: object, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        json_value.encode(value, [])


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_depth_of_json_is_bounded_both_ways() -> None:
    assert round_trip(json_value, _nested(64)) == _nested(64)
    with pytest.raises(ValueError, match="deeper than 64"):
        json_value.encode(_nested(65), [])
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="deeper than 64"):
        json_value.encode(cycle, [])
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        text = opening * 65 + b"1" + closing * 65
        with pytest.raises(ProtocolViolation, match="deeper than 64"):
            _decode(text)


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b"]" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"":' * 100_000, b"[[" + b"}" * 900],
)
def test_no_nesting_ends_the_stack(text: bytes) -> None:
    for elements in (1000, 1_000_000):
        with pytest.raises((*DECODE_ERRORS, ProtocolViolation)):
            _decode(text, elements)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        (b"1", 1),
        (b'"[,,,]"', 1),
        (b'"\\"[,,"', 1),
        (b"[]", 1),
        (b'["a"]', 2),
        (b"[[],[],{}]", 4),
        (b'{"a":[1,2],"b":{"c":""}}', 6),
        (b'[["a"],["a"],["a"]]', 7),
    ],
)
def test_values_count_as_elements(text: bytes, nodes: int) -> None:
    _decode(text, nodes)
    with pytest.raises(ProtocolViolation, match="max_elements"):
        _decode(text, nodes - 1)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text(st.sampled_from('a"\\[]{},'), max_size=6),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('"\\[{,')), inner),
    )
)
def test_values_are_counted_exactly(value: Any) -> None:
    def count(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(count, inner))

    wire = json_value.encode(value, [])
    assert json_value.decode(wire, 0, decoding_of(wire, elements=count(value)))[0] == value
    with pytest.raises(ProtocolViolation):
        json_value.decode(wire, 0, decoding_of(wire, elements=count(value) - 1))


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"1e999",
            b"[-1e999]",
            b"",
            b"nul",
            b"[1,]",
            b"1 2",
            b'"',
            b'"\\',
        ),
        *(b'"\\ud800"', b'{"\\uDC00":1}', b'"\xff"', b"'a'", b'"\n"', b"9" * 5000, b"\xef\xbb\xbf1"),
    ],
)
def test_broken_json_is_refused(text: bytes) -> None:
    with pytest.raises((*DECODE_ERRORS, ProtocolViolation)):
        _decode(text)


def test_the_last_of_a_repeated_key_wins_and_pairs_of_surrogates_are_characters() -> None:
    assert _decode(b'{"a":1,"a":2}') == {"a": 2}
    assert _decode(b'"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("piece", [b"[],", b'"",', b'"\\\\",', b"1,", b'"\\"', b'{"":0},', b'\\"'])
def test_many_values_are_refused_with_little_memory(piece: bytes) -> None:
    wire = byte_string.encode(b"[" + piece * (3_000_000 // len(piece)) + b"0]", [])
    tracemalloc.start()
    try:
        with pytest.raises((*DECODE_ERRORS, ProtocolViolation)):
            json_value.decode(wire, 0, decoding_of(wire, elements=10_000))
        assert tracemalloc.get_traced_memory()[1] < 4 * len(wire)
    finally:
        tracemalloc.stop()


def test_a_length_beyond_the_message_is_refused_before_the_text_is_read() -> None:
    wire = struct.pack("=I", 1 << 31) + b"[" * 10
    with pytest.raises(ProtocolViolation, match="2147483648 bytes where 10 follow"):
        json_value.decode(wire, 0, decoding_of(wire))
