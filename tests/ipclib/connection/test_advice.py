"""What a program is told about its own mistakes: handlers, endpoints, waits, and tracebacks for debugging."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, LocalSocket, UsageError
from corelib.turn import WaitMode
from ipclib import (
    BadDeclaration,
    ErrorKind,
    HandlerError,
    MultiServer,
    PeerDisconnected,
    RemoteError,
    UnknownMessage,
    Wait,
)
from ipclib.protocol import wire
from tests.ipclib import clock_service
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import bare, trailed

GUARD = 20.0

OTHER = """
endpoint LampServer
{
    switch_on(bool on) => (bool was_on)
    blink() =|
}

endpoint LampClient
{
    burnt_out() =|
}
"""


@pytest.fixture(scope="session")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("lamp") / "Lamp.ipc"
    source.write_text(OTHER)
    return ipcc.load(source)


# Messages that nobody handles


def test_a_stub_that_a_handler_calls_is_not_the_handler_that_is_missing(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.service.nothing = lambda: pair.service.not_handled()
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing()
    assert (failed.value.kind, failed.value.text) == (ErrorKind.HANDLER_RAISED, "Unhandled")
    assert "no class overrides the handler of ClockServer.not_handled" in caplog.text
    with pytest.raises(UnknownMessage, match=r"ClockServer\.not_handled has no handler here"):
        pair.client.not_handled()


def test_a_one_way_handler_that_calls_a_stub_is_logged_as_one_that_raised(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.service.log = lambda number, text: pair.service.not_handled()
    pair.client.async_log(1, "")
    pair.client.nothing()
    assert "ClockServer.log: the handler raised" in caplog.text
    assert "has no method" not in caplog.text


def test_a_one_way_message_without_a_handler_is_warned_of_once_and_counted(
    loop: EventLoop, lamp: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Lamp(lamp.ConnectionFromClient):  # type: ignore[misc]
        def blnik(self) -> None:
            """Meant to be blink()."""

    for number in range(2):
        here, there = LocalSocket.pair()
        client, service = lamp.ConnectionToServer(here), Lamp(there, number)
        for _ in range(3):
            client.async_blink()
        assert loop.spin_until(lambda service=service: service.counters.dropped_messages == 3, timeout=GUARD)
        client.shutdown()
        service.shutdown()
    (record,) = caplog.records
    assert "LampServer.blink" in record.getMessage()
    assert "Lamp has no method blink()" in record.getMessage()
    assert "it has blnik()" in record.getMessage()


def test_no_method_is_proposed_where_none_is_near(
    loop: EventLoop, lamp: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(lamp.ConnectionFromClient):  # type: ignore[misc]
        pass

    here, there = LocalSocket.pair()
    client, service = lamp.ConnectionToServer(here), Bare(there, 1)
    client.async_blink()
    assert loop.spin_until(lambda: service.counters.dropped_messages == 1, timeout=GUARD)
    assert "it has" not in caplog.text
    client.shutdown()
    service.shutdown()


# Handlers and waits that cannot be


@pytest.mark.parametrize("wrong", [5, "text", [1], object()], ids=repr)
def test_an_attribute_in_place_of_a_handler_is_refused_with_its_class(lamp: Any, wrong: object) -> None:
    with pytest.raises(BadDeclaration, match=r"Lamp\.blink is a .*handler of LampServer\.blink"):
        type("Lamp", (lamp.ConnectionFromClient,), {"blink": wrong})
    with pytest.raises(BadDeclaration, match=r"burnt_out"):
        type("App", (lamp.ConnectionToServer,), {"burnt_out": wrong})


def test_methods_of_every_kind_are_handlers(lamp: Any) -> None:
    class Lamp(lamp.ConnectionFromClient):  # type: ignore[misc]
        @staticmethod
        def blink() -> None: ...

        @classmethod
        def switch_on(cls, on: bool) -> bool:
            return on

    assert Lamp.switch_on(True)
    type("Other", (lamp.ConnectionFromClient,), {"blink": property(lambda self: lambda: None)})


def test_a_wait_of_a_class_that_is_no_wait_is_refused_with_its_class(lamp: Any) -> None:
    with pytest.raises(BadDeclaration, match=r"App\.wait is Wait\.PUMP or Wait\.BLOCK, not 'block'"):
        type("App", (lamp.ConnectionToServer,), {"wait": "block"})


@pytest.mark.parametrize("wrong", ["block", "pump", 1, True], ids=repr)
def test_a_wait_that_is_none_is_refused_before_anything_is_sent(pair: Pair, wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"Wait\.PUMP or Wait\.BLOCK"):
        pair.client.add(1, 2, wait=wrong)
    assert pair.client.counters.frames_sent == 0
    pair.client.wait = wrong
    with pytest.raises(UsageError, match=r"Wait\.PUMP or Wait\.BLOCK"):
        pair.client.add(1, 2)
    pair.client.wait = Wait.PUMP
    assert pair.client.add(1, 2) == 3


# Another endpoint


def test_a_caller_of_another_endpoint_learns_which_are_spoken(
    loop: EventLoop, clock: Any, lamp: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = MultiServer(clock_service.handlers(clock), str(tmp_path / "socket"))
    client = lamp.ConnectionToServer.connect(str(tmp_path / "socket"))
    with pytest.raises(UnknownMessage, match="which speaks ClockServer and ClockClient"):
        client.switch_on(True, timeout=GUARD)
    with pytest.raises(PeerDisconnected):
        client.switch_on(True, timeout=GUARD)
    assert loop.spin_until(lambda: not client.is_open and not server.clients, timeout=GUARD)
    assert len(caplog.records) == 1
    server.close()


@pytest.mark.parametrize("what", ["one-way", "bare", "control", "after bare"])
def test_no_other_frame_of_another_endpoint_is_answered(
    loop: EventLoop, clock: Any, lamp: Any, what: str
) -> None:
    raw, service = raw_peer(clock)
    switch_on = lamp.LampServer.SwitchOn
    frames = {
        "one-way": trailed(lamp.LampServer.Blink, b"", 0),
        "bare": wire.bare_frame(switch_on.__ipc__.key, b"\1"),
        "control": wire.pack_cancel(lamp.LampServer.MAGIC, 1),
        "after bare": trailed(switch_on, b"\1", 1),
    }
    if what == "after bare":
        raw.sendall(bare(clock.ClockServer.Nothing))
        loop.pump(WaitMode.POLL_FOR_EVENTS)
        assert raw.recv(12)
    frame = frames[what]
    assert isinstance(frame, bytes)
    raw.sendall(frame)
    assert loop.spin_until(lambda: not service.is_open, timeout=GUARD)
    assert raw.recv(100) == b""
    raw.close()


def test_answers_to_earlier_requests_leave_before_a_violation_closes(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    raw.sendall(trailed(clock.ClockServer.Nothing, b"", 1) + b"\xff" * 12)
    assert loop.spin_until(lambda: not service.is_open, timeout=GUARD)
    assert wire.serial_of(raw.recv(100), wire.SMALLEST_TRAILED) == 1
    raw.close()


# Tracebacks of handlers


def _at_fault(*_values: Any) -> Any:
    raise ZeroDivisionError("at fault")


async def _later(*_values: Any) -> Any:
    raise HandlerError("on purpose")


@pytest.mark.parametrize("way", ["environment", "debug"])
def test_a_caller_of_the_same_user_gets_the_traceback_when_debugging(
    loop: EventLoop, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "environment":
        monkeypatch.setenv("IPCLIB_DEBUG", "1")
    server = MultiServer(clock_service.handlers(clock), str(tmp_path / "s"), debug=way == "debug")
    client = clock.ConnectionToServer.connect(str(tmp_path / "s"))
    client.nothing()
    (service,) = server.clients
    service.nothing = _at_fault
    with pytest.raises(RemoteError) as failed:
        client.nothing()
    assert failed.value.text == "ZeroDivisionError"
    assert "in _at_fault" in (failed.value.remote_traceback or "")
    assert "at fault" in "".join(failed.value.__notes__)
    service.nothing = _later
    with pytest.raises(RemoteError) as failed:
        client.nothing()
    assert failed.value.text == "on purpose"
    assert "in _later" in (failed.value.remote_traceback or "")
    service.add = lambda a, b: "many"
    with pytest.raises(RemoteError) as failed:
        client.add(1, 2)
    assert failed.value.kind is ErrorKind.UNENCODABLE_ANSWER
    assert failed.value.remote_traceback
    client.shutdown()
    server.close()


@pytest.mark.parametrize("why", ["nobody debugs", "another value", "another user"])
def test_a_traceback_is_no_one_else_s(pair: Pair, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why != "nobody debugs":
        monkeypatch.setenv("IPCLIB_DEBUG", "1" if why == "another user" else "0")
    if why == "another user":
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    pair.service.nothing = _at_fault
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing()
    assert failed.value.remote_traceback is None
    assert not hasattr(failed.value, "__notes__")


def test_a_long_traceback_loses_its_beginning(pair: Pair) -> None:
    link_of(pair.service).sends_tracebacks = True

    def nothing() -> None:
        raise ValueError("x" * 100_000 + " the end")

    pair.service.nothing = nothing
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing()
    assert failed.value.text == "ValueError"
    assert (failed.value.remote_traceback or "").endswith(" the end\n")
    assert len(failed.value.remote_traceback or "") < 17_000
