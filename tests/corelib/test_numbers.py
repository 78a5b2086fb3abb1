"""Owns the tests of infinite, negative, huge, senseless numbers where corelib takes seconds, bytes or counts.
Must not know what the numbers are for.
"""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corelib import (
    AnonymousBuffer,
    BufferRefused,
    EventLoop,
    LocalSocket,
    TCPServer,
    TCPSocket,
    TimedOut,
    UsageError,
    WaitMode,
)

GUARD = 30  # seconds, against a hang
HUGE = [math.inf, 1e300, 10**400, 2**53 + 1, 1e12]
NEVER = [*HUGE, None]
PAST = [0, -0.0, -1, -1e300, -math.inf]


@pytest.fixture
def pair(loop: EventLoop) -> Iterator[tuple[LocalSocket, LocalSocket]]:
    one, other = LocalSocket.pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def deaf() -> Iterator[tuple[str, int]]:
    """An address that does not answer: its queue of clients is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        yield listening.getsockname()
        for client in waiting:
            client.close()


@pytest.mark.parametrize("timeout", NEVER)
def test_a_blocking_wait_without_end_ends_when_the_socket_is_ready(
    pair: tuple[LocalSocket, LocalSocket], timeout: float | None
) -> None:
    one, other = pair
    threading.Timer(0.01, other.send, [b"x"]).start()
    assert one.wait_readable(timeout)
    assert one.wait_writable(timeout)
    one.wait(read=True, write=True, timeout=timeout)


@pytest.mark.parametrize("timeout", PAST)
def test_a_blocking_wait_whose_time_is_past_only_looks(
    pair: tuple[LocalSocket, LocalSocket], timeout: float
) -> None:
    one, other = pair
    assert not one.wait_readable(timeout)
    other.send(b"x")
    assert one.wait_readable(timeout)


@pytest.mark.parametrize("timeout", NEVER)
def test_an_attempt_to_connect_without_end_goes_on(
    loop: EventLoop, deaf: tuple[str, int], timeout: float | None
) -> None:
    attempt = TCPSocket.connect(*deaf, timeout=timeout)
    for _ in range(3):
        loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert not attempt.is_settled
    assert attempt.cancel()


@pytest.mark.parametrize("timeout", PAST)
def test_an_attempt_to_connect_whose_time_is_past_times_out(
    loop: EventLoop, deaf: tuple[str, int], timeout: float
) -> None:
    with pytest.raises(TimedOut):
        TCPSocket.connect(*deaf, timeout=timeout).await_(GUARD)


@pytest.mark.parametrize("wait", [LocalSocket.wait_readable, LocalSocket.wait_writable])
def test_a_timeout_that_is_no_number_is_refused(
    pair: tuple[LocalSocket, LocalSocket], wait: Callable[[LocalSocket, Any], bool]
) -> None:
    with pytest.raises(ValueError, match="NaN"):
        wait(pair[0], math.nan)
    with pytest.raises(TypeError, match="number of seconds"):
        wait(pair[0], "5")
    with pytest.raises(ValueError, match="NaN"):
        TCPSocket.connect("127.0.0.1", 1, timeout=math.nan)
    with pytest.raises(TypeError, match="number of seconds"):
        TCPSocket.connect("127.0.0.1", 1, timeout="5")  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [-1, 65536, 10**40, 80.0, math.inf, math.nan, "80", None])
def test_a_port_that_is_none_is_refused(loop: EventLoop, port: Any) -> None:
    with pytest.raises(ValueError, match="TCP port"):
        TCPSocket.connect("127.0.0.1", port)
    with pytest.raises(ValueError, match="TCP port"):
        TCPServer().listen("127.0.0.1", port)


@pytest.mark.parametrize("number", [0, -1, 32768, 10**40, 1.5, math.inf, math.nan, "5"])
@pytest.mark.parametrize("name", ["idle", "interval", "count"])
def test_a_number_that_the_kernel_does_not_take_for_keepalive_is_refused(
    loop: EventLoop, name: str, number: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = TCPSocket.adopt(socket.create_connection(listening.getsockname()))
        with pytest.raises(ValueError, match=f"{name} is a whole number from 1 to"):
            client.set_keepalive(True, **{name: number})
        assert not client.system.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), "nothing was changed"
        client.set_keepalive(True, idle=32767, interval=32767, count=127)
        client.close()


@pytest.mark.parametrize("size", [-1, 1 << 32, 10**40])
def test_a_buffer_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="a buffer has 0 to 4294967295 bytes"):
        AnonymousBuffer.create(size)
    fd = os.memfd_create("memory")
    with pytest.raises(BufferRefused):
        AnonymousBuffer.create_from_fd(fd, size)
    os.close(fd)


@pytest.mark.parametrize("size", [1.0, math.inf, math.nan, "5", None])
def test_a_buffer_whose_size_is_no_whole_number_is_refused(size: Any) -> None:
    fd = os.memfd_create("memory")
    with pytest.raises(TypeError, match="integer"):
        AnonymousBuffer.create(size)
    with pytest.raises(TypeError, match="integer"):
        AnonymousBuffer.create_from_fd(fd, size)
    os.close(fd)


@pytest.mark.parametrize("limit", [-1, math.inf, math.nan, "5", None, 10**40])
def test_a_limit_of_bytes_that_is_none_is_refused(pair: tuple[LocalSocket, LocalSocket], limit: Any) -> None:
    one, other = pair
    other.send(b"x")
    for receive in (one.receive, lambda limit: one.receive_with_fds(limit, 1)):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            receive(limit)
    assert one.receive() == b"x"


@pytest.mark.parametrize("threshold", [-1, -math.inf, math.nan])
def test_a_threshold_that_is_none_is_refused(loop: EventLoop, threshold: float) -> None:
    loop.set_debug(math.inf)
    with pytest.raises(ValueError, match="slow_callback"):
        loop.set_debug(threshold)
    loop.set_debug(None)
