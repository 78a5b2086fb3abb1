"""Bytes that LibIPC itself wrote: ours are the same, however the stream is cut."""

from __future__ import annotations

import json
import os
import re
import socket
from collections import deque
from pathlib import Path
from typing import Any

import pytest

import ipcc
from ipclib.codecs import Frame
from ipclib.file import File
from ipclib.framing import bare_frame
from ipclib.limits import Limits
from ipclib.message import Endpoint, Kind, Message
from ipclib.protocol import Protocol, incoming_table

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())

_KNOWN_TYPES = {
    *(
        "bool",
        "i8",
        "i16",
        "i32",
        "i64",
        "u8",
        "u16",
        "u32",
        "u64",
        "int",
        "unsigned",
        "size_t",
        "float",
        "double",
    ),
    *(
        "String",
        "StringView",
        "ByteString",
        "ByteBuffer",
        "UTF8",
        "Vector",
        "HashMap",
        "Optional",
        "IPC::File",
        "File",
    ),
}
_MESSAGE = re.compile(r"^( *)(\w+)\((.*?)\) (?:=> \((.*)\)|(=\|))$", re.MULTILINE)


def _types(parameters: str) -> set[str]:
    """The type names in a parameter list, from which each parameter's own name is taken off."""
    without_names = re.sub(r"\s\w+(?=,|$)", " ", parameters)
    return set(re.findall(r"[A-Za-z_][\w:]*", without_names))


def _known(parameters: str | None) -> bool:
    names = _types(re.sub(r"<[^<>]*>", lambda inner: inner[0].replace(",", ";"), parameters or ""))
    return names <= _KNOWN_TYPES


def _emptied(match: re.Match[str]) -> str:
    indent, name, inputs, outputs, one_way = match.groups()
    if _known(inputs) and _known(outputs):
        return match[0]
    return f"{indent}{name}() {'=|' if one_way else '=> ()'}"


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gold.ipc compiled; a message of a type that is not in the language yet keeps its place, empty."""
    text = _MESSAGE.sub(_emptied, (HERE / "Gold.ipc").read_text())
    path = tmp_path_factory.mktemp("gold") / "Gold.ipc"
    path.write_text(text)
    return ipcc.load(path)


def _supported(vector: dict[str, Any]) -> bool:
    line = next(m for m in _MESSAGE.finditer((HERE / "Gold.ipc").read_text()) if m[2] == vector["idl_name"])
    return _known(line[3]) and _known(line[4])


VECTORS = [vector for vector in GOLDEN["messages"] if _supported(vector)]


def _python(value: Any, files: list[File]) -> Any:
    """A golden argument as the value that a program would pass."""
    if isinstance(value, list):
        return [_python(element, files) for element in value]
    if not isinstance(value, dict):
        return value
    if "$hex" in value:
        return bytes.fromhex(value["$hex"])
    if "$map" in value:
        return {_python(k, files): _python(v, files) for k, v in value["$map"]}
    if "$fd" in value:
        return files[value["$fd"]]
    raise AssertionError(f"unknown golden value {value}")


def _shaped(value: Any, type_: str) -> Any:
    """Byte strings stand as text in the golden file."""
    if isinstance(value, str) and "ByteString" in type_ and "[UTF8]" not in type_:
        return value.encode()
    if isinstance(value, list) and "ByteString" in type_:
        return [_shaped(element, type_) for element in value]
    if isinstance(value, dict) and type_.startswith("HashMap<ByteString"):
        return {_shaped(key, type_): element for key, element in value.items()}
    return value


def _arguments(vector: dict[str, Any], files: list[File]) -> tuple[Any, ...]:
    types = re.findall(r"(?:^|, )((?:\[UTF8\] )?[^\s<]+(?:<.*?>+)?) \w+(?=,|$)", vector["params"])
    values = [_python(value, files) for value in vector["args"].values()]
    assert len(types) == len(values), vector["params"]
    return tuple(_shaped(value, type_) for value, type_ in zip(values, types, strict=True))


def _message(gold: Any, vector: dict[str, Any]) -> type[Message]:
    message: type[Message] = getattr(getattr(gold, vector["endpoint"]), vector["message"])
    return message


def _files(vector: dict[str, Any]) -> list[File]:
    return [File(os.open("/dev/null", os.O_RDONLY)) for _ in range(vector["fds"])]


def _name(vector: dict[str, Any]) -> str:
    return f"{vector['message']}-{GOLDEN['messages'].index(vector)}"


def test_most_vectors_are_of_types_that_exist() -> None:
    assert len(VECTORS) >= 75


def test_magics(gold: Any) -> None:
    for endpoint in ("GoldServer", "GoldClient"):
        assert GOLDEN["magics"][endpoint] == getattr(gold, endpoint).MAGIC


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_encodes_to_the_very_bytes(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    payload, files = message._payload(_arguments(vector, _files(vector)))
    frame = bare_frame(message._key, payload)
    assert (frame if isinstance(frame, bytes) else b"".join(frame)) == bytes.fromhex(vector["wire"])
    assert len(files) == vector["fds"]
    assert message._id == vector["message_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_decodes_to_its_arguments(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    wire = bytes.fromhex(vector["wire"])
    sent = _files(vector)
    frame = Frame()
    frame.end, frame.elements = len(wire), 1000
    frame.fds = deque((file, 0) for file in sent)
    values, at = message._decode(wire, 12, frame)
    assert at == len(wire)
    assert values == _arguments(vector, sent)
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
    arrived = [(event[1]._id, event[3]) for event in protocol.inbox]
    assert arrived == [(vector["message_id"], _arguments(vector, [])) for vector in _REQUESTS]
    assert protocol.missing == 0


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
