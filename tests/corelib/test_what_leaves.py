"""Owns the tests of exceptions that are no Exception: only KeyboardInterrupt and SystemExit leave the loop.
Must not know what the callbacks are for.
"""

from __future__ import annotations

import ast
import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import corelib
from corelib import (
    Cancelled,
    CustomEvent,
    EventLoop,
    EventReceiver,
    FileWatcher,
    FileWatcherEvent,
    Instrument,
    LocalServer,
    LocalSocket,
    Notifier,
    Process,
    Promise,
    Timer,
    asyncio_bridge,
    run_async,
)

GUARD = 30  # seconds, against a hang


class Stop(BaseException):
    """An exception of a program, which is no Exception."""


STAYING = [Cancelled(), asyncio.CancelledError(), GeneratorExit(), Stop()]
LEAVING = [KeyboardInterrupt(), SystemExit(3)]
Raise = Callable[..., None]


def _fresh(error: BaseException) -> BaseException:
    """Another such exception: one that was raised keeps its frames, and what their variables hold open."""
    return type(error)(*error.args)


Use = Callable[[EventLoop, Raise, Path], object]


def in_a_deferred_callback(loop: EventLoop, fail: Raise, folder: Path) -> object:
    return loop.deferred_invoke(fail)


def at_the_end_of_a_turn(loop: EventLoop, fail: Raise, folder: Path) -> object:
    return loop.deferred_invoke(lambda: loop.at_turn_end(fail))


def in_a_timer(loop: EventLoop, fail: Raise, folder: Path) -> object:
    timer = Timer.create_single_shot(0, fail)
    timer.start()
    return timer


def in_a_notifier(loop: EventLoop, fail: Raise, folder: Path) -> object:
    mine, theirs = socket.socketpair()
    theirs.send(b"x")

    def on_activation() -> None:
        notifier.close()
        fail()

    notifier = Notifier(mine, Notifier.Type.READ, on_activation)
    return mine, theirs


def in_a_callback_of_a_promise(loop: EventLoop, fail: Raise, folder: Path) -> object:
    promise: Promise[int] = Promise()
    promise.when_resolved(fail)
    return loop.deferred_invoke(lambda: promise.resolve(1))


def in_a_callback_that_is_called_at_once(loop: EventLoop, fail: Raise, folder: Path) -> object:
    return loop.deferred_invoke(lambda: Promise.resolved(1).when_resolved(fail))


def in_on_cancel(loop: EventLoop, fail: Raise, folder: Path) -> object:
    promise: Promise[int] = Promise()
    promise.on_cancel = fail
    return loop.deferred_invoke(promise.cancel)


def in_an_event_receiver(loop: EventLoop, fail: Raise, folder: Path) -> object:
    class Failing(EventReceiver):
        def custom_event(self, event: CustomEvent) -> None:
            fail()

    receiver = Failing()
    loop.post_event(receiver, CustomEvent(1))
    return receiver


def in_a_child_event(loop: EventLoop, fail: Raise, folder: Path) -> object:
    class Failing(EventReceiver):
        def child_event(self, event: object) -> None:
            fail()

    parent = Failing()
    loop.deferred_invoke(lambda: parent.add_child(EventReceiver()))
    return parent


def in_a_signal_handler(loop: EventLoop, fail: Raise, folder: Path) -> object:
    loop.register_signal(signal.SIGUSR1, lambda signo: fail())
    signal.raise_signal(signal.SIGUSR1)
    return None


def in_on_change(loop: EventLoop, fail: Raise, folder: Path) -> object:
    watcher = FileWatcher(lambda event: fail())
    watcher.add_watch(folder, FileWatcherEvent.Type.CHILD_CREATED)
    (folder / "file").touch()
    return watcher


def in_on_accept(loop: EventLoop, fail: Raise, folder: Path) -> object:
    server = LocalServer(lambda client: fail())
    server.listen(folder / "socket")
    return server, LocalSocket.connect(folder / "socket")


def in_on_exit(loop: EventLoop, fail: Raise, folder: Path) -> object:
    return Process.spawn(["true"], on_exit=lambda code: fail())


def in_on_output(loop: EventLoop, fail: Raise, folder: Path) -> object:
    return Process.spawn(["echo"], on_output=lambda data: fail())


USES: list[Use] = [use for name, use in sorted(globals().items()) if name.startswith(("in_", "at_"))]


