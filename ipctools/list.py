"""Owns the command `ipcc list`: which services there are in a folder, and what is known about each.
Must not know messages. What the kernel does not tell is shown as unknown.
"""

from __future__ import annotations

import os
import pwd
import stat
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import attrs

from corelib import LocalSocket
from ipcc.terminal import complain, json_text, print_text
from ipctools.connecting import ask_interface, reach, socket_path
from ipctools.display import printable
from ipctools.failures import Code, Failure, wrong
from ipctools.interface import Interface
from ipctools.options import seconds

_SESSION_FOLDER = "/tmp/session/%sid"
_PATIENCE = 1.0
_LISTENS = 0x10000
"""The flag __SO_ACCEPTCON in /proc/net/unix (proc(5))."""
_CONNECTED = "03"
"""The state SS_CONNECTED in /proc/net/unix."""
_STATES = {
    Code.NO_SERVICE: "stale",
    Code.NOT_ALLOWED: "not allowed",
    Code.NOT_A_SERVICE: "not a service",
    Code.TIMEOUT: "silent",
}


@attrs.frozen
class Row:
    """What is known about one socket. What is unknown is None."""

    path: str
    state: str
    """`alive` if the service described itself."""
    pid: int | None = None
    user: str | None = None
    command: str | None = None
    endpoints: tuple[str, ...] | None = None
    clients: int | None = None
    """Connections to the path that the kernel lists, also those that are not accepted yet."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.description = "List the services of this session, or those with a socket in a folder."
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help=f"default: {_SESSION_FOLDER.replace('%', '%%')}"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_PATIENCE,
        metavar="SECONDS",
        help="how long each service may take to describe itself (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run(options: Namespace) -> int:
    """Print a row for each socket."""
    folders = options.folders or [_SESSION_FOLDER]
    paths = [path for folder in folders for path in _sockets_in(folder, is_given=bool(options.folders))]
    # Counted before anything connects, so that our own connections are not among them.
    clients = connections()
    rows = [_row(path, clients, options.timeout) for path in sorted(set(paths))]
    if options.json:
        print_text(json_text([attrs.asdict(row) for row in rows]))
    elif rows:
        print_text(_table(rows))
    else:
        complain(f"no services in {', '.join(map(socket_path, folders))}")
    return 0


def _sockets_in(folder: str, *, is_given: bool) -> Iterator[str]:
    folder = socket_path(folder)
    if not os.path.isdir(folder):
        if is_given:
            raise wrong(f"there is no folder {folder}: give a folder of sockets, or none for the session's")
        return
    for where, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if _is_socket(path):
                yield path


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:  # It has gone meanwhile.
        return False


def _row(path: str, clients: dict[str, int], timeout: float) -> Row:
    try:
        socket = reach(path)
    except Failure as failure:
        return Row(path, _STATES.get(Code(failure.code), "unknown"))
    try:
        return _row_of_open(path, socket, clients.get(path), timeout)
    finally:
        socket.close()


def _row_of_open(path: str, socket: LocalSocket, clients: int | None, timeout: float) -> Row:
    peer = socket.peer_credentials()
    state, endpoints = "alive", None
    try:
        text, early = ask_interface(socket, path, timeout)
        early.drop()
        endpoints = tuple(endpoint.name for endpoint in Interface.described(text, path).called)
    except Failure as failure:
        state = _STATES.get(Code(failure.code), "unknown")
    return Row(path, state, peer.pid, _user(peer.uid), _command(peer.pid), endpoints, clients)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _command(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except OSError:  # It has ended, or is of another user or container.
        return None
    return printable(" ".join(os.fsdecode(word) for word in words)) or None


def connections() -> dict[str, int]:
    """For each path of a listening socket, how many connections to it the kernel lists.

    /proc/net/unix has the sockets of this network namespace, each accepted one under the path of the
    listening one, as the service wrote it. A path that is not listed as listening is not here.
    """
    listening: set[str] = set()
    connected: dict[str, int] = {}
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
            rows = [line.rstrip("\n").split(maxsplit=7) for line in table][1:]
    except OSError:
        return {}
    for row in rows:
        if len(row) < 8:
            continue
        path = row[7]
        if int(row[3], 16) & _LISTENS:
            listening.add(path)
        elif row[5] == _CONNECTED:
            connected[path] = connected.get(path, 0) + 1
    return {path: connected.get(path, 0) for path in listening}


def _table(rows: list[Row]) -> str:
    cells: list[tuple[str, ...]] = [("SOCKET", "STATE", "PID", "USER", "CLIENTS", "ENDPOINTS", "COMMAND")]
    for row in rows:
        endpoints = None if row.endpoints is None else " ".join(row.endpoints)
        facts = (row.pid, row.user, row.clients, endpoints, row.command)
        pid, *rest = ("-" if fact is None else str(fact) for fact in facts)
        cells.append((printable(row.path), row.state, pid, *rest))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in cells
    )
