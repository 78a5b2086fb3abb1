"""Owns what an attack is, what is measured around each, and what must hold after it.
Must not know any attack: their modules add them to ATTACKS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from tests.abuse.stage import Stage, forget_peak, require, stage

WORST_MS = 250.0
MOST_GROWTH = 16 << 20


@attrs.define
class Outcome:
    """The ends of an attack's tries, counted."""

    tries: int = 0
    ends: Counter[str] = attrs.field(factory=Counter)
    notes: list[str] = attrs.field(factory=list)

    def add(self, *ends: str) -> None:
        """Count one more try by how it ended."""
        self.tries += 1
        self.ends.update([" ".join(ends) or "cut off"])

    def __str__(self) -> str:
        most = [f"{end} {count}" for end, count in self.ends.most_common(4)]
        others = len(self.ends) - len(most)
        return "; ".join([", ".join(most) + (f", {others} other ends" if others > 0 else ""), *self.notes])


@attrs.frozen
class Attack:
    """A way to abuse a service."""

    name: str
    run: Callable[[Stage], Outcome]
    worst_ms: float
    """Upper bound on the canary's slowest answer, in milliseconds."""
    options: dict[str, Any]
    """The service's options, as service.py takes them."""


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str, *, worst_ms: float = WORST_MS, **options: Any
) -> Callable[[Callable[[Stage], Outcome]], Callable[[Stage], Outcome]]:
    """Add a function to ATTACKS; it raises Failed if something that must hold does not."""

    def added(run: Callable[[Stage], Outcome]) -> Callable[[Stage], Outcome]:
        ATTACKS[name] = Attack(name, run, worst_ms, options)
        return run

    return added


@attrs.frozen
class Result:
    """A row of the table."""

    name: str
    tries: int
    outcome: str
    canary_calls: int
    canary_lost: int
    worst_ms: float
    allowed_ms: float
    fds_before: int
    fds_after: int
    growth: int
    """Growth of the service's resident memory, in bytes."""
    peak: int
    """The highest growth during the attack, in bytes."""
    seconds: float

    @property
    def is_within(self) -> bool:
        """Whether the canary's answers and the memory stayed within the bounds of the long form."""
        return not self.canary_lost and self.worst_ms <= self.allowed_ms and self.growth <= MOST_GROWTH


def carry_out(attack: Attack, quick: bool) -> Result:
    """Attack a service of its own.

    Raises:
        Failed: the service serves no longer, keeps descriptors, or its canary missed an answer.
    """
    began = time.monotonic()
    with stage(quick, **attack.options) as played:
        outcome = attack.run(played)
        after = played.settled()
        played.serves()
        played.canary.look()
        canary = played.canary
        require(not canary.lost, f"the canary lost {canary.lost} of {canary.calls} calls")
        return Result(
            attack.name,
            outcome.tries,
            str(outcome),
            canary.calls,
            canary.lost,
            canary.worst_ms,
            attack.worst_ms,
            played.before.fds,
            after.fds,
            after.resident - played.before.resident,
            after.peak - played.before.resident,
            time.monotonic() - began,
        )


def peak_of(played: Stage, run: Callable[[], object]) -> int:
    """Return by how many bytes the service's memory rises while `run` runs."""
    forget_peak(played.pid)
    before = played.measure().resident
    run()
    return played.measure().peak - before


def worst(figures: Iterable[tuple[float, str]], unit: str) -> str:
    """Return a text with the greatest figure and its name."""
    figure, whose = max(figures)
    return f"at most {figure:.0f} {unit} ({whose})"
