"""Owns a socket that takes what a script says, a sender that writes into it, and the owner that hears of it.
Must not know what is tested.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

from corelib.turn import current_thread_loop
from ipclib.connection.sender import Sender


class ScriptedSocket:
    """Takes as many bytes in each system call as its script says, then everything.

    A script holds numbers of bytes, 0 for a socket that is full, and errors to raise. It has a
    real fd, for the notifier, which is always writable.
    """

    def __init__(self, script: Sequence[int | OSError] = ()) -> None:
        self._script = list(script)
        self._real, self._other = socket.socketpair()
        self._is_closed = False
        self.calls: list[tuple[bytes, int]] = []
        """What each system call took: its bytes, and how many descriptors came with them."""

    @property
    def system(self) -> ScriptedSocket:
        return self

    @property
    def stream(self) -> bytes:
        return b"".join(data for data, _fds in self.calls)

    def send(self, data: Any, _flags: int) -> int:
        return self._take(bytes(data), 0)

    def sendmsg(self, pieces: Sequence[Any], ancillary: Sequence[Any], _flags: int) -> int:
        assert len(pieces) <= 1024, "IOV_MAX"
        fds = sum(len(each[2]) for each in ancillary)
        return self._take(b"".join(pieces), fds)

    def _take(self, data: bytes, fds: int) -> int:
        assert data, "an empty write"
        if self._is_closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        most = self._script.pop(0) if self._script else len(data)
        if isinstance(most, OSError):
            raise most
        if not most:
            raise BlockingIOError
        taken = data[:most]
        self.calls.append((taken, fds))
        return len(taken)

    def wait_writable(self, _timeout: float | None) -> bool:
        return True

    def fileno(self) -> int:
        return self._real.fileno()

    def close(self) -> None:
        self._is_closed = True
        self._real.close()
        self._other.close()


class Owner:
    """Notes what the sender reports."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.waits_for_slow_peer = True

    def did_drain(self) -> None:
        self.reports.append("drained")

    def did_fill_socket(self) -> None:
        self.reports.append("full")

    def did_lack_room(self) -> None:
        self.reports.append("no room")

    def did_find_room(self) -> None:
        self.reports.append("room")

    def did_stop_reading(self) -> None:
        self.reports.append("stopped reading")

    def did_fail_to_send(self, error: OSError) -> None:
        self.reports.append(f"failed: {error.strerror}")
        self.on_failure()

    def on_failure(self) -> None:
        """Set by tests that close the sender then, as a link does."""


class Sending:
    """A sender, its scripted socket and its owner, on the calling thread's loop."""

    def __init__(self, script: Sequence[int | OSError] = (), limit: int = 1 << 20) -> None:
        self.socket = ScriptedSocket(script)
        self.owner = Owner()
        self.sender = Sender(self.socket, current_thread_loop(), self.owner, limit)  # type: ignore[arg-type]

    def close(self) -> None:
        self.sender.close()
        self.socket.close()
