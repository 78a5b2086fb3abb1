"""Owns the tests of `ipcc list` and of `ipcc describe SOCKET`, with services in processes of their own.
Must not know how a service is asked.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ipctools.running import ROOT, Done, config_service, ipcc, running

HERE = Path(__file__).parent
INTERFACE = ROOT / "demos" / "config" / "ConfigServer.ipc"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a live service, one that has left its socket, and a listener that stays silent."""
    folder = tmp_path_factory.mktemp("services")
    (folder / "portal").mkdir()
    with socket.socket(socket.AF_UNIX) as stale, socket.socket(socket.AF_UNIX) as silent:
        stale.bind(str(folder / "stale"))
        stale.close()
        silent.bind(str(folder / "silent"))
        silent.listen()
        with config_service(folder / "portal"):
            yield folder


def test_services_are_listed_with_what_is_known(folder: Path) -> None:
    config = folder / "portal" / "config"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(config))
        done = ipcc("list", folder, "--json", "--timeout", "0.2")
    rows = {Path(row["path"]).name: row for row in json.loads(done.output)}
    assert list(rows) == ["config", "silent", "stale"]
    command = rows["config"].pop("command")
    pid = rows["config"].pop("pid")
    assert f"-m demos.config serve --socket {config}" in command
    assert os.readlink(f"/proc/{pid}/exe") == os.path.realpath(os.readlink(f"/proc/{os.getpid()}/exe"))
    assert rows["config"] == {
        "path": str(config),
        "state": "alive",
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "endpoints": ["ConfigServer"],
        "clients": 1,
    }
    assert (rows["silent"]["state"], rows["silent"]["pid"]) == ("silent", os.getpid())
    assert rows["stale"] == dict.fromkeys(rows["stale"]) | {"path": str(folder / "stale"), "state": "stale"}


def test_the_list_is_a_table(folder: Path) -> None:
    done = ipcc("list", folder, "--timeout", "0.2")
    lines = [line.split()[:2] for line in done.output.splitlines()]
    assert lines == [
        ["SOCKET", "STATE"],
        [str(folder / "portal" / "config"), "alive"],
        [str(folder / "silent"), "silent"],
        [str(folder / "stale"), "stale"],
    ]


def test_the_session_s_services_are_listed_by_default(tmp_path: Path) -> None:
    session = f"list-{os.getpid()}"
    path = Path("/tmp/session") / session / "portal" / "everything"
    service = [HERE / "everything_service.py", "/tmp/session/%sid/portal/everything"]
    with running(service, IPC_SESSION_ID=session):
        listed = ipcc("list", IPC_SESSION_ID=session)
        called = ipcc("call", "/tmp/session/%sid/portal/everything", "poke", IPC_SESSION_ID=session)
        described = ipcc("describe", "/tmp/session/%sid/portal/everything", IPC_SESSION_ID=session)
    assert listed.output.splitlines()[1].split()[:2] == [str(path), "alive"]
    assert called.errors.startswith("ipcc: error: EverythingServer has no message 'poke'")
    assert described.output.startswith("endpoint EverythingClient: magic")
    for name in ("everything", "everything.lock"):
        (path.parent / name).unlink(missing_ok=True)
    path.parent.rmdir()
    path.parent.parent.rmdir()
    nothing = ipcc("list", IPC_SESSION_ID=session)
    assert nothing == Done(0, "", f"no services in /tmp/session/{session}\n")
    assert ipcc("list", "--json", IPC_SESSION_ID=session) == Done(0, "[]\n", "")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = ipcc("list", tmp_path / "none")
    text = f"there is no folder {tmp_path}/none: give a folder of sockets, or none for the session's"
    assert done == Done(2, "", f"ipcc: error: {text}\n")


def test_describe_of_a_socket_shows_what_describe_of_the_file_shows(folder: Path) -> None:
    config = folder / "portal" / "config"
    of_file, of_service = ipcc("describe", "--json", INTERFACE), ipcc("describe", "--json", config)
    assert of_service.code == 0, of_service
    file, service = json.loads(of_file.output), json.loads(of_service.output)
    assert service.pop("sources") == ["config"]
    assert file.pop("sources") == ["ConfigServer.ipc"]
    assert service.pop("endpoints") == file.pop("endpoints")[::-1]
    assert service == file
    assert ipcc("diff", INTERFACE, config) == Done(0, "", "")


def test_a_module_is_compiled_from_a_running_service(folder: Path) -> None:
    done = ipcc(folder / "portal" / "config")
    assert done.code == 0
    assert "class ConnectionToServer(" in done.output


def test_describe_of_a_socket_without_service_is_an_error(folder: Path) -> None:
    text = f"nobody listens at {folder}/stale, which an ended service has left there: start the service"
    assert ipcc("describe", folder / "stale") == Done(3, "", f"ipcc: error: {text}\n")


def test_types_that_both_endpoints_use_are_described_once(tmp_path: Path) -> None:
    with running([HERE / "sharing_service.py", tmp_path / "sharing"]):
        described = ipcc("describe", tmp_path / "sharing")
        called = ipcc("call", tmp_path / "sharing", "move", 'to={"x": 1}')
        refused = ipcc("call", tmp_path / "sharing", "keep", "thing={}")
    assert described.output.count("struct Point") == 1
    assert "// Own::Thing has a codec of its own." in described.output
    assert called == Done(0, 'moved = {"x": 2}\n', "")
    text = "SharingServer.keep uses Own::Thing, which has a codec of its own: call it from a program"
    assert refused == Done(2, "", f"ipcc: error: {text}\n")
