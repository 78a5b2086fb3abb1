"""Owns the tests that docs/wire.md is true: tables, examples and violations, beside ipclib, ipcc and LibIPC.
Must not know sockets or loops, nor how the page is read (wire_document.py).
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from itertools import groupby
from pathlib import Path
from typing import Any

import attrs
import pytest

import ipcc
from ipcc.builtin_types import BUILTIN_NAMES
from ipcc.compiler import model_of
from ipclib import ErrorKind, File, Limits
from ipclib.protocol import events, wire
from ipclib.protocol.conversation import DESCRIBE, MAX_ABANDONED, Conversation, incoming_table
from ipclib.protocol.events import Event
from ipclib.protocol.message import Endpoint, Kind, MessageType
from ipclib.protocol.open_call import Call
from ipclib.protocol.receiver import Receiver
from ipclib.values import json_value, structures
from tests.wire.golden_values import GOLDEN, load
from tests.wire_document import (
    BLOCKS,
    CONSTANTS,
    DESK,
    FRAMES,
    ROOT,
    Stream,
    code,
    format_of,
    frame_of,
    lines_of,
    magic_of,
    table,
    value_of,
)


@pytest.mark.parametrize("name", FRAMES)
def test_every_line_of_an_example_is_the_field_and_value_that_it_says(name: str) -> None:
    lines = lines_of(name)
    stream = Stream(frame_of(name), ["its descriptor"])
    called, _values = DESK.read_frame(stream)
    said: list[tuple[str, bytes, Any]] = []
    for field, several in groupby(lines, lambda line: line[1]):
        raws, _fields, values = zip(*several, strict=True)
        read: list[Any] = [value_of(value) for value in values]
        said.append((field, b"".join(raws), b"".join(read) if read[1:] else read[0]))
    assert [(field, value) for field, _raw, value in said] == [(leaf[0], leaf[2]) for leaf in stream.leaves]
    for (_field, raw, value), (_name, format, _read) in zip(said, stream.leaves, strict=True):
        assert struct.pack("=" + format, value) == raw
    assert value_of(lines[0][2]) == len(stream.data) - len(lines[0][0])
    assert lines[2][2].endswith(f", {called}")
    assert stream.fds == ([] if name == "keep-request" else ["its descriptor"])


# The tables beside the code


def test_the_tables_of_fields_are_what_ipclib_packs() -> None:
    most = CONSTANTS["highest serial"]
    key = wire.key_of(most, -2)
    assert wire.HEADER.pack(most, key) == struct.pack(format_of("Header"), most, most, -2)
    assert wire.TRAILER.pack(most, most, most) == struct.pack(format_of("Trailer"), most, most, most)
    at = wire.HEADER.size
    failure = wire.pack_failure(5, most, ErrorKind.REFUSED, "ab")
    assert failure[at:] == struct.pack(format_of("Error: id 0"), most, 4, 2) + b"ab"
    assert wire.pack_cancel(5, most)[at:] == struct.pack(format_of("Cancel: id -1"), most)
    assert wire.pack_describe(5, most)[at:] == struct.pack(format_of("Describe: id -2"), most)
    described = wire.pack_description(5, most, "ab")
    assert described[at:] == struct.pack(format_of("Description: id -3"), most, 2) + b"ab"
    for heading in ("Error: id 0", "Cancel: id -1", "Describe: id -2", "Description: id -3"):
        assert int(table(heading)[0]["offset"]) == at


def test_the_constants_are_those_of_ipclib() -> None:
    assert CONSTANTS == {
        "tag": wire.TAG,
        "smallest size": wire.SMALLEST_SIZE,
        "smallest frame with a trailer": wire.SMALLEST_TRAILED,
        "first message id": wire.FIRST_MESSAGE_ID,
        "no serial": wire.NO_SERIAL,
        "highest serial": wire.HIGHEST_SERIAL,
    }
    assert {row["name"]: int(row["id"]) for row in table("Ids of control frames")} == {
        "error": wire.FAILURE_ID,
        "cancel": wire.CANCEL_ID,
        "describe": wire.DESCRIBE_ID,
        "description": wire.DESCRIPTION_ID,
    }
    kinds = {int(row["kind"]): row["name"] for row in table("Kinds of error")}
    assert kinds == {kind.value: kind.name.lower().replace("_", " ") for kind in ErrorKind}


def test_the_limits_are_the_defaults() -> None:
    limits = Limits()
    said = {code(row["limit"]): int(row["default"]) for row in table("Limits")}
    assert said.pop("abandoned calls") == MAX_ABANDONED
    assert said.pop("depth") == structures.MAX_DEPTH == json_value.MAX_DEPTH
    assert said == {name: getattr(limits, name) for name in said}
    own = {"maps_unsealed_memory", "max_connections", "max_nesting", "rate"}
    assert set(attrs.asdict(limits)) - set(said) == own


@pytest.fixture(scope="module")
def desk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wire") / "Desk.ipc"
    path.write_text(BLOCKS["Desk.ipc"])
    return path


@pytest.fixture(scope="module")
def desk(desk_file: Path) -> Any:
    """The page's own interface, compiled."""
    return ipcc.load(desk_file)


