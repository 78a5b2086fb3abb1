"""Owns TCPServer: a TCP socket that listens at an address, and the clients that connect to it.
Must not know how clients are accepted.
"""

from __future__ import annotations

import errno
import socket
from functools import partial

from corelib.errors import AddressInUse
from corelib.sockets.acceptor import Acceptor
from corelib.sockets.tcp_socket import RawAddress, SocketAddress, TCPSocket, look_up
from corelib.turn.not_copied import NotCopied

# The kernel cuts it to net.core.somaxconn.
_BACKLOG = 4096
# accept(2) fails so for a client that is gone again, or for the network between.
_CLIENT_IS_GONE = frozenset(
    {
        *(errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET),
        *(errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM),
    }
)


class TCPServer(Acceptor[TCPSocket]):
    """Listens at a TCP address and passes each client to `on_accept`.

    It calls in turns of the loop of the thread that listens. Clients wait in the kernel while `on_accept` is
    not set. When fds run out, accepting pauses for 100 ms at a time. A forked child does not listen."""

    __slots__ = ()

    @property
    def address(self) -> SocketAddress | None:
        """The address where it listens, with the port that the kernel chose; None while it does not."""
        return self._listening.address if isinstance(self._listening, _ListeningTCPSocket) else None

    @property
    def port(self) -> int | None:
        """The port of `address`."""
        return None if self.address is None else self.address.port

    def listen(self, host: str, port: int) -> None:
        """Listen at a numeric IPv4 or IPv6 address.

        Only this machine reaches "127.0.0.1" and "::1"; "0.0.0.0" listens to all of IPv4, "::" to both. For
        port 0 the kernel chooses a free one. A name stands for its first address; looking it up may block.

        Raises:
            AddressInUse: another server is alive there.
            OSError: the kernel refuses the address, which is named (PermissionError below port 1024).
            socket.gaierror: the name is unknown.
            ValueError: the port is out of range.
            UsageError: it is listening already.
            NoEventLoop: the thread has no loop.
        """
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ValueError(f"a TCP port to listen at is a number from 0 to 65535, not {port!r}")
        self._listen_with(partial(_ListeningTCPSocket, host, port))


class _ListeningTCPSocket(NotCopied):
    """A listening TCP socket; non-blocking."""

    __slots__ = ("_socket", "address")

    def __init__(self, host: str, port: int) -> None:
        family, raw = look_up(host, port)[0]
        self._socket = _bind(family, raw)
        self.address = SocketAddress.from_raw(self._socket.getsockname())

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> TCPSocket | None:
        try:
            accepted, peer = self._socket.accept()
        except OSError as error:
            if isinstance(error, BlockingIOError) or error.errno in _CLIENT_IS_GONE:
                return None
            raise
        accepted.setblocking(False)
        return TCPSocket(accepted, peer)

    def close(self) -> None:
        self._socket.close()

    abandon = close
    """In a forked child there is nothing to close but a copy of the fd."""

    def __str__(self) -> str:
        return str(self.address)


def _bind(family: int, raw: RawAddress) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Otherwise connections of the last server, which the kernel remembers for a minute, would keep us
        # out. On Linux a living server still does.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, False)
        listening.bind(raw)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        address = SocketAddress.from_raw(raw)
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"{address} is served already: stop that server, or choose another port (0: any free one)"
            ) from error
        raise OSError(error.errno, f"cannot listen at {address}: {error.strerror}") from error
    return listening
