"""Owns the tests of what a watched path names: the file that has the name now, whichever had it before.
Must not know inotify.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corelib import EventLoop, FileWatcher, FileWatcherEvent, WaitMode
from corelib import file_watcher as module

Type = FileWatcherEvent.Type
CHANGES = Type.CONTENT_MODIFIED | Type.DELETED


class Watched:
    """A watcher in a folder of its own, and the events that it has reported."""

    def __init__(self, loop: EventLoop, folder: Path) -> None:
        self.loop = loop
        self.folder = folder
        self.watcher = FileWatcher(self._note)
        self._seen: list[tuple[Type, str]] = []

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make(self, name: str) -> str:
        path = self.path(name)
        Path(path).write_text("new\n")
        return path

    def add(self, path: str, wanted: Type = CHANGES) -> bool:
        return self.watcher.add_watch(path, wanted)

    def seen(self) -> list[tuple[Type, str]]:
        """What was reported since the last call."""
        while self.loop.pump(WaitMode.POLL_FOR_EVENTS):
            pass
        seen, self._seen = self._seen, []
        return seen

    def require_it_is_watched(self, path: str) -> None:
        self.seen()
        append(path)
        assert self.seen() == [(Type.CONTENT_MODIFIED, path)]

    def _note(self, event: FileWatcherEvent) -> None:
        self._seen.append((event.type, event.event_path))


def append(path: str) -> None:
    with open(path, "a") as file:
        file.write("a line\n")


@pytest.fixture
def watched(loop: EventLoop, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(loop, tmp_path)
    yield made
    made.watcher.close()


def test_a_log_that_is_rotated_by_rename_is_watched_by_its_new_name(watched: Watched) -> None:
    log, old = watched.make("app.log"), watched.path("app.log.1")
    told: list[tuple[Type, str]] = []
    answers: list[bool] = []

    def follow(event: FileWatcherEvent) -> None:
        told.append((event.type, event.event_path))
        if event.event_path == old and event.type is Type.CHILD_CREATED:
            answers.append(watched.add(old))

    watched.watcher.on_change = follow
    watched.add(str(watched.folder), Type.CHILD_CREATED)
    watched.add(log)
    os.rename(log, old)
    watched.seen()
    append(old)
    watched.seen()
    assert answers == [True]
    assert told == [(Type.CHILD_CREATED, old), (Type.DELETED, log), (Type.CONTENT_MODIFIED, old)]


@pytest.mark.parametrize("is_read_before", [True, False])
@pytest.mark.parametrize("wanted", [CHANGES, Type.CONTENT_MODIFIED])
def test_a_file_that_is_unlinked_while_it_is_open_is_not_watched_any_more(
    watched: Watched, is_read_before: bool, wanted: Type
) -> None:
    log = watched.make("app.log")
    with open(log, "a", buffering=1) as writer:
        watched.add(log, wanted)
        os.unlink(log)
        if is_read_before:
            assert watched.seen() == [(Type.DELETED, log)] * (wanted == CHANGES)
        watched.make("app.log")
        assert watched.add(log, wanted)
        watched.seen()
        writer.write("to the file without a name\n")
        assert watched.seen() == []
    watched.require_it_is_watched(log)


def _unlink_and_make(path: str) -> None:
    os.unlink(path)
    Path(path).write_text("new")


def _rename_away_and_make(path: str) -> None:
    os.rename(path, f"{path}~")
    Path(path).write_text("new")


def _rename_over(path: str) -> None:
    Path(f"{path}.draft").write_text("new")
    os.rename(f"{path}.draft", path)


def _link_and_rename_over(path: str) -> None:
    os.link(path, f"{path}~")
    _rename_over(path)


def _swap_the_folder(path: str) -> None:
    folder = os.path.dirname(path)
    os.rename(folder, f"{folder}~")
    os.mkdir(folder)
    Path(path).write_text("new")


SAVES = [_unlink_and_make, _rename_away_and_make, _rename_over, _link_and_rename_over, _swap_the_folder]


@pytest.mark.parametrize("is_read_before", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("save", SAVES)
def test_a_path_that_is_added_again_watches_the_file_that_has_it_now(
    watched: Watched, save: Callable[[str], None], is_open: bool, is_read_before: bool
) -> None:
    os.mkdir(watched.path("folder"))
    path = watched.make("folder/file")
    fd = os.open(path, os.O_RDONLY) if is_open else None
    watched.add(path)
    save(path)
    if is_read_before:
        is_reported = save is not _swap_the_folder  # The kernel reports nothing of the file itself.
        assert watched.seen() == [(Type.DELETED, path)] * is_reported
    assert watched.add(path)
    watched.require_it_is_watched(path)
    assert not watched.add(path)
    assert watched.watcher.remove_watch(path)
    append(path)
    assert watched.seen() == []
    if fd is not None:
        os.close(fd)


def test_a_symbolic_link_that_leads_elsewhere_is_followed_when_it_is_added_again(watched: Watched) -> None:
    first, second, link = watched.make("first"), watched.make("second"), watched.path("link")
    os.symlink(first, link)
    watched.add(link)
    os.unlink(link)
    os.symlink(second, link)
    assert watched.add(link)
    append(first)
    assert watched.seen() == []
    append(second)
    assert watched.seen() == [(Type.CONTENT_MODIFIED, link)]


def test_a_file_that_loses_another_name_is_still_watched(watched: Watched) -> None:
    path, other = watched.make("file"), watched.path("other")
    os.link(path, other)
    watched.add(path)
    assert not watched.add(other), "the first path names it still"
    os.rename(other, watched.path("elsewhere"))
    os.unlink(watched.path("elsewhere"))
    assert watched.seen() == []
    watched.require_it_is_watched(path)


def test_a_file_is_watched_by_its_other_name_after_the_first_is_gone(watched: Watched) -> None:
    path, other = watched.make("file"), watched.path("other")
    os.link(path, other)
    watched.add(path)
    os.unlink(path)
    assert watched.add(other)
    assert watched.seen() == [(Type.DELETED, path)]
    watched.require_it_is_watched(other)


def test_a_file_that_was_moved_away_and_back_is_still_watched(watched: Watched) -> None:
    path = watched.make("file")
    watched.add(path)
    os.rename(path, watched.path("away"))
    os.rename(watched.path("away"), path)
    assert watched.seen() == []
    watched.require_it_is_watched(path)


def test_a_file_that_may_not_be_read_any_more_is_still_watched(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = watched.make("file")
    watched.add(path, CHANGES | Type.METADATA_MODIFIED)
    add_watch = module._inotify_add_watch

    def refuse(*arguments: object) -> int:
        # Tests may run as root, who may read everything: a private function stands for the kernel's call.
        ctypes.set_errno(errno.EACCES)
        return -1

    monkeypatch.setattr(module, "_inotify_add_watch", refuse)
    os.chmod(path, 0)
    assert watched.seen() == [(Type.METADATA_MODIFIED, path)]
    monkeypatch.setattr(module, "_inotify_add_watch", add_watch)
    watched.require_it_is_watched(path)


def test_a_folder_that_is_renamed_is_not_watched_any_more(watched: Watched) -> None:
    folder, other = watched.path("folder"), watched.path("other")
    os.mkdir(folder)
    wanted = Type.DELETED | Type.CHILD_CREATED | Type.METADATA_MODIFIED
    watched.add(folder, wanted)
    os.chmod(folder, 0o700)
    os.rename(folder, other)
    assert watched.seen() == [(Type.METADATA_MODIFIED, folder), (Type.DELETED, folder)]
    watched.make("other/child")
    assert watched.seen() == []
    assert watched.add(other, wanted)


def test_a_relative_path_is_the_same_after_a_chdir(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.make("file")
    monkeypatch.chdir(watched.folder)
    watched.add("file")
    monkeypatch.chdir("/")
    os.chmod(watched.path("file"), 0o600)
    append(watched.path("file"))
    assert watched.seen() == [(Type.CONTENT_MODIFIED, "file")]
    os.unlink(watched.path("file"))
    assert watched.seen() == [(Type.DELETED, "file")]


def test_removing_a_path_drops_the_events_of_the_file_that_it_named_before(watched: Watched) -> None:
    path = watched.make("file")
    watched.add(path)
    append(path)
    _rename_over(path)
    assert watched.add(path)
    assert watched.watcher.remove_watch(path)
    assert watched.seen() == []


@pytest.mark.slow
@pytest.mark.parametrize("save", SAVES[:-1])
def test_an_end_that_was_lost_in_an_overflow_is_reported_after_it(
    watched: Watched, save: Callable[[str], None]
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel's queue is too long to fill here")
    path, kept = watched.make("file"), watched.make("kept")
    one, other = watched.make("one"), watched.make("other")
    for watched_too in (path, kept, one, other):
        watched.add(watched_too, CHANGES | Type.METADATA_MODIFIED)
    added: list[bool] = []
    watched.watcher.on_overflow = lambda: added.append(watched.add(path))
    for _ in range(limit // 2 + 2):
        # Alternating, as the kernel merges two equal events in a row.
        os.chmod(one, 0o600)
        os.chmod(other, 0o600)
    save(path)
    seen = watched.seen()
    assert added == [True]
    assert [event for event in seen if event[0] is not Type.METADATA_MODIFIED] == [(Type.DELETED, path)]
    watched.require_it_is_watched(path)
    watched.require_it_is_watched(kept)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_to_names_a_path_that_was_added_is_watched(watched: Watched, seed: int) -> None:
    chance = random.Random(seed)
    names = [watched.path(name) for name in "abc"]
    kept: list[int] = []
    for _ in range(60):
        one, other = chance.sample(names, 2)
        match chance.randrange(6):
            case 0:
                Path(one).write_text("x")
            case 1 if os.path.exists(one):
                os.unlink(one)
            case 2 if os.path.exists(one):
                os.rename(one, other)
            case 3 if os.path.exists(one) and not os.path.exists(other):
                os.link(one, other)
            case 4 if os.path.exists(one):
                kept.append(os.open(one, os.O_RDONLY))
            case 5:
                watched.seen()
        if os.path.exists(one) and chance.random() < 0.5:
            watched.add(one)
            watched.seen()
            append(one)
            told = watched.seen()
            assert len(told) == 1
            assert told[0][0] is Type.CONTENT_MODIFIED
            assert os.path.samefile(told[0][1], one)
    for fd in kept:
        os.close(fd)


def test_the_repr_of_a_watcher_of_many_files_is_short(watched: Watched) -> None:
    assert repr(watched.watcher) == "<FileWatcher of nothing>"
    paths = [watched.make(f"{n}") for n in range(50)]
    for path in paths:
        watched.add(path)
    assert repr(watched.watcher) == f"<FileWatcher of {', '.join(map(repr, paths[:3]))} and 47 more>"
    watched.watcher.close()
    assert repr(watched.watcher) == "<FileWatcher closed>"
