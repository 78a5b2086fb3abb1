"""Files wherever a type can have them: each arrives at its place, and a value that is refused loses none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import Alternative, File, ProtocolViolation
from ipclib import generated as g
from ipclib.values.codecs import ENCODE_ERRORS, Codec
from tests.ipclib.values.round_trips import decoding_of, round_trip

Case: TypeAlias = tuple[Codec[Any], st.SearchStrategy[Any]]


@attrs.frozen
class Parcel:
    label: str
    content: Any
    receipt: File | None


class Pool:
    """Files to be put into one value, closed together; `misfit` counts down to what is no File."""

    def __init__(self, misfit: int = -1) -> None:
        self.made: list[File] = []
        self._misfit = misfit

    def take(self) -> Any:
        self._misfit -= 1
        if self._misfit == -1:
            return "no file"
        self.made.append(File(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)))
        return self.made[-1]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.made:
            file.close()


_FILE: Case = (g.file, st.just(lambda pool: pool.take()))


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> Case:
    """A codec of a type with Files in it, and a strategy for functions that make values from a Pool."""
    if not depth:
        return _FILE
    codec, values = draw(types(depth - 1))
    match draw(st.sampled_from(["vector", "array", "map", "optional", "struct", "variant"])):
        case "vector":
            return g.vector(codec), st.lists(values, max_size=3).map(_list)
        case "array":
            return g.array(codec, 2), st.tuples(values, values).map(
                lambda made: lambda pool: tuple(_list(made)(pool))
            )
        case "map":
            return g.ordered_hash_map(g.i32, codec), st.lists(values, max_size=3).map(
                lambda made: lambda pool: dict(enumerate(_list(made)(pool)))
            )
        case "optional":
            return g.optional(codec), st.just(lambda _pool: None) | values
        case "struct":
            struct = g.structure(Parcel, g.string, codec, g.optional(g.file))
            return struct, values.map(lambda make: lambda pool: Parcel("p", make(pool), pool.take()))
    return g.variant(g.string, codec, codec), values.map(lambda make: lambda pool: Alternative(2, make(pool)))


def _list(made: Any) -> Callable[[Pool], list[Any]]:
    return lambda pool: [make(pool) for make in made]


@given(st.data())
def test_each_file_arrives_at_its_place(data: st.DataObject) -> None:
    codec, values = data.draw(types())
    with Pool() as pool:
        value = data.draw(values)(pool)
        assert round_trip(codec, value) == value, "Files are equal when they are the same"
        assert all(_numbers(pool.made))


@given(st.data())
def test_a_value_that_does_not_fit_loses_no_file(data: st.DataObject) -> None:
    codec, values = data.draw(types())
    make = data.draw(values)
    with Pool() as pool:
        make(pool)
        files = len(pool.made)
    if files:
        with Pool(misfit=data.draw(st.integers(0, files - 1))) as pool:
            value = make(pool)
            with pytest.raises(ENCODE_ERRORS):
                codec.encode(value, [])
            assert all(_numbers(pool.made))


@given(st.data())
def test_descriptors_that_are_missing_are_a_violation_and_close_no_others(data: st.DataObject) -> None:
    codec, values = data.draw(types())
    make = data.draw(values)
    with Pool() as pool, Pool() as fewer:
        files: list[File] = []
        wire = codec.encode(make(pool), files)
        given = [fewer.take() for _ in files[1:]]
        decoding = decoding_of(wire, given)
        if files:
            with pytest.raises(ProtocolViolation, match=r"fewer descriptors|a count of"):
                codec.decode(wire, 0, decoding)
        assert decoding.files == given
        assert all(_numbers(given)), "they are the receiver's to close"


def _numbers(files: list[File]) -> Iterator[bool]:
    for file in files:
        os.fstat(file.fileno())
        yield True
