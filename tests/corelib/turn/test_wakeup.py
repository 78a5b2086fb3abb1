"""Owns the tests of the pipe that ends a sleep.
Must not know loops.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading

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


def test_somebody_else_s_wakeup_fd_is_lent_and_gets_the_signals_that_came_meanwhile() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    before = signal.set_wakeup_fd(ours.fileno())
    previous = signal.signal(signal.SIGUSR1, lambda signo, frame: None)
    wakeup = WakeUp()
    try:
        wakeup.watch_signals()
        signal.raise_signal(signal.SIGUSR1)
        wakeup.wake()
        assert is_readable(wakeup.fd)
        wakeup.return_signals()
        assert not is_readable(wakeup.fd)
        assert theirs.recv(100) == bytes([signal.SIGUSR1])
        signal.raise_signal(signal.SIGUSR1)
        assert theirs.recv(100) == bytes([signal.SIGUSR1])
        wakeup.stop_watching_signals()
        assert signal.set_wakeup_fd(-1) == ours.fileno()
    finally:
        signal.signal(signal.SIGUSR1, previous)
        signal.set_wakeup_fd(before)
        wakeup.close()
        ours.close()
        theirs.close()


def test_a_wake_that_another_thread_s_close_overtakes_writes_to_no_other_file() -> None:
    wakeup = WakeUp()
    # The write end is private: this closes the pipe at the worst moment, just before the system call.
    writer = wakeup._writer
    written: list[bool] = []

    class Overtaken:
        def write(self, data: bytes) -> None:
            wakeup.close()
            written.append(writer.closed)
            writer.write(data)

        def close(self) -> None:
            writer.close()

    wakeup._writer = Overtaken()  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(EventLoopClosed):
            wakeup.wake()
        assert writer.closed
    assert written == [False], "it was open, so its number was nobody else's"


@pytest.mark.slow
def test_threads_that_wake_a_pipe_while_it_is_closed_get_no_other_error() -> None:
    errors: list[BaseException] = []

    def wake_until_closed(wakeup: WakeUp) -> None:
        try:
            while True:
                wakeup.wake()
        except BaseException as error:
            errors.append(error)

    for _ in range(50):
        wakeup = WakeUp()
        threads = [threading.Thread(target=wake_until_closed, args=(wakeup,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wakeup.close()
        for thread in threads:
            thread.join(30)
    assert {type(error) for error in errors} == {EventLoopClosed}
