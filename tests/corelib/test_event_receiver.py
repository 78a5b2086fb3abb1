"""The tree of receivers, and the events that go up it."""

from __future__ import annotations

import enum
import gc
import signal
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from corelib import EventLoop, NoEventLoop, Timer, UsageError, WaitMode
from corelib.event_receiver import ChildEvent, CustomEvent, Event, EventReceiver, TimerEvent
from corelib.turn import thread_loop
from tests.corelib.conftest import FakeClock

POLL = WaitMode.POLL_FOR_EVENTS


class Recorder(EventReceiver):
    """Notes what it is told, and leaves it to its parents if it is to."""

    def __init__(self, parent: EventReceiver | None = None, name: str = "", ignores: bool = False) -> None:
        self.seen: list[Event] = []
        self.ignores = ignores
        super().__init__(parent, name)

    def _note(self, event: Event) -> None:
        self.seen.append(event)
        if self.ignores:
            event.ignore()

    timer_event = child_event = custom_event = _note


def test_a_tree() -> None:
    root = EventReceiver(name="root")
    one = EventReceiver(root, "one")
    two = EventReceiver(root, "two")
    below = EventReceiver(one, "below")
    assert root.parent is None
    assert list(root.children) == [one, two]
    assert below.parent is one
    assert root.is_ancestor_of(below)
    assert not below.is_ancestor_of(root)
    assert not one.is_ancestor_of(one)
    first = EventReceiver(name="first")
    root.insert_child_before(first, one)
    assert list(root.children) == [first, one, two]
    root.remove_child(one)
    assert list(root.children) == [first, two]
    assert one.parent is None
    one.remove_from_parent()
    root.remove_all_children()
    assert list(root.children) == []
    assert first.parent is two.parent is None


def test_finding() -> None:
    class Button(EventReceiver): ...

    root = EventReceiver()
    panel = EventReceiver(root, "panel")
    ok = Button(panel, "ok")
    cancel = Button(root, "cancel")
    assert root.children_of_type(Button) == [cancel]
    assert list(root.descendants_of_type(Button)) == [ok, cancel]
    assert list(root.descendants_of_type(EventReceiver)) == [panel, ok, cancel]
    assert root.find_child(Button, "ok") is None
    assert root.find_child(EventReceiver, "panel") is panel
    assert root.find_descendant(Button, "ok") is ok
    assert root.find_descendant(Button, "panel") is None


def test_a_tree_as_deep_as_you_like() -> None:
    root = deepest = EventReceiver()
    receivers = [root]
    for _ in range(2000):
        deepest = EventReceiver(deepest)
        receivers.append(deepest)
    assert root.is_ancestor_of(deepest)
    assert list(root.descendants_of_type(EventReceiver)) == receivers[1:]


def test_what_would_be_no_tree() -> None:
    root = EventReceiver(name="root")
    child = EventReceiver(root, "child")
    grandchild = EventReceiver(child, "grandchild")
    stranger = EventReceiver(name="stranger")
    mistakes: list[tuple[Callable[[], None], str]] = [
        (lambda: root.add_child(child), "is a child of <EventReceiver 'root'> already"),
        (lambda: stranger.add_child(child), r"is a child of <EventReceiver 'root'>: remove_from_parent\(\)"),
        (lambda: root.add_child(root), "would be its own"),
        (lambda: grandchild.add_child(root), "would be its own"),
        (lambda: root.remove_child(grandchild), "is not a child of <EventReceiver 'root'>"),
        (lambda: root.insert_child_before(stranger, grandchild), "is not a child of"),
    ]
    for mistake, text in mistakes:
        with pytest.raises(UsageError, match=text):
            mistake()
    assert root.children == (child,)
    assert stranger.parent is None


def test_a_parent_keeps_its_children_and_not_the_other_way_round() -> None:
    root = EventReceiver()
    child = EventReceiver(EventReceiver(root))
    held = weakref.ref(root.children[0])
    del root
    assert held() is None
    assert child.parent is None
    EventReceiver().add_child(child)


def test_the_parent_is_told_of_its_children() -> None:
    root = Recorder()
    child = EventReceiver(root)
    before = EventReceiver()
    root.insert_child_before(before, child)
    root.remove_child(child)
    told = [
        (event.type, event.child, event.insertion_before_child)
        for event in root.seen
        if isinstance(event, ChildEvent)
    ]
    assert told == [
        (Event.Type.CHILD_ADDED, child, None),
        (Event.Type.CHILD_ADDED, before, child),
        (Event.Type.CHILD_REMOVED, child, None),
    ]


def test_a_parent_that_raises_about_its_children(loop: EventLoop, failures: list[Exception]) -> None:
    class Parent(EventReceiver):
        def child_event(self, event: ChildEvent) -> None:
            raise ValueError(event.type.name)

    parent = Parent()
    children = [EventReceiver(parent) for _ in range(3)]
    parent.remove_all_children()
    assert [child.parent for child in children] == [None] * 3
    assert [str(error) for error in failures] == ["CHILD_ADDED"] * 3 + ["CHILD_REMOVED"] * 3


