"""A kernel without room, and peers that leave descriptors unread: pressure, for which no peer is to blame."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import AnonymousBuffer, EventLoop, LocalSocket
from ipclib import File, Limits, PeerDisconnected, Wait
from ipclib.connection.room import NO_ROOM, InFlight, TooManyUnread
from ipclib.connection.sender import flush_blocking
from tests.ipclib.connection.scripted_socket import Sending
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import trailed

GUARD = 30.0
Make = Callable[..., Sending]

EVERY_LACK = pytest.mark.parametrize("code", sorted(NO_ROOM), ids=errno.errorcode.get)


@pytest.fixture
def make(loop: EventLoop) -> Iterator[Make]:
    made: list[Sending] = []

    def make(script: Sequence[int | OSError]) -> Sending:
        made.append(Sending(script))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _lack(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _file() -> File:
    return File(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))


@contextmanager
def _most_fds(most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The kernel has no room


@EVERY_LACK
@pytest.mark.parametrize("way", ["send", "send_now", "put"])
@pytest.mark.parametrize("files", [0, 1])
def test_a_frame_waits_for_room_and_leaves_once_and_in_order(
    loop: EventLoop, fake_clock: FakeClock, make: Make, code: int, way: str, files: int
) -> None:
    sending = make([_lack(code), _lack(code), 0, _lack(code)])
    getattr(sending.sender, way)(b"one", [_file() for _ in range(files)])
    sending.sender.send_now(b"two", [])
    assert sending.sender.lacks_room
    assert loop.spin_until(lambda: not sending.sender.size, GUARD)
    assert sending.socket.stream == b"onetwo"
    assert loop.spin_until(lambda: not loop.snapshot().timers and not loop.snapshot().notifiers, GUARD)
    assert not sending.sender.lacks_room
    assert sending.owner.reports[0] == "no room"
    assert sending.owner.reports[-1] in ("drained", "room")


@EVERY_LACK
def test_a_socket_with_room_does_not_wake_the_loop_while_the_kernel_has_none(
    loop: EventLoop, fake_clock: FakeClock, make: Make, code: int
) -> None:
    sending = make([0, *[_lack(code)] * 100])
    sending.sender.send_now(b"one", [])
    turns = 0
    began = fake_clock.now
    while fake_clock.now < began + 1e9:
        loop.pump()
        turns += 1
    assert turns < 100


@EVERY_LACK
def test_a_lack_of_room_is_given_up_after_ten_seconds(
    loop: EventLoop, fake_clock: FakeClock, make: Make, code: int
) -> None:
    sending = make([_lack(code)] * 1000)
    sending.owner.on_failure = sending.close  # type: ignore[method-assign]
    began = fake_clock.now
    sending.sender.send_now(b"frame", [])
    assert loop.spin_until(lambda: not sending.sender.takes_frames, GUARD)
    assert 10e9 <= fake_clock.now - began < 10.1e9
    assert sending.owner.reports[-1] == f"failed: {os.strerror(code)}"
    assert not loop.snapshot().timers


def test_each_progress_gives_another_ten_seconds(loop: EventLoop, fake_clock: FakeClock, make: Make) -> None:
    lack = _lack(errno.ETOOMANYREFS)
    sending = make([*[lack] * 300, 1, *[lack] * 300, 1, *[lack] * 200])
    began = fake_clock.now
    sending.sender.send_now(b"frame", [])
    assert loop.spin_until(lambda: not sending.sender.size, 60)
    assert fake_clock.now - began > 20e9
    assert sending.socket.stream == b"frame"


def test_a_lack_of_room_is_logged_at_most_once_a_second(
    loop: EventLoop, fake_clock: FakeClock, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    fake_clock.advance(1e6)  # Away from what other tests logged.
    for _ in range(3):
        make([_lack(errno.ENOBUFS)] * 2).sender.send_now(b"frame", [])
    assert [record.getMessage() for record in caplog.records] == [
        "the system has no room to send, which waits and is tried again: No buffer space available"
    ]


def test_a_closed_sender_tries_no_more(loop: EventLoop, make: Make) -> None:
    sending = make([_lack(errno.ENOMEM)] * 100)
    sending.sender.send_now(b"frame", [_file()])
    sending.close()
    assert not loop.snapshot().timers
    assert (sending.sender.size, sending.sender.lacks_room) == (0, False)


def test_a_program_that_ends_waits_for_room_as_for_a_full_socket(make: Make) -> None:
    sending = make([_lack(errno.ENOBUFS)] * 4)
    sending.sender.send_now(b"frame", [])
    sending.socket.wait = lambda *_arguments: None  # type: ignore[attr-defined]
    flush_blocking(sending.sender, None)
    assert sending.socket.stream == b"frame"


# A system call that is refused, in sending and in receiving


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EACCES])
def test_a_refused_system_call_closes_the_connection_and_is_not_the_peers_violation(
    loop: EventLoop, pair: Pair, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: object) -> int:
        raise _lack(code)

    held = pair.client.async_held(1)
    link_of(pair.client).sender._send = refuse  # Bound once, as it is called for each frame.
    with pytest.raises(PeerDisconnected, match=os.strerror(code)):
        pair.client.add(1, 2)
    with pytest.raises(PeerDisconnected, match=f"held: cannot send: {os.strerror(code)}"):
        held.await_(GUARD)
    assert f"cannot send: {os.strerror(code)}" in caplog.text


@pytest.mark.parametrize("blocks", [False, True])
def test_descriptors_for_which_we_have_no_room_are_not_the_peers_violation(
    loop: EventLoop, clock: Any, blocks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    raw, service = raw_peer(clock)
    socket.send_fds(raw, [trailed(clock.ClockServer.TakeFiles, bytes(5), 1)], [0])
    free = os.dup(0)
    os.close(free)
    with _most_fds(free):
        if blocks:
            with pytest.raises(PeerDisconnected, match="this process has no room for the fds"):
                service.ascend(1, timeout=GUARD, wait=Wait.BLOCK)
        else:
            loop.pump()
    assert not service.is_open
    assert "cannot receive: this process has no room for the fds" in caplog.text
    assert "dropped" not in caplog.text
    raw.close()


# Descriptors that peers leave unread


def _in_flight() -> tuple[InFlight, socket.socket, socket.socket]:
    here, there = socket.socketpair()
    return InFlight(here.fileno), here, there


def test_a_peer_that_reads_nothing_gets_an_eighth_and_all_of_them_a_half() -> None:
    peers = [_in_flight() for _ in range(10)]
    with _most_fds(512):
        for flight, here, _there in peers[:9]:
            here.send(b"unread")
            parked = 0
            while parked < 512:
                try:
                    flight.require(8)
                except TooManyUnread:
                    break
                flight.add(8)
                parked += 8
            assert parked <= 64
        assert sum(flight.count for flight, _here, _there in peers) <= 256 + 8 * 5
        peers[9][0].require(64)  # A peer that reads is served even so.
        peers[0][2].recv(100)
        peers[0][0].require(8)
        assert peers[0][0].count == 0
    for flight, here, there in peers:
        flight.clear()
        here.close()
        there.close()


def test_all_peers_together_never_have_more_unread_than_this_process_may_have_open() -> None:
    peers = [_in_flight() for _ in range(20)]
    with _most_fds(256):
        for flight, here, _there in peers:
            here.send(b"unread")
            try:
                flight.require(32)
            except TooManyUnread:
                break
            flight.add(32)
        assert sum(flight.count for flight, _here, _there in peers) == 256
    for flight, here, there in peers:
        flight.clear()
        here.close()
        there.close()


def _asks_for_files(clock: Any, raw: socket.socket, count: int) -> None:
    payload = struct.pack("=I", 0)
    for serial in range(1, count + 1):
        raw.sendall(trailed(clock.ClockServer.GiveFile, payload, serial))


def test_a_client_that_leaves_its_files_unread_takes_none_from_the_others(
    loop: EventLoop, clock: Any, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with _most_fds(256):
        idle, service = raw_peer(clock)
        _asks_for_files(clock, idle, 60)
        assert loop.spin_until(lambda: service.counters.fds_sent and link_of(service).sender.lacks_room, 1.0)
        assert service.counters.fds_sent <= 32
        honest = Pair(clock)
        for _ in range(100):
            honest.client.give_file(b"x").close()
        assert loop.spin_until(lambda: not service.is_open, 20)
    assert "has not read the descriptors" in caplog.text
    assert honest.client.is_open
    honest.close()
    idle.close()


def test_a_service_that_reads_its_files_late_gets_them_all(loop: EventLoop, clock: Any) -> None:
    """The client's posts wait as for a full socket, and the service is not disconnected."""
    here, there = LocalSocket.pair()
    client = clock.ConnectionToServer(here, limits=Limits(max_fds_per_message=64))
    with _most_fds(256):
        calls = []
        raw = there.system
        received: list[int] = []

        def read() -> None:
            got = there.receive_with_fds(1 << 16, 64)
            if got is not None:
                received.extend(got[1])
                for fd in got[1]:
                    os.close(fd)
            loop.deferred_invoke(read)

        loop.deferred_invoke(read)
        for _ in range(300):
            calls.append(client.async_take_files([_file()], False))
        assert loop.spin_until(lambda: len(received) == 300, GUARD)
        assert raw.fileno() >= 0
        assert client.is_open
    client.shutdown()
    for call in calls:
        call.when_rejected(lambda error: None)
    there.close()


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.EMFILE])
def test_memory_that_we_cannot_map_is_not_the_peers_violation(
    loop: EventLoop,
    tmp_path: Path,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[Exception] = []
    loop.on_exception = lambda error, context: failures.append(error)
    memory = ipcc.load(Path(__file__).parents[1] / "values" / "Memory.ipc")
    here, there = LocalSocket.pair()
    client, service = memory.ConnectionToServer(here), memory.ConnectionFromClient(there)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise _lack(code)

    monkeypatch.setattr(AnonymousBuffer, "create_from_fd", refuse)
    with AnonymousBuffer.create(4096) as buffer, pytest.raises(PeerDisconnected):
        client.read(buffer, 1, timeout=GUARD)
    assert not service.is_open
    assert [getattr(failure, "errno", None) for failure in failures] == [code]
    assert "dropped" not in caplog.text
    client.shutdown()
