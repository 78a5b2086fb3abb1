"""Owns the results of a contest as plain data: samples, their medians and quartiles, curves.
Must not know processes."""

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
    """The number of rounds, and the length of their batches."""

    rounds: int
    batch: float
    """Approximate seconds of each batch."""
    warm_up: float
    """Approximate seconds of the same work before each batch, uncounted. Two processes that wake after idling
    may share a CPU until the scheduler spreads them, tens of milliseconds later; there a switch is cheap."""

    @property
    def warm_up_share(self) -> float:
        """The warm-up as a share of a batch."""
        return self.warm_up / self.batch


@attrs.frozen
class Work:
    """A work that is timed."""

    title: str
    method: str
    size: int | None = None
    unit: str = "us"
    """The unit of the tables: "us" for each call, "thousand/s" of messages, or "MB/s" of payload."""

    @property
    def arguments(self) -> tuple[int, ...]:
        """The arguments after the count."""
        return () if self.size is None else (self.size,)

    @property
    def is_rate(self) -> bool:
        """Whether a higher figure is better."""
        return self.unit != "us"

    def in_unit(self, seconds: float) -> float:
        """Convert the seconds of one call to the work's unit."""
        if self.unit == "us":
            return seconds * 1e6
        return 1e-3 / seconds if self.unit == "thousand/s" else (self.size or 0) / seconds / 1e6


@attrs.define
class Samples:
    """A contestant's seconds for one call of a work in each round."""

    work: Work
    contestant: str
    reference: str
    """The contestant with which it is compared."""
    wall: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)
    """Processor time of both processes, and of those between them."""
    on_one_processor: int = 0
    """The number of rounds after which both processes had last run on the same processor."""


@attrs.frozen
class Figure:
    """A contestant's figure at a work, over all rounds."""

    work: Work
    contestant: str
    seconds: Spread
    """Seconds of one call."""
    cpu_seconds: float
    """Median processor seconds of one call."""
    on_one_processor: float
    """The share of the rounds after which both processes had last run on the same processor."""
    reference: str
    ratio: float | None
    """Median ratio of its time to the reference's in the same round; None if the reference took no part."""


@attrs.frozen
class Comparison:
    """The median over the rounds of the ratio of two times."""

    what: str
    ratio: float
    seconds: float
    """The median of the first time."""


@attrs.frozen
class Point:
    """The measurements at one place of a curve."""

    at: int
    value: Spread
    values: list[float]
    """The value of each round."""


@attrs.frozen
class Curve:
    """A contestant's figures as the work grows."""

    contestant: str
    points: list[Point] = attrs.field(factory=list)

    def ratios_to(self, other: Curve) -> dict[int, float]:
        """Return the median ratio to the other's value in the same round, by place."""
        others = {point.at: point.values for point in other.points}
        return {
            point.at: statistics.median(
                mine / theirs for mine, theirs in zip(point.values, others[point.at], strict=False)
            )
            for point in self.points
            if point.at in others
        }


@attrs.define
class Report:
    """All results of a run; the curves are empty unless they were measured."""

    environment: dict[str, str]
    pace: Pace
    figures: list[Figure]
    samples: list[Samples]
    comparisons: list[Comparison]
    skipped: dict[str, str]
    """The reason of each contestant that could not take part."""
    failures: list[str]
    payload_curves: list[Curve] = attrs.field(factory=list)
    """Seconds of an echo by number of bytes."""
    clients_curves: list[Curve] = attrs.field(factory=list)
    """Calls a second by number of connections."""

    def as_json(self) -> dict[str, Any]:
        """Return values for json.dump()."""
        return attrs.asdict(self)


def figures_of(samples: Sequence[Samples]) -> list[Figure]:
    """Return a figure for each contestant at each work."""
    by_key = {(one.work, one.contestant): one for one in samples}
    return [
        Figure(
            one.work,
            one.contestant,
            Spread.of(one.wall),
            statistics.median(one.cpu),
            one.on_one_processor / len(one.wall),
            one.reference,
            _ratio(one, by_key.get((one.work, one.reference))),
        )
        for one in samples
        if one.wall
    ]


def compare(what: str, one: Samples | None, other: Samples | None) -> list[Comparison]:
    """Compare two that were measured in the same rounds; return nothing if one of them was not."""
    ratio = None if one is None else _ratio(one, other)
    return [] if one is None or ratio is None else [Comparison(what, ratio, statistics.median(one.wall))]


def _ratio(one: Samples, other: Samples | None) -> float | None:
    """Return the median ratio; a contestant that failed has only the first rounds."""
    if other is None or not one.wall or not other.wall:
        return None
    return statistics.median(mine / theirs for mine, theirs in zip(one.wall, other.wall, strict=False))
