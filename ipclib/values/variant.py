"""Owns Variant: one value of several types, and how Python tells which. Knows codecs only."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Buffer, Codec, Files, Frame

T = TypeVar("T")


@attrs.frozen
class Alternative(Generic[T]):
    """A value of a Variant together with its place among the types, counted from 0.

    Needed where the value's Python class does not say which type is meant: the i32 or the u32.
    """

    index: int
    value: T


_Indices: TypeAlias = dict[type, int]


class Variant(Codec[Any]):
    """An alternative is plain when the exact classes of its values are those of no other; else it comes, and
    is to be passed, as an Alternative. One that holds Alternatives itself is never plain.
    """

    smallest = 1

    def __init__(self, alternatives: tuple[Codec[Any], ...]) -> None:
        self.name = f"Variant<{','.join(codec.name for codec in alternatives)}>"
        self._alternatives = alternatives
        self._plain: _Indices | None = None
        self._plain_places: frozenset[int] = frozenset()

    def encode(self, value: Any, files: Files) -> bytes:
        if type(value) is Alternative:
            index, value = value.index, value.value
            if type(index) is not int or not 0 <= index < len(self._alternatives):
                raise ValueError(f"an index from 0 to {len(self._alternatives) - 1} is needed, not {index!r}")
        else:
            index = self._index_of(value)
        return bytes((index,)) + self._alternatives[index].encode(value, files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[Any, int]:
        index = data[at]
        if index >= len(self._alternatives):
            raise ProtocolViolation(f"alternative {index} of a Variant that has {len(self._alternatives)}")
        self._plain_indices()
        value, at = self._alternatives[index].decode(data, at + 1, frame)
        return value if index in self._plain_places else Alternative(index, value), at

    def python_types(self) -> frozenset[type]:
        types = frozenset[type]().union(*(codec.python_types() for codec in self._alternatives))
        self._plain_indices()
        return types if len(self._plain_places) == len(self._alternatives) else types | {Alternative}

    def _index_of(self, value: Any) -> int:
        index = self._plain_indices().get(type(value))
        if index is None:
            raise TypeError(self._refusal(value))
        return index

    def _refusal(self, value: Any) -> str:
        class_ = type(value)
        fitting = [
            f"Alternative({index}, ...) for {codec.name}"
            for index, codec in enumerate(self._alternatives)
            if class_ in codec.python_types()
        ]
        if fitting:
            return f"{class_.__name__} could be any of several: pass {' or '.join(fitting)}"
        return f"no alternative of {self.name} takes {class_.__name__}"

    def _plain_indices(self) -> _Indices:
        """Which alternative a class belongs to, where it belongs to one alone; found when all types exist."""
        if self._plain is None:
            self._plain = _told_apart([codec.python_types() for codec in self._alternatives])
            self._plain_places = frozenset(self._plain.values())
        return self._plain


def _told_apart(types: list[frozenset[type]]) -> _Indices:
    plain: _Indices = {}
    for index, own in enumerate(types):
        others = frozenset[type]((Alternative,)).union(*types[:index], *types[index + 1 :])
        if own.isdisjoint(others):
            plain |= dict.fromkeys(own, index)
    return plain


def variant(*alternatives: Codec[Any]) -> Codec[Any]:
    return Variant(alternatives)
