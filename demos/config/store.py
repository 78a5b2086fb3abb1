"""Owns the settings on disk: one INI file for each domain, written atomically and durably.
Must not know types of values, clients, and IPC."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from demos.config.errors import InvalidSetting, StorageFailure, shown
from demos.config.ini import Document

_log = logging.getLogger(__name__)

_SUFFIX = ".ini"
_LONGEST_DOMAIN = 240
"""In bytes: NAME_MAX is 255, and the suffixes of the file and its successor are added."""


def default_directory() -> Path:
    """Return the user's folder for settings, as the XDG Base Directory Specification places it."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification says to ignore a relative path.
    return (Path(home) if os.path.isabs(home) else Path.home() / ".config") / "corelib-config"


def check_domain(name: str) -> None:
    """Check that a domain's name can be a file's.

    Raises:
        InvalidSetting: it cannot.
    """
    if not name.isprintable() or not name or "/" in name or name.startswith("."):
        raise InvalidSetting(
            f"domain {shown(name)}: a name is printable text without '/', and does not begin with '.'"
        )
    if len(name.encode()) > _LONGEST_DOMAIN:
        raise InvalidSetting(f"domain {shown(name)}: a name has at most {_LONGEST_DOMAIN} bytes")


class Store:
    """The domains in one folder, which one store at a time owns."""

    def __init__(self, directory: Path) -> None:
        """Lock a folder, which is made if it is missing.

        Raises:
            StorageFailure: the folder cannot be made, or another process has locked it.
        """
        self._directory = directory
        self._lock = _own(directory)
        self._domains: dict[str, Domain] = {}

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def domain(self, name: str) -> Domain:
        """Return a domain, whether it has a file yet or not.

        Raises:
            InvalidSetting: the name cannot be a file's.
        """
        if name not in self._domains:
            check_domain(name)
            self._domains[name] = Domain(self._directory / f"{name}{_SUFFIX}")
        return self._domains[name]

    def domains(self) -> list[str]:
        """Return the names of the domains that have a file.

        Raises:
            StorageFailure: the folder cannot be read.
        """
        try:
            names = os.listdir(self._directory)
        except OSError as error:
            raise StorageFailure(f"cannot list {self._directory}: {error.strerror}") from error
        return sorted(name.removesuffix(_SUFFIX) for name in names if _is_domain_file(name))


class Domain:
    """One file of settings; a change by hand is seen at the next access.

    The methods that change the file return whether there was anything to change. Their change is on disk when
    they return.

    Raises:
        StorageFailure: from each method, if the file cannot be read or written.
        InvalidSetting: from each method that changes the file, if it cannot hold the name or the value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: Document | None = None
        self._stamp: _Stamp | None = None

    def groups(self) -> list[str]:
        return self._read().groups()

    def keys(self, group: str) -> list[str]:
        return self._read().keys(group)

    def get(self, group: str, key: str) -> str | None:
        return self._read().get(group, key)

    def set(self, group: str, key: str, value: str) -> bool:
        return self._change(lambda document: document.set(group, key, value))

    def add_group(self, group: str) -> bool:
        return self._change(lambda document: document.add_group(group))

    def remove_key(self, group: str, key: str) -> bool:
        return self._change(lambda document: document.remove_key(group, key))

    def remove_group(self, group: str) -> bool:
        return self._change(lambda document: document.remove_group(group))

    def _read(self) -> Document:
        """Return the document of the file as it is now."""
        try:
            if self._document is None or _stamp(self._path) != self._stamp:
                self._document, self._stamp = _load(self._path)
        except OSError as error:
            raise StorageFailure(f"cannot read {self._path}: {error.strerror}") from error
        return self._document

    def _change(self, edit: Callable[[Document], bool]) -> bool:
        document = self._read()
        # Forgotten until it is on disk, so that no reader sees a change that then fails.
        self._document = None
        changed = edit(document)
        if changed:
            try:
                self._stamp = _replace_durably(self._path, document.text)
            except OSError as error:
                raise StorageFailure(f"cannot write {self._path}: {error.strerror}") from error
        self._document = document
        return changed


@attrs.frozen
class _Stamp:
    """Properties of a file that change when it is written."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Stamp:
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def _stamp(path: Path) -> _Stamp | None:
    try:
        return _Stamp.of(path.stat())
    except FileNotFoundError:
        return None


def _load(path: Path) -> tuple[Document, _Stamp | None]:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise StorageFailure(f"cannot read {path}: it is not a regular file")
            stamp = _Stamp.of(status)
            document = Document(file.read().decode(errors="surrogateescape"))
    except FileNotFoundError:
        return Document(), None
    for number, flaw in document.flaws:
        _log.warning("%s:%d: %s", path, number, flaw)
    return document, stamp


def _replace_durably(path: Path, text: str) -> _Stamp:
    """Replace a file by a new one; after a crash at any moment either the old or the new one exists."""
    path = Path(os.path.realpath(path))  # A link to a file elsewhere stays a link.
    successor = path.with_name(f".{path.name}.new")
    try:
        with open(successor, "wb", opener=_open_private) as file:
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
            stamp = _Stamp.of(os.fstat(file.fileno()))
        os.replace(successor, path)
        _sync_folder(path.parent)
    except OSError:
        successor.unlink(missing_ok=True)
        raise
    return stamp


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, and never wait for the other end of a FIFO that is in its place."""
    return os.open(path, flags | os.O_NONBLOCK)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _sync_folder(path: Path) -> None:
    """Make names in a folder durable, which fsync(2) of a file does not."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _own(directory: Path) -> int:
    """Make a folder and lock it; return the descriptor that holds the lock until the process ends."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(directory.parent)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageFailure(f"cannot keep settings in {directory}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StorageFailure(
            f"{directory} is in use by another settings service: stop that one, or choose another directory"
        ) from error
    return lock


def _is_domain_file(name: str) -> bool:
    try:
        check_domain(name.removesuffix(_SUFFIX))
    except InvalidSetting:
        return False
    return name.endswith(_SUFFIX)
