"""Owns what all tests run in: the examples of the quick tier, SIGINT, and the garbage collector.
Must not know what the tests test, or which are slow: they are marked where they stand."""

from __future__ import annotations

import gc
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# A shell starts background jobs with SIGINT ignored, which children inherit. Tests send them SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time of an example says nothing about the code: on a busy machine any may take longer than the 200 ms of
# Hypothesis, once, and its test fails as "unreliable".
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", _UNHURRIED)
settings.register_profile("quick", _UNHURRIED, max_examples=10)
settings.load_profile("full")


def pytest_collection_finish() -> None:
    """Exempt the modules and the tests themselves, which live until the end, from the garbage collector.

    Many tests call `gc.collect()`, which takes 50 ms or more if it looks at all of that."""
    gc.collect()
    gc.freeze()
