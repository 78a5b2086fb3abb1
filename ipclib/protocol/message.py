"""Owns the bases of generated messages and endpoints, and MessageType, which describes a message class.
Must not know the layout of frames, calls, sockets or loops.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import attrs

from ipclib.errors import EncodeError
from ipclib.protocol.wire import key_of, response_id
from ipclib.showing import text_shown
from ipclib.values.codecs import Codec, Payload, explain
from ipclib.values.decoding import Buffer, Decoding, Files

R = TypeVar("R", covariant=True)

Encode: TypeAlias = Callable[..., Payload]
"""`encode(files, *values)` gives the payload and appends the values' Files to `files`."""
Decode: TypeAlias = Callable[[Buffer, int, Decoding], tuple[tuple[Any, ...], int]]
"""`decode(data, at, decoding)` gives the values and the offset after them."""

Frame: TypeAlias = Callable[..., Payload]
"""`frame(serial, *values)` gives a whole frame with its trailer, as wire.trailed_frame() does."""
Deliver: TypeAlias = Callable[[Any, Buffer, int, int, Any, int], object]
"""`deliver(handlers, data, at, end, cursor, next)` decodes the payload at these offsets, moves the cursor to
`next`, the offset after the frame, and calls the handler, whose result it returns. Before it has moved the
cursor, it may return NOT_DELIVERED or raise anything: then the payload is not as it should be."""


class Kind(enum.IntEnum):
    """The three kinds of message."""

    ONE_WAY = 0
    REQUEST = 1
    RESPONSE = 2


@attrs.define(eq=False)
class MessageType:
    """The description of a message class for the runtime and for tools: its `__ipc__`."""

    kind: Kind
    name: str
    """Endpoint and message, as in the interface: `ClockServer.add`."""
    handler: str
    """The name of the method that handles it."""
    magic: int
    id: int
    key: int
    """Magic and id as one integer, by which a received frame finds its message."""
    signature: int
    """The number by which two peers see that they mean the same message, with the same types."""
    holds_files: bool
    """Whether its values may hold descriptors."""
    parameters: tuple[str, ...]
    arity: int
    """The number of parameters."""
    codecs: tuple[Codec[Any], ...]
    """The codecs of the parameters, to find the parameter whose value was refused."""
    encode: Encode
    decode: Decode
    python: type[Message]
    """The message class."""
    counts: bool = False
    """Whether its values cost what Outgoing counts."""
    response: MessageType | None = None
    """The description of the answer; None if the message is no request."""
    frame: Frame | None = None
    """None if its values need a codec."""
    deliver: Deliver | None = None
    """None if its values need a codec, and for answers."""
    _fields: Callable[[Any], tuple[object, ...]] | None = None
    """Returns the values of a message object with several parameters."""

    def refused(self, values: tuple[object, ...], error: Exception) -> EncodeError:
        """Make the error for values that encode() has refused. It names the parameter."""
        if len(values) != self.arity:
            return EncodeError(
                self.name, f"({', '.join(self.parameters)})", values, f"{self.arity} values are needed"
            )
        culprit = explain(self.parameters, self.codecs, values)
        if culprit is None:
            return EncodeError(self.name, f"({', '.join(self.parameters)})", values, text_shown(error))
        return EncodeError(self.name, *culprit)

    def to_values(self, result: object) -> tuple[object, ...]:
        """Turn the result of a handler into the values of this response.

        Raises:
            EncodeError: the result does not fit the outputs of the message.
        """
        if self.arity == 1:
            return (result,)
        if self._fields is not None:
            return self._fields(result) if type(result) is self.python else self._tuple(result)
        if result is not None:
            raise EncodeError(
                self.name, "the answer", result, "the message has no output, so its handler returns None"
            )
        return ()

    def to_result(self, values: tuple[Any, ...]) -> Any:
        """Turn the values of this response into the result of a call."""
        if self.arity == 1:
            return values[0]
        return self.python(*values) if values else None

    def _tuple(self, result: object) -> tuple[object, ...]:
        if isinstance(result, tuple):
            return result
        raise EncodeError(
            self.name,
            "the answer",
            result,
            f"a {self.python.__name__} or a tuple of {self.arity} is needed",
        )


