"""A File closes its descriptor exactly once, whoever drops it."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket
from ipclib import Connection, ConnectionFromClient, File, MultiServer, gfx
from ipclib.values.file import Duplicate


def _open() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_last_reference_closes_with_a_warning() -> None:
    fd = _open()
    file = File(fd)
    assert _is_open(fd)
    with pytest.warns(ResourceWarning, match=rf"^File\({fd}\) was dropped without close\(\) or take_fd\(\)$"):
        del file
    assert not _is_open(fd)


def test_the_warning_names_the_message_that_brought_the_file() -> None:
    fd = _open()
    file = File(fd)
    file.brought_by = "ClockServer.take_files"
    with pytest.warns(
        ResourceWarning, match=rf"^File\({fd}, brought by ClockServer.take_files\) was dropped"
    ):
        del file


def test_a_warning_that_is_an_error_closes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda refused: unraisable.append(refused.exc_type))
    fd = _open()
    file = File(fd)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del file
    assert unraisable == [ResourceWarning]
    assert not _is_open(fd)


@pytest.mark.parametrize("end", [File.close, lambda file: os.close(file.take_fd())])
def test_a_file_that_was_closed_or_taken_gives_no_warning(end: Callable[[File], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        file = File(_open())
        end(file)
        del file


def test_a_duplicate_leaves_the_original_and_may_be_dropped() -> None:
    fd = _open()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        duplicate = Duplicate(fd)
        number = duplicate.fileno()
        assert not os.get_inheritable(number)
        del duplicate
    assert not _is_open(number)
    os.close(fd)


def test_a_context_closes_and_a_second_close_is_harmless() -> None:
    with File(_open()) as file:
        fd = file.fileno()
    assert not _is_open(fd)
    file.close()
    with pytest.raises(ValueError, match="empty"):
        file.fileno()


def test_a_file_whose_descriptor_was_taken_is_empty() -> None:
    file = File(_open())
    fd = file.take_fd()
    file.close()
    assert _is_open(fd)
    assert repr(file) == "File(taken or sent)"
    os.close(fd)


def test_a_clone_is_independent_and_not_inherited() -> None:
    with File(_open()) as file:
        clone = file.clone()
    assert not os.get_inheritable(clone.fileno())
    clone.close()


@pytest.mark.parametrize(("fd", "error"), [(-1, ValueError), (True, TypeError), ("3", TypeError)])
def test_a_number_that_is_no_descriptor_is_refused(fd: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        File(fd)  # type: ignore[arg-type]


def test_a_path_is_opened_in_a_mode_of_python(tmp_path: Path) -> None:
    path = tmp_path / "note"
    with File.open(path, "x") as file:
        assert not os.get_inheritable(file.fileno())
        os.write(file.fileno(), b"one")
    with File.open(str(path), "a") as file:
        os.write(file.fileno(), b"two")
    with File.open(os.fsencode(path)) as file:
        assert os.read(file.fileno(), 10) == b"onetwo"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file.fileno(), b"")
    with pytest.raises(FileExistsError):
        File.open(path, "x")
    with pytest.raises(ValueError, match="mode"):
        File.open(path, "z")
    with pytest.raises(TypeError, match="takes a path"):
        File.open(3)  # type: ignore[arg-type]


def test_a_python_file_and_a_socket_keep_their_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "note"
    with path.open("w") as python:
        python.write("not yet flushed")
        with File.from_file(python) as file:
            assert file.fileno() != python.fileno()
            assert not os.get_inheritable(file.fileno())
            assert path.read_text() == "not yet flushed"
        python.write(", and more")
    assert path.read_text() == "not yet flushed, and more"
    ours, theirs = socket.socketpair()
    with ours, theirs, File.from_file(ours) as file:
        os.write(file.fileno(), b"hi")
        assert theirs.recv(10) == b"hi"
        file.close()
        ours.send(b"still open")
    with pytest.raises(ValueError, match="closed"):
        File.from_file(python)


def test_the_representation_tells_the_state() -> None:
    fd = _open()
    file = File(fd)
    assert repr(file) == f"File({fd})"
    file.close()
    assert repr(file) == "File(closed)"


def test_owners_of_descriptors_can_be_neither_copied_nor_pickled(loop: EventLoop, tmp_path: Path) -> None:
    file = File(_open())
    fd = file.fileno()
    sockets = LocalSocket.pair()
    connections = [Connection(end) for end in sockets]
    server = MultiServer(ConnectionFromClient, str(tmp_path / "socket"))
    owners: list[Any] = [file, gfx.ShareableBitmap.create(1, 1), server, *connections]
    for owner in owners:
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps, lambda owner: copy.deepcopy([owner])):
            with pytest.raises(
                TypeError, match=f"{type(owner).__name__} objects cannot be copied or pickled"
            ):
                duplicate(owner)
    file.close()
    assert not _is_open(fd)
    for connection in connections:
        connection.shutdown()
    server.close()
