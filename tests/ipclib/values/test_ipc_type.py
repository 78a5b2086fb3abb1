"""A program's own classes on the wire; a declaration that cannot work says which class and field, and why."""

from __future__ import annotations

import enum
import os
from typing import Any

import attrs
import pytest

from ipclib import (
    AnonymousBuffer,
    BadDeclaration,
    Decoder,
    Duration,
    Encoder,
    File,
    Json,
    ProtocolViolation,
    codec_of,
    double,
    gfx,
    i32,
    ipc_type,
    u8,
    u16,
)
from ipclib.generated import hash_map, registered, vector
from tests.ipclib.values.round_trips import decoding_of, round_trip


@ipc_type("Geo::Point")
@attrs.define
class Point:
    x: i32
    y: i32


@ipc_type("Geo::Kind", underlying=u8)
class Kind(enum.Enum):
    CITY = 0
    RIVER = 200


@ipc_type("Geo::Marks")
class Marks(enum.IntFlag):
    OLD = 1
    NEW = 2


@ipc_type("Geo::Place")
@attrs.frozen(kw_only=True)
class Place:
    at: Point
    kind: Kind
    names: dict[str, list[i32]]
    above: Place | None
    below: list[Place]
    extra: Json
    opened: Duration
    colour: gfx.Color
    share: double
    raw: bytes


@ipc_type("Geo::Word")
class Word:
    """Writes itself: a length of one byte, the text, and words that belong to it."""

    def __init__(self, text: str, parts: list[Word]) -> None:
        self.text = text
        self.parts = parts

    def encode(self, encoder: Encoder) -> None:
        encoder.string(self.text)
        encoder.value(codec_of(list[Word]), self.parts)

    @classmethod
    def decode(cls, decoder: Decoder) -> Word:
        return cls(decoder.string(), decoder.value(codec_of(list[Word])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and (self.text, self.parts) == (other.text, other.parts)


def _place(above: Place | None, below: list[Place]) -> Place:
    return Place(
        at=Point(1, -2),
        kind=Kind.RIVER,
        names={"a": [1, 2]},
        above=above,
        below=below,
        extra={"a": [None, 1.5]},
        opened=Duration(5),
        colour=gfx.Color(1, 2, 3),
        share=0.1,
        raw=b"raw",
    )


def test_a_class_is_encoded_by_its_annotations() -> None:
    assert registered(Point).encode(Point(1, -2), []) == b"\1\0\0\0\xfe\xff\xff\xff"
    place = _place(_place(None, []), [_place(None, []), _place(None, [])])
    assert round_trip(registered(Place), place) == place
    assert round_trip(registered(Kind), Kind.RIVER) is Kind.RIVER
    assert round_trip(registered(Marks), Marks.OLD | Marks.NEW) == Marks.OLD | Marks.NEW
    assert len(registered(Kind).encode(Kind.CITY, [])) == 1


def test_a_refused_value_names_its_field() -> None:
    with pytest.raises(ValueError, match=r"Point\.y: i32 takes an int from"):
        registered(Point).encode(Point(1, 1 << 31), [])
    with pytest.raises(TypeError, match="Point is needed, not tuple"):
        registered(Point).encode((1, 2), [])  # type: ignore[arg-type]


def test_a_class_may_encode_itself() -> None:
    word = Word("a", [Word("b", []), Word("c", [Word("d", [])])])
    assert round_trip(registered(Word), word) == word
    with pytest.raises(TypeError, match="Word is needed, not str"):
        registered(Word).encode("a", [])  # type: ignore[arg-type]


def test_a_class_that_encodes_itself_nests_64_deep_at_most() -> None:
    codec = registered(Word)
    word = Word("", [])
    for _ in range(63):
        word = Word("", [word])
    assert round_trip(codec, word) == word
    with pytest.raises(ValueError, match="deeper than 64"):
        codec.encode(Word("", [word]), [])
    wire = b"\0\0\0\0\1\0\0\0" * 10_000
    with pytest.raises(ProtocolViolation, match="deeper than 64"):
        codec.decode(wire, 0, decoding_of(wire))


def test_every_part_that_an_encoder_takes_comes_back() -> None:
    @ipc_type("Everything")
    class Everything:
        def __init__(self, *parts: Any) -> None:
            self.parts = parts

        def encode(self, encoder: Encoder) -> None:
            for name, part in zip(_PARTS, self.parts, strict=True):
                getattr(encoder, name)(part)

        @classmethod
        def decode(cls, decoder: Decoder) -> Everything:
            return cls(*(getattr(decoder, name)() for name in _PARTS))

    with File(os.open("/dev/null", os.O_RDONLY)) as file:
        parts = (True, -1, -2, -3, -4, 1, 2, 3, 4, 1.5, 0.1, "text", b"bytes", file)
        assert round_trip(registered(Everything), Everything(*parts)).parts == parts


_PARTS = (
    *("boolean", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "float_", "double"),
    *("string", "byte_string", "file"),
)


def test_an_exception_of_a_decode_is_the_peer_s_violation() -> None:
    @ipc_type("Fragile")
    class Fragile:
        def encode(self, encoder: Encoder) -> None:
            encoder.u8(0)

        @classmethod
        def decode(cls, decoder: Decoder) -> Fragile:
            raise KeyError(decoder.u8())

    with pytest.raises(ProtocolViolation, match="Fragile: 7"):
        registered(Fragile).decode(b"\7", 0, decoding_of(b"\7"))


def test_a_count_is_believed_only_when_it_can_be() -> None:
    wire = b"\2\0\0\0ab"
    assert Decoder(wire, 0, decoding_of(wire)).count(1) == 2
    with pytest.raises(ProtocolViolation, match="count of 2"):
        Decoder(wire, 0, decoding_of(wire)).count(2)


def test_a_value_that_writes_nothing_is_refused() -> None:
    @ipc_type("Nothing")
    class Nothing:
        def encode(self, encoder: Encoder) -> None: ...

        @classmethod
        def decode(cls, decoder: Decoder) -> Nothing:
            return cls()

    with pytest.raises(ValueError, match=r"Nothing\.encode\(\) wrote no byte"):
        vector(registered(Nothing)).encode([Nothing()], [])


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (int, "an int has no width: write ipclib's i32"),
        (float, "write ipclib's double, or float_"),
        (list, r"say of what: list\[i32\]"),
        (list[u8], "write bytes"),
        (dict[double, i32], "a float is no key"),
        (dict[Point, i32], "Point cannot be a key: it is not hashable; attrs.frozen"),
        (i32 | str, "has no form on the wire"),
        (tuple[i32, i32], "has no form on the wire"),
        (Any, "Any is not registered"),
        ([i32], "has no form on the wire"),
        (Encoder, "Encoder is not registered: decorate it with @ipc_type"),
        ("i32", "'i32' has no form on the wire"),
    ],
)
def test_an_annotation_without_a_form_on_the_wire_is_refused(annotation: Any, reason: str) -> None:
    with pytest.raises(BadDeclaration, match=reason):
        codec_of(annotation)


