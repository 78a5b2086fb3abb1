"""Owns the limits on what our messages cost their receiver: what a peer would refuse is not sent.
Must not know how the cost is counted (values/), or how frames are made.
"""

from __future__ import annotations

from ipclib.errors import EncodeError, MessageTooLarge
from ipclib.limits import Limits
from ipclib.protocol.message import MessageType
from ipclib.values.decoding import MAX_WORK, MOST_PER_BYTE, Outgoing


def unchecked_size(limits: Limits) -> int:
    """Bytes of a frame that is within all limits, whatever its values are, if it has no Files."""
    return min(limits.max_message_size, limits.max_elements // (2 * MOST_PER_BYTE), limits.max_numbers)


def check_cost(message: MessageType, outgoing: Outgoing, limits: Limits, is_bare: bool) -> None:
    """Check what the values of an encoded message cost its receiver, by our own limits.

    Raises:
        MessageTooLarge: they are over a limit.
        EncodeError: the receiver writes no trailers, and its LibIPC cannot take them.
    """
    if is_bare and outgoing.has_empty_memory:
        reason = (
            "a peer without trailers cannot map shared memory of 0 bytes; AnonymousBuffer() stands for none"
        )
        raise EncodeError(message.name, "shared memory", "0 bytes", reason)
    if (
        outgoing.elements <= limits.max_elements
        and outgoing.numbers <= limits.max_numbers
        and outgoing.copied <= limits.max_copied_memory
        and outgoing.work <= MAX_WORK
    ):
        return
    for what, cost, name, limit in (
        ("elements", outgoing.elements, "max_elements", limits.max_elements),
        ("numbers", outgoing.numbers, "max_numbers", limits.max_numbers),
        ("bytes of unsealed memory", outgoing.copied, "max_copied_memory", limits.max_copied_memory),
    ):
        if cost > limit:
            raise MessageTooLarge(f"{message.name}: {cost} {what}; {name} is {limit}")
    raise MessageTooLarge(f"{message.name}: JSON that is too long, or has too many escapes or long integers")
