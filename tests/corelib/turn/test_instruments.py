"""Owns the tests of observation: instruments, slow callbacks, snapshots, and that they cost nothing unused.
Must not know how a turn calls them.
"""

from __future__ import annotations

import functools
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from corelib import (
    EventLoop,
    FileWatcher,
    FileWatcherEvent,
    LocalServer,
    LocalSocket,
    Notifier,
    Process,
    Snapshot,
    Timer,
    WaitMode,
    WrongThread,
    snapshot,
)
from corelib.coroutine import run_async, sleep_ms
from corelib.errors import EventLoopClosed
from corelib.turn.instruments import Instrument, call_observed, source_of
from corelib.turn.thread_loop import current
from tests.corelib.conftest import FakeClock


class Recorder(Instrument):
    def __init__(self) -> None:
        self.observed: list[tuple[Any, ...]] = []

    def turn_started(self) -> None:
        self.observed.append(("turn",))

    def turn_ended(self, handled: int) -> None:
        self.observed.append(("turn ended", handled))

    def callback_started(self, kind: str, callback: object) -> None:
        self.observed.append((kind, callback))

    def callback_ended(self, kind: str, callback: object) -> None:
        self.observed.append((f"{kind} ended", callback))


def nothing() -> None:
    pass


def test_an_instrument_observes_each_turn_and_callback(loop: EventLoop, failures: list[Exception]) -> None:
    one, other = socket.socketpair()
    with one, other:
        recorder = Recorder()
        timer = Timer.create_single_shot(0, nothing)
        notifier = Notifier(other, Notifier.Type.WRITE, nothing)

        def fail() -> None:
            raise ValueError

        timer.start()
        loop.deferred_invoke(fail)
        loop.at_turn_end(nothing)
        loop.pump(WaitMode.POLL_FOR_EVENTS)
        loop.add_instrument(recorder)
        timer.start()
        loop.deferred_invoke(fail)
        loop.deferred_invoke(lambda: loop.at_turn_end(nothing))
        queued = list(current().queue.items)
        loop.pump(WaitMode.POLL_FOR_EVENTS)
        notifier.close()
    assert recorder.observed == [
        ("turn",),
        ("notifier", notifier),
        ("notifier ended", notifier),
        ("timer", timer),
        ("timer ended", timer),
        ("deferred callback", queued[0]),
        ("deferred callback ended", queued[0]),
        ("deferred callback", queued[1]),
        ("deferred callback ended", queued[1]),
        ("callback at the end of the turn", nothing),
        ("callback at the end of the turn ended", nothing),
        ("turn ended", 4),
    ]
    assert len(failures) == 2


def test_a_turn_without_instruments_has_none_to_call(loop: EventLoop) -> None:
    recorder = Recorder()
    loop.add_instrument(recorder)
    loop.remove_instrument(recorder)
    loop.remove_instrument(recorder)
    assert current().instruments is None
    loop.set_debug()
    loop.set_debug(None)
    assert current().instruments is None


def test_an_instrument_that_raises_is_removed(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Instrument):
        def callback_started(self, kind: str, callback: object) -> None:
            raise ValueError("broken instrument")

    called: list[int] = []
    recorder = Recorder()
    loop.add_instrument(Broken())
    loop.add_instrument(recorder)
    for _ in range(3):
        loop.deferred_invoke(lambda: called.append(1))
    loop.pump()
    assert len(called) == 3
    assert len(caplog.records) == 1
    assert "broken instrument" in caplog.text
    assert sum(kind == "deferred callback" for kind, *_ in recorder.observed) == 3


def test_an_instrument_may_be_removed_in_a_callback(loop: EventLoop) -> None:
    recorder = Recorder()
    loop.add_instrument(recorder)
    loop.deferred_invoke(lambda: loop.remove_instrument(recorder))
    loop.pump()
    loop.deferred_invoke(nothing)
    loop.pump()
    assert [kind for kind, *_ in recorder.observed] == [
        "turn",
        "deferred callback",
        "deferred callback ended",
    ]


