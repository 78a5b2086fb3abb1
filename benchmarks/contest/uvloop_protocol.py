"""Owns the contestant uvloop: asyncio's contestant on another loop.
Must not know anything else about either."""

from __future__ import annotations

import uvloop

from benchmarks.contest import asyncio_protocol
from benchmarks.contest.contestants import Ready


def serve(address: str, ready: Ready) -> None:
    asyncio_protocol.serve(address, ready, uvloop.new_event_loop)


class Client(asyncio_protocol.Client):
    def __init__(self, address: str) -> None:
        super().__init__(address, uvloop.new_event_loop)
