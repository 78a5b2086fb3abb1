"""What leaves, in which order, in how many system calls, and what is left after a partial write."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import File
from ipclib.outbox import Outbox


class ScriptedSocket:
    """Takes as many bytes in each call as its script says, then everything."""

    def __init__(self, takes: Sequence[int] = ()) -> None:
        self._takes = list(takes)
        self.calls: list[tuple[bytes, int]] = []

    def send(self, data: Any) -> int:
        return self.send_parts([data])

    def send_parts(self, parts: Sequence[Any], fds: Sequence[int] = ()) -> int:
        data = b"".join(parts)
        taken = min(self._takes.pop(0), len(data)) if self._takes else len(data)
        if taken:
            self.calls.append((bytes(data[:taken]), len(fds)))
        return taken


def _file() -> File:
    return File(os.open("/dev/null", os.O_RDONLY))


@given(
    st.lists(
        st.binary(min_size=1, max_size=50)
        | st.tuples(st.binary(min_size=1), st.binary(), st.binary(min_size=1))
    ),
    st.lists(st.integers(0, 40)),
)
def test_the_stream_is_the_frames_whatever_the_socket_takes(frames: list[Any], takes: list[int]) -> None:
    outbox = Outbox()
    expected = b""
    for frame in frames:
        outbox.put(frame, [])
        expected += frame if isinstance(frame, bytes) else b"".join(frame)
    assert outbox.size == len(expected)
    socket = ScriptedSocket(takes)
    for _ in range(len(takes) + 1):
        if outbox.write_to(socket):  # type: ignore[arg-type]
            break
    assert b"".join(data for data, _fds in socket.calls) == expected
    assert (outbox.size, bool(outbox)) == (0, False)


def test_small_frames_leave_in_one_call() -> None:
    outbox = Outbox()
    for number in range(100):
        outbox.put(b"%3d" % number, [])
    socket = ScriptedSocket()
    assert outbox.write_to(socket)  # type: ignore[arg-type]
    assert len(socket.calls) == 1


def test_a_frame_with_descriptors_has_a_call_to_itself() -> None:
    outbox = Outbox()
    for frame, files in ((b"a", []), (b"b", []), (b"with", [_file(), _file()]), (b"c", []), (b"d", [])):
        outbox.put(frame, files)
    socket = ScriptedSocket()
    assert outbox.write_to(socket)  # type: ignore[arg-type]
    assert socket.calls == [(b"ab", 0), (b"with", 2), (b"cd", 0)]


@pytest.mark.parametrize("takes", [[0, 2], [1, 0, 1]])
def test_descriptors_go_with_the_first_byte_and_only_then_are_closed(takes: list[int]) -> None:
    file = _file()
    outbox = Outbox()
    outbox.put(b"frame", [file])
    with pytest.raises(ValueError, match="empty"):
        file.fileno()
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    socket = ScriptedSocket(takes)
    while not outbox.write_to(socket):  # type: ignore[arg-type]
        pass
    assert [fds for _data, fds in socket.calls] == [1] + [0] * (len(socket.calls) - 1)
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_clearing_closes_what_waits() -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    outbox = Outbox()
    outbox.put(b"frame", [_file()])
    outbox.clear()
    assert not outbox
    assert len(os.listdir("/proc/self/fd")) == before