def test_a_field_without_a_form_on_the_wire_is_named() -> None:
    @ipc_type("Holder")
    @attrs.define
    class Holder:
        good: i32
        bad: list[int]

    for _ in range(2):
        with pytest.raises(BadDeclaration, match=r"Holder\.bad: an int has no width"):
            registered(Holder)


def test_a_bad_class_is_refused_where_it_is_declared() -> None:
    class Plain:
        pass

    with pytest.raises(BadDeclaration, match=r"Plain is no attrs class: put @ipc_type above @attrs\.define"):
        ipc_type("Plain")(Plain)

    class Half:
        def encode(self, encoder: Encoder) -> None: ...

    with pytest.raises(BadDeclaration, match=r"Half has encode\(\) alone"):
        ipc_type("Half")(Half)
    with pytest.raises(BadDeclaration, match=r"Geo Point.*is no name in interface files"):
        ipc_type("Geo Point")
    with pytest.raises(BadDeclaration, match="underlying= is for enums"):
        ipc_type("P", underlying=u16)(Point)

    class Wide(enum.Enum):
        FAR = 256

    with pytest.raises(BadDeclaration, match=r"Wide\.FAR = 256: u8 takes an int from 0 to 255"):
        ipc_type("Wide", underlying=u8)(Wide)

    class Words(enum.Enum):
        ONE = "one"

    with pytest.raises(BadDeclaration, match=r"Words\.ONE = 'one': i32 takes an int"):
        ipc_type("Words")(Words)


def test_a_field_that_cannot_be_set_or_resolved_is_named() -> None:
    @ipc_type("Late")
    @attrs.define
    class Late:
        x: i32 = attrs.field(init=False, default=0)

    with pytest.raises(BadDeclaration, match=r"Late\.x has init=False"):
        registered(Late)

    @ipc_type("Lost")
    @attrs.define
    class Lost:
        x: Unheard  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(BadDeclaration, match="Lost: name 'Unheard' is not defined"):
        registered(Lost)


def test_memory_has_a_codec_and_an_unhashable_class_is_refused_as_a_key() -> None:
    assert codec_of(AnonymousBuffer).smallest == 1
    with pytest.raises(TypeError, match="Point cannot be a key"):
        hash_map(registered(Point), registered(Point))
