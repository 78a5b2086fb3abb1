"""Owns the tests of the tree of receivers, and of the events that go up it.
Must not know the loop.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable

import pytest

from corelib import EventLoop, UsageError, WaitMode
from corelib.event_receiver import ChildEvent, CustomEvent, Event, EventReceiver

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


def test_receivers_form_a_tree() -> None:
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


def test_receivers_are_found_by_class_and_name() -> None:
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


def test_a_tree_may_be_of_any_depth() -> None:
    root = deepest = EventReceiver()
    receivers = [root]
    for _ in range(2000):
        deepest = EventReceiver(deepest)
        receivers.append(deepest)
    assert root.is_ancestor_of(deepest)
    assert list(root.descendants_of_type(EventReceiver)) == receivers[1:]


def test_changes_that_would_break_the_tree_are_refused() -> None:
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


def test_a_parent_keeps_its_children_alive_and_not_the_other_way_round() -> None:
    root = EventReceiver()
    child = EventReceiver(EventReceiver(root))
    held = weakref.ref(root.children[0])
    del root
    assert held() is None
    assert child.parent is None
    EventReceiver().add_child(child)


def test_the_parent_gets_an_event_for_each_change_of_its_children() -> None:
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


def test_an_exception_of_child_event_is_reported_and_the_change_stays(
    loop: EventLoop, failures: list[Exception]
) -> None:
    class Parent(EventReceiver):
        def child_event(self, event: ChildEvent) -> None:
            raise ValueError(event.type.name)

    parent = Parent()
    children = [EventReceiver(parent) for _ in range(3)]
    parent.remove_all_children()
    assert [child.parent for child in children] == [None] * 3
    assert [str(error) for error in failures] == ["CHILD_ADDED"] * 3 + ["CHILD_REMOVED"] * 3


def test_a_parent_may_remove_other_children_while_it_removes_one() -> None:
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


def test_an_event_is_accepted_unless_it_is_ignored() -> None:
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
def test_an_event_stays_within_an_ancestor(within: str | None, reached: int) -> None:
    root = Recorder(name="root", ignores=True)
    middle = Recorder(root, "middle", ignores=True)
    leaf = Recorder(middle, "leaf", ignores=True)
    named = {receiver.name: receiver for receiver in (root, middle, leaf)}
    for receiver in named.values():
        receiver.seen.clear()
    leaf.dispatch_event(CustomEvent(1), stay_within=named[within] if within else None)
    assert [len(receiver.seen) for receiver in (leaf, middle, root)] == [1] * reached + [0] * (3 - reached)


def test_an_event_cannot_stay_within_a_receiver_that_is_not_an_ancestor() -> None:
    with pytest.raises(UsageError, match="not an ancestor"):
        EventReceiver().dispatch_event(CustomEvent(1), stay_within=EventReceiver())


def test_a_filter_with_a_false_result_drops_the_event() -> None:
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


def test_a_program_may_have_events_of_its_own() -> None:
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


def test_exceptions_of_handlers_leave_a_direct_dispatch(loop: EventLoop, failures: list[Exception]) -> None:
    class Failing(EventReceiver):
        def custom_event(self, event: CustomEvent) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Failing().dispatch_event(CustomEvent(1))
    assert failures == []
