"""Owns EventReceiver, the tree that events travel, and the events themselves.
Knows timers and the thread's queue, nothing of what the events of a program mean.
"""

from __future__ import annotations

import enum
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import MethodType
from typing import Any, TypeVar

from corelib.errors import EventLoopClosed, UsageError
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.event_queue import EventQueue
from corelib.turn.interrupts import calls_user_code


class Event:
    """Something that happened, for an EventReceiver. Accepted from the start, as in LibCore: a handler that
    leaves it to its parents calls ignore(). A program's own events derive from it and bring an enum of their
    own for `type`."""

    class Type(enum.Enum):
        """The kinds that corelib itself makes."""

        TIMER = enum.auto()
        CHILD_ADDED = enum.auto()
        CHILD_REMOVED = enum.auto()
        CUSTOM = enum.auto()

    __slots__ = ("_accepted", "_type")

    def __init__(self, type: enum.Enum) -> None:
        self._type = type
        self._accepted = True

    @property
    def type(self) -> enum.Enum:
        """What kind it is."""
        return self._type

    @property
    def is_accepted(self) -> bool:
        """Whether it has come to its end; if not, it goes on to the parent."""
        return self._accepted

    def accept(self) -> None:
        """Let it end here."""
        self._accepted = True

    def ignore(self) -> None:
        """Let it go on to the parent."""
        self._accepted = False

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self._type.name}>"


class TimerEvent(Event):
    """A tick of a timer that start_timer() started."""

    __slots__ = ("timer_id",)

    def __init__(self, timer_id: int) -> None:
        super().__init__(Event.Type.TIMER)
        self.timer_id = timer_id

    def __repr__(self) -> str:
        return f"<TimerEvent of timer {self.timer_id}>"


class ChildEvent(Event):
    """For the parent: it has a child, or has it no more. `insertion_before_child` is the sibling that
    insert_child_before() put it before."""

    __slots__ = ("child", "insertion_before_child")

    def __init__(
        self, type: enum.Enum, child: EventReceiver, insertion_before_child: EventReceiver | None = None
    ) -> None:
        super().__init__(type)
        self.child = child
        self.insertion_before_child = insertion_before_child


class CustomEvent(Event):
    """An event of the program's own, told apart by a number."""

    __slots__ = ("custom_type", "data")

    def __init__(self, custom_type: int, data: Any = None) -> None:
        super().__init__(Event.Type.CUSTOM)
        self.custom_type = custom_type
        self.data = data

    def __repr__(self) -> str:
        return f"<CustomEvent {self.custom_type}, data={self.data!r}>"


R = TypeVar("R", bound="EventReceiver")
EventFilter = Callable[[Event], object]


