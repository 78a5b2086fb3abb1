"""Owns the tests of the settings' client against a fake service, and of the service against a fake client.
Must not know processes: both ends are in this one, on the loop of ipc_loop."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from corelib import LocalSocket
from demos.config.client import Config
from demos.config.config_ipc import ConfigClient, ConfigServer, ConnectionFromClient, ConnectionToServer
from demos.config.service import ConfigClientConnection, ConfigService
from demos.config.store import Store
from ipclib import HandlerError, PeerDisconnected, RemoteError
from ipclib.testing import Fault
from pytest_ipclib import MakeFake, MakePair


def test_a_missing_setting_reads_as_the_fallback(ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    service = ipc_fake(ConnectionFromClient, {"read_i32_value": None, "read_string_value": "Katica"})
    config = ipc_pair(Config, service).client
    assert config.read_i32("Editor", "Window", "Width", fallback=640) == 640
    assert config.read_string("Editor", "View", "Font") == "Katica"
    assert service.received == [
        ConfigServer.ReadI32Value("Editor", "Window", "Width"),
        ConfigServer.ReadStringValue("Editor", "View", "Font"),
    ]


def test_a_refusal_keeps_the_service_s_words(ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    service = ipc_fake(ConnectionFromClient, {"list_domains": HandlerError("the disk is full")})
    with pytest.raises(RemoteError, match="the disk is full"):
        ipc_pair(Config, service).client.list_domains()


def test_a_service_that_dies_in_an_answer_is_gone(ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    config = ipc_pair(Config, ipc_fake(ConnectionFromClient), Fault("cut", "list_domains")).client
    with pytest.raises(PeerDisconnected):
        config.list_domains()


@contextmanager
def _service(folder: Path) -> Iterator[ConfigService]:
    with closing(Store(folder / "settings")) as store:
        service = ConfigService(store, str(folder / "config"))
        yield service
        service.close()


def test_a_setting_that_is_read_back_was_stored(ipc_pair: MakePair, tmp_path: Path) -> None:
    with _service(tmp_path) as service:
        config = ipc_pair(Config, functools.partial(ConfigClientConnection, service)).client
        config.pledge_domains(["Editor"])
        config.write_i32("Editor", "Window", "Width", 800)
        assert config.read_i32("Editor", "Window", "Width") == 800


def test_each_watcher_but_the_writer_is_notified(ipc_fake: MakeFake, tmp_path: Path) -> None:
    with _service(tmp_path):
        watcher = ipc_fake(ConnectionToServer)
        ends = [Config.connect(tmp_path / "config"), watcher(LocalSocket.connect(tmp_path / "config"))]
        for end in ends:
            end.pledge_domains(["Editor"])
            end.monitor_domain("Editor")
        ends[0].write_i32_value("Editor", "Window", "Width", 800)
        assert watcher.wait_for("notify_changed_i32_value") == [
            ConfigClient.NotifyChangedI32Value("Editor", "Window", "Width", 800)
        ]
        for end in ends:
            end.shutdown()
