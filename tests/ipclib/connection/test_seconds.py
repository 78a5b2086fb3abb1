"""Numbers of seconds: math.inf means never, and nonsense is an error at once, before anything is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, Timer
from ipclib import CallTimeout, Limits, MultiServer, Wait
from ipclib.connection.watchdog import Watch, Watchdog
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair, link_of

NONSENSE = [(math.nan, ValueError), ("5", TypeError)]
NEVER = [math.inf, 1e300, 10**30]
PLACES = ["call", "class", "describe", "flush", "patience", "grace", "drain"]


@pytest.fixture
def wait_for(loop: EventLoop, pair: Pair, clock: Any, tmp_path: Path) -> Callable[[str, Any], None]:
    path = tmp_path / "clock"

    def of_class(value: Any) -> None:
        pair.client.timeout = value
        try:
            pair.client.add(1, 2)
        finally:
            pair.client.timeout = None

    def patience(value: Any) -> None:
        Timer.create_single_shot(10, lambda: servers.append(_serve())).start()
        clock.ConnectionToServer.connect(path, patience=value).shutdown()
        servers.pop().close()

    def grace(value: Any) -> None:
        worker = clock.ConnectionToServer.spawn([sys.executable, "-c", ""], grace=value)
        worker.shutdown()
        loop.spin_until(lambda: not worker.server.is_running, 30)

    def drain(value: Any) -> None:
        _serve().close(drain=value)

    def _serve() -> MultiServer[Any]:
        return MultiServer(clock_service.handlers(clock), path)

    servers: list[MultiServer[Any]] = []
    ways: dict[str, Callable[[Any], object]] = {
        "call": lambda value: pair.client.add(1, 2, timeout=value),
        "class": of_class,
        "describe": pair.client.describe,
        "flush": pair.client.flush,
        "patience": patience,
        "grace": grace,
        "drain": drain,
    }

    def wait_for(place: str, value: Any) -> None:
        ways[place](value)

    return wait_for


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", NEVER)
def test_a_huge_number_and_infinity_mean_never(
    wait_for: Callable[[str, Any], None], place: str, value: float
) -> None:
    wait_for(place, value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("value", "error"), NONSENSE)
def test_nonsense_is_an_error_at_once(
    wait_for: Callable[[str, Any], None], pair: Pair, place: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        wait_for(place, value)
    assert link_of(pair.client).conversation.open_calls == {}
    assert pair.client.add(1, 2) == 3


@pytest.mark.parametrize("place", ["patience", "grace", "drain"])
@pytest.mark.parametrize("value", [-1, -0.001, -math.inf])
def test_a_negative_number_is_an_error_where_nothing_can_have_passed(
    wait_for: Callable[[str, Any], None], place: str, value: float
) -> None:
    with pytest.raises(ValueError, match=f"{place} is a number of seconds from 0 on"):
        wait_for(place, value)


def test_a_connection_s_timeout_holds_where_a_call_gives_none(loop: EventLoop, clock: Any) -> None:
    class Hurried(clock.ConnectionToServer):  # type: ignore[misc]
        timeout = 0.01

    here, there = LocalSocket.pair()
    client, service = Hurried(here), clock_service.handlers(clock)(there, 1)
    for wait in Wait:
        with pytest.raises(CallTimeout, match=r"held: no answer within 0\.01 s"):
            client.held(1, wait=wait)
    with pytest.raises(CallTimeout, match=r"within 0\.02 s"):
        client.held(1, timeout=0.02)
    Timer.create_single_shot(30, lambda: service.release(1)).start()
    assert client.held(1, timeout=5) == 1
    client.timeout = None
    assert client.add(1, 2) == 3
    client.shutdown()
    service.shutdown()


@pytest.mark.parametrize("frame_timeout", [math.inf, 1e300, 1e-12])
def test_every_frame_timeout_is_watched_without_a_hot_loop(
    loop: EventLoop, fake_clock: FakeClock, frame_timeout: float
) -> None:
    stalled: list[float] = []
    watchdog = Watchdog(lambda: (Watch(frame_timeout, lambda: 1, lambda: stalled.append(1)),))
    watchdog.wake()
    turns = 0
    while fake_clock.now < 2_000_000_000 and turns < 5000:
        loop.pump()
        turns += 1
    assert turns <= 1100
    assert bool(stalled) == (frame_timeout < 1)
    watchdog.stop()


def test_a_service_without_a_frame_timeout_takes_large_messages(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(frame_timeout=math.inf))
    assert len(pair.client.echo_bytes(bytes(2 << 20))) == 2 << 20
    pair.close()
