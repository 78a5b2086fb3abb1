"""Services that a client must not trust: of another user, or in a folder where another user could put one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop
from ipclib import MultiServer, ServiceUnavailable
from tests.ipclib import clock_service

GUARD = 30.0
STRANGER = 12345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "portal"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def server(loop: EventLoop, clock: Any, folder: Path) -> Iterator[MultiServer[Any]]:
    server: MultiServer[Any] = MultiServer(clock_service.handlers(clock), folder / "clock")
    yield server
    server.close()


@pytest.mark.usefixtures("server")
def test_a_service_of_this_user_is_trusted_by_a_path_of_any_kind(clock: Any, folder: Path) -> None:
    for path in (folder / "clock", str(folder / "clock")):
        client = clock.ConnectionToServer.connect(path)
        assert client.add(1, 2) == 3
        client.shutdown()


@pytest.mark.usefixtures("server")
def test_a_service_of_a_user_that_is_not_trusted_is_left_at_once(clock: Any, folder: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=rf"uid {os.geteuid()}, which is not trusted.*allowed_uids"):
        clock.ConnectionToServer.connect(folder / "clock", allowed_uids=[STRANGER], patience=1000)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("which", ["portal", "above"])
@pytest.mark.parametrize(
    ("mode", "is_trusted"), [(0o777, False), (0o757, False), (0o1777, True), (0o755, True)]
)
def test_a_folder_in_which_others_may_write_is_not_trusted(
    clock: Any, folder: Path, which: str, mode: int, is_trusted: bool
) -> None:
    where = folder if which == "portal" else folder.parent
    where.chmod(mode)
    if is_trusted:
        clock.ConnectionToServer.connect(folder / "clock").shutdown()
    else:
        with pytest.raises(ServiceUnavailable, match=rf"others may write to {where} .*chmod"):
            clock.ConnectionToServer.connect(folder / "clock", patience=1000)


@as_root
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("group", [0, STRANGER])
def test_a_folder_for_a_group_is_trusted_only_if_it_is_its_owners_own(
    clock: Any, folder: Path, group: int
) -> None:
    os.chown(folder, 0, group)
    folder.chmod(0o775)
    if group:
        with pytest.raises(ServiceUnavailable, match="others may write"):
            clock.ConnectionToServer.connect(folder / "clock")
    else:
        clock.ConnectionToServer.connect(folder / "clock").shutdown()


@as_root
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("which", ["portal", "above"])
def test_a_folder_of_another_user_is_trusted_only_if_that_user_is(
    clock: Any, folder: Path, which: str
) -> None:
    where = folder if which == "portal" else folder.parent
    os.chown(where, STRANGER, STRANGER)
    with pytest.raises(
        ServiceUnavailable, match=rf"uid {STRANGER} owns {where} .*allowed_uids=\[{STRANGER}\]"
    ):
        clock.ConnectionToServer.connect(folder / "clock")
    clock.ConnectionToServer.connect(folder / "clock", allowed_uids=[0, STRANGER]).shutdown()


@as_root
@pytest.mark.usefixtures("server")
def test_a_link_in_a_folder_of_another_user_is_not_trusted(clock: Any, folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "link").symlink_to(folder)
    os.chown(theirs, STRANGER, STRANGER)
    with pytest.raises(ServiceUnavailable, match=f"owns {theirs} "):
        clock.ConnectionToServer.connect(theirs / "link" / "clock")


_IMPOSTOR = """
import os, socket, sys
os.setgid(12345); os.setuid(12345)
listening = socket.socket(socket.AF_UNIX); listening.bind(sys.argv[1]); listening.listen()
os.chmod(sys.argv[1], 0o666)
print("ready", flush=True); sys.stdin.read()
"""


@as_root
def test_an_impostor_in_a_shared_folder_gets_nothing(
    loop: EventLoop, clock: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real process of another user, where the service was before it was restarted."""
    for above in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        above.chmod(0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    path = shared / "clock"
    server: MultiServer[Any] = MultiServer(clock_service.handlers(clock), path)
    client = clock.ConnectionToServer.connect(path, reconnect=True)
    client.nothing()
    server.close()
    (shared / "clock.lock").unlink(missing_ok=True)
    impostor = subprocess.Popen(
        [sys.executable, "-c", _IMPOSTOR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "ready\n"
        assert loop.spin_until(lambda: f"uid {STRANGER}, which is not trusted" in caplog.text, GUARD)
        assert not client.is_open
        with pytest.raises(ServiceUnavailable, match=f"uid {STRANGER}"):
            clock.ConnectionToServer.connect(path)
    finally:
        impostor.communicate(timeout=GUARD)
    path.unlink()
    server = MultiServer(clock_service.handlers(clock), path)
    assert loop.spin_until(lambda: client.is_open, GUARD)
    assert client.add(1, 2) == 3
    assert caplog.text.count("not trusted") == 1
    client.shutdown()
    server.close()


def test_a_folder_that_is_not_there_yet_is_waited_for(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"nobody listened at .* within 0.05 s; start the service$"):
        clock.ConnectionToServer.connect(tmp_path / "later" / "clock", patience=0.05)
    with pytest.raises(ServiceUnavailable, match="wait for it with patience=SECONDS"):
        clock.ConnectionToServer.connect(tmp_path / "later" / "clock")


def test_a_service_whose_socket_another_process_made_is_judged_by_that_process(
    loop: EventLoop, clock: Any, folder: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "clock"))
        listening.listen()
        server: MultiServer[Any] = MultiServer(clock_service.handlers(clock), listening)
        client = clock.ConnectionToServer.connect(folder / "clock")
        assert client.add(1, 2) == 3
        client.shutdown()
        server.close()
