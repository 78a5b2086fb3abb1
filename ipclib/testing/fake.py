"""Owns FakePeer, one end of an interface that answers as a test says, or at random, and records what came.
Must not know sockets, faults, or which messages there are: the interface's generated class tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from corelib import EventLoop, LocalSocket, TimedOut, UsageError
from corelib.turn import NotCopied
from ipclib.connection.connection import Connection, endpoints_of
from ipclib.connection.connection_from_client import ConnectionFromClient
from ipclib.connection.connection_to_server import ConnectionToServer
from ipclib.errors import HandlerError
from ipclib.limits import Limits
from ipclib.protocol.message import Kind, Message, MessageType
from ipclib.values.codecs import ENCODE_ERRORS
from ipclib.values.file import Duplicate, File
from ipclib.values.samples import Dice, Make, NoSample

E = TypeVar("E", bound=Connection)


class FakePeer(NotCopied, Generic[E]):
    """Plays one end of an interface: `FakePeer(clock_ipc.ConnectionFromClient, {"add": 3})` a service.

    With the generated ConnectionToServer it plays a client. It is what makes the connections of that end, so
    it is passed where the class would be: to Pair, MultiServer or serve().
    """

    def __init__(
        self,
        end: type[E],
        answers: Mapping[str, object] | None = None,
        *,
        seed: int = 0,
        make: Mapping[type, Make] | None = None,
    ) -> None:
        """`answers` are as answer() takes them, by the name of the message.

        Each request without one is answered with random values of the right types, the same for the same
        seed. `make` has the functions that make the values of classes that refuse random ones; each is called
        with a random.Random.

        Raises:
            UsageError, EncodeError: as answer() does; or `end` is no generated class.
        """
        if not isinstance(end, type) or not issubclass(end, ConnectionFromClient | ConnectionToServer):
            raise UsageError(
                "FakePeer takes the ConnectionFromClient or the ConnectionToServer of a generated module, "
                f"not {end!r}"
            )
        self._serves = {
            message.name: message
            for message in endpoints_of(end)[1].__ipc__
            if message.kind is not Kind.RESPONSE
        }
        self._seed = seed
        self._dice = Dice(seed, make)
        self._answers: dict[str, object] = {}
        self._class = self._made_of(end)
        self.connections: list[E] = []
        """Its connections, in the order in which they were made; closed ones too."""
        self.received: list[Message] = []
        """What it was called with and sent, as objects of the interface's message classes, which compare by
        value. Files among the values are closed by close()."""
        self._files: list[File] = []
        """The Files that were received."""
        for name, answer in (answers or {}).items():
            self.answer(name, answer)

    def __call__(self, socket: LocalSocket, client_id: int = 0, *, limits: Limits | None = None) -> E:
        """Make a connection that this fake plays. Pair and MultiServer call this."""
        number = (client_id,) if issubclass(self._class, ConnectionFromClient) else ()
        connection = self._class(socket, *number, limits=limits)
        self.connections.append(connection)
        return connection

    @property
    def connection(self) -> E:
        """The connection that was made last; its methods send the peer its messages.

        Raises:
            UsageError: nobody has connected yet.
        """
        if not self.connections:
            raise UsageError("nobody has connected to this fake yet: pass it to Pair or MultiServer")
        return self.connections[-1]

    def answer(self, name: str, answer: object) -> None:
        """Answer the message `name`, such as `add` or `ClockServer.add`, with this from now on.

        A value is the answer itself: a tuple where the message has several outputs. An exception is raised by
        the handler: ipclib.HandlerError("text") fails the call with that text. A function is called with the
        message's values, and answers as a handler does: with a value, a promise or a coroutine. For a one-way
        message only a function makes sense.

        Raises:
            UsageError: the interface has no such message, or a one-way message is given a value.
            EncodeError: the value does not fit the answer.
        """
        message = self._message(name)
        if not callable(answer) and not isinstance(answer, BaseException):
            if message.response is None:
                raise UsageError(f"{message.name} has no answer: give a function, or nothing")
            _check(message.response, answer)
        self._answers[message.name] = answer

    def calls(self, name: str) -> list[Message]:
        """What was received of the message `name`.

        Raises:
            UsageError: the interface has no such message.
        """
        message = self._message(name)
        return [one for one in self.received if type(one) is message.python]

    def wait_for(self, name: str, count: int = 1, timeout: float = 5.0) -> list[Message]:
        """Make turns until `count` of a message were received, and return all of them.

        Raises:
            TimedOut: fewer came in `timeout` seconds; the text says what came instead.
            UsageError: the interface has no such message.
        """
        if not EventLoop.current().spin_until(lambda: len(self.calls(name)) >= count, timeout):
            raise TimedOut(
                f"{self._message(name).name} was received {len(self.calls(name))} times in {timeout:g} s, "
                f"not {count}; what was received: {self.received}"
            )
        return self.calls(name)

    def clear(self) -> None:
        """Forget what was received, with its Files, and the connections that have closed."""
        self.received.clear()
        self.connections[:] = [connection for connection in self.connections if connection.is_open]
        for file in self._files:
            file.close()
        self._files.clear()

    def close(self) -> None:
        """Close its connections, and the Files that were received; twice is fine."""
        for connection in self.connections:
            connection.shutdown()
        for file in self._files:
            file.close()
        self._files.clear()

    def __repr__(self) -> str:
        received, open_ones = len(self.received), sum(one.is_open for one in self.connections)
        name = self._class.__name__
        return f"<{name}, seed {self._seed}, {open_ones} open connections, {received} messages received>"

    def _message(self, name: str) -> MessageType:
        for message in self._serves.values():
            if name in (message.name, message.handler, message.name.partition(".")[2]):
                return message
        short = [message.name.partition(".")[2] for message in self._serves.values()]
        near = get_close_matches(name, short, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(short) or 'none'}"
        raise UsageError(f"{self._class.__name__} receives no message {name!r}: {hint}")

    def _made_of(self, end: type[E]) -> type[E]:
        handlers = {message.handler: self._handler(message) for message in self._serves.values()}
        role = "Service" if issubclass(end, ConnectionFromClient) else "Client"
        return type(f"Fake{role}", (end,), {"__module__": end.__module__, **handlers})

    def _handler(self, message: MessageType) -> Callable[..., object]:
        def handle(_connection: E, *values: Any) -> object:
            self.received.append(message.python(*values))
            self._files += _files_in(message, values)
            if message.name in self._answers:
                answer = self._answers[message.name]
                if isinstance(answer, BaseException):
                    raise answer
                return answer(*values) if callable(answer) else answer
            return None if message.response is None else self._made_up(message.response)

        return handle

    def _made_up(self, response: MessageType) -> object:
        try:
            values = tuple([codec.sample(self._dice) for codec in response.codecs])
        except NoSample as error:
            raise HandlerError(f"{response.name}: {error}") from error
        return response.to_result(values) if response.arity < 2 else values


def _check(response: MessageType, answer: object) -> None:
    """Check that a value fits the answer.

    Raises:
        EncodeError: it does not.
    """
    values = response.to_values(answer)
    try:
        response.encode([], *values)
    except ENCODE_ERRORS as error:
        raise response.refused(values, error) from error


def _files_in(message: MessageType, values: tuple[Any, ...]) -> list[File]:
    """The Files in the values of a message, wherever they are."""
    files: list[File] = []
    if message.holds_files:
        message.encode(files, *values)
    return [file for file in files if not isinstance(file, Duplicate)]
