"""`ipcc diff`: each kind of change, its verdict, and what two modules made of the versions do when they talk.

A case's program is written for the old version. It runs with the old version on both sides, then its client
against a service written for the new version (the wire), then whole with the new version (source).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

import ipcc
from corelib import EventLoop, LocalSocket
from ipcc.cli import main
from ipcc.compiler import model_of
from ipcc.diff import Breaks, Change, compare
from ipclib import (
    EncodeError,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    UnknownMessage,
)

Client = Callable[[Any, Any], object]
Handlers = Mapping[str, Callable[..., object]]


@attrs.frozen
class Program:
    """A client, given its module and its connection, and a service's handlers."""

    client: Client
    handlers: Handlers


@attrs.frozen
class Case:
    """`wire` and `source` are outcomes, a value or an exception's class, where they are not the right one.

    `service` are handlers written for the new version, where the old ones do not fit. `only_types`: the
    break shows in a type checker alone.
    """

    program: Program
    old: str
    new: str
    changes: tuple[str, ...] = ()
    wire: object = None
    source: object = None
    service: Handlers = attrs.field(factory=dict)
    service_class: str = "ConnectionFromClient"
    only_types: bool = False


SUB = Program(lambda module, c: c.sub(a=5, b=3), {"sub": lambda self, a, b: a - b})
SPLIT = Program(
    lambda module, c: (lambda answer: (answer.q, answer.r))(c.split(7, 2)),
    {"split": lambda self, a, b: divmod(a, b)},
)
CONCAT = Program(lambda module, c: c.concat(5, "x"), {"concat": lambda self, a, b: f"{a}{b}"})
LOG = Program(
    lambda module, c: (c.async_log(7), c.logged())[1],
    {
        "log": lambda self, a: setattr(self, "seen", a),
        "logged": lambda self: getattr(self, "seen", -1),
    },
)
AREA = Program(
    lambda module, c: c.area(module.Size(w=3, h=2)), {"area": lambda self, size: size.w * 10 + size.h}
)
FIRST = Program(lambda module, c: c.first(module.Size(3, 2)), {"first": lambda self, size: size.w})
KIND = Program(lambda module, c: c.kind(module.Kind.CITY), {"kind": lambda self, kind: kind.name})

SUBTRACT = "sub(i32 a, i32 b) => (i32 r)"
SIZE = "struct Size { i32 w; i32 h; }"
AREA_S = "endpoint S { area(Size size) => (i32 r) }"
FIRST_S = "endpoint S { first(Size size) => (i32 r) }"
KINDS = "enum Kind : u8 { CITY = 0, RIVER = 1 }"
KIND_S = "endpoint S { kind(Kind kind) => (String name) }"


def s(*messages: str) -> str:
    return f"endpoint S {{ {' '.join(messages)} }}"


BOTH, WIRE, SOURCE, FINE = "breaks the wire and source", "breaks the wire", "breaks source", "compatible"

