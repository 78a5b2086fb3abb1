"""Owns the tests of bytes and fds through a Unix socket.
Must not know servers beyond a path to connect to.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from corelib import DescriptorsTruncated, EventLoop, LocalSocket, SocketPathError, UsageError

Pair = tuple[LocalSocket, LocalSocket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = LocalSocket.pair()
    yield one, other
    one.close()
    other.close()


def open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


def test_bytes_cross_a_unix_socket(pair: Pair) -> None:
    one, other = pair
    assert other.receive() is None
    assert one.send(b"hello") == 5
    assert other.receive(3) == b"hel"
    assert other.receive() == b"lo"
    one.shutdown_write()
    assert other.receive() == b""
    assert other.send(b"still") == 5
    assert one.receive() == b"still"


def test_parts_are_sent_in_one_piece(pair: Pair) -> None:
    one, other = pair
    assert one.send_parts([b"ab", bytearray(b"cd"), memoryview(b"ef")]) == 6
    assert other.receive() == b"abcdef"


def test_more_parts_than_the_kernel_takes_are_sent_in_several_calls(pair: Pair) -> None:
    assert pair[0].send_parts([b"x"] * 3000) == 1024


def test_a_full_socket_takes_no_bytes(pair: Pair) -> None:
    one, other = pair
    block = bytes(65536)
    taken = 0
    while sent := one.send(block):
        taken += sent
    assert one.send_parts([block]) == 0
    assert one.send_parts([block], [0]) == 0
    assert not one.wait_writable(0)
    received = 0
    while chunk := other.receive():
        received += len(chunk)
    assert received == taken
    assert one.wait_writable(0)


def test_fds_cross_in_order_and_are_not_inherited(pair: Pair) -> None:
    one, other = pair
    pipes = [os.pipe() for _ in range(3)]
    before = open_fds()
    assert one.send_parts([b"with", b" fds"], [writer for _, writer in pipes]) == 8
    received = other.receive_with_fds(100, 3)
    assert received is not None
    data, fds = received
    assert data == b"with fds"
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd, (reader, _) in zip(fds, pipes, strict=True):
        os.write(fd, b"%d" % reader)
        assert os.read(reader, 10) == b"%d" % reader
        os.close(fd)
    assert open_fds() == before
    for ends in pipes:
        for end in ends:
            os.close(end)


def test_receiving_with_fds_is_otherwise_like_receiving(pair: Pair) -> None:
    one, other = pair
    assert other.receive_with_fds(100, 4) is None
    one.send(b"plain")
    assert other.receive_with_fds(100, 4) == (b"plain", [])
    one.close()
    assert other.receive_with_fds(100, 4) == (b"", [])


def test_bytes_are_received_into_the_callers_memory(pair: Pair) -> None:
    one, other = pair
    memory = bytearray(8)
    assert other.receive_into(memory) is None
    assert other.receive_into_with_fds(memory, 4) is None
    one.send(b"plain")
    assert other.receive_into(memoryview(memory)[1:4]) == 3
    assert memory == b"\0pla\0\0\0\0"
    assert other.receive_into_with_fds(memory, 4) == (2, [])
    assert memory == b"inla\0\0\0\0"
    one.send_parts([b"more"], [0, 0])
    received = other.receive_into_with_fds(memory, 2)
    assert received is not None
    assert (received[0], len(received[1])) == (4, 2)
    for fd in received[1]:
        os.close(fd)
    before = open_fds()
    one.send_parts([b"x"], [0] * 4)
    with pytest.raises(DescriptorsTruncated, match="more than 1 "):
        other.receive_into_with_fds(memory, 1)
    assert open_fds() == before
    one.close()
    assert other.receive_into(memory) == 0
    assert other.receive_into_with_fds(memory, 4) == (0, [])


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_more_fds_than_wanted_are_closed_and_raise(pair: Pair, limit: int) -> None:
    one, other = pair
    before = open_fds()
    one.send_parts([b"x"], [0] * 4)
    with pytest.raises(DescriptorsTruncated, match=f"more than {limit} "):
        other.receive_with_fds(100, limit)
    assert open_fds() == before


@pytest.mark.parametrize("into", [False, True])
def test_fds_for_which_this_process_has_no_room_are_not_the_peers_fault(pair: Pair, into: bool) -> None:
    one, other = pair
    one.send_parts([b"x"], [0] * 4)
    before = open_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, hard))
    try:
        with pytest.raises(OSError, match="no room for the fds") as caught:
            other.receive_into_with_fds(bytearray(8), 4) if into else other.receive_with_fds(100, 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert open_fds() == before


def test_exactly_as_many_fds_as_wanted_are_received(pair: Pair) -> None:
    one, other = pair
    for count in range(1, 6):
        one.send_parts([b"x"], [0] * count)
        received = other.receive_with_fds(100, count)
        assert received is not None
        assert len(received[1]) == count
        for fd in received[1]:
            os.close(fd)


def test_plain_receive_discards_fds(pair: Pair) -> None:
    before = open_fds()
    pair[0].send_parts([b"x"], [0, 0])
    assert pair[1].receive() == b"x"
    assert open_fds() == before


def test_a_peer_that_is_gone_is_an_error_and_not_a_signal(pair: Pair) -> None:
    one, other = pair
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        other.close()
        with pytest.raises(BrokenPipeError):
            one.send(b"x")
        with pytest.raises(BrokenPipeError):
            one.send_parts([b"x"])
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_a_socket_names_the_process_at_the_other_end(pair: Pair) -> None:
    peer = pair[0].peer_credentials()
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())


def test_a_socket_may_be_closed_twice(pair: Pair) -> None:
    one, _ = pair
    fd = one.fileno()
    assert one.is_open
    one.close()
    one.close()
    assert (one.is_open, one.fileno()) == (False, -1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_adopted_socket_is_taken_over() -> None:
    one, other = socket.socketpair()
    mine = LocalSocket.adopt(one)
    assert one.fileno() == -1
    theirs = LocalSocket.adopt(other.detach())
    for each in (mine, theirs):
        assert not os.get_blocking(each.fileno())
        assert not os.get_inheritable(each.fileno())
        each.close()


def test_a_socket_that_cannot_be_adopted_stays_the_callers() -> None:
    reader, writer = os.pipe()
    with pytest.raises(UsageError, match="not a socket"):
        LocalSocket.adopt(reader)
    os.close(reader)
    os.close(writer)
    with socket.socket() as closed:
        pass
    for none in (closed, -1, 1 << 40):
        with pytest.raises(UsageError, match="cannot be adopted"):
            LocalSocket.adopt(none)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(UsageError, match="not a Unix stream socket"):
            LocalSocket.adopt(datagrams)
        assert datagrams.fileno() >= 0


def test_connecting_without_a_server_names_the_path(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "nobody")
    before = open_fds()
    with pytest.raises(FileNotFoundError, match="nobody"):
        LocalSocket.connect(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(ConnectionRefusedError, match="nobody"):
        LocalSocket.connect(path)
    with pytest.raises(SocketPathError, match="107 bytes"):
        LocalSocket.connect("/tmp/" + "x" * 103)
    assert open_fds() == before


def test_connecting_never_blocks_on_a_server_that_does_not_accept(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "busy")
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        client = LocalSocket.connect(path)
        with pytest.raises(BlockingIOError, match="busy"):
            LocalSocket.connect(path)
        client.close()


def test_a_blocking_wait_runs_nothing_of_the_loop(loop: EventLoop, pair: Pair) -> None:
    one, other = pair
    ran: list[str] = []
    loop.deferred_invoke(lambda: ran.append("callback"))
    assert not one.wait_readable(0)
    assert one.wait_writable(None)
    sender = threading.Thread(target=lambda: other.send(b"x"))
    sender.start()
    assert one.wait_readable(None)
    sender.join()
    one.wait(True, True, 60)
    assert ran == []


def test_a_wake_during_the_wait_does_not_end_it_and_is_not_lost(loop: EventLoop, pair: Pair) -> None:
    one, other = pair
    loop.wake()
    assert not one.wait_readable(0.01)
    other.close()
    assert one.wait_readable(None), "the end is something to read"
    assert loop.pump() == 0, "without the wake-up the loop would sleep without end"


def test_a_blocking_wait_needs_no_loop_and_refuses_a_closed_socket(pair: Pair) -> None:
    assert not pair[0].wait_readable(0)
    assert pair[0].wait_writable(0)
    pair[0].close()
    with pytest.raises(UsageError, match="closed"):
        pair[0].wait_readable(0)


def test_receiving_without_fds_passes_no_other_function(pair: Pair) -> None:
    one, other = pair
    passed: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            passed.append(frame.f_code.co_name)

    other.send(b"ab")
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        received = one.receive_with_fds(1, 8)
        received_into = one.receive_into_with_fds(bytearray(1), 8)
    finally:
        sys.setprofile(before)
    assert (received, received_into) == ((b"a", []), (1, []))
    assert passed == ["receive_with_fds", "receive_into_with_fds"]


def test_the_system_socket_is_the_sockets_own(pair: Pair) -> None:
    one, other = pair
    one.system.send(b"x")
    assert other.receive() == b"x"
    one.close()
    assert one.system.fileno() == -1
