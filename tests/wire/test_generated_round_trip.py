"""Owns the tests of random interfaces through compiler, generated code and codecs: sent values arrive.
Must not know sockets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ipcc
from ipclib import URL, Alternative, Duration, EncodeError, Limits, Origin, ProxyData, UnixDateTime, gfx
from ipclib.protocol.conversation import Conversation, incoming_table
from ipclib.protocol.message import MessageType
from ipclib.protocol.open_call import Call
from ipclib.protocol.receiver import Receiver

_Value: TypeAlias = Callable[[ModuleType], Any]
"""A function that makes a value with the classes of its compiled module."""

_PREAMBLE = """
struct Geo::Point { i32 x; u16 y; }
struct Geo::Tree { String name; Vector<Geo::Tree> branches; Optional<Geo::Tree> graft; }
enum Geo::Kind : u8 { City, River = 7, Sea }
"""


def _fixed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[_Value]:
    return values.map(lambda value: lambda _module: value)


def _int(bits: int, *, signed: bool) -> st.SearchStrategy[_Value]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return _fixed(st.integers(low, high))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_F32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
_I32 = st.integers(-(1 << 31), (1 << 31) - 1)
_I64 = st.integers(-(1 << 63), (1 << 63) - 1)
_POINT = st.builds(lambda x, y: lambda module: module.Point(x, y), _I32, st.integers(0, 65535))
_KIND = st.sampled_from(["City", "River", "Sea"]).map(lambda name: lambda module: module.Kind[name])
_LEAF = _TEXT.map(lambda name: lambda module: module.Tree(name, [], None))
_TREE = st.recursive(
    _LEAF,
    lambda trees: st.builds(
        lambda name, branches, graft: (
            lambda module: module.Tree(name, [branch(module) for branch in branches], graft and graft(module))
        ),
        _TEXT,
        st.lists(trees, max_size=2),
        st.none() | trees,
    ),
    max_leaves=4,
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_TEXT, values, max_size=3),
    max_leaves=5,
)
_HOSTS = st.none() | _TEXT | st.ip_addresses(v=4) | st.ip_addresses(v=6)

_KEYS: dict[str, st.SearchStrategy[_Value]] = {
    "bool": _fixed(st.booleans()),
    **{f"i{bits}": _int(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": _int(bits, signed=False) for bits in (8, 16, 32, 64)},
    "int": _int(32, signed=True),
    "size_t": _int(64, signed=False),
    "String": _fixed(_TEXT),
    "ByteBuffer": _fixed(st.binary(max_size=12)),
    "Geo::Point": _POINT,
    "Geo::Kind": _KIND,
}
_SCALARS: dict[str, st.SearchStrategy[_Value]] = {
    **_KEYS,
    "float": _fixed(_F32),
    "double": _fixed(st.floats(allow_nan=False)),
    "Vector<u8>": _fixed(st.binary(max_size=12)),
    "Geo::Tree": _TREE,
    "JsonValue": _fixed(_JSON),
    "AK::Duration": _fixed(st.builds(Duration, _I64)),
    "UnixDateTime": _fixed(st.builds(UnixDateTime, _I64)),
    "Core::DateTime": _fixed(
        st.integers(-(10**9), 10**10).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
    ),
    "URL::URL": _fixed(st.builds(URL, _TEXT)),
    "URL::Origin": _fixed(st.builds(Origin, _TEXT, _HOSTS, st.none() | st.integers(0, 65535))),
    "Core::ProxyData": _fixed(st.builds(ProxyData, st.sampled_from([0, 1]), st.integers(0, 1 << 31), _I32)),
    "Gfx::IntRect": _fixed(st.builds(gfx.IntRect, _I32, _I32, _I32, _I32)),
    "Gfx::FloatPoint": _fixed(st.builds(gfx.FloatPoint, _F32, _F32)),
    "Color": _fixed(st.builds(gfx.Color, *[st.integers(0, 255)] * 4)),
    "Variant<Empty, bool, i32, String, Geo::Kind>": (
        _fixed(st.none() | st.booleans() | _I32 | _TEXT) | _KIND
    ),
    "Variant<ByteString, Vector<u8>, double>": _fixed(
        st.floats(allow_nan=False) | st.builds(Alternative, st.sampled_from([0, 1]), st.binary(max_size=5))
    ),
}


def _each(
    values: st.SearchStrategy[list[_Value]], make: Callable[[list[Any]], Any]
) -> st.SearchStrategy[_Value]:
    return values.map(lambda parts: lambda module: make([part(module) for part in parts]))


@st.composite
def _types(draw: st.DrawFn, depth: int = 4) -> tuple[str, st.SearchStrategy[_Value]]:
    """A type as an interface file writes it, and a strategy for its values."""
    shapes = ["scalar", "Vector", "Array", "HashMap", "OrderedHashMap", "Optional"]
    shape = draw(st.sampled_from(shapes)) if depth else "scalar"
    if shape == "scalar":
        name = draw(st.sampled_from(sorted(_SCALARS)))
        return name, _SCALARS[name]
    inner, values = draw(_types(depth - 1))
    if shape == "Array":
        size = draw(st.integers(1, 3))
        return f"Array<{inner}, {size}>", _each(st.lists(values, min_size=size, max_size=size), tuple)
    if shape == "Optional":
        if inner.startswith(("Optional", "JsonValue", "Variant<Empty")):
            return inner, values  # Python has one None for theirs and the Optional's.
        return f"Optional<{inner}>", _fixed(st.none()) | values
    if shape == "Vector":
        return ("Vector<u8>", _SCALARS["Vector<u8>"]) if inner == "u8" else _vector(inner, values)
    key = draw(st.sampled_from(sorted(_KEYS)))
    pairs = st.lists(st.tuples(_KEYS[key], values), max_size=3)
    return f"{shape}<{key}, {inner}>", pairs.map(
        lambda entries: lambda module: {k(module): v(module) for k, v in entries}
    )


def _vector(inner: str, values: st.SearchStrategy[_Value]) -> tuple[str, st.SearchStrategy[_Value]]:
    return f"Vector<{inner}>", _each(st.lists(values, max_size=3), list)


def _compiled(types: list[str], folder: Any) -> ModuleType:
    parameters = ", ".join(f"{type_} p{place}" for place, type_ in enumerate(types))
    path = folder / "Random.ipc"
    messages = f"echo({parameters}) => ({parameters}) post({parameters}) =|"
    path.write_text(f"{_PREAMBLE}\nendpoint RandomServer {{ {messages} }}\n")
    return ipcc.load(path)


class _End:
    """One end of a connection without a socket."""

    def __init__(self, calls: Any, serves: Any) -> None:
        self.conversation = Conversation(calls, serves, Limits())
        self.receiver = Receiver(self.conversation, incoming_table(calls, serves))

    def request(self, message: MessageType, values: tuple[Any, ...]) -> tuple[Call, bytes]:
        call = Call(message)
        frame, _files = self.conversation.request(call, values)
        return call, _wire(frame)


def _ends(module: Any) -> tuple[_End, _End]:
    # The empty endpoint of the client has no public name.
    server, client = module.RandomServer, module.ConnectionToServer._ends.serves
    return _End(server, client), _End(client, server)


def _wire(frame: Any) -> bytes:
    return frame if isinstance(frame, bytes) else b"".join(frame)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("random")


_SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_SETTINGS
@given(st.data())
def test_sent_values_arrive(folder: Any, data: st.DataObject) -> None:
    types = data.draw(st.lists(_types(), min_size=1, max_size=4))
    recipes = [data.draw(values) for _type, values in types]
    module: Any = _compiled([type_ for type_, _values in types], folder)
    values = tuple(recipe(module) for recipe in recipes)
    client, service = _ends(module)

    echo = module.RandomServer.Echo.__ipc__
    call, request = client.request(echo, values)
    posted, _files = client.conversation.frame(module.RandomServer.Post.__ipc__, values)
    service.receiver.receive(request + _wire(posted))
    assert [event[3] for event in service.receiver.inbox] == [values, values]

    result = values[0] if len(values) == 1 else module.RandomServer.EchoResponse(*values)
    ((answer, _files),) = service.conversation.answer(echo, call.serial, result)
    client.receiver.receive(_wire(answer))
    ((_kind, response, settled, received, _files, _size),) = client.receiver.inbox
    assert (settled, received) == (call, values)
    assert response.to_result(received) == result


class _Misfit:
    """A value of no type of the language."""


@pytest.mark.slow
@_SETTINGS
@given(st.data())
def test_a_value_that_does_not_fit_is_named_and_not_sent(folder: Any, data: st.DataObject) -> None:
    types = data.draw(st.lists(_types(depth=2), min_size=1, max_size=4))
    recipes = [data.draw(values) for _type, values in types]
    module: Any = _compiled([type_ for type_, _values in types], folder)
    values = [recipe(module) for recipe in recipes]
    place = data.draw(st.integers(0, len(values) - 1))
    misfit = values[place] = _Misfit()
    client, _service = _ends(module)
    with pytest.raises(EncodeError) as caught:
        client.request(module.RandomServer.Echo.__ipc__, tuple(values))
    assert (caught.value.message, caught.value.parameter, caught.value.value) == (
        "RandomServer.echo",
        f"p{place}",
        misfit,
    )
    assert not client.conversation.open_calls


@_SETTINGS
@given(st.data())
def test_any_payload_is_a_message_a_refusal_or_a_violation(folder: Any, data: st.DataObject) -> None:
    types = data.draw(st.lists(_types(depth=2), min_size=1, max_size=3))
    recipes = [data.draw(values) for _type, values in types]
    module: Any = _compiled([type_ for type_, _values in types], folder)
    client, service = _ends(module)
    post = module.RandomServer.Post.__ipc__
    posted, _files = client.conversation.frame(post, tuple(recipe(module) for recipe in recipes))
    wire = bytearray(_wire(posted))
    for _ in range(data.draw(st.integers(1, 4))):
        if len(wire) > 24:
            wire[data.draw(st.integers(12, len(wire) - 13))] = data.draw(st.integers(0, 255))
    service.receiver.receive(bytes(wire))
    assert len(service.receiver.inbox) == 1