CASES = {
    # messages
    "nothing": Case(SUB, s(SUBTRACT), s(SUBTRACT)),
    "white space and comments": Case(SUB, s(SUBTRACT), s("// why", f"\n{SUBTRACT}  ")),
    "message added at the end": Case(
        SUB, s(SUBTRACT), s(SUBTRACT, "more() =|"), (f"{FINE}: S.more was added",)
    ),
    "message added at the beginning": Case(
        SUB,
        s(SUBTRACT),
        s("more() =|", SUBTRACT),
        (f"{WIRE}: S.sub moved from id 1 to 2", f"{FINE}: S.more was added"),
        wire=SchemaMismatch,
    ),
    "message removed at the end": Case(
        SUB,
        s("ping() => ()", SUBTRACT),
        s("ping() => ()"),
        (f"{BOTH}: S.sub was removed",),
        UnknownMessage,
        AttributeError,
    ),
    "message removed before another": Case(
        Program(lambda module, c: (c.ping(), c.sub(5, 3))[1], {**SUB.handlers, "ping": lambda self: None}),
        s("ping() => ()", SUBTRACT),
        s(SUBTRACT),
        (f"{WIRE}: S.sub moved from id 3 to 1", f"{BOTH}: S.ping was removed"),
        SchemaMismatch,
        AttributeError,
    ),
    "message renamed": Case(
        SUB,
        s(SUBTRACT),
        s("minus(i32 a, i32 b) => (i32 r)"),
        (f"{BOTH}: S.sub was renamed to minus",),
        SchemaMismatch,
        AttributeError,
    ),
    "messages reordered": Case(
        SUB,
        s(SUBTRACT, "ping() => ()"),
        s("ping() => ()", SUBTRACT),
        (f"{WIRE}: S.sub moved from id 1 to 3", f"{WIRE}: S.ping moved from id 3 to 1"),
        wire=SchemaMismatch,
    ),
    "synchronous message became one-way": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i32 b) =|"),
        (f"{BOTH}: S.sub became one-way",),
        SchemaMismatch,
        AttributeError,
    ),
    "one-way message became synchronous": Case(
        LOG,
        s("logged() => (i32 a)", "log(i32 a) =|"),
        s("logged() => (i32 a)", "log(i32 a) => ()"),
        (f"{WIRE}: S.log became synchronous",),
        wire=-1,
    ),
    "one-way message got an answer": Case(
        LOG,
        s("logged() => (i32 a)", "log(i32 a) =|"),
        s("logged() => (i32 a)", "log(i32 a) => (i32 b)"),
        (f"{BOTH}: S.log became synchronous",),
        wire=-1,
        only_types=True,
    ),
    "one-way message's parameter retyped": Case(
        LOG,
        s("logged() => (i32 a)", "log(i32 a) =|"),
        s("logged() => (i32 a)", "log(i64 a) =|"),
        (f"{WIRE}: S.log parameter 'a' has another type: i32 -> i64",),
        wire=-1,
    ),
    "one-way message removed": Case(
        LOG,
        s("logged() => (i32 a)", "log(i32 a) =|"),
        s("logged() => (i32 a)"),
        (f"{BOTH}: S.log was removed",),
        -1,
        AttributeError,
    ),
    # parameters
    "parameter added": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i32 b, i32 c) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'c' was added",),
        SchemaMismatch,
        TypeError,
    ),
    "parameter removed": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "parameter renamed": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i32 c) => (i32 r)"),
        (f"{SOURCE}: S.sub parameter 'b' was renamed to 'c'",),
        source=TypeError,
    ),
    "parameter retyped, the same in Python": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i64 b) => (i32 r)"),
        (f"{WIRE}: S.sub parameter 'b' has another type: i32 -> i64",),
        wire=SchemaMismatch,
    ),
    "parameter retyped": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, String b) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' has another type: i32 -> String",),
        SchemaMismatch,
        EncodeError,
    ),
    "parameter made optional": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, Optional<i32> b) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' has another type: i32 -> Optional<i32>",),
        wire=SchemaMismatch,
        only_types=True,
    ),
    "parameters of one type reordered": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 b, i32 a) => (i32 r)"),
        (f"{BOTH}: S.sub parameters have another order: a, b -> b, a",),
        -2,
        -2,
        {"sub": lambda self, b, a: a - b},
    ),
    "parameters of several types reordered": Case(
        CONCAT,
        s("concat(i32 a, String b) => (String r)"),
        s("concat(String b, i32 a) => (String r)"),
        (f"{BOTH}: S.concat parameters have another order: a, b -> b, a",),
        SchemaMismatch,
        EncodeError,
    ),
    "attribute added": Case(
        Program(lambda module, c: c.size(b"abc"), {"size": lambda self, a: len(a)}),
        s("size(ByteString a) => (i32 r)"),
        s("size([UTF8] ByteString a) => (i32 r)"),
        (f"{BOTH}: S.size parameter 'a' has another type: ByteString -> [UTF8] ByteString",),
        SchemaMismatch,
        EncodeError,
    ),
    "alias spelt out": Case(
        SUB,
        s("sub(int a, int b) => (int r)"),
        s(SUBTRACT),
        (f"{FINE}: S.sub spells the same types differently",),
    ),
    "qualifier left out": Case(
        CONCAT,
        s("concat(i32 a, ::AK::String b) => (String r)"),
        s("concat(i32 a, StringView b) => (String r)"),
        (f"{FINE}: S.concat spells the same types differently",),
    ),
    # outputs
    "first output added": Case(
        Program(lambda module, c: c.ping(), {"ping": lambda self: None}),
        s("ping() => ()"),
        s("ping() => (i32 r)"),
        (f"{BOTH}: S.ping output 'r' was added",),
        SchemaMismatch,
        RemoteError,
    ),
    "second output added": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i32 b) => (i32 r, i32 q)"),
        (f"{BOTH}: S.sub output 'q' was added",),
        SchemaMismatch,
        RemoteError,
    ),
    "output removed": Case(
        SPLIT,
        s("split(i32 a, i32 b) => (i32 q, i32 r)"),
        s("split(i32 a, i32 b) => (i32 q)"),
        (f"{BOTH}: S.split output 'r' was removed",),
        SchemaMismatch,
        RemoteError,
    ),
    "output renamed": Case(
        SPLIT,
        s("split(i32 a, i32 b) => (i32 q, i32 r)"),
        s("split(i32 a, i32 b) => (i32 q, i32 rest)"),
        (f"{SOURCE}: S.split output 'r' was renamed to 'rest'",),
        source=AttributeError,
    ),
    "only output renamed": Case(
        Program(
            lambda module, c: module.S.SubResponse(r=c.sub(5, 3)).r,
            SUB.handlers,
        ),
        s(SUBTRACT),
        s("sub(i32 a, i32 b) => (i32 difference)"),
        (f"{SOURCE}: S.sub output 'r' was renamed to 'difference'",),
        source=TypeError,
    ),
    "output retyped": Case(
        SUB,
        s(SUBTRACT),
        s("sub(i32 a, i32 b) => (String r)"),
        (f"{BOTH}: S.sub output 'r' has another type: i32 -> String",),
        SchemaMismatch,
        RemoteError,
    ),
    "outputs of one type reordered": Case(
        SPLIT,
        s("split(i32 a, i32 b) => (i32 q, i32 r)"),
        s("split(i32 a, i32 b) => (i32 r, i32 q)"),
        (f"{BOTH}: S.split outputs have another order: q, r -> r, q",),
        (1, 3),
        (1, 3),
        {"split": lambda self, a, b: divmod(a, b)[::-1]},
    ),
    # endpoints
    "endpoint added": Case(
        SUB,
        s(SUBTRACT),
        s(SUBTRACT) + " endpoint T { ping() => () }",
        (
            f"{SOURCE}: S has other connection classes:"
            " ConnectionToServer, ConnectionFromClient -> SConnectionToServer, SConnectionFromClient",
            f"{FINE}: T was added",
        ),
        source=AttributeError,
        service_class="SConnectionFromClient",
    ),
    "partner added": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) }",
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient { tick() =| }",
        (
            f"{WIRE}: SClient was added beside SServer:"
            " an old peer closes the connection at its first message",
        ),
        wire=ProtocolViolation,
        service={"sub": lambda self, a, b: (self.async_tick(), a - b)[1]},
    ),
    "empty partner added": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) }",
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient {}",
        (f"{FINE}: SClient was added",),
    ),
    "endpoint removed": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient { ping() =| }",
        "endpoint SClient { ping() =| }",
        (f"{BOTH}: SServer was removed",),
        PeerDisconnected,
        AttributeError,
    ),
    "endpoint renamed": Case(
        Program(lambda module, c: module.S.Sub and c.sub(5, 3), SUB.handlers),
        s(SUBTRACT),
        f"endpoint T {{ {SUBTRACT} }}",
        (f"{BOTH}: S was renamed to T, which has another magic",),
        PeerDisconnected,
        AttributeError,
    ),
    "endpoints reordered": Case(
        SUB,
        f"endpoint SServer {{ {SUBTRACT} }} endpoint SClient {{}}",
        f"endpoint SClient {{}} endpoint SServer {{ {SUBTRACT} }}",
    ),
    "endpoint took a message's name": Case(
        SUB,
        s(SUBTRACT),
        s(SUBTRACT) + " endpoint sub {}",
        (
            f"{SOURCE}: S has other connection classes:"
            " ConnectionToServer, ConnectionFromClient -> SConnectionToServer, SConnectionFromClient",
            f"{SOURCE}: S.sub has another name in Python: sub -> sub_",
            f"{FINE}: sub was added",
        ),
        source=AttributeError,
        service={"sub_": lambda self, a, b: a - b},
        service_class="SConnectionFromClient",
    ),
    "documentation": Case(
        SUB,
        f"/// Old.\nendpoint S {{\n/// Old.\n{SUBTRACT} }}",
        f"endpoint S {{\n/// New.\n{SUBTRACT} }}",
        (f"{FINE}: S has another documentation", f"{FINE}: S.sub has another documentation"),
    ),
    # structs
    "field added": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; i32 h; i32 d; }" + AREA_S,
        (f"{BOTH}: Size field 'd' was added",),
        SchemaMismatch,
        TypeError,
    ),
    "field removed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; }" + AREA_S,
        (f"{BOTH}: Size field 'h' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "field renamed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; i32 height; }" + AREA_S,
        (f"{SOURCE}: Size field 'h' was renamed to 'height'",),
        source=TypeError,
        service={"area": lambda self, size: size.w * 10 + size.height},
    ),
    "field retyped, the same in Python": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; u8 h; }" + AREA_S,
        (f"{WIRE}: Size field 'h' has another type: i32 -> u8",),
        wire=SchemaMismatch,
    ),
    "field retyped": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; String h; }" + AREA_S,
        (f"{BOTH}: Size field 'h' has another type: i32 -> String",),
        SchemaMismatch,
        EncodeError,
    ),
    "fields of one type reordered": Case(
        FIRST,
        SIZE + FIRST_S,
        "struct Size { i32 h; i32 w; }" + FIRST_S,
        (f"{BOTH}: Size fields have another order: w, h -> h, w",),
        2,
        2,
    ),
    "fields of several types reordered": Case(
        FIRST,
        "struct Size { i32 w; u8 h; }" + FIRST_S,
        "struct Size { u8 h; i32 w; }" + FIRST_S,
        (f"{BOTH}: Size fields have another order: w, h -> h, w",),
        SchemaMismatch,
        2,
    ),
    "field of a field removed": Case(
        Program(
            lambda module, c: c.area(module.Box([module.Size(3, 2)])),
            {"area": lambda self, box: box.sizes[0].w},
        ),
        SIZE + "struct Box { Vector<Size> sizes; } endpoint S { area(Box box) => (i32 r) }",
        "struct Size { i32 w; } struct Box { Vector<Size> sizes; } endpoint S { area(Box box) => (i32 r) }",
        (f"{BOTH}: Size field 'h' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "struct renamed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Extent { i32 w; i32 h; } endpoint S { area(Extent size) => (i32 r) }",
        (
            f"{BOTH}: S.area parameter 'size' has another type: Size -> Extent",
            f"{BOTH}: Size was renamed to Extent",
        ),
        SchemaMismatch,
        AttributeError,
    ),
    "struct that no message uses changed": Case(
        Program(lambda module, c: (module.Size(w=1, h=2), c.sub(5, 3))[1], SUB.handlers),
        SIZE + s(SUBTRACT),
        "struct Size { i32 w; }" + s(SUBTRACT),
        (f"{SOURCE}: Size field 'h' was removed",),
        source=TypeError,
    ),
    "struct that no message uses removed": Case(
        Program(lambda module, c: (module.Size, c.sub(5, 3))[1], SUB.handlers),
        SIZE + s(SUBTRACT),
        s(SUBTRACT),
        (f"{SOURCE}: Size was removed",),
        source=AttributeError,
    ),
    "struct added": Case(SUB, s(SUBTRACT), SIZE + s(SUBTRACT), (f"{FINE}: Size was added",)),
    "struct of another namespace took its name": Case(
        AREA,
        "struct A::Size { i32 w; i32 h; } endpoint S { area(A::Size size) => (i32 r) }",
        "struct B::Size {} struct A::Size { i32 w; i32 h; } endpoint S { area(A::Size size) => (i32 r) }",
        (f"{SOURCE}: A::Size has another name in Python: Size -> ASize", f"{FINE}: B::Size was added"),
        source=AttributeError,
    ),
    "documentation of a struct and an enum": Case(
        SUB,
        SIZE + KINDS + s(SUBTRACT),
        f"/// S.\n{SIZE}\n/// K.\n{KINDS}" + s(SUBTRACT),
        (f"{FINE}: Size has another documentation", f"{FINE}: Kind has another documentation"),
    ),
    # enums
    "value added": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { CITY = 0, RIVER = 1, LAKE = 2 }" + KIND_S,
        (f"{WIRE}: Kind value 'LAKE' was added",),
        wire=SchemaMismatch,
    ),
    "value removed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { RIVER = 1 }" + KIND_S,
        (f"{BOTH}: Kind value 'CITY' was removed",),
        SchemaMismatch,
        AttributeError,
    ),
    "value renumbered": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { CITY = 4, RIVER = 1 }" + KIND_S,
        (f"{WIRE}: Kind value 'CITY' was renumbered: 0 -> 4",),
        wire=SchemaMismatch,
    ),
    "value renamed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { TOWN = 0, RIVER = 1 }" + KIND_S,
        (f"{SOURCE}: Kind value 'CITY' was renamed to 'TOWN'",),
        source=AttributeError,
        service={"kind": lambda self, kind: {"TOWN": "CITY"}[kind.name]},
    ),
    "values swapped": Case(
        KIND,
        "enum Kind { CITY, RIVER }" + KIND_S,
        "enum Kind { RIVER, CITY }" + KIND_S,
        (
            f"{WIRE}: Kind value 'CITY' was renumbered: 0 -> 1",
            f"{WIRE}: Kind value 'RIVER' was renumbered: 1 -> 0",
        ),
        wire="RIVER",
    ),
    "values declared in another order": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { RIVER = 1, CITY = 0 }" + KIND_S,
        (f"{WIRE}: Kind declares its values in another order",),
        wire=SchemaMismatch,
    ),
    "underlying type": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u16 { CITY = 0, RIVER = 1 }" + KIND_S,
        (f"{WIRE}: Kind has another underlying type: u8 -> u16",),
        wire=SchemaMismatch,
    ),
    "enum renamed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Sort : u8 { CITY = 0, RIVER = 1 } endpoint S { kind(Sort kind) => (String name) }",
        (
            f"{BOTH}: S.kind parameter 'kind' has another type: Kind -> Sort",
            f"{BOTH}: Kind was renamed to Sort",
        ),
        SchemaMismatch,
        AttributeError,
    ),
    "enum became a struct": Case(
        KIND,
        KINDS + KIND_S,
        "struct Kind { u8 CITY; }" + KIND_S,
        (f"{BOTH}: Kind became a struct",),
        SchemaMismatch,
        EncodeError,
        {"kind": lambda self, kind: "?"},
    ),
    "numbers spelt out": Case(
        KIND, "enum Kind { CITY, RIVER }" + KIND_S, "enum Kind : i32 { CITY = 0, RIVER }" + KIND_S
    ),
}


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as loop:
        yield loop


