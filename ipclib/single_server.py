"""Serves the one client that this process was started for.

Owns the take-over and the process's end with its client; how the socket is found is activation.py's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from corelib import EventLoop, LocalSocket
from ipclib import activation
from ipclib.connection_from_client import ConnectionFactory, ConnectionFromClient, admitted_uids
from ipclib.errors import TakeoverError
from ipclib.limits import Limits

C = TypeVar("C", bound=ConnectionFromClient)

_ONLY_CLIENT = 1


def take_over_accepted_client(
    factory: ConnectionFactory[C],
    name: str | None = None,
    *,
    limits: Limits | None = None,
    allowed_uids: Collection[int] | None = None,
) -> C:
    """Serve the client at the connected socket that this process was started with: by ConnectionToServer's
    spawn(), by SerenityOS's SystemServer, or by systemd for a socket unit with Accept=yes.

    When the client goes, the loop is told to quit, so that the process ends with it. The client must be a
    process of `allowed_uids`: by default root's or this user's. Raises TakeoverError for what is not such a
    socket, and its NothingToTakeOver where this process was started without any; NoEventLoop.
    """
    loop = EventLoop.current()
    socket = LocalSocket.adopt(activation.take_connected(name))
    uid = socket.peer_credentials().uid
    if uid not in admitted_uids(allowed_uids):
        socket.close()
        raise TakeoverError(f"the client is a process of uid {uid}, which is not one of allowed_uids")
    client = factory(socket, _ONLY_CLIENT, limits=limits)
    if client.is_open:
        client._link.when_closed = partial(_end, client._link.when_closed, loop)
    else:
        loop.quit()
    return client


def _end(die: Callable[[], None], loop: EventLoop) -> None:
    loop.quit()
    die()