class EventReceiver:
    """A node of a tree that events go up, with timers of its own; LibCore's Core::EventReceiver (once
    Core::Object). Override timer_event, child_event and custom_event, or event for all kinds.

    A parent keeps its children alive and not the other way round. What the loop holds for a receiver (its
    timers, events and callbacks in the queue) does not keep it alive either, and is dropped with it.

    An exception of a handler, when an event comes from the loop or tells of a child, goes to the loop's
    on_exception."""

    __slots__ = ("__weakref__", "_children", "_event_filter", "_parent", "_timers", "name")

    def __init__(self, parent: EventReceiver | None = None, name: str = "") -> None:
        self.name = name
        self._parent: weakref.ref[EventReceiver] | None = None
        self._children: list[EventReceiver] = []
        self._event_filter: EventFilter | None = None
        #: With each timer what stops it when the receiver is dropped.
        self._timers: dict[int, tuple[Timer, weakref.finalize[[EventQueue, Timer], EventReceiver]]] = {}
        if parent is not None:
            parent.add_child(self)

    @property
    def parent(self) -> EventReceiver | None:
        """Whose child it is; None too when that one was dropped."""
        return None if self._parent is None else self._parent()

    @property
    def children(self) -> tuple[EventReceiver, ...]:
        """Those that it has now, in order."""
        return tuple(self._children)

    def add_child(self, child: EventReceiver) -> None:
        """Append a child and keep it alive. UsageError for one that has a parent, and for an ancestor."""
        self._require_adoptable(child)
        self._adopt(child, len(self._children))

    def insert_child_before(self, new_child: EventReceiver, before_child: EventReceiver) -> None:
        """Add a child in front of another. UsageError as add_child, and if that other is no child."""
        self._require_own(before_child)
        self._require_adoptable(new_child)
        self._adopt(new_child, self._position_of(before_child), before_child)

    def remove_child(self, child: EventReceiver) -> None:
        """Let go of a child. UsageError if it is none."""
        self._require_own(child)
        del self._children[self._position_of(child)]
        child._parent = None
        self._tell(ChildEvent(Event.Type.CHILD_REMOVED, child))

    def remove_from_parent(self) -> None:
        """Leave the parent; fine without one."""
        parent = self.parent
        if parent is not None:
            parent.remove_child(self)

    def remove_all_children(self) -> None:
        """Let go of all that it has now."""
        for child in self.children:
            if child.parent is self:
                self.remove_child(child)

    def is_ancestor_of(self, other: EventReceiver) -> bool:
        """Whether `other` is a child, or a child's child, and so on."""
        ancestor = other.parent
        while ancestor is not None and ancestor is not self:
            ancestor = ancestor.parent
        return ancestor is self

    def children_of_type(self, kind: type[R]) -> list[R]:
        """The children that are instances of a class, in order."""
        return [child for child in self._children if isinstance(child, kind)]

    def descendants_of_type(self, kind: type[R]) -> Iterator[R]:
        """All below it that are instances of a class, parents before their children."""
        waiting = list(reversed(self._children))
        while waiting:
            receiver = waiting.pop()
            waiting.extend(reversed(receiver._children))
            if isinstance(receiver, kind):
                yield receiver

    def find_child(self, kind: type[R], name: str) -> R | None:
        """The first child of a class that has this name."""
        return next((child for child in self.children_of_type(kind) if child.name == name), None)

    def find_descendant(self, kind: type[R], name: str) -> R | None:
        """The first of a class below it that has this name."""
        return next((each for each in self.descendants_of_type(kind) if each.name == name), None)

    @calls_user_code
    def event(self, event: Event) -> None:
        """Handle an event: hands it to the handler of its kind; other kinds have none here, and count as
        handled, unless ignored."""
        if isinstance(event, TimerEvent):
            self.timer_event(event)
        elif isinstance(event, ChildEvent):
            self.child_event(event)
        elif isinstance(event, CustomEvent):
            self.custom_event(event)

    def timer_event(self, event: TimerEvent) -> None:
        """Override: a timer of this receiver ticked."""

    def child_event(self, event: ChildEvent) -> None:
        """Override: it has gained or lost a child. A child that adds itself when it is made may not be ready
        yet (LibCore's rule)."""

    def custom_event(self, event: CustomEvent) -> None:
        """Override: an event of the program's own."""

    def set_event_filter(self, event_filter: EventFilter | None) -> None:
        """Ask this first about each event that is dispatched here: what is false swallows the event."""
        self._event_filter = event_filter

    @calls_user_code
    def dispatch_event(self, event: Event, stay_within: EventReceiver | None = None) -> None:
        """Hand an event to this receiver and, as long as it is not accepted, to one parent after the other,
        before `stay_within`, which is the last where it is this receiver itself. Each one's filter is asked
        first. What a filter or handler raises, leaves. UsageError when `stay_within` is not this receiver or
        an ancestor."""
        if stay_within is not None and stay_within is not self and not stay_within.is_ancestor_of(self):
            raise UsageError(
                f"{self!r} cannot stay within {stay_within!r}, which is no ancestor of it: pass the receiver "
                "itself, one of its ancestors, or None"
            )
        target: EventReceiver | None = self
        while target is not None:
            if target._event_filter is not None and not target._event_filter(event):
                return
            target.event(event)
            if event.is_accepted or target is stay_within:
                return
            target = target.parent
            if target is stay_within:
                return

    def start_timer(self, interval_ms: float) -> int:
        """Have a TimerEvent dispatched every so many milliseconds, by the loop of the calling thread; the id,
        which the event carries, stops it. NoEventLoop, ValueError."""
        timer_id = next(_timer_ids)
        timer = Timer.create_repeating(interval_ms, _Ticks(self, timer_id))
        timer.start()
        stop = weakref.finalize(self, _stop_in_a_turn, thread_loop.current().queue, timer)
        stop.atexit = False
        self._timers[timer_id] = (timer, stop)
        return timer_id

    def stop_timer(self, timer_id: int) -> None:
        """Stop one. UsageError for an id that start_timer() did not give, or that was stopped before;
        WrongThread."""
        if timer_id not in self._timers:
            raise UsageError(
                f"{self!r} has no timer {timer_id!r}: stop each id once, on the receiver that started it"
            )
        timer, stop = self._timers[timer_id]
        timer.stop()
        stop.detach()
        del self._timers[timer_id]

    def has_timer(self) -> bool:
        """Whether a timer of this receiver runs."""
        return any(timer.is_active for timer, _stop in self._timers.values())

    def deferred_invoke(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next turn of the calling thread's loop, unless the receiver is dropped
        before. A bound method of the receiver does not keep it alive. NoEventLoop."""
        thread_loop.current().queue.post(_DeferredInvocation(self, callback))

    def delivery(self, event: Event) -> Callable[[], None]:
        """For EventLoop.post_event: what dispatches the event in a turn, unless the receiver is dropped
        before."""
        return _Delivery(self, event)

    def _adopt(self, child: EventReceiver, position: int, before: EventReceiver | None = None) -> None:
        self._children.insert(position, child)
        child._parent = weakref.ref(self)
        self._tell(ChildEvent(Event.Type.CHILD_ADDED, child, before))

    def _position_of(self, child: EventReceiver) -> int:
        return next(position for position, each in enumerate(self._children) if each is child)

    def _require_own(self, child: EventReceiver) -> None:
        if child.parent is not self:
            raise UsageError(f"{child!r} is no child of {self!r}: add_child() it first")

    def _require_adoptable(self, child: EventReceiver) -> None:
        parent = child.parent
        if parent is self:
            raise UsageError(
                f"{child!r} is a child of {self!r} already: add it once, or remove_child() it first"
            )
        if parent is not None:
            raise UsageError(f"{child!r} is a child of {parent!r}: remove_from_parent() it first")
        if child is self or child.is_ancestor_of(self):
            raise UsageError(
                f"{child!r} is an ancestor of {self!r} or the same, and would be its own: "
                "remove_from_parent() what comes below it first"
            )

    @calls_user_code
    def _tell(self, event: ChildEvent) -> None:
        try:
            self.event(event)
        except Exception as error:
            thread_loop.report(error, "event", event)

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__}{f' {self.name!r}' if self.name else ''}>"


class _Held:
    """What the loop holds of a receiver, weakly."""

    __slots__ = ("_receiver",)

    def __init__(self, receiver: EventReceiver) -> None:
        self._receiver = weakref.ref(receiver)

    @property
    def user_code(self) -> object:
        """For instruments: what runs."""
        receiver = self._receiver()
        return None if receiver is None else receiver.event

    def _describe_receiver(self) -> str:
        return repr(self._receiver() or "a receiver that was dropped")


class _Delivery(_Held):
    """An event on its way to a receiver."""

    __slots__ = ("_event",)

    def __init__(self, receiver: EventReceiver, event: Event) -> None:
        super().__init__(receiver)
        self._event = event

    @calls_user_code
    def __call__(self) -> None:
        receiver = self._receiver()
        if receiver is None:
            return
        try:
            receiver.dispatch_event(self._event)
        except Exception as error:
            thread_loop.report(error, "event", self)

    def __repr__(self) -> str:
        return f"{self._event!r} for {self._describe_receiver()}"


class _Ticks(_Held):
    """What a receiver's timer calls."""

    __slots__ = ("_timer_id",)

    def __init__(self, receiver: EventReceiver, timer_id: int) -> None:
        super().__init__(receiver)
        self._timer_id = timer_id

    def __call__(self) -> None:
        receiver = self._receiver()
        if receiver is not None:
            _Delivery(receiver, TimerEvent(self._timer_id))()

    def __repr__(self) -> str:
        return f"ticks for {self._describe_receiver()}"


class _DeferredInvocation(_Held):
    """A callback that is called as long as its receiver lives."""

    __slots__ = ("_callback",)

    def __init__(self, receiver: EventReceiver, callback: Callable[[], object]) -> None:
        super().__init__(receiver)
        is_own_method = isinstance(callback, MethodType) and callback.__self__ is receiver
        self._callback = weakref.WeakMethod(callback) if is_own_method else lambda: callback

    @property
    def user_code(self) -> object:
        return self._callback()

    @calls_user_code
    def __call__(self) -> None:
        receiver = self._receiver()
        callback = self._callback()
        if receiver is not None and callback is not None:
            callback()

    def __repr__(self) -> str:
        return f"{self._callback()!r} for {self._describe_receiver()}"


_timer_ids = itertools.count(1)


def _stop_in_a_turn(queue: EventQueue, timer: Timer) -> None:
    """A receiver may be dropped anywhere: in another thread, or by the garbage collector in the midst of the
    loop's book-keeping."""
    with suppress(EventLoopClosed):  # Then its timers were forgotten with it.
        queue.post(timer.stop)
