"""Owns the three times of the interface language: Duration, UnixDateTime and Core::DateTime.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

import attrs

from ipclib.values.codecs import Codec, i64
from ipclib.values.decoding import Unrepresentable
from ipclib.values.structures import Converted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_LONGEST = (1 << 63) - 1
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _SECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _SECOND


def _nanoseconds(seconds: float) -> int:
    nanoseconds = seconds * 1_000_000_000
    if not math.isfinite(nanoseconds):
        raise ValueError(f"{seconds} seconds are no length of time; an Optional of None may stand for never")
    return round(nanoseconds)


def _check_range(_owner: object, _field: object, nanoseconds: int) -> None:
    if not isinstance(nanoseconds, int) or isinstance(nanoseconds, bool):
        raise TypeError(f"a whole number of nanoseconds is needed, not {nanoseconds!r}")
    if not -_LONGEST - 1 <= nanoseconds <= _LONGEST:
        raise ValueError(f"{nanoseconds} ns do not fit 64 bits, which reach 292 years either way")


@attrs.frozen(order=True)
class Duration:
    """A length of time, in whole nanoseconds.

    Raises:
        ValueError: 64 bits cannot hold it; they reach 292 years either way.
    """

    nanoseconds: int = attrs.field(validator=_check_range)

    @classmethod
    def from_timedelta(cls, value: timedelta) -> Duration:
        """The exact length of a timedelta."""
        return cls(value // _MICROSECOND * 1000)

    @classmethod
    def from_seconds(cls, seconds: float) -> Duration:
        """A number of seconds, rounded to the nearest nanosecond."""
        return cls(_nanoseconds(seconds))

    @classmethod
    def from_milliseconds(cls, milliseconds: int) -> Duration:
        """The exact length of a whole number of milliseconds."""
        return cls(milliseconds * 1_000_000)

    @property
    def timedelta(self) -> timedelta:
        """The length as a timedelta, rounded down to its resolution of a microsecond."""
        return timedelta(microseconds=self.nanoseconds // 1000)


@attrs.frozen(order=True)
class UnixDateTime:
    """A moment, in whole nanoseconds since the beginning of 1970 in UTC.

    Raises:
        ValueError: 64 bits cannot hold it; they reach from 1677 to 2262.
    """

    nanoseconds: int = attrs.field(validator=_check_range)

    @classmethod
    def from_datetime(cls, value: datetime) -> UnixDateTime:
        """The exact moment of an aware datetime.

        Raises:
            ValueError: the datetime has no time zone.
        """
        return cls(_since_epoch(value) // _MICROSECOND * 1000)

    @classmethod
    def from_seconds(cls, seconds: float) -> UnixDateTime:
        """A number of seconds since the epoch, rounded to the nearest nanosecond."""
        return cls(_nanoseconds(seconds))

    @classmethod
    def now(cls) -> UnixDateTime:
        """The present moment, by the system's real-time clock."""
        return cls(time.time_ns())

    @property
    def datetime(self) -> datetime:
        """The moment as a datetime in UTC, rounded down to its resolution of a microsecond."""
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
    """Seconds since the epoch, rounded down: Core::DateTime has whole seconds."""
    if not isinstance(value, datetime):
        raise TypeError("an aware datetime is needed")
    seconds = _since_epoch(value) // _SECOND
    if not _FIRST <= seconds <= _LAST:
        raise ValueError("in UTC it is outside of the years 1 to 9999")
    return seconds


def _date_time_from_wire(seconds: int) -> datetime:
    if not _FIRST <= seconds <= _LAST:
        raise Unrepresentable(f"{seconds} s since the epoch are outside of the years 1 to 9999")
    return _EPOCH + timedelta(seconds=seconds)


duration: Codec[Duration] = Converted("Duration", i64, _duration_to_wire, Duration, Duration, timedelta)
unix_date_time: Codec[UnixDateTime] = Converted(
    "UnixDateTime", i64, _unix_date_time_to_wire, UnixDateTime, UnixDateTime, datetime
)
date_time: Codec[datetime] = Converted(
    "Core::DateTime", i64, _date_time_to_wire, _date_time_from_wire, datetime
)
