"""Owns the watch over a peer: it must answer, complete the frames that it begins, and read what it is sent.
Must not know how a link reads, writes or closes.
"""

from __future__ import annotations

from typing import Protocol

from ipclib.connection.sender import Sender
from ipclib.connection.serving import call_hook
from ipclib.connection.watchdog import Watch, Watchdog
from ipclib.limits import Limits
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.receiver import Receiver

UNRESPONSIVE_AFTER = 3.0
"""Seconds without a byte from a peer that has not answered; the figure is LibIPC's."""


class Owner(Protocol):
    """A connection, as the watch over its peer sees it."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules."""

    def may_have_become_unresponsive(self) -> None:
        """Called when a call is open and the peer has sent nothing for 3 seconds."""

    def did_become_responsive(self) -> None:
        """Called when an unresponsive peer has sent something again."""


class WatchedLink(Protocol):
    """A link, as the watch over its peer sees it."""

    limits: Limits
    conversation: Conversation
    receiver: Receiver
    sender: Sender
    is_throttled: bool
    waits_for_slow_peer: bool


class Responsiveness:
    """The watch over one link's peer."""

    __slots__ = ("_link", "_owner", "is_unresponsive", "watchdog")

    def __init__(self, owner: Owner, link: WatchedLink) -> None:
        self._owner = owner
        self._link = link
        self.is_unresponsive = False
        """True from may_have_become_unresponsive() until the peer sends something."""
        self.watchdog = Watchdog(self._watches)

    def end_silence(self) -> None:
        """Note that the peer has sent something again."""
        self.is_unresponsive = False
        call_hook(self._owner.did_become_responsive)

    def _watches(self) -> tuple[Watch, ...]:
        timeout = self._link.limits.frame_timeout
        return (
            Watch(UNRESPONSIVE_AFTER, self._answers_progress, self._on_silence),
            Watch(timeout, self._frame_progress, self._on_late_frame),
            Watch(timeout, self._sender_progress, self._on_stuck_sender),
        )

    def _answers_progress(self) -> int | None:
        return self._link.receiver.bytes_received if self._link.conversation.open_calls else None

    def _frame_progress(self) -> int | None:
        if self._link.is_throttled or not self._link.receiver.partial.missing:
            return None
        return self._link.receiver.frames_received

    def _sender_progress(self) -> int | None:
        return self._link.sender.sent if self._link.sender.size else None

    def _on_silence(self) -> None:
        if not self.is_unresponsive:
            self.is_unresponsive = True
            call_hook(self._owner.may_have_become_unresponsive)

    def _on_late_frame(self) -> None:
        seconds = self._link.limits.frame_timeout
        self._owner.did_misbehave(f"a frame was not complete after {seconds} s (frame_timeout)")

    def _on_stuck_sender(self) -> None:
        """Drop a peer that has stopped reading, unless we may wait and the queue is within its limit."""
        sender = self._link.sender
        if not self._link.waits_for_slow_peer or sender.size > sender.limit:
            self._owner.did_misbehave(
                f"it reads nothing of the {sender.size} bytes that wait for it (frame_timeout)"
            )
