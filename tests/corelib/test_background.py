"""Owns the tests of what crosses between a loop and other threads: jobs and calls.
Must not know what a job does.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from corelib import EventLoop, EventLoopClosed, UsageError, WaitMode, WrongThread, background
from corelib.background import call_from_thread, run_in_thread
from corelib.turn import thread_loop
from corelib.turn.thread_loop import ThreadLoop

POLL = WaitMode.POLL_FOR_EVENTS
Forked = Callable[[Callable[[], object]], int]


@pytest.fixture
def thread(loop: EventLoop) -> ThreadLoop:
    return thread_loop.current()


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    # The pool is private, and has several workers: with one, a second job waits for the first.
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(background, "_pool", lambda kind: pool)
        yield pool


class Gate:
    """A job that has begun and does not end before it may."""

    def __init__(self, outcome: object = None) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.outcome = outcome

    def __call__(self) -> object:
        self.begun.set()
        assert self.may_end.wait(30)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def elsewhere(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Call a function in another thread; its result or exception goes to the list."""
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(function())
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcomes


def until_queued(thread: ThreadLoop, count: int) -> None:
    while len(thread.queue.items) < count:
        os.sched_yield()


def test_a_job_runs_in_another_thread_and_its_result_comes_in_a_turn(
    loop: EventLoop, thread: ThreadLoop
) -> None:
    seen: list[tuple[int, bool]] = []
    job = run_in_thread(thread, lambda a, b: (a + b, threading.get_ident()), 1, 2)
    job.when_resolved(lambda _: seen.append((threading.get_ident(), loop.in_turn)))
    result, ident = job.await_(30)
    assert result == 3
    assert ident != threading.get_ident()
    assert seen == [(threading.get_ident(), True)]
    assert not thread.tasks


def test_many_jobs_each_get_their_own_result(thread: ThreadLoop) -> None:
    jobs = [run_in_thread(thread, lambda number: number * 2, number) for number in range(1000)]
    assert [job.await_(30) for job in jobs] == [number * 2 for number in range(1000)]


