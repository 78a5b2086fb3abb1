"""Owns how a tool reaches a service and asks for its interface, on the connection that it goes on with.
Must not know messages: until the interface has come, their frames are set aside.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import time

import attrs

from corelib import DescriptorsTruncated, LocalSocket, SocketPathError, session
from ipclib import Limits, ProtocolViolation, ServiceUnavailable
from ipclib.connection.connection import Connection, receive_early
from ipclib.connection.trust import Way, admitted_uids
from ipclib.protocol import wire
from ipctools.failures import Code, Failure

_READ_SIZE = 64 * 1024
_SERIAL = 1
_LIMITS = Limits()
PATIENCE = 5.0
"""Seconds in which a service describes itself, unless the user says otherwise."""


def socket_path(given: str) -> str:
    """The path of a service's socket, as the user gave it.

    Raises:
        Failure: no socket can have this path.
    """
    try:
        return session.socket_path(given)
    except SocketPathError as error:
        raise Failure(Code.WRONG_COMMAND_LINE, str(error)) from error


def reach(path: str) -> LocalSocket:
    """Connect to the service at a path.

    Raises:
        Failure: it cannot be reached, or is not to be trusted.
    """
    path = socket_path(path)
    try:
        return Way(path, admitted_uids(None)).connect()
    except ServiceUnavailable as error:
        reason = str(error).partition("; if it should be")[0].partition("; if that user")[0]
        raise Failure(Code.NOT_ALLOWED, reason) from error
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: str, error: OSError) -> Failure:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            text = f"there is no socket at {path}: start the service, or see 'ipcc list'"
            return Failure(Code.NO_SERVICE, text)
        case errno.ECONNREFUSED if not _is_socket(path):
            return Failure(Code.NOT_A_SERVICE, f"{path} is not a socket: give the path of a service's socket")
        case errno.ECONNREFUSED:
            text = f"nobody listens at {path}, which an ended service has left there: start the service"
            return Failure(Code.NO_SERVICE, text)
        case errno.EACCES | errno.EPERM:
            text = f"no permission to connect to {path}: be the user who runs the service"
            return Failure(Code.NOT_ALLOWED, text)
        case errno.EPROTOTYPE:
            return Failure(Code.NOT_A_SERVICE, f"{path} is a socket of another type than a service's")
        case errno.EAGAIN:
            return Failure(
                Code.TIMEOUT, f"the service at {path} accepts nobody at the moment: it may be hanging"
            )
    return Failure(Code.NO_SERVICE, f"cannot connect to {path}: {os.strerror(error.errno or errno.EIO)}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


@attrs.define
class Early:
    """What a service sent before its interface came: pieces of the stream with their descriptors."""

    pieces: list[tuple[bytes, list[int]]]

    def give_to(self, connection: Connection) -> None:
        """Let the connection receive all of it."""
        while self.pieces:
            receive_early(connection, *self.pieces.pop(0))

    def drop(self) -> None:
        """Close the descriptors."""
        while self.pieces:
            for fd in self.pieces.pop()[1]:
                os.close(fd)


def ask_interface(socket: LocalSocket, path: str, timeout: float = PATIENCE) -> tuple[str, Early]:
    """Ask a service for its interfaces; return their text, and what else it sent meanwhile.

    Raises:
        Failure: it does not answer within `timeout` seconds, or as no service of this library does.
    """
    asking = _Asking(socket, path, timeout)
    try:
        return asking.answer(), Early([(bytes(data), fds) for data, fds in asking.pieces if data or fds])
    except BaseException:
        Early([(b"", fds) for _data, fds in asking.pieces]).drop()
        raise


class _Asking:
    """One question for the interfaces, and the stream that is read until the answer has come."""

    def __init__(self, socket: LocalSocket, path: str, timeout: float) -> None:
        self._socket = socket
        self._path = path
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self.pieces: list[tuple[bytearray, list[int]]] = []

    def answer(self) -> str:
        self._send(wire.pack_describe(wire.EVERY_ENDPOINT, _SERIAL))
        at = 0
        while True:
            stream = b"".join(data for data, _fds in self.pieces)
            while (end := self._end_of_frame(stream, at)) is not None:
                text = self._text_in(stream, at, end)
                if text is not None:
                    self._cut(at, end)
                    return text
                at = end
            self._receive()

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.send(frame)  # An empty socket has room for a few bytes.
        except OSError as error:
            raise self._no_service("closed the connection at once") from error

    def _end_of_frame(self, stream: bytes, at: int) -> int | None:
        """The end of the frame that begins at an offset; None while it is not complete."""
        if len(stream) - at < wire.HEADER.size:
            return None
        size, _key = wire.HEADER.unpack_from(stream, at)
        if not wire.SMALLEST_SIZE <= size <= _LIMITS.max_message_size:
            raise self._no_service("does not speak its language")
        end = at + wire.SIZE.size + int(size)
        return end if end <= len(stream) else None

    def _text_in(self, stream: bytes, at: int, end: int) -> str | None:
        _size, key = wire.HEADER.unpack_from(stream, at)
        magic, id = wire.magic_and_id(key)
        if magic != wire.EVERY_ENDPOINT:
            return None
        try:
            if id == wire.FAILURE_ID:
                _serial, _kind, reason = wire.parse_failure(stream, at, end)
                raise Failure(Code.SERVICE_ERROR, f"the service at {self._path} refuses: {reason}")
            if id == wire.DESCRIPTION_ID:
                serial, text = wire.parse_description(stream, at, end)
                return text if serial == _SERIAL else None
        except ProtocolViolation as error:
            raise self._no_service("does not speak its language") from error
        return None

    def _receive(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._socket.wait_readable(None if math.isinf(left) else left):
            raise Failure(
                Code.TIMEOUT,
                f"{self._path} did not describe itself within {self._timeout:g} s: it hangs, or is no "
                "service of this library (for one of LibIPC itself, give --ipc FILE)",
            )
        try:
            received = self._socket.receive_with_fds(_READ_SIZE, _LIMITS.max_fds_per_message)
        except (OSError, DescriptorsTruncated) as error:
            raise self._no_service("closed the connection at once") from error
        if received is None:
            return
        data, fds = received
        self.pieces.append((bytearray(data), fds))
        if not data:
            raise self._no_service("closed the connection at once")

    def _cut(self, start: int, end: int) -> None:
        """Take the answer out of the stream. What is left belongs to the connection."""
        at = 0
        for data, _fds in self.pieces:
            size = len(data)
            del data[max(start - at, 0) : max(end - at, 0)]
            at += size

    def _no_service(self, what: str) -> Failure:
        text = f"{self._path} is no service of this library, or refuses this user: it {what}"
        return Failure(Code.NOT_A_SERVICE, text)
