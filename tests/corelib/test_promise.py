"""Owns the tests of promises: settling, listeners, cancelling, and failures that nobody handled.
Must not know what settles a promise.
"""

from __future__ import annotations

import gc
import logging
import weakref

import pytest

from corelib import Cancelled, EventLoop, NoEventLoop, Promise, TimedOut, Timer, UsageError
from corelib.turn import thread_loop
from tests.corelib.conftest import FakeClock


class Failure(Exception):
    pass


def test_a_promise_is_settled_once() -> None:
    promise: Promise[int] = Promise()
    assert not promise.is_settled
    assert promise.resolve(1)
    assert not promise.resolve(2)
    assert not promise.reject(Failure())
    assert (promise.is_resolved, promise.is_rejected, promise.is_settled) == (True, False, True)
    assert promise.await_() == 1


def test_none_is_a_value_of_a_promise() -> None:
    promise: Promise[None] = Promise()
    promise.resolve(None)
    assert promise.is_resolved
    promise.await_()


def test_callbacks_run_in_order_and_at_once_if_the_promise_is_settled() -> None:
    seen: list[object] = []
    promise: Promise[int] = Promise()
    assert promise.when_resolved(lambda value: seen.append(("first", value))) is promise
    promise.when_resolved(lambda value: seen.append(("second", value))).when_rejected(seen.append)
    promise.resolve(5)
    promise.when_resolved(lambda value: seen.append(("late", value)))
    assert seen == [("first", 5), ("second", 5), ("late", 5)]


def test_a_rejection_calls_when_rejected_alone() -> None:
    seen: list[object] = []
    failure = Failure("no")
    promise: Promise[int] = Promise()
    promise.when_resolved(seen.append).when_rejected(seen.append)
    assert promise.reject(failure)
    assert promise.is_rejected
    promise.when_rejected(seen.append)
    assert seen == [failure, failure]


def test_exceptions_of_callbacks_go_to_the_loop_and_not_to_the_code_that_settles(
    loop: EventLoop, failures: list[Exception]
) -> None:
    seen: list[int] = []
    promise: Promise[int] = Promise()
    promise.when_resolved(lambda value: 1 / 0).when_resolved(seen.append)
    assert promise.resolve(1)
    assert [type(error) for error in failures] == [ZeroDivisionError]
    assert seen == [1]


def test_exceptions_of_callbacks_are_logged_without_a_loop(caplog: pytest.LogCaptureFixture) -> None:
    Promise.resolved(1).when_resolved(lambda value: 1 / 0)
    assert "ZeroDivisionError" in caplog.text


def test_an_interrupted_callback_does_not_stop_the_others(loop: EventLoop) -> None:
    seen: list[int] = []

    def interrupt(value: int) -> None:
        raise KeyboardInterrupt

    promise: Promise[int] = Promise()
    promise.when_resolved(interrupt).when_resolved(seen.append)
    with pytest.raises(KeyboardInterrupt):
        promise.resolve(1)
    loop.pump()
    assert seen == [1]


def test_map_applies_a_function_to_the_value() -> None:
    promise: Promise[int] = Promise()
    mapped = promise.map(lambda value: f"<{value}>")
    promise.resolve(3)
    assert mapped.await_() == "<3>"


def test_map_passes_on_a_rejection_and_turns_an_exception_into_one() -> None:
    promise: Promise[int] = Promise()
    handed_on = promise.map(str)
    promise.reject(Failure())
    with pytest.raises(Failure):
        handed_on.await_()
    with pytest.raises(ZeroDivisionError):
        Promise.resolved(0).map(lambda value: 1 / value).await_()


def test_await_makes_turns_until_it_is_settled(loop: EventLoop) -> None:
    promise: Promise[str] = Promise()
    timer = Timer.create_single_shot(1, lambda: promise.resolve("there"))
    timer.start()
    assert promise.await_() == "there"


def test_await_raises_the_rejection(loop: EventLoop) -> None:
    promise: Promise[str] = Promise()
    loop.deferred_invoke(lambda: promise.reject(Failure("no")))
    with pytest.raises(Failure, match="no"):
        promise.await_()


def test_await_ends_at_its_deadline(loop: EventLoop, clock: FakeClock) -> None:
    promise: Promise[int] = Promise()
    start = clock.now
    with pytest.raises(TimedOut) as caught:
        promise.await_(timeout=0.25)
    assert isinstance(caught.value, TimeoutError)
    assert clock.now == start + 250_000_000
    promise.resolve(1)
    assert promise.await_(timeout=0) == 1


def test_quit_does_not_end_await(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()
    loop.deferred_invoke(loop.quit)
    loop.deferred_invoke(lambda: loop.deferred_invoke(lambda: promise.resolve(1)))
    assert promise.await_() == 1
    assert loop.was_exit_requested()


def test_await_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop):
        Promise().await_()


def test_a_rejection_that_nobody_handled_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "corelib"):
        promise: Promise[int] = Promise.rejected(Failure("unseen"))
        assert caplog.text == ""
        del promise
        gc.collect()
    assert "unseen" in caplog.text


def test_the_last_promise_of_a_chain_must_handle_the_rejection(caplog: pytest.LogCaptureFixture) -> None:
    Promise.rejected(Failure("unseen")).map(str).map(str)
    gc.collect()
    assert caplog.text.count("dropped unhandled") == 1


def test_a_handled_rejection_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    Promise.rejected(Failure()).when_rejected(lambda error: None)
    with pytest.raises(Failure):
        Promise.rejected(Failure()).await_()
    Promise.rejected(Failure()).map(str).when_rejected(lambda error: None)
    gc.collect()
    assert caplog.text == ""


