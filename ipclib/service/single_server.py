"""Owns take_over_accepted_client(): this process was started for one client, and ends with it.
Must not know messages, or how the socket is found (activation.py).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from corelib import EventLoop, LocalSocket
from ipclib.connection.connection import when_closed
from ipclib.connection.connection_from_client import ConnectionFactory, ConnectionFromClient
from ipclib.connection.link import discard
from ipclib.connection.trust import admitted_uids
from ipclib.errors import TakeoverError
from ipclib.limits import Limits
from ipclib.service import activation
from ipclib.service.factory import check_factory, made_by

C = TypeVar("C", bound=ConnectionFromClient)

_ONLY_CLIENT = 1


def take_over_accepted_client(
    factory: ConnectionFactory[C],
    name: str | None = None,
    *,
    limits: Limits | None = None,
    allowed_uids: Collection[int] | None = None,
) -> C:
    """Serve the one client at the connected socket that this process was started with.

    It was started by ConnectionToServer.spawn(), by SerenityOS's SystemServer, or by systemd for a socket
    unit with Accept=yes; `name` selects one of several sockets. After the client has gone the loop quits, so
    that the process ends too. Only a process of `allowed_uids` may be the client, by default root and this
    user.

    Raises:
        NothingToTakeOver: this process was started without a socket.
        TakeoverError: there is no such socket, it is of another kind, or the client is of another user.
        corelib.NoEventLoop: this thread has no event loop.
        corelib.UsageError: the factory makes no ConnectionFromClient.
    """
    check_factory(factory)
    loop = EventLoop.current()
    socket = LocalSocket.adopt(activation.take_connected(name))
    uid = socket.peer_credentials().uid
    if uid not in admitted_uids(allowed_uids):
        socket.close()
        raise TakeoverError(f"the client is a process of uid {uid}, which is not one of allowed_uids")
    try:
        client = made_by(factory, socket, _ONLY_CLIENT, limits)
    except BaseException:
        discard(socket)
        raise
    if client.is_open:
        when_closed(client, loop.quit)
    else:
        loop.quit()
    return client
