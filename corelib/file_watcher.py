"""Owns FileWatcher: the kernel's inotify(7), and the meaning of its events in LibCore's terms. Must not know
how the loop waits; it uses a Notifier. It calls libc by ctypes: a library for three functions would be a
dependency.
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
from itertools import islice

import attrs

from corelib.errors import UsageError
from corelib.notifier import Notifier
from corelib.turn import forked, thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied

logger = logging.getLogger(__name__)

# At least one event with the longest name (255 bytes) fits, and at most 1,024 without a name, so that one
# busy folder cannot starve the rest of a turn.
_READ_SIZE = 16384
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, size of the name

# <sys/inotify.h>
_MODIFY, _ATTRIB = 0x2, 0x4
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT = 0x400, 0x800, 0x2000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EXCLUDE_UNLINKED, _MASK_CREATE, _MASK_ADD = 0x04000000, 0x10000000, 0x20000000
_GONE = _DELETE_SELF | _UNMOUNT | _IGNORED
# The kernel reports these of a file that has lost a name, but is kept by another one or by an open fd.
_MAY_HAVE_LOST_NAME = _MOVE_SELF | _ATTRIB
_CANNOT_TELL = frozenset({errno.EACCES, errno.EPERM, errno.ENOMEM})
_MOST_PATHS_SHOWN = 3

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
        """The kinds of change."""

        CONTENT_MODIFIED = enum.auto()
        """The content of the watched file, or of a child of the watched folder, was modified."""
        CHILD_CREATED = enum.auto()
        """A child was made in the watched folder, or moved there."""
        CHILD_DELETED = enum.auto()
        """A child was deleted from the watched folder, or moved away."""
        DELETED = enum.auto()
        """The watched file or folder is not at its path any more: deleted, replaced, moved away or
        unmounted."""
        METADATA_MODIFIED = enum.auto()
        """The metadata of the watched file or folder, or of a child of the folder, were modified."""

    type: Type
    event_path: str
    """The watched path as it was given; for a child, with the child's name."""


_KERNEL_EVENTS = {
    FileWatcherEvent.Type.CONTENT_MODIFIED: _MODIFY,
    FileWatcherEvent.Type.CHILD_CREATED: _CREATE | _MOVED_TO,
    FileWatcherEvent.Type.CHILD_DELETED: _DELETE | _MOVED_FROM,
    FileWatcherEvent.Type.DELETED: _DELETE_SELF | _UNMOUNT,
    FileWatcherEvent.Type.METADATA_MODIFIED: _ATTRIB,
}


@attrs.frozen
class _Watch:
    path: str
    location: str
    """The absolute path, so that a chdir() changes nothing."""
    wanted: FileWatcherEvent.Type


