"""Owns FileWatcher: the kernel's inotify(7), and what its events mean in LibCore's terms. Knows Notifier, not
how the loop waits. On ctypes, for it needs three calls of libc, and a library would be a dependency.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import io
import logging
import os
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterator

import attrs

from corelib.errors import UsageError
from corelib.notifier import Notifier
from corelib.turn import forked, thread_loop
from corelib.turn.interrupts import calls_user_code

logger = logging.getLogger(__name__)

# At least one event with the longest name (255 bytes) fits; at most 1,024 without a name, to leave room in
# the turn for others.
_READ_SIZE = 16384
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, size of the name

# <sys/inotify.h>
_MODIFY, _ATTRIB = 0x2, 0x4
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT = 0x400, 0x800, 0x2000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EXCLUDE_UNLINKED, _MASK_CREATE = 0x04000000, 0x10000000
_GONE = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED

_libc = ctypes.CDLL(None, use_errno=True)
_inotify_init = _libc.inotify_init1
_inotify_init.argtypes = (ctypes.c_int,)
_inotify_add_watch = _libc.inotify_add_watch
_inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_inotify_rm_watch = _libc.inotify_rm_watch
_inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)


@attrs.frozen
class FileWatcherEvent:
    """One change."""

    class Type(enum.Flag):
        """What changed. The first and the last tell of a watched file, and of the children of a watched
        folder."""

        CONTENT_MODIFIED = enum.auto()
        #: Made in the watched folder, or moved there.
        CHILD_CREATED = enum.auto()
        #: Deleted from the watched folder, or moved away.
        CHILD_DELETED = enum.auto()
        #: What was watched is not at its path any more: deleted, moved away or unmounted.
        DELETED = enum.auto()
        METADATA_MODIFIED = enum.auto()

    type: Type
    #: The watched path as it was given; for a child, that and the child's name.
    event_path: str


_KERNEL_EVENTS = {
    FileWatcherEvent.Type.CONTENT_MODIFIED: _MODIFY,
    FileWatcherEvent.Type.CHILD_CREATED: _CREATE | _MOVED_TO,
    FileWatcherEvent.Type.CHILD_DELETED: _DELETE | _MOVED_FROM,
    FileWatcherEvent.Type.DELETED: _DELETE_SELF | _MOVE_SELF | _UNMOUNT,
    FileWatcherEvent.Type.METADATA_MODIFIED: _ATTRIB,
}


@attrs.frozen
class _Watch:
    path: str
    wanted: FileWatcherEvent.Type


class FileWatcher:
    """Calls `on_change` for each change of the files and folders that it watches, in the order in which they
    happened, in turns of the loop of the thread that made it; the loop keeps it alive until close(). With a
    folder its children are watched, what lies deeper is not. Without an `on_change` changes are forgotten.

    What is deleted, moved away or unmounted is not watched any more; its path can be watched anew at once, in
    `on_change` too. A deleted file is gone when its last name and the last open fd are.

    The kernel queues a limited number of events (fs.inotify.max_queued_events) and drops what comes then:
    `on_overflow` is called, whose callee has to look at everything again. A forked child's copy is closed."""

    __slots__ = (
        "__weakref__",
        "_file",
        "_notifier",
        "_paths",
        "_pending",
        "_thread",
        "_watches",
        "on_change",
        "on_overflow",
    )

    on_change: Callable[[FileWatcherEvent], object] | None
    on_overflow: Callable[[], object]
    """Called when events were lost. Logs a warning by default."""

    def __init__(self, on_change: Callable[[FileWatcherEvent], object] | None = None) -> None:
        """NoEventLoop; OSError, with the remedy, when the user has too many watchers."""
        self._thread = thread_loop.current()
        self.on_change = on_change
        self.on_overflow = _log_overflow
        # FileIO closes it with the last reference.
        self._file = io.FileIO(_open_inotify(), "r")
        self._watches: dict[int, _Watch] = {}
        self._paths: dict[str, int] = {}
        #: Read, but not delivered yet: (watch, mask, name).
        self._pending: deque[tuple[int, int, str]] = deque()
        self._notifier = Notifier(self._file, Notifier.Type.READ, self._read)
        _watchers.add(self)

    def add_watch(self, path: str | os.PathLike[str], event_mask: FileWatcherEvent.Type) -> bool:
        """Watch a file or folder for some kinds of change; symbolic links are followed. False, and nothing
        changes, if it is watched already, be it under another path.

        FileNotFoundError, PermissionError and so on, with the path; OSError ENOSPC, with the remedy, when the
        user watches too many; UsageError after close(); ValueError for no kind of change. WrongThread."""
        self._require_open()
        path = os.fspath(path)
        if not event_mask:
            raise ValueError(f"an empty event mask would tell nothing about {path!r}: name what to watch for")
        if path in self._paths:
            return False
        watch = _inotify_add_watch(self._file.fileno(), _as_c_string(path), _kernel_mask(event_mask))
        if watch < 0:
            code = ctypes.get_errno()
            if code == errno.EEXIST:
                return False
            raise _cannot_watch(code, path)
        self._watches[watch] = _Watch(path, event_mask)
        self._paths[path] = watch
        return True

    def remove_watch(self, path: str | os.PathLike[str]) -> bool:
        """Watch it no more, and tell nothing of it that has not been told; False if it is not watched.
        UsageError after close(). WrongThread."""
        self._require_open()
        watch = self._paths.get(os.fspath(path))
        if watch is None:
            return False
        self._forget(watch)
        # It fails where the kernel has ended the watch already, which we have not read yet.
        _inotify_rm_watch(self._file.fileno(), watch)
        return True

    def close(self) -> None:
        """Watch nothing any more, and tell nothing more; twice is fine. WrongThread."""
        if not self._file.closed:
            self._notifier.close()
            self._abandon()

    def _abandon(self) -> None:
        self._file.close()
        self._watches.clear()
        self._paths.clear()
        self._pending.clear()

    def _require_open(self) -> None:
        self._thread.require_own_thread()
        if self._file.closed:
            raise UsageError("this file watcher is closed: make a new one")

    def _read(self) -> None:
        data = self._file.read(_READ_SIZE)
        if data:
            self._pending.extend(_events_in(data))
            self._deliver()

    def _deliver(self) -> None:
        try:
            while self._pending:
                self._handle(*self._pending.popleft())
        finally:
            if self._pending:
                # KeyboardInterrupt or SystemExit left a callback: the others still get their call.
                self._thread.queue.post(self._deliver)

    def _handle(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._tell_overflow()
            return
        watch = self._watches.get(number)
        if watch is None:
            return
        if mask & _GONE:
            self._forget(number)
            if mask & _MOVE_SELF:  # The kernel would go on watching it at its new path.
                _inotify_rm_watch(self._file.fileno(), number)
        type = _type_of(mask)
        if type is not None and type in watch.wanted:
            self._tell(FileWatcherEvent(type, os.path.join(watch.path, name) if name else watch.path))

    def _forget(self, number: int) -> None:
        del self._paths[self._watches.pop(number).path]

    @calls_user_code
    def _tell(self, event: FileWatcherEvent) -> None:
        if self.on_change is None:
            return
        try:
            self.on_change(event)
        except Exception as error:
            thread_loop.report(error, "on_change", self.on_change)

    @calls_user_code
    def _tell_overflow(self) -> None:
        try:
            self.on_overflow()
        except Exception as error:
            thread_loop.report(error, "on_overflow", self.on_overflow)

    def __repr__(self) -> str:
        return f"<FileWatcher of {', '.join(map(repr, self._paths)) or 'nothing'}>"


def _open_inotify() -> int:
    fd: int = _inotify_init(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        remedy = ""
        if code == errno.EMFILE:
            remedy = ": close some watchers or files, or raise fs.inotify.max_user_instances or ulimit -n"
        raise OSError(code, f"no file watcher can be made: {os.strerror(code)}{remedy}")
    return fd


def _as_c_string(path: str) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"no path has a NUL character: {path!r}")
    return encoded


def _cannot_watch(code: int, path: str) -> OSError:
    if code == errno.ENOSPC:
        return OSError(
            code, "cannot watch: this user watches too many files, raise fs.inotify.max_user_watches", path
        )
    return OSError(code, f"cannot watch: {os.strerror(code)}", path)


def _events_in(data: bytes) -> Iterator[tuple[int, int, str]]:
    offset = 0
    while offset < len(data):
        number, mask, _cookie, size = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        name = data[offset : offset + size].rstrip(b"\0")
        offset += size
        yield number, mask, os.fsdecode(name)


def _kernel_mask(wanted: FileWatcherEvent.Type) -> int:
    # In any case to be told when the watch is over.
    mask = _DELETE_SELF | _MOVE_SELF | _EXCLUDE_UNLINKED | _MASK_CREATE
    for type, events in _KERNEL_EVENTS.items():
        if type in wanted:
            mask |= events & ~_UNMOUNT  # Told unasked.
    return mask


def _type_of(mask: int) -> FileWatcherEvent.Type | None:
    for type, events in _KERNEL_EVENTS.items():
        if mask & events:  # The kernel tells one thing in an event.
            return type
    return None


def _log_overflow() -> None:
    logger.warning(
        "changes of watched files were lost, the kernel's queue was full: handle them faster, "
        "or raise fs.inotify.max_queued_events"
    )


_watchers: weakref.WeakSet[FileWatcher] = weakref.WeakSet()


def _forget_parents() -> None:
    for watcher in list(_watchers):
        watcher._abandon()


forked.forget(_forget_parents)
