"""Owns what a link does with each event of its inbox that is not a message.
Must not know how events come about, or how an answer is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ipclib.connection.sender import Sender
from ipclib.connection.serving import Serving
from ipclib.protocol.events import (
    CallFailed,
    CancelsDue,
    DescriptionArrived,
    DescriptionAsked,
    PeerViolated,
    RareEvent,
    RequestCancelled,
    RequestRefused,
    StreamEnded,
)


class RareLink(Protocol):
    """A link, as its rare events see it."""

    sender: Sender

    def close(self, reason: str) -> None:
        """Close the link."""


def handle_rare(
    event: RareEvent, link: RareLink, serving: Serving, did_misbehave: Callable[[str], None]
) -> None:
    """Do what an event that is not a message asks for."""
    match event:
        case CallFailed(call, error):
            call.fail(error)
        case DescriptionArrived(call, text):
            call.succeed(text)
        case RequestRefused():
            serving.refuse_unknown(event)
        case RequestCancelled(serial):
            serving.cancel(serial)
        case DescriptionAsked():
            serving.describe(event)
        case CancelsDue(frames):
            for frame in frames:
                link.sender.send(frame, [])
        case PeerViolated(violation):
            link.sender.flush()  # The answers to what came before.
            did_misbehave(str(violation))
        case StreamEnded():
            link.close("the peer disconnected")
