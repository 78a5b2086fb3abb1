"""Owns a connected TCP socket, and connecting without blocking the loop: names looked up in a thread,
addresses tried in turn. Must not know messages.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from functools import partial
from typing import Any

import attrs

from corelib.background import run_in_thread
from corelib.errors import TimedOut
from corelib.notifier import Notifier
from corelib.promise import Promise
from corelib.sockets.stream_socket import StreamSocket
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.thread_loop import ThreadLoop
from corelib.turn.timer_queue import check_timeout

RawAddress = tuple[Any, ...]
"""An address of the socket module: (host, port) or (host, port, flow, scope)."""
_Found = tuple[int, RawAddress]
# The kernel's bounds, <net/tcp.h>: MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL in seconds, MAX_TCP_KEEPCNT.
_LONGEST_KEEPALIVE = 32767
_MOST_PROBES = 127


@attrs.frozen
class SocketAddress:
    """A numeric IPv4 or IPv6 address, with its `%scope` if it has one, and a port."""

    host: str
    port: int

    @classmethod
    def from_raw(cls, raw: RawAddress) -> SocketAddress:
        """Convert an address of the socket module."""
        scope = f"%{raw[3]}" if len(raw) == 4 and raw[3] else ""
        return cls(raw[0] + scope, raw[1])

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TCPSocket(StreamSocket):
    """A TCP socket over IPv4 or IPv6."""

    __slots__ = ("_peer",)

    _FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
    _KIND = "TCP"

    def __init__(self, connected: socket.socket, peer: RawAddress | None = None) -> None:
        """Wrap a connected socket; called by `connect`, `adopt` and servers."""
        super().__init__(connected)
        # Asked now: after the peer has reset the connection, the kernel does not answer any more.
        self._peer = SocketAddress.from_raw(connected.getpeername() if peer is None else peer)

    @classmethod
    def connect(cls, host: str, port: int, timeout: float | None = None) -> Promise[TCPSocket]:
        """Return a promise of a connection to a name or a numeric address.

        Never blocks: a name is looked up in a thread, and its addresses are tried one after the other, each
        until the kernel gives it up. The promise is rejected with `TimedOut` after `timeout` seconds in all,
        with `socket.gaierror` for an unknown name, or with an `OSError` (`ConnectionRefusedError` and so on)
        that says what was wrong with each address. cancel() ends the attempt.

        Raises:
            ValueError: the port is out of range, or the timeout is NaN (math.inf: never).
            TypeError: the timeout is not a number.
            NoEventLoop: the thread has no loop.
        """
        if not isinstance(port, int) or not 1 <= port <= 65535:
            raise ValueError(f"a TCP port to connect to is a number from 1 to 65535, not {port!r}")
        return _Attempt(host, port, timeout).outcome

    @property
    def local_address(self) -> SocketAddress:
        """The address of this end.

        Raises:
            OSError: EBADF after close().
        """
        return SocketAddress.from_raw(self._socket.getsockname())

    @property
    def peer_address(self) -> SocketAddress:
        """The address of the other end, even after that is gone."""
        return self._peer

    def set_no_delay(self, enabled: bool) -> None:
        """Send small pieces at once, not after those before are acknowledged (TCP_NODELAY, tcp(7))."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def set_keepalive(
        self, enabled: bool, *, idle: int | None = None, interval: int | None = None, count: int | None = None
    ) -> None:
        """Detect a peer that vanished without closing the connection.

        After `idle` seconds without data, probe it every `interval` seconds, and fail after `count` probes.
        The system's values replace None (tcp(7)).

        Raises:
            ValueError: a number that the kernel does not take; nothing was changed.
        """
        options = (
            (socket.TCP_KEEPIDLE, "idle", idle, _LONGEST_KEEPALIVE),
            (socket.TCP_KEEPINTVL, "interval", interval, _LONGEST_KEEPALIVE),
            (socket.TCP_KEEPCNT, "count", count, _MOST_PROBES),
        )
        for _, name, value, most in options:
            if value is not None and not (isinstance(value, int) and 1 <= value <= most):
                raise ValueError(f"{name} is a whole number from 1 to {most}, or None, not {value!r}")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)
        for option, _, value, _ in options:
            if value is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def _describe_peer(self) -> str:
        return f", peer {self._peer}"


