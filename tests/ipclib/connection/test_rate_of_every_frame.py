"""Limits.rate counts every frame of a peer: control frames, unknown messages and other signatures too."""

from __future__ import annotations

from typing import Any

import pytest

from corelib import EventLoop, WaitMode
from ipclib import Limits, Rate
from ipclib.protocol import wire
from tests.ipclib.pairs import raw_peer
from tests.ipclib.protocol.two_ends import trailed

GUARD = 20.0
MIB = 1 << 20
SLOW = 1e-6
"""A second: no token comes back while a test runs."""


class Rated:
    """A raw client of a service with a rate."""

    def __init__(self, loop: EventLoop, clock: Any, rate: Rate) -> None:
        self.loop = loop
        self.raw, self.service = raw_peer(clock, Limits(rate=rate))
        self.raw.settimeout(GUARD)

    def send(self, frame: bytes) -> None:
        self.raw.sendall(frame)
        for _ in range(3):
            self.loop.pump(WaitMode.POLL_FOR_EVENTS)

    def kinds(self) -> list[str]:
        received = self.raw.recv(MIB) if self.service.is_open else b""
        at, found = 0, []
        while at < len(received):
            size, key = wire.HEADER.unpack_from(received, at)
            end = at + 4 + size
            is_error = wire.magic_and_id(key)[1] == wire.FAILURE_ID
            found.append(wire.parse_failure(received, at, end)[1].name if is_error else "result")
            at = end
        return found


def _strange(clock: Any, what: str, serial: int) -> bytes:
    magic = clock.ClockServer.MAGIC
    log = clock.ClockServer.Log
    match what:
        case "describe":
            return wire.pack_describe(magic, serial)
        case "cancel":
            return wire.pack_cancel(magic, serial)
        case "unknown request":
            frame = wire.trailed_frame(wire.key_of(magic, 999), b"", serial, 1)
        case "unknown one-way message":
            frame = wire.trailed_frame(wire.key_of(magic, 999), b"", 0, 1)
        case "request with another signature":
            return trailed(clock.ClockServer.Nothing, b"", serial, other_signature=True)
        case _:
            return trailed(log, b"", 0, other_signature=True)
    assert isinstance(frame, bytes)
    return frame


STRANGE = {
    "describe": "REFUSED",
    "cancel": None,
    "unknown request": "REFUSED",
    "unknown one-way message": None,
    "request with another signature": "REFUSED",
    "one-way message with another signature": None,
}


@pytest.mark.parametrize("what", STRANGE)
def test_every_frame_counts_for_the_rate(loop: EventLoop, clock: Any, what: str) -> None:
    rated = Rated(loop, clock, Rate(per_second=SLOW, burst=3))
    for serial in range(1, 4):
        rated.send(_strange(clock, what, serial))
    rated.send(trailed(clock.ClockServer.Nothing, b"", 9))
    assert rated.kinds()[-1] == "REFUSED", "the three before have used it up"
    expected = STRANGE[what]
    if expected is not None:
        rated.send(_strange(clock, what, 10))
        assert rated.kinds() == [expected]
    rated.service.shutdown()
    rated.raw.close()


@pytest.mark.parametrize("what", STRANGE)
def test_every_frame_over_a_rate_may_disconnect(
    loop: EventLoop, clock: Any, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    rated = Rated(loop, clock, Rate(per_second=SLOW, burst=3, disconnect=True))
    for serial in range(1, 5):
        assert rated.service.is_open
        rated.send(_strange(clock, what, serial))
    assert not rated.service.is_open
    assert "comes too often" in caplog.text
    rated.raw.close()


def test_a_rate_for_one_message_counts_its_other_signatures(loop: EventLoop, clock: Any) -> None:
    rated = Rated(loop, clock, Rate(per_second=SLOW, burst=1, message="nothing", disconnect=True))
    for serial in range(1, 6):
        rated.send(_strange(clock, "unknown request", serial))
    assert rated.service.is_open
    for serial in range(6, 8):
        rated.send(_strange(clock, "request with another signature", serial))
    assert not rated.service.is_open
    rated.raw.close()


def test_a_cancel_that_has_something_to_cancel_is_free(loop: EventLoop, clock: Any) -> None:
    rated = Rated(loop, clock, Rate(per_second=SLOW, burst=4))
    held = trailed(clock.ClockServer.Held, bytes(4), 1)
    cancel = wire.pack_cancel(clock.ClockServer.MAGIC, 1)
    rated.send(held)
    rated.send(cancel)
    rated.send(held + cancel)
    assert rated.kinds() == ["CANCELLED", "CANCELLED"]
    rated.send(trailed(clock.ClockServer.Nothing, b"", 2) + trailed(clock.ClockServer.Nothing, b"", 3))
    assert rated.kinds() == ["result", "result"]
    rated.send(cancel)
    rated.send(trailed(clock.ClockServer.Nothing, b"", 4))
    assert rated.kinds() == ["REFUSED"]
    rated.service.shutdown()
    rated.raw.close()
