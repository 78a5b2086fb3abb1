"""What the tests of codecs share: a message being decoded, and a value's way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipclib.file import File
from ipclib.values.codecs import Codec, Frame


def framed(data: bytes, files: Sequence[File] = (), elements: int = 100_000) -> Frame:
    """A message of these bytes and descriptors."""
    frame = Frame()
    frame.end, frame.elements = len(data), elements
    frame.fds = [(file, 0) for file in files]
    return frame


def round_trip(codec: Codec[Any], value: Any) -> Any:
    """The value that arrives."""
    files: list[File] = []
    wire = codec.encode(value, files)
    assert len(wire) >= codec.smallest
    frame = framed(wire, files)
    arrived, at = codec.decode(wire, 0, frame)
    assert at == len(wire)
    assert not frame.fds
    assert type(arrived) in codec.python_types() or not codec.python_types()
    return arrived
