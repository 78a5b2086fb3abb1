"""Owns the figures that limit what a peer may cost.
Must not know where they are enforced: each is, where the thing that it limits is kept.
"""

from __future__ import annotations

import resource

import attrs

from ipclib.rate import Rate
from ipclib.values.decoding import MAX_COPIED, MAX_NUMBERS

_MIB = 1024 * 1024

# The least and the most of each whole number; of others they are 1 and the largest that 63 bits hold.
_LEAST = {
    "max_message_size": 24,
    "max_fds_per_message": 0,
    "max_elements": 0,
    "max_numbers": 0,
    "max_copied_memory": 0,
}
"""A message without values takes 24 bytes."""
_MOST = {"max_message_size": 0xFFFF_FFFF, "max_fds_per_message": 253}
"""Sizes are 32 bits on the wire, and Linux passes at most 253 descriptors at once."""
_LARGEST = (1 << 63) - 1


def _default_max_connections() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(1, min(1024, soft - 64))


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of one connection, and of the number of connections that a server has.

    Raises:
        TypeError: a field is of another type; only frame_timeout may be math.inf.
        ValueError: a field is less or more than makes sense.
    """

    max_message_size: int = 64 * _MIB
    """Bytes of a frame without its size field, sent or received."""
    max_fds_per_message: int = 64
    """Descriptors in one message, sent or received."""
    max_elements: int = 262_144
    """Elements in all containers of one message, except fixed-width numbers, which max_numbers limits."""
    max_numbers: int = MAX_NUMBERS
    """Fixed-width numbers in all containers of one message. Each takes up to 36 bytes in memory."""
    max_copied_memory: int = MAX_COPIED
    """Bytes of shared memory in one message that has to be copied, because it cannot be sealed: LibIPC's."""
    maps_unsealed_memory: bool = False
    """Whether such memory is mapped instead, so that it stays shared. Only for peers that this program
    trusts: one that shrinks it kills this process (SIGBUS)."""
    max_connections: int = attrs.field(factory=_default_max_connections)
    """Clients of one server. By default 1,024, but 64 fewer than the process may have descriptors."""
    max_send_queue: int = 16 * _MIB
    """Bytes that may wait for a peer that does not read."""
    frame_timeout: float = 30.0
    """Seconds within which the rest of a frame must follow its first byte; math.inf for no limit. A service
    also drops a client that reads nothing for as long while something waits for it."""
    max_nesting: int = 64
    """Blocking calls that may wait on one thread's stack at a time."""
    max_running_handlers: int = 4096
    """Coroutines and promises of one peer's handlers that have not finished. A request over it is answered
    with an error of kind REFUSED, a one-way message is dropped and counted."""
    rate: Rate | tuple[Rate, ...] | None = None
    """How often the peer may send messages; None if there is no limit."""

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(Limits):
            value = getattr(self, field.name)
            if field.name == "frame_timeout":
                _check_seconds(field.name, value)
            elif field.name == "rate":
                _check_rates(value)
            elif field.default is False:
                _check_flag(field.name, value)
            else:
                _check_number(field.name, value)


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"Limits.{name} is a whole number, not {value!r}")
    least, most = _LEAST.get(name, 1), _MOST.get(name, _LARGEST)
    if not least <= value <= most:
        raise ValueError(f"Limits.{name} is a number from {least} to {most}, not {value}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"Limits.{name} is True or False, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"Limits.{name} is a number of seconds, not {value!r}")
    if not value > 0:  # NaN is not.
        raise ValueError(f"Limits.{name} must be over 0 seconds, not {value!r}; math.inf is no limit")


def _check_rates(value: object) -> None:
    rates = value if isinstance(value, tuple) else (value,)
    if value is not None and not all(isinstance(rate, Rate) for rate in rates):
        raise TypeError(f"Limits.rate is a Rate or a tuple of them, not {value!r}")
