"""Owns the figures that limit what a peer may cost.
Must not know where they are enforced: each is, where the thing that it limits is kept.
"""

from __future__ import annotations

import resource

import attrs

from ipclib.rate import Rate
from ipclib.values.decoding import MAX_NUMBERS

_MIB = 1024 * 1024


def _default_max_connections() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(1, min(1024, soft - 64))


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of one connection, and of the number of connections that a server has."""

    max_message_size: int = 64 * _MIB
    """Bytes of a frame without its size field, sent or received."""
    max_fds_per_message: int = 64
    """Descriptors in one message, sent or received."""
    max_elements: int = 262_144
    """Elements in all containers of one message, except fixed-width numbers, which max_numbers limits."""
    max_numbers: int = MAX_NUMBERS
    """Fixed-width numbers in all containers of one message. Each takes up to 36 bytes in memory."""
    max_connections: int = attrs.field(factory=_default_max_connections)
    """Clients of one server. By default 1,024, but 64 fewer than the process may have descriptors."""
    max_send_queue: int = 16 * _MIB
    """Bytes that may wait for a peer that does not read."""
    frame_timeout: float = attrs.field(default=30.0)
    """Seconds within which the rest of a frame must follow its first byte. A service also drops a client that
    reads nothing for as long while something waits for it."""
    max_nesting: int = 64
    """Blocking calls that may wait on one thread's stack at a time."""
    max_running_handlers: int = 4096
    """Coroutines and promises of one peer's handlers that have not finished. A request over it is answered
    with an error of kind REFUSED, a one-way message is dropped and counted."""
    rate: Rate | tuple[Rate, ...] | None = None
    """How often the peer may send messages; None if there is no limit."""

    @frame_timeout.validator
    def _check_frame_timeout(self, _attribute: attrs.Attribute[float], value: float) -> None:
        if not value > 0:
            raise ValueError(f"Limits.frame_timeout must be over 0 seconds, not {value!r}")
