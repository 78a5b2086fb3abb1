"""Sockets that a process is started with: how its environment tells of them, and which one is asked for.

Knows the ways of SerenityOS's SystemServer (SOCKET_TAKEOVER) and of systemd (sd_listen_fds(3)), and nothing
of what the sockets carry.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping

import attrs

from ipclib.errors import NothingToTakeOver, TakeoverError

_TAKEOVER = "SOCKET_TAKEOVER"
_LISTEN_PID = "LISTEN_PID"
_LISTEN_FDS = "LISTEN_FDS"
_LISTEN_NAMES = "LISTEN_FDNAMES"
# SD_LISTEN_FDS_START of sd_listen_fds(3), and the name of what has none.
_FIRST_LISTEN_FD = 3
_NAMELESS = "unknown"


@attrs.frozen
class _Inherited:
    """A descriptor that this process was started with, and what its starter calls it."""

    name: str
    fd: int
    told_by: str

    def __str__(self) -> str:
        return f"{self.name!r} (fd {self.fd}, from {self.told_by})"


#: What was found in the environment and is not taken over yet.
_waiting: list[_Inherited] = []


def take_listening(name: str | None = None) -> socket.socket:
    """The listening socket that this process was started with.

    `name` is the socket's name with systemd (FileDescriptorName=) and its path with SystemServer; without one
    there must be one socket only. Raises TakeoverError, and whatever was inherited stays to be taken over.
    """
    return _take(name, listening=True)


def take_connected(name: str | None = None) -> socket.socket:
    """The socket of the one client that this process was started for (Accept=yes with systemd); as above."""
    return _take(name, listening=False)


def handing_over(environment: Mapping[str, str], name: str, fd: int) -> dict[str, str]:
    """An environment in which a child finds the socket `fd`, as from SystemServer."""
    return {**environment, _TAKEOVER: f"{name}:{fd}"}


def _take(name: str | None, *, listening: bool) -> socket.socket:
    _collect(os.environ)
    inherited = _chosen(name)
    taken = _socket_of(inherited)
    try:
        _require_kind(taken, inherited, listening)
    except BaseException:
        taken.detach()
        raise
    _waiting.remove(inherited)
    return taken


def _collect(environment: MutableMapping[str, str]) -> None:
    """Note what the environment tells of, and take it out: our children were not passed these sockets."""
    found = [*_from_system_server(environment), *_from_systemd(environment)]
    for inherited in found:
        try:
            os.set_inheritable(inherited.fd, False)
        except OSError as error:
            raise TakeoverError(
                f"{inherited} is not open: who started this process, or a wrapper between, has closed it"
            ) from error
    if found:
        for variable in (_TAKEOVER, _LISTEN_PID, _LISTEN_FDS, _LISTEN_NAMES):
            environment.pop(variable, None)
    _waiting.extend(found)


def _from_system_server(environment: Mapping[str, str]) -> list[_Inherited]:
    found = []
    for entry in environment.get(_TAKEOVER, "").split():
        name, _, fd = entry.rpartition(":")
        found.append(_Inherited(name, _number(fd, _TAKEOVER, "NAME:FD NAME:FD ..."), _TAKEOVER))
    return found


def _from_systemd(environment: Mapping[str, str]) -> list[_Inherited]:
    # Sockets for another process are no mistake as long as there are others for us; see _none().
    if environment.get(_LISTEN_PID) != str(os.getpid()):
        return []
    count = _number(environment.get(_LISTEN_FDS, ""), _LISTEN_FDS, "the number of sockets")
    names = environment.get(_LISTEN_NAMES, "").split(":")
    names += [_NAMELESS] * (count - len(names))
    return [
        _Inherited(name or _NAMELESS, fd, _LISTEN_FDS)
        for fd, name in enumerate(names[:count], _FIRST_LISTEN_FD)
    ]


def _number(text: str, variable: str, form: str) -> int:
    # Not int(), which would take "+3" and " 3". No process has descriptors beyond five digits by default, and
    # a count beyond them would only fill memory.
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise TakeoverError(f"${variable} is to be {form}, not {os.environ.get(variable, '')!r}")
    return int(text)


def _chosen(name: str | None) -> _Inherited:
    if not _waiting:
        raise _none()
    if name is None:
        if len(_waiting) > 1:
            raise TakeoverError(f"there are several sockets to take over, say which by its name: {_names()}")
        return _waiting[0]
    for inherited in _waiting:
        if inherited.name == name:
            return inherited
    raise TakeoverError(f"there is no socket {name!r} to take over, but {_names()}")


def _none() -> TakeoverError:
    pid = os.environ.get(_LISTEN_PID, "")
    if _LISTEN_FDS in os.environ and pid != str(os.getpid()):
        return TakeoverError(
            f"the sockets are for process {pid!r} (${_LISTEN_PID}), and this is {os.getpid()}: a wrapper "
            "between systemd and this program must exec it, and a child is passed sockets by its own parent"
        )
    return NothingToTakeOver(
        f"this process was started without a socket (neither ${_TAKEOVER} nor ${_LISTEN_FDS} is set): "
        "let systemd, SystemServer or ConnectionToServer.spawn() start it"
    )


def _names() -> str:
    return ", ".join(map(str, _waiting))


def _socket_of(inherited: _Inherited) -> socket.socket:
    try:
        return socket.socket(fileno=inherited.fd)
    except OSError as error:
        raise TakeoverError(f"{inherited} is not a socket") from error


def _require_kind(taken: socket.socket, inherited: _Inherited, listening: bool) -> None:
    if taken.family != socket.AF_UNIX or taken.type != socket.SOCK_STREAM:
        raise TakeoverError(f"{inherited} is not a Unix stream socket (systemd: ListenStream=/a/path)")
    listens = bool(taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if listening and not listens:
        raise TakeoverError(
            f"{inherited} does not listen: it is one client's (systemd: Accept=no), "
            "or take_over_accepted_client() is meant"
        )
    if listens and not listening:
        raise TakeoverError(
            f"{inherited} listens, it is no client's (systemd: Accept=yes), "
            "or MultiServer.take_over() is meant"
        )
    if not listening:
        _require_peer(taken, inherited)


def _require_peer(taken: socket.socket, inherited: _Inherited) -> None:
    try:
        taken.getpeername()
    except OSError as error:
        raise TakeoverError(f"{inherited} is connected to nobody") from error
