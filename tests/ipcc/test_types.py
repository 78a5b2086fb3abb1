"""Owns the tests of types: their Python types, their signatures, and what follows from fields.

Must not know how declarations are parsed.
"""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import ipcc
from ipcc.definitions import Struct
from ipcc.model import Compilation, Payload
from ipcc.strongly_connected import components
from tests.ipcc.compiling import encode, model, round_trip

HERE = Path(__file__).parent


def declared(text: str) -> dict[str, Any]:
    return {definition.name: definition for definition in model(text).definitions}


def canonical(text: str) -> str:
    (endpoint,) = model(text).endpoints
    return endpoint.messages[0].signed_text


def payload(type: str) -> Payload:
    (endpoint,) = model(f"struct Point {{ i32 x; }} endpoint A {{ f({type} a) =| }}").endpoints
    return endpoint.messages[0].inputs


@pytest.mark.parametrize(
    ("type", "annotation", "accepted"),
    [
        ("Empty", "None", None),
        ("JsonValue", "_ipc.Json", None),
        ("AK::Duration", "_ipc.Duration", "_ipc.Duration | _datetime.timedelta"),
        ("UnixDateTime", "_ipc.UnixDateTime", "_ipc.UnixDateTime | _datetime.datetime"),
        ("Core::DateTime", "_datetime.datetime", None),
        ("URL::URL", "_ipc.URL", None),
        ("::URL::Origin", "_ipc.Origin", None),
        ("Core::ProxyData", "_ipc.ProxyData", None),
        ("Core::File::OpenMode", "_ipc.OpenMode", None),
        ("Core::AnonymousBuffer", "_ipc.AnonymousBuffer", None),
        ("Gfx::ShareableBitmap", "_ipc.gfx.ShareableBitmap", None),
        ("Gfx::FloatRect", "_ipc.gfx.FloatRect", None),
        ("Color", "_ipc.gfx.Color", None),
        ("Array<u8, 16>", "{tuple}[{int}, ...]", None),
        ("Vector<u8>", "{bytes}", "_ipc.Octets"),
        ("OrderedHashMap<Point, Vector<Point>>", "{dict}[Point, {list}[Point]]", None),
        ("Optional<Duration>", "_ipc.Duration | None", "_ipc.Duration | _datetime.timedelta | None"),
        ("Optional<Optional<ByteString>>", "{bytes} | None", "_ipc.Octets | None"),
        ("Vector<Duration>", "{list}[_ipc.Duration]", None),
        ("Variant<Empty, i32, String>", "{int} | {str} | None", None),
        ("Variant<Point, Vector<Point>>", "Point | {list}[Point]", None),
        ("Variant<i32, u32>", "_ipc.Alternative[{int}]", None),
        (
            "Variant<Empty, i32, ByteString, Vector<u8>>",
            "{int} | _ipc.Alternative[{bytes}] | None",
            None,
        ),
        ("Variant<bool, i8, double>", "{bool} | {int} | {float}", None),
        (
            "Variant<JsonValue, Vector<i32>, Point>",
            "_ipc.Alternative[_ipc.Json] | _ipc.Alternative[{list}[{int}]] | Point",
            None,
        ),
        (
            "Variant<UnixDateTime, Core::DateTime>",
            "_ipc.Alternative[_ipc.UnixDateTime] | _ipc.Alternative[_datetime.datetime]",
            None,
        ),
        (
            "Variant<Variant<i8, u8>, String>",
            "_ipc.Alternative[_ipc.Alternative[{int}]] | {str}",
            None,
        ),
        ("Variant<Optional<i32>, Empty>", "_ipc.Alternative[{int} | None] | _ipc.Alternative[None]", None),
    ],
)
def test_types_get_the_annotations_that_python_needs(
    type: str, annotation: str, accepted: str | None
) -> None:
    found = payload(type).parameters[0].type
    assert found.annotation == annotation
    assert found.accepted == (accepted or annotation)


