"""Owns a connection to a service as the commands use it: calls by their words, and what the service sends.
Must not know command lines, prompts, or how values are written on the terminal.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from corelib import EventLoop, WaitMode
from ipcc.model import Message, Parameter
from ipclib import (
    CallTimeout,
    ConnectionToServer,
    EncodeError,
    ErrorKind,
    File,
    HandlerError,
    IPCError,
    MessageTooLarge,
    PeerDisconnected,
    RemoteError,
    SchemaMismatch,
)
from ipctools.attachments import Inputs, Outputs
from ipctools.connecting import PATIENCE, ask_interface, reach, socket_path
from ipctools.display import printable
from ipctools.failures import Code, Failure, wrong
from ipctools.interface import Interface
from ipctools.misfit import Misfit
from ipctools.words import Call, answer_in


@attrs.frozen
class Incoming:
    """A message that the service sent."""

    message: Message
    values: dict[str, Any]
    """By the names of the parameters, as JSON."""


@attrs.define
class Opening:
    """What the user says about a service before it is reached."""

    path: str
    interface: Interface | None = None
    """None to ask the service for it."""
    timeout: float | None = None
    """Seconds for each answer; None is the tool's own choice."""
    answers: Sequence[str] = ()
    """How requests of the service are answered, each as `MESSAGE [NAME=VALUE...]`."""
    outputs: Outputs = attrs.Factory(Outputs)


