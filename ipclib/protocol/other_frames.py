"""Owns what becomes of frames that are no message of the connection: control frames and unknown messages.
Must not know descriptors, or how frames are cut out of the stream.
"""

from __future__ import annotations

from ipclib.errors import ErrorKind, ProtocolViolation
from ipclib.protocol import wire
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.events import DescriptionAsked
from ipclib.values.decoding import Buffer


def receive_other(conversation: Conversation, key: int, data: Buffer, start: int, end: int) -> bool:
    """Receive the frame at these offsets; True if it is a message, which may have brought descriptors.

    Raises:
        ProtocolViolation: such a frame may not come.
    """
    magic, id = wire.magic_and_id(key)
    serves = conversation.serves.MAGIC
    is_ours = magic in (conversation.calls.MAGIC, serves)
    if id == wire.DESCRIBE_ID and (is_ours or magic == wire.EVERY_ENDPOINT):
        conversation.inbox.append(DescriptionAsked(magic, wire.parse_describe(data, start, end)))
    elif not is_ours:
        raise _foreign(conversation, magic, id, data, start, end)
    elif id == wire.FAILURE_ID:
        conversation.fail_call(*wire.parse_failure(data, start, end))
    elif id == wire.CANCEL_ID:
        conversation.cancel_request(wire.parse_cancel(data, start, end))
    elif id == wire.DESCRIPTION_ID:
        conversation.take_description(*wire.parse_description(data, start, end))
    elif id >= wire.FIRST_MESSAGE_ID and magic == serves:
        if not conversation.peer_trailers.end_unknown(data, start, end):
            raise ProtocolViolation(f"message {id} is unknown, and the peer could not be told")
        text = f"message {id} is not known here"
        conversation.refuse(magic, wire.serial_of(data, end), ErrorKind.UNKNOWN_MESSAGE, text)
        return True
    else:
        raise ProtocolViolation(f"no message or control frame of magic {magic} has the id {id} here")
    return False


def _foreign(
    conversation: Conversation, magic: int, id: int, data: Buffer, start: int, end: int
) -> ProtocolViolation:
    """Make the error for a frame of an endpoint that is not spoken here, and answer a request with it."""
    endpoints = (conversation.serves, conversation.calls)
    spoken = " and ".join(endpoint.__name__ for endpoint in endpoints if endpoint.MAGIC)
    text = f"magic {magic} is of no endpoint of this connection, which speaks {spoken or 'none'}"
    has_trailer = conversation.peer_trailers.written is not False and wire.has_trailer(data, start, end)
    if id >= wire.FIRST_MESSAGE_ID and has_trailer:
        serial = wire.serial_of(data, end)
        if serial != wire.NO_SERIAL:
            conversation.refuse(magic, serial, ErrorKind.UNKNOWN_MESSAGE, text)
    return ProtocolViolation(text)
