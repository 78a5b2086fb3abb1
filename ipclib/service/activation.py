"""Owns the sockets that this process was started with: it reads them from the environment and selects one.
Must not know what they carry. The environment is that of SerenityOS's SystemServer (SOCKET_TAKEOVER) or of
systemd (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import chain, islice, repeat

import attrs

from ipclib.connection.handing_over import SOCKET_TAKEOVER
from ipclib.errors import NothingToTakeOver, TakeoverError

_LISTEN_PID = "LISTEN_PID"
_LISTEN_FDS = "LISTEN_FDS"
_LISTEN_NAMES = "LISTEN_FDNAMES"
# SD_LISTEN_FDS_START of sd_listen_fds(3), and its name for a socket without one.
_FIRST_LISTEN_FD = 3
_NAMELESS = "unknown"


@attrs.frozen
class _Inherited:
    """A descriptor that this process was started with."""

    name: str
    """Its name with the process that started this one."""
    fd: int
    variable: str
    """The environment variable that named it."""

    def __str__(self) -> str:
        return f"{self.name!r} (fd {self.fd}, from {self.variable})"


_untaken: list[_Inherited] = []
"""The sockets that the environment named and that are not taken over yet."""


def take_listening(name: str | None = None) -> socket.socket:
    """Take the listening socket that this process was started with.

    `name` is systemd's FileDescriptorName= or SystemServer's path; None selects the only socket.

    Raises:
        NothingToTakeOver: this process was started without a socket.
        TakeoverError: there is no such socket, or it is of another kind; no socket is lost.
    """
    return _take(name, listening=True)


def take_connected(name: str | None = None) -> socket.socket:
    """Take the connected socket of the client for which this process was started (Accept=yes with systemd).

    Raises:
        NothingToTakeOver, TakeoverError: as for take_listening().
    """
    return _take(name, listening=False)


def _take(name: str | None, *, listening: bool) -> socket.socket:
    _collect(os.environ)
    inherited = _chosen(name)
    taken = _socket_of(inherited)
    try:
        _require_kind(taken, inherited, listening)
    except BaseException:
        taken.detach()
        raise
    _untaken.remove(inherited)
    return taken


def _collect(environment: MutableMapping[str, str]) -> None:
    """Note the sockets that the environment names, and remove them from it, so that no child takes them."""
    found = []
    # Each is looked at before the next is noted: a count may be any number.
    for inherited in chain(_from_system_server(environment), _from_systemd(environment)):
        try:
            os.set_inheritable(inherited.fd, False)
        except OSError as error:
            raise TakeoverError(
                f"{inherited} is not open: the process that started this one, or a wrapper, has closed it"
            ) from error
        found.append(inherited)
    if found:
        for variable in (SOCKET_TAKEOVER, _LISTEN_PID, _LISTEN_FDS, _LISTEN_NAMES):
            environment.pop(variable, None)
    _untaken.extend(found)


def _from_system_server(environment: Mapping[str, str]) -> Iterator[_Inherited]:
    for entry in environment.get(SOCKET_TAKEOVER, "").split():
        name, _, fd = entry.rpartition(":")
        yield _Inherited(name, _number(fd, SOCKET_TAKEOVER, "NAME:FD NAME:FD ..."), SOCKET_TAKEOVER)


def _from_systemd(environment: Mapping[str, str]) -> Iterator[_Inherited]:
    # Sockets for another process are an error only if there are none for this one; see _none().
    if environment.get(_LISTEN_PID) != str(os.getpid()):
        return
    count = _number(environment.get(_LISTEN_FDS, ""), _LISTEN_FDS, "the number of sockets")
    names = chain(environment.get(_LISTEN_NAMES, "").split(":"), repeat(_NAMELESS))
    for fd, name in enumerate(islice(names, count), _FIRST_LISTEN_FD):
        yield _Inherited(name or _NAMELESS, fd, _LISTEN_FDS)


def _number(text: str, variable: str, form: str) -> int:
    # int() alone would also take "+3" and " 3". No process has so many descriptors that seven digits are too
    # few, and C has no room for a much larger number.
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise TakeoverError(f"${variable} must be {form}, not {os.environ.get(variable, '')!r}")
    return int(text)


def _chosen(name: str | None) -> _Inherited:
    if not _untaken:
        raise _none()
    if name is None:
        if len(_untaken) > 1:
            raise TakeoverError(f"there are several sockets to take over; pass the name of one: {_names()}")
        return _untaken[0]
    for inherited in _untaken:
        if inherited.name == name:
            return inherited
    raise TakeoverError(f"there is no socket {name!r} to take over; there are: {_names()}")


def _none() -> TakeoverError:
    pid = os.environ.get(_LISTEN_PID, "")
    if _LISTEN_FDS in os.environ and pid != str(os.getpid()):
        return TakeoverError(
            f"the sockets are for process {pid!r} (${_LISTEN_PID}), and this is {os.getpid()}: a wrapper "
            "between systemd and this program must exec it, and a child is passed sockets by its own parent"
        )
    return NothingToTakeOver(
        f"this process was started without a socket (neither ${SOCKET_TAKEOVER} nor ${_LISTEN_FDS} is set): "
        "let systemd, SystemServer or ConnectionToServer.spawn() start it"
    )


def _names() -> str:
    return ", ".join(map(str, _untaken))


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
            f"{inherited} does not listen, it is one client's: set Accept=no in systemd's socket unit, "
            "or call take_over_accepted_client()"
        )
    if listens and not listening:
        raise TakeoverError(
            f"{inherited} listens, it is no client's: set Accept=yes in systemd's socket unit, "
            "or call MultiServer.take_over()"
        )
    if not listening:
        _require_peer(taken, inherited)


def _require_peer(taken: socket.socket, inherited: _Inherited) -> None:
    try:
        taken.getpeername()
    except OSError as error:
        raise TakeoverError(f"{inherited} is connected to no client") from error
