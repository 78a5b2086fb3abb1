"""Owns the receiving half of a conversation: it makes events of bytes and descriptors, and finds violations.
Must not know sockets or loops. The table in conversation.py states the rules.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ipclib.errors import ErrorKind, ProtocolViolation, RemoteError
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import BareReply
from ipclib.protocol.conversation import Conversation, Table
from ipclib.protocol.descriptors import DescriptorQueue
from ipclib.protocol.events import (
    CallFailed,
    PeerViolated,
    StreamEnded,
)
from ipclib.protocol.message import Kind, MessageType
from ipclib.protocol.other_frames import receive_other
from ipclib.protocol.partial_frame import PartialFrame, recycle
from ipclib.protocol.peer_trailers import trailer_missing
from ipclib.values.codecs import DECODE_ERRORS
from ipclib.values.decoding import MAX_WORK, Buffer, Decoding, Files, is_unrepresentable
from ipclib.values.file import File

# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_ONE_WAY = Kind.ONE_WAY
_RESPONSE = Kind.RESPONSE

# The wire's layout, bound for the path that every message takes.
_HEADER_SIZE = wire.HEADER.size
_SIZE_SIZE = wire.SIZE.size
_SMALLEST_SIZE = wire.SMALLEST_SIZE
_SMALLEST_TRAILED = wire.SMALLEST_TRAILED
_TRAILER_SIZE = wire.TRAILER.size
_TAG = wire.TAG
_NO_SERIAL = wire.NO_SERIAL
_unpack_header = wire.HEADER.unpack_from
_unpack_trailer = wire.TRAILER.unpack_from

_NOTHING = b""
_NO_FILES: Files = []


class Receiver:
    """Takes the bytes of the stream as they arrive, and puts each complete message into the inbox.

    A class's own decode() may make turns of the loop, in which more is received. The inner receive() then
    goes on after the frame that is being decoded, and the outer one finds nothing left to do. The caller
    keeps the collector from running: a finaliser that received between two steps would find half a frame.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_conversation",
        "_decoding",
        "_end_event",
        "_max_elements",
        "_max_message_size",
        "_max_numbers",
        "_table",
        "bytes_received",
        "descriptors",
        "ended",
        "frames_received",
        "inbox",
        "partial",
        "trailers",
    )

    def __init__(self, conversation: Conversation, table: Table) -> None:
        self._conversation = conversation
        self._table = table
        self.trailers = conversation.peer_trailers
        self.inbox = conversation.inbox
        self._max_message_size = conversation.limits.max_message_size
        self._max_elements = conversation.limits.max_elements
        self._max_numbers = conversation.limits.max_numbers
        self.partial = PartialFrame(max(self._max_message_size, wire.LARGEST_ERROR))
        """The frame that has begun, if any, and the memory for the rest of it."""
        self.descriptors = DescriptorQueue()
        self._decoding: Decoding | None = self._new_decoding()
        """None while a message is decoded."""
        self._buffer: Buffer = _NOTHING
        """The bytes that are being taken apart; an inner receive() replaces them."""
        self._at = 0
        """The offset in `_buffer` after the frame that is being decoded."""
        self.ended = False
        """True if the stream is over, by its end or by a violation."""
        self._end_event: StreamEnded | PeerViolated | None = None
        """The end of the stream, while it is not in the inbox because a message is being decoded."""
        self.frames_received = 0
        self.bytes_received = 0

    def _new_decoding(self) -> Decoding:
        limits = self._conversation.limits
        return Decoding(limits.max_copied_memory, maps_unsealed=limits.maps_unsealed_memory)

    def receive(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take what one read of the socket returned, and own the descriptors. b"" is the end."""
        if self.ended:
            _close_fds(fds)
            return
        if not data:
            _close_fds(fds)
            self._end(StreamEnded())
            return
        self.bytes_received += len(data)
        if fds:
            self.descriptors.add(fds, self.bytes_received)
        if self.partial.received:
            self.partial.add(data)
            self._receive_rest()
        else:
            self._take_apart(data)

    def receive_again(self, data: bytes) -> None:
        """Take bytes that were not handled as plain frames, and are in bytes_received already."""
        if not self.ended:
            self._take_apart(data)

    def receive_in_place(self, count: int, fds: Sequence[int] = ()) -> None:
        """Take `count` bytes that were read into partial.room(), and own the descriptors. 0 is the end."""
        if self.ended or not count:
            self.receive(b"", fds)
            return
        self.bytes_received += count
        if fds:
            self.descriptors.add(fds, self.bytes_received)
        self.partial.add_in_place(count)
        self._receive_rest()

    def receive_violation(self, reason: str) -> None:
        """End the stream with a violation that only the reader of the socket could see."""
        self._end(PeerViolated(ProtocolViolation(reason)))

    def release(self) -> None:
        """Close every descriptor that no message has taken, and receive nothing more."""
        self.ended = True
        self._end_event = None
        self.partial.clear()
        self._buffer = _NOTHING
        self.descriptors.clear()

    def _end(self, event: StreamEnded | PeerViolated) -> None:
        if self._buffer:
            self._take_apart(_NOTHING)  # The rest of the outer receive() arrived before the end.
        if not self.ended:
            self.ended = True
            self._end_event = event
        self._file_end()

    def _file_end(self) -> None:
        """Put the end of the stream into the inbox, unless a message is still being decoded."""
        if self._end_event is not None and self._decoding is not None:
            self.inbox.append(self._end_event)
            self._end_event = None

    # Frames

    def _receive_rest(self) -> None:
        if not self.partial.missing:
            taken = self.partial.take()
            self._take_apart(taken)
            recycle(taken)
        elif self.descriptors.queue:
            try:
                self.descriptors.check_pending(True, self._conversation.limits.max_fds_per_message)
            except ProtocolViolation as violation:
                self._end(PeerViolated(violation))

    def _take_apart(self, data: Buffer) -> None:
        """Put the messages of all complete frames into the inbox, and keep the start of an incomplete one."""
        if self._buffer:
            data = self._rest_of_outer(data)
        self._buffer = data
        self._at = 0
        largest = self._max_message_size
        message_of = self._table.get
        length = len(data)
        at = frames = 0
        try:
            while length - at >= _HEADER_SIZE:
                size, key = _unpack_header(data, at)
                if not _SMALLEST_SIZE <= size <= largest and not wire.is_error(size, key):
                    raise wire.out_of_bounds(size, largest)
                end = at + _SIZE_SIZE + size
                if end > length:
                    break
                self._at = end
                frames += 1
                message = message_of(key)
                if message is not None:
                    self._receive_message(message, data, at, end)
                else:
                    self._receive_other(key, data, at, end)
                if self._buffer is not data:
                    return  # An inner receive() has gone on with the rest, or the stream is over.
                at = end
            if at < length:
                self.partial.begin(data, at)
            self._buffer = _NOTHING
            if self.descriptors.queue:
                self.descriptors.check_pending(at < length, self._conversation.limits.max_fds_per_message)
        except ProtocolViolation as violation:
            self._buffer = _NOTHING
            self._end(PeerViolated(violation))
        finally:
            self.frames_received += frames

    def _rest_of_outer(self, data: Buffer) -> bytes:
        """The bytes that the outer receive() has not reached, followed by `data`."""
        rest, self._buffer = self._buffer[self._at :], _NOTHING
        return b"".join((rest, data))

    # Messages

    def _receive_message(  # noqa: C901
        self, message: MessageType, data: Buffer, start: int, end: int
    ) -> None:
        """Decode one message and put it into the inbox.

        It is one function because every message passes it, and a call of another costs 50 ns.
        """
        conversation = self._conversation
        payload_end = end
        serial = _NO_SERIAL
        has_trailer = self.trailers.in_all or self.trailers.end(message, data, start, end)
        if has_trailer:
            payload_end -= _TRAILER_SIZE
            serial, signature, tag = _unpack_trailer(data, payload_end)
            if tag != _TAG or end - start < _SMALLEST_TRAILED:
                raise trailer_missing()
            if signature != message.signature:
                self._receive_mismatch(message, serial, data, start, end)
                return
        kind = message.kind
        # Everything that depends on the order of the stream comes before decode(), which may receive more.
        concerned: Any = serial
        if kind is _RESPONSE:
            concerned = conversation.open_call(serial) if has_trailer else conversation.oldest_open(message)
            if concerned.message.response is not message:
                raise ProtocolViolation(f"{message.name} answers a call of {concerned.message.name}")
            del conversation.open_calls[concerned.serial]
            if concerned.abandoned:
                conversation.abandoned -= 1
        elif not has_trailer:
            concerned = None if kind is _ONE_WAY else conversation.bare_replies.reserve(message)
        elif (serial == _NO_SERIAL) is not (kind is _ONE_WAY):
            raise ProtocolViolation(f"{message.name}: serial {serial}; only a one-way message has 0")
        elif kind is not _ONE_WAY and not self.trailers.in_all:
            concerned = conversation.bare_replies.reserve(message, serial)  # Our answers are bare.
        files = self._files_of(data, start, end, message.name) if self.descriptors.queue else _NO_FILES
        shared, self._decoding = self._decoding, None
        decoding = shared or self._new_decoding()
        decoding.end = payload_end
        decoding.elements = self._max_elements
        decoding.numbers = self._max_numbers
        decoding.work = MAX_WORK
        decoding.files = files
        try:
            values, at = message.decode(data, start + _HEADER_SIZE, decoding)
            if at != payload_end:
                raise ProtocolViolation(
                    f"the parameters end {at - payload_end:+} bytes from the payload's end"
                )
            if files:
                decoding.check_files()
        except BaseException as error:
            self._take_back(message, concerned, files)
            is_too_deep = isinstance(error, RecursionError)
            if (is_too_deep or is_unrepresentable(error)) and self._refuse(message, serial, concerned, error):
                self._decoding = shared = shared and self._new_decoding()
                self._file_end()
                return
            if is_too_deep or isinstance(error, (ProtocolViolation, *DECODE_ERRORS)):
                raise ProtocolViolation(f"{message.name}: {error}") from error
            raise
        finally:
            decoding.files = _NO_FILES
            self._decoding = shared
        if conversation.is_closed or (kind is _RESPONSE and concerned.abandoned):
            self._take_back(message, concerned, files)
        else:
            self.inbox.append((kind, message, concerned, values, files, end - start))
        if self._end_event is not None:
            self._file_end()

    def _take_back(self, message: MessageType, concerned: Any, files: Sequence[File]) -> None:
        """Close the Files of a message that does not reach the inbox, and reopen the call that it answers."""
        _close_all(files)
        if message.kind is _RESPONSE and not concerned.abandoned:
            self._conversation.reopen(concerned)

    def _refuse(self, message: MessageType, serial: int, concerned: Any, error: BaseException) -> bool:
        """Refuse a message that this process, or its stack as it is, cannot hold: its sender broke no rule.

        False if there is no way to refuse it.
        """
        lacks_stack = isinstance(error, RecursionError)
        reason = "too many calls wait on the receiver's stack" if lacks_stack else error
        text = f"{message.name} cannot be received: {reason}"
        conversation = self._conversation
        if message.kind is _RESPONSE:
            if not concerned.settled and not concerned.abandoned:
                failure = RemoteError.of(concerned.message.name, ErrorKind.REFUSED, text)
                conversation.settle(concerned, CallFailed(concerned, failure))
            return True
        if isinstance(concerned, BareReply):
            return False
        conversation.refuse(message.magic, serial, ErrorKind.REFUSED, text, message.name)
        return True

    def _files_of(self, data: Buffer, start: int, end: int, name: str = "") -> Files:
        """Take the descriptors of the frame at these offsets, which carries the message `name`."""
        offset = self.bytes_received - len(data)
        files = self.descriptors.take(offset + start, offset + end)
        for file in files:
            file.brought_by = name
        return files

    # Control frames, unknown messages and other signatures

    def _receive_other(self, key: int, data: Buffer, start: int, end: int) -> None:
        if receive_other(self._conversation, key, data, start, end):
            _close_all(self._files_of(data, start, end))

    def _receive_mismatch(
        self, message: MessageType, serial: int, data: Buffer, start: int, end: int
    ) -> None:
        """A message whose signature is not ours is never decoded."""
        if message.kind is _RESPONSE:
            raise ProtocolViolation(f"{message.name}: an answer with another signature than its request")
        _close_all(self._files_of(data, start, end))
        text = f"{message.name} has another signature here; one side was built from another interface file"
        self._conversation.refuse(message.magic, serial, ErrorKind.SCHEMA_MISMATCH, text, message.name)


def _close_all(files: Sequence[File]) -> None:
    for file in files:
        file.close()


def _close_fds(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
