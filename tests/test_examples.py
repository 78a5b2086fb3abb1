"""Owns the test of how long examples of property tests may take. Must not know the properties."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@given(nothing=st.none())
def test_an_example_may_take_long_on_a_busy_machine(nothing: None) -> None:
    time.sleep(0.25)  # As if the process did not run for a while; Hypothesis fails after 200 ms by default.


def test_no_profile_counts_the_time_of_examples() -> None:
    for profile in (settings(), settings.get_profile("full"), settings.get_profile("quick")):
        assert profile.deadline is None
        assert HealthCheck.too_slow in profile.suppress_health_check
