"""Owns the checked model of one compilation: messages, payloads, endpoints, and what a module is made of.

Must not know how it was checked, nor the text that is written from it. All of it is immutable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from ipcc.codecs import Codec, named_codecs
from ipcc.definitions import Definition, Definitions, Enumeration, Struct
from ipcc.names import async_name
from ipcc.types import Packing, Type
from ipcc.wire_numbers import endpoint_magic, signature

BUILTINS = frozenset(
    {"bool", "bytes", "dict", "float", "int", "len", "list", "object", "staticmethod", "str", "tuple"}
)
"""The builtins that generated code uses."""
MODULE_BUILTINS = frozenset({"TypeError", "map", "range", "type", "zip"})
"""Those that it uses only where no parameter and no field is in scope."""


@attrs.frozen
class Parameter:
    """A parameter or output of a message."""

    name: str
    """Its name in the interface, which the tools show."""
    python: str
    """Its name in Python code."""
    type: Type


@attrs.frozen
class Field:
    """One value of a run: a parameter, or the byte length of one."""

    parameter: Parameter
    is_length: bool = False

    @property
    def format(self) -> str:
        """Its character in a struct format."""
        return "I" if self.is_length else self.parameter.type.format


@attrs.frozen
class Run:
    """Consecutive fields of fixed size, packed by one struct."""

    fields: tuple[Field, ...]

    @property
    def format(self) -> str:
        """The struct format of all its fields."""
        return "".join(field.format for field in self.fields)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(_SIZES[character] for character in self.format)


_SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}


@attrs.frozen
class Payload:
    """The parameters of a request, a response or a one-way message, and the steps that pack them."""

    parameters: tuple[Parameter, ...]
    holds_files: bool
    steps: tuple[Run | Parameter, ...] = attrs.field(init=False)
    """Runs, and between them the parameters whose bytes follow their length or are made by a codec."""

    @steps.default
    def _divide(self) -> tuple[Run | Parameter, ...]:
        return tuple(_steps(self.parameters))

    @property
    def types(self) -> tuple[Type, ...]:
        """The types of its parameters."""
        return tuple(parameter.type for parameter in self.parameters)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The steps that are runs."""
        return tuple(step for step in self.steps if isinstance(step, Run))

    @property
    def is_plain_numbers(self) -> bool:
        """Whether one struct unpacks to the very values."""
        return bool(self.parameters) and all(p.type.packing is Packing.NUMBER for p in self.parameters)

    @property
    def is_plain(self) -> bool:
        """Whether it needs no codec: it holds numbers, flags, texts and byte strings alone."""
        return all(parameter.type.packing is not Packing.CODED for parameter in self.parameters)

    @property
    def has_lengths(self) -> bool:
        """Whether it holds a text or a byte string."""
        return any(p.type.packing in (Packing.TEXT, Packing.OCTETS) for p in self.parameters)

    @property
    def first_format(self) -> str:
        """The struct format of the run that follows the header; empty if there are no parameters."""
        return self.runs[0].format if self.runs else ""

    @property
    def fixed_size(self) -> int:
        """The bytes of all its runs."""
        return sum(run.size for run in self.runs)

    @property
    def is_sent_in_pieces(self) -> bool:
        """Whether it holds a byte string, which may be large, so that its pieces are not copied together."""
        return any(parameter.type.packing is Packing.OCTETS for parameter in self.parameters)

    @property
    def canonical(self) -> str:
        """Its types as a signature spells them."""
        return f"({','.join(parameter.type.canonical for parameter in self.parameters)})"


@attrs.frozen
class Message:
    """A message of an endpoint."""

    endpoint: str
    endpoint_python: str
    name: str
    python: str
    class_name: str
    response_class: str | None
    """None for a one-way message."""
    id: int
    inputs: Payload
    outputs: Payload | None
    """None for a one-way message."""
    text: str
    """The message as declared, in canonical white space."""
    outputs_text: str
    """The outputs as declared, in canonical white space."""
    signed_text: str
    """The text that the signature is computed from."""
    documentation: tuple[str, ...]

    @property
    def async_python(self) -> str:
        """The name of the proxy's method that does not wait."""
        return async_name(self.python)

    @property
    def qualified_name(self) -> str:
        """`ClockServer.add`."""
        return f"{self.endpoint}.{self.name}"

    @property
    def signature(self) -> int:
        """The number by which peers notice that they mean different messages."""
        return signature(self.signed_text)

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """The inputs, and the outputs if there are any."""
        return (self.inputs,) if self.outputs is None else (self.inputs, self.outputs)

    @property
    def types(self) -> Iterator[Type]:
        """The types of all parameters."""
        for payload in self.payloads:
            yield from payload.types


