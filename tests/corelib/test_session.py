"""Owns the tests of where sockets are put, and who may put something there.
Must not know sockets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from corelib import LocalSocket, SocketPathError, session


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IPC_SESSION_ID", raising=False)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_sid_stands_for_the_session_else_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    template = "/tmp/session/%sid/portal/clock"
    assert session.socket_path(template) == f"/tmp/session/{os.getuid()}/portal/clock"
    monkeypatch.setenv("IPC_SESSION_ID", "")
    assert session.socket_path(template) == f"/tmp/session/{os.getuid()}/portal/clock"
    monkeypatch.setenv("IPC_SESSION_ID", "evening")
    assert session.socket_path(template) == "/tmp/session/evening/portal/clock"
    assert session.socket_path("/run/clock") == "/run/clock"


@pytest.mark.parametrize("name", [".", "..", "../0", "/etc", "a/b"])
def test_a_session_must_be_a_plain_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("IPC_SESSION_ID", name)
    with pytest.raises(SocketPathError, match=r"\$IPC_SESSION_ID"):
        session.socket_path("/tmp/session/%sid/portal/clock")
    assert session.socket_path("/run/clock") == "/run/clock", "it matters only where it is used"


def test_a_path_of_107_bytes_is_the_longest() -> None:
    assert session.socket_path("/" + "x" * 106)
    for path in ("/" + "x" * 107, "/" + "ü" * 54, ""):
        with pytest.raises(SocketPathError, match="107 bytes"):
            session.socket_path(path)


def test_a_path_with_a_nul_is_refused() -> None:
    for path in ("\0abstract", "/tmp/clock\0"):
        with pytest.raises(SocketPathError, match="NUL"):
            session.socket_path(path)


def test_a_path_may_be_a_path_object_or_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPC_SESSION_ID", "evening")
    path = tmp_path / "session" / "%sid" / "clock"
    for same in (path, os.fspath(path), os.fsencode(path)):
        session.prepare_folder(same)  # type: ignore[arg-type]
        found = session.socket_path(same)  # type: ignore[arg-type]
        assert found == f"{tmp_path}/session/evening/clock"
    assert mode(tmp_path / "session" / "evening") == 0o700


@pytest.mark.parametrize("path", [None, 3, 1.5, ["path"]])
def test_what_is_no_path_is_refused(path: Any) -> None:
    for use in (session.socket_path, session.prepare_folder, LocalSocket.connect):
        with pytest.raises(TypeError, match=r"os\.PathLike"):
            use(path)


def test_folders_are_made_with_their_modes_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
    finally:
        os.umask(before)
    mine = tmp_path / "session" / str(os.getuid())
    assert mode(tmp_path / "session") == 0o1777
    assert mode(mine) == 0o700
    assert mode(mine / "portal") == 0o700


def test_a_shared_parent_that_nobody_else_writes_to_needs_no_sticky_bit(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir(0o755)
    session.prepare_folder(f"{tmp_path}/session/%sid/clock")


def test_a_shared_parent_where_others_could_replace_our_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session").chmod(0o777)
    with pytest.raises(SocketPathError, match=r"chmod \+t"):
        session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
    assert os.listdir(tmp_path / "session") == []


@pytest.mark.parametrize("which", ["session", "session/{uid}", "session/{uid}/portal"])
def test_no_folder_is_followed_through_a_link(tmp_path: Path, which: str) -> None:
    link = tmp_path / which.format(uid=os.getuid())
    session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
    target = tmp_path / "elsewhere"
    link.rename(target)
    link.symlink_to(target)
    with pytest.raises(SocketPathError, match="real folder"):
        session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")


@pytest.mark.parametrize("which", ["", "portal"])
def test_a_session_folder_that_is_open_to_others_is_refused(tmp_path: Path, which: str) -> None:
    session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
    (tmp_path / "session" / str(os.getuid()) / which).chmod(0o750)
    with pytest.raises(SocketPathError, match=r"mode 0750.*chmod 700"):
        session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "session").write_text("")
    with pytest.raises(SocketPathError, match="real folder"):
        session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")


def test_outside_a_session_the_folder_must_exist(tmp_path: Path) -> None:
    session.prepare_folder(f"{tmp_path}/clock")
    session.prepare_folder("/tmp/clock")
    with pytest.raises(SocketPathError, match="No such file"):
        session.prepare_folder(f"{tmp_path}/missing/clock")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(SocketPathError, match=r"chmod \+t"):
        session.prepare_folder(f"{tmp_path}/open/clock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("which", ["session", "session/0", "session/0/portal"])
def test_folders_of_another_user_are_refused(tmp_path: Path, which: str) -> None:
    session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
    os.chown(tmp_path / which, 12345, 12345)
    with pytest.raises(SocketPathError, match="12345"):
        session.prepare_folder(f"{tmp_path}/session/%sid/portal/clock")