def look_up(host: str, port: int, flags: int = 0) -> list[_Found]:
    """Look up the addresses of a host, with their families; blocks unless `flags` has AI_NUMERICHOST.

    Raises:
        socket.gaierror: the host is unknown; it is named.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot look up {host!r}: {error.strerror}") from error
    except ValueError as error:  # A name cannot have these characters, or be so long.
        raise socket.gaierror(socket.EAI_NONAME, f"cannot look up {host!r}: {error}") from error
    return [(family, address) for family, _, _, _, address in found]


class _Attempt:
    """An attempt to connect, kept alive by what it waits for: a thread, a notifier or a timer."""

    __slots__ = (
        "_connecting",
        "_failures",
        "_looking",
        "_notifier",
        "_port",
        "_timer",
        "_to_try",
        "outcome",
        "target",
    )

    def __init__(self, host: str, port: int, timeout: float | None) -> None:
        self.target = f"{host} port {port}"
        self.outcome: Promise[TCPSocket] = Promise()
        self._to_try: deque[_Found] = deque()
        self._failures: list[tuple[SocketAddress, OSError]] = []
        self._looking: Promise[list[_Found]] | None = None
        self._connecting: socket.socket | None = None
        self._notifier: Notifier | None = None
        self._timer: Timer | None = None
        thread = thread_loop.current()
        self.outcome.on_cancel = self._stop
        if timeout is not None:
            interval_ms = max(check_timeout(timeout), 0.0) * 1000
            self._timer = Timer.create_single_shot(interval_ms, partial(self._time_is_up, timeout))
            self._timer.start()
        self._look_up(thread, host, port)

    def _look_up(self, thread: ThreadLoop, host: str, port: int) -> None:
        try:
            found = look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            self._looking = run_in_thread(thread, look_up, host, port, pool="look-up")
            self._looking.when_resolved(self._try_all).when_rejected(self._fail_unless_stopped)
        else:
            self._try_all(found)

    def _try_all(self, found: list[_Found]) -> None:
        self._looking = None
        self._to_try.extend(found)
        self._try_next()

    def _try_next(self) -> None:
        while self._to_try:
            family, address = self._to_try[0]
            try:
                if self._is_connecting(family, address):
                    return
            except OSError as error:
                self._give_up_address(error)
        self._fail(self._why())

    def _is_connecting(self, family: int, address: RawAddress) -> bool:
        self._connecting = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = self._connecting.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        # After connect, as the kernel reports an idle socket as hung up. A socket that is connected already
        # is reported in the next turn.
        self._notifier = Notifier(self._connecting, Notifier.Type.WRITE, self._conclude)
        return True

    def _conclude(self) -> None:
        assert self._connecting is not None
        _, address = self._to_try[0]
        code = self._connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and _is_connected_to_itself(self._connecting):
            code = errno.ECONNREFUSED
        if code:
            self._give_up_address(OSError(code, os.strerror(code)))
            self._try_next()
            return
        connected, self._connecting = self._connecting, None
        self._stop()
        self.outcome.resolve(TCPSocket(connected, address))

    def _give_up_address(self, error: OSError) -> None:
        _, address = self._to_try.popleft()
        self._failures.append((SocketAddress.from_raw(address), error))
        self._close_attempt()

    def _why(self) -> OSError:
        reasons = "; ".join(f"{address.host}: {error.strerror}" for address, error in self._failures)
        return OSError(self._failures[-1][1].errno, f"cannot connect to {self.target}: {reasons}")

    def _time_is_up(self, timeout: float) -> None:
        failures = "".join(f"; {address.host}: {error.strerror}" for address, error in self._failures)
        waited_for = self._to_try[0][1][0] if self._to_try else "the name's addresses"
        self._fail(
            TimedOut(f"cannot connect to {self.target}: no answer from {waited_for} in {timeout} s{failures}")
        )

    def _fail_unless_stopped(self, error: BaseException) -> None:
        if self._looking is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._stop()
        self.outcome.reject(error)

    def _stop(self) -> None:
        if self._looking is not None:
            looking, self._looking = self._looking, None
            looking.cancel()
        if self._timer is not None:
            self._timer.stop()
        self._to_try.clear()
        self._close_attempt()

    def _close_attempt(self) -> None:
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None
        if self._connecting is not None:
            self._connecting.close()
            self._connecting = None


def _is_connected_to_itself(connected: socket.socket) -> bool:
    # TCP lets both ends open at once: if nobody listens at a port in the range for clients, the kernel may
    # give this very client that port.
    return bool(connected.getsockname() == connected.getpeername())
