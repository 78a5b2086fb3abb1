"""Calls that wait: nesting, deadlines, giving up, and calls that are made while another one is encoded."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, Timer
from ipclib import (
    CallTimeout,
    Limits,
    PeerDisconnected,
    Wait,
)
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair, link_of
from tests.ipclib.protocol.two_ends import trailed


def test_nesting_is_bounded_and_nothing_is_sent_beyond(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_nesting=2))
    deepest: list[BaseException] = []

    def ascend(depth: int) -> int:
        try:
            return 1 + pair.client.descend(depth - 1)
        except RecursionError as error:
            deepest.append(error)
            return 0

    pair.client.ascend = ascend
    assert pair.client.descend(9) == 1
    assert link_of(pair.client).conversation.open_calls == {}
    assert "2 blocking calls wait on this thread already (max_nesting)" in str(deepest[0])
    assert len(deepest) == 1
    pair.close()


def test_a_blocked_call_notices_that_the_peer_left(loop: EventLoop, pair: Pair) -> None:
    pair.service.shutdown()
    with pytest.raises(PeerDisconnected):
        pair.client.add(1, 2, wait=Wait.BLOCK)


def test_a_request_whose_caller_gave_up_is_not_served(loop: EventLoop, pair: Pair) -> None:
    assert pair.client.add(1, 1) == 2
    with pytest.raises(CallTimeout):
        pair.client.held(7, timeout=0.01, wait=Wait.BLOCK)  # The service, in this loop, reads nothing.
    assert pair.client.add(2, 2) == 4
    assert pair.service.promises == {}
    assert link_of(pair.client).conversation.open_calls == {}


def test_a_timer_started_by_a_handler_goes_on(loop: EventLoop, pair: Pair) -> None:
    fired: list[int] = []
    Timer.create_single_shot(1, lambda: fired.append(1)).start()
    assert pair.client.slow(20, 0) == 20
    assert fired == [1]


def test_a_call_waits_as_long_as_it_may_on_the_loop_s_clock(
    loop: EventLoop, fake_clock: FakeClock, clock: Any
) -> None:
    pair = Pair(clock)
    started = fake_clock.now_ns()
    with pytest.raises(CallTimeout, match=r"ClockServer\.held: no answer within 3600 s"):
        pair.client.held(1, timeout=3600)
    assert 3600 <= (fake_clock.now_ns() - started) / 1e9 < 3601
    pair.client.async_release(1)
    assert pair.client.add(1, 2, timeout=1) == 3
    pair.close()


def test_a_timeout_counts_from_before_the_request_is_encoded(
    loop: EventLoop, fake_clock: FakeClock, clock: Any
) -> None:
    class Slow:
        def __index__(self) -> int:
            fake_clock.advance(2.0)
            return 1

    pair = Pair(clock)
    started = fake_clock.now_ns()
    with pytest.raises(CallTimeout):
        pair.client.held(Slow(), timeout=3)
    assert (fake_clock.now_ns() - started) / 1e9 < 3.1
    pair.close()


def test_flush_waits_as_long_as_it_may_on_the_loop_s_clock(
    loop: EventLoop, fake_clock: FakeClock, clock: Any
) -> None:
    here, there = LocalSocket.pair()
    client = clock.ConnectionToServer(here, limits=Limits(frame_timeout=10_000))
    client.async_echo_bytes(bytes(1 << 20))
    started = fake_clock.now_ns()
    assert not client.flush(3600)
    assert 3600 <= (fake_clock.now_ns() - started) / 1e9 < 3601
    client.shutdown()
    there.close()


@pytest.mark.parametrize("wait", list(Wait))
def test_a_call_that_may_not_wait_at_all_times_out_and_is_cancelled(pair: Pair, wait: Wait) -> None:
    pair.client.nothing()
    with pytest.raises(CallTimeout):
        pair.client.held(1, timeout=0, wait=wait)
    assert pair.client.add(1, 2, wait=wait if wait is Wait.PUMP else None) == 3
    assert link_of(pair.client).conversation.open_calls == {}


def test_a_blocked_call_leaves_other_messages_in_order(loop: EventLoop, clock: Any) -> None:
    """They stay in the inbox, and are handled in the next turn."""
    here, there = socket.socketpair()
    seen: list[int] = []
    client = clock.ConnectionToServer(LocalSocket.adopt(here))
    client.tick = seen.append
    tick = trailed(clock.ClockClient.Tick, struct.pack("=I", 1), 0)
    answer = trailed(clock.ClockServer.AddResponse, struct.pack("=i", 3), 1)
    there.sendall(tick + answer + trailed(clock.ClockClient.Tick, struct.pack("=I", 2), 0))
    assert client.add(1, 2, wait=Wait.BLOCK) == 3
    assert seen == []
    loop.pump()
    assert seen == [1, 2]
    client.shutdown()
    there.close()


def test_a_call_that_is_given_up_twice_is_cancelled_once(loop: EventLoop, pair: Pair) -> None:
    pair.client.nothing()
    before = pair.client.counters.frames_sent
    call = pair.client.async_held(1)
    assert call.cancel()
    assert not call.cancel()
    assert pair.client.counters.frames_sent == before + 2
