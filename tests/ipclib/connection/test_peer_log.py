"""What one peer can write into the log: a few lines a second, of bounded length, and the rest is counted."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket
from corelib.turn import current_thread_loop
from ipclib import Limits, Rate, RemoteError
from ipclib.connection import peer_log
from ipclib.connection.peer_log import log_about
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair
from tests.ipclib.protocol.two_ends import trailed
from tests.ipclib.test_showing import Spoilt

MIB = 1 << 20


def _log(pid: int, text: str = "a line") -> None:
    log_about(current_thread_loop(), pid, logging.WARNING, "%s", text)


def test_one_process_has_a_few_lines_and_the_rest_is_counted(
    loop: EventLoop, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        _log(7)
    burst = len(caplog.records)
    assert 10 <= burst <= 30
    fake_clock.advance(1.0)
    _log(7)
    assert caplog.records[-1].getMessage() == (
        f"a line ({1000 - burst} lines about peers were not logged before this one)"
    )
    fake_clock.advance(1.0)
    _log(7)
    assert caplog.records[-1].getMessage() == "a line"


def test_a_process_that_fills_its_lines_leaves_others_theirs(
    loop: EventLoop, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        _log(7)
    _log(8, "of another")
    assert caplog.records[-1].getMessage().startswith("of another")


def test_many_processes_have_a_few_lines_together(
    loop: EventLoop, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for pid in range(20_000):
        _log(pid)
    assert len(caplog.records) <= 200


def test_each_loop_counts_for_itself(fake_clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with EventLoop(clock=fake_clock):
            _log(7)
            for _ in range(100):
                _log(7)
        assert caplog.records[0].getMessage() == "a line"
        caplog.clear()


@pytest.mark.parametrize("error", [ValueError("x" * (4 * MIB)), ValueError(Spoilt(BaseException()))])
def test_a_long_or_spoilt_error_is_one_line_of_bounded_length(
    loop: EventLoop, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    log_about(current_thread_loop(), 7, logging.ERROR, "%s raised", "x" * MIB, error=error)
    assert len(caplog.text) < 20_000
    assert len(caplog.records) == 1


def test_an_error_of_usual_length_keeps_its_traceback(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    log_about(current_thread_loop(), 7, logging.ERROR, "%s raised", "x", error=ValueError("usual"))
    assert caplog.records[0].exc_info is not None
    assert "ValueError: usual" in caplog.text


def _fail(pair: Pair) -> None:
    with pytest.raises(RemoteError):
        pair.client.fail("x" * 10_000, False)


def _fail_one_way(pair: Pair) -> None:
    pair.service.log = lambda number, text: 1 / 0
    pair.client.async_log(1, "")
    pair.client.nothing()


def _cannot_answer(pair: Pair) -> None:
    pair.service.add = lambda a, b: "x" * 100_000
    with pytest.raises(RemoteError):
        pair.client.add(1, 2)


@pytest.mark.parametrize("act", [_fail, _fail_one_way, _cannot_answer], ids=lambda act: act.__name__)
def test_a_caller_cannot_fill_the_log(pair: Pair, caplog: pytest.LogCaptureFixture, act: Any) -> None:
    for _ in range(300):
        act(pair)
    assert 10 <= len(caplog.records) <= 40
    assert len(caplog.text) < 300_000


def test_connects_that_break_rules_cannot_fill_the_log(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = clock_service.handlers(clock)

    class Dying(handlers):  # type: ignore[misc]
        def die(self) -> None:
            raise ZeroDivisionError

    frames = [b"\xff" * 8, trailed(clock.ClockServer.Log, b"", 0, other_signature=True) + b"\xff" * 8]
    for number in range(200):
        raw, there = socket.socketpair()
        limits = Limits(rate=Rate(per_second=1, burst=1)) if number % 2 else None
        service = Dying(LocalSocket.adopt(there), number, limits=limits)
        raw.sendall(frames[number % 2])
        assert loop.spin_until(lambda service=service: not service.is_open, timeout=20)
        raw.close()
    assert 10 <= len(caplog.records) <= 80


def test_no_other_file_of_connections_writes_a_line_about_a_process() -> None:
    folder = Path(peer_log.__file__).parent
    lines = [
        f"{file.name}: {line.strip()}"
        for file in folder.glob("*.py")
        for line in file.read_text().splitlines()
        if "logger." in line and "pid" in line and file.name != "peer_log.py"
    ]
    assert lines == []
