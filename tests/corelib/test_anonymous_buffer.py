"""Owns the tests of shared memory: writes that others see, and memory that cannot kill its reader.
Must not know messages.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corelib import AnonymousBuffer, BufferRefused, CorelibError, UsageError


def _memory(content: bytes, flags: int = 0) -> int:
    fd = os.memfd_create("test", flags)
    os.write(fd, content)
    return fd


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_buffer_is_zeros_at_first_and_its_creator_writes_it() -> None:
    with AnonymousBuffer.create(10_000) as buffer:
        assert buffer.is_valid
        assert buffer.size == len(buffer.data) == 10_000
        assert not any(buffer.data)
        buffer.data[9_998:] = b"ab"
        assert bytes(buffer.data[-3:]) == b"\0ab"
        assert os.pread(buffer.fd, 2, 9_998) == b"ab"
        fd = buffer.fd
    assert not _is_open(fd)
    assert not buffer.is_valid


def test_writes_of_one_process_are_seen_by_another() -> None:
    with AnonymousBuffer.create(6) as buffer:
        code = f"import mmap; mmap.mmap({buffer.fd}, 6)[:] = b'shared'"
        subprocess.run([sys.executable, "-c", code], pass_fds=[buffer.fd], check=True)
        assert bytes(buffer.data) == b"shared"


def test_an_empty_buffer_is_valid_and_an_invalid_one_is_empty() -> None:
    with AnonymousBuffer.create(0) as empty:
        assert empty.is_valid
        assert bytes(empty.data) == b""
    none = AnonymousBuffer()
    assert not none.is_valid
    assert none.size == 0
    with pytest.raises(UsageError, match="invalid"):
        none.data  # noqa: B018
    none.close()


@pytest.mark.parametrize("size", [-1, 1 << 32])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="0 to 4294967295"):
        AnonymousBuffer.create(size)


def test_a_view_outlives_its_buffer() -> None:
    buffer = AnonymousBuffer.create(3)
    view = buffer.data
    buffer.close()
    buffer.close()
    view[:] = b"abc"
    assert bytes(view) == b"abc"


def test_the_last_reference_closes_the_fd() -> None:
    buffer = AnonymousBuffer.create(3)
    fd = buffer.fd
    del buffer
    assert not _is_open(fd)


def test_a_created_buffer_never_shrinks() -> None:
    with AnonymousBuffer.create(100) as buffer, pytest.raises(PermissionError):
        os.ftruncate(buffer.fd, 0)


def test_received_memory_is_sealed_and_then_shared() -> None:
    fd = _memory(b"0123456789", os.MFD_ALLOW_SEALING)
    theirs = os.dup(fd)
    with AnonymousBuffer.create_from_fd(fd, 4) as buffer:
        assert buffer.fd == fd
        with pytest.raises(PermissionError):
            os.ftruncate(theirs, 0)
        os.pwrite(theirs, b"new", 0)
        assert bytes(buffer.data) == b"new3"
        buffer.data[3] = ord("!")
        assert os.pread(theirs, 4, 0) == b"new!"
    os.close(theirs)


def test_memory_that_cannot_be_sealed_is_copied() -> None:
    fd = _memory(b"0123456789")
    theirs = os.dup(fd)
    with AnonymousBuffer.create_from_fd(fd, 10) as buffer:
        assert not _is_open(fd)
        os.ftruncate(theirs, 0)
        assert bytes(buffer.data) == b"0123456789"
    os.close(theirs)


def test_memory_sealed_against_writing_is_mapped_for_reading() -> None:
    fd = _memory(b"0123456789", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    with AnonymousBuffer.create_from_fd(fd, 10) as buffer:
        assert buffer.data.readonly
        assert bytes(buffer.data) == b"0123456789"


@pytest.mark.parametrize("flags", [0, os.MFD_ALLOW_SEALING])
@pytest.mark.parametrize("size", [11, 0xFFFFFFFF, -1, 1 << 40])
def test_a_size_beyond_the_file_is_refused_and_the_fd_stays_the_callers(flags: int, size: int) -> None:
    fd = _memory(b"0123456789", flags)
    with pytest.raises(BufferRefused) as caught:
        AnonymousBuffer.create_from_fd(fd, size)
    assert isinstance(caught.value, CorelibError)
    os.close(fd)


def test_a_copy_is_bounded_by_max_copied() -> None:
    fd = _memory(b"0123456789")
    with pytest.raises(BufferRefused, match="10 bytes of memory that can still shrink; at most 9"):
        AnonymousBuffer.create_from_fd(fd, 10, max_copied=9)
    os.close(fd)


def test_an_fd_that_is_not_memory_is_refused(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    folder = os.open(tmp_path, os.O_RDONLY)
    for fd in (reading, writing, folder):
        with pytest.raises(BufferRefused, match="neither of memory nor of a file"):
            AnonymousBuffer.create_from_fd(fd, 0)
        os.close(fd)
    with pytest.raises(BufferRefused, match="cannot be used"):
        AnonymousBuffer.create_from_fd(reading, 1)


def test_memory_is_sealed_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = _memory(b"0123456789", os.MFD_ALLOW_SEALING)
    fstat = os.fstat
    seals: list[int] = []

    def note_seals(measured: int) -> os.stat_result:
        if measured == fd:
            seals.append(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
        return fstat(measured)

    monkeypatch.setattr(os, "fstat", note_seals)
    with AnonymousBuffer.create_from_fd(fd, 10):
        assert seals == [fcntl.F_SEAL_SHRINK]


def test_an_fd_for_reading_shows_later_writes() -> None:
    fd = _memory(b"0123456789", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    with AnonymousBuffer.create_from_fd(reading, 10) as buffer:
        view = buffer.data
        assert view.readonly
        os.pwrite(fd, b"new", 0)
        assert bytes(view) == b"new3456789"
    os.close(fd)


def test_an_fd_for_writing_is_refused() -> None:
    fd = _memory(b"0123456789", os.MFD_ALLOW_SEALING)
    writing = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    with pytest.raises(BufferRefused, match="only be written"):
        AnonymousBuffer.create_from_fd(writing, 10)
    os.close(writing)
    os.close(fd)


def test_huge_pages_are_copied_as_they_can_vanish_even_if_sealed() -> None:
    size = 2 << 20
    try:
        fd = os.memfd_create("huge", os.MFD_HUGETLB | os.MFD_ALLOW_SEALING | os.MFD_HUGE_2MB)
        os.ftruncate(fd, size)
    except OSError:
        pytest.skip("this kernel has no huge pages of 2 MiB")
    with pytest.raises(BufferRefused, match="at most 4096 are copied"):
        AnonymousBuffer.create_from_fd(fd, size, max_copied=4096)
    with AnonymousBuffer.create_from_fd(fd, size) as buffer:
        assert not _is_open(fd)
        assert not any(buffer.data[:4096])


def test_a_copy_of_memory_that_shrinks_meanwhile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = _memory(bytes(3 << 20))
    preadv = os.preadv

    def shrink_and_read(fd: int, buffers: list[memoryview], at: int) -> int:
        os.ftruncate(fd, 3 << 19)
        return preadv(fd, buffers, at)

    monkeypatch.setattr(os, "preadv", shrink_and_read)
    with pytest.raises(BufferRefused, match="shrank to 1572864 bytes while it was copied"):
        AnonymousBuffer.create_from_fd(fd, 3 << 20)
    os.close(fd)


def test_later_writes_of_a_peer_are_seen_in_shared_memory_and_not_in_a_copy() -> None:
    for flags, seen in ((os.MFD_ALLOW_SEALING, b"after"), (0, b"start")):
        fd = _memory(b"start", flags)
        theirs = os.dup(fd)
        with AnonymousBuffer.create_from_fd(fd, 5) as buffer:
            os.pwrite(theirs, b"after", 0)
            assert bytes(buffer.data) == seen
        os.close(theirs)


def test_memory_of_a_trusted_process_is_mapped_although_it_can_shrink() -> None:
    fd = os.memfd_create("unsealed", os.MFD_CLOEXEC)
    os.ftruncate(fd, 100)
    with AnonymousBuffer.create_from_fd(fd, 100, max_copied=0, trusted=True) as buffer:
        assert buffer.fd == fd
        assert buffer.may_shrink
        os.pwrite(fd, b"seen", 0)
        assert bytes(buffer.data[:4]) == b"seen"
    with AnonymousBuffer.create(5) as sealed:
        assert not sealed.may_shrink
    wrong = os.memfd_create("too small", os.MFD_CLOEXEC)
    with pytest.raises(BufferRefused):
        AnonymousBuffer.create_from_fd(wrong, 100, trusted=True)
    os.close(wrong)
