"""Containers: counts that lie allocate nothing; a message has a budget of elements and one of numbers."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ipclib import ProtocolViolation
from ipclib.values import codecs as c
from ipclib.values.codecs import Codec
from ipclib.values.containers import hash_map, vector
from ipclib.values.decoding import Buffer, Decoding, Files
from tests.ipclib.values.round_trips import decoding_of


@pytest.mark.parametrize(
    "codec",
    [
        vector(c.string),
        vector(c.i32),
        vector(c.file),
        hash_map(c.i32, c.i32),
        vector(vector(c.u64)),
        vector(c.optional(c.i32)),
    ],
    ids=lambda codec: codec.name,
)
def test_a_count_that_lies_is_refused_before_anything_is_allocated(codec: Codec[Any]) -> None:
    wire = struct.pack("=I", 0xFFFFFFFF) + b"\0" * 16
    with pytest.raises(ProtocolViolation, match="count of 4294967295"):
        codec.decode(wire, 0, decoding_of(wire))


def test_nested_elements_count_against_one_budget_and_numbers_do_not() -> None:
    lists = [[[]] * 10] * 10
    codec = vector(vector(vector(c.i32)))
    wire = codec.encode(lists, [])
    assert codec.decode(wire, 0, decoding_of(wire, elements=110))[0] == lists
    with pytest.raises(ProtocolViolation, match="max_elements"):
        codec.decode(wire, 0, decoding_of(wire, elements=109))
    numbers = vector(c.u16).encode(list(range(1000)), [])
    assert vector(c.u16).decode(numbers, 0, decoding_of(numbers, elements=0))[0] == list(range(1000))


def test_numbers_have_a_budget_of_their_own() -> None:
    codec = vector(vector(c.u16))
    wire = codec.encode([[1] * 600, [2] * 400], [])
    decoding = decoding_of(wire)
    decoding.numbers = 1000
    assert codec.decode(wire, 0, decoding)[0] == [[1] * 600, [2] * 400]
    decoding = decoding_of(wire)
    decoding.numbers = 999
    with pytest.raises(ProtocolViolation, match="max_numbers"):
        codec.decode(wire, 0, decoding)


def test_a_repeated_key_is_refused() -> None:
    wire = struct.pack("=Iiiii", 2, 7, 1, 7, 2)
    with pytest.raises(ProtocolViolation, match="repeated"):
        hash_map(c.i32, c.i32).decode(wire, 0, decoding_of(wire))


class Colliding(int):
    """A number whose hash is that of every other one."""

    def __hash__(self) -> int:
        return 0


class CollidingCodec(Codec[Colliding]):
    name = "Colliding"
    smallest = 4

    def encode(self, value: Colliding, files: Files) -> bytes:
        return c.i32.encode(value, files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[Colliding, int]:
        number, at = c.i32.decode(data, at, decoding)
        return Colliding(number), at

    def python_types(self) -> frozenset[type]:
        return frozenset((Colliding,))


def test_a_map_whose_keys_collide_is_refused() -> None:
    wire = hash_map(c.i32, c.i8).encode(dict.fromkeys(range(20_000), 0), [])
    assert len(hash_map(c.i32, c.i8).decode(wire, 0, decoding_of(wire))[0]) == 20_000
    with pytest.raises(ProtocolViolation, match="collide"):
        hash_map(CollidingCodec(), c.i8).decode(wire, 0, decoding_of(wire))
