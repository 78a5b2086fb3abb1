"""Owns TCPServer: a TCP socket that listens at an address, and the clients that connect to it.
Knows not how clients are accepted.
"""

from __future__ import annotations

import errno
import socket
from functools import partial

from corelib.errors import AddressInUse
from corelib.sockets.acceptor import Acceptor
from corelib.sockets.tcp_socket import RawAddress, SocketAddress, TCPSocket, look_up

# The kernel cuts it to net.core.somaxconn.
_BACKLOG = 4096
# accept(2) tells so of a client that is gone again, or of the network on the way to it.
_CLIENT_IS_GONE = frozenset(
    {
        *(errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET),
        *(errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM),
    }
)


class TCPServer(Acceptor[TCPSocket]):
    """Listens at a TCP address and hands each client to `on_accept`, in turns of the loop of the thread that
    listens. Clients wait in the kernel while `on_accept` is not set.

    When fds run out, accepting pauses for 100 ms at a time. A forked child does not listen."""

    __slots__ = ()

    @property
    def address(self) -> SocketAddress | None:
        """Where it listens, with the port that the kernel chose; None while it does not."""
        return self._listening.address if isinstance(self._listening, _ListeningTCPSocket) else None

    @property
    def port(self) -> int | None:
        """The port of `address`."""
        return None if self.address is None else self.address.port

    def listen(self, host: str, port: int) -> None:
        """Listen at a numeric IPv4 or IPv6 address: "127.0.0.1" and "::1" are this machine's alone, "0.0.0.0"
        is all that IPv4 can reach, "::" what either can. The kernel chooses a free port for 0. A name stands
        for its first address; looking it up may block.

        AddressInUse when a server lives there; OSError, with the address, when the kernel refuses it
        (PermissionError below port 1024); socket.gaierror for an unknown name; ValueError for a port that is
        none; UsageError when listening already; NoEventLoop."""
        if not 0 <= port <= 65535:
            raise ValueError(f"a TCP port to listen at is a number from 0 to 65535, not {port!r}")
        self._listen_with(partial(_ListeningTCPSocket, host, port))

    def __repr__(self) -> str:
        return f"<TCPServer at {self.address}>"


class _ListeningTCPSocket:
    """Listens from its making to close(); non-blocking."""

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

    #: A copy of the fd is all there is.
    abandon = close

    def __str__(self) -> str:
        return str(self.address)


def _bind(family: int, raw: RawAddress) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Else connections of the last server, which the kernel remembers for a minute, would keep us out. On
        # Linux a living server keeps us out all the same.
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
