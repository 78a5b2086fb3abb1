"""Owns the short path: a loop in which plain frames go from the bytes of a read to their handlers.
Must not know sockets. Whatever is odd about a frame is left to the conversation, which is the whole truth.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any, Protocol

from corelib import Promise
from corelib.turn import ThreadLoop, calls_user_code
from ipclib.connection.batch import NONE
from ipclib.connection.deferred import OneWayReply
from ipclib.connection.sender import Sender
from ipclib.connection.serving import Reply, Serving
from ipclib.errors import ProtocolViolation
from ipclib.protocol import wire
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.message import Kind, MessageType
from ipclib.protocol.plain_frames import NOT_DELIVERED, Cursor, Row
from ipclib.protocol.receiver import Receiver
from ipclib.values.codecs import DECODE_ERRORS, Payload
from ipclib.values.decoding import Decoding

# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_ONE_WAY = Kind.ONE_WAY
_REQUEST = Kind.REQUEST
_LATER = (Promise, CoroutineType)
_NO_VALUES = (ProtocolViolation, *DECODE_ERRORS)

# The wire's layout, bound for the path that every message takes.
_HEADER_SIZE = wire.HEADER.size
_SIZE_SIZE = wire.SIZE.size
_SERIAL_SIZE = wire.SERIAL.size
_SMALLEST_TRAILED = wire.SMALLEST_TRAILED
_TRAILER_SIZE = wire.TRAILER.size
_NO_SERIAL = wire.NO_SERIAL
_CANCEL_ID = wire.ID.pack(wire.CANCEL_ID)
_unpack_header = wire.HEADER.unpack_from
_unpack_serial = wire.SERIAL.unpack_from

_decoding = Decoding()
"""Of all links and threads. A nested or concurrent decode may change its `end`: then the frame seems odd, and
is left to the conversation."""


class ShortLink(Protocol):
    """A link, as its short path sees it."""

    conversation: Conversation
    receiver: Receiver
    sender: Sender
    thread: ThreadLoop

    def serve_later(self) -> None:
        """Handle in the next turn what this one leaves."""

    def throttle_if_full(self) -> None:
        """Stop serving a peer that does not read its answers."""


class ShortPath:
    """Handles the plain frames of one link.

    A plain frame needs no closer look: it is complete, its message is known and needs no codec, and its
    trailer and payload are as they should be. Every other frame, and all that follow it in the read, go into
    the inbox.

    The collector may run a finaliser at any allocation, and the finaliser may make a turn that handles the
    very frame that is being decoded. So a frame is claimed, by moving the cursor, when it is decoded; who
    finds the cursor moved already drops what it has decoded.
    """

    __slots__ = (
        "_conversation",
        "_cursor",
        "_largest",
        "_link",
        "_owner",
        "_receiver",
        "_rows",
        "_sender",
        "_serving",
    )

    def __init__(
        self, owner: Any, link: ShortLink, serving: Serving, cursor: Cursor, rows: dict[int, Row]
    ) -> None:
        """`owner` is a connection, which has a method for each message that is served."""
        self._owner = owner
        self._link = link
        self._serving = serving
        self._cursor = cursor
        self._rows = rows
        self._conversation = link.conversation
        self._receiver = link.receiver
        self._sender = link.sender
        self._largest = link.conversation.limits.max_message_size

    @calls_user_code
    def take(self, left: int) -> int:  # noqa: C901
        """Handle plain frames, at most `left`, until the bytes end or one is not plain.

        Returns how many more may be handled in this turn. If the cursor is not moved to the end, and any may,
        then the frame at the cursor is not plain. It is one function because every message passes it, and a
        call of another costs 50 ns.
        """
        if self._link.thread.instruments is not None:
            return left
        cursor = self._cursor
        data = cursor.data
        length = len(data)
        base = cursor.end - length
        at = cursor.at - base
        row_of = self._rows.get
        owner = self._owner
        largest = self._largest
        serves_later = False
        before = left
        try:
            while left and length - at >= _SMALLEST_TRAILED:
                size, key = _unpack_header(data, at)
                row = row_of(key)
                end = at + _SIZE_SIZE + size
                if row is None or end > length or size > largest:
                    break
                kind, message, deliver, mark = row
                payload_end = end - _TRAILER_SIZE
                next = base + end
                serial = _NO_SERIAL
                if kind is _ONE_WAY:
                    if data[payload_end:end] != mark:
                        break
                else:
                    (serial,) = _unpack_serial(data, payload_end)
                    if data[payload_end + _SERIAL_SIZE : end] != mark or serial == _NO_SERIAL:
                        break
                    if kind is _REQUEST and end < length and not cursor.holds_no_cancel:
                        if data.find(_CANCEL_ID, end) >= 0:
                            break  # It may cancel this request, whose handler is then not called.
                        cursor.holds_no_cancel = True
                if end < length and not serves_later:
                    serves_later = True
                    self._link.serve_later()  # If a handler makes turns, they handle the rest.
                if deliver is None:
                    if not self._settle(message, serial, data, at + _HEADER_SIZE, payload_end, next):
                        break
                else:
                    try:
                        result = deliver(owner, data, at + _HEADER_SIZE, payload_end, cursor, next)
                        if result is None:
                            if kind is _REQUEST:
                                self._answer(message, serial, None)
                        elif result is NOT_DELIVERED:
                            break
                        elif isinstance(result, _LATER):
                            self._serving.defer(self._reply(message, serial), result)
                        elif kind is _REQUEST:
                            self._answer(message, serial, result)
                    except BaseException as error:
                        if cursor.at < next or not _is_decodable(message, data, at, payload_end):
                            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                                raise
                            break
                        self._raised(message, serial, error)
                left -= 1
                at = end
                if cursor.at != next:
                    break  # A turn in the handler has gone on behind it, or the link was closed.
        finally:
            self._receiver.frames_received += before - left
            if cursor.at >= cursor.end:
                cursor.data = b""
        return left

    def _settle(self, message: MessageType, serial: int, data: bytes, at: int, end: int, next: int) -> bool:
        """Settle the call of an answer; False if the answer is not plain, or was taken already."""
        conversation = self._conversation
        call = conversation.open_calls.get(serial)
        if call is None or call.message.response is not message or call.abandoned:
            return False
        _decoding.end = end
        try:
            values, after = message.decode(data, at, _decoding)
        except _NO_VALUES:
            return False
        if after != end or self._cursor.at >= next:
            return False
        self._cursor.at = next
        del conversation.open_calls[serial]
        call.succeed(values[0] if message.arity == 1 else message.to_result(values))
        return True

    def _answer(self, message: MessageType, serial: int, result: object) -> None:
        """Answer with what the handler returned; with the whole of Reply.result() if that is not plain."""
        response = message.response
        conversation = self._conversation
        if response is not None and response.frame is not None and not conversation.is_closed:
            frame: Payload
            try:
                if response.arity == 1:
                    frame = response.frame(serial, result)
                else:
                    frame = response.frame(serial, *response.to_values(result))
            except BaseException:  # Reply finds and reports it.
                frame = ()
            length = len(frame) if type(frame) is bytes else wire.frame_length(frame)
            if 0 < length <= conversation.largest_plain:
                sender = self._sender
                if self._cursor.at < self._cursor.end or sender.corks or conversation.inbox:
                    sender.send(frame, NONE)
                else:
                    sender.send_now(frame, NONE)
                if sender.size > sender.limit:
                    self._link.throttle_if_full()
                return
        self._serving.reply(message, serial, NONE).result(result)

    def _raised(self, message: MessageType, serial: int, error: BaseException) -> None:
        """Answer what the handler raised; KeyboardInterrupt and SystemExit leave."""
        if message.kind is _ONE_WAY:
            self._serving.one_way_raised(message, NONE, error)
        else:
            self._serving.reply(message, serial, NONE).raised(error)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error

    def _reply(self, message: MessageType, serial: int) -> Reply | OneWayReply:
        if message.kind is _ONE_WAY:
            return self._serving.one_way_reply(message)
        return self._serving.reply(message, serial, NONE)


def _is_decodable(message: MessageType, data: bytes, at: int, end: int) -> bool:
    """Whether a payload is as it should be, so that it was the handler that raised."""
    decoding = Decoding()
    decoding.end = end
    try:
        _values, after = message.decode(data, at + _HEADER_SIZE, decoding)
    except _NO_VALUES:
        return False
    return after == end
