"""Owns the pipes of a program beside the loop: output as it comes, input as the program takes it.
Must not know processes.
"""

from __future__ import annotations

import errno
import fcntl
import io
import math
import os
import struct
import termios
import weakref
from collections.abc import Callable

from corelib.errors import UsageError
from corelib.notifier import Notifier
from corelib.promise import Promise
from corelib.sockets.stream_socket import Buffer
from corelib.turn import forked, thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied

OnOutput = Callable[[bytes], object]

# At most this many bytes per turn, so one program cannot starve the rest; a pipe holds as many by default.
_CHUNK = 65536
_INT = struct.Struct("=i")


class Output(NotCopied):
    """The reading end of a pipe. The loop keeps it alive until the last writer has closed the other end."""

    __slots__ = ("_callback", "_delivered", "_file", "_name", "_notifier", "_remaining")

    def __init__(self, file: io.FileIO, name: str, callback: OnOutput) -> None:
        os.set_blocking(file.fileno(), False)
        self._file = file
        self._name = name
        self._callback = callback
        self._remaining = math.inf
        """The number of bytes that the process wrote before its end and that are not delivered yet; infinite
        while it runs."""
        self._delivered: Promise[None] = Promise()
        """Resolves when no byte remains."""
        self._notifier = Notifier(file, Notifier.Type.READ, self._read)

    @property
    def user_code(self) -> object:
        """The callback, for instruments."""
        return self._callback

    def drained(self) -> Promise[None]:
        """A promise that resolves when everything that the process wrote is delivered; call it at its end."""
        if not self._file.closed:
            (self._remaining,) = _INT.unpack(fcntl.ioctl(self._file, termios.FIONREAD, bytes(_INT.size)))
            # In most cases to read the end of file.
            thread_loop.current().queue.post(self._notifier.activate)
        return self._delivered

    def close(self) -> None:
        self._notifier.close()
        self._file.close()
        self._delivered.resolve(None)

    def _read(self) -> None:
        data = b"" if self._file.closed else self._file.read(_CHUNK)
        if data == b"":
            self.close()
            return
        try:
            if data is not None:
                self._remaining -= len(data)
                self._deliver(data)
        finally:
            if self._remaining <= 0:
                self._delivered.resolve(None)

    @calls_user_code
    def _deliver(self, data: bytes) -> None:
        try:
            self._callback(data)
        except BaseException as error:
            thread_loop.report(error, self._name, self._callback)


class Input(NotCopied):
    """The writing end of a pipe, and the bytes that it has not taken yet."""

    __slots__ = ("_ended", "_file", "_notifier", "unsent")

    def __init__(self, file: io.FileIO) -> None:
        os.set_blocking(file.fileno(), False)
        self._file = file
        self._ended = False
        self.unsent = bytearray()
        self._notifier = Notifier(file, Notifier.Type.WRITE, self._send_some)
        self._notifier.set_enabled(False)

    def write(self, data: Buffer) -> None:
        if self._ended:
            raise UsageError("the standard input of this process was closed by close_stdin()")
        if self._file.closed:
            raise BrokenPipeError(errno.EPIPE, "the process has exited or closed its standard input")
        was_waiting = bool(self.unsent)
        self.unsent += data
        if not was_waiting and self.unsent and not self._send():
            raise BrokenPipeError(errno.EPIPE, "the process has closed its standard input")

    def end(self) -> None:
        self._ended = True
        if not self.unsent:
            self.close()

    def close(self) -> None:
        self.unsent.clear()
        self._notifier.close()
        self._file.close()

    def _send_some(self) -> None:
        self._send()

    def _send(self) -> bool:
        try:
            taken = self._file.write(self.unsent[:_CHUNK])
        except BrokenPipeError:
            self.close()
            return False
        del self.unsent[: taken or 0]
        if self._ended and not self.unsent:
            self.close()
        else:
            self._notifier.set_enabled(bool(self.unsent))
        return True


_files: weakref.WeakSet[io.FileIO] = weakref.WeakSet()
"""The files of this process alone."""


def own(file: int | object) -> io.FileIO:
    """A pipe or pidfd of this process alone: a forked child closes its copy, which would keep a pipe open."""
    owned = io.FileIO(file) if isinstance(file, int) else file
    assert isinstance(owned, io.FileIO), "with bufsize=0 subprocess makes no other"
    _files.add(owned)
    return owned


def _forget_parents() -> None:
    for file in list(_files):
        file.close()


forked.forget(_forget_parents)
