"""Values survive the wire; values that do not fit are named; counts that lie allocate nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import ProtocolViolation
from ipclib.values import codecs as c
from ipclib.values.codecs import Codec
from ipclib.values.containers import hash_map, vector
from tests.ipclib.values.round_trips import decoding_of

_INTEGERS = [c.i8, c.i16, c.i32, c.i64, c.u8, c.u16, c.u32, c.u64]


def _range(codec: Codec[int]) -> tuple[int, int]:
    bits = 8 * codec.smallest
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if codec.name[0] == "i" else (0, (1 << bits) - 1)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_KEYS: list[tuple[Codec[Any], st.SearchStrategy[Any]]] = [
    (c.boolean, st.booleans()),
    (c.string, _TEXT),
    (c.byte_string, st.binary()),
    *((codec, st.integers(*_range(codec))) for codec in _INTEGERS),
]
_SCALARS: list[tuple[Codec[Any], st.SearchStrategy[Any]]] = [
    *_KEYS,
    (c.float_, st.floats(width=32, allow_nan=False)),
    (c.double, st.floats(allow_nan=False)),
]


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 4) -> tuple[Codec[Any], st.SearchStrategy[Any]]:
    """A codec of any type, nested up to `depth`, and a strategy for its values."""
    shape = draw(st.sampled_from(["scalar", "vector", "map", "optional"])) if depth else "scalar"
    if shape == "scalar":
        return draw(st.sampled_from(_SCALARS))
    codec, values = draw(typed_values(depth - 1))
    if shape == "vector":
        return vector(codec), st.lists(values, max_size=4)
    if shape == "optional":
        return c.optional(codec), st.none() | values
    key, keys = draw(st.sampled_from(_KEYS))
    return hash_map(key, codec), st.dictionaries(keys, values, max_size=4)


@given(st.data())
def test_every_value_decodes_to_itself(data: st.DataObject) -> None:
    codec, values = data.draw(typed_values())
    value = data.draw(values)
    wire = codec.encode(value, [])
    assert len(wire) >= codec.smallest
    for buffer in (wire, memoryview(wire)):
        assert codec.decode(buffer, 0, decoding_of(wire)) == (value, len(wire))


@given(st.data())
def test_any_bytes_decode_or_are_refused(data: st.DataObject) -> None:
    codec, _values = data.draw(typed_values())
    wire = data.draw(st.binary(max_size=60))
    try:
        codec.decode(wire, 0, decoding_of(wire))
    except (*c.DECODE_ERRORS, ProtocolViolation):
        pass


@pytest.mark.parametrize("codec", _INTEGERS, ids=lambda codec: codec.name)
def test_integers_out_of_range_are_refused_with_the_range(codec: Codec[int]) -> None:
    low, high = _range(codec)
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"{codec.name} takes an int from {low} to {high}"):
            codec.encode(value, [])


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (c.boolean, 1),
        (c.i32, 1.0),
        (c.i32, "1"),
        (c.float_, "1"),
        (c.float_, 1e39),
        (c.string, b"text"),
        (c.string, "\ud800"),
        (c.byte_string, "text"),
        (c.file, 3),
        (vector(c.i32), "12"),
        (vector(c.i32), [1, 1 << 40]),
        (vector(c.string), "ab"),
        (hash_map(c.string, c.i32), [("a", 1)]),
        (c.optional(c.i32), "1"),
    ],
    ids=lambda value: value.name if isinstance(value, Codec) else repr(value),
)
def test_values_of_another_type_are_refused(codec: Codec[Any], value: object) -> None:
    with pytest.raises(c.ENCODE_ERRORS):
        codec.encode(value, [])


@pytest.mark.parametrize("byte", [2, 255])
def test_a_bool_is_0_or_1(byte: int) -> None:
    with pytest.raises(IndexError):
        c.boolean.decode(bytes([byte]), 0, decoding_of(b"?"))


def test_a_mutable_byte_string_is_copied_and_bytes_are_not() -> None:
    raw = b"abc"
    assert c.octets(raw) is raw
    mutable = bytearray(b"abc")
    copy = c.octets(mutable)
    mutable[0] = 0
    assert copy == b"abc"
    assert c.octets(memoryview(b"abcd")[::2]) == b"ac"
