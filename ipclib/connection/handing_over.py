"""Owns how a socket is passed to a process that is started: SOCKET_TAKEOVER, of SerenityOS's SystemServer.
Must not know what the socket carries.
"""

from __future__ import annotations

from collections.abc import Mapping

SOCKET_TAKEOVER = "SOCKET_TAKEOVER"
"""The environment variable, whose value is `NAME:FD NAME:FD ...`."""


def environment_with_socket(environment: Mapping[str, str], name: str, fd: int) -> dict[str, str]:
    """A copy of an environment in which a child finds the socket `fd` under a name."""
    return {**environment, SOCKET_TAKEOVER: f"{name}:{fd}"}
