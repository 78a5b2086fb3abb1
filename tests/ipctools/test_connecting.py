"""Owns the tests that what a service sends before it has described itself is kept, with its descriptors.
Must not know processes: the other end is in this one.
"""

from __future__ import annotations

import os

import pytest

from corelib import LocalSocket
from ipclib.protocol import wire
from ipctools.connecting import ask_interface
from ipctools.failures import Failure

TEXT = "endpoint A\n{\n}\n"
DESCRIPTION = wire.pack_description(wire.EVERY_ENDPOINT, 1, TEXT)
GREETING = wire.bare_frame(wire.key_of(7, 1), b"greeting")
OTHER = wire.bare_frame(wire.key_of(7, 3), b"other")


@pytest.mark.parametrize("split", range(0, len(DESCRIPTION), 5))
def test_frames_around_the_description_are_kept_with_their_descriptors(split: int) -> None:
    ours, theirs = LocalSocket.pair()
    reading, writing = os.pipe()
    theirs.send_parts([GREETING], [reading])
    # The kernel ends a piece where descriptors begin, so the description comes in two.
    theirs.send_parts([OTHER + DESCRIPTION[:split]], [writing])
    theirs.send_parts([DESCRIPTION[split:] + OTHER], [writing])
    text, early = ask_interface(ours, "here", 5.0)
    assert text == TEXT
    assert b"".join(data for data, _fds in early.pieces) == GREETING + OTHER + OTHER
    assert [len(fds) for _data, fds in early.pieces] == [1, 1, 1]
    for fd in (reading, writing):
        os.close(fd)
    early.drop()
    assert early.pieces == []
    ours.close()
    theirs.close()


def test_descriptors_are_closed_if_no_description_comes() -> None:
    ours, theirs = LocalSocket.pair()
    reading, writing = os.pipe()
    theirs.send_parts([GREETING], [writing])
    os.close(writing)
    theirs.shutdown_write()
    with pytest.raises(Failure, match="closed the connection at once"):
        ask_interface(ours, "here", 5.0)
    assert os.read(reading, 1) == b""  # No writing end is left.
    os.close(reading)
    ours.close()
    theirs.close()