def test_a_settled_promise_holds_neither_callbacks_nor_itself() -> None:
    class Callback:
        def __call__(self, value: object) -> None: ...

    gc.disable()
    try:
        callback = Callback()
        promise: Promise[int] = Promise()
        promise.when_resolved(callback)
        promise.resolve(1)
        gone = weakref.ref(callback)
        del callback
        assert gone() is None
        failure = Failure()
        rejected: Promise[int] = Promise.rejected(failure)
        with pytest.raises(Failure):
            rejected.await_()
        seen = weakref.ref(failure)
        del failure, rejected
        gc.collect()
        assert seen() is None
    finally:
        gc.enable()


def test_cancelling_stops_the_work_and_rejects() -> None:
    stopped: list[bool] = []
    promise: Promise[int] = Promise()
    promise.on_cancel = lambda: stopped.append(True)
    heard: list[BaseException] = []
    promise.when_rejected(heard.append)
    assert promise.cancel()
    assert stopped == [True]
    assert promise.is_cancelled
    assert isinstance(heard[0], Cancelled)
    assert not promise.cancel()
    assert not promise.resolve(1)


def test_a_settled_promise_cannot_be_cancelled() -> None:
    stopped: list[bool] = []
    promise: Promise[int] = Promise()
    promise.on_cancel = lambda: stopped.append(True)
    promise.resolve(1)
    assert not promise.cancel()
    assert stopped == []


def test_an_on_cancel_that_raises_is_reported(loop: EventLoop, failures: list[Exception]) -> None:
    def fail() -> None:
        raise ValueError

    promise: Promise[int] = Promise()
    promise.on_cancel = fail
    assert promise.cancel()
    assert promise.is_cancelled
    assert len(failures) == 1


def test_chain_follows_the_second_promise() -> None:
    first: Promise[int] = Promise()
    second: Promise[str] = Promise()
    asked: list[int] = []

    def ask(value: int) -> Promise[str]:
        asked.append(value)
        return second

    chained = first.chain(ask)
    first.resolve(1)
    assert asked == [1]
    assert not chained.is_settled
    second.resolve("x")
    assert chained.await_() == "x"


def test_a_chain_is_rejected_where_it_breaks() -> None:
    def fail(value: int) -> Promise[int]:
        raise ValueError("in the function")

    with pytest.raises(KeyError):
        Promise.rejected(KeyError()).chain(Promise.resolved).await_()
    with pytest.raises(ValueError, match="in the function"):
        Promise.resolved(1).chain(fail).await_()
    with pytest.raises(KeyError):
        Promise.resolved(1).chain(lambda _: Promise.rejected(KeyError())).await_()
    with pytest.raises(UsageError, match="returns a Promise, not 2"):
        Promise.resolved(1).chain(lambda value: value + 1).await_()  # type: ignore[arg-type,return-value]


def test_a_cancelled_derived_promise_withdraws_from_its_source() -> None:
    for derive in (
        lambda promise: promise.map(str),
        lambda promise: promise.map(str).map(int),
        lambda promise: promise.chain(Promise.resolved),
        lambda promise: Promise.resolved(1).chain(lambda _: promise),
        lambda promise: Promise.after([promise, Promise.resolved(1)]),
    ):
        source: Promise[int] = Promise()
        derived = derive(source)
        derived.cancel()
        assert derived.is_cancelled
        assert source.is_cancelled


def test_a_promise_with_another_listener_goes_on() -> None:
    source: Promise[int] = Promise()
    heard: list[int] = []
    source.when_resolved(heard.append)
    source.map(str).cancel()
    source.resolve(3)
    assert heard == [3]


def test_after_resolves_with_all_values_in_order() -> None:
    first: Promise[int] = Promise()
    second: Promise[int] = Promise()
    together = Promise.after([first, second])
    second.resolve(2)
    assert not together.is_settled
    first.resolve(1)
    assert together.await_() == [1, 2]
    assert Promise.after([]).await_() == []


def test_after_is_rejected_with_the_first_failure(caplog: pytest.LogCaptureFixture) -> None:
    first: Promise[int] = Promise()
    second: Promise[int] = Promise()
    together = Promise.after([first, second])
    second.reject(KeyError())
    with pytest.raises(KeyError):
        together.await_()
    first.reject(ValueError())
    del first, second, together
    gc.collect()
    assert not caplog.records


def test_within_rejects_a_promise_that_is_late(loop: EventLoop, clock: FakeClock) -> None:
    source: Promise[int] = Promise()
    limited = source.within(1.5)
    with pytest.raises(TimedOut, match=r"1.5 s"):
        limited.await_()
    assert source.is_cancelled
    in_time: Promise[int] = Promise()
    limited = in_time.within(1.5)
    in_time.resolve(1)
    assert limited.await_() == 1
    given_up = Promise[int]().within(60)
    given_up.cancel()
    assert len(thread_loop.current().timers) == 0


def test_a_cancelled_promise_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    Promise[int]().cancel()
    gc.collect()
    assert not caplog.records


def test_a_raised_rejection_leaves_no_cycle() -> None:
    def fail() -> None:
        with pytest.raises(KeyError):
            Promise.rejected(KeyError()).await_()

    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_promise_can_be_referred_to_weakly() -> None:
    promise: Promise[int] = Promise()
    reference = weakref.ref(promise)
    assert reference() is promise
    del promise
    assert reference() is None
