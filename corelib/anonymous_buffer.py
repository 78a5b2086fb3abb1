"""Owns shared memory: one memfd, its size and its mapping, and the checks that make another's safe to read.
Must not know messages, only fds and bytes.
"""

from __future__ import annotations

import fcntl
import mmap
import operator
import os
import stat
from types import TracebackType
from typing import Self

from corelib.errors import BufferRefused, UsageError
from corelib.turn.not_copied import NotCopied

LARGEST_BUFFER = 0xFFFFFFFF
"""The largest size in bytes, as sizes are u32 on the wire."""

_COPIED_AT_ONCE = 1 << 20


class AnonymousBuffer(NotCopied):
    """Memory that several processes can map: each sees the writes of the others.

    `AnonymousBuffer()` is invalid: it stands for no buffer. A valid one owns its fd until close(), the end of
    a `with`, or the last reference. Any process that has it can write to it at any time, so copy data first,
    then check the copy."""

    __slots__ = ("_fd", "_mapping", "_size", "may_shrink")

    def __init__(self) -> None:
        self._fd = -1
        self._size = 0
        self._mapping: mmap.mmap | None = None
        self.may_shrink = False
        """Whether another process can shrink it, which kills this one when it reads on."""

    @classmethod
    def create(cls, size: int) -> AnonymousBuffer:
        """A buffer of `size` zero bytes, which no process can shrink or grow.

        Raises:
            UsageError: the size is not 0 to 4 GiB - 1.
            TypeError: the size is not an integer.
        """
        size = operator.index(size)
        if not 0 <= size <= LARGEST_BUFFER:
            raise UsageError(f"a buffer has 0 to {LARGEST_BUFFER} bytes, not {size}")
        fd = os.memfd_create("AnonymousBuffer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        buffer = cls._own(fd, size)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return buffer

    @classmethod
    def create_from_fd(
        cls, fd: int, size: int, max_copied: int = LARGEST_BUFFER, *, trusted: bool = False
    ) -> AnonymousBuffer:
        """A buffer of another process's memory; it takes over `fd`.

        Reading mapped memory past the end of its file kills a process (SIGBUS, mmap(2)), so the file is first
        sealed against shrinking, then measured. A file that cannot be sealed is copied, at most `max_copied`
        bytes: later writes of the other process are not seen. Copying from a file whose filesystem does not
        respond (FUSE, a dead NFS server) blocks as every read of it does.

        With `trusted` such a file is mapped, so that later writes are seen. A process that shrinks it then
        kills this one.

        Raises:
            BufferRefused: not memory of this size, or too large to copy; the fd stays the caller's.
            TypeError: the size is not an integer; the fd stays the caller's.
        """
        size = operator.index(size)
        stays = _stays(fd)
        if stays or trusted:
            _measure(fd, size)
            buffer = cls._own(fd, size)
            buffer.may_shrink = not stays
            return buffer
        if size > max_copied:
            raise BufferRefused(
                f"{size} bytes of memory that can still shrink; at most {max_copied} are copied"
            )
        _measure(fd, size)
        snapshot = cls.create(size)
        _copy(fd, snapshot.data)
        os.close(fd)
        return snapshot

    @classmethod
    def _own(cls, fd: int, size: int) -> AnonymousBuffer:
        buffer = cls()
        buffer._fd = fd
        buffer._size = size
        return buffer

    @property
    def is_valid(self) -> bool:
        """Whether it has memory: it was made with some, and is not closed."""
        return self._fd >= 0

    @property
    def size(self) -> int:
        """The size in bytes; 0 if the buffer is invalid."""
        return self._size

    @property
    def fd(self) -> int:
        """The fd, which stays the buffer's.

        Raises:
            UsageError: the buffer is invalid.
        """
        if self._fd < 0:
            raise UsageError(
                "this buffer is invalid: it was closed, or made without memory; use create(size)"
            )
        return self._fd

    @property
    def data(self) -> memoryview:
        """The memory, mapped at the first use.

        It is writable unless its sender forbade that, by a seal or by an fd that is only for reading. It
        stays usable after close().

        Raises:
            UsageError: the buffer is invalid.
            OSError: the system has no room for the mapping.
        """
        fd = self.fd
        if not self._size:
            return memoryview(bytearray())
        if self._mapping is None:
            self._mapping = _map(fd, self._size)
        return memoryview(self._mapping)

    def close(self) -> None:
        """Close the fd and drop the mapping, which views that are still held keep; twice is fine."""
        fd, self._fd = self._fd, -1
        self._mapping = None
        self._size = 0
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.is_valid:
            return "<AnonymousBuffer invalid>"
        mapped = "" if self._mapping is None else ", mapped"
        return f"<AnonymousBuffer of {self._size} bytes, fd {self._fd}{mapped}>"


def _stays(fd: int) -> bool:
    """Whether mapped pages of the file cannot vanish; seals the file if it allows that."""
    return _has_small_pages(fd) and _is_sealed(fd)


def _has_small_pages(fd: int) -> bool:
    """Whether the file has pages of the common size, which is its block size.

    Huge pages are few. If the other process frees one (fallocate(2), FALLOC_FL_PUNCH_HOLE), the kernel may
    have none left for the next access, and raises SIGBUS, sealed or not."""
    try:
        return os.fstatvfs(fd).f_bsize == mmap.PAGESIZE
    except OSError:
        return False


def _is_sealed(fd: int) -> bool:
    """Whether the file can no longer shrink; seals it if possible (memfd_create(2))."""
    try:
        if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError:
        return False
    return True


def _measure(fd: int, size: int) -> None:
    try:
        status = os.fstat(fd)
    except OSError as error:
        raise BufferRefused(f"fd {fd} cannot be used: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise BufferRefused("the fd is neither of memory nor of a file")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise BufferRefused("the fd can only be written")
    if not 0 <= size <= min(status.st_size, LARGEST_BUFFER):
        raise BufferRefused(f"a buffer of {size} bytes in memory of {status.st_size}")


def _map(fd: int, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, size)
    except PermissionError:
        # Before Linux 6.7, memory that is sealed against writing cannot be mapped as shared even for reading.
        # Private pages that are never written are the file's own.
        return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)


def _copy(fd: int, target: memoryview) -> None:
    at = 0
    while at < len(target):
        try:
            copied = os.preadv(fd, [target[at : at + _COPIED_AT_ONCE]], at)
        except OSError as error:
            raise BufferRefused(f"the memory cannot be read: {error.strerror}") from error
        if not copied:
            raise BufferRefused(f"the memory shrank to {at} bytes while it was copied")
        at += copied
