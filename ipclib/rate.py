"""How often a peer may send: a bucket of tokens that fills with time. Pure: time is passed in."""

from __future__ import annotations

import attrs


def _positive(rate: Rate, attribute: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise ValueError(f"Rate.{attribute.name} must be over 0, not {value!r}")


@attrs.frozen
class Rate:
    """A bound on messages a second: on all of a peer's, or on those named `message` in the interface.

    What comes too fast is refused: a request is answered with a RemoteError of kind REFUSED, a
    one-way message is dropped and counted. With `disconnect` the peer is cut off instead.
    """

    per_second: float = attrs.field(validator=_positive)
    burst: float = attrs.field(validator=_positive)
    """How many may come at once after a pause."""
    message: str | None = None
    disconnect: bool = False


class TokenBucket:
    """What one peer has left of a rate."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: Rate, now_ns: int) -> None:
        self.rate = rate
        self._tokens = rate.burst
        self._at = now_ns

    def take(self, now_ns: int) -> bool:
        """Take a token; False when there is none."""
        gained = (now_ns - self._at) / 1e9 * self.rate.per_second
        self._tokens = min(self.rate.burst, self._tokens + gained)
        self._at = now_ns
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
