"""Owns the language's three times: Duration, UnixDateTime and Core::DateTime, exact to the nanosecond or to
the second that the wire has. Knows codecs only.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Codec, i64
from ipclib.values.structures import Converted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_LONGEST = (1 << 63) - 1


def _check_range(_owner: object, _field: object, nanoseconds: int) -> None:
    if not isinstance(nanoseconds, int):
        raise TypeError(f"a whole number of nanoseconds is needed, not {nanoseconds!r}")
    if not -_LONGEST - 1 <= nanoseconds <= _LONGEST:
        raise ValueError(f"{nanoseconds} ns do not fit 64 bits, which reach 292 years either way")


@attrs.frozen(order=True)
class Duration:
    """A length of time in exact nanoseconds. ValueError when 64 bits cannot hold it, 292 years."""

    nanoseconds: int = attrs.field(validator=_check_range)

    @classmethod
    def from_timedelta(cls, value: timedelta) -> Duration:
        return cls(value // _MICROSECOND * 1000)

    @classmethod
    def from_seconds(cls, seconds: float) -> Duration:
        """The nearest nanosecond to a number of seconds."""
        return cls(round(seconds * 1_000_000_000))

    @classmethod
    def from_milliseconds(cls, milliseconds: int) -> Duration:
        return cls(milliseconds * 1_000_000)

    @property
    def timedelta(self) -> timedelta:
        """Rounded down to the microsecond, which is as fine as a timedelta is."""
        return timedelta(microseconds=self.nanoseconds // 1000)


@attrs.frozen(order=True)
class UnixDateTime:
    """A moment in exact nanoseconds since 1970 UTC. ValueError when 64 bits cannot hold it, 1677 to 2262."""

    nanoseconds: int = attrs.field(validator=_check_range)

    @classmethod
    def from_datetime(cls, value: datetime) -> UnixDateTime:
        """ValueError when the datetime is naive."""
        return cls(_since_epoch(value) // _MICROSECOND * 1000)

    @classmethod
    def from_seconds(cls, seconds: float) -> UnixDateTime:
        """The nearest nanosecond to a number of seconds since the epoch."""
        return cls(round(seconds * 1_000_000_000))

    @classmethod
    def now(cls) -> UnixDateTime:
        return cls(time.time_ns())

    @property
    def datetime(self) -> datetime:
        """In UTC, rounded down to the microsecond, which is as fine as a datetime is."""
        return _EPOCH + timedelta(microseconds=self.nanoseconds // 1000)


def _since_epoch(value: datetime) -> timedelta:
    if value.utcoffset() is None:
        raise ValueError(
            "the datetime has no time zone: use datetime.now(UTC), or .astimezone() for local time"
        )
    return value - _EPOCH


def _duration_to_wire(value: Duration | timedelta) -> int:
    if isinstance(value, timedelta):
        value = Duration.from_timedelta(value)
    if not isinstance(value, Duration):
        raise TypeError("an ipclib.Duration or a timedelta is needed")
    return value.nanoseconds


def _unix_date_time_to_wire(value: UnixDateTime | datetime) -> int:
    if isinstance(value, datetime):
        value = UnixDateTime.from_datetime(value)
    if not isinstance(value, UnixDateTime):
        raise TypeError("an ipclib.UnixDateTime or an aware datetime is needed")
    return value.nanoseconds


def _date_time_to_wire(value: datetime) -> int:
    """Whole seconds, rounded down: Core::DateTime has no others."""
    if not isinstance(value, datetime):
        raise TypeError("an aware datetime is needed")
    return _since_epoch(value) // _SECOND


def _date_time_from_wire(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ProtocolViolation(f"{seconds} s since the epoch are outside of the years 1 to 9999") from None


duration: Codec[Duration] = Converted("Duration", i64, _duration_to_wire, Duration, Duration, timedelta)
unix_date_time: Codec[UnixDateTime] = Converted(
    "UnixDateTime", i64, _unix_date_time_to_wire, UnixDateTime, UnixDateTime, datetime
)
date_time: Codec[datetime] = Converted(
    "Core::DateTime", i64, _date_time_to_wire, _date_time_from_wire, datetime
)
