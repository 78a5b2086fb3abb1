"""What generated message classes and endpoints are made from, and what the runtime reads off them.

A message class is both a value (its parameters, with equality and repr; for tools and tests) and
the description of the message: key, signature, codecs. Calls use the description alone. Knows no
socket, no loop, no call.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from operator import attrgetter
from struct import Struct
from typing import Any, ClassVar, Generic, TypeVar

from ipclib.errors import EncodeError
from ipclib.values.codecs import Buffer, Codec, Files, Frame, Payload, explain

R = TypeVar("R", covariant=True)

_MAGIC_AND_ID = Struct("=Ii")
_KEY = Struct("=Q")


class Kind(enum.IntEnum):
    """What arrives at a connection: three kinds of message, and six things that are none."""

    ONE_WAY = 0
    REQUEST = 1
    RESPONSE = 2
    FAILURE = 3
    REFUSAL = 4
    VIOLATION = 5
    END = 6
    CANCEL = 7
    DESCRIBE = 8


def key_of(magic: int, id: int) -> int:
    """Magic and id as the one integer that their eight bytes in a frame's header are."""
    (key,) = _KEY.unpack(_MAGIC_AND_ID.pack(magic, id))
    return int(key)


def magic_and_id(key: int) -> tuple[int, int]:
    """The inverse of key_of()."""
    magic, id = _MAGIC_AND_ID.unpack(_KEY.pack(key))
    return magic, id


class Message:
    """The base of every generated message class."""

    __slots__ = ()

    _kind: ClassVar[Kind]
    _name: ClassVar[str]
    _key: ClassVar[int]
    _magic: ClassVar[int]
    _id: ClassVar[int]
    _signature: ClassVar[int]
    _holds_files: ClassVar[bool]
    _codecs: ClassVar[tuple[Codec[Any], ...]] = ()
    _parameters: ClassVar[tuple[str, ...]] = ()
    _arity: ClassVar[int]

    @staticmethod
    def _encode(_files: Files, *args: Any, **kwargs: Any) -> Payload:
        raise NotImplementedError

    @staticmethod
    def _decode(_data: Buffer, _at: int, _frame: Frame) -> tuple[tuple[Any, ...], int]:
        raise NotImplementedError

    @classmethod
    def _describe(cls, magic: int, id: int, name: str, signature: int, holds_files: bool) -> None:
        cls._name = name
        cls._magic = magic
        cls._id = id
        cls._key = key_of(magic, id)
        cls._signature = signature
        cls._holds_files = holds_files
        cls._parameters = tuple(cls.__slots__)
        cls._arity = len(cls._parameters)

    @classmethod
    def _refused(cls, values: tuple[object, ...], error: Exception) -> EncodeError:
        """What to raise when _encode() does not take the values: it names the culprit."""
        parameters = cls._parameters
        if len(values) != len(parameters):
            return EncodeError(
                cls._name, f"({', '.join(parameters)})", values, f"{len(parameters)} values are needed"
            )
        culprit = explain(parameters, cls._codecs, values)
        if culprit is None:
            return EncodeError(cls._name, f"({', '.join(parameters)})", values, str(error))
        return EncodeError(cls._name, *culprit)

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._parameters])

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._parameters)
        return f"{type(self).__qualname__}({fields})"


class OneWay(Message):
    """A message without an answer."""

    __slots__ = ()
    _kind = Kind.ONE_WAY
    _handler: ClassVar[str]

    def __init_subclass__(
        cls, *, magic: int, id: int, name: str, signature: int, holds_files: bool = False, handler: str = ""
    ) -> None:
        super().__init_subclass__()
        cls._describe(magic, id, name, signature, holds_files)
        cls._handler = handler or name.partition(".")[2]


class Request(Message, Generic[R]):
    """A message that is answered; `R` is what the call returns."""

    __slots__ = ()
    _kind = Kind.REQUEST
    _handler: ClassVar[str]
    _response: ClassVar[type[Response]]

    def __init_subclass__(
        cls, *, magic: int, id: int, name: str, signature: int, holds_files: bool = False, handler: str = ""
    ) -> None:
        super().__init_subclass__()
        cls._describe(magic, id, name, signature, holds_files)
        cls._handler = handler or name.partition(".")[2]


class Response(Message):
    """The answer to a request, which lends it everything but its parameters."""

    __slots__ = ()
    _kind = Kind.RESPONSE
    _fields: ClassVar[Callable[[Any], tuple[Any, ...]]]

    def __init_subclass__(cls, *, request: type[Request[Any]], holds_files: bool = False) -> None:
        super().__init_subclass__()
        cls._describe(request._magic, request._id + 1, request._name, request._signature, holds_files)
        if cls._arity > 1:
            cls._fields = attrgetter(*cls._parameters)
        request._response = cls

    @classmethod
    def _outputs(cls, result: object) -> tuple[object, ...]:
        """What a handler returned, as the response's values, unless there is just one."""
        if cls._arity > 1:
            return cls._fields(result) if type(result) is cls else _tuple(cls, result)
        if result is not None:
            raise EncodeError(
                cls._name, "the answer", result, "the message has no output, so its handler returns None"
            )
        return ()

    @classmethod
    def _result(cls, values: tuple[Any, ...]) -> Any:
        """What a call returns for the response's values."""
        if cls._arity == 1:
            return values[0]
        return cls(*values) if values else None


def _tuple(response: type[Response], result: object) -> tuple[object, ...]:
    if isinstance(result, tuple):
        return result
    raise EncodeError(
        response._name,
        "the answer",
        result,
        f"a {response.__name__} or a tuple of {response._arity} is needed",
    )


class Describe(Request[str], magic=0, id=-2, name="describe", signature=0):
    """The request for an endpoint's interface, which is a control frame, and its answer another."""

    _response = Response

    @classmethod
    def _result(cls, values: tuple[Any, ...]) -> Any:
        """The text."""
        return values[0]


class Endpoint:
    """The base of a generated endpoint; by itself, an endpoint with no messages."""

    MAGIC: ClassVar[int] = 0
    SCHEMA: ClassVar[str] = ""
    _messages: ClassVar[tuple[type[Message], ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._messages = tuple(
            member
            for member in vars(cls).values()
            if isinstance(member, type) and issubclass(member, Message)
        )
