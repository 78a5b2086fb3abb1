"""Written codecs agree with the general ones, and generated structs are frozen attrs classes."""

from __future__ import annotations

import copy
import pickle
import sys
import weakref
from types import ModuleType
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import values_ipc
from benchmarks.values_ipc import Item, Point
from ipcc.compiler import compile_sources
from ipcc.source import Source
from ipclib import ProtocolViolation
from ipclib import generated as g
from ipclib.values.codecs import DECODE_ERRORS, ENCODE_ERRORS, Codec
from ipclib.values.decoding import Outgoing
from tests.ipclib.values.round_trips import decoding_of, round_trip

_KEYS = ("i32", "i64", "u8", "bool", "String", "ByteString", "Kind", "Pair")
_LEAVES = (*_KEYS, "double", "u16", "Deep")
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_INTEGERS = {"i32": (-(1 << 31), (1 << 31) - 1), "i64": (-(1 << 63), (1 << 63) - 1), "u8": (0, 255)}


class Odd(str):
    """Text that is equal to nothing else, and looks like other text on the wire."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1

    def encode(self, *_arguments: object) -> bytes:  # type: ignore[override]
        return b"other"


_JUNK = st.sampled_from(
    [None, 1, -1, 256, 1 << 40, 1.5, True, "x", "\ud800", Odd("x"), b"x", bytearray(b"x"), [], object()]
)
Case: TypeAlias = tuple[Codec[Any], Codec[Any], st.SearchStrategy[Any]]
"""The codec that the compiler wrote, the general codec of the same type, and values."""


class _Types:
    """Makes general codecs and values of the types of one module."""

    def __init__(self, module: ModuleType, fields: list[str], *, has_junk: bool) -> None:
        self._module = module
        self._junk = _JUNK if has_junk else st.nothing()
        self._kind = g.enumeration(module.Kind, g.u8)
        self._pair = g.structure(module.Pair, g.i32, g.string)
        self._deep = g.structure(module.Deep, g.boolean, self._pair, self._kind)
        self._record = [*fields]

    def codec(self, name: str) -> Codec[Any]:
        if name == "Record":
            return g.structure(self._module.Record, *map(self.codec, self._record))
        own = {"Kind": self._kind, "Pair": self._pair, "Deep": self._deep}
        simple = {"bool": "boolean", "String": "string", "ByteString": "byte_string"}
        return own[name] if name in own else getattr(g, simple.get(name, name))

    def values(self, name: str) -> st.SearchStrategy[Any]:
        return self._fitting(name) | self._junk

    def _fitting(self, name: str) -> st.SearchStrategy[Any]:
        module = self._module
        if name in _INTEGERS:
            return st.integers(*_INTEGERS[name])
        structs = {"Pair": ["i32", "String"], "Deep": ["bool", "Pair", "Kind"], "Record": self._record}
        if name in structs:
            return st.tuples(*map(self.values, structs[name])).map(
                lambda fields: getattr(module, name)(*fields)
            )
        return {
            "u16": st.integers(0, 65535),
            "bool": st.booleans(),
            "double": st.floats(allow_nan=False),
            "String": _TEXT,
            "ByteString": st.binary(max_size=8),
            "Kind": st.sampled_from(list(module.Kind)),
        }[name]


def _module(text: str) -> ModuleType:
    module = ModuleType("written_ipc")
    sys.modules[module.__name__] = module
    exec(compile(compile_sources([Source("x.ipc", text)]), "written_ipc", "exec"), vars(module))
    return module


@st.composite
def _cases(draw: st.DrawFn, *, has_junk: bool = False) -> Case:
    fields = draw(st.lists(st.sampled_from(_LEAVES), min_size=1, max_size=5))
    key = draw(st.sampled_from(_KEYS))
    element = draw(st.sampled_from([*_LEAVES, "Record"]))
    shape = draw(st.sampled_from(["Record", "Vector<{element}>", "HashMap<{key}, {element}>"]))
    type_ = shape.format(key=key, element=element)
    record = " ".join(f"{name} field_{number};" for number, name in enumerate(fields))
    module = _module(
        "enum Kind : u8 { A, B = 7 } struct Pair { i32 value; String at; }"
        "struct Deep { bool a; Pair b; Kind c; }"
        f"struct Record {{ {record} }} endpoint X {{ f({type_} value) =| }}"
    )
    types = _Types(module, fields, has_junk=has_junk)
    (written,) = module.X.F.__ipc__.codecs
    if shape == "Record":
        return written, types.codec("Record"), types.values("Record")
    if "Map" in shape:
        keys = _hashable(types.values(key))
        general: Codec[Any] = g.hash_map(types.codec(key), types.codec(element))
        return (
            written,
            general,
            st.lists(st.tuples(keys, types.values(element)), max_size=4).map(dict),
        )
    general = g.byte_string if element == "u8" else g.vector(types.codec(element))
    if element == "u8":
        return written, general, st.binary()
    return written, general, st.lists(types.values(element), max_size=4)


def _hashable(keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def is_hashable(value: object) -> bool:
        try:
            hash(value)
        except TypeError:
            return False
        return True

    return keys.filter(is_hashable)


def _encoded(codec: Codec[Any], value: object) -> object:
    outgoing = Outgoing()
    try:
        wire = codec.encode(value, outgoing)
    except ENCODE_ERRORS as error:
        return type(error), str(error)
    return wire, outgoing.elements, outgoing.numbers


@given(_cases(has_junk=True).flatmap(lambda case: st.tuples(st.just(case), case[2])))
def test_both_codecs_send_the_same_bytes_or_refuse_for_the_same_reason(drawn: tuple[Case, Any]) -> None:
    (written, general, _values), value = drawn
    assert _encoded(written, value) == _encoded(general, value)
    assert (written.name, written.smallest, written.values) == (
        general.name,
        general.smallest,
        general.values,
    )
    assert (written.counts, written.python_types()) == (general.counts, general.python_types())


@given(_cases().flatmap(lambda case: st.tuples(st.just(case), case[2])))
def test_both_codecs_receive_the_same_value(drawn: tuple[Case, Any]) -> None:
    (written, general, _values), value = drawn
    arrived = round_trip(written, value)
    assert arrived == round_trip(general, value) == value
    assert repr(arrived) == repr(value)
    wire = written.encode(value, [])
    view = memoryview(b"xxxx" + wire + b"rest")
    decoding = decoding_of(b"xxxx" + wire)
    assert written.decode(view, 4, decoding) == (value, 4 + len(wire))


@given(_cases().flatmap(lambda case: st.tuples(st.just(case), case[2])), st.data())
def test_both_codecs_refuse_the_same_bytes(drawn: tuple[Case, Any], data: st.DataObject) -> None:
    (written, general, _values), value = drawn
    wire = bytearray(written.encode(value, []))
    for _ in range(data.draw(st.integers(0, 3))):
        if wire:
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    sent = bytes(wire[: data.draw(st.integers(0, len(wire)))]) if data.draw(st.booleans()) else bytes(wire)
    assert _decoded(written, sent) == _decoded(general, sent)


def _decoded(codec: Codec[Any], wire: bytes) -> str:
    """The value as text, because NaN is not equal to itself; or that the bytes are refused."""
    decoding = decoding_of(wire, elements=1000)
    try:
        value, at = codec.decode(wire, 0, decoding)
    except (*DECODE_ERRORS, ProtocolViolation):
        return "refused"
    return f"{value!r} {decoding.elements}" if at == len(wire) else "refused"


@pytest.mark.parametrize(
    ("limit", "value"),
    [("elements", [Item(1, "a", 1.0, True)] * 3), ("elements", [Item(1, "", 0.0, False)] * 9)],
)
def test_a_written_codec_takes_its_elements_from_the_budget(limit: str, value: list[Item]) -> None:
    (codec,) = values_ipc.ValuesServer.Items.__ipc__.codecs
    outgoing = Outgoing()
    wire = codec.encode(value, outgoing)
    decoding = decoding_of(wire, elements=outgoing.elements - 1)
    with pytest.raises(ProtocolViolation, match=f"max_{limit}"):
        codec.decode(wire, 0, decoding)


def test_a_list_of_texts_in_a_large_view_is_received() -> None:
    (codec,) = values_ipc.ValuesServer.Names.__ipc__.codecs
    value = ["x" * 70_000, "größe", ""] * 10
    wire = codec.encode(value, [])
    for end in (b"", bytes(len(wire) * 2)):
        for start in (b"", bytes(len(wire) * 2)):
            decoding = decoding_of(start + wire)
            view = memoryview(start + wire + end)
            assert codec.decode(view, len(start), decoding)[0] == value
            decoding.check_files()
    assert len(wire) * 2 > 1024 * 1024, "of one of the views no copy is made"


# --- structs ---


def _received() -> Item:
    (codec,) = values_ipc.ValuesServer.Items.__ipc__.codecs
    wire = codec.encode([Item(1, "a", 0.5, True)], [])
    (item,) = codec.decode(wire, 0, decoding_of(wire))[0]
    assert type(item) is Item
    return item


@pytest.mark.parametrize("item", [Item(1, "a", 0.5, True), _received()], ids=["made", "received"])
def test_a_struct_is_a_frozen_attrs_class(item: Item) -> None:
    twin = Item(1, "a", 0.5, True)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        item.number = 2  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del item.number
    assert item == twin
    assert hash(item) == hash(twin)
    assert repr(item) == "Item(number=1, name='a', price=0.5, is_new=True)"
    assert attrs.evolve(item, number=3) == Item(3, "a", 0.5, True)
    assert attrs.astuple(item) == (1, "a", 0.5, True)
    assert not hasattr(item, "__dict__")
    assert weakref.ref(item)() is item
    for again in (copy.copy(item), copy.deepcopy(item), pickle.loads(pickle.dumps(item))):
        assert again == item
        assert type(again) is Item
    match item:
        case Item(number, name):
            assert (number, name) == (1, "a")


def test_a_subclass_of_a_struct_is_sent_as_the_struct() -> None:
    @attrs.frozen
    class Named(Point):
        name: str = "n"

    (codec,) = values_ipc.ValuesServer.Points.__ipc__.codecs
    assert codec.encode([Named(1, 2, 3)], []) == codec.encode([Point(1, 2, 3)], [])
