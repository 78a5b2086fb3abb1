"""Owns the rule that a peer's first message decides whether all of its messages end in trailers.
Must not know calls, or what a trailer says.
"""

from __future__ import annotations

from collections.abc import Callable

from ipclib.errors import ProtocolViolation
from ipclib.protocol import wire
from ipclib.protocol.message import Kind, MessageType
from ipclib.values.decoding import Buffer


class PeerTrailers:
    """Whether the frames of one peer end in trailers, as far as is known."""

    __slots__ = ("_on_first", "_ours", "in_all", "written")

    def __init__(self, ours: bool, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        """Called when the peer's first message has a trailer."""
        self._ours = ours
        """Whether our own frames have trailers; bare requests get bare answers from every peer."""
        self.written: bool | None = None
        """Whether the peer's frames have trailers; None before its first message."""
        self.in_all = False
        """True once both sides are known to write trailers, so that no frame needs a closer look."""

    @property
    def are_missing(self) -> bool:
        """Whether the peer writes no trailers, as far as is known: then it knows no control frames."""
        return not (self._ours if self.written is None else self.written)

    def end(self, message: MessageType, data: Buffer, start: int, end: int) -> bool:
        """Whether the frame of a message at these offsets ends in a trailer.

        Raises:
            ProtocolViolation: it does not, and earlier frames did.
        """
        if not self._ours and message.kind is Kind.RESPONSE:
            return False
        return self.end_unknown(data, start, end)

    def end_unknown(self, data: Buffer, start: int, end: int) -> bool:
        """Whether the frame of an unknown message, which is no answer, ends in a trailer.

        Raises:
            ProtocolViolation: it does not, and earlier frames did.
        """
        if self.written is False:
            return False
        present = wire.has_trailer(data, start, end)
        if self.written is None:
            self.written = present
            self.in_all = present and self._ours
            if present:
                self._on_first()
        elif not present:
            raise trailer_missing()
        return present


def trailer_missing() -> ProtocolViolation:
    """Make the error for a peer whose frames had trailers before."""
    return ProtocolViolation("a frame without a trailer after frames that had one")