def test_slow_callbacks_are_named_with_their_source(
    loop: EventLoop, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def slow() -> None:
        clock.advance_ms(250)

    def quick() -> None:
        clock.advance_ms(90)

    loop.set_debug(slow_callback=0.1)
    timer = Timer.create_single_shot(0, slow)
    timer.start()
    loop.deferred_invoke(functools.partial(slow))
    loop.deferred_invoke(quick)
    while len(caplog.records) < 2:
        loop.pump()
    line = slow.__code__.co_firstlineno
    where = f"{slow.__qualname__} at {__file__}:{line}"
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"deferred callback took 250.0 ms: {where}",
        f"timer took 250.0 ms: {where}",
    ]


def test_a_callback_that_waits_in_turns_of_its_own_is_not_slow(
    loop: EventLoop, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(slow_callback=0.1)

    def inner() -> None:
        clock.advance_ms(150)

    def outer() -> None:
        clock.advance_ms(60)
        loop.deferred_invoke(inner)
        loop.pump()
        clock.advance_ms(30)

    loop.deferred_invoke(outer)
    loop.pump()
    assert [record.getMessage().partition(" at ")[0] for record in caplog.records] == [
        f"deferred callback took 150.0 ms: {inner.__qualname__}"
    ]


def test_debug_may_begin_inside_a_callback(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    def begin() -> None:
        loop.set_debug(slow_callback=0.1)
        loop.deferred_invoke(nothing)
        loop.pump()

    loop.deferred_invoke(begin)
    loop.pump()
    loop.deferred_invoke(nothing)
    loop.pump()
    assert not caplog.records


class Holder:
    def method(self) -> None:
        pass


def test_source_of_names_the_user_code_behind_a_callback() -> None:
    here = f"nothing at {__file__}:{nothing.__code__.co_firstlineno}"
    assert source_of(nothing) == here
    assert source_of(functools.partial(functools.partial(nothing))) == here
    assert source_of(Timer.create_single_shot(1, nothing)) == here
    assert source_of(Timer.create_single_shot(1, nothing).fire) == here
    line = Holder.method.__code__.co_firstlineno
    assert source_of(Holder().method) == f"Holder.method at {__file__}:{line}"
    assert source_of([].clear).startswith("<built-in method clear")
    assert source_of(Timer.create_single_shot(1)) == "<Timer 1 ms, single shot, stopped, on_timeout=None>"


def test_the_users_callback_is_named_and_not_the_one_of_ours_around_it(
    loop: EventLoop, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    seen: list[object] = []

    def note(what: object) -> None:
        seen.append(what)

    watcher = FileWatcher(note)
    watcher.add_watch(tmp_path, FileWatcherEvent.Type.CHILD_CREATED)
    server = LocalServer(note)
    server.listen(tmp_path / "socket")
    client = LocalSocket.connect(tmp_path / "socket")
    Process.spawn(["echo", "x"], on_output=note)
    loop.set_debug(0.0)
    assert loop.spin_until(lambda: len({type(each) for each in seen}) == 3, timeout=30)
    client.close()
    server.close()
    watcher.close()
    slow = [record.getMessage() for record in caplog.records]
    named = f"ms: {note.__qualname__} at {__file__}:{note.__code__.co_firstlineno}"
    assert sum(text.startswith("notifier took ") and text.endswith(named) for text in slow) >= 3
    assert not [
        text for text in slow if "acceptor.py" in text or "file_watcher.py" in text or "_pipes.py" in text
    ]


def test_a_package_observes_what_its_own_callback_calls(
    loop: EventLoop, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    results: list[object] = []

    def handler(ms: int) -> int:
        clock.advance_ms(ms)
        return ms

    def callback() -> None:
        for ms in (50, 200, 300):
            observed = functools.partial(handler, ms)
            results.append(call_observed(current(), f"Clock.add for pid {ms}", handler, observed))
        clock.advance_ms(60)

    loop.deferred_invoke(callback)
    loop.pump()
    loop.set_debug(0.1)
    loop.add_instrument(recorder)
    loop.deferred_invoke(callback)
    loop.pump()
    where = f"{handler.__qualname__} at {__file__}:{handler.__code__.co_firstlineno}"
    assert [record.getMessage() for record in caplog.records] == [
        f"Clock.add for pid 200 took 200.0 ms: {where}",
        f"Clock.add for pid 300 took 300.0 ms: {where}",
        # Without what has been logged already.
        f"deferred callback took 110.0 ms: {source_of(callback)}",
    ]
    assert results == [50, 200, 300] * 2
    assert ("Clock.add for pid 50", handler) in recorder.observed


def test_packages_add_sections_to_snapshots(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sections are added for good, as packages need; this test removes its own.
    monkeypatch.setattr(snapshot, "_sections", snapshot._sections.copy())
    Snapshot.add_section("guests", lambda thread: [f"of {thread.name}", "another"])
    taken = loop.snapshot()
    assert taken.sections["guests"] == ("of MainThread", "another")
    assert "  guests: 2\n    of MainThread\n    another" in str(taken)
    assert hash(taken)


def test_a_repr_that_raises_does_not_hide_the_source() -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise ValueError

        def __call__(self) -> None: ...

    assert "Unspeakable object at" in source_of(Unspeakable())


def test_a_snapshot_lists_the_pending_work(loop: EventLoop) -> None:
    async def work() -> None:
        await sleep_ms(60_000)

    one, other = socket.socketpair()
    with one, other:
        later = Timer.create_repeating(20_000, nothing)
        sooner = Timer.create_single_shot(10_000, nothing)
        later.start()
        sooner.start()
        notifier = Notifier(one, Notifier.Type.READ, nothing)
        task = run_async(work())
        loop.deferred_invoke(nothing)
        taken = loop.snapshot()
        notifier.close()
        task.cancel()
    assert (taken.loops, taken.nesting, taken.executing) == (1, 0, 0)
    assert [round(timer.due_in_ms, -4) for timer in taken.timers] == [10_000, 20_000, 60_000]
    assert taken.timers[1].timer == repr(later)
    assert [watched.fd for watched in taken.notifiers] == [notifier.fd]
    assert taken.pending == (source_of(nothing),)
    assert len(taken.tasks) == 1
    text = str(taken)
    assert "1 loops, 0 executing, 0 turns deep" in text
    assert f"fd {notifier.fd}: {source_of(nothing)}" in text
    await_line = work.__code__.co_firstlineno + 1
    assert f"{work.__qualname__} at {__file__}:{await_line}" in text


def test_a_snapshot_shows_nesting(loop: EventLoop) -> None:
    taken = []

    def inner() -> None:
        taken.append(loop.snapshot())
        loop.quit()

    def outer() -> None:
        loop.deferred_invoke(inner)
        EventLoop.current().spin_until(lambda: bool(taken))

    loop.deferred_invoke(outer)
    loop.exec()
    assert (taken[0].nesting, taken[0].executing) == (2, 2)


def test_a_snapshot_of_a_closed_loop_is_refused(loop: EventLoop) -> None:
    loop.close()
    with pytest.raises(EventLoopClosed):
        loop.snapshot()


def test_instruments_belong_to_the_thread(loop: EventLoop) -> None:
    import threading

    refused: list[BaseException] = []

    def other_thread() -> None:
        for change in (loop.add_instrument, loop.remove_instrument):
            try:
                change(Recorder())
            except WrongThread as error:
                refused.append(error)

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert len(refused) == 2
    logging.getLogger("corelib").debug("%s", loop.snapshot())
