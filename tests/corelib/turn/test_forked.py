"""Owns the tests of what a forked child forgets: in order, and in spite of an error.
Must not know what it is that is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from corelib.turn import forked as registry

Forked = Callable[[Callable[[], object]], int]


def test_a_child_forgets_in_the_order_of_registration_and_in_spite_of_errors(
    forked: Forked, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("corelib").addHandler(handler := logging.NullHandler())
    # The registry cannot remove a callback, as modules never need that; this test does.
    monkeypatch.setattr(registry, "_callbacks", list(registry._callbacks))
    forgotten: list[str] = []
    registry.forget(lambda: forgotten.append("first"))
    registry.forget(lambda: 1 / 0)
    registry.forget(lambda: forgotten.append("second"))

    def child() -> None:
        assert forgotten == ["first", "second"]

    try:
        assert forked(child) == 0
    finally:
        logging.getLogger("corelib").removeHandler(handler)
    assert forgotten == []
