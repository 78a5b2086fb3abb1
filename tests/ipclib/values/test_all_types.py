"""Every type of the language, nested to depth 4: values survive the wire, and no bytes do harm."""

from __future__ import annotations

import enum
import math
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import (
    URL,
    Alternative,
    BlobEntry,
    Duration,
    OpenMode,
    Origin,
    ProtocolViolation,
    ProxyData,
    UnixDateTime,
    gfx,
)
from ipclib import generated as g
from ipclib.values.codecs import DECODE_ERRORS, ENCODE_ERRORS, Codec, Number
from tests.ipclib.values.round_trips import decoding_of, round_trip

Case: TypeAlias = tuple[Codec[Any], st.SearchStrategy[Any]]


class Kind(enum.Enum):
    CITY = 0
    RIVER = 200


@attrs.frozen
class Place:
    name: str
    kind: Kind
    at: gfx.IntPoint


@attrs.frozen
class Tree:
    label: int
    branches: list[Tree]
    left: Tree | None


_TREE = g.recursive(lambda: g.structure(Tree, g.i32, g.vector(_TREE), g.optional(_TREE)))
_KIND = g.enumeration(Kind, g.u8)


def _int(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


_I32, _I64 = _int(32), _int(64)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_FLOATS = st.floats(width=32, allow_nan=False)
_POINTS = st.builds(gfx.IntPoint, _I32, _I32)
_HOSTS = st.ip_addresses() | _TEXT | st.none()
_ORIGINS = st.builds(Origin, _TEXT, _HOSTS, st.none() | st.integers(0, 65535))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)
_TREES = st.recursive(
    st.builds(Tree, _I32, st.just([]), st.none()),
    lambda inner: st.builds(Tree, _I32, st.lists(inner, max_size=2), st.none() | inner),
    max_leaves=6,
)

KEYS: list[Case] = [
    (g.boolean, st.booleans()),
    (g.string, _TEXT),
    (g.byte_string, st.binary()),
    (g.i8, _int(8)),
    (g.u64, st.integers(0, (1 << 64) - 1)),
    (g.duration, st.builds(Duration, _I64)),
    (g.unix_date_time, st.builds(UnixDateTime, _I64)),
    (g.origin, _ORIGINS),
    (g.int_point, _POINTS),
    (g.color, st.builds(gfx.Color.from_argb, st.integers(0, 0xFFFFFFFF))),
    (_KIND, st.sampled_from(Kind)),
    (
        g.structure(Place, g.string, _KIND, g.int_point),
        st.builds(Place, _TEXT, st.sampled_from(Kind), _POINTS),
    ),
]
LEAVES: list[Case] = [
    *KEYS,
    (g.float_, _FLOATS),
    (g.double, st.floats(allow_nan=False)),
    (g.json_value, _JSON),
    (g.date_time, st.datetimes(timezones=st.just(UTC)).map(lambda when: when.replace(microsecond=0, fold=0))),
    (
        g.url,
        st.builds(URL, _TEXT, st.none() | st.builds(BlobEntry, _TEXT, st.binary(max_size=9), _ORIGINS)),
    ),
    (g.proxy_data, st.builds(ProxyData, st.sampled_from([0, 1]), st.integers(0, 0xFFFFFFFF), _I32)),
    (g.open_mode, st.integers(0, 0xFFFFFFFF).map(OpenMode)),
    (g.int_size, st.builds(gfx.IntSize, _I32, _I32)),
    (g.int_rect, st.builds(gfx.IntRect, _I32, _I32, _I32, _I32)),
    (g.float_point, st.builds(gfx.FloatPoint, _FLOATS, _FLOATS)),
    (g.float_size, st.builds(gfx.FloatSize, _FLOATS, _FLOATS)),
    (g.float_rect, st.builds(gfx.FloatRect, _FLOATS, _FLOATS, _FLOATS, _FLOATS)),
    (_TREE, _TREES),
]


