"""What a contest came to, as plain data: samples, their medians and quartiles, curves. Knows no processes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import attrs


@attrs.frozen
class Spread:
    """Median and quartiles of samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high)


@attrs.frozen
class Pace:
    """How long a contest takes."""

    rounds: int
    batch: float
    """Seconds of each batch, about."""
    warm_up: float
    """Seconds of the same work, about, before each batch, uncounted. Two processes that wake after idling may
    share a CPU until the scheduler spreads them, tens of milliseconds later; a switch costs a third there."""

    @property
    def warm_up_share(self) -> float:
        """Of a batch."""
        return self.warm_up / self.batch


@attrs.frozen
class Work:
    """What is timed."""

    title: str
    method: str
    size: int | None = None
    unit: str = "us"
    """What one reads it in: "us" for each call, "thousand/s" of messages, or "MB/s" of payload."""

    @property
    def arguments(self) -> tuple[int, ...]:
        """Behind the count."""
        return () if self.size is None else (self.size,)

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit != "us"

    def in_unit(self, seconds: float) -> float:
        """Seconds for one, in its unit."""
        if self.unit == "us":
            return seconds * 1e6
        return 1e-3 / seconds if self.unit == "thousand/s" else (self.size or 0) / seconds / 1e6


@attrs.frozen
class Samples:
    """What each round took a contestant for one call of a work, in seconds."""

    work: Work
    contestant: str
    reference: str
    """The contestant that it is compared with."""
    wall: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)
    """Of both processes, and of those between them."""


@attrs.frozen
class Figure:
    """A contestant at a work, over all rounds."""

    work: Work
    contestant: str
    seconds: Spread
    """For one call."""
    cpu_seconds: float
    """For one call: the median."""
    reference: str
    ratio: float | None
    """Of its time to the reference's in the same round: the median. None where the reference took no part."""


@attrs.frozen
class Comparison:
    """The median, over the rounds, of one time divided by another of the same round."""

    what: str
    ratio: float


@attrs.frozen
class Point:
    """What was measured at one place of a curve."""

    at: int
    value: Spread


@attrs.frozen
class Curve:
    """How a contestant's figure changes as the work grows."""

    contestant: str
    points: list[Point] = attrs.field(factory=list)


@attrs.define
class Report:
    """All that a run found. The curves are empty unless they were asked for."""

    environment: dict[str, str]
    pace: Pace
    figures: list[Figure]
    samples: list[Samples]
    comparisons: list[Comparison]
    skipped: dict[str, str]
    """Contestants that could not take part, and why."""
    failures: list[str]
    payload_curves: list[Curve] = attrs.field(factory=list)
    """Seconds for an echo of so many bytes."""
    clients_curves: list[Curve] = attrs.field(factory=list)
    """Calls a second with so many connections."""

    def as_json(self) -> dict[str, Any]:
        """Ready for json.dump()."""
        return attrs.asdict(self)


def figures_of(samples: Sequence[Samples]) -> list[Figure]:
    """One for each contestant at each work."""
    by_key = {(one.work, one.contestant): one for one in samples}
    return [
        Figure(
            one.work,
            one.contestant,
            Spread.of(one.wall),
            statistics.median(one.cpu),
            one.reference,
            _ratio(one, by_key.get((one.work, one.reference))),
        )
        for one in samples
        if one.wall
    ]


def compare(what: str, one: Samples | None, other: Samples | None) -> list[Comparison]:
    """Of two that were measured in the same rounds; none where one of them was not."""
    ratio = None if one is None else _ratio(one, other)
    return [] if ratio is None else [Comparison(what, ratio)]


def _ratio(one: Samples, other: Samples | None) -> float | None:
    """Rounds are in the same order in both, and one that failed later has the first of them."""
    if other is None or not one.wall or not other.wall:
        return None
    return statistics.median(mine / theirs for mine, theirs in zip(one.wall, other.wall, strict=False))
