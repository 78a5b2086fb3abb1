"""Owns the frames that need no closer look: which they are, and the cursor over the bytes of one read.
Must not know sockets, loops or handlers. All other frames are the receiver's.
"""

from __future__ import annotations

from typing import TypeAlias

from ipclib.protocol import wire
from ipclib.protocol.message import Deliver, Kind, MessageType

NOT_DELIVERED = object()
"""What Deliver returns if it has not called the handler."""
_NOWHERE = 1 << 63
"""Behind the end of every stream."""


class Cursor:
    """Where in the stream the next frame begins that is not handled, in bytes since the stream began.

    It is moved before each handler is called, so that a turn within the handler goes on behind its frame.
    """

    __slots__ = ("at", "data", "end", "holds_no_cancel")

    def __init__(self) -> None:
        self.data: bytes = b""
        """The bytes of the last read, and before them the start of a frame that an earlier read brought."""
        self.end = 0
        """Where `data` ends."""
        self.at = 0
        """Where the next frame begins; `end` if there is none, or more if nothing is handled any more."""
        self.holds_no_cancel = False
        """True if `data` is known to hold no Cancel frame."""

    def rest(self) -> bytes:
        """Take the bytes that are not handled."""
        rest = self.data[self.at - self.end :]
        self.at = self.end
        self.data = b""
        return rest

    def stop(self) -> None:
        """Drop the bytes that are not handled."""
        self.at = _NOWHERE
        self.data = b""


Row: TypeAlias = tuple[Kind, MessageType, Deliver | None, bytes]
"""The kind and description of a message, the function that delivers it, and the end of its trailer: of a
one-way message all of it, of the others what follows the serial."""


def plain_rows(table: dict[int, MessageType]) -> dict[int, Row]:
    """The messages of a table whose frames may be plain, by their keys."""
    rows: dict[int, Row] = {}
    for key, message in table.items():
        if message.frame is not None:
            trailer = wire.TRAILER.pack(wire.NO_SERIAL, message.signature, wire.TAG)
            mark = trailer if message.kind is Kind.ONE_WAY else trailer[wire.SERIAL.size :]
            rows[key] = (message.kind, message, message.deliver, mark)
    return rows
