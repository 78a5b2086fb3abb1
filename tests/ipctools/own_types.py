"""Owns a class with a codec of its own, for the interface of sharing_service.py.
Must not know the service.
"""

from __future__ import annotations

from ipclib import Decoder, Encoder, ipc_type


@ipc_type("Own::Thing")
class Thing:
    def encode(self, encoder: Encoder) -> None:
        """Write nothing."""

    @classmethod
    def decode(cls, decoder: Decoder) -> Thing:
        return cls()
