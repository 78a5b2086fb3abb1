"""Owns frames made by hand, right and wrong, and raw sockets that carry them.
Must not know ipclib, so that its encoders are not compared with themselves: ipcc gives the messages'
numbers."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from struct import pack

import attrs

TAG = 0x4950432B
GUARD = 60.0
"""Seconds after which a service that neither answers nor closes counts as hanging."""

_HEADER = struct.Struct("=IIi")
_TRAILER = struct.Struct("=III")


@attrs.frozen
class Numbers:
    """The numbers that identify a message on the wire."""

    magic: int
    id: int
    signature: int


@cache
def numbers(name: str, endpoint: str = "AbuseServer") -> Numbers:
    """Return the numbers of a message by its name in Abuse.ipc."""
    return _all_numbers()[endpoint, name]


@cache
def _all_numbers() -> dict[tuple[str, str], Numbers]:
    interface = Path(__file__).with_name("Abuse.ipc")
    command = [sys.executable, "-m", "ipcc", "describe", "--json", interface]
    described = subprocess.run(
        command, cwd=interface.parent.parent.parent, check=True, capture_output=True, text=True
    )
    return {
        (endpoint["name"], message["name"]): Numbers(endpoint["magic"], message["id"], message["signature"])
        for endpoint in json.loads(described.stdout)["endpoints"]
        for message in endpoint["messages"]
    }


def frame(magic: int, id: int, body: bytes = b"") -> bytes:
    """Return a frame around a body, with its true size."""
    return _HEADER.pack(len(body) + 8, magic, id) + body


def trailer(serial: int, signature: int, tag: int = TAG) -> bytes:
    """Return the trailer of a frame."""
    return _TRAILER.pack(serial, signature, tag)


def message(name: str, payload: bytes = b"", serial: int = 1, endpoint: str = "AbuseServer") -> bytes:
    """Return a whole frame of a message, one-way if the serial is 0."""
    known = numbers(name, endpoint)
    return frame(known.magic, known.id, payload + trailer(serial, known.signature))


def response(name: str, payload: bytes, serial: int, endpoint: str = "AbuseServer") -> bytes:
    """Return a whole frame that answers a message."""
    known = numbers(name, endpoint)
    return frame(known.magic, known.id + 1, payload + trailer(serial, known.signature))


def bare(name: str, payload: bytes = b"", endpoint: str = "AbuseServer") -> bytes:
    """Return a frame as LibIPC writes it, without a trailer."""
    known = numbers(name, endpoint)
    return frame(known.magic, known.id, payload)


def control(id: int, body: bytes, endpoint: str = "AbuseServer") -> bytes:
    """Return a control frame with any body."""
    return frame(numbers("echo" if endpoint == "AbuseServer" else "ask", endpoint).magic, id, body)


def text(value: str | bytes) -> bytes:
    """Encode a String or ByteBuffer."""
    raw = value.encode() if isinstance(value, str) else value
    return pack("=I", len(raw)) + raw


def vector(elements: Iterable[bytes]) -> bytes:
    """Encode a Vector of encoded elements."""
    listed = list(elements)
    return pack("=I", len(listed)) + b"".join(listed)


def honest() -> list[tuple[bytes, int]]:
    """Return a valid frame of every message, each with the number of descriptors that it needs."""
    entry = text("name") + b"\1" + b"\1" + pack("=Q", 2**60)
    tree = pack("=i", 1) + vector([pack("=i", 2) + vector([]), pack("=i", 3) + vector([])])
    url = text("https://example.org/a") + b"\0"
    return [
        (message("echo", text("grüß dich")), 0),
        (message("echo_bytes", text(bytes(range(64)))), 0),
        (message("echo_numbers", vector(pack("=I", n) for n in range(20))), 0),
        (message("echo_small_numbers", vector(pack("=b", n) for n in range(20))), 0),
        (message("echo_strings", vector(text(f"text {n}") for n in range(8))), 0),
        (message("echo_nested", vector(vector(text("x") for _ in range(n)) for n in range(5))), 0),
        (message("echo_map", vector(text(f"k{n}") + pack("=I", n) for n in range(6))), 0),
        (message("echo_number_map", vector(pack("=q?", n, True) for n in range(6))), 0),
        (message("echo_optional", b"\1" + vector([b"\0", b"\1" + pack("=i", -1)])), 0),
        (message("echo_array", vector(text("a" * n) for n in range(4))), 0),
        (message("echo_variant", b"\2" + text("two")), 0),
        (message("echo_variant", b"\3" + text(b"\0\1\2")), 0),
        (message("echo_json", text('{"a": [1, 2.5, "drei", null, true], "b": {"c": {}}}')), 0),
        (message("echo_entries", vector([entry, entry])), 0),
        (message("echo_tree", tree), 0),
        (message("echo_colour", b"\xc8"), 0),
        (message("echo_double", pack("=d", 2.5)), 0),
        (message("echo_date", pack("=q", 1_700_000_000)), 0),
        (message("echo_url", url), 0),
        (message("echo_buffer", b"\1" + pack("=I", 4096)), 1),
        (message("echo_buffer", b"\0"), 0),
        (message("take_files", pack("=I", 3)), 3),
        (message("copy_file", b"\1"), 2),
        (message("forget_files", pack("=I", 2), serial=0), 2),
        (message("fetch", pack("=I", 1000)), 0),
        (message("fetch_later", pack("=II", 5, 1000)), 0),
        (message("give_file"), 0),
        (message("later", pack("=I", 5)), 0),
        (message("fail", b"\1"), 0),
        (message("not_handled"), 0),
        (message("tell", text("psst"), serial=0), 0),
        (message("told"), 0),
        (message("subscribe", pack("=II", 3, 100), serial=0), 0),
        (message("ask_back", pack("=i", 7)), 0),
        (control(-1, pack("=I", 1)), 0),
        (control(-2, pack("=I", 9)), 0),
    ]


class Peer:
    """A raw client, which sends any bytes and descriptors, and reads frames."""

    def __init__(self, path: str, connected: socket.socket | None = None) -> None:
        if connected is None:
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(path)  # Without a timeout, because it waits for room in the backlog only so.
            connected.settimeout(GUARD)
        self.socket = connected
        self._received = bytearray()
        self.descriptors_received = 0

    def send(self, data: bytes, fds: Sequence[int] = ()) -> bool:
        """Send all of it; return False if the service has closed meanwhile.

        Raises:
            TimeoutError: the service hangs.
        """
        view = memoryview(data)
        try:
            if fds:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                view = view[self.socket.sendmsg([view], ancillary) :]
            while view:
                view = view[self.socket.send(view[: 1 << 20]) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def finish(self) -> None:
        """Close the sending side of the connection."""
        with suppress(OSError):  # The service has closed already.
            self.socket.shutdown(socket.SHUT_WR)

    def read(self) -> bytes | None:
        """Return the next whole frame without its size, or None if the service has closed."""
        while True:
            if len(self._received) >= 4:
                end = 4 + int.from_bytes(self._received[:4], "little")
                if len(self._received) >= end:
                    found = bytes(self._received[4:end])
                    del self._received[:end]
                    return found
            data = self._receive()
            if not data:
                return None
            self._received += data

    def drain(self) -> int:
        """Read until the service closes; return how many frames came."""
        count = 0
        while self.read() is not None:
            count += 1
        return count

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _receive(self) -> bytes:
        space = socket.CMSG_SPACE(253 * 4)
        try:
            data, ancillary, _flags, _address = self.socket.recvmsg(1 << 16, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return b""
        for _level, _kind, raw in ancillary:
            for fd in array.array("i", raw):
                self.descriptors_received += 1
                os.close(fd)
        return data


def kind(body: bytes) -> str:
    """Name the kind of a frame of the service."""
    _magic, id = struct.unpack_from("=Ii", body)
    if id == 0:
        (_serial, number) = struct.unpack_from("=IB", body, 8)
        return f"error {number}"
    return {-1: "cancel", -2: "describe", -3: "description"}.get(id, "answer" if len(body) >= 20 else "bare")
