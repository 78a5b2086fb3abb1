"""Owns the numbers that stand for names on the wire: an endpoint's magic, a message's id and its signature.

Must not know how a frame carries them, nor how the compiler found the names and types.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from ipcc import nodes
from ipcc.definitions import Definition


def endpoint_magic(name: str) -> int:
    """LibIPC's hash of an endpoint's name: Bob Jenkins' one-at-a-time over signed chars, in 32 bits."""
    value = 0
    for byte in name.encode():
        value += byte - 256 if byte > 127 else byte
        value += value << 10
        value &= 0xFFFFFFFF
        value ^= value >> 6
    value = (value + (value << 3)) & 0xFFFFFFFF
    value ^= value >> 11
    return (value + (value << 15)) & 0xFFFFFFFF


def numbered(messages: Iterable[nodes.Message]) -> Iterator[tuple[int, nodes.Message]]:
    """Messages with their ids, which run from 1; the id after a synchronous message's is its response's."""
    id = 1
    for message in messages:
        yield id, message
        id = id + 1 if message.outputs is None else response_id(id) + 1


def response_id(id: int) -> int:
    """The id of the response to the request with this id."""
    return id + 1


def signed_text(name: str, inputs: str, outputs: str | None, definitions: str) -> str:
    """The text that a message's signature is computed from.

    It holds the qualified name and the types, then each definition that they lead to in order of first use.
    """
    answer = "=|" if outputs is None else f"=>{outputs}"
    return f"{name}{inputs}{answer}{definitions}"


def signed_definitions(definitions: Iterable[Definition]) -> str:
    """The part of a signed text that spells out definitions."""
    return "".join(f";{d.canonical}" for d in definitions if d.canonical)


def signature(text: str) -> int:
    """CRC-32 of a message's signed text. Peers compare it to see that they mean the same message."""
    return zlib.crc32(text.encode())
