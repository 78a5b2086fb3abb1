"""Owns EventReceiver, the tree that events travel, and the events themselves.
Must not know what the events of a program mean; it uses timers and the thread's queue.
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
from corelib.turn.not_copied import NotCopied


class Event:
    """Something that happened, for an EventReceiver.

    It is accepted from the start, as in LibCore: a handler that leaves it to the parents calls ignore(). A
    program's own events derive from this class, and have an enum of their own for `type`."""

    class Type(enum.Enum):
        """The kinds of corelib's own events."""

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
        """The kind of the event."""
        return self._type

    @property
    def is_accepted(self) -> bool:
        """Whether it is handled; if not, it goes on to the parent."""
        return self._accepted

    def accept(self) -> None:
        """Do not pass it on to the parent."""
        self._accepted = True

    def ignore(self) -> None:
        """Pass it on to the parent."""
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
    """A child was added to the parent that gets the event, or removed from it.

    `insertion_before_child` is the sibling before which insert_child_before() has put it."""

    __slots__ = ("child", "insertion_before_child")

    def __init__(
        self, type: enum.Enum, child: EventReceiver, insertion_before_child: EventReceiver | None = None
    ) -> None:
        super().__init__(type)
        self.child = child
        self.insertion_before_child = insertion_before_child


class CustomEvent(Event):
    """An event of the program's own, identified by a number."""

    __slots__ = ("custom_type", "data")

    def __init__(self, custom_type: int, data: Any = None) -> None:
        super().__init__(Event.Type.CUSTOM)
        self.custom_type = custom_type
        self.data = data

    def __repr__(self) -> str:
        return f"<CustomEvent {self.custom_type}, data={self.data!r}>"


R = TypeVar("R", bound="EventReceiver")
EventFilter = Callable[[Event], object]


