"""Owns a class of the user, for Entering.ipc, that does whatever a test says while it is encoded or decoded.
Must not know what is tested.
"""

from __future__ import annotations

from collections.abc import Callable

from ipclib import Decoder, Encoder, ipc_type


def _nothing(_number: int) -> None: ...


@ipc_type("Entering::Number")
class Number:
    """A number; `encoding` and `decoding` are called with it."""

    encoding: Callable[[int], object] = staticmethod(_nothing)
    decoding: Callable[[int], object] = staticmethod(_nothing)

    def __init__(self, number: int) -> None:
        self.number = number

    def encode(self, encoder: Encoder) -> None:
        Number.encoding(self.number)
        encoder.i32(self.number)

    @classmethod
    def decode(cls, decoder: Decoder) -> Number:
        number = cls(decoder.i32())
        Number.decoding(number.number)
        return number
