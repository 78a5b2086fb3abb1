"""Owns the tests of the turn and of EventLoop: order, nesting, quitting, posting from threads, errors.
Must not know how a turn is made.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial

import pytest

from corelib import (
    EventLoop,
    EventLoopClosed,
    NoEventLoop,
    Notifier,
    Timer,
    UsageError,
    WaitMode,
    WrongThread,
    deferred_invoke,
)
from tests.corelib.conftest import FakeClock

POLL = WaitMode.POLL_FOR_EVENTS


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_a_turn_runs_what_was_queued_when_it_started(loop: EventLoop) -> None:
    seen: list[str] = []
    loop.deferred_invoke(lambda: (seen.append("a"), loop.deferred_invoke(lambda: seen.append("next"))))
    loop.deferred_invoke(lambda: seen.append("b"))
    assert loop.pump(POLL) == 2
    assert seen == ["a", "b"]
    assert loop.pump(POLL) == 1
    assert seen == ["a", "b", "next"]
    assert loop.pump(POLL) == 0


def test_a_turn_calls_notifiers_then_timers_then_deferred_callbacks(
    loop: EventLoop, clock: FakeClock
) -> None:
    seen: list[str] = []
    reader, writer = os.pipe()
    os.write(writer, b"x")
    notifier = Notifier(reader, Notifier.Type.READ, lambda: seen.append("notifier"))
    timer = Timer.create_single_shot(1, lambda: seen.append("timer"))
    timer.start()
    loop.deferred_invoke(lambda: seen.append("deferred"))
    clock.advance_ms(1)
    assert loop.pump() == 3
    assert seen == ["notifier", "timer", "deferred"]
    notifier.close()
    os.close(reader)
    os.close(writer)


def test_a_nested_turn_runs_what_the_outer_one_had_not_come_to(loop: EventLoop) -> None:
    seen: list[str] = []

    def blocking() -> None:
        seen.append("blocking")
        loop.pump()
        seen.append("returned")

    loop.deferred_invoke(blocking)
    loop.deferred_invoke(lambda: seen.append("behind it"))
    loop.pump()
    assert seen == ["blocking", "behind it", "returned"]


def test_callbacks_that_block_in_one_another_all_end(loop: EventLoop) -> None:
    done: list[int] = []
    depth = 20

    def call(number: int) -> None:
        if number < depth:
            loop.deferred_invoke(lambda: call(number + 1))
            assert loop.spin_until(lambda: number + 1 in done)
        done.append(number)

    loop.deferred_invoke(lambda: call(1))
    assert loop.spin_until(lambda: 1 in done)
    assert done == list(range(depth, 0, -1))


def test_exec_returns_the_code_and_consumes_the_request(loop: EventLoop) -> None:
    for code in (3, 0, 5):
        loop.deferred_invoke(partial(loop.quit, code))
        assert loop.exec() == code
        assert not loop.was_exit_requested()


def test_a_quit_before_exec_counts_unless_it_is_taken_back(loop: EventLoop) -> None:
    ran: list[str] = []
    loop.quit(4)
    loop.deferred_invoke(lambda: ran.append("turn"))
    assert loop.exec() == 4
    assert ran == []
    loop.quit(5)
    loop.unquit()
    loop.deferred_invoke(lambda: loop.quit(6))
    assert loop.exec() == 6


@pytest.mark.parametrize("same", [True, False])
def test_nested_exec_ends_only_itself(loop: EventLoop, same: bool) -> None:
    inner = loop if same else EventLoop()
    codes: list[int] = []

    def nest() -> None:
        inner.deferred_invoke(lambda: EventLoop.current().quit(1))
        codes.append(inner.exec())
        assert EventLoop.current() is loop
        loop.deferred_invoke(lambda: EventLoop.current().quit(2))

    loop.deferred_invoke(nest)
    codes.append(loop.exec())
    assert codes == [1, 2]
    inner.close()


def test_quitting_the_outer_loop_does_not_end_the_inner_one(loop: EventLoop) -> None:
    inner = EventLoop()
    seen: list[object] = []

    def nest() -> None:
        inner.deferred_invoke(lambda: loop.quit(2))
        inner.deferred_invoke(lambda: inner.deferred_invoke(lambda: inner.quit(1)))
        seen.append(inner.exec())
        seen.append(loop.was_exit_requested())

    loop.deferred_invoke(nest)
    assert loop.exec() == 2
    assert seen == [1, True]
    inner.close()


def test_spin_until_returns_whether_its_condition_came_true_in_time(
    loop: EventLoop, clock: FakeClock
) -> None:
    assert loop.spin_until(lambda: True)
    done: list[int] = []
    timer = Timer.create_single_shot(30, lambda: done.append(1))
    timer.start()
    assert not loop.spin_until(lambda: done, timeout=0.02)
    assert loop.spin_until(lambda: done, timeout=0.02)


def test_spin_until_leaves_the_quit_to_exec(loop: EventLoop) -> None:
    loop.deferred_invoke(lambda: EventLoop.current().quit(3))
    assert not loop.spin_until(lambda: False)
    assert loop.was_exit_requested()
    assert loop.exec() == 3


def test_exceptions_of_the_condition_leave_spin_until(loop: EventLoop) -> None:
    with pytest.raises(ZeroDivisionError):
        loop.spin_until(lambda: 1 / 0)
    assert EventLoop.current() is loop


def test_a_turn_sleeps_until_the_next_deadline_or_the_time_it_is_given(
    loop: EventLoop, clock: FakeClock
) -> None:
    timer = Timer.create_single_shot(50)
    timer.start()
    start = clock.now
    assert loop.pump(timeout=0.02) == 0
    assert clock.now == start + 20_000_000
    assert loop.pump(timeout=0.07) == 1
    assert clock.now == start + 50_000_000


def test_polling_never_sleeps(loop: EventLoop, clock: FakeClock) -> None:
    start = clock.now
    assert loop.pump(POLL) == 0
    assert clock.now == start


def test_posts_and_quits_of_other_threads_end_the_sleep(loop: EventLoop) -> None:
    ran_in: list[int] = []
    poster = threading.Thread(
        target=lambda: loop.deferred_invoke(
            lambda: (
                ran_in.append(threading.get_ident()),
                threading.Thread(target=lambda: loop.quit(9)).start(),
            )
        )
    )
    poster.start()
    assert loop.exec() == 9
    poster.join()
    assert ran_in == [threading.get_ident()]


@pytest.mark.slow
def test_ten_thousand_posts_of_a_thread_each_wake_a_sleeping_loop(loop: EventLoop) -> None:
    """Each is posted after the loop has run the last, so the loop may be at any point of going to sleep."""
    rounds = 10_000
    turn_over = threading.Semaphore(0)

    def post() -> None:
        for _ in range(rounds):
            loop.deferred_invoke(turn_over.release)
            turn_over.acquire()
        loop.quit()

    poster = threading.Thread(target=post)
    poster.start()
    loop.exec()
    poster.join()


def test_wake_ends_one_sleep(loop: EventLoop) -> None:
    loop.wake()
    assert loop.pump() == 0


def test_exceptions_go_to_the_hook_and_siblings_go_on(loop: EventLoop) -> None:
    seen: list[tuple[type, str]] = []
    loop.on_exception = lambda error, context: seen.append((type(error), context))
    loop.deferred_invoke(lambda: 1 / 0)
    timer = Timer.create_single_shot(0, lambda: [][1])
    timer.start()
    ran: list[str] = []
    loop.deferred_invoke(lambda: ran.append("sibling"))
    loop.spin_until(lambda: len(seen) == 2, timeout=30)
    assert ran == ["sibling"]
    assert {kind for kind, _ in seen} == {ZeroDivisionError, IndexError}
    contexts = " ".join(context for _, context in seen)
    assert "deferred callback" in contexts
    assert "Timer" in contexts


def test_exceptions_are_logged_with_traceback_by_default(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.deferred_invoke(lambda: 1 / 0)
    with caplog.at_level(logging.ERROR, "corelib"):
        loop.pump(POLL)
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" in caplog.text


def test_neither_a_broken_hook_nor_a_broken_repr_stops_the_loop(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __call__(self) -> None:
            raise ValueError("from the callback")

        def __repr__(self) -> str:
            raise ValueError("from its repr")

    def broken_hook(error: Exception, context: str) -> None:
        raise LookupError("from the hook")

    loop.on_exception = broken_hook
    loop.deferred_invoke(Broken())
    loop.deferred_invoke(loop.quit)
    assert loop.exec() == 0
    assert "from the callback" in caplog.text
    assert "from the hook" in caplog.text


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_interrupts_and_exits_leave_and_the_loop_can_go_on(
    loop: EventLoop, leaving: type[BaseException]
) -> None:
    seen: list[str] = []

    def leave() -> None:
        raise leaving

    loop.deferred_invoke(leave)
    loop.deferred_invoke(lambda: seen.append("still there"))
    with pytest.raises(leaving):
        loop.exec()
    assert not loop.in_turn
    loop.deferred_invoke(loop.quit)
    loop.exec()
    assert seen == ["still there"]


def test_at_turn_end_callbacks_run_once_after_the_turn(loop: EventLoop) -> None:
    seen: list[str] = []

    def callback() -> None:
        loop.at_turn_end(lambda: (seen.append("end"), loop.at_turn_end(lambda: seen.append("and its own"))))
        seen.append("callback")

    loop.deferred_invoke(callback)
    loop.deferred_invoke(lambda: seen.append("sibling"))
    loop.pump(POLL)
    assert seen == ["callback", "sibling", "end", "and its own"]
    loop.pump(POLL)
    assert len(seen) == 4


def test_at_turn_end_callbacks_run_before_an_inner_turn_waits(loop: EventLoop) -> None:
    seen: list[str] = []

    def callback() -> None:
        loop.at_turn_end(lambda: seen.append("posted"))
        loop.pump(POLL)
        seen.append("waited")

    loop.deferred_invoke(callback)
    loop.pump(POLL)
    assert seen == ["posted", "waited"]


def test_at_turn_end_callbacks_run_however_the_turn_ends(loop: EventLoop) -> None:
    seen: list[str] = []

    def exit_after_posting() -> None:
        loop.at_turn_end(lambda: seen.append("posted"))
        raise SystemExit

    loop.deferred_invoke(exit_after_posting)
    with pytest.raises(SystemExit):
        loop.pump()
    assert seen == ["posted"]


def test_in_turn_is_true_within_a_turn_alone(loop: EventLoop) -> None:
    seen: list[bool] = []
    assert not loop.in_turn
    loop.deferred_invoke(lambda: seen.append(loop.in_turn))
    loop.pump(POLL)
    assert seen == [True]
    assert not loop.in_turn


def test_the_current_loop_is_the_innermost_that_executes_else_the_first() -> None:
    with pytest.raises(NoEventLoop, match=r"loop = EventLoop\(\)"):
        EventLoop.current()
    with pytest.raises(NoEventLoop):
        deferred_invoke(print)
    assert not EventLoop.is_running()
    with EventLoop() as first, EventLoop() as second:
        assert EventLoop.current() is first
        seen: list[EventLoop] = []
        deferred_invoke(lambda: (seen.append(EventLoop.current()), second.quit()))
        second.exec()
        assert seen == [second]
        assert EventLoop.is_running()
        first.quit()
        assert not EventLoop.is_running()
    with pytest.raises(NoEventLoop):
        EventLoop.current()


def test_each_thread_has_its_own_loop(loop: EventLoop) -> None:
    errors: list[type[BaseException]] = []

    def elsewhere() -> None:
        for call in (
            EventLoop.current,
            loop.pump,
            loop.exec,
            lambda: loop.spin_until(lambda: True),
            loop.close,
        ):
            try:
                call()
            except UsageError as error:
                errors.append(type(error))
        with EventLoop() as own:
            own.deferred_invoke(own.quit)
            own.exec()

    in_a_thread(elsewhere)
    assert errors == [NoEventLoop, WrongThread, WrongThread, WrongThread, WrongThread]


def test_a_closed_loop_raises() -> None:
    loop = EventLoop()
    timer = Timer.create_single_shot(0, print)
    timer.start()
    loop.close()
    loop.close()
    assert not timer.is_active
    for call in (loop.pump, loop.exec, loop.wake, loop.quit, lambda: loop.deferred_invoke(print)):
        with pytest.raises(EventLoopClosed):
            call()


def test_a_loop_cannot_be_closed_under_its_own_turn(loop: EventLoop) -> None:
    errors: list[UsageError] = []

    def close() -> None:
        try:
            loop.close()
        except UsageError as error:
            errors.append(error)

    loop.deferred_invoke(close)
    loop.pump()
    loop.deferred_invoke(close)
    loop.deferred_invoke(loop.quit)
    loop.exec()
    assert len(errors) == 2


def test_closing_an_inner_loop_leaves_the_outer_ones_work_alone(loop: EventLoop) -> None:
    seen: list[str] = []

    def nest() -> None:
        with EventLoop() as inner:
            inner.deferred_invoke(inner.quit)
            inner.exec()

    loop.deferred_invoke(nest)
    loop.deferred_invoke(lambda: seen.append("later"))
    loop.deferred_invoke(loop.quit)
    loop.exec()
    assert seen == ["later"]


def test_opening_and_closing_leaves_no_fds_behind() -> None:
    def open_fds() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_fds()
    for _ in range(10):
        with EventLoop() as loop:
            loop.pump(POLL)
    assert open_fds() == before