def talk(module: Any, program: Program, service: Any, handlers: Handlers, service_class: str) -> object:
    """What the client gets of the service: a value, or the class of what it raised."""
    here, there = LocalSocket.pair()
    ends: list[Any] = []
    try:
        ends.append(type("Service", (getattr(service, service_class),), dict(handlers))(there))
        ends.append(module.ConnectionToServer(here))
        return program.client(module, ends[1])
    except Exception as error:
        return type(error)
    finally:
        for end in ends:
            end.shutdown()


def changes(old: Path, new: Path) -> tuple[Change, ...]:
    return compare(model_of([str(old)]), model_of([str(new)]))


@pytest.mark.parametrize("name", CASES)
def test_a_change_breaks_what_it_is_said_to_break(name: str, loop: EventLoop, tmp_path: Path) -> None:
    case = CASES[name]
    old, new = tmp_path / "old.ipc", tmp_path / "new.ipc"
    old.write_text(case.old)
    new.write_text(case.new)
    found = changes(old, new)
    assert tuple(map(str, found)) == case.changes

    before, after = ipcc.load(old), ipcc.load(new)
    program, ours = case.program, "ConnectionFromClient"
    right = talk(before, program, before, program.handlers, ours)
    assert not isinstance(right, type)
    wire = talk(before, program, after, {**program.handlers, **case.service}, case.service_class)
    source = talk(after, program, after, program.handlers, ours)

    broken = Breaks.NOTHING
    for change in found:
        broken |= change.breaks
    assert wire == (case.wire if Breaks.WIRE in broken else right)
    assert (wire != right) == (Breaks.WIRE in broken)
    assert source == (case.source if Breaks.SOURCE in broken and not case.only_types else right)
    assert (source != right) == (Breaks.SOURCE in broken and not case.only_types)