class Message:
    """The base of every generated message class.

    A message object is a value for tools and tests: its parameters, with equality and repr. `__ipc__`
    describes the class, as `__attrs_attrs__` describes an attrs class. Calls use this description and make
    no message objects.
    """

    __slots__ = ()

    __ipc__: ClassVar[MessageType]
    _codecs: ClassVar[tuple[Codec[Any], ...]] = ()

    @staticmethod
    def _encode(_files: Files, *args: Any, **kwargs: Any) -> Payload:
        raise NotImplementedError

    @staticmethod
    def _decode(_data: Buffer, _at: int, _decoding: Decoding) -> tuple[tuple[Any, ...], int]:
        raise NotImplementedError

    @staticmethod
    def _frame(_serial: int, *args: Any, **kwargs: Any) -> Payload:
        raise NotImplementedError

    @staticmethod
    def _deliver(_handlers: Any, _data: Buffer, _at: int, _end: int, _cursor: Any, _next: int) -> object:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __repr__(self) -> str:
        pairs = zip(self.__ipc__.parameters, _values(self), strict=True)
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


class OneWay(Message):
    """A message without an answer."""

    __slots__ = ()

    def __init_subclass__(
        cls, *, magic: int, id: int, name: str, signature: int, holds_files: bool = False, handler: str = ""
    ) -> None:
        super().__init_subclass__()
        _describe(cls, Kind.ONE_WAY, magic, id, name, signature, holds_files, handler)


class Request(Message, Generic[R]):
    """A message that is answered; `R` is the type of the call's result."""

    __slots__ = ()

    def __init_subclass__(
        cls, *, magic: int, id: int, name: str, signature: int, holds_files: bool = False, handler: str = ""
    ) -> None:
        super().__init_subclass__()
        _describe(cls, Kind.REQUEST, magic, id, name, signature, holds_files, handler)


class Response(Message):
    """The answer to a request. It has the name, magic and signature of the request."""

    __slots__ = ()

    def __init_subclass__(cls, *, request: type[Request[Any]], holds_files: bool = False) -> None:
        super().__init_subclass__()
        asked = request.__ipc__
        _describe(
            cls,
            Kind.RESPONSE,
            asked.magic,
            response_id(asked.id),
            asked.name,
            asked.signature,
            holds_files,
            asked.handler,
        )
        asked.response = cls.__ipc__


def _describe(
    python: type[Message],
    kind: Kind,
    magic: int,
    id: int,
    name: str,
    signature: int,
    holds_files: bool,
    handler: str,
) -> None:
    parameters: tuple[str, ...] = tuple(python.__slots__)
    python.__ipc__ = described = MessageType(
        kind=kind,
        name=name,
        handler=handler or name.partition(".")[2],
        magic=magic,
        id=id,
        key=key_of(magic, id),
        signature=signature,
        holds_files=holds_files,
        parameters=parameters,
        arity=len(parameters),
        codecs=python._codecs,
        encode=python._encode,
        decode=python._decode,
        python=python,
        counts=any(codec.counts for codec in python._codecs),
        frame=None if python._frame is Message._frame else python._frame,
        deliver=None if python._deliver is Message._deliver else python._deliver,
        fields=attrgetter(*parameters) if len(parameters) > 1 else None,
    )
    for old in ("magic", "id", "signature", "handler"):
        setattr(python, f"_{old}", getattr(described, old))  # Tools for 0.1 read them (docs/versions.md).


def _values(message: Message) -> tuple[Any, ...]:
    return tuple([getattr(message, name) for name in message.__ipc__.parameters])


class Endpoint:
    """The base of a generated endpoint; by itself, an endpoint without messages."""

    MAGIC: ClassVar[int] = 0
    """The number of the endpoint on the wire; 0 if the interface has none."""
    SCHEMA: ClassVar[str] = ""
    """The interface as canonical `.ipc` text."""
    __ipc__: ClassVar[tuple[MessageType, ...]] = ()
    """The descriptions of its messages, in the order of their ids."""
    _messages: ClassVar[tuple[type[Message], ...]] = ()
    """The message classes; tools for 0.1 read them (docs/versions.md)."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._messages = tuple(
            member
            for member in vars(cls).values()
            if isinstance(member, type) and issubclass(member, Message)
        )
        cls.__ipc__ = tuple(message.__ipc__ for message in cls._messages)
