"""Owns what stands for classes with codecs of their own, whose fields and bytes no interface tells.
Must not know which there are: modules made of a description import each by its name, with `__` for `::`.
"""

from __future__ import annotations

from typing import Any

from ipclib import Decoder, Encoder, ipc_type
from ipclib.values.decoding import Unrepresentable

_made: dict[str, type[Any]] = {}


def __getattr__(name: str) -> type[Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in _made:
        spelled = name.replace("__", "::")
        _made[name] = ipc_type(spelled)(type(name, (_OwnCodec,), {"spelled": spelled}))
    return _made[name]


class _OwnCodec:
    """Stands for a class that has encode() and decode(), which are not here."""

    spelled = ""

    def encode(self, encoder: Encoder) -> None:
        raise ValueError(f"{self.spelled} has a codec of its own, which the tools do not have")

    @classmethod
    def decode(cls, decoder: Decoder) -> Any:
        raise Unrepresentable(f"{cls.spelled} has a codec of its own, which the tools do not have")
