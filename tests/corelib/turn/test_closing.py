"""Owns the tests of how a thread's loop ends: by close(), with its thread, or while others still use it.
Must not know turns.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest

from corelib import EventLoop, EventLoopClosed, Timer, run_async, sleep_ms
from corelib.turn import thread_loop

GUARD = 30  # seconds, against a hang


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(GUARD)
    assert not thread.is_alive()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_posts_to_a_loop_whose_thread_has_ended_raise() -> None:
    made: list[EventLoop] = []
    in_a_thread(lambda: made.append(EventLoop()))
    (loop,) = made
    for use in (
        lambda: loop.deferred_invoke(print),
        lambda: loop.call_from_thread(print),
        loop.quit,
        loop.wake,
        loop.snapshot,
    ):
        with pytest.raises(EventLoopClosed, match="its thread has ended"):
            use()


def test_a_call_to_a_loop_whose_thread_ends_is_not_waited_for_for_ever() -> None:
    outcomes: list[str] = []
    is_made = threading.Event()
    made: list[EventLoop] = []

    def calls() -> None:
        is_made.wait(GUARD)
        try:
            made[0].call_from_thread(print)
        except EventLoopClosed:
            outcomes.append("closed")

    def ends_without_a_turn() -> None:
        made.append(EventLoop())
        is_made.set()
        while not made[0].snapshot().pending:
            pass

    caller = threading.Thread(target=calls)
    caller.start()
    in_a_thread(ends_without_a_turn)
    caller.join(GUARD)
    assert outcomes == ["closed"]


def test_a_thread_that_ends_releases_what_its_loop_held_and_runs_finally_blocks() -> None:
    ended: list[int] = []
    timers: list[Timer] = []

    async def works() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            ended.append(threading.get_ident())

    def leaves_its_loop_open() -> None:
        EventLoop()
        run_async(works())
        timers.append(Timer.create_single_shot(60_000))
        timers[0].start()

    before = open_fds()
    thread = threading.Thread(target=leaves_its_loop_open)
    thread.start()
    thread.join(GUARD)
    assert open_fds() == before
    assert ended == [thread.ident]
    assert not timers[0].is_active


def test_a_forked_child_does_not_close_the_loops_of_other_threads(
    forked: Callable[[Callable[[], object]], int],
) -> None:
    made = threading.Event()
    may_end = threading.Event()
    loops: list[EventLoop] = []

    def waits() -> None:
        loops.append(EventLoop())
        run_async(sleeps())
        made.set()
        may_end.wait(GUARD)
        loops[0].close()

    async def sleeps() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            assert os.getpid() == pid

    pid = os.getpid()
    thread = threading.Thread(target=waits)
    thread.start()
    made.wait(GUARD)
    assert forked(lambda: None) == 0
    loops[0].wake()
    may_end.set()
    thread.join(GUARD)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_close_finishes_although_an_interrupt_leaves_a_finally_block(error: type[BaseException]) -> None:
    ended: list[int] = []

    async def works(number: int) -> None:
        try:
            await sleep_ms(60_000)
        finally:
            ended.append(number)
            raise error

    before = open_fds()
    loop = EventLoop()
    tasks = [run_async(works(number)) for number in range(3)]
    with pytest.raises(error):
        loop.close()
    assert sorted(ended) == [0, 1, 2]
    assert all(task.is_cancelled for task in tasks)
    assert open_fds() == before
    assert thread_loop.current_or_none() is None
    EventLoop().close()


def test_close_finishes_although_somebody_else_has_a_closed_wakeup_fd() -> None:
    sender, receiver = socket.socketpair()
    sender.setblocking(False)
    loop = EventLoop()
    handler = signal.getsignal(signal.SIGURG)
    loop.register_signal(signal.SIGURG, print)
    before = signal.set_wakeup_fd(sender.fileno())
    sender.close()
    receiver.close()
    try:
        loop.close()
        assert signal.getsignal(signal.SIGURG) is handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(EventLoopClosed):
            loop.wake()
    finally:
        signal.set_wakeup_fd(-1)
    assert before != -1, "it was the loop's"


def test_close_finishes_although_finally_blocks_begin_new_coroutines_for_ever() -> None:
    begun: list[int] = []

    async def works() -> None:
        begun.append(1)
        try:
            await sleep_ms(60_000)
        finally:
            if thread_loop.current_or_none() is not None:
                run_async(works())

    loop = EventLoop()
    run_async(works())
    loop.close()
    assert len(begun) > 1
    gc.collect()


def test_a_coroutine_that_a_finally_block_begins_is_closed_too() -> None:
    ended: list[str] = []

    async def works(name: str) -> None:
        try:
            await sleep_ms(60_000)
        finally:
            ended.append(name)
            if name == "outer":
                run_async(works("inner"))

    with EventLoop():
        run_async(works("outer"))
    assert ended == ["outer", "inner"]


def test_quit_succeeds_although_the_loop_is_closed_before_it_is_woken() -> None:
    class Overtaken(EventLoop):
        def wake(self) -> None:
            self.close()
            super().wake()

    loop = Overtaken()
    loop.quit()
    with pytest.raises(EventLoopClosed):
        loop.quit()