@st.composite
def types(draw: st.DrawFn, depth: int = 4) -> Case:
    """A codec of any type, nested up to `depth`, and a strategy for its values."""
    shapes = ["leaf", "vector", "array", "map", "ordered", "optional", "variant"]
    shape = draw(st.sampled_from(shapes)) if depth else "leaf"
    if shape == "leaf":
        return draw(st.sampled_from(LEAVES))
    codec, values = draw(types(depth - 1))
    if shape == "vector":
        return g.vector(codec), st.lists(values, max_size=3)
    if shape == "array":
        length = draw(st.integers(1, 3))
        return g.array(codec, length), st.tuples(*[values] * length)
    if shape == "optional":
        return g.optional(codec), st.none() | values
    if shape == "variant":
        other, others = draw(types(depth - 1))
        return _variant((codec, values), (other, others), (g.empty, st.none()))
    key, keys = draw(st.sampled_from(KEYS))
    made = g.hash_map if shape == "map" else g.ordered_hash_map
    return made(key, codec), st.dictionaries(keys, values, max_size=3)


def _variant(*cases: Case) -> Case:
    """A Variant, and its values as they arrive: plain where their class says which type is meant."""
    codecs = [codec for codec, _values in cases]
    classes = [codec.python_types() for codec in codecs]
    choices = []
    for index, (own, (_codec, values)) in enumerate(zip(classes, cases, strict=True)):
        others = frozenset[type]().union(*classes[:index], *classes[index + 1 :])
        if own & others or Alternative in own:
            values = values.map(lambda value, index=index: Alternative(index, value))
        choices.append(values)
    return g.variant(*codecs), st.one_of(choices)


@given(st.data())
def test_every_value_decodes_to_itself(data: st.DataObject) -> None:
    codec, values = data.draw(types())
    value = data.draw(values)
    arrived = round_trip(codec, value)
    assert arrived == value
    assert repr(arrived) == repr(value), "1 is no True, and 1.0 no 1"


@given(st.data())
def test_any_bytes_decode_or_are_refused(data: st.DataObject) -> None:
    codec, _values = data.draw(types())
    wire = data.draw(st.binary(max_size=80))
    try:
        codec.decode(wire, 0, decoding_of(wire))
    except (*DECODE_ERRORS, ProtocolViolation):
        pass


@given(st.data())
def test_a_damaged_value_decodes_or_is_refused(data: st.DataObject) -> None:
    codec, values = data.draw(types())
    wire = bytearray(codec.encode(data.draw(values), []))
    for _ in range(data.draw(st.integers(1, 3))):
        if wire:
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec.decode(bytes(wire), 0, decoding_of(bytes(wire)))
    except (*DECODE_ERRORS, ProtocolViolation):
        pass


