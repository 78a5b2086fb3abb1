"""Whatever can be encoded can be decoded, by a receiver with the limits that its sender counted by."""

from __future__ import annotations

import enum
import time
from array import array as PackedArray
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv6Address
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import (
    AnonymousBuffer,
    BadDeclaration,
    Decoder,
    Encoder,
    ProtocolViolation,
    codec_of,
    gfx,
    ipc_type,
)
from ipclib import generated as g
from ipclib.values.codecs import ENCODE_ERRORS, Codec
from ipclib.values.decoding import Decoding, Outgoing, Unrepresentable, weight
from tests.ipclib.values.round_trips import decoding_of, round_trip
from tests.ipclib.values.test_all_types import LEAVES, Case, types


@attrs.define(on_setattr=[])
class Even:
    number: int = attrs.field()

    @number.validator
    def _check(self, _attribute: object, value: int) -> None:
        if value % 2:
            raise LookupError(f"{value} is odd")


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class Marked:
    """Two of them may differ although they look the same on the wire."""

    number: int
    mark: int = attrs.field(default=0, init=False)


@attrs.frozen
class Wide:
    a: str = ""
    b: str = ""
    c: str = ""
    d: str = ""
    e: str = ""


@ipc_type("Sent::Bag")
@attrs.frozen
class Bag:
    """A class with a codec of its own, and a count."""

    names: tuple[str, ...] = ()

    def encode(self, encoder: Encoder) -> None:
        encoder.count(len(self.names))
        for name in self.names:
            encoder.string(name)

    @classmethod
    def decode(cls, decoder: Decoder) -> Bag:
        return cls(tuple(decoder.string() for _ in range(decoder.count(4))))


def _odd() -> Even:
    even = Even(2)
    even.number = 3
    return even


def _bent(**changes: Any) -> gfx.ShareableBitmap:
    bitmap = gfx.ShareableBitmap.create(2, 2)
    for name, value in changes.items():
        setattr(bitmap, name, value)
    return bitmap


