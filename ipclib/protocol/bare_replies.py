"""Owns the order of bare answers: the answers to one message leave in the order of its requests.
Must not know what an answer says, or who gives it.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ipclib.protocol import wire
from ipclib.protocol.message import MessageType
from ipclib.values.codecs import Payload
from ipclib.values.decoding import Files

# Bytes that Python takes for an answer that waits, beside its frame.
_OF_AN_OBJECT = 256


class BareReply:
    """The place of a bare request's answer among the answers to the same message."""

    __slots__ = ("frame", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        """The serial of the request if it had a trailer, so that an error frame can answer it; else 0."""
        self.frame: tuple[Payload, Files] | None = None
        """The answer while it waits for earlier ones; None before it is known."""


ReplyTo: TypeAlias = int | BareReply
"""Where an answer goes: to the serial of its request, or to the place of a bare answer."""


class BareReplies:
    """The places of all bare answers that have not left yet."""

    __slots__ = ("_places", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes that wait for earlier answers, with what Python takes for each."""
        self._places: dict[int, deque[BareReply]] = {}
        """By the key of the message, in the order of the requests."""

    def reserve(self, message: MessageType, serial: int = wire.NO_SERIAL) -> BareReply:
        """Reserve a place after those of earlier requests for the same message."""
        place = BareReply(serial)
        self._places.setdefault(message.key, deque()).append(place)
        return place

    def answer(
        self, message: MessageType, place: BareReply, frame: tuple[Payload, Files]
    ) -> list[tuple[Payload, Files]]:
        """The frames that can leave now that this answer is known.

        Empty if an earlier answer is still missing; several if this one unblocks later answers.
        """
        place.frame = frame
        ready = self._ready(message)
        if ready:
            self._count_out(ready[1:])
        else:
            self.size += wire.frame_length(frame[0]) + _OF_AN_OBJECT
        return ready

    def drop(self, message: MessageType, place: BareReply) -> list[tuple[Payload, Files]]:
        """Remove a place whose request got an error frame; return the frames that can leave now."""
        self._places[message.key].remove(place)
        ready = self._ready(message)
        self._count_out(ready)
        return ready

    def release(self) -> None:
        """Close the Files of the answers that wait, and drop these."""
        queues, self._places = self._places, {}
        self.size = 0
        for places in queues.values():
            for place in places:
                for file in place.frame[1] if place.frame else ():
                    file.close()

    def _count_out(self, ready: list[tuple[Payload, Files]]) -> None:
        for frame, _files in ready:
            self.size -= wire.frame_length(frame) + _OF_AN_OBJECT

    def _ready(self, message: MessageType) -> list[tuple[Payload, Files]]:
        places = self._places[message.key]
        ready = []
        while places and (first := places[0].frame) is not None:
            places.popleft()
            ready.append(first)
        return ready
