"""A File closes its descriptor exactly once, whoever drops it."""

from __future__ import annotations

import os

import pytest

from ipclib import File


def _open() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_last_reference_closes() -> None:
    fd = _open()
    file = File(fd)
    assert _is_open(fd)
    del file
    assert not _is_open(fd)


def test_a_context_closes_and_a_second_close_is_harmless() -> None:
    with File(_open()) as file:
        fd = file.fileno()
    assert not _is_open(fd)
    file.close()
    with pytest.raises(ValueError, match="empty"):
        file.fileno()


def test_taking_leaves_the_file_empty() -> None:
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
def test_what_is_no_descriptor_is_refused(fd: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        File(fd)  # type: ignore[arg-type]
