"""Received descriptors: each belongs to one frame, in the order of arrival, and is closed once."""

from __future__ import annotations

import os

import pytest

from ipclib import ProtocolViolation
from ipclib.protocol.descriptors import DescriptorQueue
from tests.ipclib.protocol.two_ends import dev_null


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_frame_takes_the_descriptors_that_came_with_it_in_their_order() -> None:
    queue = DescriptorQueue()
    fds = [dev_null() for _ in range(4)]
    queue.add(fds[:2], 10)
    queue.add(fds[2:3], 20)
    queue.add(fds[3:], 30)
    assert (len(queue), queue.received) == (4, 4)
    assert queue.take(0, 9) == []
    taken = queue.take(0, 20)
    assert [file.fileno() for file in taken] == fds[:3]
    assert (len(queue), queue.received) == (1, 4)
    assert queue.take(30, 40) == [], "it came before that frame"
    assert queue.take(29, 30)[0].fileno() == fds[3]
    assert len(queue) == 0
    for fd in fds[:3]:
        assert _is_open(fd)
    for file in taken:
        file.close()


def test_descriptors_that_are_left_belong_to_the_frame_that_has_begun() -> None:
    queue = DescriptorQueue()
    queue.check_pending(False, 0)
    queue.add([dev_null(), dev_null()], 10)
    queue.check_pending(True, 2)
    with pytest.raises(ProtocolViolation, match="2 descriptors that no message takes"):
        queue.check_pending(False, 2)
    with pytest.raises(ProtocolViolation, match="2 descriptors for one message; max_fds_per_message is 1"):
        queue.check_pending(True, 1)
    queue.clear()


def test_a_cleared_queue_has_closed_everything() -> None:
    queue = DescriptorQueue()
    fds = [dev_null(), dev_null()]
    queue.add(fds, 10)
    queue.clear()
    queue.clear()
    assert len(queue) == 0
    assert not any(map(_is_open, fds))
