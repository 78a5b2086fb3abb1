"""Owns the tests of a receiver's work in the loop: posted events, timers and deferred calls.
Must not know the tree beyond a parent.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import weakref

import pytest

from corelib import EventLoop, NoEventLoop, Timer, UsageError, WaitMode
from corelib.event_receiver import ChildEvent, CustomEvent, Event, EventReceiver, TimerEvent
from corelib.turn import thread_loop
from tests.corelib.conftest import FakeClock

POLL = WaitMode.POLL_FOR_EVENTS


class Recorder(EventReceiver):
    """Notes its events, and ignores them if `ignores` is set."""

    def __init__(self, parent: EventReceiver | None = None, name: str = "", ignores: bool = False) -> None:
        self.seen: list[Event] = []
        self.ignores = ignores
        super().__init__(parent, name)

    def _note(self, event: Event) -> None:
        self.seen.append(event)
        if self.ignores:
            event.ignore()

    timer_event = child_event = custom_event = _note


def test_posted_events_come_in_turns_in_order_and_from_any_thread(loop: EventLoop) -> None:
    receiver = Recorder()
    events = [CustomEvent(number) for number in range(100)]

    def post_all() -> None:
        for event in events:
            loop.post_event(receiver, event)

    thread = threading.Thread(target=post_all)
    thread.start()
    thread.join()
    assert receiver.seen == []
    loop.pump()
    assert receiver.seen == events


def test_a_posted_event_is_reported_as_an_event_when_its_handler_raises(loop: EventLoop) -> None:
    class Failing(EventReceiver):
        def custom_event(self, event: CustomEvent) -> None:
            raise ValueError("no")

    contexts: list[str] = []
    loop.on_exception = lambda error, context: contexts.append(context)
    failing, sibling = Failing(name="it"), Recorder()
    for receiver in (failing, sibling):
        loop.post_event(receiver, CustomEvent(3))
    loop.pump()
    assert contexts == ["event <CustomEvent 3, data=None> for <Failing 'it'>"]
    assert len(sibling.seen) == 1


def test_an_event_for_a_receiver_that_was_dropped_is_dropped(loop: EventLoop) -> None:
    receiver = Recorder()
    event = CustomEvent(1)
    delivery = receiver.delivery(event)
    loop.post_event(receiver, event)
    died = weakref.ref(receiver)
    del receiver
    assert died() is None
    assert loop.pump() == 1
    assert "a receiver that was dropped" in repr(delivery)


def test_a_receiver_gets_the_ticks_of_its_timers(loop: EventLoop, clock: FakeClock) -> None:
    receiver = Recorder()
    fast, slow = receiver.start_timer(10), receiver.start_timer(25)
    assert receiver.has_timer()
    while clock.now < 1_000_000_000 + 50_000_000:
        loop.pump()
    ticks = [event.timer_id for event in receiver.seen if isinstance(event, TimerEvent)]
    assert ticks == [fast, fast, slow, fast, fast, slow, fast]
    receiver.stop_timer(fast)
    assert receiver.has_timer()
    loop.pump()
    assert isinstance(receiver.seen[-1], TimerEvent)
    assert receiver.seen[-1].timer_id == slow
    receiver.stop_timer(slow)
    assert not receiver.has_timer()
    assert len(thread_loop.current().timers) == 0
    with pytest.raises(UsageError, match="has no timer"):
        receiver.stop_timer(slow)


def test_a_timer_event_goes_up_the_tree_and_its_exceptions_are_reported_as_an_events(
    loop: EventLoop, clock: FakeClock
) -> None:
    class Failing(EventReceiver):
        def timer_event(self, event: TimerEvent) -> None:
            event.ignore()
            raise ValueError("no")

    contexts: list[str] = []
    loop.on_exception = lambda error, context: contexts.append(context)
    root = Recorder()
    failing, leaf = Failing(root), Recorder(root, ignores=True)
    root.seen.clear()
    failing.start_timer(10)
    leaf.start_timer(10)
    loop.pump()
    loop.pump()
    assert [type(event) for event in root.seen] == [TimerEvent] * 2
    assert [context.partition(" of ")[0] for context in contexts] == ["event <TimerEvent"] * 2


def test_a_receiver_may_stop_its_timer_in_the_tick(loop: EventLoop, clock: FakeClock) -> None:
    class Once(EventReceiver):
        ticks = 0

        def timer_event(self, event: TimerEvent) -> None:
            self.ticks += 1
            self.stop_timer(event.timer_id)

    once = Once()
    once.start_timer(10)
    loop.pump()
    clock.advance_ms(100)
    loop.pump(POLL)
    assert (once.ticks, once.has_timer()) == (1, False)


def test_timers_end_with_their_receiver(loop: EventLoop, clock: FakeClock) -> None:
    timers = thread_loop.current().timers
    receiver = Recorder()
    receiver.start_timer(10)
    receiver.start_timer(1e9)
    died = weakref.ref(receiver)
    del receiver
    assert died() is None
    loop.pump(POLL)
    assert len(timers) == 0


def test_a_receiver_may_be_dropped_anywhere(loop: EventLoop, clock: FakeClock) -> None:
    timers = thread_loop.current().timers
    receivers = [Recorder(), Recorder()]
    receivers[0].start_timer(10)
    receivers[1].start_timer(10)
    thread = threading.Thread(target=receivers.pop)
    thread.start()
    thread.join()
    loop.pump(POLL)
    assert len(timers) == 1
    receivers[0].seen = receivers  # type: ignore[assignment]
    del receivers
    gc.collect()
    loop.pump(POLL)
    assert len(timers) == 0


def test_a_stopped_timer_leaves_no_finalizer_behind(loop: EventLoop) -> None:
    receiver = EventReceiver()
    receiver.stop_timer(receiver.start_timer(10))
    del receiver
    assert loop.pump(POLL) == 0


def test_a_receiver_may_outlive_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Recorder()
    with EventLoop():
        timer_id = receiver.start_timer(10)
    assert not receiver.has_timer()
    receiver.stop_timer(timer_id)
    with EventLoop():
        receiver.start_timer(10)
    with pytest.raises(NoEventLoop):
        receiver.start_timer(10)
    with pytest.raises(NoEventLoop):
        receiver.deferred_invoke(print)
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    del receiver
    assert unraisable == []


def test_deferred_calls_are_dropped_with_the_receiver(loop: EventLoop) -> None:
    class Own(EventReceiver):
        def note(self) -> None:
            called.append("method")

    called: list[str] = []
    receiver = Own()
    receiver.deferred_invoke(lambda: called.append("function"))
    receiver.deferred_invoke(receiver.note)
    loop.pump()
    assert called == ["function", "method"]
    receiver.deferred_invoke(lambda: called.append("late"))
    receiver.deferred_invoke(receiver.note)
    died = weakref.ref(receiver)
    del receiver
    assert died() is None
    loop.pump()
    assert called == ["function", "method"]


def test_a_deferred_call_that_raises_is_named_in_the_report(loop: EventLoop) -> None:
    contexts: list[str] = []
    loop.on_exception = lambda error, context: contexts.append(context)

    def fail() -> None:
        raise ValueError

    receiver = EventReceiver(name="it")
    receiver.deferred_invoke(fail)
    loop.pump()
    assert "fail at 0x" in contexts[0]
    assert contexts[0].endswith("for <EventReceiver 'it'>")


def test_the_loops_own_timers_are_not_the_receivers(loop: EventLoop, clock: FakeClock) -> None:
    seen: list[int] = []
    timer = Timer.create_single_shot(5, lambda: seen.append(1))
    timer.start()
    assert not EventReceiver().has_timer()
    loop.pump()
    assert seen == [1]


def test_ctrl_c_is_raised_in_handlers_and_filters(loop: EventLoop) -> None:
    seen: list[str] = []

    class Interrupted(EventReceiver):
        def custom_event(self, event: CustomEvent) -> None:
            interrupt("handler")

        def child_event(self, event: ChildEvent) -> None:
            interrupt("child")

    def interrupt(name: str) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            seen.append(name)

    receiver = Interrupted()
    EventReceiver(receiver)
    loop.post_event(receiver, CustomEvent(1))
    receiver.deferred_invoke(lambda: interrupt("deferred"))
    loop.pump()
    receiver.set_event_filter(lambda event: interrupt("filter"))
    receiver.dispatch_event(CustomEvent(1))
    assert seen == ["child", "handler", "deferred", "filter"]
