"""Every way to break a rule of the wire ends the stream, says why, and leaves what came before."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest

from ipclib import Limits
from ipclib.protocol import wire
from tests.ipclib.protocol.two_ends import Ends, bare, dev_null, joined, trailed


def _control(magic: int, id: int, payload: bytes = b"") -> bytes:
    return joined(wire.bare_frame(wire.key_of(magic, id), payload))


def _violations(clock: Any) -> dict[str, bytes]:
    server = clock.ClockServer
    magic = server.MAGIC
    return {
        "size too small": struct.pack("=I", 7),
        "size of a bare LibIPC error": struct.pack("=I", 0xFFFFFFFF),
        "foreign magic": _control(magic ^ 1, 1),
        "unknown control frame": _control(magic, -9),
        "trailers stop": trailed(server.Nothing, b"", 9) + bare(server.Nothing),
        "leftover bytes": trailed(server.Add, b"\0" * 9, 1),
        "payload too short": trailed(server.Add, b"\0" * 7, 1),
        "length past the end": trailed(server.Log, struct.pack("=iI", 1, 500), 0),
        "not UTF-8": trailed(server.Log, struct.pack("=iI", 1, 1) + b"\xff", 0),
        "request without a serial": trailed(server.Nothing, b"", 0),
        "one-way with a serial": trailed(server.Log, bytes(8), 3),
        "answer to nothing": bare(clock.ClockClient.AscendResponse, bytes(4)),
        "error for nothing": _control(magic, 0, struct.pack("=IBI", 4, 1, 0)),
        "error of unknown kind": _control(magic, 0, struct.pack("=IBI", 4, 99, 0)),
        "error frame cut short": _control(magic, 0, b"\1"),
        "cancel cut short": _control(magic, -1, b"\1"),
        "unknown message of a bare peer": _control(magic, 999),
        "too few descriptors": trailed(server.TakeFiles, struct.pack("=I?", 1, False), 1),
        "describe cut short": _control(magic, -2),
        "description of nothing": _control(magic, -3, struct.pack("=II", 5, 0)),
        "description cut short": _control(magic, -3, b"\1"),
        "cancel for every endpoint": _control(wire.EVERY_ENDPOINT, -1, struct.pack("=I", 1)),
        "answer with another signature": trailed(
            clock.ClockClient.AscendResponse, bytes(4), 3, other_signature=True
        ),
    }


_NAMES = [
    "size too small",
    "size of a bare LibIPC error",
    "foreign magic",
    "unknown control frame",
    "trailers stop",
    "leftover bytes",
    "payload too short",
    "length past the end",
    "not UTF-8",
    "request without a serial",
    "one-way with a serial",
    "answer to nothing",
    "error for nothing",
    "error of unknown kind",
    "error frame cut short",
    "cancel cut short",
    "unknown message of a bare peer",
    "too few descriptors",
    "describe cut short",
    "description of nothing",
    "description cut short",
    "cancel for every endpoint",
    "answer with another signature",
]


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("piece", [1, 1000])
def test_every_violation_ends_the_stream_and_nothing_else(clock: Any, name: str, piece: int) -> None:
    frame = _violations(clock)[name]
    service = Ends(clock).service
    for at in range(0, len(frame), piece):
        service.receive(frame[at : at + piece])
    assert service.violation()
    before = service.inbox
    service.receive(frame)
    service.receive(b"")
    assert service.inbox == before


def test_every_violation_is_a_case(clock: Any) -> None:
    assert list(_violations(clock)) == _NAMES


def test_a_violation_names_its_message_and_the_reason(clock: Any, ends: Ends) -> None:
    ends.service.receive(_violations(clock)["leftover bytes"])
    assert ends.service.violation() == "ClockServer.add: the parameters end -1 bytes from the payload's end"
    other = Ends(clock).service
    other.receive(_violations(clock)["too few descriptors"])
    assert other.violation().startswith("ClockServer.take_files: ")


def test_the_peer_may_not_send_what_is_over_the_limits(clock: Any, ends: Ends) -> None:
    ends.service.receive(struct.pack("=I", Limits().max_message_size + 1))
    assert "a frame of 67108865 bytes" in ends.service.violation()


def test_descriptors_that_no_message_takes_are_a_violation_and_closed(clock: Any, ends: Ends) -> None:
    stray = dev_null()
    ends.service.receive(trailed(clock.ClockServer.Nothing, b"", 1), (stray,))
    assert "1 descriptors that no message takes" in ends.service.violation()
    ends.service.receiver.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stray)


def test_more_descriptors_for_one_frame_than_allowed_are_a_violation_before_it_is_complete(
    clock: Any,
) -> None:
    service = Ends(clock, limits=Limits(max_fds_per_message=2)).service
    frame = trailed(clock.ClockServer.TakeFiles, struct.pack("=I?", 3, False), 1)
    service.receive(frame[:5], (dev_null(), dev_null(), dev_null()))
    assert "3 descriptors for one message; max_fds_per_message is 2" in service.violation()
    service.receiver.release()


def test_the_files_of_a_message_that_cannot_be_decoded_are_closed(clock: Any, ends: Ends) -> None:
    fd = dev_null()
    ends.service.receive(trailed(clock.ClockServer.TakeFiles, struct.pack("=IB", 1, 7), 1), (fd,))
    assert "ClockServer.take_files" in ends.service.violation()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_the_files_of_a_request_without_a_serial_are_closed(clock: Any, ends: Ends) -> None:
    fd = dev_null()
    ends.service.receive(trailed(clock.ClockServer.TakeFiles, struct.pack("=I?", 1, False), 0), (fd,))
    assert ends.service.violation() == "ClockServer.take_files: serial 0; only a one-way message has 0"
    ends.service.receiver.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_violation_that_the_socket_s_reader_saw_ends_the_stream(clock: Any, ends: Ends) -> None:
    ends.service.receiver.receive_violation("as seen")
    assert ends.service.violation() == "as seen"


def test_descriptors_that_come_with_each_byte_of_a_frame_are_bounded(clock: Any) -> None:
    """A frame that is never complete must not collect descriptors until there are none left."""
    ends = Ends(clock, limits=Limits(max_fds_per_message=3))
    for _ in range(3):
        ends.service.receive(b"\x20", (dev_null(),))
        assert not ends.service.receiver.ended
    ends.service.receive(b"\0", (dev_null(),))
    assert ends.service.violation() == "4 descriptors for one message; max_fds_per_message is 3"
