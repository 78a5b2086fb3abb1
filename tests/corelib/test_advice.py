"""Owns the tests of what errors and reprs tell a user who has made a mistake, or who looks.
Must not know anything else about what they come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest

from corelib import (
    Cancelled,
    EventLoop,
    EventReceiver,
    NoEventLoop,
    Promise,
    Timer,
    UsageError,
    asyncio_bridge,
    deferred_invoke,
    run_async,
)

GUARD = 30  # seconds, against a hang


def error_in_a_thread(function: Callable[[], object]) -> str:
    texts: list[str] = []

    def call() -> None:
        with pytest.raises(NoEventLoop) as raised:
            function()
        texts.append(str(raised.value))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(GUARD)
    return texts[0]


def error_under_asyncio(function: Callable[[], object]) -> str:
    async def main() -> str:
        with pytest.raises(NoEventLoop) as raised:
            function()
        return str(raised.value)

    return asyncio.run(main())


def a_timer() -> None:
    Timer.create_single_shot(1).start()


NEED_A_LOOP: list[Callable[[], object]] = [a_timer, EventLoop.current, lambda: deferred_invoke(print)]


@pytest.mark.parametrize("use", NEED_A_LOOP)
def test_no_loop_under_asyncio_points_to_the_bridge(use: Callable[[], object]) -> None:
    assert "corelib.asyncio_bridge.run(main()) instead of asyncio.run(main())" in error_under_asyncio(use)


@pytest.mark.parametrize("use", NEED_A_LOOP)
def test_no_loop_in_another_thread_points_to_the_methods_of_a_loop(use: Callable[[], object]) -> None:
    assert "loop.deferred_invoke(" in error_in_a_thread(use)


@pytest.mark.parametrize("use", NEED_A_LOOP)
def test_no_loop_at_all_says_how_to_make_one(use: Callable[[], object]) -> None:
    with pytest.raises(NoEventLoop, match=r"make one first, `loop = EventLoop\(\)`"):
        use()


AWAITS = """
    import asyncio
    from corelib import EventLoop, Promise, UsageError
    {imports}

    async def main():
        loop = EventLoop()
        try:
            await Promise()
        except UsageError as error:
            print(error)
        loop.close()

    asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["", "import corelib.asyncio_bridge"], ids=["without", "with"])
def test_awaiting_a_promise_under_a_stock_asyncio_says_what_to_do(imports: str) -> None:
    # A program of its own, because the bridge, once imported, stays.
    program = textwrap.dedent(AWAITS).format(imports=imports)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=GUARD, check=True
    )
    assert "call asyncio_bridge.run(main()), not asyncio.run(main())" in ended.stdout
    assert ended.stderr == ""


def test_a_coroutine_that_awaits_nonsense_keeps_its_own_error(loop: EventLoop) -> None:
    async def fails() -> None:
        promise: Promise[None] = Promise()
        loop.deferred_invoke(lambda: promise.reject(OSError("its own")))
        await promise

    with pytest.raises(OSError, match="its own"):
        run_async(fails()).await_(GUARD)


def test_the_repr_of_a_promise_tells_its_state(loop: EventLoop) -> None:
    async def fetch() -> None:
        await Promise()

    promise: Promise[object] = Promise()
    assert repr(promise) == "<Promise, pending>"
    promise.resolve([1, promise])
    assert repr(promise) == "<Promise, resolved with [1, <Promise ...>]>"
    assert repr(Promise.resolved("x" * 10_000)).endswith("...>")
    assert len(repr(Promise.resolved("x" * 10_000))) < 200
    rejected: Promise[int] = Promise.rejected(OSError("no"))
    assert repr(rejected) == "<Promise, rejected with OSError('no')>"
    rejected.when_rejected(lambda error: None)
    assert repr(Promise.rejected(Cancelled())) == "<Promise, cancelled>"
    task = run_async(fetch())
    assert repr(task).startswith("<Task of test_the_repr")
    assert repr(task).endswith("fetch, pending>")


def test_the_repr_of_a_promise_does_not_handle_its_rejection(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    promise: Promise[int] = Promise.rejected(OSError("unseen"))
    repr(promise)
    del promise
    assert "unseen" in caplog.text


def test_the_repr_of_a_timer_tells_its_state(loop: EventLoop) -> None:
    seen: list[str] = []
    timer = Timer.create_repeating(0, lambda: seen.append(repr(timer)))
    assert ", repeating, stopped," in repr(timer)
    timer.start()
    assert ", repeating, started," in repr(timer)
    loop.pump()
    assert ", repeating, running," in seen[0]
    timer.stop()
    assert repr(Timer.create_single_shot(5)) == "<Timer 5 ms, single shot, stopped, on_timeout=None>"


def test_the_repr_of_a_loop_tells_its_state() -> None:
    with EventLoop() as loop:
        assert repr(loop) == "<EventLoop of thread 'MainThread', open>"
        loop.deferred_invoke(lambda: loop.quit(3))
        seen: list[str] = []
        loop.deferred_invoke(lambda: seen.append(repr(loop)))
        loop.exec()
        assert seen == ["<EventLoop of thread 'MainThread', executing, to quit with 3>"]
    assert repr(loop) == "<EventLoop of thread 'MainThread', closed>"


def test_chain_names_what_it_got_instead_of_a_promise() -> None:
    with pytest.raises(UsageError, match="returns a Promise, not 3"):
        Promise.resolved(1).chain(lambda value: 3).await_()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_belongs_to_a_loop_can_be_neither_copied_nor_pickled(
    loop: EventLoop, copied: Callable[[object], object]
) -> None:
    async def returns() -> None: ...

    for thing in (loop, Promise(), Timer(5), EventReceiver(), run_async(returns())):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copied(thing)
    with (
        contextlib.closing(asyncio_bridge.AsyncioEventLoop()) as of_asyncio,
        pytest.raises(TypeError, match="cannot be copied or pickled"),
    ):
        copied(of_asyncio)
