"""Owns damage to valid frames: the same seed and number always give the same damage.
Must not know messages: only where a frame keeps its size and its trailer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import attrs

from tests.abuse import wire

Damage = Callable[[bytearray, random.Random], None]

_INTERESTING = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 64 << 20, (64 << 20) + 1)


@attrs.frozen
class Mutant:
    """The bytes and descriptors of one bad peer."""

    data: bytes
    descriptors: int
    after_honest: bool
    """If true, an honest frame goes first, which shows that the peer writes trailers."""


def mutants(count: int, seed: int, recorded: Sequence[tuple[bytes, int]] = ()) -> list[Mutant]:
    """Return `count` mutants of recorded frames, each with its number of descriptors, or of honest()."""
    recorded = recorded or wire.honest()
    return [_mutant(recorded, random.Random(seed * 1_000_003 + number)) for number in range(count)]


def _mutant(recorded: Sequence[tuple[bytes, int]], dice: random.Random) -> Mutant:
    frame, descriptors = dice.choice(recorded)
    data = bytearray(frame)
    for _ in range(dice.choice((1, 1, 2, 4))):
        if data:
            dice.choice(_DAMAGES)(data, dice)
    if dice.random() < 0.5:
        _correct_the_size(data)
    if dice.random() < 0.2:
        descriptors = dice.choice((0, 1, descriptors + 1, max(descriptors - 1, 0), 17))
    if dice.random() < 0.2:
        data += dice.choice(recorded)[0]
    return Mutant(bytes(data), descriptors if data else 0, dice.random() < 0.5)


def _flip_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _truncate(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _remove(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.randrange(1, 9)]


def _insert(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.randbytes(dice.randrange(1, 17))


def _swap(data: bytearray, dice: random.Random) -> None:
    one, two, three = sorted(dice.randrange(len(data) + 1) for _ in range(3))
    data[one:three] = data[two:three] + data[one:two]


def _repeat(data: bytearray, dice: random.Random) -> None:
    one, two = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    data[two:two] = data[one:two] * dice.randrange(1, 5)


def _overwrite_a_number(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + 4] = dice.choice(_INTERESTING).to_bytes(4, "little")


def _spoil_the_trailer(data: bytearray, dice: random.Random) -> None:
    at = max(0, len(data) - 12 + 4 * dice.randrange(3))
    data[at : at + 4] = dice.choice((*_INTERESTING, dice.getrandbits(32))).to_bytes(4, "little")


def _correct_the_size(data: bytearray) -> None:
    """Write the true size, so that the damage is found by the code that reads the rest."""
    data[:4] = max(len(data) - 4, 0).to_bytes(4, "little")


_DAMAGES: tuple[Damage, ...] = (
    _flip_bits,
    _truncate,
    _remove,
    _insert,
    _swap,
    _repeat,
    _overwrite_a_number,
    _spoil_the_trailer,
)