@pytest.mark.parametrize("error", STAYING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_an_exception_that_is_no_exception_is_reported_and_the_loop_goes_on(
    loop: EventLoop, tmp_path: Path, use: Use, error: BaseException
) -> None:
    error = _fresh(error)
    reported: list[BaseException] = []
    loop.on_exception = lambda error, context: reported.append(error)

    def fail(*_arguments: object) -> None:
        raise error

    kept = use(loop, fail, tmp_path)
    assert loop.spin_until(lambda: reported, timeout=GUARD)
    assert reported == [error]
    loop.deferred_invoke(lambda: loop.quit(7))
    assert loop.exec() == 7
    del kept


@pytest.mark.parametrize("error", LEAVING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_interrupts_and_exits_leave_every_kind_of_callback(
    loop: EventLoop, tmp_path: Path, failures: list[Exception], use: Use, error: BaseException
) -> None:
    error = _fresh(error)

    def fail(*_arguments: object) -> None:
        raise error

    kept = use(loop, fail, tmp_path)
    with pytest.raises(type(error)):
        loop.spin_until(lambda: False, timeout=GUARD)
    assert failures == []
    loop.deferred_invoke(lambda: loop.quit(7))
    assert loop.exec() == 7
    del kept


@pytest.mark.parametrize("error", STAYING, ids=lambda error: type(error).__name__)
def test_a_promise_settles_whatever_the_function_raises_that_would_settle_it(
    loop: EventLoop, error: BaseException
) -> None:
    error = _fresh(error)

    def fail(_value: int) -> Promise[int]:
        raise error

    for derived in (
        Promise.resolved(1).map(fail),
        Promise.resolved(1).chain(fail),
        run_async(raising(error)),
        loop.run_in_thread(fail, 1),
    ):
        with pytest.raises(type(error)):
            derived.await_(GUARD)
    outcome: Promise[int] = Promise.resolved(1).map(fail)
    assert outcome.is_rejected
    outcome.when_rejected(lambda error: None)


@pytest.mark.parametrize("error", LEAVING, ids=lambda error: type(error).__name__)
def test_a_promise_settles_even_if_an_interrupt_leaves_the_function(
    loop: EventLoop, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    error = _fresh(error)

    def fail(_value: int) -> int:
        raise error

    source: Promise[int] = Promise()
    derived = source.map(fail)
    with pytest.raises(type(error)):
        source.resolve(1)
    assert derived.is_rejected
    del derived
    assert caplog.text == "", "what has left is not logged too"


async def raising(error: BaseException) -> int:
    raise error


def test_a_call_from_another_thread_gets_what_its_function_raises(loop: EventLoop) -> None:
    def fail() -> None:
        raise Stop

    def call() -> str:
        with pytest.raises(Stop):
            loop.call_from_thread(fail)
        return "raised"

    assert loop.run_in_thread(call).await_(GUARD) == "raised"


def test_a_hook_that_raises_no_exception_is_logged(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    def broken_hook(error: BaseException, context: str) -> None:
        raise Cancelled("of the hook")

    loop.on_exception = broken_hook
    loop.deferred_invoke(lambda: 1 / 0)
    assert loop.pump() == 1
    assert "ZeroDivisionError" in caplog.text
    assert "of the hook" in caplog.text


def test_an_instrument_that_raises_no_exception_is_removed(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Instrument):
        def turn_started(self) -> None:
            raise GeneratorExit

        def __repr__(self) -> str:
            raise Stop

    loop.add_instrument(Broken())
    loop.deferred_invoke(lambda: None)
    assert loop.pump() == 1
    assert "raised, and is removed" in caplog.text


def test_corelib_never_catches_exception_alone() -> None:
    """Code around user code catches BaseException, and raises or reports it; reporting raises what leaves."""
    passes_on = ("report(", "raise_if_it_leaves(", "raise", "_reject(", "leaving = error", "reject(")
    for file in Path(corelib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Try):
                continue
            before: list[str] = []
            for handler in node.handlers:
                caught = "" if handler.type is None else ast.unparse(handler.type)
                where = f"{file}:{handler.lineno}"
                assert caught not in ("", "Exception"), where
                if caught == "BaseException" and "(KeyboardInterrupt, SystemExit)" not in before:
                    text = "\n".join(map(ast.unparse, handler.body))
                    assert any(way in text for way in passes_on), where
                before.append(caught)


def test_a_coroutine_gets_corelibs_cancelled_for_a_cancelled_future_of_asyncio(loop: EventLoop) -> None:
    seen: list[type[BaseException]] = []

    async def waits(future: asyncio.Future[None]) -> None:
        try:
            await future
        except BaseException as error:
            seen.append(type(error))
            raise

    with asyncio_bridge.hosted() as hosted:
        for cancel in ("future", "task"):
            future = hosted.create_future()
            task = run_async(waits(future))
            (future if cancel == "future" else task).cancel()
            assert loop.spin_until(lambda: task.is_settled, timeout=GUARD)  # noqa: B023
            assert task.is_cancelled
            assert future.cancelled()
    assert seen == [Cancelled, Cancelled]


def test_the_end_of_a_program_by_sys_exit_in_a_callback_has_its_code(loop: EventLoop) -> None:
    loop.deferred_invoke(lambda: sys.exit(4))
    with pytest.raises(SystemExit) as left:
        loop.exec()
    assert left.value.code == 4
