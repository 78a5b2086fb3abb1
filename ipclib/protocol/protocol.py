"""The book-keeping of a connection, without any input or output.

Bytes and descriptors go in, events come out of the inbox in the order in which they arrived;
values go in, frames come out. Owns serials, open calls, the order of answers and what becomes of
late ones. Imports no socket and no loop: it is tested with byte strings alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from struct import Struct
from typing import Any, TypeAlias, TypeVar

from ipclib.errors import ErrorKind, MessageTooLarge, ProtocolViolation, RemoteError
from ipclib.file import File
from ipclib.limits import Limits
from ipclib.protocol.framing import TAG, TRAILER, FrameReader, bare_frame, trailed_frame
from ipclib.protocol.message import (
    Describe,
    Endpoint,
    Kind,
    Message,
    OneWay,
    Request,
    key_of,
    magic_and_id,
)
from ipclib.values.codecs import DECODE_ERRORS, ENCODE_ERRORS, Buffer, Files, Frame, Payload

logger = logging.getLogger("ipclib")

FAILURE_ID = 0
CANCEL_ID = -1
DESCRIBE_ID = -2
DESCRIPTION_ID = -3
MAX_ABANDONED = 1024

# Python 3.11 looks an enum's member up through a descriptor, which a message would feel.
_ONE_WAY = Kind.ONE_WAY
_RESPONSE = Kind.RESPONSE
_HIGHEST_SERIAL = 0xFFFFFFFF
_U32 = Struct("=I")
_FAILURE = Struct("=IBI")
_DESCRIPTION = Struct("=II")


class Call:
    """A request of ours, from its sending to its answer."""

    __slots__ = ("abandoned", "error", "message", "serial", "settled", "value")

    def __init__(self, message: type[Request[Any]], serial: int) -> None:
        self.message = message
        self.serial = serial
        self.settled = False
        self.abandoned = False
        self.value: Any = None
        self.error: BaseException | None = None

    def succeed(self, value: Any) -> None:
        self.value = value
        self.settled = True

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.settled = True


CallT = TypeVar("CallT", bound=Call)


class BareReply:
    """The place of a bare request's answer among the answers to the same message."""

    __slots__ = ("frame",)

    def __init__(self) -> None:
        self.frame: tuple[Payload, Files] | None = None


ReplyTo: TypeAlias = int | BareReply
"""Whom an answer goes to: the request's serial, or a bare request's place in line."""

Event: TypeAlias = tuple[Kind, Any, Any, tuple[Any, ...], Sequence[File]]
"""(kind, message class, ReplyTo or Call, values, the files among them). By kind:

ONE_WAY   message, None, values          REQUEST    message, ReplyTo, values
RESPONSE  message, Call, values          FAILURE    message, Call, (RemoteError,)
REFUSAL   magic, serial, (kind, text)    VIOLATION  None, None, (ProtocolViolation,)
CANCEL    None, serial, ()               DESCRIBE   magic, serial, ()
END       None, None, ()
"""

Table: TypeAlias = dict[int, type[Message]]


def incoming_table(calls: type[Endpoint], serves: type[Endpoint]) -> Table:
    """Every message that may arrive, by key: what is served, and the answers to what is called."""
    table = {message._key: message for message in serves._messages if message._kind is not Kind.RESPONSE}
    table |= {message._key: message for message in calls._messages if message._kind is Kind.RESPONSE}
    return table


