"""Every attack in its short form: it ends as it must, the descriptors come back, and no call of the canary is
lost. Times and memory are the long form's business: `python -m tests.abuse`.
"""

from __future__ import annotations

import pytest

from tests.abuse.attack import carry_out
from tests.abuse.attacks import ATTACKS
from tests.abuse.soak import soak


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_service_survives(name: str) -> None:
    carry_out(ATTACKS[name], quick=True)


@pytest.mark.timeout(240)
def test_a_service_survives_everything_at_once() -> None:
    assert soak(4.0, seed=6)
