"""Owns what the tests of codecs share: a message being decoded, and a value's way there and back.
Must not know frames or connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipclib.values.codecs import Codec
from ipclib.values.decoding import Decoding, Outgoing
from ipclib.values.file import File


def decoding_of(data: bytes, files: Sequence[File] = (), elements: int = 100_000) -> Decoding:
    """A message of these bytes and Files."""
    decoding = Decoding()
    decoding.end, decoding.elements, decoding.files = len(data), elements, list(files)
    return decoding


def round_trip(codec: Codec[Any], value: Any) -> Any:
    """The value that arrives, at a receiver whose limits are exactly what the sender has counted."""
    outgoing = Outgoing()
    wire = codec.encode(value, outgoing)
    assert len(wire) >= codec.smallest
    decoding = decoding_of(wire, outgoing, outgoing.elements)
    decoding.numbers = outgoing.numbers
    arrived, at = codec.decode(wire, 0, decoding)
    assert at == len(wire)
    assert (decoding.elements, decoding.numbers) == (0, 0), "sender and receiver count the same"
    decoding.check_files()
    assert codec.counts or not (outgoing.elements or outgoing.numbers or outgoing.work)
    assert type(arrived) in codec.python_types() or not codec.python_types()
    return arrived
