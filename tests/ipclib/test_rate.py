"""How often a peer may send."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket
from ipclib import ErrorKind, Limits, PeerDisconnected, Rate, RemoteError
from ipclib.rate import TokenBucket
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock

SECOND = 1_000_000_000
Pairs = Callable[[Limits], tuple[Any, Any]]


def test_a_bucket_gives_its_burst_and_fills_with_time() -> None:
    bucket = TokenBucket(Rate(per_second=10, burst=3), now_ns=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(SECOND // 20)
    assert bucket.take(SECOND // 10)
    assert not bucket.take(SECOND // 10)
    assert [bucket.take(100 * SECOND) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("wrong", [{"per_second": 0, "burst": 1}, {"per_second": 1, "burst": -1}])
def test_a_rate_that_never_gives_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be over 0"):
        Rate(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def pairs(loop: EventLoop, clock: Any) -> Pairs:
    def make(limits: Limits) -> tuple[Any, Any]:
        here, there = LocalSocket.pair()
        return clock.ConnectionToServer(here), clock_service.handlers(clock)(there, 1, limits=limits)

    return make


SLOW = 1e-6
"""A second: no token comes back while a test runs."""


def test_a_request_that_comes_too_often_is_refused(pairs: Pairs) -> None:
    client, service = pairs(Limits(rate=Rate(per_second=SLOW, burst=2)))
    assert (client.add(1, 2), client.add(3, 4)) == (3, 7)
    for _ in range(3):
        with pytest.raises(RemoteError, match="too often") as refused:
            client.add(5, 6)
        assert refused.value.kind is ErrorKind.REFUSED
    assert service.counters.refused == 3
    assert client.is_open


def test_a_one_way_message_that_comes_too_often_is_dropped_and_counted(pairs: Pairs) -> None:
    client, service = pairs(Limits(rate=Rate(per_second=SLOW, burst=3, message="log")))
    for number in range(10):
        client.async_log(number, "")
    assert client.logged() == [0, 1, 2], "and the other messages are as free as ever"
    assert service.counters.dropped_messages == 7


def test_a_rate_gives_again_with_the_loop_s_time(pairs: Pairs, fake_clock: FakeClock) -> None:
    client, service = pairs(Limits(rate=Rate(per_second=10, burst=1)))
    client.nothing()
    with pytest.raises(RemoteError, match="too often"):
        client.nothing()
    fake_clock.advance(0.1)
    client.nothing()
    assert service.counters.refused == 1


def test_several_rates_all_count(pairs: Pairs) -> None:
    client, _service = pairs(
        Limits(rate=(Rate(per_second=SLOW, burst=5), Rate(per_second=SLOW, burst=1, message="add")))
    )
    client.add(1, 2)
    with pytest.raises(RemoteError, match="too often"):
        client.add(1, 2)
    for _ in range(3):
        client.nothing()
    with pytest.raises(RemoteError, match="too often"):
        client.nothing()


def test_a_rate_may_cut_off(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    client, service = pairs(Limits(rate=Rate(per_second=SLOW, burst=1, disconnect=True)))
    client.nothing()
    with pytest.raises(PeerDisconnected):
        client.nothing()
    assert service.died == 1
    assert "comes too often" in caplog.text


def test_files_of_refused_requests_are_closed(pairs: Pairs) -> None:
    import os

    from ipclib import File

    client, _service = pairs(Limits(rate=Rate(per_second=SLOW, burst=1)))
    client.nothing()
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(RemoteError, match="too often"):
            client.take_files([File(os.open("/dev/null", os.O_RDONLY))], False)
    assert len(os.listdir("/proc/self/fd")) == before