@pytest.fixture(scope="module")
def gold() -> Any:
    """The interface of the golden messages, compiled."""
    return load()


def test_the_magics_follow_from_the_names(desk: Any) -> None:
    magics = {code(row["endpoint"]): int(row["magic"]) for row in table("Magics")}
    assert magics == {name: magic_of(name) for name in magics}
    assert (magics["DeskServer"], magics["DeskClient"]) == (desk.DeskServer.MAGIC, desk.DeskClient.MAGIC)
    assert {name: magic_of(name) for name in GOLDEN["magics"]} == GOLDEN["magics"]


def test_the_ids_follow_from_the_order(desk: Any) -> None:
    said = {}
    for row in table("Message ids"):
        said[code(row["message"]), Kind.RESPONSE] = row["id of the answer"]
        said[code(row["message"]), Kind.REQUEST] = row["id"]
    types = (*desk.DeskServer.__ipc__, *desk.DeskClient.__ipc__)
    for type in types:
        kind = Kind.RESPONSE if type.kind is Kind.RESPONSE else Kind.REQUEST
        assert said.pop((type.name, kind)) == str(type.id)
        assert (type.name.split(".")[0], type.id) in DESK.messages
    assert set(said.values()) == {"none"}
    assert len(DESK.messages) == len(types)


def test_the_signatures_follow_from_their_texts(desk_file: Path) -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926
    said = {line[12:]: line[:10] for line in BLOCKS["signatures.txt"].splitlines()}
    messages = [message for endpoint in model_of([str(desk_file)]).endpoints for message in endpoint.messages]
    assert said == {message.signed_text: f"0x{message.signature:08X}" for message in messages}
    assert said == {text: f"0x{zlib.crc32(text.encode()):08X}" for text in said}


_ARGUMENTS = {"T": "i64", "N": "3", "K": "u16", "V": "double", "A": "Empty", "B": "bool"}


def test_types_are_spelled_in_signatures_as_the_tables_say(tmp_path: Path) -> None:
    def filled(text: str) -> str:
        return re.sub(r"\b[TNKVAB]\b", lambda found: _ARGUMENTS[found[0]], text)

    spellings = {
        filled(spelled): filled(code(row["in signatures"]))
        for row in (*table("Numbers"), *table("Values"))
        for spelled in re.findall("`(.*?)`", row["type"])
        if row["in signatures"] != "none"
    }
    lines = "".join(f"    m{place}({type} value) =|\n" for place, type in enumerate(spellings))
    path = tmp_path / "All.ipc"
    path.write_text(f"endpoint AllServer\n{{\n{lines}}}\n")
    (messages,) = [endpoint.messages for endpoint in model_of([str(path)]).endpoints if endpoint.messages]
    canonical = [message.signed_text.split("(")[1].removesuffix(")=|") for message in messages]
    assert canonical == list(spellings.values())
    assert {re.sub("<.*", "", type) for type in spellings} >= set(BUILTIN_NAMES)


# ipclib beside the examples


class _End:
    """One end of a conversation, with calls of these messages open."""

    def __init__(
        self, calls: type[Endpoint], serves: type[Endpoint], open: dict[int, MessageType] | None = None
    ) -> None:
        self.conversation = Conversation(calls, serves, Limits())
        self._receiver = Receiver(self.conversation, incoming_table(calls, serves))
        self.calls: dict[int, Call] = {}
        for serial, type in (open or {}).items():
            self.calls[serial] = call = Call(type)
            call.serial = serial
            self.conversation.open(call)

    def receive(self, *frames: bytes, fds: int = 0) -> list[Event]:
        """Take frames, the last one with so many descriptors; return what arrived."""
        for frame in frames[:-1]:
            self._receiver.receive(frame)
        self._receiver.receive(frames[-1], [os.open("/dev/null", os.O_RDONLY) for _ in range(fds)])
        events = list(self.conversation.inbox)
        self.conversation.release()
        self._receiver.release()
        return events


