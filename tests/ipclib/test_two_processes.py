"""A service and its clients in processes of their own: calls that pump, nest, cross and fail."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, Timer, deferred_invoke
from ipclib import (
    CallTimeout,
    PeerDisconnected,
    RemoteError,
    UnknownMessage,
    Wait,
)

INTERFACE = Path(__file__).parent / "Clock.ipc"

INTERFACE = Path(__file__).parent / "Clock.ipc"


@pytest.fixture
def service(loop: EventLoop, processes: Any, app: Any) -> tuple[Any, subprocess.Popen[str]]:
    """A connected client, and the process that serves it."""
    path, process = processes.clock_service()
    return app.connect(path), process


def test_a_call_is_answered(service: Any) -> None:
    client, _process = service
    assert client.add(2, 40) == 42
    assert client.nothing() is None
    assert client.echo_string("grüß dich") == "grüß dich"
    divided = client.divide(17, 5)
    assert (divided.quotient, divided.remainder) == (3, 2)
    assert client.add(1, 1, wait=Wait.BLOCK) == 2
    assert client.async_add(3, 4).await_() == 7


@pytest.mark.slow
def test_timers_posts_and_other_connections_go_on_while_a_call_waits(
    service: Any, processes: Any, app: Any
) -> None:
    client, _process = service
    other_path, _other_process = processes.clock_service()
    other = app.connect(other_path)
    fired: list[int] = []
    other_answers: list[Any] = []
    timer = Timer.create_repeating(10, lambda: fired.append(1))
    started = time.monotonic()
    timer.start()
    other.async_slow(50, 3).when_resolved(other_answers.append)
    assert client.slow(300, 5) == 300
    assert client.ticks == [0, 1, 2, 3, 4]
    assert (other_answers, other.ticks) == ([50], [0, 1, 2])
    timer.stop()
    assert 5 <= len(fired) <= (time.monotonic() - started) * 100


def test_calls_in_both_directions_cross(service: Any) -> None:
    client, _process = service
    for _ in range(50):
        client.async_cross(4)
        assert client.descend(5) == 5
    while len(levels := client.crossed()) < 50:
        pass
    assert levels == [4] * 50


@pytest.mark.slow
def test_calls_nest_twenty_deep(service: Any) -> None:
    client, _process = service
    assert client.descend(20) == 20
    assert client.descend(21) == 21


@pytest.mark.slow
def test_nested_calls_get_their_own_answers_in_whatever_order_they_come(service: Any) -> None:
    client, _process = service
    answers: list[int] = []

    def inner() -> None:
        Timer.create_single_shot(20, release).start()
        answers.append(client.held(2))

    def release() -> None:
        client.async_release(1)
        client.async_release(2)

    deferred_invoke(inner)
    answers.append(client.held(1))
    assert answers == [2, 1]


@pytest.mark.slow
def test_work_deferred_after_a_call_runs_inside_it(loop: EventLoop, service: Any) -> None:
    client, _process = service
    happened: list[str] = []

    def call() -> None:
        happened.append("call")
        client.slow(30, 0)
        happened.append("answered")
        loop.quit(0)

    deferred_invoke(call)
    deferred_invoke(lambda: happened.append("behind"))
    loop.exec()
    assert happened == ["call", "behind", "answered"]


@pytest.mark.slow
def test_a_timer_whose_callback_calls_does_not_recurse(loop: EventLoop, service: Any) -> None:
    client, _process = service
    depth = deepest = calls = 0

    def call() -> None:
        nonlocal depth, deepest, calls
        depth += 1
        calls += 1
        deepest = max(deepest, depth)
        client.slow(100, 0)
        depth -= 1
        if calls == 3:
            loop.quit(0)

    timer = Timer.create_repeating(10, call)
    timer.start()
    loop.exec()
    timer.stop()
    assert (deepest, calls) == (1, 3)


@pytest.mark.slow
def test_quit_during_a_call_ends_the_loop_after_it(loop: EventLoop, service: Any) -> None:
    client, _process = service
    answers: list[int] = []

    def call() -> None:
        loop.quit(7)
        answers.append(client.add(1, 2))

    deferred_invoke(call)
    assert loop.exec() == 7
    assert answers == [3]


@pytest.mark.slow
def test_nesting_across_processes_is_bounded(service: Any) -> None:
    client, _process = service
    with pytest.raises(RemoteError) as caught:
        client.descend(1000)
    assert caught.value.text in ("RecursionError", "RemoteError")
    assert client.add(1, 1) == 2


@pytest.mark.slow
def test_a_blocked_call_sets_other_messages_aside(loop: EventLoop, service: Any) -> None:
    client, _process = service
    fired: list[int] = []
    timer = Timer.create_repeating(1, lambda: fired.append(1))
    timer.start()
    assert client.slow(50, 3, wait=Wait.BLOCK) == 50
    assert (client.ticks, fired) == ([], [])
    loop.spin_until(lambda: len(client.ticks) == 3, 5)
    assert client.ticks == [0, 1, 2]
    timer.stop()


@pytest.mark.slow
@pytest.mark.parametrize("wait", list(Wait))
def test_a_timeout_leaves_the_connection_in_order(service: Any, wait: Wait) -> None:
    client, process = service
    assert client.add(1, 1) == 2
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=r"no answer within 0\.2 s"):
        client.add(20, 20, timeout=0.2, wait=wait)
    assert time.monotonic() - started >= 0.2
    os.kill(process.pid, signal.SIGCONT)
    assert client.add(2, 2, wait=wait) == 4
    assert client.add(3, 3, wait=wait) == 6


@pytest.mark.parametrize("wait", [Wait.PUMP, pytest.param(Wait.BLOCK, marks=pytest.mark.slow)])
def test_a_peer_that_is_killed_ends_the_call(loop: EventLoop, service: Any, wait: Wait) -> None:
    client, process = service
    call = client.async_held(5)
    failures: list[BaseException] = []
    call.when_rejected(failures.append)
    client.async_log(1, "x")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -9 {process.pid}"])
    with pytest.raises(PeerDisconnected):
        client.held(1, wait=wait)
    killer.wait()
    loop.spin_until(lambda: not client.is_open, 5)
    assert client.died == 1
    assert [type(failure) for failure in failures] == [PeerDisconnected]
    with pytest.raises(PeerDisconnected):
        client.add(1, 1)
    client.async_log(1, "dropped")


@pytest.mark.slow
def test_a_callback_that_shuts_down_ends_the_call(service: Any) -> None:
    client, _process = service
    Timer.create_single_shot(10, client.shutdown).start()
    with pytest.raises(PeerDisconnected, match="shut down"):
        client.held(1)
    assert client.died == 1


def test_errors_reach_the_caller_and_tell_no_secret(service: Any) -> None:
    client, _process = service
    with pytest.raises(RemoteError) as on_purpose:
        client.fail("the disk is full", True)
    assert on_purpose.value.text == "the disk is full"
    with pytest.raises(RemoteError) as by_accident:
        client.fail("a secret", False)
    assert by_accident.value.text == "ZeroDivisionError"
    with pytest.raises(UnknownMessage, match="not_handled"):
        client.not_handled()
    assert client.add(1, 1) == 2
