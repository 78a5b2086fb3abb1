"""Owns the blocking calls that wait on one thread's stack, and who may add one.
Must not know messages, links or loops. Calls on one stack return last in, first out: one that has its
answer is held up by those above it.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Protocol

# Nanoseconds. For this long a peer's requests may hold up the call of another that has its answer.
_MAY_HOLD_UP_NS = 1_000_000_000


class Waiting(Protocol):
    """A blocking call on the stack."""

    depth: int
    """How many peers' messages were being handled when the call began: the length of Nesting.serving."""
    began: int
    """When the call began to wait above another one, in nanoseconds of the loop's clock."""
    deadline: int | None
    settled: bool


class Nesting:
    """The blocking calls of one thread, innermost last, and the handlers between them."""

    __slots__ = ("calls", "serving")

    def __init__(self) -> None:
        self.calls: list[Waiting] = []
        self.serving: list[object] = []
        """The peers whose messages are being handled, innermost last; turns within a handler nest them."""

    @property
    def served(self) -> object | None:
        """The peer whose handler runs above the innermost call; None if there is none."""
        below = self.calls[-1].depth if self.calls else 0
        return self.serving[-1] if len(self.serving) > below else None

    def is_crowded_by(self, peer: object, most: int) -> bool:
        """Whether a peer's handlers are so many of those on the stack that no more of them may begin.

        Handlers nest by blocking calls, which refusal() limits, but also by other waits, such as await_().
        So the limit is above that of `most` calls, by a quarter.
        """
        return self.serving.count(peer) > most + most // 4 - len(self.serving)

    def refusal(self, most: int, now: int) -> str | None:
        """The reason why no further call may wait on this stack; None if one may.

        At most `most` calls wait. The requests of one peer may have half of those that others leave, so
        that one peer cannot take them all. And they may not go on holding up the call of another peer.
        """
        calls = self.calls
        if len(calls) >= most:
            return f"{len(calls)} blocking calls wait on this thread already (max_nesting)"
        served = self.served
        if served is None:
            return None
        # A call is made for the peer whose handler is right below it, above the call before it.
        depths = pairwise([0, *(call.depth for call in calls)])
        own = [
            place
            for place, (below, depth) in enumerate(depths)
            if depth > below and self.serving[depth - 1] is served
        ]
        if own and len(own) >= most - len(calls):
            return (
                f"{len(calls)} blocking calls wait on this thread, {len(own)} of them for this peer's "
                "requests (half of max_nesting)"
            )
        if own and own[0] and now - calls[own[0]].began > _MAY_HOLD_UP_NS:
            for call in calls[: own[0]]:
                if call.settled or (call.deadline is not None and now >= call.deadline):
                    return "a call below on this thread's stack has its answer, and waits for this peer's"
        return None


class _NestingOfThread(threading.local):
    def __init__(self) -> None:
        self.nesting = Nesting()


_of_thread = _NestingOfThread()


def nesting_of_thread() -> Nesting:
    """The calls of the calling thread."""
    return _of_thread.nesting
