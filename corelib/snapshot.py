"""Owns the picture of a thread's loops at one moment: what is armed, watched, queued and on the stack.
Must not know what any of it is for; it reads the thread's loop and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import attrs

from corelib.timer import NEVER_NS
from corelib.turn.instruments import describe, source_of
from corelib.turn.thread_loop import ThreadLoop

_NS_PER_MS = 1_000_000
_NS_PER_US = 1_000


@attrs.frozen
class TimerState:
    """A timer that is started, and not in its own callback.

    `due_in_ms` is negative if it is late, and math.inf if it never comes due."""

    due_in_ms: float
    timer: str
    source: str


@attrs.frozen
class NotifierState:
    """A notifier that watches."""

    fd: int
    notifier: str
    source: str


@attrs.frozen
class Snapshot:
    """The pending work of one thread's loops, which share it. `str()` of it is for reading."""

    thread: str
    loops: int
    """The number of loops of the thread."""
    nesting: int
    """The number of turns on the stack, each but the first inside a callback of the one before."""
    executing: int
    """The number of exec() and spin_until() on the stack."""
    polls: int
    """The number of waits that began with busy polling."""
    poll_hits: int
    """The number of these that found an event before they would have slept."""
    poll_us: float
    """How long the next wait polls before it sleeps, in microseconds."""
    timers: tuple[TimerState, ...]
    """The timers in the queue, in the order in which they come due."""
    notifiers: tuple[NotifierState, ...]
    """The notifiers that watch, in the order of their fds."""
    pending: tuple[str, ...]
    """The deferred callbacks and events that wait for a turn, oldest first."""
    tasks: tuple[str, ...]
    """The line that each coroutine has reached, and the functions that run in other threads."""
    sections: dict[str, tuple[str, ...]] = attrs.field(factory=dict, hash=False)
    """What packages on corelib list, by title."""

    @staticmethod
    def add_section(title: str, entries: Callable[[ThreadLoop], Iterable[str]]) -> None:
        """Let snapshots have a section with `entries(thread_loop)`. For packages on corelib.

        A snapshot may be taken in another thread, while the loop's own goes on or hangs."""
        _sections[title] = entries

    def __str__(self) -> str:
        lines = [f"{self.thread}: {self.loops} loops, {self.executing} executing, {self.nesting} turns deep"]
        lines.append(f"polled {self.polls} times, {self.poll_hits} in time; now for {self.poll_us:.0f} us")
        lines += _section("timers", [f"{_due(timer.due_in_ms)}: {timer.source}" for timer in self.timers])
        lines += _section("notifiers", [f"fd {watched.fd}: {watched.source}" for watched in self.notifiers])
        lines += _section("pending", self.pending)
        lines += _section("tasks", self.tasks)
        for title, entries in self.sections.items():
            lines += _section(title, entries)
        return "\n".join(lines)


def take(thread: ThreadLoop) -> Snapshot:
    """Take a snapshot; from any thread, as containers are copied in one step."""
    now = thread.now_ns()
    watched = sorted(thread.poller.watchers.copy().items())
    return Snapshot(
        thread=thread.name,
        loops=len(thread.loops),
        nesting=thread.depth,
        executing=len(thread.executing),
        polls=thread.busy_polling.polls,
        poll_hits=thread.busy_polling.hits,
        poll_us=thread.busy_polling.budget_ns / _NS_PER_US,
        timers=tuple(
            TimerState(_due_in_ms(deadline - now), describe(timer), source_of(timer))
            for deadline, timer in thread.timers.armed()
        ),
        notifiers=tuple(
            NotifierState(fd, describe(watcher), source_of(watcher))
            for fd, watchers in watched
            for watcher in watchers
        ),
        pending=tuple(source_of(callback) for callback in thread.queue.items.copy()),
        tasks=tuple(source_of(task) for task in thread.tasks.copy()),
        sections={title: tuple(entries(thread)) for title, entries in _sections.copy().items()},
    )


_sections: dict[str, Callable[[ThreadLoop], Iterable[str]]] = {}


def _due_in_ms(nanoseconds: int) -> float:
    return math.inf if nanoseconds > NEVER_NS // 2 else nanoseconds / _NS_PER_MS


def _due(due_in_ms: float) -> str:
    return "never" if due_in_ms == math.inf else f"in {due_in_ms:.1f} ms"


def _section(title: str, entries: list[str] | tuple[str, ...]) -> list[str]:
    return [f"  {title}: {len(entries)}", *(f"    {entry}" for entry in entries)]
