"""Owns what the tests of the protocol share: a client's and a service's conversation, and bytes between them.
Must not know sockets or loops.
"""

from __future__ import annotations

import os
from typing import Any

from ipclib import Limits
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import ReplyTo
from ipclib.protocol.conversation import Conversation, incoming_table
from ipclib.protocol.events import Event, PeerViolated
from ipclib.protocol.message import Kind, Message
from ipclib.protocol.open_call import Call
from ipclib.protocol.receiver import Receiver


def joined(frame: Any) -> bytes:
    """The frame's bytes, whether it is in pieces or not."""
    return frame if isinstance(frame, bytes) else b"".join(frame)


def trailed(message: type[Message], payload: bytes, serial: int, *, other_signature: bool = False) -> bytes:
    """A frame of this message, with a trailer."""
    described = message.__ipc__
    return joined(
        wire.trailed_frame(described.key, payload, serial, described.signature ^ int(other_signature))
    )


def bare(message: type[Message], payload: bytes = b"") -> bytes:
    """A frame of this message, as LibIPC writes it."""
    return joined(wire.bare_frame(message.__ipc__.key, payload))


def dev_null() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


class End:
    """One end: its conversation, and the receiver that fills its inbox."""

    def __init__(
        self, calls: Any, serves: Any, limits: Limits | None = None, *, trailers: bool = True
    ) -> None:
        self.conversation = Conversation(calls, serves, limits or Limits(), trailers=trailers)
        self.receiver = Receiver(self.conversation, incoming_table(calls, serves))

    @property
    def inbox(self) -> list[Event]:
        return list(self.conversation.inbox)

    def receive(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        self.receiver.receive(data, fds)

    def request(self, message: type[Message], *values: object) -> tuple[Call, bytes]:
        """An open call, and the bytes of its request."""
        call = Call(message.__ipc__)
        frame, _files = self.conversation.request(call, values)
        if not self.conversation.trailers:
            self.conversation.open(call)
        return call, joined(frame)

    def post(self, message: type[Message], *values: object) -> bytes:
        frame, _files = self.conversation.frame(message.__ipc__, values)
        return joined(frame)

    def violation(self) -> str:
        """What ended the stream."""
        event = self.inbox[-1]
        assert isinstance(event, PeerViolated)
        assert self.receiver.ended
        return str(event.violation)


class Ends:
    """A client and a service of Clock.ipc."""

    def __init__(
        self,
        clock: Any,
        *,
        client_trailers: bool = True,
        service_trailers: bool = True,
        limits: Limits | None = None,
    ) -> None:
        server, client = clock.ClockServer, clock.ClockClient
        self.client = End(server, client, limits, trailers=client_trailers)
        self.service = End(client, server, limits, trailers=service_trailers)

    def ask(self, message: type[Message], *values: object) -> tuple[Call, Any]:
        """A request that has arrived: the client's call, and where the service answers to."""
        call, frame = self.client.request(message, *values)
        self.service.receive(frame)
        event = self.service.conversation.inbox.popleft()
        assert isinstance(event, tuple)
        kind, arrived, to, got, _files, _size = event
        assert (kind, arrived, got) == (Kind.REQUEST, message.__ipc__, values)
        return call, to

    def answer(self, message: type[Message], to: ReplyTo, result: object) -> None:
        for frame, _files in self.service.conversation.answer(message.__ipc__, to, result):
            self.client.receive(joined(frame))

    def answered(self) -> list[tuple[Call, tuple[Any, ...]]]:
        """The answers that the client got, each a call and its values."""
        answers = []
        for event in self.client.inbox:
            assert isinstance(event, tuple)
            kind, _message, call, values, _files, _size = event
            assert kind is Kind.RESPONSE
            answers.append((call, values))
        self.client.conversation.inbox.clear()
        return answers