def test_ipclib_writes_the_examples(desk: Any) -> None:
    service, client = desk.DeskServer, desk.DeskClient
    end = Conversation(client, service, Limits())

    def message(type: Any, serial: int, *values: object, is_bare: bool = False) -> Any:
        frame, _files = end.frame(type.__ipc__, values, serial, is_bare=is_bare)
        return frame

    place = desk.Place("attic", [2, -1], desk.Kind.BOX)
    with File(os.open("/dev/null", os.O_RDONLY)) as file:
        written = {
            "add-request": message(service.Add, 7, 2, 40),
            "add-answer": message(service.AddResponse, 7, 42),
            "find-request": message(service.Find, 8, "stamps"),
            "find-answer": message(service.FindResponse, 8, place),
            "log": message(service.Log, 0, "tidy"),
            "keep-request": message(service.Keep, 9, b"map", file),
            "keep-answer": message(service.KeepResponse, 9),
            "error": wire.pack_failure(service.MAGIC, 10, ErrorKind.HANDLER_RAISED, "no stamps here"),
            "cancel": wire.pack_cancel(service.MAGIC, 10),
            "describe": end.describe(Call(DESCRIBE)),
            "description": Conversation(service, client, Limits()).description(client.MAGIC, 1),
            "bare-add-request": message(service.Add, 7, 2, 40, is_bare=True),
            "bare-add-answer": message(service.AddResponse, 7, 42, is_bare=True),
        }
    assert written == {name: frame_of(name) for name in FRAMES}


def _seen(event: Event) -> tuple[Any, ...]:
    """Return what a message says: its name, the serial or call that it concerns, its values."""
    assert isinstance(event, tuple)
    _kind, message, concerned, values, files, _size = event
    return (message.name, concerned, tuple("a file" if value in files else value for value in values))


def test_ipclib_reads_the_examples(desk: Any) -> None:
    server, client = desk.DeskServer, desk.DeskClient
    service = _End(client, server, {1: DESCRIBE})
    names = ("add-request", "find-request", "log", "cancel", "description", "keep-request")
    add, find, log, cancel, description, keep = service.receive(*map(frame_of, names), fds=1)
    assert _seen(add) == ("DeskServer.add", 7, (2, 40))
    assert _seen(find) == ("DeskServer.find", 8, ("stamps",))
    assert _seen(log)[::2] == ("DeskServer.log", ("tidy",))
    assert _seen(keep) == ("DeskServer.keep", 9, (b"map", "a file"))
    assert cancel == events.RequestCancelled(10)
    assert description == events.DescriptionArrived(service.calls[1], client.SCHEMA)

    open = {7: server.Add, 8: server.Find, 9: server.Keep, 10: server.Find}
    caller = _End(server, client, {serial: request.__ipc__ for serial, request in open.items()})
    answers = ("add-answer", "find-answer", "keep-answer", "error", "describe")
    added, found, kept, failed, asked = caller.receive(*map(frame_of, answers))
    assert _seen(added) == ("DeskServer.add", caller.calls[7], (42,))
    assert _seen(found)[1:] == (caller.calls[8], (desk.Place("attic", [2, -1], desk.Kind.BOX),))
    assert _seen(kept) == ("DeskServer.keep", caller.calls[9], ())
    assert isinstance(failed, events.CallFailed)
    assert (failed.error.kind, failed.error.text) == (ErrorKind.HANDLER_RAISED, "no stamps here")
    assert asked == events.DescriptionAsked(client.MAGIC, 1)


def test_ipclib_reads_the_bare_examples(desk: Any) -> None:
    server, client = desk.DeskServer, desk.DeskClient
    (request,) = _End(client, server).receive(frame_of("bare-add-request"))
    assert _seen(request)[::2] == ("DeskServer.add", (2, 40))
    assert not isinstance(_seen(request)[1], int)
    caller = _End(server, client, {1: server.Add.__ipc__, 2: server.Add.__ipc__})
    (answer,) = caller.receive(frame_of("bare-add-answer"))
    assert _seen(answer) == ("DeskServer.add", caller.calls[1], (42,))


# Violations