def test_there_are_cases() -> None:
    assert len(CASES) >= 60


def random_interface(dice: random.Random) -> str:
    """One of so few that two are often alike."""

    def parameters() -> str:
        names = dice.sample("abc", dice.randrange(3))
        return ", ".join(f"{dice.choice(['i32', 'i64', 'Size', 'Vector<Kind>'])} {name}" for name in names)

    def message(name: str) -> str:
        return f"{name}({parameters()}) {dice.choice(['=|', f'=> ({parameters()})'])}"

    messages = [message(name) for name in dice.sample(["first", "second", "third"], dice.randrange(4))]
    size = dice.choice(["i32 w; i32 h;", "i32 w; u8 h;", "i32 h;"])
    kind = dice.choice(["CITY, RIVER", "CITY = 0, LAKE = 1", "RIVER"])
    return f"struct Size {{ {size} }} enum Kind {{ {kind} }} {s(*messages)}"


def test_no_message_that_peers_would_refuse_goes_unnoticed(tmp_path: Path) -> None:
    dice = random.Random(33)
    old, new = tmp_path / "old.ipc", tmp_path / "new.ipc"
    refusals = 0
    for _ in range(300):
        old.write_text(random_interface(dice))
        new.write_text(random_interface(dice))
        refused = identities(old) - identities(new)
        refusals += bool(refused)
        assert any(Breaks.WIRE in change.breaks for change in changes(old, new)) or not refused
        assert changes(old, old) == ()
    assert refusals < 300


def identities(path: Path) -> set[tuple[int, int, int]]:
    """What tells messages apart on the wire."""
    endpoints = model_of([str(path)]).endpoints
    return {(endpoint.magic, m.id, m.signature) for endpoint in endpoints for m in endpoint.messages}


# --- the command ---


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.ipc", tmp_path / "new.ipc"
    old.write_text(s("ping() => ()"))
    new.write_text(s("ping() => ()", "more() =|"))
    assert main(["diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == "compatible: S.more was added\n"
    assert main(["diff", str(new), str(old)]) == 1
    assert capsys.readouterr().out == "breaks the wire and source: S.more was removed\n"
    assert main(["diff", str(new), str(old), "--json"]) == 1
    shown = [{"subject": "S.more", "change": "was removed", "breaks": ["wire", "source"]}]
    assert json.loads(capsys.readouterr().out) == shown
    assert main(["diff", str(old), str(old)]) == 0
    assert capsys.readouterr().out == ""


def test_a_version_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.ipc"
    old.write_text(s("ping() => ()"))
    assert main(["diff", str(old), str(tmp_path / "new.ipc")]) == 1
    assert "new.ipc: error: cannot read" in capsys.readouterr().err
