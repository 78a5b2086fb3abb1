"""Owns how the compiler's commands read the interface of a running service, as `ipcc describe SOCKET` does.
Must not know what they do with it.
"""

from __future__ import annotations

from ipctools.connecting import ask_interface, reach, socket_path


def interface_of(path: str) -> str:
    """Ask the service at a path for its interface, as `.ipc` text.

    Raises:
        Failure: the service cannot be reached or understood.
    """
    socket = reach(path)
    try:
        text, early = ask_interface(socket, socket_path(path))
    finally:
        socket.close()
    early.drop()
    return text
