"""A File closes its descriptor exactly once, whoever drops it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable

import pytest

from ipclib import File
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
    assert repr(file) == "File(empty)"
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