class Same(str):
    """Text that is equal to nothing else, and looks like other text on the wire."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1


_ZONES = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
_MOMENTS = st.datetimes(timezones=_ZONES) | st.sampled_from([datetime.max, datetime.min]).flatmap(
    lambda when: _ZONES.map(lambda zone: when.replace(tzinfo=zone))
)
_EVENS = g.structure(Even, g.i32)
_SUSPECTS: list[Case] = [
    *LEAVES,
    (g.date_time, _MOMENTS),
    (g.unix_date_time, _MOMENTS),
    (g.duration, st.timedeltas()),
    (g.string, st.text(max_size=5)),
    (
        g.json_value,
        st.integers() | st.floats() | st.text(max_size=5) | st.integers(1, 5000).map(lambda n: 10**n),
    ),
    (g.hash_map(g.date_time, g.empty), st.dictionaries(_MOMENTS, st.none(), max_size=4)),
    (
        g.hash_map(g.structure(Marked, g.u8), g.empty),
        st.dictionaries(st.builds(Marked, st.integers(0, 3)), st.none()),
    ),
    (g.hash_map(g.string, g.empty), st.lists(st.builds(Same, st.sampled_from("ab"))).map(dict.fromkeys)),
    (g.vector(g.empty), st.lists(st.none())),
    (g.vector(g.structure(Nothing)), st.lists(st.builds(Nothing))),
    (g.hash_map(g.structure(Nothing), g.empty), st.dictionaries(st.builds(Nothing), st.none())),
    (_EVENS, st.sampled_from([Even(2), _odd()])),
    (codec_of(Bag), st.builds(Bag, st.lists(st.just("")).map(tuple))),
    (g.vector(codec_of(Bag)), st.lists(st.builds(Bag, st.just(("", "a"))))),
]


@st.composite
def _nested_suspects(draw: st.DrawFn) -> Case:
    codec, values = draw(st.sampled_from(_SUSPECTS) | types())
    if draw(st.booleans()):
        return g.vector(g.optional(codec)), st.lists(st.none() | values, max_size=3)
    return codec, values


@given(st.data())
def test_what_can_be_encoded_is_received_and_is_the_same_again_on_the_wire(data: st.DataObject) -> None:
    codec, values = data.draw(_nested_suspects())
    value = data.draw(values)
    try:
        wire = codec.encode(value, Outgoing())
    except ENCODE_ERRORS:
        return
    assert codec.encode(round_trip(codec, value), []) == wire


_EAST, _WEST = timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (g.date_time, datetime.max.replace(tzinfo=_WEST), "outside of the years 1 to 9999"),
        (g.date_time, datetime.min.replace(tzinfo=_EAST), "outside of the years 1 to 9999"),
        (
            g.hash_map(g.date_time, g.u8),
            {datetime(2020, 1, 1, tzinfo=UTC): 1, datetime(2020, 1, 1, microsecond=5, tzinfo=UTC): 2},
            "two keys of the dict are the same on the wire",
        ),
        (g.hash_map(g.string, g.u8), {"a": 1, Same("a"): 2}, "two keys of the dict are the same on the wire"),
        (g.vector(g.empty), [None], "1 elements that take no bytes"),
        (g.vector(g.structure(Nothing)), [Nothing()], "1 elements that take no bytes"),
        (g.hash_map(g.structure(Nothing), g.empty), {Nothing(): None}, "1 elements that take no bytes"),
        (_EVENS, _odd(), "Even: 3 is odd"),
        (g.origin, g.Origin("s", IPv6Address("fe80::1%eth0")), "no place for the scope 'eth0'"),
        (g.shareable_bitmap, _bent(width=3), "needs 24 bytes, and its buffer has 16"),
        (g.shareable_bitmap, _bent(height=-2), "no bitmap is 2x-2"),
        (g.shareable_bitmap, _bent(scale=0), "at scale 0"),
        (g.shareable_bitmap, _bent(format=9), "9 is not a valid BitmapFormat"),
        (g.json_value, 10**4300, "4300"),
        (g.json_value, [{"a": 1, Same("a"): 2}], "two keys of a JSON object are the same text"),
    ],
    ids=lambda value: getattr(value, "name", "")[:30],
)
def test_what_a_receiver_would_refuse_is_refused_by_its_sender(
    codec: Codec[Any], value: object, reason: str
) -> None:
    with pytest.raises(ENCODE_ERRORS, match=reason):
        codec.encode(value, [])


def test_the_first_and_the_last_second_of_the_calendar_are_received() -> None:
    for when in (datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)):
        assert round_trip(g.date_time, when) == when


def test_an_enum_whose_number_stands_for_another_member_is_refused_where_it_is_declared() -> None:
    class Odd(enum.Enum):
        ONE = 1
        TWO = 2

        @classmethod
        def _missing_(cls, value: object) -> Odd:
            return cls.TWO

    class Number(int):
        """Not equal to itself as an int."""

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = int.__hash__

    assert round_trip(g.enumeration(Odd, g.i32), Odd.TWO) is Odd.TWO
    strange = enum.Enum("strange", {"ONE": Number(1)})
    with pytest.raises(ValueError, match=r"strange\.ONE"):
        g.enumeration(strange, g.i32)
    with pytest.raises(BadDeclaration, match=r"strange\.ONE"):
        ipc_type("Sent::Strange")(strange)


# --- what is counted ---


@pytest.mark.parametrize(
    ("codec", "value", "elements", "numbers"),
    [
        (g.vector(g.string), ["a", "b"], 2, 0),
        (g.vector(g.i32), PackedArray("i", [1, 2, 3]), 0, 3),
        (g.array(g.i32, 2), (1, 2), 0, 2),
        (g.array(g.string, 2), ("", ""), 2, 0),
        (g.hash_map(g.string, g.vector(g.u8)), {"a": [1], "b": [2]}, 2, 2),
        (g.optional(g.vector(g.boolean)), [True], 1, 0),
        (g.variant(g.vector(g.string), g.i32), ["a"], 1, 0),
        (g.json_value, {"a": [1, 2]}, 4, 0),
        (g.vector(g.json_value), [1, [2]], 5, 0),
        (codec_of(Bag), Bag(("a", "b")), 4, 0),
        (g.vector(codec_of(Bag)), [Bag(("a",)), Bag()], 5, 0),
        (g.vector(g.int_rect), [gfx.IntRect()] * 2, 2, 0),
        (g.vector(g.structure(Wide, *[g.string] * 5)), [Wide()] * 3, 6, 0),
    ],
    ids=lambda value: getattr(value, "name", "")[:40],
)
def test_a_sender_counts_as_its_receiver_does(
    codec: Codec[Any], value: object, elements: int, numbers: int
) -> None:
    outgoing = Outgoing()
    wire = codec.encode(value, outgoing)
    assert (outgoing.elements, outgoing.numbers) == (elements, numbers)
    round_trip(codec, value)
    for lacking in ({"elements": elements - 1}, {"numbers": numbers - 1}):
        decoding = decoding_of(wire, elements=elements)
        for name, limit in lacking.items():
            if limit >= 0:
                setattr(decoding, name, limit)
                with pytest.raises(ProtocolViolation, match=f"max_{name}"):
                    codec.decode(wire, 0, decoding)


@given(st.data())
def test_the_bytes_of_a_value_bound_what_it_counts(data: st.DataObject) -> None:
    """By this rule the sender of a small message need not look at what it has counted."""
    codec, values = data.draw(_nested_suspects())
    outgoing = Outgoing()
    try:
        wire = codec.encode(data.draw(values), outgoing)
    except ENCODE_ERRORS:
        return
    assert outgoing.elements <= 32 * len(wire)
    assert outgoing.numbers <= len(wire)


def test_an_element_of_many_values_counts_more_than_once() -> None:
    assert [weight(values, 100) for values in (1, 4, 5, 8, 9, 20)] == [1, 1, 2, 2, 3, 5]
    assert weight(1000, 0) == 1
    assert weight(1000, 2) == 32


# --- time ---


def _cost(codec: Codec[Any], wire: bytes) -> tuple[float, str]:
    """The CPU seconds until a message of these bytes is decoded or refused, and why it was."""
    decoding = Decoding()
    decoding.end, decoding.elements = len(wire), 262_144
    began = time.thread_time()
    try:
        codec.decode(wire, 0, decoding)
        reason = ""
    except (ValueError, ProtocolViolation) as error:
        reason = str(error)
    return time.thread_time() - began, reason


def _json(text: bytes) -> bytes:
    return g.byte_string.encode(text, [])


_MI = 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[]" * (8 * _MI), "side by side"),
        (b"{}" * (8 * _MI), "side by side"),
        (b'"' + b"\\\\" * (8 * _MI) + b'"', "too many escapes"),
        (b'["' + b'\\"' * (8 * _MI + 1) + b'"]', "too many escapes"),
        (b'"' + b"\\u0041" * (9 * _MI) + b'"', "too many escapes"),
        (b"[" + b",".join([b"7" * 4299] * 5000) + b"]", "long integers"),
        (b"[" + b",".join([b"-" + b"7" * 999] * 45_000) + b"]", "long integers"),
    ],
    ids=range(7),
)
def test_json_that_is_slower_than_its_bytes_is_refused_at_once(text: bytes, reason: str) -> None:
    cpu, refusal = _cost(g.json_value, _json(text))
    assert reason in refusal
    assert cpu < 1


@pytest.mark.slow
def test_the_work_of_json_is_counted_for_the_whole_message() -> None:
    text = b'"' + b"\\n" * 1_000_000 + b'"'
    many = g.vector(g.json_value)
    wire = g.u32.encode(9, []) + _json(text) * 9
    cpu, refusal = _cost(many, wire)
    assert "too many escapes" in refusal
    assert cpu < 1
    outgoing = Outgoing()
    many.encode(["\n" * 1_000_000] * 9, outgoing)
    assert outgoing.work == 9 * (1_000_000 * 50 + (2 * 1_000_000 + 2) * 8)


@attrs.frozen
class Slow:
    """A key whose hash is the same as all others', and takes its time to compare."""

    number: int
    compared: Any = attrs.field(default=0, init=False, eq=False)

    def __hash__(self) -> int:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [9, 100, 1000, 20_000])
