"""Owns the tests of the pipe that ends a sleep.
Must not know loops.
"""

from __future__ import annotations

import os
import select
import signal

import pytest

from corelib.errors import EventLoopClosed
from corelib.turn.wakeup import WakeUp


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_the_pipe_is_readable_until_drained() -> None:
    wakeup = WakeUp()
    assert not is_readable(wakeup.fd)
    wakeup.wake()
    wakeup.wake()
    assert is_readable(wakeup.fd)
    wakeup.drain()
    assert not is_readable(wakeup.fd)
    wakeup.close()


def test_waking_never_blocks_and_a_full_pipe_wakes_too() -> None:
    wakeup = WakeUp()
    for _ in range(100_000):
        wakeup.wake()
    assert is_readable(wakeup.fd)
    wakeup.close()


def test_the_fds_of_the_pipe_are_not_inherited_by_programs() -> None:
    wakeup = WakeUp()
    assert not os.get_inheritable(wakeup.fd)
    wakeup.close()


def test_waking_a_closed_pipe_raises() -> None:
    wakeup = WakeUp()
    wakeup.close()
    wakeup.close()
    with pytest.raises(EventLoopClosed):
        wakeup.wake()


def test_signals_wake_until_they_are_not_watched() -> None:
    before = signal.set_wakeup_fd(-1)
    wakeup = WakeUp()
    wakeup.watch_signals()
    previous = signal.signal(signal.SIGUSR1, lambda signo, frame: None)
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert is_readable(wakeup.fd)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    wakeup.stop_watching_signals()
    wakeup.close()
    assert signal.set_wakeup_fd(before) == -1
