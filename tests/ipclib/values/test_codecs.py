"""Values survive the wire; values that do not fit are named; counts that lie allocate nothing."""

from __future__ import annotations

import itertools
import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import EncodeError, File, Limits, ProtocolViolation
from ipclib.protocol.protocol import Call, Protocol, incoming_table
from ipclib.values import codecs as c
from ipclib.values.codecs import Codec, Frame

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
        return c.vector(codec), st.lists(values, max_size=4)
    if shape == "optional":
        return c.optional(codec), st.none() | values
    key, keys = draw(st.sampled_from(_KEYS))
    return c.hash_map(key, codec), st.dictionaries(keys, values, max_size=4)


def _frame(data: bytes, elements: int = 100_000) -> Frame:
    frame = Frame()
    frame.end, frame.elements = len(data), elements
    return frame


@given(st.data())
def test_every_value_decodes_to_itself(data: st.DataObject) -> None:
    codec, values = data.draw(typed_values())
    value = data.draw(values)
    wire = codec.encode(value, [])
    assert len(wire) >= codec.smallest
    for buffer in (wire, memoryview(wire)):
        assert codec.decode(buffer, 0, _frame(wire)) == (value, len(wire))


@given(st.data())
def test_any_bytes_decode_or_are_refused(data: st.DataObject) -> None:
    codec, _values = data.draw(typed_values())
    wire = data.draw(st.binary(max_size=60))
    try:
        codec.decode(wire, 0, _frame(wire))
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
        (c.vector(c.i32), "12"),
        (c.vector(c.i32), [1, 1 << 40]),
        (c.vector(c.string), "ab"),
        (c.hash_map(c.string, c.i32), [("a", 1)]),
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
        c.boolean.decode(bytes([byte]), 0, _frame(b"?"))


@pytest.mark.parametrize(
    "codec",
    [
        c.vector(c.string),
        c.vector(c.i32),
        c.vector(c.file),
        c.hash_map(c.i32, c.i32),
        c.vector(c.vector(c.u64)),
        c.vector(c.optional(c.i32)),
    ],
    ids=lambda codec: codec.name,
)
def test_a_count_that_lies_is_refused_before_anything_is_allocated(codec: Codec[Any]) -> None:
    wire = struct.pack("=I", 0xFFFFFFFF) + b"\0" * 16
    with pytest.raises(ProtocolViolation, match="count of 4294967295"):
        codec.decode(wire, 0, _frame(wire))


def test_nested_elements_count_against_one_budget_and_numbers_do_not() -> None:
    lists = [[[]] * 10] * 10
    codec = c.vector(c.vector(c.vector(c.i32)))
    wire = codec.encode(lists, [])
    assert codec.decode(wire, 0, _frame(wire, 110))[0] == lists
    with pytest.raises(ProtocolViolation, match="max_elements"):
        codec.decode(wire, 0, _frame(wire, 109))
    numbers = c.vector(c.u16).encode(list(range(1000)), [])
    assert c.vector(c.u16).decode(numbers, 0, _frame(numbers, 0))[0] == list(range(1000))


def test_numbers_have_a_budget_of_their_own() -> None:
    codec = c.vector(c.vector(c.u16))
    wire = codec.encode([[1] * 600, [2] * 400], [])
    frame = _frame(wire)
    frame.numbers = 1000
    assert codec.decode(wire, 0, frame)[0] == [[1] * 600, [2] * 400]
    frame = _frame(wire)
    frame.numbers = 999
    with pytest.raises(ProtocolViolation, match="max_numbers"):
        codec.decode(wire, 0, frame)


def test_a_repeated_key_is_refused() -> None:
    wire = struct.pack("=Iiiii", 2, 7, 1, 7, 2)
    with pytest.raises(ProtocolViolation, match="repeated"):
        c.hash_map(c.i32, c.i32).decode(wire, 0, _frame(wire))


def test_a_mutable_byte_string_is_copied_and_bytes_are_not() -> None:
    raw = b"abc"
    assert c.octets(raw) is raw
    mutable = bytearray(b"abc")
    copy = c.octets(mutable)
    mutable[0] = 0
    assert copy == b"abc"
    assert c.octets(memoryview(b"abcd")[::2]) == b"ac"


def _sender(clock: Any) -> Protocol:
    ends = (clock.ClockServer, clock.ClockClient)
    return Protocol(*ends, incoming_table(*ends), Limits())


def test_an_encode_error_names_message_parameter_and_value(clock: Any) -> None:
    with pytest.raises(
        EncodeError, match=r"ClockServer\.add: b = 2147483648: i32 takes an int from"
    ) as caught:
        _sender(clock).request(clock.ClockServer.Add, (1, 1 << 31), Call)
    assert (caught.value.message, caught.value.parameter, caught.value.value) == (
        "ClockServer.add",
        "b",
        1 << 31,
    )
    with pytest.raises(EncodeError, match=r"echo_names: names = .*a str is needed"):
        _sender(clock).request(clock.ClockServer.EchoNames, (["a", 7],), Call)


def test_an_encode_error_leaves_the_files_to_the_caller(clock: Any) -> None:
    with File(os.open("/dev/null", os.O_RDONLY)) as file:
        with pytest.raises(EncodeError, match="the same File twice"):
            _sender(clock).request(clock.ClockServer.TakeFiles, ([file, file], False), Call)
        assert os.fstat(file.fileno())
        with pytest.raises(EncodeError, match="fail = 1: a bool is needed"):
            _sender(clock).request(clock.ClockServer.TakeFiles, ([file], 1), Call)
        assert os.fstat(file.fileno())


def test_a_map_whose_keys_collide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = c.hash_map(c.i64, c.i8)
    wire = codec.encode(dict.fromkeys(range(5000), 0), [])
    assert len(codec.decode(wire, 0, _frame(wire, 10_000))[0]) == 5000
    spent = itertools.count(0, 60_000_000)
    monkeypatch.setattr(c, "thread_time_ns", lambda: next(spent))
    with pytest.raises(ProtocolViolation, match="collide"):
        codec.decode(wire, 0, _frame(wire, 10_000))
