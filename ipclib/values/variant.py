"""Owns Variant: one value of several types, and how its Python class tells which type is meant.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Codec
from ipclib.values.decoding import Buffer, Decoding, Files

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

T = TypeVar("T")


@attrs.frozen
class Alternative(Generic[T]):
    """A value of a Variant, with the place of its type among the alternatives, counted from 0.

    It is needed if the value's Python class does not tell which type is meant, such as i32 or u32.
    """

    index: int
    value: T


_Indices: TypeAlias = dict[type, int]


class Variant(Codec[Any]):
    """The codec of Variant<...>.

    An alternative is plain if its values have exact classes that no other alternative has. The values of
    others are passed and received as Alternatives. A variant inside a variant is plain only if all of its own
    alternatives are.
    """

    smallest = 1

    def __init__(self, alternatives: tuple[Codec[Any], ...]) -> None:
        self.name = f"Variant<{','.join(codec.name for codec in alternatives)}>"
        self.values = 1 + max(codec.values for codec in alternatives)
        self.counts = any(codec.counts for codec in alternatives)
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

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[Any, int]:
        index = data[at]
        if index >= len(self._alternatives):
            raise ProtocolViolation(f"alternative {index} of a Variant that has {len(self._alternatives)}")
        self._plain_indices()
        value, at = self._alternatives[index].decode(data, at + 1, decoding)
        return value if index in self._plain_places else Alternative(index, value), at

    def python_types(self) -> frozenset[type]:
        types = frozenset[type]().union(*(codec.python_types() for codec in self._alternatives))
        self._plain_indices()
        return types if len(self._plain_places) == len(self._alternatives) else types | {Alternative}

    def sample(self, dice: Dice) -> Any:
        index = dice.random.randrange(len(self._alternatives))
        self._plain_indices()
        value = self._alternatives[index].sample(dice)
        return value if index in self._plain_places else Alternative(index, value)

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
        """The place of the only alternative of each class; found at the first use, when all classes exist."""
        if self._plain is None:
            self._plain = _plain_indices_of([codec.python_types() for codec in self._alternatives])
            self._plain_places = frozenset(self._plain.values())
        return self._plain


def _plain_indices_of(types: list[frozenset[type]]) -> _Indices:
    plain: _Indices = {}
    for index, own in enumerate(types):
        others = frozenset[type]((Alternative,)).union(*types[:index], *types[index + 1 :])
        if own.isdisjoint(others):
            plain |= dict.fromkeys(own, index)
    return plain


def variant(*alternatives: Codec[Any]) -> Codec[Any]:
    """The codec of Variant<alternatives>."""
    return Variant(alternatives)