class EventReceiver(NotCopied):
    """A node of the tree that events go up, with timers of its own: LibCore's Core::EventReceiver.

    Override timer_event, child_event and custom_event, or event for all kinds. (Once it was Core::Object.)

    A parent keeps its children alive, not the other way round. The loop does not keep a receiver alive
    either: its timers, events and callbacks in the queue are dropped with it.

    If the event comes from the loop or is about a child, the exception of a handler goes to the loop's
    on_exception."""

    __slots__ = ("__weakref__", "_children", "_event_filter", "_parent", "_timers", "name")

    def __init__(self, parent: EventReceiver | None = None, name: str = "") -> None:
        self.name = name
        self._parent: weakref.ref[EventReceiver] | None = None
        self._children: list[EventReceiver] = []
        self._event_filter: EventFilter | None = None
        self._timers: dict[int, tuple[Timer, weakref.finalize[[EventQueue, Timer], EventReceiver]]] = {}
        """By id: each timer, and the finalizer that stops it when the receiver is dropped."""
        if parent is not None:
            parent.add_child(self)

    @property
    def parent(self) -> EventReceiver | None:
        """The parent; None if there is none or it was dropped."""
        return None if self._parent is None else self._parent()

    @property
    def children(self) -> tuple[EventReceiver, ...]:
        """The children it has now, in order."""
        return tuple(self._children)

    def add_child(self, child: EventReceiver) -> None:
        """Append a child and keep it alive.

        Raises:
            UsageError: the child has a parent, or is an ancestor.
        """
        self._require_adoptable(child)
        self._adopt(child, len(self._children))

    def insert_child_before(self, new_child: EventReceiver, before_child: EventReceiver) -> None:
        """Add a child before another.

        Raises:
            UsageError: as add_child(), and if the other is not a child of this receiver.
        """
        self._require_own(before_child)
        self._require_adoptable(new_child)
        self._adopt(new_child, self._position_of(before_child), before_child)

    def remove_child(self, child: EventReceiver) -> None:
        """Remove a child.

        Raises:
            UsageError: it is not a child of this receiver.
        """
        self._require_own(child)
        del self._children[self._position_of(child)]
        child._parent = None
        self._handle_child_event(ChildEvent(Event.Type.CHILD_REMOVED, child))

    def remove_from_parent(self) -> None:
        """Remove it from its parent; no effect without one."""
        parent = self.parent
        if parent is not None:
            parent.remove_child(self)

    def remove_all_children(self) -> None:
        """Remove the children it has now."""
        for child in self.children:
            if child.parent is self:
                self.remove_child(child)

    def is_ancestor_of(self, other: EventReceiver) -> bool:
        """Whether `other` is a child, a child of a child, and so on."""
        ancestor = other.parent
        while ancestor is not None and ancestor is not self:
            ancestor = ancestor.parent
        return ancestor is self

    def children_of_type(self, kind: type[R]) -> list[R]:
        """The children that are instances of a class, in order."""
        return [child for child in self._children if isinstance(child, kind)]

    def descendants_of_type(self, kind: type[R]) -> Iterator[R]:
        """The descendants that are instances of a class, parents before their children."""
        waiting = list(reversed(self._children))
        while waiting:
            receiver = waiting.pop()
            waiting.extend(reversed(receiver._children))
            if isinstance(receiver, kind):
                yield receiver

    def find_child(self, kind: type[R], name: str) -> R | None:
        """The first child of a class with this name."""
        return next((child for child in self.children_of_type(kind) if child.name == name), None)

    def find_descendant(self, kind: type[R], name: str) -> R | None:
        """The first descendant of a class with this name."""
        return next((each for each in self.descendants_of_type(kind) if each.name == name), None)

    @calls_user_code
    def event(self, event: Event) -> None:
        """Pass an event to the handler of its kind; a kind without handler counts as handled."""
        if isinstance(event, TimerEvent):
            self.timer_event(event)
        elif isinstance(event, ChildEvent):
            self.child_event(event)
        elif isinstance(event, CustomEvent):
            self.custom_event(event)

    def timer_event(self, event: TimerEvent) -> None:
        """Called for a tick of one of its timers; override it."""

    def child_event(self, event: ChildEvent) -> None:
        """Called when a child was added or removed; override it.

        A child that adds itself in its constructor may not be ready yet (LibCore's rule)."""

    def custom_event(self, event: CustomEvent) -> None:
        """Called for an event of the program's own; override it."""

    def set_event_filter(self, event_filter: EventFilter | None) -> None:
        """Call this before each event that is dispatched here; a false result drops the event."""
        self._event_filter = event_filter

    @calls_user_code
    def dispatch_event(self, event: Event, stay_within: EventReceiver | None = None) -> None:
        """Pass an event to this receiver and, while it is ignored, to one parent after the other.

        It stops before `stay_within` (after it, if it is this receiver). Each receiver's filter is called
        first. Exceptions of filters and handlers propagate.

        Raises:
            UsageError: `stay_within` is neither this receiver nor an ancestor.
        """
        if stay_within is not None and stay_within is not self and not stay_within.is_ancestor_of(self):
            raise UsageError(
                f"{self!r} cannot stay within {stay_within!r}, which is not an ancestor of it: pass "
                "the receiver itself, one of its ancestors, or None"
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
        """Get a TimerEvent every `interval_ms` milliseconds; return its id, for stop_timer().

        Raises:
            NoEventLoop: the thread has no loop.
            ValueError: the interval is negative or NaN.
        """
        timer_id = next(_timer_ids)
        timer = Timer.create_repeating(interval_ms, _Ticks(self, timer_id))
        timer.start()
        stop = weakref.finalize(self, _stop_in_a_turn, thread_loop.current().queue, timer)
        stop.atexit = False
        self._timers[timer_id] = (timer, stop)
        return timer_id

    def stop_timer(self, timer_id: int) -> None:
        """Stop a timer by its id.

        Raises:
            UsageError: the id is not one of start_timer(), or was stopped before.
            WrongThread: another thread started it.
        """
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
        """Call `callback` in the next turn of the calling thread's loop, unless the receiver is gone by then.

        A bound method of the receiver does not keep it alive.

        Raises:
            NoEventLoop: the thread has no loop.
        """
        thread_loop.current().queue.post(_DeferredInvocation(self, callback))

    def delivery(self, event: Event) -> Callable[[], None]:
        """A callback that dispatches the event, unless the receiver is gone by then; for the loop."""
        return _Delivery(self, event)

    def _adopt(self, child: EventReceiver, position: int, before: EventReceiver | None = None) -> None:
        self._children.insert(position, child)
        child._parent = weakref.ref(self)
        self._handle_child_event(ChildEvent(Event.Type.CHILD_ADDED, child, before))

    def _position_of(self, child: EventReceiver) -> int:
        return next(position for position, each in enumerate(self._children) if each is child)

    def _require_own(self, child: EventReceiver) -> None:
        if child.parent is not self:
            raise UsageError(f"{child!r} is not a child of {self!r}: add_child() it first")

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
    def _handle_child_event(self, event: ChildEvent) -> None:
        try:
            self.event(event)
        except BaseException as error:
            thread_loop.report(error, "event", event)

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__}{f' {self.name!r}' if self.name else ''}>"


class _Held:
    """Work that the loop holds for a receiver, which it refers to weakly."""

    __slots__ = ("_receiver",)

    def __init__(self, receiver: EventReceiver) -> None:
        self._receiver = weakref.ref(receiver)

    @property
    def user_code(self) -> object:
        """The handler, for instruments."""
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
        except BaseException as error:
            thread_loop.report(error, "event", self)

    def __repr__(self) -> str:
        return f"{self._event!r} for {self._describe_receiver()}"


class _Ticks(_Held):
    """The callback of a receiver's timer."""

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
    """A callback that is called if its receiver is still alive."""

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
    """Stop a timer in a turn, as a receiver may be dropped in another thread, or by the garbage collector."""
    with suppress(EventLoopClosed):  # Closing the loop has stopped its timers.
        queue.post(timer.stop)
