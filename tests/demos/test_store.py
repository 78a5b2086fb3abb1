"""Owns the tests of settings on disk: changes by hand, by a killed service, and failures.
Must not know clients."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demos.config.errors import InvalidSetting, StorageFailure
from demos.config.store import Store, default_directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "settings"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    with closing(Store(directory)) as store:
        yield store


def test_a_domain_is_a_file(store: Store, directory: Path) -> None:
    assert store.domains() == []
    assert store.domain("Editor").set("Window", "width", "640")
    assert store.domains() == ["Editor"]
    assert (directory / "Editor.ini").read_text() == "[Window]\nwidth=640\n"
    assert (directory / "Editor.ini").stat().st_mode & 0o777 == 0o600
    assert os.listdir(directory) == ["Editor.ini"]


def test_a_read_makes_no_file(store: Store, directory: Path) -> None:
    assert store.domain("Editor").get("Window", "width") is None
    assert not store.domain("Editor").remove_group("Window")
    assert os.listdir(directory) == []


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(store: Store, directory: Path, kind: str) -> None:
    path = directory / "Editor.ini"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    for use in (store.domain("Editor").groups, lambda: store.domain("Editor").set("Window", "width", "640")):
        with pytest.raises(StorageFailure, match="cannot read"):
            use()


def test_a_fifo_in_place_of_the_next_file_is_not_waited_for(store: Store, directory: Path) -> None:
    os.mkfifo(directory / ".Editor.ini.new")
    with pytest.raises(StorageFailure, match="cannot write"):
        store.domain("Editor").set("Window", "width", "640")
    assert store.domain("Editor").set("Window", "width", "640"), "the failure has removed it"


def test_the_next_store_reads_what_the_last_one_wrote(directory: Path) -> None:
    with closing(Store(directory)) as first:
        first.domain("Editor").set("Window", "width", "640")
    with closing(Store(directory)) as second:
        assert second.domain("Editor").get("Window", "width") == "640"


def test_a_change_by_hand_is_seen(store: Store, directory: Path) -> None:
    editor = store.domain("Editor")
    editor.set("Window", "width", "640")
    (directory / "Editor.ini").write_text("# mine\n[Window]\nwidth=1000\n")
    assert editor.get("Window", "width") == "1000"
    editor.set("Window", "height", "480")
    assert (directory / "Editor.ini").read_text() == "# mine\n[Window]\nwidth=1000\nheight=480\n"
    (directory / "Editor.ini").unlink()
    assert editor.groups() == []


def test_unreadable_lines_are_logged_once_and_kept(
    store: Store, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "Editor.ini").write_bytes(b"[Window]\nwidth\ncaf\xe9=1\n")
    editor = store.domain("Editor")
    with caplog.at_level(logging.WARNING):
        assert editor.keys("Window") == []
        assert editor.set("Window", "height", "480")
    assert [record.getMessage().removeprefix(f"{directory}/") for record in caplog.records] == [
        "Editor.ini:2: a setting is key=value; the line is ignored",
        "Editor.ini:3: the line is not UTF-8; it is ignored",
    ]
    assert (directory / "Editor.ini").read_bytes() == b"[Window]\nheight=480\nwidth\ncaf\xe9=1\n"


def test_a_link_to_a_file_elsewhere_stays_a_link(store: Store, directory: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.ini"
    kept.write_text("[Window]\nwidth=640\n")
    (directory / "Editor.ini").symlink_to(kept)
    store.domain("Editor").set("Window", "width", "800")
    assert (directory / "Editor.ini").is_symlink()
    assert kept.read_text() == "[Window]\nwidth=800\n"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_changes_nothing(
    store: Store, directory: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    editor = store.domain("Editor")
    editor.set("Window", "width", "640")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(StorageFailure, match=r"cannot write .*Editor.ini: No space left on device"):
            editor.set("Window", "width", "800")
    assert editor.get("Window", "width") == "640"
    assert os.listdir(directory) == ["Editor.ini"]


def test_the_file_is_on_disk_before_its_name_and_the_name_before_the_return(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(fd: int) -> None:
        calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        fsync(fd)

    def record_replace(source: Path, target: Path) -> None:
        calls.append(f"replace {target.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    store.domain("Editor").set("Window", "width", "640")
    assert calls == ["fsync .Editor.ini.new", "replace Editor.ini", "fsync settings"]


def test_the_unfinished_file_of_a_killed_service_is_overwritten(store: Store, directory: Path) -> None:
    (directory / ".Editor.ini.new").write_text("half a fi")
    assert store.domains() == []
    store.domain("Editor").set("Window", "width", "640")
    assert os.listdir(directory) == ["Editor.ini"]


def test_a_folder_in_place_of_a_file_is_a_clear_error(store: Store, directory: Path) -> None:
    (directory / "Editor.ini").mkdir()
    with pytest.raises(StorageFailure, match=r"cannot read .*Editor.ini: Is a directory"):
        store.domain("Editor").get("Window", "width")


def test_one_store_owns_a_folder(store: Store, directory: Path) -> None:
    with pytest.raises(StorageFailure, match="in use by another settings service"):
        Store(directory)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailure, match=r"cannot keep settings in .*: Not a directory"):
        Store(tmp_path / "file" / "settings")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0b", "a\nb", "\ud800", "x" * 241]
)
def test_domains_that_cannot_be_file_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidSetting, match="domain"):
        store.domain(name)


def test_the_longest_domain_fits(store: Store) -> None:
    assert store.domain("é" * 120).set("Group", "key", "value")


def test_the_default_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/corelib-config")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/anna")
    assert default_directory() == Path("/home/anna/.config/corelib-config")


@given(value=st.text(st.characters(codec="utf-8")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_any_value_reads_back_from_the_file(store: Store, directory: Path, value: str) -> None:
    store.domain("Editor").set("Group", "key", value)
    copy = directory / "Copy.ini"
    copy.unlink(missing_ok=True)
    os.link(directory / "Editor.ini", copy)
    assert store.domain("Copy").get("Group", "key") == value