class Service:
    """An open connection, and the messages that have come on it."""

    def __init__(
        self,
        opening: Opening,
        plan: Callable[[Interface, Inputs], Sequence[Call]] = lambda _interface, _inputs: (),
    ) -> None:
        """Reach the service and learn its interface. What `plan` returns is checked before it is called.

        Raises:
            Failure: the service cannot be reached or understood, or the plan is wrong.
        """
        # What the connection would log is in the failure that ends the command.
        logging.getLogger("ipclib").setLevel(logging.CRITICAL + 1)
        self.path = socket_path(opening.path)
        self.inputs = Inputs()
        self._outputs = opening.outputs
        self._timeout = opening.timeout
        self._incoming: deque[tuple[Message, tuple[Any, ...]]] = deque()
        self._misbehaviour = ""
        self._connection = self._open(opening, plan)

    def _open(
        self, opening: Opening, plan: Callable[[Interface, Inputs], Sequence[Call]]
    ) -> ConnectionToServer:
        early = None
        socket = reach(opening.path)
        try:
            if opening.interface is None:
                patience = PATIENCE if opening.timeout is None else opening.timeout
                text, early = ask_interface(socket, self.path, patience)
                self.interface = Interface.described(text, self.path)
            else:
                self.interface = opening.interface
            answers = [answer_in(text, self.interface, self.inputs) for text in opening.answers]
            self.calls = list(plan(self.interface, self.inputs))
            kind = self._connection_class({call.message.name: call.values for call in answers})
            connection: ConnectionToServer = kind(socket)
        except BaseException:
            socket.close()
            if early is not None:
                early.drop()
            self.inputs.close()
            raise
        if early is not None:
            early.give_to(connection)
        return connection

    def _connection_class(self, answers: dict[str, tuple[Any, ...]]) -> type[Any]:
        messages = [call.message for call in self.calls]
        pair = self.interface.pair_of(messages)
        base: type[ConnectionToServer] = getattr(self.interface.module, pair.to_server)
        received = pair.client.messages if pair.client else ()
        handlers = {message.python: self._handler(message, answers) for message in received}
        return type("Service", (base,), {**handlers, "did_misbehave": self._did_misbehave(base)})

    def _handler(self, message: Message, answers: dict[str, tuple[Any, ...]]) -> Callable[..., Any]:
        def handle(_connection: ConnectionToServer, *values: Any) -> Any:
            self._incoming.append((message, values))
            if message.outputs is None:
                return None
            if message.name not in answers:
                raise HandlerError(f"ipcc does not answer {message.name}; it can with --answer")
            answer = answers[message.name]
            return answer[0] if len(answer) == 1 else answer or None

        return handle

    def _did_misbehave(self, base: type[ConnectionToServer]) -> Callable[..., None]:
        def did_misbehave(connection: ConnectionToServer, reason: str) -> None:
            self._misbehaviour = self._misbehaviour or reason
            base.did_misbehave(connection, reason)

        return did_misbehave

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._connection.is_open

    def perform(self, call: Call) -> dict[str, Any]:
        """Make a call, or post a one-way message. Return the results by name, as JSON.

        Raises:
            Failure: the service did not answer, or with an error; or a value does not fit.
        """
        message = call.message
        try:
            if message.outputs is None:
                getattr(self._connection, message.async_python)(*call.values)
                self._flush(message)
                return {}
            result = getattr(self._connection, message.python)(*call.values, timeout=self._timeout)
        except IPCError as error:
            raise self._failure(message, error) from error
        parameters = message.outputs.parameters
        if len(parameters) == 1:
            return self._shown(parameters, (result,), message)
        return self._shown(parameters, [getattr(result, each.python) for each in parameters], message)

    def _flush(self, message: Message) -> None:
        if not self._connection.flush(self._timeout):
            self._check_open(message.qualified_name)
            raise Failure(Code.TIMEOUT, f"{message.qualified_name}: the service does not read it")

    def _shown(
        self, parameters: Sequence[Parameter], values: Sequence[Any], message: Message
    ) -> dict[str, Any]:
        show = self.interface.values.show
        try:
            return {
                each.name: show(each.type, value, self._outputs, each.name)
                for each, value in zip(parameters, values, strict=True)
            }
        except Misfit as misfit:
            raise wrong(f"{message.qualified_name}: {misfit}") from misfit
        finally:
            _close_all(values)

    def incoming(self) -> list[Incoming]:
        """Take the messages that have come."""
        taken = []
        while self._incoming:
            message, values = self._incoming.popleft()
            taken.append(Incoming(message, self._shown(message.inputs.parameters, values, message)))
        return taken

    def pump(self, mode: WaitMode = WaitMode.WAIT_FOR_EVENTS) -> None:
        """Make a turn of the loop."""
        EventLoop.current().pump(mode)

    def check_open(self) -> None:
        """Check that the service is still there.

        Raises:
            Failure: it is not.
        """
        self._check_open("")

    def _check_open(self, what: str) -> None:
        if self._connection.is_open:
            return
        if self._misbehaviour:
            raise self._broken_rule()
        prefix = f"{what}: " if what else ""
        raise Failure(Code.SERVICE_GONE, f"{prefix}the service at {self.path} has closed the connection")

    def _failure(self, message: Message, error: IPCError) -> Failure:
        name = message.qualified_name
        if self._misbehaviour:
            return self._broken_rule()
        match error:
            case CallTimeout():
                return Failure(
                    Code.TIMEOUT, f"{name}: no answer within {self._timeout:g} s (--timeout SECONDS)"
                )
            case EncodeError() | MessageTooLarge():
                return wrong(printable(str(error)))
            case SchemaMismatch():
                text = f"{name}: the service has another version of this message: leave out --ipc"
                return Failure(Code.SERVICE_ERROR, text)
            case RemoteError():
                kind = error.kind.name.lower().replace("_", " ")
                words = error.text if error.kind is ErrorKind.HANDLER_RAISED else f"{kind}: {error.text}"
                trace = f"\n{error.remote_traceback}" if error.remote_traceback else ""
                return Failure(Code.SERVICE_ERROR, printable(f"{name}: {words}{trace}".rstrip()))
            case PeerDisconnected():
                try:
                    self._check_open(name)
                except Failure as failure:
                    return failure
        return Failure(Code.NOT_A_SERVICE, printable(f"{name}: {error}"))

    def _broken_rule(self) -> Failure:
        text = f"the service at {self.path} broke a rule: {printable(self._misbehaviour)}"
        return Failure(Code.NOT_A_SERVICE, text)

    def close(self) -> None:
        """Close the connection, after what was posted has left."""
        self._connection.shutdown()
        for _message, values in self._incoming:
            _close_all(values)
        self.inputs.close()


def _close_all(values: Any) -> None:
    """Close the Files, buffers and bitmaps in values that came from the service."""
    if isinstance(values, list | tuple | dict):
        for value in values.values() if isinstance(values, dict) else values:
            _close_all(value)
    elif attrs.has(values.__class__):
        for field in attrs.fields(values.__class__):
            _close_all(getattr(values, field.name))
    elif isinstance(values, File):
        values.close()