def test_maps_whose_keys_collide_share_one_bound_in_a_message(size: int) -> None:
    codec = g.vector(g.hash_map(g.structure(Slow, g.i32), g.empty))
    maps = 260_000 // (size + 1)
    one = g.u32.encode(size, []) + b"".join(number.to_bytes(4, "little") for number in range(size))
    cpu, refusal = _cost(codec, g.u32.encode(maps, []) + one * maps)
    assert cpu < 2.5, "of which most is the decoding of the keys, with a measured machine's margin"
    assert refusal == ("the keys of a map collide" if size > 100 else refusal)


def test_a_repeated_key_is_found_before_the_map_is_whole() -> None:
    wire = g.u32.encode(100_000, []) + b"\1\0\0\0" * 100_000
    with pytest.raises(ProtocolViolation, match="repeated"):
        g.hash_map(g.i32, g.empty).decode(wire, 0, decoding_of(wire))


def test_half_a_surrogate_pair_in_json_is_told_from_whole_ones_and_from_escaped_backslashes() -> None:
    for text, value in (
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'["\\\\\\ud83d\\uDE00\\\\udc00"]', ["\\\U0001f600\\udc00"]),
        (b'"\\ud7ff"', "\ud7ff"),
    ):
        wire = _json(text)
        assert g.json_value.decode(wire, 0, decoding_of(wire))[0] == value
    for text in (
        b'"\\ud83d"',
        b'"\\ude00"',
        b'"\\ude00\\ud83d"',
        b'"\\ud83dx\\ude00"',
        b'"\\\\\\ud83d"',
        b'"\xe9"',
    ):
        wire = _json(text)
        with pytest.raises(Unrepresentable):
            g.json_value.decode(wire, 0, decoding_of(wire))


def test_an_empty_buffer_of_a_message_is_noted_for_peers_that_cannot_read_it() -> None:
    outgoing = Outgoing()
    with AnonymousBuffer.create(0) as empty, AnonymousBuffer.create(1) as one:
        g.anonymous_buffer.encode(one, outgoing)
        assert not outgoing.has_empty_memory
        g.anonymous_buffer.encode(empty, outgoing)
        assert outgoing.has_empty_memory
