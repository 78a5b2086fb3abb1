"""Owns what a link does about the state of its queue: who waits, and when the link is closed for it.
Must not know how frames leave, or how requests are served.
"""

from __future__ import annotations

from typing import Protocol

from ipclib.connection.watchdog import Watchdog
from ipclib.limits import Limits


class Queue(Protocol):
    """A Sender, as Flow sees it."""

    size: int
    limit: int


class FlowLink(Protocol):
    """A link, as Flow sees it."""

    limits: Limits
    sender: Queue
    waits_for_slow_peer: bool
    watchdog: Watchdog

    def throttle(self) -> None:
        """Stop serving the peer, unless we wait for an answer from it."""

    def resume_serving(self) -> None:
        """Serve requests again."""

    def fail(self, verb: str, error: OSError) -> None:
        """Close the link, because the system refused to send."""


class Flow:
    """Hears what the Sender of one link reports."""

    __slots__ = ("_link",)

    def __init__(self, link: FlowLink) -> None:
        self._link = link

    @property
    def waits_for_slow_peer(self) -> bool:
        """Whether the program waits for a peer that does not read."""
        return self._link.waits_for_slow_peer

    def did_drain(self) -> None:
        """Note that the queue is empty."""
        self._link.resume_serving()

    def did_fill_socket(self) -> None:
        """Note that the socket is full, and the rest waits."""
        self._link.watchdog.wake()

    def did_lack_room(self) -> None:
        """Wait as for a slow peer: a client's posts wait, and a service serves no more requests."""
        self._link.watchdog.wake()
        if self._link.waits_for_slow_peer:
            self._link.sender.limit = 0
        else:
            self._link.throttle()

    def did_find_room(self) -> None:
        """Note that there is room again, and that what waited has left or waits for the socket."""
        self._link.sender.limit = self._link.limits.max_send_queue
        if not self._link.sender.size:
            self._link.resume_serving()

    def did_stop_reading(self) -> None:
        """Note that the peer closed its end. Reading goes on, and the end of the stream closes the link."""
        self._link.resume_serving()

    def did_fail_to_send(self, error: OSError) -> None:
        """Close the link: sending failed for another reason."""
        self._link.fail("send", error)
