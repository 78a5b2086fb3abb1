"""Owns the tests that ipclib writes and reads the very bytes that LibIPC wrote, however the stream is cut.
Must not know processes and sockets between them."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from ipclib import AnonymousBuffer, gfx
from ipclib.limits import Limits
from ipclib.protocol.conversation import Conversation, incoming_table
from ipclib.protocol.message import Endpoint, Kind, MessageType
from ipclib.protocol.receiver import Receiver
from ipclib.protocol.wire import HEADER, bare_frame
from ipclib.values.decoding import Decoding
from ipclib.values.file import File
from tests.wire.golden_values import GOLDEN, VECTORS, arguments, files_of, load

# Generated messages have only private names, so that none collides with a parameter: `_encode`, `_decode`,
# `_id`, `_key`, `_messages`. They are under test here.


@pytest.fixture(scope="module")
def gold() -> Any:
    """Gold.ipc, compiled as it is."""
    return load()


def _message(gold: Any, vector: dict[str, Any]) -> MessageType:
    message: MessageType = getattr(getattr(gold, vector["endpoint"]), vector["message"]).__ipc__
    return message


def _is_memory(vector: dict[str, Any]) -> bool:
    return "AnonymousBuffer" in vector["params"]


def _seen(values: tuple[Any, ...]) -> list[Any]:
    """Return values that can be compared: shared memory as its content."""
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


def test_every_message_has_a_golden_vector(gold: Any) -> None:
    messages = {
        message.name for name in ("GoldServer", "GoldClient") for message in getattr(gold, name).__ipc__
    }
    assert {_message(gold, vector).name for vector in VECTORS} == messages


def test_magics_are_those_of_libipc(gold: Any) -> None:
    for endpoint in ("GoldServer", "GoldClient"):
        assert GOLDEN["magics"][endpoint] == getattr(gold, endpoint).MAGIC


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_a_message_encodes_to_the_bytes_of_libipc(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    files: list[File] = []
    payload = message.encode(files, *arguments(vector, files_of(vector), gold))
    frame = bare_frame(message.key, payload)
    assert (frame if isinstance(frame, bytes) else b"".join(frame)) == bytes.fromhex(vector["wire"])
    assert len(files) == vector["fds"]
    assert message.id == vector["message_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_the_bytes_of_libipc_decode_to_the_arguments(gold: Any, vector: dict[str, Any]) -> None:
    message = _message(gold, vector)
    wire = bytes.fromhex(vector["wire"])
    sent = files_of(vector)
    expected = [File(os.dup(file.fileno())) if _is_memory(vector) else file for file in sent]
    decoding = Decoding()
    decoding.end, decoding.elements, decoding.files = len(wire), 1000, sent
    values, at = message.decode(wire, HEADER.size, decoding)
    assert at == len(wire)
    assert _seen(values) == _seen(arguments(vector, expected, gold))
    decoding.check_files()


def _service(gold: Any, endpoint: str) -> Receiver:
    """Return what receives for a service of an endpoint."""
    serves = getattr(gold, endpoint)
    return Receiver(Conversation(Endpoint, serves, Limits()), incoming_table(Endpoint, serves))


_REQUESTS = [v for v in VECTORS if v["kind"] != "response" and v["endpoint"] == "GoldServer" and not v["fds"]]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 11, 64, 1000, 1 << 20])
def test_any_cut_of_the_stream_gives_the_same_messages(gold: Any, cut: int) -> None:
    stream = b"".join(bytes.fromhex(vector["wire"]) for vector in _REQUESTS)
    receiver = _service(gold, "GoldServer")
    for at in range(0, len(stream), cut):
        receiver.receive(stream[at : at + cut])
    arrived = [(event[1].id, _seen(event[3])) for event in receiver.inbox]
    assert arrived == [(vector["message_id"], _seen(arguments(vector, [], gold))) for vector in _REQUESTS]
    assert receiver.partial.missing == 0


def test_a_frame_that_comes_byte_by_byte_keeps_its_descriptors(gold: Any) -> None:
    vector = next(v for v in VECTORS if v["idl_name"] == "concat_files" and v["kind"] == "request")
    receiver = _service(gold, "GoldServer")
    wire = bytes.fromhex(vector["wire"])
    ends = [socket.socketpair() for _ in range(2)]
    receiver.receive(wire[:1], [ends[0][0].detach(), ends[1][0].detach()])
    for byte in wire[1:]:
        receiver.receive(bytes([byte]))
    ((kind, _message, _to, (first, separator, second), files, _size),) = receiver.inbox
    assert kind is Kind.REQUEST
    assert separator == b"--"
    assert files == [first, second]
    for (_, kept), file in zip(ends, files, strict=True):
        with socket.socket(fileno=file.take_fd()) as received:
            received.send(b"x")
        assert kept.recv(1) == b"x"
        kept.close()
