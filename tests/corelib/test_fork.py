"""Owns the tests of a forked child, which has none of its parent's loops.
Must not know how the child forgets them.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib import (
    EventLoop,
    EventLoopClosed,
    LocalServer,
    LocalSocket,
    NoEventLoop,
    Notifier,
    Timer,
    WaitMode,
)

Forked = Callable[[Callable[[], object]], int]
POLL = WaitMode.POLL_FOR_EVENTS


def test_the_child_has_no_loop_and_makes_its_own(loop: EventLoop, forked: Forked) -> None:
    timer = Timer.create_single_shot(0, lambda: os._exit(9))
    timer.start()
    loop.deferred_invoke(lambda: os._exit(8))

    def child() -> None:
        assert not EventLoop.is_running()
        with pytest.raises(NoEventLoop):
            EventLoop.current()
        with pytest.raises(EventLoopClosed):
            loop.pump()
        loop.close()
        with EventLoop() as own:
            own.deferred_invoke(lambda: own.quit(3))
            assert own.exec() == 3
            assert own.pump(POLL) == 0
        assert not timer.is_active

    assert forked(child) == 0
    assert timer.is_active


def test_the_parents_poller_is_not_touched(loop: EventLoop, forked: Forked) -> None:
    one, other = socket.socketpair()
    seen: list[str] = []
    notifier = Notifier(one, Notifier.Type.READ, lambda: seen.append("ready"))

    def child() -> None:
        notifier.close()
        one.close()
        EventLoop().pump(POLL)

    assert forked(child) == 0
    other.send(b"x")
    loop.pump()
    assert seen == ["ready"]
    notifier.close()
    one.close()
    other.close()


def test_a_child_forked_in_a_callback_gets_out_of_the_parents_turn(loop: EventLoop, forked: Forked) -> None:
    ran: list[int] = []
    codes: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            loop.quit()

    in_parent = os.getpid()
    loop.deferred_invoke(fork)
    loop.deferred_invoke(lambda: ran.append(os.getpid()))
    try:
        loop.exec()
    except EventLoopClosed:
        os._exit(0 if os.getpid() != in_parent and ran == [] else 1)
    finally:
        if os.getpid() != in_parent:
            os._exit(2)
    assert codes == [0]
    assert ran == [in_parent]


def test_signal_handlers_in_the_child_are_pythons_again(loop: EventLoop, forked: Forked) -> None:
    loop.register_signal(signal.SIGTERM, lambda signo: None)
    interrupt = signal.getsignal(signal.SIGINT)

    def child() -> None:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.set_wakeup_fd(-1) == -1

    assert forked(child) == 0
    assert signal.getsignal(signal.SIGINT) is interrupt
    signal.raise_signal(signal.SIGTERM)
    assert loop.pump() == 1


def test_no_fd_of_the_loop_is_left_in_the_child(forked: Forked) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with EventLoop():

        def child() -> None:
            assert len(os.listdir("/proc/self/fd")) <= before

        assert forked(child) == 0


def test_a_server_stays_the_parents_alone(loop: EventLoop, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    accepted: list[LocalSocket] = []
    server = LocalServer(accepted.append)
    server.listen(path)
    stop, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        server.close()
        os.read(stop, 1)
        os._exit(0)
    client = LocalSocket.connect(path)
    assert loop.spin_until(lambda: accepted, timeout=30)
    server.close()
    server.listen(path)
    for each in (*accepted, client):
        each.close()
    server.close()
    os.close(go)
    os.waitpid(child, 0)
    os.close(stop)