class FileWatcher(NotCopied):
    """Calls `on_change` for each change of the files and folders that it watches, in order.

    It calls in turns of the loop of the thread that made it, and the loop keeps it alive until close(). In a
    folder its children are watched, but nothing deeper. Without an `on_change`, changes are dropped.

    A path is watched as long as it names the same file. If that is deleted, replaced, moved away or
    unmounted, it is not watched any more, even if another name or an open fd keeps it; the path can be
    watched again at once, in `on_change` too. (The kernel does not report the renaming of a folder above it,
    nor a symbolic link that leads elsewhere: add_watch() again, or watch those.)

    The kernel queues a limited number of events (fs.inotify.max_queued_events) and drops the rest; then
    `on_overflow` is called, which has to look at everything again; DELETED follows for each path that does
    not name its file any more. A forked child's copy is closed."""

    __slots__ = (
        "__weakref__",
        "_file",
        "_notifier",
        "_paths",
        "_pending",
        "_superseded",
        "_thread",
        "_watches",
        "on_change",
        "on_overflow",
    )

    on_change: Callable[[FileWatcherEvent], object] | None
    on_overflow: Callable[[], object]
    """Called when events were lost. Logs a warning by default."""

    def __init__(self, on_change: Callable[[FileWatcherEvent], object] | None = None) -> None:
        """Make a watcher for the calling thread's loop that watches nothing yet.

        Raises:
            NoEventLoop: the thread has no loop.
            OSError: the user has too many watchers; it names the remedy.
        """
        self._thread = thread_loop.current()
        self.on_change = on_change
        self.on_overflow = _log_overflow
        # FileIO closes the fd with its last reference.
        self._file = io.FileIO(_open_inotify(), "r")
        self._watches: dict[int, _Watch] = {}
        self._paths: dict[str, int] = {}
        self._superseded: set[int] = set()
        """Watches that add_watch() has ended, as their paths name other files. Their last events may come."""
        self._pending: deque[tuple[int, int, str]] = deque()
        """Events that were read and not delivered yet: (watch, mask, name)."""
        self._notifier = Notifier(self._file, Notifier.Type.READ, self._read)
        _watchers.add(self)

    def add_watch(self, path: str | os.PathLike[str], event_mask: FileWatcherEvent.Type) -> bool:
        """Watch the file or folder that has this path now; symbolic links are followed.

        False, without effect, if this file is watched already, even by another path that names it still. If
        the path was watched and named another file, that watch ends.

        Raises:
            OSError: FileNotFoundError, PermissionError and so on, with the path; ENOSPC, with the remedy, if
                the user watches too many files.
            UsageError: the watcher is closed.
            ValueError: the mask is empty.
            WrongThread: called from a thread other than the loop's.
        """
        self._require_open()
        path = os.fsdecode(path)
        if not event_mask:
            raise ValueError(f"an empty event mask reports nothing about {path!r}: name what to watch for")
        mask = _kernel_mask(event_mask, path)
        while (watch := _inotify_add_watch(self._file.fileno(), _as_c_string(path), mask)) < 0:
            code = ctypes.get_errno()
            if code != errno.EEXIST:
                raise _cannot_watch(code, path)
            known = self._watch_at(path)
            if known is None:
                continue  # It was replaced meanwhile.
            if self._has_its_name(known):
                return False
            self._supersede(known)
        if path in self._paths:
            self._supersede(self._paths[path])
        self._watches[watch] = _Watch(path, os.path.join(_folder_of_the_process(), path), event_mask)
        self._paths[path] = watch
        return True

    def remove_watch(self, path: str | os.PathLike[str]) -> bool:
        """Stop watching a path, and drop its pending events; False if it is not watched.

        Raises:
            UsageError: the watcher is closed.
            WrongThread: called from a thread other than the loop's.
        """
        self._require_open()
        path = os.fsdecode(path)
        for number in [each for each in self._superseded if self._watches[each].path == path]:
            self._forget(number)
        watch = self._paths.get(path)
        if watch is None:
            return False
        self._forget(watch)
        # It fails if the kernel has ended the watch already; the event that says so is not read yet.
        _inotify_rm_watch(self._file.fileno(), watch)
        return True

    def close(self) -> None:
        """Stop watching, and drop pending events; twice is fine.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        if not self._file.closed:
            self._notifier.close()
            self._abandon()

    def _abandon(self) -> None:
        self._file.close()
        self._watches.clear()
        self._paths.clear()
        self._superseded.clear()
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
                # KeyboardInterrupt or SystemExit has left a callback; the others are still called.
                self._thread.queue.post(self._deliver)

    def _handle(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._end_watches_whose_end_was_lost()
            self._call_on_overflow()
            return
        watch = self._watches.get(number)
        if watch is None:
            return
        if mask & _GONE:
            self._forget(number)
        type = _type_of(mask)
        if type is not None and type in watch.wanted:
            path = os.path.join(watch.path, name) if name else watch.path
            self._call_on_change(FileWatcherEvent(type, path))
        # on_change may have removed the watch.
        if mask & _MAY_HAVE_LOST_NAME and not name and number in self._watches:
            self._end_unless_it_has_its_name(number, watch)

    def _end_unless_it_has_its_name(self, number: int, watch: _Watch) -> None:
        if self._has_its_name(number):
            return  # Another name of the same file was lost, or its metadata changed.
        self._forget(number)
        _inotify_rm_watch(self._file.fileno(), number)
        if FileWatcherEvent.Type.DELETED in watch.wanted:
            self._call_on_change(FileWatcherEvent(FileWatcherEvent.Type.DELETED, watch.path))

    def _end_watches_whose_end_was_lost(self) -> None:
        for number in list(self._superseded):
            self._forget(number)
        for number in list(self._watches):
            if not self._has_its_name(number):
                _inotify_rm_watch(self._file.fileno(), number)
                self._pending.appendleft((number, _DELETE_SELF, ""))

    def _watch_at(self, path: str) -> int | None:
        """The watch of the file that has this path now; None if that is not watched, or there is none.

        Then errno tells which: 0 if there is a file."""
        ctypes.set_errno(0)
        # Every mask has this event, so the watch does not change.
        number: int = _inotify_add_watch(self._file.fileno(), _as_c_string(path), _DELETE_SELF | _MASK_ADD)
        if number in self._watches:
            return number
        if number >= 0:
            _inotify_rm_watch(self._file.fileno(), number)
        return None

    def _has_its_name(self, number: int) -> bool:
        if self._watch_at(self._watches[number].location) == number:
            return True
        # To look takes the right to read the file. Without it the watch goes on.
        return ctypes.get_errno() in _CANNOT_TELL

    def _supersede(self, number: int) -> None:
        """End a watch, but not before the events that the kernel has queued for it are delivered."""
        path = self._watches[number].path
        if self._paths.get(path) == number:
            del self._paths[path]
        self._superseded.add(number)
        _inotify_rm_watch(self._file.fileno(), number)

    def _forget(self, number: int) -> None:
        path = self._watches.pop(number).path
        self._superseded.discard(number)
        if self._paths.get(path) == number:
            del self._paths[path]

    @calls_user_code
    def _call_on_change(self, event: FileWatcherEvent) -> None:
        if self.on_change is None:
            return
        try:
            self.on_change(event)
        except BaseException as error:
            thread_loop.report(error, "on_change", self.on_change)

    @calls_user_code
    def _call_on_overflow(self) -> None:
        try:
            self.on_overflow()
        except BaseException as error:
            thread_loop.report(error, "on_overflow", self.on_overflow)

    @property
    def user_code(self) -> object:
        """The callback, for instruments."""
        return self.on_change

    def __repr__(self) -> str:
        if self._file.closed:
            return "<FileWatcher closed>"
        paths = [repr(path) for path in islice(self._paths, _MOST_PATHS_SHOWN)]
        more = len(self._paths) - len(paths)
        return f"<FileWatcher of {', '.join(paths) or 'nothing'}{f' and {more} more' if more else ''}>"


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
        raise ValueError(f"a path cannot have a NUL character: {path!r}")
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


def _kernel_mask(wanted: FileWatcherEvent.Type, path: str) -> int:
    # With these the kernel always reports the end of the watch.
    mask = _DELETE_SELF | _MOVE_SELF | _EXCLUDE_UNLINKED | _MASK_CREATE
    for type, events in _KERNEL_EVENTS.items():
        if type in wanted:
            mask |= events & ~_UNMOUNT  # The kernel reports an unmount unasked.
    # Of a folder it would report changes of the children too, and a folder has no second name.
    return mask if os.path.isdir(path) else mask | _ATTRIB


def _folder_of_the_process() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # It was deleted.


def _type_of(mask: int) -> FileWatcherEvent.Type | None:
    for type, events in _KERNEL_EVENTS.items():
        if mask & events:  # The kernel reports one change in an event.
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
