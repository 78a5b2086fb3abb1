"""Owns the interface of a service at run time: its messages by name, the module made of it, and its values.
Must not know connections, or how the text of the interface came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType

import attrs

from ipcc.compiler import loaded, model_of, model_of_description
from ipcc.definitions import Opaque
from ipcc.diagnostics import CompileError
from ipcc.model import Compilation, Endpoint, Message, Pair
from ipctools.display import printable
from ipctools.failures import Code, Failure, nearest, wrong
from ipctools.values import Values

_OWN_CODECS = "ipctools.own_codecs"


@attrs.frozen(eq=False)
class Interface:
    """What a service understands, and what it sends by itself. Files may declare several services."""

    model: Compilation
    module: ModuleType
    values: Values

    @classmethod
    def described(cls, text: str, path: str) -> Interface:
        """The interface in a text that the service at a path gave.

        Raises:
            Failure: this version cannot read it.
        """
        try:
            return cls._of(model_of_description(text, path, _OWN_CODECS))
        except CompileError as error:
            reason = printable(str(error.diagnostics[0]).partition("\n")[0])
            text = f"the interface that the service describes cannot be read ({reason}): give --ipc FILE"
            raise Failure(Code.NOT_A_SERVICE, text) from error

    @classmethod
    def of_files(cls, files: Sequence[str], folders: Sequence[str], types: Sequence[str]) -> Interface:
        """The interface in files. Python files are read, and never run.

        Raises:
            CompileError: a file is wrong, or cannot be read.
        """
        model = model_of(files, folders, types)
        # In the form that the service would describe it in, nothing is left that needs an import.
        text = "\n".join(endpoint.schema for endpoint in model.endpoints)
        return cls.described(text, files[0])

    @classmethod
    def _of(cls, model: Compilation) -> Interface:
        module = loaded(model, "service_ipc")
        return cls(model, module, Values(model.definitions, module))

    @property
    def called(self) -> tuple[Endpoint, ...]:
        """The endpoints that services serve."""
        return tuple(pair.server for pair in self.model.pairs if pair.server)

    @property
    def received(self) -> tuple[Endpoint, ...]:
        """The endpoints whose messages services send."""
        return tuple(pair.client for pair in self.model.pairs if pair.client)

    def pair_of(self, messages: Sequence[Message]) -> Pair:
        """The endpoints of the one service that has these messages.

        Raises:
            Failure: there is none, or there are several.
        """
        called = {message.endpoint for message in messages}
        pairs = [
            pair
            for pair in self.model.pairs
            if not called or (pair.server is not None and pair.server.name in called)
        ]
        if not pairs:
            raise Failure(Code.NOT_A_SERVICE, "the service has no endpoint")
        if len(pairs) > 1:
            names = ", ".join(endpoint.name for endpoint in self.called)
            raise wrong(f"a connection is to one service, and these messages are of several ({names})")
        return pairs[0]

    def message(self, name: str, *, of_client: bool = False) -> Message:
        """The message that a user names, with its endpoint before a dot or without.

        Raises:
            Failure: there is none, or there are several.
        """
        endpoints = self.received if of_client else self.called
        prefix, dot, short = name.rpartition(".")
        if dot:
            self._check_endpoint(prefix, endpoints, of_client=of_client)
            endpoints = tuple(endpoint for endpoint in endpoints if endpoint.name == prefix)
        found = [message for endpoint in endpoints for message in endpoint.messages if message.name == short]
        if not found:
            known = [message.name for endpoint in endpoints for message in endpoint.messages]
            where = " and ".join(endpoint.name for endpoint in endpoints) or "the service"
            hint = nearest(short, known)
            argument = "" if short.isidentifier() else " (arguments are written NAME=VALUE)"
            raise wrong(f"{where} has no message '{short}'{argument}: {hint}")
        if len(found) > 1:
            names = " or ".join(f"'{message.qualified_name}'" for message in found)
            raise wrong(f"message '{short}' is ambiguous: write {names}")
        return found[0]

    def _check_endpoint(self, name: str, endpoints: Sequence[Endpoint], *, of_client: bool) -> None:
        if any(endpoint.name == name for endpoint in endpoints):
            return
        if any(endpoint.name == name for endpoint in self.model.endpoints):
            if of_client:
                raise wrong(f"endpoint '{name}' is called, and cannot be answered")
            raise wrong(f"endpoint '{name}' is the client's, and cannot be called")
        known = [endpoint.name for endpoint in endpoints]
        raise wrong(f"the service has no endpoint '{name}': {nearest(name, known)}")

    def check_known(self, message: Message) -> None:
        """Check that all values of a message can be made and shown.

        Raises:
            Failure: one is of a class with a codec of its own.
        """
        for definition in self.model.definitions.reached(message.types):
            if isinstance(definition, Opaque):
                text = f"{message.qualified_name} uses {definition.name}, which has a codec of its own"
                raise wrong(f"{text}: call it from a program")

    def documentation(self) -> Iterator[tuple[Message, str]]:
        """Each message that can be called, with the first line of its documentation."""
        for endpoint in self.called:
            for message in endpoint.messages:
                yield message, message.documentation[0] if message.documentation else ""
