"""Bytes that LibIPC itself wrote: ours are the same, however the stream is cut."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

import ipcc
from ipclib import URL, Alternative, AnonymousBuffer, Duration, Origin, ProxyData, UnixDateTime, gfx
from ipclib.file import File
from ipclib.limits import Limits
from ipclib.protocol.framing import bare_frame
from ipclib.protocol.message import Endpoint, Kind, Message
from ipclib.protocol.protocol import Protocol, incoming_table
from ipclib.values.codecs import Frame

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
GOLDEN = json.loads((HERE / "golden.json").read_text())

VECTORS = GOLDEN["messages"]


@pytest.fixture(scope="module")
def gold() -> Any:
    """Gold.ipc compiled, as it is."""
    return ipcc.load(HERE / "Gold.ipc", types=[str(HERE / "gold_types.py")])


def _python(value: Any, files: list[File], gold: Any) -> Any:
    """A golden argument as the value that a program would pass."""
    if isinstance(value, list):
        return [_python(element, files, gold) for element in value]
    if not isinstance(value, dict):
        return value
    if not any(key.startswith("$") for key in value):
        return _GFX[tuple(value)](**value)
    match value:
        case {"$hex": digits}:
            return bytes.fromhex(digits)
        case {"$map": pairs}:
            return {_python(k, files, gold): _python(v, files, gold) for k, v in pairs}
        case {"$fd": number}:
            return files[number]
        case {"$json": json_value}:
            return json_value
        case {"$ns": nanoseconds}:
            return nanoseconds
        case {"$timestamp": seconds}:
            return datetime.fromtimestamp(seconds, UTC)
        case {"$url": text}:
            return URL(text)
        case {"$origin": {"scheme": scheme, "host": host, "port": port}}:
            return Origin(scheme, _HOSTS[host["$variant"]](host["value"]), port)
        case {"$proxy": proxy}:
            return ProxyData(**proxy)
        case {"$enum": name, "underlying": underlying}:
            return getattr(gold, _ENUMS[underlying])[name]
        case {"$variant": index, "value": inner}:
            inner = _python(inner, files, gold)
            return inner if index < 2 else Alternative(index, inner)
        case {"$bitmap": None}:
            return gfx.ShareableBitmap()
        case {"$buffer": None}:
            return AnonymousBuffer()
        case {"$buffer": {"fd": number, "size": size}}:
            return AnonymousBuffer.create_from_fd(files[number].clone().take_fd(), size)
    raise AssertionError(f"unknown golden value {value}")


_GFX: dict[tuple[str, ...], Any] = {
    ("x", "y"): gfx.IntPoint,
    ("width", "height"): gfx.IntSize,
    ("x", "y", "width", "height"): gfx.IntRect,
    ("r", "g", "b", "a"): gfx.Color,
}
_ENUMS = {"u8": "Shade", "i32": "Plain", "i64": "Wide"}
_HOSTS = (IPv4Address, lambda segments: IPv6Address(struct.pack(">8H", *segments)), str, lambda _: None)
_BY_TYPE: dict[str, Any] = {
    "AK::Duration": Duration,
    "UnixDateTime": UnixDateTime,
    "Gfx::FloatPoint": lambda point: gfx.FloatPoint(point.x, point.y),
    "Array<u16, 4>": tuple,
}


def _shaped(value: Any, type_: str) -> Any:
    """Byte strings stand as text in the golden file, and some values without their class."""
    if type_ in _BY_TYPE:
        return _BY_TYPE[type_](value)
    if isinstance(value, Alternative):
        return Alternative(value.index, value.value.encode() if isinstance(value.value, str) else value.value)
    if isinstance(value, str) and "ByteString" in type_ and "[UTF8]" not in type_:
        return value.encode()
    if isinstance(value, list) and "ByteString" in type_:
        return [_shaped(element, type_) for element in value]
    if isinstance(value, dict) and type_.startswith("HashMap<ByteString"):
        return {_shaped(key, type_): element for key, element in value.items()}
    return value


def _arguments(vector: dict[str, Any], files: list[File], gold: Any) -> tuple[Any, ...]:
    types = re.findall(r"(?:^|, )((?:\[UTF8\] )?[^\s<]+(?:<.*?>+)?) \w+(?=,|$)", vector["params"])
    values = [_python(value, files, gold) for value in vector["args"].values()]
    assert len(types) == len(values), vector["params"]
    return tuple(_shaped(value, type_) for value, type_ in zip(values, types, strict=True))


def _message(gold: Any, vector: dict[str, Any]) -> type[Message]:
    message: type[Message] = getattr(getattr(gold, vector["endpoint"]), vector["message"])
    return message


def _files(vector: dict[str, Any]) -> list[File]:
    """What travels with the vector's bytes: shared memory where its arguments say so, otherwise any file."""
    contents = {
        value["$buffer"]["fd"]: value["$buffer"]["content"]
        for value in vector["args"].values()
        if isinstance(value, dict) and value.get("$buffer")
    }
    return [File(_memory(contents.get(number, "").encode())) for number in range(vector["fds"])]