def test_a_parent_that_lets_go_of_others_when_it_lets_go_of_one() -> None:
    class Parent(EventReceiver):
        def child_event(self, event: ChildEvent) -> None:
            if event.type is Event.Type.CHILD_REMOVED and self.children:
                self.remove_child(self.children[-1])

    parent = Parent()
    for _ in range(4):
        EventReceiver(parent)
    parent.remove_all_children()
    assert parent.children == ()


def test_an_event_goes_up_until_it_is_accepted() -> None:
    root = Recorder()
    middle = Recorder(root)
    leaf = Recorder(middle, ignores=True)
    for receiver in (root, middle, leaf):
        receiver.seen.clear()
    event = CustomEvent(7, "data")
    leaf.dispatch_event(event)
    assert leaf.seen == [event]
    assert middle.seen == [event], "and accepts it only if the one before did not"
    assert root.seen == [event]
    assert (event.custom_type, event.data, event.is_accepted) == (7, "data", False)


def test_accepting_is_the_rule_and_ends_it() -> None:
    root = Recorder()
    leaf = Recorder(root)
    root.seen.clear()
    event = CustomEvent(1)
    leaf.dispatch_event(event)
    assert (leaf.seen, root.seen) == ([event], [])
    event.ignore()
    assert not event.is_accepted
    event.accept()
    assert event.is_accepted


@pytest.mark.parametrize(("within", "reached"), [("root", 2), ("middle", 1), ("leaf", 1), (None, 3)])
def test_it_stays_within(within: str | None, reached: int) -> None:
    root = Recorder(name="root", ignores=True)
    middle = Recorder(root, "middle", ignores=True)
    leaf = Recorder(middle, "leaf", ignores=True)
    named = {receiver.name: receiver for receiver in (root, middle, leaf)}
    for receiver in named.values():
        receiver.seen.clear()
    leaf.dispatch_event(CustomEvent(1), stay_within=named[within] if within else None)
    assert [len(receiver.seen) for receiver in (leaf, middle, root)] == [1] * reached + [0] * (3 - reached)


def test_it_cannot_stay_within_a_stranger() -> None:
    with pytest.raises(UsageError, match="not an ancestor"):
        EventReceiver().dispatch_event(CustomEvent(1), stay_within=EventReceiver())


def test_a_filter_swallows_what_it_does_not_let_pass() -> None:
    root = Recorder(name="root")
    leaf = Recorder(root, "leaf", ignores=True)
    root.seen.clear()
    asked: list[str] = []

    def pass_small(event: Event) -> bool:
        asked.append("root")
        return isinstance(event, CustomEvent) and event.custom_type < 10

    root.set_event_filter(pass_small)
    leaf.dispatch_event(CustomEvent(20))
    leaf.dispatch_event(CustomEvent(1))
    assert (len(leaf.seen), len(root.seen), asked) == (2, 1, ["root", "root"])
    leaf.set_event_filter(lambda event: False)
    leaf.dispatch_event(CustomEvent(1))
    assert (len(leaf.seen), len(asked)) == (2, 2)
    leaf.set_event_filter(None)
    leaf.dispatch_event(CustomEvent(1))
    assert len(leaf.seen) == 3


def test_events_of_the_programs_own() -> None:
    class Kind(enum.Enum):
        CLICK = 1

    class Button(EventReceiver):
        clicks = 0

        def event(self, event: Event) -> None:
            if event.type is Kind.CLICK:
                self.clicks += 1
            else:
                super().event(event)

    button = Button()
    button.dispatch_event(Event(Kind.CLICK))
    button.dispatch_event(CustomEvent(1))
    assert button.clicks == 1
    assert repr(Event(Kind.CLICK)) == "<Event CLICK>"


def test_what_a_handler_raises_leaves_a_direct_dispatch(loop: EventLoop, failures: list[Exception]) -> None:
    class Failing(EventReceiver):
        def custom_event(self, event: CustomEvent) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Failing().dispatch_event(CustomEvent(1))
    assert failures == []


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


def test_timers(loop: EventLoop, clock: FakeClock) -> None:
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


def test_a_timer_goes_up_the_tree_too_and_what_its_handler_raises_is_an_event(
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


def test_a_receiver_that_stops_its_timer_in_the_tick(loop: EventLoop, clock: FakeClock) -> None:
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


def test_timers_die_with_their_receiver(loop: EventLoop, clock: FakeClock) -> None:
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


def test_a_stopped_timer_leaves_nothing_to_do(loop: EventLoop) -> None:
    receiver = EventReceiver()
    receiver.stop_timer(receiver.start_timer(10))
    del receiver
    assert loop.pump(POLL) == 0


def test_a_receiver_that_outlives_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_deferred_call_that_raises_is_named(loop: EventLoop) -> None:
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
