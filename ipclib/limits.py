"""How much a peer may cost.

Owns the figures only; each is enforced where the thing that it bounds is held.
"""

from __future__ import annotations

import resource

import attrs

from ipclib.rate import Rate
from ipclib.values.codecs import MAX_NUMBERS

_MIB = 1024 * 1024


def _default_max_connections() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(1, min(1024, soft - 64))


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of one connection, and of one server's number of them. Sizes are in bytes."""

    max_message_size: int = 64 * _MIB
    """Of a frame, without its size field; both ways."""
    max_fds_per_message: int = 64
    max_elements: int = 262_144
    """Of all containers of one message; those of fixed-width numbers do not count."""
    max_numbers: int = MAX_NUMBERS
    """Fixed-width numbers in all containers of one message. Each takes up to 36 bytes in Python."""
    max_connections: int = attrs.field(factory=_default_max_connections)
    max_send_queue: int = 16 * _MIB
    """What may wait for a peer that does not read; one message always fits an empty queue."""
    frame_timeout: float = attrs.field(default=30.0)
    """Seconds: from a frame's first byte to its last, and for a service how long a client may read nothing
    of what waits for it."""
    max_nesting: int = 64
    """Blocking calls on one thread's stack."""
    rate: Rate | tuple[Rate, ...] | None = None
    """How often the peer may send; without one, as often as it likes."""

    @frame_timeout.validator
    def _check_frame_timeout(self, _attribute: attrs.Attribute[float], value: float) -> None:
        if not value > 0:
            raise ValueError(f"Limits.frame_timeout must be over 0 seconds, not {value!r}")
