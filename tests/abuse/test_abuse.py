"""Owns the short form of each attack: it ends as it must, the descriptors come back, and no call of the
canary is lost.
Must not know times and memory: `python -m tests.abuse` measures them in the long form."""

from __future__ import annotations

import pytest

from tests.abuse.attack import carry_out
from tests.abuse.attacks import ATTACKS
from tests.abuse.soak import soak

_QUICK = {"descriptors, too many, too few, stray", "frames that mean nothing", "size lies"}
"""One attack of each kind: on frames, on memory and on descriptors."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)
def test_a_service_survives_an_attack(name: str) -> None:
    carry_out(ATTACKS[name], quick=True)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_service_survives_all_attacks_at_once() -> None:
    assert soak(4.0, seed=6)