def _violations(desk: Any, gold: Any) -> dict[str, list[Event]]:
    """Return what arrived with each violation that docs/wire.md lists."""
    server, client = desk.DeskServer, desk.DeskClient
    too_large = Limits().max_message_size + 1

    def trailed(type: Any, payload: bytes, serial: int, signature: int | None = None) -> bytes:
        described = type.__ipc__
        sign = described.signature if signature is None else signature
        return bytes(wire.trailed_frame(described.key, payload, serial, sign))  # type: ignore[arg-type]

    def to_service(*frames: bytes, fds: int = 0) -> list[Event]:
        return _End(client, server).receive(*frames, fds=fds)

    def to_client(*frames: bytes) -> list[Event]:
        return _End(server, client, {3: server.Add.__ipc__}).receive(*frames)

    def value(name: str, payload: bytes) -> list[Event]:
        request = getattr(gold.GoldServer, name).__ipc__
        return _End(gold.GoldClient, gold.GoldServer).receive(control(request.magic, request.id, payload))

    def control(magic: int, id: int, payload: bytes = b"") -> bytes:
        return bytes(wire.bare_frame(wire.key_of(magic, id), payload))  # type: ignore[arg-type]

    one = struct.pack("=I", 1)
    return {
        "a size below 8": to_service(struct.pack("=I", 7)),
        "a size above `max_message_size`": to_service(struct.pack("=I", too_large)),
        "a magic of neither endpoint, except 0 in a Describe frame": to_service(control(0, -1, one)),
        "a control frame with an id of -4 or below": to_service(control(server.MAGIC, -4)),
        "a message of the endpoint that the receiver calls, which is not an answer": to_client(
            trailed(server.Add, bytes(8), 1)
        ),
        "a message without a trailer after messages that had one": to_service(
            frame_of("log"), frame_of("bare-add-request")
        ),
        "an unknown message without a trailer": to_service(control(server.MAGIC, 99)),
        "a payload that ends before its parameters do": to_service(trailed(server.Add, bytes(7), 1)),
        "bytes left over between the parameters and the trailer": to_service(
            trailed(server.Add, bytes(9), 1)
        ),
        "a text that is not UTF-8": value("EchoString", one + b"\xff"),
        "a bool that is neither 0 nor 1": value("EchoBool", b"\2"),
        "a number that the enum does not declare": value("EchoShade", b"\2"),
        "an index that the Variant does not have": value("EchoVariant", b"\4"),
        "a key that comes twice in a map": value("EchoMap", struct.pack("=IIiIi", 2, 0, 1, 0, 2)),
        "an Array with another count": value("EchoArray", struct.pack("=IHHH", 3, 1, 2, 3)),
        "a count or length that the remaining bytes cannot hold": value(
            "EchoInts", struct.pack("=I", 0xFFFFFFFF)
        ),
        "a request whose serial is 0": to_service(trailed(server.Add, bytes(8), 0)),
        "a one-way message whose serial is not 0": to_service(trailed(server.Log, bytes(4), 5)),
        "an answer whose serial is not open": to_client(trailed(server.AddResponse, bytes(4), 4)),
        "an answer to a request of another message": to_client(trailed(server.KeepResponse, b"", 3)),
        "a bare answer while no request of its message is open": to_client(
            frame_of("bare-add-answer"), frame_of("bare-add-answer")
        ),
        "an answer whose signature is not its request's": to_client(
            trailed(server.AddResponse, bytes(4), 3, server.Log.__ipc__.signature)
        ),
        "an error frame whose serial is not open": to_client(frame_of("error")),
        "an error frame of an unknown kind": to_client(
            control(server.MAGIC, 0, struct.pack("=IBI", 3, 7, 0))
        ),
        "a description that answers a request": to_client(
            control(server.MAGIC, -3, struct.pack("=II", 3, 0))
        ),
        "a control frame that is longer or shorter than its fields": to_service(
            control(server.MAGIC, -1, one + b"\0")
        ),
        "fewer descriptors than the parameters need": to_service(frame_of("keep-request")),
        "more descriptors than the parameters need": to_service(frame_of("log"), fds=1),
        "descriptors that came with a control frame": to_service(frame_of("cancel"), fds=1),
    }


def test_every_violation_of_the_list_is_one(desk: Any, gold: Any) -> None:
    violations = _violations(desk, gold)
    assert list(violations) == [row["what comes"] for row in table("Violations")]
    for what, arrived in violations.items():
        assert [event for event in arrived if isinstance(event, events.PeerViolated)] == arrived[-1:], what


# The glossary


def test_the_files_that_the_glossary_names_exist() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    files = re.findall(r"`((?:corelib|ipclib|ipcc)/[^`]*)`", text)
    assert files
    for file in files:
        assert (ROOT / file).exists(), file


def test_the_glossary_is_in_alphabetical_order() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    assert rows == sorted(rows, key=str.casefold)