@attrs.frozen
class Endpoint:
    """An endpoint with its messages."""

    name: str
    python: str
    messages: tuple[Message, ...]
    documentation: tuple[str, ...]
    schema: str
    """The endpoint as canonical `.ipc` text, after the types that it uses."""

    @property
    def magic(self) -> int:
        """The number that stands for it on the wire."""
        return endpoint_magic(self.name)

    @property
    def proxy(self) -> str:
        """The name of the class that calls it."""
        return f"{self.python}Proxy"

    @property
    def stub(self) -> str:
        """The name of the class that handles its messages."""
        return f"{self.python}Stub"


@attrs.frozen
class Pair:
    """The endpoints of a server and its client, and the names of the connections between them."""

    server: Endpoint | None
    """None where the server's endpoint is empty."""
    client: Endpoint | None
    """None where the client's endpoint is empty."""
    prefix: str = ""
    """Begins the names of the connection classes where a module has several pairs."""

    @property
    def to_server(self) -> str:
        """The name of the client's connection class."""
        return f"{self.prefix}ConnectionToServer"

    @property
    def from_client(self) -> str:
        """The name of the service's connection class."""
        return f"{self.prefix}ConnectionFromClient"


@attrs.frozen
class Compilation:
    """All that one module is made of."""

    sources: tuple[str, ...]
    """The base names of the interface files."""
    definitions: Definitions
    endpoints: tuple[Endpoint, ...]
    pairs: tuple[Pair, ...]
    shadowed: frozenset[str]
    """The builtins whose names a declaration takes."""

    @property
    def structs(self) -> tuple[Struct, ...]:
        """The structs that the module has classes for."""
        return tuple(d for d in self.definitions if isinstance(d, Struct) and not d.registered)

    @property
    def enumerations(self) -> tuple[Enumeration, ...]:
        """The enums that the module has classes for."""
        return tuple(d for d in self.definitions if isinstance(d, Enumeration) and not d.registered)

    @property
    def imported(self) -> tuple[Definition, ...]:
        """The registered classes that the module uses."""
        used = {definition.name for definition in self.definitions.reached(self._types)}
        return tuple(d for d in self.definitions if d.registered and d.name in used)

    @property
    def payloads(self) -> Iterator[Payload]:
        """The payloads of all messages."""
        for endpoint in self.endpoints:
            for message in endpoint.messages:
                yield from message.payloads

    @property
    def formats(self) -> tuple[str, ...]:
        """The struct formats of all runs and of the codecs that are written out, sorted."""
        own = {format for codec in self.codecs if codec.loop for format in codec.loop.formats}
        return tuple(sorted(own.union(self._run_formats)))

    @property
    def _run_formats(self) -> frozenset[str]:
        return frozenset(run.format for payload in self.payloads for run in payload.runs)

    @property
    def frame_formats(self) -> tuple[str, ...]:
        """The struct formats of plain payloads of fixed size, packed with header and trailer."""
        plain = (payload for payload in self.payloads if payload.is_plain)
        return tuple(sorted({p.first_format for p in plain if not p.has_lengths}))

    @property
    def head_formats(self) -> tuple[str, ...]:
        """The struct formats of the first runs of the other plain payloads, packed with the header."""
        plain = (payload for payload in self.payloads if payload.is_plain)
        return tuple(sorted({p.first_format for p in plain if p.has_lengths}))

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs that the module makes: parts before wholes, otherwise by spelling."""
        types = {type.canonical: type for payload in self.payloads for type in payload.types}
        in_order = (types[canonical] for canonical in sorted(types))
        classes = (definition.python for definition in self.definitions)
        taken = BUILTINS.union(MODULE_BUILTINS, self.exports, classes)
        return tuple(named_codecs(in_order, self._run_formats, self.definitions, taken))

    @property
    def annotations(self) -> Iterator[str]:
        """The Python types that the module mentions."""
        for type in self._types:
            yield type.annotation
        for endpoint in self.endpoints:
            for message in endpoint.messages:
                yield from (type.accepted for type in message.inputs.types)

    @property
    def exports(self) -> tuple[str, ...]:
        """The public names of the module, sorted."""
        names = [d.python for d in self.structs] + [d.python for d in self.enumerations]
        names += [n for e in self.endpoints for n in (e.python, e.proxy, e.stub)]
        return tuple(sorted(names + [n for pair in self.pairs for n in (pair.to_server, pair.from_client)]))

    @property
    def _types(self) -> Iterator[Type]:
        for payload in self.payloads:
            yield from payload.types
        for struct in self.structs:
            yield from struct.types


def _steps(parameters: Iterable[Parameter]) -> Iterator[Run | Parameter]:
    fields: list[Field] = []
    for parameter in parameters:
        packing = parameter.type.packing
        if packing in (Packing.NUMBER, Packing.FLAG):
            fields.append(Field(parameter))
            continue
        if packing in (Packing.TEXT, Packing.OCTETS):
            fields.append(Field(parameter, is_length=True))
        if fields:
            yield Run(tuple(fields))
            fields.clear()
        yield parameter
    if fields:
        yield Run(tuple(fields))
