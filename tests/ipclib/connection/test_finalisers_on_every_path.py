"""Finalisers that the collector runs at every allocation, on every path of a connection's life.

They call, post and shut down. Each answer is its own call's, each post arrives once, and nothing is left.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, Promise, UsageError
from ipclib import CallTimeout, File, MultiServer, PeerDisconnected
from tests.ipclib import clock_service
from tests.ipclib.collector import Finaliser, collecting
from tests.ipclib.pairs import link_of

HERE = Path(__file__).parents[1]
GUARD = 30.0
_REFUSALS = (UsageError, PeerDisconnected, RecursionError)
WORKER = [sys.executable, "-m", "tests.ipclib.clock_worker", str(HERE / "Clock.ipc")]


class Life:
    """A service with two clients: one that the path under test uses, one that only finalisers use."""

    def __init__(self, loop: EventLoop, clock: Any, path: Path) -> None:
        self.loop = loop
        self.clock = clock
        self.path = path
        self.failures: list[Exception] = []
        loop.on_exception = lambda error, context: self.failures.append(error)
        self.server = self.new_server()
        self.client = self.connect(reconnect=True)
        self.other = self.connect()
        self.client.nothing()
        self.other.nothing()
        self.answers: list[tuple[int, Promise[int]]] = []
        self.values: list[tuple[int, int]] = []
        self.posted: list[int] = []
        self.entered = 0
        self.ends_some = False
        """Whether the path closes connections or loses them."""

    def new_server(self) -> MultiServer[Any]:
        handlers = clock_service.handlers(self.clock)
        self.logged = logged = Counter[int]()
        handlers.log = lambda _self, number, _text: logged.update([number])
        return MultiServer(handlers, self.path)

    def connect(self, **options: Any) -> Any:
        return self.clock.ConnectionToServer.connect(self.path, **options)

    # What finalisers do

    def promise(self, client: Any) -> None:
        number = 1000 + len(self.answers)
        self.answers.append((number, client.async_add(number, 0)))

    def call(self, client: Any) -> None:
        number = 5000 + len(self.values)
        # In the middle of a write it is refused. In the middle of the service's close(), which goes on only
        # after it, it cannot be answered: the service is of this thread.
        timeout, refusals = (0.01, (*_REFUSALS, CallTimeout)) if self.ends_some else (GUARD, _REFUSALS)
        with contextlib.suppress(*refusals):
            self.values.append((number, client.add(number, 0, timeout=timeout)))

    def post(self, client: Any) -> None:
        number = 9000 + len(self.posted)
        dropped = client.counters.dropped_posts
        client.async_log(number, "")
        if client.counters.dropped_posts == dropped:
            self.posted.append(number)

    def close(self) -> None:
        for client in (self.client, self.other):
            client.shutdown()
        self.server.close()


@pytest.fixture
def life(loop: EventLoop, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent))
    life = Life(loop, clock, tmp_path / "clock")
    yield life
    life.close()


def _connect(life: Life) -> None:
    client = life.connect(patience=1.0)
    assert client.add(1, 2, timeout=GUARD) == 3
    client.shutdown()


def _serve(life: Life) -> None:
    for number in range(3):
        assert life.client.add(number, 1, timeout=GUARD) == number + 1
        assert life.client.async_echo_string(str(number)).await_(GUARD) == str(number)


def _answer(life: Life) -> None:
    held = life.client.async_held(1)
    given = life.client.async_give_file(b"content")
    assert life.client.slow(0, 2, timeout=GUARD) == 0
    with given.await_(GUARD) as file:
        assert os.pread(file.fileno(), 100, 0) == b"content"
    sent = File(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    assert life.client.take_files([sent], False, timeout=GUARD) == [b""]
    life.client.async_release(1)
    assert held.await_(GUARD) == 1


def _cork(life: Life) -> None:
    with life.client.cork():
        answer = life.client.async_add(1, 2)
        assert life.client.add(3, 4, timeout=GUARD) == 7
    assert answer.await_(GUARD) == 3


def _reconnect(life: Life) -> None:
    life.server.close()
    assert life.loop.spin_until(lambda: not life.client.is_open, GUARD)
    life.server = life.new_server()
    assert life.loop.spin_until(lambda: life.client.is_open, 1.0)
    assert life.client.add(1, 2, timeout=GUARD) == 3


def _close(life: Life) -> None:
    call = life.client.async_held(1)
    life.client.shutdown()
    with pytest.raises(PeerDisconnected):
        call.await_(GUARD)


def _worker(life: Life) -> None:
    worker = life.clock.ConnectionToServer.spawn(WORKER)
    assert worker.add(1, 2, timeout=GUARD) == 3
    worker.shutdown()
    assert life.loop.spin_until(lambda: not worker.server.is_running, GUARD)
    assert worker.server.exit_code == 0


_PATHS = [
    _connect,
    _serve,
    _answer,
    _cork,
    pytest.param(_reconnect, marks=pytest.mark.slow),
    _close,
    pytest.param(_worker, marks=pytest.mark.slow),
]
EVERY_PATH = pytest.mark.parametrize("path", _PATHS)
EVERY_THRESHOLD = pytest.mark.parametrize(
    "threshold", [1, 2, *(pytest.param(each, marks=pytest.mark.slow) for each in (3, 5, 7, 11, 17, 29, 53))]
)


def _fds() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _run(life: Life, path: Callable[[Life], None], threshold: int, act: Callable[[Any], None]) -> None:
    clients = [life.client, life.other]
    life.ends_some = path in (_reconnect, _close)

    def enter() -> None:
        life.entered += 1
        act(clients[life.entered % 2])

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with collecting(threshold):
            Finaliser(enter, 40)
            path(life)
        while life.entered < 40:
            gc.collect()


def _check(life: Life) -> None:
    for number, answer in life.answers:
        try:
            assert answer.await_(GUARD) == number
        except PeerDisconnected:
            assert life.ends_some
    assert all(number == value for number, value in life.values)
    if not life.ends_some:
        assert life.client.flush(GUARD)
        assert life.other.flush(GUARD)
        life.client.nothing()
        life.other.nothing()
        assert life.logged == Counter(life.posted), "each post once"
    else:
        assert all(count == 1 for count in life.logged.values())
    for client in (life.client, life.other):
        assert link_of(client).conversation.open_calls == {}
        assert link_of(client).sender.size == 0
    assert life.failures == []


@EVERY_PATH
@EVERY_THRESHOLD
@pytest.mark.parametrize("what", ["promise", "call", "post"])
def test_a_finaliser_may_use_connections_on_every_path(
    life: Life, path: Callable[[Life], None], threshold: int, what: str
) -> None:
    _run(life, path, threshold, getattr(life, what))
    _check(life)


@EVERY_PATH
@EVERY_THRESHOLD
def test_a_finaliser_may_shut_another_connection_down_on_every_path(
    life: Life, path: Callable[[Life], None], threshold: int
) -> None:
    before = _fds()
    _run(life, path, threshold, lambda _client: life.other.shutdown())
    assert life.failures == []
    assert not life.other.is_open
    if not life.ends_some:
        assert life.client.add(1, 2) == 3
        assert life.loop.spin_until(lambda: len(life.server.clients) == 1, GUARD)
        assert _fds() == before - 2


@EVERY_PATH
@EVERY_THRESHOLD
def test_a_finaliser_may_shut_down_the_connection_that_is_used(
    life: Life, path: Callable[[Life], None], threshold: int
) -> None:
    def shut(_client: Any) -> None:
        if life.entered == 20:
            life.client.shutdown()

    try:
        _run(life, path, threshold, shut)
    except (PeerDisconnected, AssertionError):
        assert not life.client.is_open
    while life.entered < 40:
        gc.collect()
    assert life.failures == []
    assert link_of(life.client).conversation.open_calls == {}
    assert link_of(life.client).sender.size == 0
    assert path is _reconnect or life.other.add(1, 2) == 3
