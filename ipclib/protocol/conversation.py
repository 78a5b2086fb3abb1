"""Owns the state of one conversation: open calls, serials, the order of answers, late answers.
Must not know sockets or loops. Bytes go in (receiver.py) and events come out, values go in and frames out.

What we send               What it changes                        What settles it
-------------------------  -------------------------------------  ------------------------------------------
request                    opens a call under a free serial       one answer of the peer, of whatever kind
one-way message            nothing                                -
abandon() of an open call  its answer will be discarded; a peer   that answer; more than 1,024 abandoned
                           with trailers gets a Cancel frame      calls without one are a violation
describe()                 opens a call under a free serial       a Description frame or an error frame
answer(), an error frame   settles a request of the peer          -

What arrives               With a trailer                         Bare, from LibIPC itself
-------------------------  -------------------------------------  ------------------------------------------
request                    REQUEST with its serial                REQUEST with its place among the answers
request, other signature   RequestRefused: SCHEMA_MISMATCH        cannot be recognised
request, unknown id        RequestRefused: UNKNOWN_MESSAGE        a violation, as it cannot be answered
one-way message            ONE_WAY                                ONE_WAY
one-way, other signature   RequestRefused with serial 0: dropped  cannot be recognised
one-way, unknown id        RequestRefused with serial 0: dropped  a violation
request, other endpoint    RequestRefused, then PeerViolated      a violation
first message              CancelsDue, if calls were abandoned    nothing
response                   settles the call with its serial       settles the oldest open call of its message
error frame                CallFailed                             is never sent
Description frame          DescriptionArrived                     is never sent
Cancel frame               RequestCancelled                       is never sent
Describe frame             DescriptionAsked                       DescriptionAsked, from a tool
anything else              PeerViolated, the last event           PeerViolated, the last event

The first message of the peer decides whether all of its messages have trailers.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

from ipclib.errors import (
    ErrorKind,
    MessageTooLarge,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    UnknownMessage,
)
from ipclib.limits import Limits
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import BareReplies, ReplyTo
from ipclib.protocol.costs import check_cost, unchecked_size
from ipclib.protocol.events import (
    CallFailed,
    CancelsDue,
    DescriptionArrived,
    Event,
    RequestCancelled,
    RequestRefused,
)
from ipclib.protocol.message import Endpoint, Kind, Message, MessageType
from ipclib.protocol.open_call import OpenCall
from ipclib.protocol.peer_trailers import PeerTrailers
from ipclib.values.codecs import ENCODE_ERRORS, Payload, user_cause
from ipclib.values.decoding import Files, Outgoing

MAX_ABANDONED = 1024
"""How many abandoned calls a peer may leave unanswered (docs/wire.md)."""

_NO_FILES: Files = []  # Never changed.

Table: TypeAlias = dict[int, MessageType]
"""Every message that may arrive, by its key."""


def _no_payload(*_arguments: Any) -> Any:
    raise NotImplementedError


DESCRIBE = MessageType(
    kind=Kind.REQUEST,
    name="describe",
    handler="describe",
    magic=wire.EVERY_ENDPOINT,
    id=wire.DESCRIBE_ID,
    key=wire.key_of(wire.EVERY_ENDPOINT, wire.DESCRIBE_ID),
    signature=0,
    holds_files=False,
    parameters=(),
    arity=0,
    codecs=(),
    encode=_no_payload,
    decode=_no_payload,
    python=Message,
)
"""The message of a describe() call, whose request and answer are control frames."""


def incoming_table(calls: type[Endpoint], serves: type[Endpoint]) -> Table:
    """The messages that may arrive: those that are served, and the answers to those that are called."""
    served = [message for message in serves.__ipc__ if message.kind is not Kind.RESPONSE]
    answers = [message for message in calls.__ipc__ if message.kind is Kind.RESPONSE]
    return {message.key: message for message in (*served, *answers)}


class Conversation:
    """One end of one connection: the calls that are open, and the requests that are not answered."""

    __slots__ = (
        "_serial",
        "_unchecked_size",
        "abandoned",
        "bare_replies",
        "calls",
        "cancelled",
        "dropped",
        "inbox",
        "is_closed",
        "largest_plain",
        "limits",
        "open_calls",
        "peer_trailers",
        "serves",
        "trailers",
    )

    def __init__(
        self, calls: type[Endpoint], serves: type[Endpoint], limits: Limits, *, trailers: bool = True
    ) -> None:
        self.calls = calls
        self.serves = serves
        self.limits = limits
        self.trailers = trailers
        """Whether our frames have trailers."""
        self.peer_trailers = PeerTrailers(trailers, self._cancel_late)
        self.inbox: deque[Event] = deque()
        """What arrived and is not handled yet, in order."""
        self.open_calls: dict[int, OpenCall] = {}
        """Our calls that are not answered, by serial, in the order in which they were sent."""
        self.abandoned = 0
        """The number of open calls for which nobody waits."""
        self.cancelled: set[int] = set()
        """Cancelled requests that may still be queued in the inbox."""
        self.is_closed = False
        """True if no more answers will come."""
        self.dropped = 0
        """One-way messages of the peer that were dropped."""
        self.largest_plain = limits.max_message_size + wire.SIZE.size
        """Bytes of a frame without codecs that is within all limits."""
        self._unchecked_size = unchecked_size(limits)
        """Bytes of a frame that is within all limits if it has no Files."""
        self._serial = wire.NO_SERIAL
        """The last serial that was given to a call."""
        self.bare_replies = BareReplies()
        """The places of answers without trailers that have not left yet."""

    @property
    def awaits_answers(self) -> bool:
        """Whether anybody waits for an answer of the peer."""
        return len(self.open_calls) > self.abandoned

    # Frames

    def frame(
        self,
        message: MessageType,
        values: tuple[object, ...],
        serial: int = wire.NO_SERIAL,
        *,
        is_bare: bool = False,
    ) -> tuple[Payload, Files]:
        """The frame of a message with these values, and its Files. One-way messages have NO_SERIAL.

        Raises:
            EncodeError: the values do not fit the parameters.
            MessageTooLarge: the frame is over a limit.
        """
        files: Files = Outgoing() if message.counts else []
        try:
            payload = message.encode(files, *values)
        except ENCODE_ERRORS as error:
            raise message.refused(values, error) from user_cause(error)
        frame: Payload
        if is_bare or not self.trailers:
            frame = wire.bare_frame(message.key, payload)
        else:
            frame = wire.trailed_frame(message.key, payload, serial, message.signature)
        if files or type(frame) is not bytes or len(frame) > self._unchecked_size:
            _check_size(message, frame, files, self.limits)
            if type(files) is Outgoing:
                check_cost(message, files, self.limits, is_bare or self.peer_trailers.are_missing)
        return frame, files

    # Our requests

    def request(self, call: OpenCall, values: tuple[object, ...]) -> tuple[Payload, Files]:
        """Open a call and return the frame of its request. If we write bare frames, open() opens it instead.

        Raises:
            EncodeError: the values do not fit the parameters; the call is not open.
            MessageTooLarge: the frame is over a limit; the call is not open.
            PeerDisconnected: encoding the values closed the conversation.
        """
        serial = self._serial + 1
        if serial > wire.HIGHEST_SERIAL or serial in self.open_calls:
            serial = self._free_serial()
        # Set before encode(): user code that makes a call meanwhile must get another serial.
        self._serial = call.serial = serial
        message = call.message
        frame: Payload = ()
        files = _NO_FILES
        if message.frame is not None and self.trailers:
            try:
                frame = message.frame(serial, *values)
            except ENCODE_ERRORS:
                frame = ()  # frame() finds the same, and says of which parameter.
        length = len(frame) if type(frame) is bytes else wire.frame_length(frame)
        if not 0 < length <= self.largest_plain:
            frame, files = self.frame(message, values, serial)
        if self.is_closed:
            raise _closed(call)
        if self.trailers:
            self.open_calls[serial] = call
        return frame, files

    def open(self, call: OpenCall) -> None:
        """Open a call whose request has no trailer, when it is sent: answers come in the order of requests.

        Raises:
            PeerDisconnected: the conversation was closed meanwhile.
        """
        if self.is_closed:
            raise _closed(call)
        self.open_calls[call.serial] = call

    def describe(self, call: OpenCall) -> Payload:
        """Open a call of DESCRIBE and return its frame, for the endpoint that is called.

        Raises:
            UnknownMessage: the peer is bare. The frame would silence LibIPC for good.
        """
        if self.peer_trailers.are_missing:
            raise UnknownMessage(
                "describe", ErrorKind.UNKNOWN_MESSAGE, "a peer without trailers cannot answer it"
            )
        call.serial = self._free_serial()
        self.open_calls[call.serial] = call
        return wire.pack_describe(self.calls.MAGIC, call.serial)

    def abandon(self, call: OpenCall) -> Payload | None:
        """Stop waiting for a call; its late answer will be discarded.

        Returns the Cancel frame, or None if there is nothing to cancel or the peer knows no control frames.

        Raises:
            ProtocolViolation: the peer has left too many abandoned calls unanswered.
        """
        if call.settled or call.abandoned:
            return None
        call.abandoned = True
        if self.open_calls.get(call.serial) is not call:
            return None
        self.abandoned += 1
        if self.abandoned > MAX_ABANDONED:
            raise ProtocolViolation(f"it has not answered {self.abandoned} abandoned calls")
        if not self.peer_trailers.written:
            return None  # If the peer's first message has a trailer, _cancel_late() does it then.
        return wire.pack_cancel(self.calls.MAGIC, call.serial)

    def open_call(self, serial: int) -> OpenCall:
        """The call that an answer with this serial settles.

        Raises:
            ProtocolViolation: no call with this serial is open.
        """
        call = self.open_calls.get(serial)
        if call is None:
            raise ProtocolViolation(f"an answer to serial {serial}, which is not open")
        return call

    def oldest_open(self, message: MessageType) -> OpenCall:
        """The call that a bare answer settles.

        Raises:
            ProtocolViolation: no call of this message is open.
        """
        for call in self.open_calls.values():
            if call.message.response is message:
                return call
        raise ProtocolViolation(f"{message.name}: an answer, and no call of it is open")

    def settle(self, call: OpenCall, event: Event) -> None:
        """Close an open call, and put its event into the inbox if somebody waits for it."""
        del self.open_calls[call.serial]
        if call.abandoned:
            self.abandoned -= 1
        else:
            self.inbox.append(event)

    def fail_call(self, serial: int, kind: ErrorKind, text: str) -> None:
        """Close an open call that the peer answered with an error.

        Raises:
            ProtocolViolation: no such call is open.
        """
        call = self.open_call(serial)
        self.settle(call, CallFailed(call, RemoteError.of(call.message.name, kind, text)))

    def take_description(self, serial: int, text: str) -> None:
        """Close an open call of DESCRIBE, which the peer answered.

        Raises:
            ProtocolViolation: no such call is open.
        """
        call = self.open_call(serial)
        if call.message is not DESCRIBE:
            raise ProtocolViolation(f"a description answers a call of {call.message.name}")
        self.settle(call, DescriptionArrived(call, text))

    def reopen(self, call: OpenCall) -> None:
        """Open a call again whose answer could not be decoded. It fails when the connection closes."""
        if self.is_closed:
            call.fail(_closed(call))
        else:
            self.open_calls[call.serial] = call

    def close(self) -> list[OpenCall]:
        """Close all open calls and open no more; return those for which somebody waits.

        Calls whose answers are still in the inbox are among them: nothing there is handled any more.
        """
        self.is_closed = True
        calls, self.open_calls = self.open_calls, {}
        self.abandoned = 0
        answered: list[Any] = []
        for event in self.inbox:
            if isinstance(event, CallFailed | DescriptionArrived):
                answered.append(event.call)
            elif isinstance(event, tuple) and event[0] is Kind.RESPONSE:
                answered.append(event[2])
        return [call for call in (*calls.values(), *answered) if not call.abandoned and not call.settled]

    # The peer's requests

    def answer(self, message: MessageType, reply_to: ReplyTo, result: object) -> list[tuple[Payload, Files]]:
        """The frames that can leave now that the result of a request is known.

        Empty if an earlier bare answer is still missing; several if this one unblocks later answers.

        Raises:
            EncodeError: the result does not fit the outputs of the message.
            MessageTooLarge: the frame is over a limit.
        """
        response = message.response
        assert response is not None, "a one-way message has no answer"
        values = (result,) if response.arity == 1 else response.to_values(result)
        if isinstance(reply_to, int):
            return [self.frame(response, values, reply_to)]
        return self.bare_replies.answer(message, reply_to, self.frame(response, values, is_bare=True))

    def refuse(self, magic: int, serial: int, kind: ErrorKind, text: str, name: str = "") -> None:
        """Refuse a request that cannot be served, or drop and count a one-way message (serial 0)."""
        if serial == wire.NO_SERIAL:
            self.dropped += 1
        self.inbox.append(RequestRefused(magic, serial, kind, text, name))

    def cancel_request(self, serial: int) -> None:
        """Note that the peer no longer waits for an answer. Its request may still be in the inbox."""
        if self.inbox:
            self.cancelled.add(serial)
        self.inbox.append(RequestCancelled(serial))

    def description(self, magic: int, serial: int) -> Payload:
        """The frame that answers a Describe frame: the schema of one endpoint, or of EVERY_ENDPOINT."""
        endpoints = [self.calls, self.serves]
        if magic != wire.EVERY_ENDPOINT:
            endpoints = [endpoint for endpoint in endpoints if magic == endpoint.MAGIC]
        schemas = [endpoint.SCHEMA for endpoint in endpoints if endpoint.SCHEMA]
        return wire.pack_description(magic, serial, "\n".join(schemas))

    def release(self) -> None:
        """Close the Files of everything that waits in here; nothing is handled any more."""
        while self.inbox:
            event = self.inbox.popleft()
            if isinstance(event, tuple):
                _kind, _message, _concerned, _values, files, _size = event
                _close_all(files)
        self.bare_replies.release()

    def _cancel_late(self) -> None:
        """Cancel the calls that were abandoned before the peer was known to understand it."""
        if self.abandoned:
            serials = [call.serial for call in self.open_calls.values() if call.abandoned]
            frames = tuple(wire.pack_cancel(self.calls.MAGIC, serial) for serial in serials)
            self.inbox.append(CancelsDue(frames))

    def _free_serial(self) -> int:
        serial = self._serial
        while True:
            serial = serial + 1 if serial < wire.HIGHEST_SERIAL else 1
            if serial not in self.open_calls:
                self._serial = serial
                return serial


def _check_size(message: MessageType, frame: Payload, files: Files, limits: Limits) -> None:
    size = wire.size_of(frame)
    if size > limits.max_message_size:
        raise MessageTooLarge(
            f"{message.name}: a message of {size} bytes; max_message_size is {limits.max_message_size}"
        )
    if len(files) > limits.max_fds_per_message:
        raise MessageTooLarge(
            f"{message.name}: {len(files)} files; max_fds_per_message is {limits.max_fds_per_message}"
        )


def _closed(call: OpenCall) -> PeerDisconnected:
    return PeerDisconnected(f"{call.message.name}: the connection is closed")


def _close_all(files: Files | Any) -> None:
    for file in files:
        file.close()