@pytest.mark.parametrize(
    ("type", "holds_files"),
    [
        ("Vector<Optional<IPC::File>>", True),
        ("Core::AnonymousBuffer", True),
        ("Gfx::ShareableBitmap", True),
        ("Variant<Empty, Core::AnonymousBuffer>", True),
        ("Gfx::IntRect", False),
        ("JsonValue", False),
    ],
)
def test_payloads_with_descriptors_are_known(type: str, holds_files: bool) -> None:
    assert payload(type).holds_files is holds_files


@pytest.mark.parametrize("type", ["String", "StringView", "AK::String", "::AK::StringView"])
def test_the_attribute_utf8_adds_nothing_to_a_string(type: str) -> None:
    plain = canonical(f"endpoint A {{ f({type} a) =| }}")
    assert canonical(f"endpoint A {{ f([UTF8] {type} a) =| }}") == plain == "A.f(String)=|"
    text = "endpoint A {{ f({} a) => ([UTF8] {} b) }}"
    one, two = model(text.format(f"[UTF8] {type}", type)), model(text.format(type, type))
    assert one.endpoints[0].messages[0].inputs == two.endpoints[0].messages[0].inputs


def test_the_attribute_utf8_makes_text_of_a_byte_string() -> None:
    assert canonical("endpoint A { f([UTF8] AK::ByteString a) =| }") == "A.f([UTF8] ByteString)=|"


def test_fields_decide_what_their_structs_can_do() -> None:
    found = declared(
        "struct A { Vector<B> b; } struct B { A a; Optional<C> c; } struct C { IPC::File f; } struct D {}"
        "struct E { D d; Empty e; } struct F { i32 x; String s; K k; } struct G { F f; } enum K { X }"
    )
    assert [name for name in found if found[name].facts.holds_files] == ["A", "B", "C"]
    assert [name for name in found if found[name].facts.is_recursive] == ["A", "B"]
    assert [name for name in found if found[name].facts.is_empty] == ["D", "E"]
    assert [name for name in found if found[name].facts.is_key] == ["D", "F", "G", "K"]


def test_signatures_spell_out_each_definition_once_in_order_of_first_use() -> None:
    types = "struct P::A { B b; Vector<P::A> more; } struct B { C c; } struct C {} enum K : u8 { X = 4, Y }"
    assert canonical(f"{types} endpoint E {{ f(Optional<P::A> a, K k, P::A b) => (C c) }}") == (
        "E.f(Optional<P::A>,K,P::A)=>(C);P::A{B,Vector<P::A>};K:u8{4,5};C{};B{C}"
    )


def test_names_of_fields_and_enumerators_are_not_part_of_a_signature() -> None:
    one = "struct A { i32 x; } enum K { X } endpoint E { f(A a, K k) =| }"
    other = "/// Doc.\nstruct A { int y; } enum K : i32 { Y = 0 } endpoint E { f(A b, K l) =| }"
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("struct Geo::Point {} struct Geo::Line {}", ["Point", "Line"]),
        ("struct Geo::Point {} enum Ink::Point { A }", ["GeoPoint", "InkPoint"]),
        ("struct Point {} struct Geo::Point {}", ["Point", "GeoPoint"]),
        ("struct class {} struct None {} struct Geo::list {}", ["class_", "None_", "list_"]),
    ],
)
def test_types_get_names_that_python_can_use(text: str, names: list[str]) -> None:
    assert [definition.python for definition in model(text).definitions] == names


def test_fields_and_enumerators_get_names_that_python_can_use() -> None:
    found = declared("struct P { i32 class; i32 P; i32 peer; } enum K { name, value, mro, pass, K, size }")
    assert [field.python for field in found["P"].fields] == ["class_", "P_", "peer"]
    assert [e.python for e in found["K"].enumerators] == ["name_", "value_", "mro_", "pass_", "K", "size"]