def _is_memory(vector: dict[str, Any]) -> bool:
    return "AnonymousBuffer" in vector["params"]


def _memory(content: bytes) -> int:
    fd = os.memfd_create("golden")
    os.write(fd, content)
    return fd


def _seen(values: tuple[Any, ...]) -> list[Any]:
    """The values, with what is in shared memory in place of its owner."""
    return [
        (type(value), value.is_valid and bytes(value.data))
        if isinstance(value, AnonymousBuffer)
        else (type(value), value.is_valid)
        if isinstance(value, gfx.ShareableBitmap)
        else value
        for value in values
    ]


def _name(vector: dict[str, Any]) -> str:
    return f"{vector['message']}-{GOLDEN['messages'].index(vector)}"


def test_every_message_has_a_vector(gold: Any) -> None:
    messages = {message for name in ("GoldServer", "GoldClient") for message in getattr(gold, name)._messages}
    assert {_message(gold, vector) for vector in VECTORS} == messages


def test_magics(gold: Any) -> None:
    for endpoint in ("GoldServer", "GoldClient"):
        assert GOLDEN["magics"][endpoint] == getattr(gold, endpoint).MAGIC


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_encodes_to_the_very_bytes(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    files: list[File] = []
    payload = message._encode(files, *_arguments(vector, _files(vector), gold))
    frame = bare_frame(message._key, payload)
    assert (frame if isinstance(frame, bytes) else b"".join(frame)) == bytes.fromhex(vector["wire"])
    assert len(files) == vector["fds"]
    assert message._id == vector["message_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_decodes_to_its_arguments(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    wire = bytes.fromhex(vector["wire"])
    sent = _files(vector)
    expected = [File(os.dup(file.fileno())) if _is_memory(vector) else file for file in sent]
    frame = Frame()
    frame.end, frame.elements = len(wire), 1000
    frame.fds = [(file, 0) for file in sent]
    values, at = message._decode(wire, 12, frame)
    assert at == len(wire)
    assert _seen(values) == _seen(_arguments(vector, expected, gold))
    assert not frame.fds


def _service(gold: Any, endpoint: str) -> Protocol:
    """A protocol that takes what a peer of `endpoint` receives: requests, or the answers to ours."""
    serves = getattr(gold, endpoint)
    return Protocol(Endpoint, serves, incoming_table(Endpoint, serves), Limits())


_REQUESTS = [v for v in VECTORS if v["kind"] != "response" and v["endpoint"] == "GoldServer" and not v["fds"]]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 11, 64, 1000, 1 << 20])
def test_any_cut_of_the_stream_gives_the_same_messages(gold: Any, cut: int) -> None:
    stream = b"".join(bytes.fromhex(vector["wire"]) for vector in _REQUESTS)
    protocol = _service(gold, "GoldServer")
    for at in range(0, len(stream), cut):
        protocol.receive(stream[at : at + cut])
    arrived = [(event[1]._id, _seen(event[3])) for event in protocol.inbox]
    assert arrived == [(vector["message_id"], _seen(_arguments(vector, [], gold))) for vector in _REQUESTS]
    assert protocol.reader.missing == 0


def test_a_byte_at_a_time_with_descriptors(gold: Any) -> None:
    vector = next(v for v in VECTORS if v["idl_name"] == "concat_files" and v["kind"] == "request")
    protocol = _service(gold, "GoldServer")
    wire = bytes.fromhex(vector["wire"])
    ends = [socket.socketpair() for _ in range(2)]
    protocol.receive(wire[:1], [ends[0][0].detach(), ends[1][0].detach()])
    for byte in wire[1:]:
        protocol.receive(bytes([byte]))
    ((kind, _message, _to, (first, separator, second), files),) = protocol.inbox
    assert kind is Kind.REQUEST
    assert separator == b"--"
    assert files == [first, second]
    for (_, kept), file in zip(ends, files, strict=True):
        with socket.socket(fileno=file.take_fd()) as received:
            received.send(b"x")
        assert kept.recv(1) == b"x"
        kept.close()
