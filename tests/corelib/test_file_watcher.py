"""Owns the tests of changes of files and folders, as the kernel reports them.
Must not know how the loop waits.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corelib import EventLoop, NoEventLoop, UsageError
from corelib import file_watcher as module
from corelib.file_watcher import FileWatcher, FileWatcherEvent

Type = FileWatcherEvent.Type
ALL = Type.CONTENT_MODIFIED | Type.CHILD_CREATED | Type.CHILD_DELETED | Type.DELETED | Type.METADATA_MODIFIED
GUARD = 30  # seconds, against a hang


class Seen(list[tuple[Type, str]]):
    """The events of a watcher so far.

    The kernel queues an event before the call that caused it returns, so a turn or two deliver everything."""

    def __init__(self, loop: EventLoop, watcher: FileWatcher) -> None:
        self.loop = loop
        watcher.on_change = lambda event: self.append((event.type, event.event_path))

    def now(self) -> list[tuple[Type, str]]:
        from corelib import WaitMode

        while self.loop.pump(WaitMode.POLL_FOR_EVENTS):
            pass
        seen = list(self)
        self.clear()
        return seen


@pytest.fixture
def watcher(loop: EventLoop) -> Iterator[FileWatcher]:
    made = FileWatcher()
    yield made
    made.close()


@pytest.fixture
def seen(loop: EventLoop, watcher: FileWatcher) -> Seen:
    return Seen(loop, watcher)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def test_children_that_are_made_and_deleted_are_reported(
    watcher: FileWatcher, seen: Seen, folder: Path, tmp_path: Path
) -> None:
    assert watcher.add_watch(folder, Type.CHILD_CREATED | Type.CHILD_DELETED)
    child, other = folder / "child", folder / "other"
    child.write_text("x")
    assert seen.now() == [(Type.CHILD_CREATED, str(child))]
    child.rename(other)
    assert seen.now() == [(Type.CHILD_DELETED, str(child)), (Type.CHILD_CREATED, str(other))]
    other.rename(tmp_path / "outside")
    assert seen.now() == [(Type.CHILD_DELETED, str(other))]
    (tmp_path / "outside").rename(child)
    (folder / "nested").mkdir()
    child.unlink()
    assert seen.now() == [
        (Type.CHILD_CREATED, str(child)),
        (Type.CHILD_CREATED, str(folder / "nested")),
        (Type.CHILD_DELETED, str(child)),
    ]


def test_changes_of_a_files_content_and_metadata_are_reported(
    watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    file = folder / "file"
    file.write_text("")
    watcher.add_watch(str(file), ALL)
    with open(file, "w") as writing:
        writing.write("x")
    assert seen.now() == [(Type.CONTENT_MODIFIED, str(file))]
    file.chmod(0o600)
    assert seen.now() == [(Type.METADATA_MODIFIED, str(file))]


def test_changes_of_children_are_reported_with_their_path(
    watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    file = folder / "file"
    file.write_text("")
    watcher.add_watch(folder, Type.CONTENT_MODIFIED | Type.METADATA_MODIFIED)
    with open(file, "a") as appending:
        appending.write("x")
    file.chmod(0o600)
    folder.chmod(0o700)
    assert seen.now() == [
        (Type.CONTENT_MODIFIED, str(file)),
        (Type.METADATA_MODIFIED, str(file)),
        (Type.METADATA_MODIFIED, str(folder)),
    ]


def test_only_the_kinds_of_change_in_the_mask_are_reported(
    watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    watcher.add_watch(folder, Type.CHILD_DELETED)
    (folder / "file").write_text("x")
    (folder / "file").unlink()
    folder.rmdir()
    assert seen.now() == [(Type.CHILD_DELETED, str(folder / "file"))]
    folder.mkdir()
    assert watcher.add_watch(folder, Type.CHILD_CREATED), "the end of a watch is still noticed"


@pytest.mark.parametrize("end", [os.unlink, lambda path: os.rename(path, f"{path}.moved")])
def test_a_file_that_is_gone_is_not_watched_any_more(
    watcher: FileWatcher, seen: Seen, folder: Path, end: Callable[[str], object]
) -> None:
    file = folder / "file"
    file.write_text("x")
    watcher.add_watch(file, Type.DELETED | Type.CONTENT_MODIFIED)
    end(str(file))
    file.write_text("another")
    assert seen.now() == [(Type.DELETED, str(file))]
    assert not watcher.remove_watch(file)
    assert watcher.add_watch(file, Type.DELETED | Type.CONTENT_MODIFIED)
    file.write_text("")
    assert seen.now() == [(Type.CONTENT_MODIFIED, str(file))]


def test_a_file_that_an_editor_replaces_can_be_watched_again_in_the_callback(
    loop: EventLoop, watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    file = folder / "file"
    file.write_text("0")
    told: list[Type] = []

    def follow(event: FileWatcherEvent) -> None:
        told.append(event.type)
        if event.type is Type.DELETED:
            assert watcher.add_watch(file, Type.DELETED | Type.CONTENT_MODIFIED)

    watcher.add_watch(file, Type.DELETED | Type.CONTENT_MODIFIED)
    watcher.on_change = follow
    for n in range(3):
        (folder / "draft").write_text(str(n))
        (folder / "draft").rename(file)
        seen.now()
    file.write_text("")
    seen.now()
    assert told == [Type.DELETED] * 3 + [Type.CONTENT_MODIFIED]


def test_a_folder_that_is_gone_is_reported(watcher: FileWatcher, seen: Seen, folder: Path) -> None:
    watcher.add_watch(folder, Type.DELETED)
    folder.rmdir()
    assert seen.now() == [(Type.DELETED, str(folder))]


def test_a_path_that_is_watched_already_is_refused(watcher: FileWatcher, seen: Seen, folder: Path) -> None:
    assert watcher.add_watch(folder, Type.CHILD_CREATED)
    assert not watcher.add_watch(folder, ALL)
    (folder.parent / "link").symlink_to(folder)
    assert not watcher.add_watch(folder.parent / "link", ALL)
    assert not watcher.remove_watch(folder.parent / "link")
    (folder / "file").write_text("x")
    assert seen.now() == [(Type.CHILD_CREATED, str(folder / "file"))], "nothing has changed"
    assert repr(watcher) == f"<FileWatcher of {str(folder)!r}>"


def test_a_removed_watch_reports_nothing_more(watcher: FileWatcher, seen: Seen, folder: Path) -> None:
    watcher.add_watch(folder, ALL)
    (folder / "told").write_text("")
    assert seen.now()
    (folder / "untold").write_text("")
    assert watcher.remove_watch(folder)
    assert not watcher.remove_watch(folder)
    (folder / "unseen").write_text("")
    assert watcher.add_watch(folder, Type.CHILD_CREATED)
    (folder / "again").write_text("")
    assert seen.now() == [(Type.CHILD_CREATED, str(folder / "again"))]
    folder.joinpath("gone").mkdir()
    watcher.add_watch(folder / "gone", ALL)
    (folder / "gone").rmdir()
    assert watcher.remove_watch(folder / "gone"), "though the kernel has removed it already"


def test_removing_and_closing_in_the_callback_stops_the_rest(
    loop: EventLoop, seen: Seen, folder: Path, watcher: FileWatcher
) -> None:
    told: list[str] = []
    watcher.add_watch(folder, Type.CHILD_CREATED)
    watcher.on_change = lambda event: (told.append("removed"), watcher.remove_watch(folder))
    for n in range(10):
        (folder / f"{n}").write_text("")
    seen.now()
    assert told == ["removed"]
    watcher.add_watch(folder, Type.CHILD_DELETED)
    watcher.on_change = lambda event: (told.append("closed"), watcher.close())
    for n in range(10):
        (folder / f"{n}").unlink()
    seen.now()
    assert told == ["removed", "closed"]


@pytest.mark.slow
def test_exceptions_of_on_change_are_reported_and_later_changes_delivered(
    loop: EventLoop, watcher: FileWatcher, seen: Seen, folder: Path, failures: list[Exception]
) -> None:
    def fail(event: FileWatcherEvent) -> None:
        raise LookupError(event.event_path)

    watcher.add_watch(folder, Type.CHILD_CREATED)
    watcher.on_change = fail
    paths = [str(folder / f"{n}") for n in range(1000)]
    for path in paths:
        Path(path).touch()
    seen.now()
    assert [failure.args[0] for failure in failures] == paths


def test_ctrl_c_in_a_callback_loses_no_event(
    loop: EventLoop, watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    def interrupt(event: FileWatcherEvent) -> None:
        seen_now(event)
        watcher.on_change = seen_now
        raise KeyboardInterrupt

    seen_now = watcher.on_change
    assert seen_now is not None
    watcher.add_watch(folder, Type.CHILD_CREATED)
    watcher.on_change = interrupt
    for n in range(5):
        (folder / f"{n}").touch()
    with pytest.raises(KeyboardInterrupt):
        loop.exec()
    assert [os.path.basename(path) for _, path in seen.now()] == ["0", "1", "2", "3", "4"]


def test_names_of_all_kinds_are_reported(watcher: FileWatcher, seen: Seen, folder: Path) -> None:
    watcher.add_watch(folder, Type.CHILD_CREATED)
    names = [
        "x",
        "y" * 255,
        "Grüße",
        os.fsdecode(b"\xff\xfe"),
        "line\nbreak",
        *("n" * n for n in range(14, 19)),
    ]
    for name in names:
        (folder / name).touch()
    assert [os.path.basename(path) for _, path in seen.now()] == names


def test_changes_without_a_callback_are_dropped(loop: EventLoop, watcher: FileWatcher, folder: Path) -> None:
    watcher.add_watch(folder, ALL)
    (folder / "before").touch()
    loop.pump()
    seen = Seen(loop, watcher)
    assert seen.now() == []


@pytest.mark.slow
def test_lost_events_are_reported_by_on_overflow(
    loop: EventLoop, watcher: FileWatcher, seen: Seen, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel's queue is too long to fill here")
    children = [folder / "one", folder / "other"]
    for child in children:
        child.touch()
    watcher.add_watch(folder, Type.METADATA_MODIFIED)

    def flood() -> None:
        for n in range(limit + 2):
            # Alternating, as the kernel merges two equal events in a row.
            os.chmod(children[n % 2], 0o600)

    flood()
    assert len(seen.now()) == limit
    assert caplog.text.count("changes of watched files were lost") == 1
    lost: list[int] = []
    watcher.on_overflow = lambda: lost.append(len(seen))
    flood()
    assert len(seen.now()) == limit
    assert lost == [limit]
    watcher.on_overflow = lambda: 1 / 0
    failures: list[Exception] = []
    loop.on_exception = lambda error, context: failures.append(error)
    flood()
    seen.now()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


@pytest.mark.slow
def test_a_flood_of_changes_does_not_starve_the_rest_of_a_turn(
    loop: EventLoop, watcher: FileWatcher, seen: Seen, folder: Path
) -> None:
    watcher.add_watch(folder, Type.CHILD_CREATED)
    for n in range(3000):
        (folder / f"{n}").touch()
    loop.pump()
    assert 0 < len(seen) < 3000
    assert loop.spin_until(lambda: len(seen) == 3000, timeout=GUARD)


def test_unwatchable_paths_and_masks_are_refused(watcher: FileWatcher, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot watch.*nothing") as failed:
        watcher.add_watch(folder / "nothing", ALL)
    assert failed.value.filename == str(folder / "nothing")
    with pytest.raises(ValueError, match="NUL"):
        watcher.add_watch(f"{folder}\0", ALL)
    with pytest.raises(ValueError, match="empty event mask"):
        watcher.add_watch(folder, Type(0))


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (errno.EACCES, PermissionError, "Permission denied"),
        (errno.ENOSPC, OSError, r"fs\.inotify\.max_user_watches"),
    ],
)
def test_the_kernels_refusals_are_raised_with_the_remedy(
    watcher: FileWatcher,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[OSError],
    text: str,
) -> None:
    # No user can be made to have these limits: private functions stand for the kernel's calls.
    def refuse(*args: object) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(module, "_inotify_add_watch", refuse)
    with pytest.raises(kind, match=text) as failed:
        watcher.add_watch(folder, ALL)
    assert (failed.value.errno, failed.value.filename) == (code, str(folder))
    monkeypatch.setattr(module, "_inotify_init", refuse)
    with pytest.raises(OSError, match="no file watcher can be made"):
        FileWatcher()


def test_too_many_watchers_are_refused_with_the_remedy(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(flags: int) -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(module, "_inotify_init", refuse)
    with pytest.raises(OSError, match=r"fs\.inotify\.max_user_instances"):
        FileWatcher()


def test_an_unmounted_folder_is_gone(loop: EventLoop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # To unmount takes root: a pipe stands for the kernel's queue of events.
    events, kernel = os.pipe2(os.O_NONBLOCK)
    monkeypatch.setattr(module, "_inotify_init", lambda flags: events)
    monkeypatch.setattr(module, "_inotify_add_watch", lambda fd, path, mask: 7)
    watcher = FileWatcher()
    seen = Seen(loop, watcher)
    watcher.add_watch(folder, Type.DELETED)
    os.write(kernel, struct.pack("=iIII", 7, 0x2000, 0, 0) + struct.pack("=iIII", 7, 0x8000, 0, 0))
    assert seen.now() == [(Type.DELETED, str(folder))]
    assert not watcher.remove_watch(folder)
    watcher.close()
    os.close(kernel)


def test_a_closed_watcher_reports_nothing_and_refuses_calls(loop: EventLoop, folder: Path) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    watcher = FileWatcher(print)
    watcher.add_watch(folder, ALL)
    watcher.close()
    watcher.close()
    assert len(os.listdir("/proc/self/fd")) == before
    for use in (watcher.remove_watch, lambda path: watcher.add_watch(path, ALL)):
        with pytest.raises(UsageError, match="closed"):
            use(str(folder))


def test_a_file_watcher_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop):
        FileWatcher()


def test_a_forked_childs_copy_of_a_watcher_is_closed(
    watcher: FileWatcher, seen: Seen, folder: Path, forked: Callable[[Callable[[], object]], int]
) -> None:
    watcher.add_watch(folder, Type.CHILD_CREATED)

    def child() -> None:
        with pytest.raises(UsageError, match="closed"):
            watcher.add_watch(folder, ALL)
        watcher.close()

    assert forked(child) == 0
    (folder / "file").touch()
    assert seen.now() == [(Type.CHILD_CREATED, str(folder / "file"))]
