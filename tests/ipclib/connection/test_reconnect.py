"""A client whose service restarts: what it loses, what it is told, and how it stops looking."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import Cancelled, EventLoop, LocalSocket, Promise, Timer
from ipclib import MultiServer, PeerDisconnected
from ipclib.connection.reconnect import Reconnecting
from ipclib.connection.trust import Way, admitted_uids
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock

GUARD = 30.0


@pytest.fixture
def app(clock: Any) -> Any:
    class App(clock.ConnectionToServer):  # type: ignore[misc]
        died = 0
        reconnected = 0
        ticks = 0

        def tick(self, number: int) -> None:
            self.ticks += 1

        def did_reconnect(self) -> None:
            self.reconnected += 1

        def die(self) -> None:
            self.died += 1

    return App


class Service:
    """One in this process that comes and goes."""

    def __init__(self, clock: Any, path: str) -> None:
        self.path = path
        self.handlers = clock_service.handlers(clock)
        self._server: MultiServer[Any] | None = None

    def start(self) -> None:
        self._server = MultiServer(self.handlers, self.path)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


@pytest.fixture
def service(loop: EventLoop, clock: Any, tmp_path: Path) -> Iterator[Service]:
    service = Service(clock, str(tmp_path / "clock"))
    service.start()
    yield service
    service.stop()


def _lost(loop: EventLoop, client: Any) -> None:
    assert loop.spin_until(lambda: not client.is_open, GUARD)


def _found(loop: EventLoop, client: Any, times: int) -> None:
    assert loop.spin_until(lambda: client.reconnected == times, GUARD)


def test_a_service_that_restarts_is_found_again(loop: EventLoop, service: Service, app: Any) -> None:
    client = app.connect(service.path, reconnect=True)
    for times in range(1, 4):
        assert client.add(1, times) == 1 + times
        service.stop()
        _lost(loop, client)
        service.start()
        _found(loop, client, times)
    assert client.slow(0, 3) == 0
    assert client.ticks == 3
    assert client.died == 0
    client.shutdown()
    assert client.died == 1


@pytest.mark.slow
def test_a_killed_process_that_is_started_again_is_found(
    loop: EventLoop, clock: Any, processes: Any, app: Any, tmp_path: Path
) -> None:
    path, process = processes.clock_service()
    client = app.connect(path, reconnect=True)
    held = client.async_held(1)
    client.nothing()
    process.kill()
    with pytest.raises(PeerDisconnected):
        held.await_()
    process.wait()
    server = MultiServer(clock_service.handlers(clock), path)
    _found(loop, client, 1)
    assert client.add(1, 2) == 3
    client.shutdown()
    server.close()


def test_calls_fail_and_posts_are_dropped_while_the_service_is_away(
    loop: EventLoop, service: Service, app: Any
) -> None:
    client = app.connect(service.path, reconnect=True)
    waiting = client.async_held(1)
    client.flush()
    service.stop()
    with pytest.raises(PeerDisconnected):
        waiting.await_()
    assert not client.is_open
    assert repr(client).startswith("<app.<locals>.App looking for its service, pid ")
    with pytest.raises(PeerDisconnected):
        client.add(1, 2)
    with pytest.raises(PeerDisconnected):
        client.async_add(1, 2).await_()
    client.async_log(1, "lost")
    assert client.counters.dropped_posts == 1
    service.start()
    _found(loop, client, 1)
    assert client.logged() == [], "it was dropped, not kept"
    client.shutdown()


def test_a_blocking_call_that_loses_its_service_fails(loop: EventLoop, service: Service, app: Any) -> None:
    client = app.connect(service.path, reconnect=True)
    Timer.create_single_shot(10, service.stop).start()
    with pytest.raises(PeerDisconnected):
        client.held(1)
    service.start()
    _found(loop, client, 1)
    assert client.add(1, 2) == 3
    client.shutdown()


def test_the_hook_may_send_the_new_service_its_state(loop: EventLoop, service: Service, app: Any) -> None:
    class Faithful(app):  # type: ignore[misc]
        def did_reconnect(self) -> None:
            self.async_log(7, "what the old one knew")
            self.logs = self.logged()
            super().did_reconnect()

    client = Faithful.connect(service.path, reconnect=True)
    service.stop()
    _lost(loop, client)
    service.start()
    _found(loop, client, 1)
    assert client.logs == [7]
    client.shutdown()


def test_the_loop_goes_on_during_the_search_and_shutdown_ends_it(
    loop: EventLoop, service: Service, app: Any
) -> None:
    client = app.connect(service.path, reconnect=True)
    service.stop()
    _lost(loop, client)
    ticks: list[int] = []
    timer = Timer.create_repeating(1, lambda: ticks.append(1))
    timer.start()
    assert loop.spin_until(lambda: len(ticks) >= 20, GUARD)
    timer.stop()
    assert (client.died, client.reconnected) == (0, 0)
    client.shutdown()
    client.shutdown()
    assert client.died == 1
    assert not loop.snapshot().timers
    service.start()
    assert not client.is_open


def test_a_connection_that_does_not_reconnect_ends_with_its_service(
    loop: EventLoop, service: Service, app: Any
) -> None:
    client = app.connect(service.path)
    service.stop()
    _lost(loop, client)
    assert client.died == 1
    assert not loop.snapshot().timers


def test_the_hook_may_shut_the_connection_down(loop: EventLoop, service: Service, app: Any) -> None:
    class Leaving(app):  # type: ignore[misc]
        def did_reconnect(self) -> None:
            self.shutdown()

    client = Leaving.connect(service.path, reconnect=True)
    service.stop()
    _lost(loop, client)
    service.start()
    assert loop.spin_until(lambda: client.died, GUARD)
    assert not loop.snapshot().timers


def test_the_hook_may_lose_the_service_again(loop: EventLoop, service: Service, app: Any) -> None:
    class Unlucky(app):  # type: ignore[misc]
        failed = 0

        def did_reconnect(self) -> None:
            super().did_reconnect()
            if self.reconnected == 1:
                Timer.create_single_shot(0, self.lose).start()
                try:
                    self.held(1)
                except PeerDisconnected:
                    self.failed += 1
                assert loop.spin_until(lambda: self.reconnected == 2, GUARD), "even inside the first"

        @staticmethod
        def lose() -> None:
            service.stop()
            service.start()

    client = Unlucky.connect(service.path, reconnect=True)
    service.stop()
    _lost(loop, client)
    service.start()
    _found(loop, client, 2)
    assert client.failed == 1
    assert client.add(1, 2) == 3
    client.shutdown()


def test_a_service_that_breaks_the_rules_is_not_looked_for(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "bad")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        client = app.connect(path, reconnect=True)
        accepted, _ = listening.accept()
        accepted.sendall(struct.pack("=IIi", 8, 0xDEADBEEF, 1))
        assert loop.spin_until(lambda: client.died, GUARD)
        accepted.close()
    assert not loop.snapshot().timers


def test_a_service_that_accepts_and_dies_is_looked_for_ever_more_slowly(
    loop: EventLoop, fake_clock: FakeClock, tmp_path: Path
) -> None:
    found_at: list[int] = []
    path = str(tmp_path / "dying")

    def found(connected: LocalSocket) -> None:
        found_at.append(fake_clock.now_ns())
        connected.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(100)
        search = Reconnecting(Way(path, admitted_uids(None)), found)
        delays: list[int] = []
        for count in range(10):
            lost_at = fake_clock.now_ns()
            assert not search.lost(), "the connection goes on"
            assert loop.spin_until(lambda count=count: len(found_at) > count, GUARD)
            delays.append((found_at[-1] - lost_at) // 1_000_000)
        assert delays == [20, 40, 80, 160, 320, 640, 1280, 2000, 2000, 2000]
        fake_clock.advance(3.0)  # It lasted.
        lost_at = fake_clock.now_ns()
        search.lost()
        assert loop.spin_until(lambda: len(found_at) == 11, GUARD)
        assert (found_at[-1] - lost_at) // 1_000_000 == 20
        search.lost()
        assert search.stop()
        assert not search.stop(), "nobody looks any more"
        assert search.lost(), "the connection ends"
        assert not loop.snapshot().timers


def test_an_error_that_waiting_may_not_mend_is_logged_once(
    loop: EventLoop, service: Service, app: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    path = str(folder / "clock")
    server = MultiServer(service.handlers, path)
    client = app.connect(path, reconnect=True)
    server.close()
    folder.rmdir()
    folder.touch()
    assert loop.spin_until(lambda: bool(caplog.records), GUARD)
    waited: Promise[None] = Promise()
    Timer.create_single_shot(150, lambda: waited.resolve(None)).start()
    waited.await_()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: still looking for the service there: Not a directory"
    ]
    client.shutdown()


@pytest.mark.parametrize("way", ["returned", "promised", "coroutine"])
def test_an_answer_to_the_lost_service_is_not_given_to_the_next(
    loop: EventLoop, clock: Any, app: Any, tmp_path: Path, way: str
) -> None:
    """Serials begin anew with each service: the new one's first call has the number of the old one's."""
    handlers = clock_service.handlers(clock)
    path = str(tmp_path / "clock")
    asked: list[Promise[int]] = []
    services: list[Any] = []
    answers: list[Promise[int]] = []

    class Asked(app):  # type: ignore[misc]
        def ascend(self, depth: int) -> Any:
            asked.append(Promise())
            if way == "coroutine" and len(asked) == 1:
                return stubborn()
            if way == "returned" and len(asked) == 1:
                replace()
                return 1
            return asked[-1]

    async def stubborn() -> int:
        with contextlib.suppress(Cancelled):
            await Promise()
        await asked[0]
        return 1

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def accept() -> None:
            services.append(handlers(LocalSocket.adopt(listening.accept()[0]), 1))
            answers.append(services[-1].async_ascend(1))
            answers[-1].when_rejected(lambda error: None)
            count = len(asked)
            assert loop.spin_until(lambda: len(asked) > count, GUARD)

        def replace() -> None:
            services[0].shutdown()
            assert loop.spin_until(lambda: client.reconnected == 1, GUARD)
            accept()

        client = Asked.connect(path, reconnect=True)
        accept()
        if way != "returned":
            replace()
            asked[0].resolve(1)
        assert client.add(1, 2) == 3, "what was sent before it has been handled"
        assert not answers[1].is_settled
        asked[1].resolve(2)
        assert answers[1].await_(GUARD) == 2
        client.shutdown()
        services[1].shutdown()
