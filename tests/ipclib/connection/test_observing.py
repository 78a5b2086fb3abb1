"""Owns the tests of what instruments and snapshots tell of connections: handlers, peers and open calls.
Must not know how handlers are called.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import Cancelled, EventLoop, Instrument, LocalSocket, Promise, WaitMode, sleep_ms
from ipclib import HandlerError, MultiServer, RemoteError
from tests.ipclib import pairs
from tests.ipclib.fake_clock import FakeClock

GUARD = 30  # seconds, against a hang

INTERFACE = """
endpoint JobServer
{
    compute(u32 ms) => (u32 ms)
    later(u32 ms) => (u32 ms)
    promised(u32 ms) => (u32 ms)
    fail(u32 ms) => ()
    note(u32 ms) =|
    note_later(u32 ms) =|
    hold() => ()
}

endpoint JobClient
{
}
"""


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("job") / "Job.ipc"
    source.write_text(INTERFACE)
    return ipcc.load(source)


class Jobs:
    """Handlers that take as long as they are asked to, on a clock that the test moves."""

    clock: FakeClock
    cancelled = 0

    def compute(self, ms: int) -> int:
        self.clock.now += ms * 1_000_000
        return ms

    async def later(self, ms: int) -> int:
        self.clock.now += ms * 1_000_000
        await sleep_ms(0)
        self.clock.now += ms * 1_000_000
        return ms

    def promised(self, ms: int) -> Promise[int]:
        self.clock.now += ms * 1_000_000
        return Promise.resolved(ms)

    def fail(self, ms: int) -> None:
        self.clock.now += ms * 1_000_000
        raise HandlerError("on purpose")

    def note(self, ms: int) -> None:
        self.clock.now += ms * 1_000_000

    async def note_later(self, ms: int) -> None:
        await sleep_ms(0)
        self.clock.now += ms * 1_000_000

    async def hold(self) -> None:
        try:
            await Promise()
        except Cancelled:
            Jobs.cancelled += 1
            raise


@pytest.fixture
def client(loop: EventLoop, fake_clock: FakeClock, job: Any) -> Iterator[Any]:
    class Service(Jobs, job.ConnectionFromClient):  # type: ignore[misc]
        clock = fake_clock

    here, there = LocalSocket.pair()
    service = Service(there, 1)
    client = job.ConnectionToServer(here)
    yield client
    client.shutdown()
    service.shutdown()


def line_of(name: str, offset: int = 0) -> str:
    return f"{__file__}:{getattr(Jobs, name).__code__.co_firstlineno + offset}"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("name", ["compute", "promised", "fail"])
def test_a_slow_handler_is_named_with_its_client(
    loop: EventLoop, client: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    loop.set_debug(0.1)
    for ms in (50, 200):
        if name == "fail":
            with pytest.raises(RemoteError, match="on purpose"):
                client.fail(ms)
        else:
            assert getattr(client, name)(ms) == ms
    assert messages(caplog) == [
        f"JobServer.{name} for pid {os.getpid()} took 200.0 ms: Jobs.{name} at {line_of(name)}"
    ], "the handler, and not our notifier around it"
    loop.set_debug(None)
    client.compute(200)
    assert len(caplog.records) == 1


def test_each_slow_step_of_a_coroutine_is_named_with_its_client(
    loop: EventLoop, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(0.1)
    assert client.later(150) == 150
    begun = f"JobServer.later for pid {os.getpid()} took 150.0 ms: Jobs.later at {line_of('later', 2)}"
    ended = f"JobServer.later for pid {os.getpid()} took 150.0 ms: Jobs.later at {line_of('later')}"
    assert messages(caplog) == [begun, ended]


def test_slow_one_way_handlers_are_named(
    loop: EventLoop, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(0.1)
    client.async_note(200)
    client.async_note_later(300)
    loop.spin_until(lambda: len(caplog.records) == 2, timeout=GUARD)
    assert [re.sub(" for pid .*took", "", text).partition(":")[0] for text in messages(caplog)] == [
        "JobServer.note 200.0 ms",
        "JobServer.note_later 300.0 ms",
    ]


def test_an_observed_coroutine_can_be_cancelled_and_closed(loop: EventLoop, client: Any) -> None:
    loop.set_debug(0.1)
    before = Jobs.cancelled
    client.compute(1)
    call = client.async_hold()
    loop.spin_until(lambda: "Jobs.hold at" in str(loop.snapshot()), timeout=GUARD)
    call.cancel()
    loop.spin_until(lambda: Jobs.cancelled > before, timeout=GUARD)
    assert Jobs.cancelled == before + 1
    client.async_hold()
    loop.pump()
    loop.set_debug(None)
    assert client.compute(1) == 1, "a coroutine goes on after observation has ended"


def test_an_instrument_observes_handlers_inside_our_notifier(loop: EventLoop, client: Any) -> None:
    class Kinds(Instrument):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def callback_started(self, kind: str, callback: object) -> None:
            self.seen.append(kind)

    kinds = Kinds()
    loop.add_instrument(kinds)
    client.compute(1)
    loop.remove_instrument(kinds)
    handler = f"JobServer.compute for pid {os.getpid()}"
    assert kinds.seen.count(handler) == 1
    assert kinds.seen[kinds.seen.index(handler) - 1] == "notifier"


def test_a_snapshot_lists_connections_with_peers_and_open_calls(loop: EventLoop, client: Any) -> None:
    calls = [client.async_hold(), client.async_hold(), client.async_later(1)]
    listed = loop.snapshot().sections["connections"]
    assert sorted(listed) == [
        f"ConnectionToServer to pid {os.getpid()}: open calls: JobServer.hold (2), JobServer.later",
        f"client.<locals>.Service to pid {os.getpid()}: open calls: none",
    ]
    assert "  connections: 2\n    " in str(loop.snapshot())
    for call in calls:
        call.cancel()


def test_a_snapshot_lists_the_connections_of_its_own_thread_alone(loop: EventLoop, client: Any) -> None:
    counts: list[int] = []

    def elsewhere() -> None:
        counts.append(len(loop.snapshot().sections["connections"]))
        with EventLoop() as other:
            counts.append(len(other.snapshot().sections["connections"]))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert counts == [2, 0]


def test_a_snapshot_tells_what_holds_a_connection_up(loop: EventLoop, clock: Any) -> None:
    raw, service = pairs.raw_peer(clock)
    while not service.counters.queue_high_water:
        service.async_tick(1)
        loop.pump(WaitMode.POLL_FOR_EVENTS)
    (listed,) = loop.snapshot().sections["connections"]
    assert re.fullmatch(rf"\S+ to pid {os.getpid()}: open calls: none, \d+ bytes to send", listed)
    raw.close()
    service.shutdown()


def test_a_closed_connection_is_not_listed(loop: EventLoop, client: Any) -> None:
    client.shutdown()
    loop.spin_until(lambda: not loop.snapshot().sections["connections"], timeout=GUARD)
    assert loop.snapshot().sections["connections"] == ()


def test_another_process_is_named_by_its_own_pid(
    job: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ready, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.read(ready, 1)
            with EventLoop():
                path = str(tmp_path / "service")
                job.ConnectionToServer.connect(path).compute(1)
        finally:
            os._exit(0)

    class Service(Jobs, job.ConnectionFromClient):  # type: ignore[misc]
        clock = FakeClock()

    with EventLoop() as loop:
        server = MultiServer(Service, str(tmp_path / "service"))
        loop.set_debug(0.0)
        os.write(begin, b"x")
        assert loop.spin_until(lambda: "JobServer" in caplog.text, timeout=GUARD)
        server.close()
    os.waitpid(pid, 0)
    assert re.search(rf"JobServer\.compute for pid {pid} took [0-9.]+ ms: Jobs\.compute at ", caplog.text)
    os.close(ready)
    os.close(begin)
