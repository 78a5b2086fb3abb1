"""Owns what all tests run in: the examples of the quick tier, SIGINT, and the garbage collector.
Must not know what the tests test, or which are slow: they are marked where they stand."""

from __future__ import annotations

import gc
import signal

from hypothesis import settings

# A shell starts background jobs with SIGINT ignored, which children inherit. Tests send them SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("quick", max_examples=10, deadline=None)


def pytest_collection_finish() -> None:
    """Exempt the modules and the tests themselves, which live until the end, from the garbage collector.

    Many tests call `gc.collect()`, which takes 50 ms or more if it looks at all of that."""
    gc.collect()
    gc.freeze()