def test_fields_and_enumerators_keep_their_documentation() -> None:
    found = declared("struct P {\n/// One.\n/// Two.\ni32 x; } enum K {\nA,\n/// B.\nB }")
    assert found["P"].fields[0].documentation == ("One.", "Two.")
    assert [e.documentation for e in found["K"].enumerators] == [(), ("B.",)]


def test_schema_holds_the_types_that_are_used_and_compiles_to_itself() -> None:
    atlas = (HERE / "Atlas.ipc").read_text()
    (server, client) = model(atlas).endpoints
    assert client.schema == (
        "/// A place on the map.\nstruct Geo::Point\n{\n    i32 x;\n    /// Downwards.\n    i32 y;\n}\n\n"
        "endpoint AtlasClient\n{\n    moved(Geo::Point from, Geo::Point to) =|\n}\n"
    )
    (again,) = model(server.schema).endpoints
    assert again.schema == server.schema
    assert [m.signature for m in again.messages] == [m.signature for m in server.messages]


def test_codecs_never_share_a_name() -> None:
    compilation = model(
        "struct B { u8 x; } struct Geo::P {} struct Geo_P {} endpoint E {"
        "f(u8 a, B b, Geo::P c, Geo_P d, Variant<Variant<i32>, u8> e, Variant<Variant<i32, u8>> f) =| }"
    )
    names = [codec.name for codec in compilation.codecs]
    assert len(set(names)) == len(names)
    assert {"_B_2", "_Geo_P", "_Geo_P_2", "_Variant_Variant_i32_u8_2"} <= set(names)


def test_codecs_come_after_those_that_they_need() -> None:
    def needs(compilation: Compilation) -> None:
        seen: set[str] = set()
        for codec in compilation.codecs:
            if not codec.expression.startswith("_ipc.recursive"):
                used = set(codec.expression.replace("(", " ").replace(")", " ").split())
                made = {name.strip(",") for name in used if name.startswith("_") and "." not in name}
                assert made - {codec.class_name} <= seen
            seen.add(codec.name)

    needs(model((HERE / "Atlas.ipc").read_text()))


def test_components_agree_with_reachability() -> None:
    dice = random.Random(7)
    for _ in range(200):
        count = dice.randrange(1, 8)
        edges = {n: [dice.randrange(count) for _ in range(dice.randrange(3))] for n in range(count)}
        found = components(range(count), edges.__getitem__)
        reach = {n: _reachable(n, edges) for n in edges}
        expected = {frozenset(m for m in edges if m == n or (m in reach[n] and n in reach[m])) for n in edges}
        assert {frozenset(component) for component in found} == expected
        for earlier, later in pairwise(found):
            assert not any(n in reach[m] for m in earlier for n in later)


def _reachable(start: int, edges: dict[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(edges[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += edges[node]
    return found


def test_a_module_with_types_encodes_and_decodes() -> None:
    atlas = ipcc.load(HERE / "Atlas.ipc")

    server, point = atlas.AtlasServer, atlas.GeoPoint
    place = (point(1, -2), atlas.Kind.value_)
    assert encode(server.Place, *place) == b"\1\0\0\0\xfe\xff\xff\xff\x08"
    assert round_trip(server.Place, *place) == place
    tree = atlas.Tree("root", [atlas.Tree("leaf", [], {})], {point(0, 0): None})
    grown = (tree, atlas.Ping(atlas.Pong([], None)))
    assert hash(point(1, 2)) == hash(point(1, 2))
    with pytest.raises(ValueError, match="file"):
        round_trip(server.Grow, *grown)
    assert round_trip(server.Grow, tree, atlas.Ping(None)) == (tree, atlas.Ping(None))
    assert round_trip(server.Optional, None, b"x") == (None, b"x")
    assert server.Grow.__doc__
    assert issubclass(atlas.raw_x, object)
    assert isinstance(declared((HERE / "Atlas.ipc").read_text())["Tree"], Struct)
