"""Owns interleaved rounds: in each, every contestant does a short batch of each work, so that other load
affects all.
Must not know how figures are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.contest.contestants import Contestant
from benchmarks.contest.figures import Curve, Pace, Point, Samples, Spread, Work
from benchmarks.contest.pair import ContestantFailed, Cost, Pair

_ADDS_OF_ALL = "adds_of_all"


class Contest:
    """The pairs that take part; a pair that fails leaves the contest."""

    def __init__(self, pairs: list[Pair], pace: Pace) -> None:
        self._pairs = pairs
        self.pace = pace
        self._counts: dict[tuple[Pair, str, tuple[int, ...]], int] = {}
        self.failures: list[str] = []

    def rotated(self, by: int) -> Iterator[Pair]:
        """Yield the pairs; `by` selects the first, so that each begins in its turn."""
        first = by % max(1, len(self._pairs))
        yield from self._pairs[first:] + self._pairs[:first]

    def batch(self, pair: Pair, method: str, *arguments: int) -> Cost | None:
        """Return the cost of one call, or None if the contestant failed or lacks the work."""
        if method not in pair.works or pair not in self._pairs:
            return None
        key = (pair, method, arguments)
        with self._noting_failure(pair):
            if key not in self._counts:
                self._counts[key] = _calibrated(
                    lambda count: pair.run(method, count, *arguments), self.pace.batch
                )
            count = self._counts[key]
            uncounted = int(count * self.pace.warm_up_share)
            if uncounted and count > 1:
                pair.run(method, uncounted, *arguments)
            cost = pair.run(method, count, *arguments)
            return Cost(cost.wall / count, cost.cpu / count, cost.on_one_processor)
        return None

    def connect(self, pair: Pair, count: int) -> None:
        """Raise the number of a pair's connections to `count`."""
        with self._noting_failure(pair):
            pair.run("connect", count)

    def forget(self, method: str) -> None:
        """Forget how long a work takes, because that will change."""
        self._counts = {key: count for key, count in self._counts.items() if key[1] != method}

    @contextmanager
    def _noting_failure(self, pair: Pair) -> Iterator[None]:
        try:
            yield
        except ContestantFailed as failure:
            print(failure, file=sys.stderr)
            self.failures.append(str(failure))
            self._pairs.remove(pair)
            pair.close()


@contextmanager
def contest(contestants: Iterable[Contestant], pace: Pace) -> Iterator[Contest]:
    """Start the contestants, and end them after the block."""
    pairs: list[Pair] = []
    failures: list[str] = []
    try:
        for contestant in contestants:
            try:
                pairs.append(Pair(contestant))
            except ContestantFailed as failure:
                print(failure, file=sys.stderr)
                failures.append(str(failure))
        held = Contest(pairs, pace)
        held.failures += failures
        yield held
    finally:
        for pair in pairs:
            pair.close()


def measure(held: Contest, works: Sequence[Work], show_progress: Callable[[str], None]) -> list[Samples]:
    """Return the samples of each contestant at each work that it can do."""
    samples: dict[tuple[Work, str], Samples] = {}
    for turn in range(held.pace.rounds):
        show_progress(f"round {turn + 1} of {held.pace.rounds}")
        for work in works:
            for pair in held.rotated(turn):
                taken = held.batch(pair, work.method, *work.arguments)
                if taken is not None:
                    _add(samples, work, pair.contestant, taken)
    return [samples[key] for key in samples]


def payload_curves(held: Contest, sizes: Sequence[int], show_progress: Callable[[str], None]) -> list[Curve]:
    """Measure the seconds of an echo of each size in bytes."""

    def seconds(pair: Pair, size: int) -> float | None:
        taken = held.batch(pair, "echoes_bytes", size)
        return None if taken is None else taken.wall

    return _curves(held, sizes, seconds, lambda size: show_progress(f"echo of {size:,} bytes"))


def clients_curves(held: Contest, counts: Sequence[int], show_progress: Callable[[str], None]) -> list[Curve]:
    """Measure the calls a second with each number of connections, one call open on each."""

    def prepare(count: int) -> None:
        show_progress(f"{count:,} connections")
        for pair in held.rotated(0):
            if _takes_part(pair, count):
                held.connect(pair, count)
        held.forget(_ADDS_OF_ALL)

    def calls_a_second(pair: Pair, count: int) -> float | None:
        taken = held.batch(pair, _ADDS_OF_ALL) if _takes_part(pair, count) else None
        return None if taken is None else count / taken.wall

    return _curves(held, counts, calls_a_second, prepare)


def _takes_part(pair: Pair, connections: int) -> bool:
    return _ADDS_OF_ALL in pair.works and connections <= pair.contestant.most_connections


def _curves(
    held: Contest,
    places: Sequence[int],
    value: Callable[[Pair, int], float | None],
    prepare: Callable[[int], None],
) -> list[Curve]:
    curves: dict[str, Curve] = {}
    for place in places:
        prepare(place)
        values: dict[str, list[float]] = {}
        for turn in range(held.pace.rounds):
            for pair in held.rotated(turn):
                measured = value(pair, place)
                if measured is not None:
                    values.setdefault(pair.contestant.name, []).append(measured)
        for name, measurements in values.items():
            curves.setdefault(name, Curve(name)).points.append(
                Point(place, Spread.of(measurements), measurements)
            )
    return list(curves.values())


def _add(samples: dict[tuple[Work, str], Samples], work: Work, contestant: Contestant, taken: Cost) -> None:
    key = (work, contestant.name)
    if key not in samples:
        samples[key] = Samples(work, contestant.name, contestant.reference)
    samples[key].wall.append(taken.wall)
    samples[key].cpu.append(taken.cpu)
    samples[key].on_one_processor += taken.on_one_processor


def _calibrated(run: Callable[[int], Cost], seconds: float) -> int:
    """Return how many calls take about `seconds` seconds.

    The fastest of three runs counts: a run that was delayed would end the search at a tiny batch."""

    def fastest(count: int) -> float:
        return min(run(count).wall for _ in range(3))

    count = 1
    while (taken := fastest(count)) < seconds / 4:
        count = min(count * 10, int(count * seconds / max(taken, 1e-9)) + 1)
    return max(1, round(count * seconds / taken))