class Protocol:
    """One end of one connection."""

    __slots__ = (
        "_abandoned",
        "_bare_replies",
        "_calls",
        "_dropped_signatures",
        "_frame",
        "_peer_writes_trailers",
        "_reads_trailers_only",
        "_serial",
        "_serves",
        "_table",
        "_trailers",
        "cancelled",
        "dropped",
        "ended",
        "fds_received",
        "inbox",
        "limits",
        "messages_received",
        "open_calls",
        "reader",
    )

    def __init__(
        self,
        calls: type[Endpoint],
        serves: type[Endpoint],
        table: Table,
        limits: Limits,
        *,
        trailers: bool = True,
    ) -> None:
        self.limits = limits
        self.reader = FrameReader(limits)
        self.inbox: deque[Event] = deque()
        self.cancelled: set[int] = set()
        """Serials whose callers gave up while the inbox, in which their requests may be, was not empty."""
        self.open_calls: dict[int, Call] = {}
        self.ended = False
        """The stream is over: by its end, or by a violation."""
        self.dropped = 0
        """One-way messages of the peer that were not understood."""
        self.messages_received = 0
        """Frames, of whatever kind."""
        self.fds_received = 0
        self._calls = calls
        self._serves = serves
        self._table = table
        self._trailers = trailers
        #: What the peer's first frame decided, and whether answers to us have trailers as well.
        self._peer_writes_trailers: bool | None = None
        self._reads_trailers_only = False
        self._frame = Frame(limits.max_message_size)
        self._serial = 0
        self._abandoned = 0
        self._bare_replies: dict[int, deque[BareReply]] = {}
        self._dropped_signatures: frozenset[int] = frozenset()

    # What we send

    def request(
        self, message: type[Request[Any]], values: tuple[object, ...], call_class: type[CallT]
    ) -> tuple[CallT, Payload, Files]:
        """A request's frame, and the open call that its answer will settle."""
        serial = self._serial + 1
        if serial > _HIGHEST_SERIAL or serial in self.open_calls:
            serial = self._free_serial()
        frame, files = self._message_frame(message, values, serial, self._trailers)
        self._serial = serial
        call = call_class(message, serial)
        self.open_calls[serial] = call
        return call, frame, files

    def one_way(self, message: type[OneWay], values: tuple[object, ...]) -> tuple[Payload, Files]:
        """The frame of a message without an answer."""
        return self._message_frame(message, values, 0, self._trailers)

    def answer(
        self, message: type[Request[Any]], reply_to: ReplyTo, result: object
    ) -> list[tuple[Payload, Files]]:
        """The frames that may leave now that a request's result is known.

        None for a bare request whose answer must wait for an earlier one; several when it was
        the one that others waited for.
        """
        response = message._response
        values = (result,) if response._arity == 1 else response._outputs(result)
        if isinstance(reply_to, int):
            return [self._message_frame(response, values, reply_to, self._trailers)]
        return self._in_bare_order(message, reply_to, self._message_frame(response, values, 0, False))

    def failure(self, magic: int, serial: int, kind: ErrorKind, text: str) -> Payload:
        """The control frame that answers a request with an error."""
        raw = text.encode(errors="replace")
        return bare_frame(key_of(magic, FAILURE_ID), _FAILURE.pack(serial, kind, len(raw)) + raw)

    def describe(self, call_class: type[CallT]) -> tuple[CallT, Payload]:
        """The control frame that asks for the interface of the endpoint that is called, or of all that the
        peer has where none is; and the open call that the answer will settle."""
        serial = self._free_serial()
        call = call_class(Describe, serial)
        self.open_calls[serial] = call
        return call, bare_frame(key_of(self._calls.MAGIC, DESCRIBE_ID), _U32.pack(serial))

    def description(self, magic: int, serial: int) -> Payload:
        """The answer to such a request: one endpoint's interface, or for magic 0 all there are."""
        schemas = self._schemas().values() if magic == 0 else (self._schemas()[magic],)
        raw = "\n".join(schema for schema in schemas if schema).encode()
        return bare_frame(key_of(magic, DESCRIPTION_ID), _DESCRIPTION.pack(serial, len(raw)) + raw)

    def abandon(self, call: Call) -> Payload | None:
        """Stop waiting for a call; its late answer will be swallowed.

        Returns the control frame that tells a peer that understands it. Raises ProtocolViolation
        when the peer owes too many such answers.
        """
        if call.settled or call.abandoned:
            return None
        call.abandoned = True
        if call.serial not in self.open_calls:
            return None
        self._abandoned += 1
        if self._abandoned > MAX_ABANDONED:
            raise ProtocolViolation(f"the peer owes the answers to {self._abandoned} abandoned calls")
        if not self._peer_writes_trailers:
            return None
        return bare_frame(key_of(self._calls.MAGIC, CANCEL_ID), _U32.pack(call.serial))

    def _message_frame(
        self, message: type[Message], values: tuple[object, ...], serial: int, trailed: bool
    ) -> tuple[Payload, Files]:
        files: Files = []
        try:
            payload = message._encode(files, *values)
        except ENCODE_ERRORS as error:
            raise message._refused(values, error) from error
        if trailed:
            frame = trailed_frame(message._key, payload, serial, message._signature)
        else:
            frame = bare_frame(message._key, payload)
        if files or type(frame) is not bytes or len(frame) > self.limits.max_message_size:
            self._check_size(message, frame, files)
        return frame, files

    def _check_size(self, message: type[Message], frame: Payload, files: Files) -> None:
        size = (len(frame) if isinstance(frame, bytes) else sum(map(len, frame))) - 4
        if size > self.limits.max_message_size:
            raise MessageTooLarge(
                f"{message._name}: a message of {size} bytes; "
                f"max_message_size is {self.limits.max_message_size}"
            )
        if len(files) > self.limits.max_fds_per_message:
            raise MessageTooLarge(
                f"{message._name}: {len(files)} files; "
                f"max_fds_per_message is {self.limits.max_fds_per_message}"
            )

    def _free_serial(self) -> int:
        serial = self._serial
        while True:
            serial = serial + 1 if serial < _HIGHEST_SERIAL else 1
            if serial not in self.open_calls:
                self._serial = serial
                return serial

    def _in_bare_order(
        self, message: type[Request[Any]], place: BareReply, frame: tuple[Payload, Files]
    ) -> list[tuple[Payload, Files]]:
        place.frame = frame
        line = self._bare_replies[message._key]
        ready = []
        while line and line[0].frame is not None:
            ready.append(line.popleft().frame)
        return [frame for frame in ready if frame is not None]

    # What we receive

    def receive(self, data: Buffer, fds: Sequence[int] = ()) -> None:
        """Take what one read of the socket gave, in order; whole messages go to the inbox. `data` is bytes or
        the part of the reader's room() that they were received into."""
        if self.ended:
            for fd in fds:
                File(fd).close()
            return
        if self.cancelled and not self.inbox:
            self.cancelled.clear()
        frame = self._frame
        if fds:
            arrived = self.reader.received + len(data)
            frame.fds.extend((File(fd), arrived) for fd in fds)
            self.fds_received += len(fds)
        try:
            self.reader.feed(data, self._receive_frame)
            if frame.fds:
                self._check_pending_descriptors()
        except ProtocolViolation as violation:
            self._end((Kind.VIOLATION, None, None, (violation,), ()))

    def receive_end(self) -> None:
        """The peer closed its end."""
        if not self.ended:
            self._end((Kind.END, None, None, (), ()))

    def receive_violation(self, reason: str) -> None:
        """What was received cannot be used, for a reason that only its reader could see."""
        if not self.ended:
            self._end((Kind.VIOLATION, None, None, (ProtocolViolation(reason),), ()))

    def _check_pending_descriptors(self) -> None:
        """Those that are left belong to the frame that has begun, or to nobody."""
        pending = len(self._frame.fds)
        if not self.reader.missing:
            raise ProtocolViolation(f"{pending} descriptors that no message takes")
        if pending > self.limits.max_fds_per_message:
            raise ProtocolViolation(
                f"{pending} descriptors for one message; max_fds_per_message is "
                f"{self.limits.max_fds_per_message}"
            )

    def release(self) -> None:
        """Close every descriptor that was received and not handed out; nothing more is received."""
        self.ended = True
        self.reader.clear()
        self._frame.release()
        for file, _arrived in self._frame.fds:
            file.close()
        self._frame.fds.clear()
        for _kind, _message, _to, _values, files in self.inbox:
            for file in files:
                file.close()
        self.inbox.clear()
        for line in self._bare_replies.values():
            for place in line:
                for file in place.frame[1] if place.frame else ():
                    file.close()
        self._bare_replies.clear()

    def _end(self, event: Event) -> None:
        self.ended = True
        self._frame.release()
        self.inbox.append(event)

    def _receive_frame(self, key: int, buffer: Buffer, start: int, end: int) -> None:
        self.messages_received += 1
        message = self._table.get(key)
        if message is None:
            self._receive_stranger(key, buffer, start, end)
            return
        has_trailer = self._reads_trailers_only or self._has_trailer(message, buffer, start, end)
        payload_end = end
        if has_trailer:
            payload_end -= 12
            serial, signature, tag = TRAILER.unpack_from(buffer, payload_end)
            if tag != TAG or payload_end < start + 12:
                raise _trailer_missing()
            if signature != message._signature:
                self._receive_mismatch(message, serial, start - len(buffer), end - len(buffer))
                return
        frame = self._frame
        frame.end = payload_end
        frame.elements = self.limits.max_elements
        frame.numbers = self.limits.max_numbers
        try:
            values, at = message._decode(buffer, start + 12, frame)
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"{message._name}: {error}") from error
        except ProtocolViolation as violation:
            raise ProtocolViolation(f"{message._name}: {violation}") from violation
        if at != payload_end:
            raise ProtocolViolation(
                f"{message._name}: the parameters end {at - payload_end:+} bytes from the payload's end"
            )
        kind = message._kind
        if not has_trailer:
            self._file_bare(kind, message, values)
        elif kind is _RESPONSE:
            self._settle(self.open_calls.get(serial) or self._open_call(serial), message, values)
        elif (serial == 0) is not (kind is _ONE_WAY):
            raise ProtocolViolation(f"{message._name}: serial {serial}")
        else:
            self.inbox.append(
                (kind, message, serial, values, self._taken_files(message) if frame.files else ())
            )

    def _has_trailer(self, message: type[Message], buffer: Buffer, start: int, end: int) -> bool:
        """As all of the peer's frames have or have not; but bare requests have bare answers."""
        if not self._trailers and message._kind is Kind.RESPONSE:
            return False
        return self._reads_trailer(buffer, start, end)

    def _reads_trailer(self, buffer: Buffer, start: int, end: int) -> bool:
        """Whether the frame has a trailer, as all of its peer's have or have not."""
        expected = self._peer_writes_trailers
        if expected is False:
            return False
        present = end - start >= 24 and TRAILER.unpack_from(buffer, end - 12)[2] == TAG
        if expected is None:
            self._peer_writes_trailers = present
            self._reads_trailers_only = present and self._trailers
        elif not present:
            raise _trailer_missing()
        return present

    def _taken_files(self, message: type[Message]) -> Files:
        files = self._frame.files
        for file in files:
            file.brought_by = message._name
        self._frame.files = []
        return files

    def _file_bare(self, kind: Kind, message: type[Message], values: tuple[Any, ...]) -> None:
        """Put a message that came without a trailer where it belongs."""
        if kind is _RESPONSE:
            self._settle(self._oldest_open(message), message, values)
            return
        reply_to = None
        if kind is Kind.REQUEST:
            reply_to = BareReply()
            self._bare_replies.setdefault(message._key, deque()).append(reply_to)
        self.inbox.append((kind, message, reply_to, values, self._taken_files(message)))

    def _settle(self, call: Call, message: type[Message], values: tuple[Any, ...]) -> None:
        if call.message._response is not message:
            raise ProtocolViolation(f"{message._name} answers a call of {call.message._name}")
        del self.open_calls[call.serial]
        if call.abandoned:
            self._abandoned -= 1
            self._frame.release()
        else:
            files = self._taken_files(message) if self._frame.files else ()
            self.inbox.append((_RESPONSE, message, call, values, files))

    def _open_call(self, serial: int) -> Call:
        call = self.open_calls.get(serial)
        if call is None:
            raise ProtocolViolation(f"an answer to serial {serial}, which is not open")
        return call

    def _answered(self, call: Call) -> None:
        del self.open_calls[call.serial]
        if call.abandoned:
            self._abandoned -= 1

    def _oldest_open(self, message: type[Message]) -> Call:
        for call in self.open_calls.values():
            if call.message._response is message:
                return call
        raise ProtocolViolation(f"{message._name}: an answer, and no call of it is open")

    # Frames that are none of our messages

    def _schemas(self) -> dict[int, str]:
        return {endpoint.MAGIC: endpoint.SCHEMA for endpoint in (self._calls, self._serves)}

    def _receive_stranger(self, key: int, buffer: Buffer, start: int, end: int) -> None:
        magic, id = magic_and_id(key)
        if id == DESCRIBE_ID and (magic == 0 or magic in self._schemas()):
            self._receive_describe(magic, buffer, start + 12, end)
            return
        if magic not in self._schemas():
            raise ProtocolViolation(f"magic {magic} of no endpoint that we know")
        if id == FAILURE_ID:
            self._receive_failure(buffer, start + 12, end)
        elif id == CANCEL_ID:
            self._receive_cancel(buffer, start + 12, end)
        elif id == DESCRIPTION_ID:
            self._receive_description(buffer, start + 12, end)
        elif id > 0 and magic == self._serves.MAGIC:
            self._receive_unknown(magic, id, buffer, start, end)
        else:
            raise ProtocolViolation(f"id {id} with magic {magic}")

    def _receive_failure(self, buffer: Buffer, at: int, end: int) -> None:
        try:
            serial, number, length = _FAILURE.unpack_from(buffer, at)
            kind = ErrorKind(number)
            text = str(buffer[at + 9 : at + 9 + length], "utf-8")
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"error frame: {error}") from error
        if at + 9 + length != end:
            raise ProtocolViolation("error frame: its text does not end with it")
        call = self._open_call(serial)
        self._answered(call)
        if not call.abandoned:
            failure = RemoteError.of(call.message._name, kind, text)
            self.inbox.append((Kind.FAILURE, call.message, call, (failure,), ()))

    def _receive_cancel(self, buffer: Buffer, at: int, end: int) -> None:
        """The caller of a request waits no longer: if the request still waits too, it need not be served."""
        serial = _only_serial("cancel", buffer, at, end)
        if self.inbox:
            self.cancelled.add(serial)
        self.inbox.append((Kind.CANCEL, None, serial, (), ()))

    def _receive_describe(self, magic: int, buffer: Buffer, at: int, end: int) -> None:
        serial = _only_serial("describe", buffer, at, end)
        self.inbox.append((Kind.DESCRIBE, magic, serial, (), ()))

    def _receive_description(self, buffer: Buffer, at: int, end: int) -> None:
        try:
            serial, length = _DESCRIPTION.unpack_from(buffer, at)
            text = str(buffer[at + 8 : at + 8 + length], "utf-8")
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"description frame: {error}") from error
        if at + 8 + length != end:
            raise ProtocolViolation("description frame: its text does not end with it")
        call = self._open_call(serial)
        if call.message is not Describe:
            raise ProtocolViolation(f"a description answers a call of {call.message._name}")
        self._answered(call)
        if not call.abandoned:
            self.inbox.append((Kind.RESPONSE, Describe, call, (text,), ()))

    def _receive_unknown(self, magic: int, id: int, buffer: Buffer, start: int, end: int) -> None:
        if not self._reads_trailer(buffer, start, end):
            raise ProtocolViolation(f"message {id} is unknown, and the peer could not be told")
        serial, _signature, _tag = TRAILER.unpack_from(buffer, end - 12)
        self._discard_descriptors(start - len(buffer), end - len(buffer))
        if serial:
            text = f"message {id} is not known here"
            self.inbox.append((Kind.REFUSAL, magic, serial, (ErrorKind.UNKNOWN_MESSAGE, text), ()))
        else:
            self.dropped += 1

    def _receive_mismatch(self, message: type[Message], serial: int, start: int, end: int) -> None:
        """A message whose signature is not ours is never decoded."""
        if message._kind is Kind.RESPONSE:
            raise ProtocolViolation(f"{message._name}: an answer with another signature than its request")
        self._discard_descriptors(start, end)
        if serial:
            text = (
                f"{message._name} has another signature here; one side was built from another interface file"
            )
            self.inbox.append((Kind.REFUSAL, message._magic, serial, (ErrorKind.SCHEMA_MISMATCH, text), ()))
            return
        self.dropped += 1
        if message._key not in self._dropped_signatures:
            self._dropped_signatures |= {message._key}
            logger.warning("%s: dropped, its signature is not ours", message._name)

    def _discard_descriptors(self, start: int, end: int) -> None:
        """Close the descriptors of a frame that is not decoded.

        Its offsets, both negative or 0, count back from the last byte received.
        Descriptors come on the first byte of a frame that begins a sendmsg, and recvmsg returns
        no bytes of later sendmsg calls with them (unix(7)). So they belong to the last frame that
        begins among the bytes that they came with.
        """
        start += self.reader.received
        end += self.reader.received
        fds = self._frame.fds
        while fds and start < fds[0][1] <= end:
            fds.pop(0)[0].close()


def _trailer_missing() -> ProtocolViolation:
    return ProtocolViolation("a frame without a trailer after frames that had one")


def _only_serial(frame: str, buffer: Buffer, at: int, end: int) -> int:
    if end - at != 4:
        raise ProtocolViolation(f"a {frame} frame holds one serial")
    (serial,) = _U32.unpack_from(buffer, at)
    return int(serial)