@given(st.data())
def test_a_value_of_another_type_is_refused_with_a_reason(data: st.DataObject) -> None:
    codec, _values = data.draw(st.sampled_from(LEAVES).filter(lambda case: case[0] is not g.json_value))

    class Stranger:
        pass

    value = data.draw(st.sampled_from([Stranger(), {1, 2}, [object()]]))
    with pytest.raises(ENCODE_ERRORS) as caught:
        codec.encode(value, [])
    assert str(caught.value)


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (g.empty, 0, "None is needed"),
        (g.array(g.u16, 4), (1, 2, 3), "a tuple of 4 is needed"),
        (g.array(g.u16, 2), (1, 70000), "u16 takes an int from 0 to 65535"),
        (_KIND, 200, "Kind is needed, not int"),
        (g.duration, 1.5, "Duration or a timedelta"),
        (g.duration, timedelta(days=200_000), "do not fit 64 bits"),
        (g.unix_date_time, datetime(2020, 1, 1), "no time zone: use"),
        (g.date_time, datetime(2020, 1, 1), "no time zone: use"),
        (g.date_time, 5, "an aware datetime is needed"),
        (g.url, "https://x", "URL is needed, not str"),
        (g.origin, Origin("s", "h", 65536), "Origin.port: u16 takes"),
        (g.origin, Origin("s", b"h"), "Origin.host: no alternative of Variant<.*> takes bytes"),  # type: ignore[arg-type]
        (g.proxy_data, ProxyData(0, -1, 1), "ProxyData.host_ipv4: u32 takes"),
        (g.int_point, gfx.IntPoint(1 << 31, 0), "IntPoint.x: i32 takes"),
        (g.int_point, (1, 2), "IntPoint is needed, not tuple"),
        (g.color, 0xFFFFFFFF, "Color is needed"),
        (g.open_mode, 1, "OpenMode is needed, not int"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_reason(
    codec: Codec[Any], value: object, reason: str
) -> None:
    with pytest.raises(ENCODE_ERRORS, match=reason):
        codec.encode(value, [])


def test_timedeltas_and_other_zones_are_times_too() -> None:
    assert round_trip(g.duration, timedelta(microseconds=-1)) == Duration(-1000)
    east = datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert round_trip(g.unix_date_time, east) == UnixDateTime(0)
    assert round_trip(g.date_time, east.replace(microsecond=999_999)) == datetime(1970, 1, 1, tzinfo=UTC)
    assert Duration.from_seconds(1.5).timedelta == timedelta(seconds=1.5)
    assert UnixDateTime(1_500).datetime == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert Duration(1) < Duration(2)
    with pytest.raises(ValueError, match="64 bits"):
        Duration(1 << 63)


@pytest.mark.parametrize("seconds", [1 << 62, -(1 << 62), 253402300800])
def test_a_time_beyond_the_calendar_is_a_violation(seconds: int) -> None:
    wire = g.i64.encode(seconds, [])
    with pytest.raises(ProtocolViolation, match="outside of the years"):
        g.date_time.decode(wire, 0, decoding_of(wire))


def test_an_unknown_enum_value_is_refused() -> None:
    with pytest.raises(ValueError, match="7 is not a valid Kind"):
        _KIND.decode(b"\7", 0, decoding_of(b"\7"))


def test_an_array_of_another_length_is_refused() -> None:
    wire = g.vector(g.u16).encode([1, 2], [])
    with pytest.raises(ProtocolViolation, match="count of 2"):
        g.array(g.u16, 3).decode(wire, 0, decoding_of(wire))


def _tower(height: int) -> Tree:
    tree = Tree(1, [], None)
    for _ in range(height - 1):
        tree = Tree(1, [tree], None)
    return tree


def test_a_struct_may_contain_itself_64_deep() -> None:
    assert round_trip(_TREE, _tower(64)) == _tower(64)
    with pytest.raises(ValueError, match="nested deeper than 64"):
        _TREE.encode(_tower(65), [])
    round_trip(_TREE, _tower(64))


def test_a_deeper_struct_from_a_peer_is_a_violation() -> None:
    level = g.i32.encode(1, []) + g.u32.encode(1, [])
    for levels in (65, 100_000):
        wire = level * levels
        decoding = decoding_of(wire)
        with pytest.raises(ProtocolViolation, match="deeper than 64"):
            _TREE.decode(wire, 0, decoding)
        assert decoding.depth == 0


def test_a_class_that_refuses_what_a_peer_sent_is_no_crash() -> None:
    @attrs.frozen
    class Picky:
        name: str = attrs.field(validator=lambda *_: [][0])

    wire = g.string.encode("x", [])
    with pytest.raises(ProtocolViolation, match="Picky"):
        g.structure(Picky, g.string).decode(wire, 0, decoding_of(wire))


@pytest.mark.parametrize(
    "codec",
    [
        g.vector(g.optional(g.u8)),
        g.vector(g.variant(g.empty, g.string)),
        g.vector(g.vector(g.u8)),
        g.vector(_TREE),
    ],
    ids=lambda codec: codec.name,
)
def test_bytes_cost_a_bounded_amount_of_memory(codec: Codec[Any]) -> None:
    wire = g.u32.encode(1_000_000, []) + bytes(4_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation, match="max_elements"):
            codec.decode(wire, 0, decoding_of(wire, elements=1000))
        assert tracemalloc.get_traced_memory()[1] < len(wire)
    finally:
        tracemalloc.stop()


def test_numbers_alone_are_packed_in_one_go() -> None:
    assert g.int_rect.smallest == 16
    assert all(isinstance(codec, Number) for codec in (g.i32, g.float_))
    point = round_trip(g.float_point, gfx.FloatPoint(math.inf, -0.0))
    assert math.copysign(1, point.y) == -1


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, 1e300, -1e300])
@pytest.mark.parametrize("time", [Duration, UnixDateTime])
def test_seconds_that_are_no_time_are_refused(time: type[Duration | UnixDateTime], seconds: float) -> None:
    with pytest.raises(ValueError, match=r"no length of time|do not fit 64 bits"):
        time.from_seconds(seconds)


@pytest.mark.parametrize("time", [Duration, UnixDateTime])
def test_nanoseconds_are_a_whole_number(time: type[Duration | UnixDateTime]) -> None:
    for value in (1.5, True, math.nan, "1", None):
        with pytest.raises(TypeError, match="a whole number of nanoseconds"):
            time(value)  # type: ignore[arg-type]