def test_a_job_runs_in_a_copy_of_the_callers_context(thread: ThreadLoop) -> None:
    user: ContextVar[str] = ContextVar("user")

    def greet(next_user: str) -> str:
        seen = user.get("nobody")
        user.set(next_user)  # In the copy, so neither the caller nor another job sees it.
        return seen

    jobs = [run_in_thread(thread, greet, "x")]
    for name in ("ann", "bob"):
        user.set(name)
        jobs += [run_in_thread(thread, greet, "x") for _ in range(20)]
    user.set("later")
    assert [job.await_(30) for job in jobs] == ["nobody"] + ["ann"] * 20 + ["bob"] * 20
    assert user.get() == "later"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_jobs_exception_rejects_its_promise_and_the_pool_goes_on(
    thread: ThreadLoop, one_worker: ThreadPoolExecutor, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run_in_thread(thread, fail).await_(30)
    assert caught.value is error
    assert "fail" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert run_in_thread(thread, str, 1).await_(30) == "1"


def test_a_cancelled_job_that_has_not_begun_never_runs(
    thread: ThreadLoop, one_worker: ThreadPoolExecutor
) -> None:
    ran: list[int] = []
    gate = Gate()
    first = run_in_thread(thread, gate)
    second = run_in_thread(thread, ran.append, 2)
    third = run_in_thread(thread, ran.append, 3)
    assert second.cancel()
    assert thread.tasks == {first, third}
    gate.may_end.set()
    third.await_(30)
    assert first.is_resolved
    assert second.is_cancelled
    assert ran == [3]


@pytest.mark.parametrize("outcome", [1, ValueError("too late")])
def test_the_outcome_of_a_cancelled_running_job_is_dropped(
    thread: ThreadLoop, one_worker: ThreadPoolExecutor, outcome: object, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(outcome)
    job = run_in_thread(thread, gate)
    assert gate.begun.wait(30)
    assert job.cancel()
    gate.may_end.set()
    run_in_thread(thread, str).await_(30)
    assert job.is_cancelled
    assert caplog.records == []
    assert not thread.tasks


def test_closing_the_loop_cancels_jobs_and_logs_their_later_exceptions(
    one_worker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []
    gate = Gate(ValueError("too late"))
    with EventLoop():
        running = run_in_thread(thread_loop.current(), gate)
        waiting = run_in_thread(thread_loop.current(), ran.append, 1)
        assert gate.begun.wait(30)
    assert running.is_cancelled
    assert waiting.is_cancelled
    gate.may_end.set()
    one_worker.shutdown()
    assert ran == []
    assert "too late" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_outcome_that_the_closed_loop_drops_is_logged(
    one_worker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    with EventLoop():
        run_in_thread(thread_loop.current(), int, "no number")
        until_queued(thread_loop.current(), 1)
        one_worker.shutdown()
    gc.collect()
    assert "no number" in caplog.text


def test_jobs_are_started_in_the_loops_own_thread(loop: EventLoop, thread: ThreadLoop) -> None:
    asker, outcomes = elsewhere(lambda: run_in_thread(thread, str))
    asker.join()
    assert isinstance(outcomes[0], WrongThread)
    loop.close()
    with pytest.raises(EventLoopClosed):
        run_in_thread(thread, str)


def test_a_forked_child_has_no_jobs_and_a_pool_of_its_own(thread: ThreadLoop, forked: Forked) -> None:
    gate = Gate("parent's")
    job = run_in_thread(thread, gate)
    assert gate.begun.wait(30)

    def child() -> None:
        with EventLoop():
            assert run_in_thread(thread_loop.current(), str, 1).await_(30) == "1"
        assert not job.is_settled

    assert forked(child) == 0
    gate.may_end.set()
    assert job.await_(30) == "parent's"


def test_a_call_from_another_thread_is_made_in_a_turn(loop: EventLoop, thread: ThreadLoop) -> None:
    def add(a: int, b: int) -> tuple[int, int, bool]:
        return a + b, threading.get_ident(), loop.in_turn

    caller, outcomes = elsewhere(lambda: call_from_thread(thread, add, 1, 2))
    loop.pump()
    caller.join()
    assert outcomes == [(3, threading.get_ident(), True)]


def test_an_exception_of_a_call_is_raised_in_the_callers_thread_alone(
    loop: EventLoop, thread: ThreadLoop, failures: list[Exception]
) -> None:
    def fail() -> None:
        raise ValueError("no")

    caller, outcomes = elsewhere(lambda: call_from_thread(thread, fail))
    loop.pump()
    caller.join()
    (error,) = outcomes
    assert isinstance(error, ValueError)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames.index("call_from_thread") < frames.index("fail")
    assert failures == []


def test_an_exit_leaves_the_loop_and_answers_the_caller(loop: EventLoop, thread: ThreadLoop) -> None:
    caller, outcomes = elsewhere(lambda: call_from_thread(thread, sys.exit, 3))
    with pytest.raises(SystemExit):
        loop.exec()
    caller.join()
    assert isinstance(outcomes[0], SystemExit)


def test_ctrl_c_is_raised_in_the_called_function(loop: EventLoop, thread: ThreadLoop) -> None:
    def interrupt() -> str:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return "interrupted"
        return "not interrupted"

    caller, outcomes = elsewhere(lambda: call_from_thread(thread, interrupt))
    loop.pump()
    caller.join()
    assert outcomes == ["interrupted"]


def test_a_call_from_the_loops_own_thread_is_refused(thread: ThreadLoop) -> None:
    with pytest.raises(UsageError, match="call the function, or deferred_invoke it"):
        call_from_thread(thread, str)


def test_closing_the_loop_ends_the_wait_of_callers() -> None:
    before = len(os.listdir("/proc/self/fd"))
    loop = EventLoop()
    thread = thread_loop.current()
    callers = [elsewhere(lambda: call_from_thread(thread, str)) for _ in range(8)]
    until_queued(thread, 8)
    loop.close()
    callers.append(elsewhere(lambda: call_from_thread(thread, str)))
    for caller, outcomes in callers:
        caller.join()
        assert isinstance(outcomes.pop(), EventLoopClosed)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
def test_closing_at_any_moment_leaves_no_caller_behind() -> None:
    closed = answered = 0
    for round in range(200):
        with EventLoop() as loop:
            thread = thread_loop.current()
            start = threading.Barrier(5)

            def call(thread: ThreadLoop = thread, start: threading.Barrier = start) -> list[str]:
                start.wait()
                return [call_from_thread(thread, str, number) for number in range(10)]

            callers = [elsewhere(call) for _ in range(4)]
            start.wait()
            for _ in range(round % 20):
                loop.pump(POLL)
        for caller, outcomes in callers:
            caller.join()
            (outcome,) = outcomes
            assert isinstance(outcome, (EventLoopClosed, list)), outcome
            closed += isinstance(outcome, EventLoopClosed)
            answered += isinstance(outcome, list)
    assert closed


def test_a_fork_while_a_caller_waits_answers_nobody(
    loop: EventLoop, thread: ThreadLoop, forked: Forked
) -> None:
    caller, outcomes = elsewhere(lambda: call_from_thread(thread, os.getpid))
    until_queued(thread, 1)
    assert forked(lambda: None) == 0
    assert outcomes == []
    loop.pump()
    caller.join()
    assert outcomes == [os.getpid()]


def test_ctrl_c_ends_the_wait_of_the_main_thread() -> None:
    source = """
import threading
from corelib import EventLoop
from corelib.turn import thread_loop
from corelib.background import call_from_thread

loops = []
ready, done = threading.Event(), threading.Event()

def idle():
    with EventLoop():
        loops.append(thread_loop.current())
        ready.set()
        done.wait()

other = threading.Thread(target=idle)
other.start()
ready.wait()
with EventLoop():
    try:
        print("up", flush=True)
        call_from_thread(loops[0], str)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
done.set()
other.join()
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
    assert process.returncode == 0
