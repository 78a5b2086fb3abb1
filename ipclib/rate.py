"""Owns how often a peer may send: a bucket of tokens that refills with time.
Must not know clocks: the time is passed in.
"""

from __future__ import annotations

import math

import attrs


def _positive(rate: Rate, attribute: attrs.Attribute[float], value: float) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"Rate.{attribute.name} is a number, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"Rate.{attribute.name} must be over 0 and finite, not {value!r}")


def _at_least_one(rate: Rate, attribute: attrs.Attribute[float], value: float) -> None:
    _positive(rate, attribute, value)
    if value < 1:
        raise ValueError(
            f"Rate.{attribute.name} must be over 0, and at least 1: else no message could come, not {value!r}"
        )


@attrs.frozen
class Rate:
    """A limit on the messages that a peer sends per second.

    A request over the limit is answered with a RemoteError of kind REFUSED, a one-way message is dropped and
    counted. With `disconnect` the peer is disconnected instead.

    Raises:
        ValueError: `per_second` is not over 0, `burst` is less than 1, or one of them is infinite.
        TypeError: one of them is not a number.
    """

    per_second: float = attrs.field(validator=_positive)
    burst: float = attrs.field(validator=_at_least_one)
    """How many messages may come at once after a pause."""
    message: str | None = None
    """The name of the message in its endpoint; None if the limit is on all messages together."""
    disconnect: bool = False


class TokenBucket:
    """The messages that one peer may still send under a rate."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: Rate, now_ns: int) -> None:
        self.rate = rate
        self._tokens = rate.burst
        self._at = now_ns

    def take(self, now_ns: int) -> bool:
        """Take a token for a message that came at `now_ns`, in nanoseconds; False if there is none left."""
        gained = (now_ns - self._at) / 1e9 * self.rate.per_second
        self._tokens = min(self.rate.burst, self._tokens + gained)
        self._at = now_ns
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
