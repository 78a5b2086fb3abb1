"""Owns serve(): the main program of a service, from its socket to the exit code of the process.
Must not know messages, or how clients are accepted.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Collection
from typing import TypeVar

from corelib import EventLoop
from ipclib.connection.connection_from_client import ConnectionFactory, ConnectionFromClient
from ipclib.connection.seconds import check_seconds
from ipclib.limits import Limits
from ipclib.service.multi_server import MultiServer

C = TypeVar("C", bound=ConnectionFromClient)

# The second is what a shell reports for a program that Ctrl-C ended.
_EXIT_CODES = {signal.SIGTERM: 0, signal.SIGINT: 128 + signal.SIGINT}


def serve(
    factory: ConnectionFactory[C],
    where: str | os.PathLike[str] | socket.socket,
    *,
    limits: Limits | None = None,
    allowed_uids: Collection[int] | None = None,
    drain: float = 5.0,
) -> int:
    """Serve clients at a socket path until SIGTERM or Ctrl-C; return the code to exit with.

    After the signal no new clients are accepted, and running handlers have `drain` seconds to finish and
    answer; another Ctrl-C ends that at once. The code is 0 after SIGTERM, 130 after Ctrl-C, and otherwise
    what was given to EventLoop.quit(). The arguments are those of MultiServer.

    Raises:
        corelib.SocketPathError: the path cannot be used.
        corelib.AddressInUse: a live server listens there.
        corelib.UsageError: the factory makes no ConnectionFromClient, or this is not the main thread.
        ValueError, TypeError: `drain` is not a number of seconds from 0 on, or math.inf.
    """
    check_seconds("drain", drain)
    with EventLoop() as loop:

        def stop(signo: int) -> None:
            loop.quit(_EXIT_CODES[signal.Signals(signo)])

        handlers = [loop.register_signal(signo, stop) for signo in _EXIT_CODES]
        try:
            server = MultiServer(factory, where, limits=limits, allowed_uids=allowed_uids)
            try:
                code = loop.exec()
            except BaseException:
                server.close()
                raise
        finally:
            for handler in handlers:
                loop.unregister_signal(handler)
        try:
            server.close(drain)
        except KeyboardInterrupt:
            server.close()
            return _EXIT_CODES[signal.SIGINT]
        return code
