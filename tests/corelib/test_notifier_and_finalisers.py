"""Owns the tests that a finaliser may make notifiers while another notifier of the same fd is changed.
Must not know the poller's tables.
"""

from __future__ import annotations

import gc
import socket

import pytest

from corelib import EventLoop, Notifier, WaitMode
from tests.ipclib.collector import Finaliser, collecting


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


@pytest.mark.parametrize("threshold", range(1, 31))
def test_two_notifiers_are_both_activated_when_one_is_made_within_the_other(
    loop: EventLoop, pair: tuple[socket.socket, socket.socket], threshold: int
) -> None:
    activated: set[str] = set()
    inner: list[Notifier] = []

    def make_inner() -> None:
        inner.append(Notifier(pair[0], Notifier.Type.WRITE, lambda: activated.add("inner")))

    with collecting(threshold):
        Finaliser(make_inner)
        outer = Notifier(pair[0], Notifier.Type.WRITE, lambda: activated.add("outer"))
    gc.collect()
    loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert activated == {"inner", "outer"}
    outer.close()
    activated.clear()
    loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert activated == {"inner"}
    inner[0].close()


@pytest.mark.parametrize("threshold", range(1, 31))
def test_a_notifier_that_is_made_while_another_is_closed_stays_watched(
    loop: EventLoop, pair: tuple[socket.socket, socket.socket], threshold: int
) -> None:
    activated: list[str] = []
    inner: list[Notifier] = []
    outer = Notifier(pair[0], Notifier.Type.WRITE, lambda: activated.append("outer"))

    def make_inner() -> None:
        inner.append(Notifier(pair[0], Notifier.Type.WRITE, lambda: activated.append("inner")))

    with collecting(threshold):
        Finaliser(make_inner)
        outer.close()
    gc.collect()
    loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert activated == ["inner"]
    inner[0].close()
